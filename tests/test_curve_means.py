"""Numbers that are made of the means of curves: kept, read back, reduced, resampled and compared by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from handmade import rows
from torch import Tensor

from camsbench import CamsbenchError, tables
from camsbench.core.columns import CURVE, Column, OfMeans, curves_of
from camsbench.data import draws
from camsbench.data.record import Record
from camsbench.store.folder import RunFolder
from camsbench.tables import bootstrap
from camsbench.tables.measure import LineKey, Sample, estimate
from camsbench.tables.pairs import pairs
from camsbench.tables.spread import spread

NAN = float("nan")


def most(curve: Tensor) -> Tensor:
    """The greatest mean [R] of a curve [R,n]."""
    return curve.amax(1)


BEST = Column("best", "higher", reduce=(OfMeans((CURVE + "best_curve",), most, "at the best point"), "mean"))
FIRST, SECOND = [1.0, 0.0, 0.0], [1.0, 1.0, 0.0]
LINE = LineKey("gradcam", "poppi@1", "last")


def with_curve(method: str, *curves: list[float] | None) -> pd.DataFrame:
    """Rows whose own value is the greatest of their curve."""
    made = rows(method, n=len(curves), best=[NAN if curve is None else max(curve) for curve in curves])
    made[CURVE + "best_curve"] = pd.Series(
        [None if c is None else np.array(c, np.float32) for c in curves], dtype=object
    )
    return made


def test_the_curves_that_reductions_ask_for() -> None:
    both = OfMeans((CURVE + "a", "drop", CURVE + "b"), most)
    declared = [BEST, Column("x", "higher", reduce=("mean", both)), Column("y", "lower", reduce=both)]
    assert curves_of(declared) == ["best_curve", "a", "b"]


def test_a_folder_gives_curves_as_columns_of_its_rows(tmp_path: Path) -> None:
    """A curve of another name is not taken, a row without a curve has None, of doubles the last counts."""
    head = {"model": "m", "layer": "l", "method": "gradcam", "protocol": "rise@1", "seed": 0}
    folder = RunFolder(tmp_path)

    def write(image: str, *curves: tuple[str, list[float]]) -> None:
        kept = [head | {"image_id": image, "curve": name, "y": y} for name, y in curves]
        folder.write_part([head | {"image_id": image, "label": 1, "best": 1.0}], ["best"], kept)

    with folder.locked():
        folder.open({"seed": 0}, {}, "")
        folder.write_manifest([Record(name, Path(f"{name}.jpg"), 1) for name in ("a", "b", "c")])
        write("b", ("best_curve", [1.0, 0.0]), ("other_curve", [5.0]))
        write("c", ("best_curve", [0.25, 50176.0]))
        write("a")
        write("b", ("best_curve", [0.0, 1.0]))
    found = folder.rows(["best_curve"])
    assert found["image_id"].tolist() == ["a", "b", "c"]
    first, second, third = found[CURVE + "best_curve"]
    assert first is None
    assert (second.tolist(), third.tolist()) == ([0.0, 1.0], [0.25, 50176.0])
    assert CURVE + "best_curve" not in folder.rows()


def test_a_summary_takes_the_mean_point_by_point_and_then_the_function() -> None:
    """Of 1 0 0, 1 1 0 and 0 0 1 the mean is 2/3 1/3 1/3, whose greatest is 2/3; each row's own is 1."""
    given = with_curve("gradcam", FIRST, SECOND, [0.0, 0.0, 1.0], None)
    summary = tables.summarise(given, [BEST])
    assert summary.loc[0, "best"] == pytest.approx(2 / 3)
    assert summary.loc[0, "best_mean"] == 1
    assert not any(name.startswith(CURVE) for name in map(str, summary))
    failed = with_curve("gradcam", FIRST, SECOND, [0.0, 0.0, 1.0], None)
    failed["error"] = pd.Series([None, None, "gone", None], dtype=object)
    assert tables.summarise(failed, [BEST]).loc[0, "best"] == 1
    assert "best ↑ | best_mean ↑" in tables.markdown(summary, [BEST])


def test_rows_without_their_curves_have_the_mean_alone() -> None:
    """Rows of the Python API, or read by somebody else: no other number stands in the place of the right one."""
    summary = tables.summarise(with_curve("gradcam", FIRST, SECOND).drop(columns=CURVE + "best_curve"), [BEST])
    assert "best" not in summary
    assert summary.loc[0, "best_mean"] == 1


def test_a_line_none_of_whose_images_has_a_curve_has_no_number() -> None:
    both = pd.concat([with_curve("gradcam", FIRST, SECOND), with_curve("other", None, None)])
    summary = tables.summarise(both, [BEST]).set_index("method")
    assert summary.loc["gradcam", "best"] == 1
    assert summary["best"].isna().tolist() == [False, True]
    sample = Sample.of(both)
    assert estimate(sample, LineKey("other", "poppi@1", "last"), "best", BEST.reductions[0]).n == 0
    assert "best" not in set(pairs(both, declared=[BEST])["column"])


def test_lines_may_have_curves_of_different_lengths_and_a_line_may_not() -> None:
    both = pd.concat([with_curve("gradcam", FIRST, SECOND), with_curve("other", [0.5, 0.0], [0.0, 0.0])])
    assert tables.summarise(both, [BEST])["best"].tolist() == [1, 0.25]
    assert len(pairs(both, declared=[BEST], columns=["best"])) == 1
    with pytest.raises(CamsbenchError, match="best_curve: its curves have 2 and 3 points, so that they have no mean"):
        tables.summarise(with_curve("gradcam", FIRST, [0.5, 0.0]), [BEST])


def test_resamples_weigh_whole_curves() -> None:
    """Images 1 0 0, 1 1 0 and none: drawn once each, the second twice, and the last alone, which has no value."""
    curve = np.array([FIRST, SECOND, [NAN] * 3], np.float32)
    statistic = bootstrap.of_means((curve,), lambda mean: mean[:, 1])
    assert statistic(np.array([[1.0, 1, 1], [0, 2, 1], [0, 0, 3]])) == pytest.approx([0.5, 1, NAN], nan_ok=True)


def test_intervals_of_curves_are_those_of_their_plain_loop() -> None:
    """More resamples than are held at once, beside a plain column: the same draws for both."""
    rng = np.random.default_rng(0)
    curve, column = rng.random((7, 5)).astype(np.float32), rng.random(7)
    curve[2] = NAN
    (weights,) = bootstrap.draw_resamples(7, seed=4, resamples=1200)
    means = [(line[:, None] * curve)[np.arange(7) != 2].sum(0) / line[np.arange(7) != 2].sum() for line in weights]
    of_curve = bootstrap.of_means((curve, column), lambda mean, other: mean.amax(1) - other)
    drawn = bootstrap.replicates([of_curve, bootstrap.mean(column)], 7, seed=4, resamples=1200)
    expected = np.array([mean.max() for mean in means]) - weights @ column / 7
    assert drawn[:, 0] == pytest.approx(expected, abs=1e-6)
    assert drawn[:, 1] == pytest.approx(weights @ column / 7)


def test_several_rows_of_an_image_count_as_their_mean() -> None:
    given = with_curve("gradcam", FIRST, SECOND, [0.0, 1.0, 0.0]).assign(image_id=["a", "a", "b"])
    found = Sample.of(given).values(LINE, CURVE + "best_curve")
    assert found.tolist() == [[1.0, 0.5, 0.0], [0.0, 1.0, 0.0]]


def test_pairs_are_compared_on_the_images_of_both() -> None:
    """Of images 0 and 1 gradcam has (1 0 0 + 1 1 0)/2, greatest 1; other has (1 0 0 + 0 0 1)/2, greatest 1/2."""
    a = with_curve("gradcam", FIRST, SECOND, FIRST)
    b = with_curve("other", FIRST, [0.0, 0.0, 1.0], None)
    found = pairs(pd.concat([a, b]), declared=[BEST]).set_index("column").loc["best"]
    assert (found["a"], found["b"], found["n"]) == ("gradcam", "other", 2)
    assert (found["mean_a"], found["mean_b"], found["difference"]) == (1, 0.5, 0.5)
    assert found["low"] == 0  # where the same image is drawn twice
    assert found["p"] > 0.05


def test_a_paper_s_column_takes_its_interval_of_the_curves() -> None:
    spec = {"published": "abscam_table3", "methods": {"Grad-CAM": "gradcam"}, "columns": {"pointing_accuracy": "best"}}
    long = tables.compare(spec, with_curve("gradcam", FIRST, SECOND, [0.0, 0.0, 1.0]), columns=[BEST]).long
    line = long[(long["measured_method"] == "gradcam") & (long["column"] == "pointing_accuracy")].iloc[0]
    assert line["measured"] == pytest.approx(2 / 3)
    assert (line["low"], line["high"]) == (pytest.approx(2 / 3), 1)


def test_a_spread_over_draws_takes_them_too() -> None:
    ids = [name for draw in (0, 1) for name in draws.union(draw, 2)]
    given = with_curve("gradcam", FIRST, [0.0, 1.0, 0.0], FIRST, FIRST).assign(image_id=ids)
    moved = spread(given, [0, 1], 2, [BEST]).set_index("column")
    assert (moved.loc["best", "min"], moved.loc["best", "max"]) == (0.5, 1)


def test_a_function_may_take_means_of_columns_and_of_curves() -> None:
    """The greatest point, 2/3, less the mean of drop, 0.2."""
    both = OfMeans((CURVE + "best_curve", "drop"), lambda curve, drop: curve.amax(1) - drop)
    given = with_curve("gradcam", FIRST, SECOND, [0.0, 0.0, 1.0]).assign(drop=[0.1, 0.2, 0.3])
    assert tables.summarise(given, [Column("mixed", "higher", reduce=both)]).loc[0, "mixed"] == pytest.approx(
        2 / 3 - 0.2
    )

"""Frozen draws: what stands in the package, what a run takes of it, and the spread between draws on paper."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from camsbench.data import draws
from camsbench.data.classes import validation_id
from camsbench.data.embedded import samples
from camsbench.data.record import Record
from camsbench.data.selection import select
from camsbench.errors import CamsbenchError
from camsbench.tables.spread import spread

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def validation() -> list[Record]:
    """Records of all validation images; none is opened here."""
    return [Record(validation_id(number), Path(), 0) for number in range(1, draws.VALIDATION + 1)]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draws_script", ROOT / "scripts" / "draws.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("draw", [0, 9])
def test_the_script_writes_what_is_frozen(draw: int, script: ModuleType) -> None:
    path = ROOT / "camsbench" / "data" / "assets" / "draws" / f"draw{draw}.txt"
    assert path.read_text() == script.text(draw)


def test_ten_draws_of_5500_different_images() -> None:
    lists = [draws.union(draw) for draw in range(10)]
    assert [len(set(ids)) for ids in lists] == [5500] * 10
    assert len({tuple(ids[:300]) for ids in lists}) == 10
    numbers = [int(name.removeprefix("ILSVRC2012_val_")) for ids in lists for name in ids]
    assert 1 <= min(numbers) < 50
    assert 49_950 < max(numbers) <= 50_000
    assert sum(numbers) / len(numbers) == pytest.approx(25_000.5, abs=4 * 50_000 / math.sqrt(12 * len(numbers)))


def test_smaller_subsets_are_the_first_of_larger_ones(validation: list[Record]) -> None:
    chosen = {n: [r.image_id for r in select(validation, draw=4, limit=n)] for n in (300, 500, 1000, 5000, 5500)}
    assert all(chosen[n] == chosen[5500][:n] and len(chosen[n]) == n for n in chosen)


def test_several_draws_take_the_first_of_each_once(validation: list[Record]) -> None:
    both = [r.image_id for r in select(validation, draw=[0, 1], limit=5500)]
    first, second = draws.union(0), draws.union(1)
    assert both[:5500] == first
    assert both[5500:] == [name for name in second if name not in set(first)]
    assert 10_000 < len(both) < 11_000  # 605 images are expected in both


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"draw": 10}, r"data.draw=10: give a number from 0 to 9"),
        ({"draw": True}, "data.draw=True"),
        ({"draw": []}, r"data.draw=\[\]"),
        ({"draw": "0"}, "data.draw=0: give a number"),
        ({"draw": 0, "shuffle": 1}, "drop data.subset and data.shuffle"),
        ({"draw": 0, "limit": 6000}, "data.limit=6000: a draw has 5500 images"),
        ({"draw": 0, "limit": 0}, "data.limit=0: give a number from 1 up"),
    ],
)
def test_a_wrong_choice_is_refused(options: dict[str, Any], sentence: str, validation: list[Record]) -> None:
    with pytest.raises(CamsbenchError, match=sentence):
        select(validation, **options)


def test_other_images_are_refused() -> None:
    with pytest.raises(CamsbenchError, match="this data has none of them; use data=ilsvrc2012"):
        select(samples(), draw=0)


def test_missing_images_are_named(validation: list[Record]) -> None:
    lost = draws.union(2, 500)[7]
    with pytest.raises(CamsbenchError, match=f"data.draw=2: 1 of its 500 images are not in the data.* {lost}; put all"):
        select([r for r in validation if r.image_id != lost], draw=2, limit=500)


def rows_of(values: dict[int, list[float]], method: str = "gradcam") -> pd.DataFrame:
    """Rows with a value for each of the first images of each draw."""
    cells = [
        {"model": "tiny", "layer": "relu", "method": method, "protocol": "rise@1", "seed": 0, "image_id": image_id}
        | {"label": 0, "drop": value, "seconds": 1.0, "degenerate": False, "error": None}
        for draw, given in values.items()
        for image_id, value in zip(draws.union(draw, len(given)), given, strict=True)
    ]
    return pd.DataFrame(cells)


def test_the_spread_of_three_draws_by_hand() -> None:
    rows = rows_of({0: [0.1, 0.3, 1.0], 1: [0.2, 0.4, 1.0], 2: [0.6, 0.6, 1.0]})
    table = spread(rows, [0, 1, 2], 2).set_index("column")  # the means of two: 0.2, 0.3, 0.6
    assert [table.loc["drop", key] for key in ("min", "median", "max")] == pytest.approx([0.2, 0.3, 0.6])
    assert table.loc["drop", "sd"] == pytest.approx(math.sqrt((0.0278 + 0.0044 + 0.0544) / 2), abs=1e-3)
    assert table.loc["drop", "method"] == "gradcam"
    assert table.loc["seconds", "sd"] == 0


def test_each_method_has_its_own_spread() -> None:
    rows = pd.concat([rows_of({0: [0.1], 1: [0.2]}), rows_of({0: [0.5], 1: [0.9]}, "scorecam")], ignore_index=True)
    table = spread(rows, [0, 1], 1).set_index(["method", "column"])
    assert table.loc[("gradcam", "drop"), "max"] == pytest.approx(0.2)
    assert table.loc[("scorecam", "drop"), "min"] == pytest.approx(0.5)


def test_a_spread_of_rows_that_lack_images_is_refused() -> None:
    rows = rows_of({0: [0.1, 0.3], 1: [0.2]})
    with pytest.raises(CamsbenchError, match="gradcam at relu has no row for 1 of the first 2 images of draw 1"):
        spread(rows, [0, 1], 2)
    with pytest.raises(CamsbenchError, match="the rows hold no image of draw 5"):
        spread(rows, [0, 5], 1)
    with pytest.raises(CamsbenchError, match="at least two different draws"):
        spread(rows, [0, 0], 1)

"""The summary split by a column: groups that fail are marked, and no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from handmade import rows
from scipy import stats

from camsbench import CamsbenchError, tables
from camsbench.store.schema import cell_types, group_column
from camsbench.tables.pairs import holm
from camsbench.tables.subgroups import Subgroups, subgroups


def of_hospitals(**cells: Any) -> pd.DataFrame:
    """Thirty images of two hospitals under two methods: the first method fails in hospital B."""
    generator = np.random.default_rng(0)
    drop = generator.uniform(0.1, 0.2, 30)
    b = np.arange(30) % 3 == 0
    parts = [rows("first", n=30, drop=np.where(b, drop + 0.4, drop)), rows("other", n=30, drop=drop)]
    return pd.concat([part.assign(**{"data.hospital": np.where(b, "B", "A"), **cells}) for part in parts])


def lines(found: Subgroups) -> dict[tuple[str, str], str]:
    keys = zip(found.summary[found.by], found.summary["method"], strict=True)
    return dict(zip(keys, found.against["drop"], strict=True))


def test_a_group_that_fails_is_marked() -> None:
    given = of_hospitals()
    found = subgroups(given, "hospital")
    assert lines(found) == {("A", "first"): "better", ("A", "other"): "", ("B", "first"): "worse", ("B", "other"): ""}
    assert list(found.summary["n"]) == [20, 20, 10, 10]
    for hospital in "AB":
        alone = tables.summarise(given[given["data.hospital"] == hospital])
        assert list(alone["drop"]) == list(found.summary.loc[found.summary["hospital"] == hospital, "drop"])
    drop = given.set_index(["method", "data.hospital"])["drop"]
    p = [stats.mannwhitneyu(drop[name, "A"], drop[name, "B"]).pvalue for name in ("first", "other")]
    assert list(found.p["drop"]) == pytest.approx(holm(p * 2))
    text = found.markdown()
    assert "By hospital. ▼ worse" in text
    assert text.count(" ▼ |") == text.count(" ▲ |") == 1


def test_groups_without_a_value_and_of_numbers() -> None:
    ages = np.arange(30) * 2.0
    found = subgroups(of_hospitals(**{"data.age": np.where(ages > 50, np.nan, ages)}), "age")
    assert list(found.summary["age"].unique()) == ["-0.001 to 12", "12 to 25", "25 to 38", "38 to 50", "none"]
    few = subgroups(of_hospitals(**{"data.view": np.arange(30) % 2.0}), "view")
    assert list(few.summary["view"].unique()) == ["0", "1"]
    flags = subgroups(of_hospitals(**{"data.male": np.arange(30) % 2 == 0}), "male")
    assert list(flags.summary["male"].unique()) == ["False", "True"]


def test_a_group_of_two_images_is_not_compared() -> None:
    found = subgroups(of_hospitals(**{"data.ward": ["x", "x"] + ["y"] * 28}), "ward")
    assert found.p["drop"].isna().all()  # nor are the 28 others, against two
    assert "▼ |" not in found.markdown()


def test_by_class_and_what_is_not_there() -> None:
    found = subgroups(of_hospitals(label=[3] * 20 + [5] * 10), "label", name=lambda index: f"class {index}")
    assert list(found.summary["label"].unique()) == ["class 3", "class 5"]
    with pytest.raises(CamsbenchError, match=r"summary\.by=ward: .* give one of label, target, hospital$"):
        subgroups(of_hospitals(), "ward")
    many = pd.concat([of_hospitals()] * 4).iloc[:101].assign(**{"data.name": [f"n{i}" for i in range(101)]})
    with pytest.raises(CamsbenchError, match="101 values, more than the 100 groups"):
        subgroups(many, "name")
    assert group_column("label", ["label"]) == "data.label"


def test_the_types_of_further_columns() -> None:
    cells: list[dict[str, Any]] = [
        {"a": 1, "b": "x", "c": 1, "d": True, "e": None},
        {"a": None, "b": None, "c": 0.5, "d": False, "e": None},
    ]
    found = {name: str(kind) for name, kind in cell_types(cells).items()}
    assert found == {"a": "int64", "b": "string", "c": "double", "d": "bool", "e": "null"}


def test_classes_of_one_name_are_two_groups_and_none_may_be_a_value() -> None:
    given = of_hospitals(label=[3] * 10 + [5] * 10 + [7] * 10)
    found = subgroups(given, "label", name=lambda index: "crane" if index < 6 else "zebra")
    assert list(found.summary["label"].unique()) == ["crane (3)", "crane (5)", "zebra"]
    ward = subgroups(of_hospitals(**{"data.ward": ["none"] * 10 + [None] * 20}), "ward")
    assert list(ward.summary["ward"].unique()) == ["none", "(none)"]
    dates = subgroups(of_hospitals(**{"data.date": np.arange(20240101, 20240131)}), "date")
    assert len(dates.summary["date"].unique()) == 4


def test_an_image_of_several_labels_counts_once_in_a_test() -> None:
    """Each image twice, once a label: the p-values are those of the images."""
    once = of_hospitals()
    twice = pd.concat([once.assign(image_id=once["image_id"] + f":{label}") for label in (0, 1)])
    assert list(subgroups(twice, "hospital").p["drop"]) == pytest.approx(list(subgroups(once, "hospital").p["drop"]))

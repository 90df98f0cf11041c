"""Between methods on the same images: tests, corrections and numbers of images, worked on paper."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from handmade import rows

from camsbench.tables.pairs import both_sides, holm, images_needed, markdown, pairs, signed_rank

NAN = float("nan")


def test_signed_rank() -> None:
    # five differences of one sign, no ties: all 2^5 signs are equally likely, 2/32
    assert signed_rank(np.array([0.1, 0.2, 0.3, 0.4, 0.5])) == pytest.approx(2 / 32)
    # of -1 and 2, 3, 4, 5 the negative ranks sum to 1: 2 · 2/32
    assert signed_rank(np.array([-1.0, 2, 3, 4, 5])) == pytest.approx(4 / 32)
    assert signed_rank(np.zeros(9)) == 1


def test_of_0_and_1_it_is_mcnemars() -> None:
    # 6 images rise under a only and 1 under b only: 2 · (1 + 7)/2^7
    assert signed_rank(np.array([1.0] * 6 + [-1.0] + [0.0] * 50)) == pytest.approx(2 * 8 / 128)


def test_holm() -> None:
    # 3 · 0.01, 2 · 0.02, then 0.03, lifted to 0.04 because no later p is smaller than an earlier
    assert holm([0.02, 0.01, 0.03]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.6, 0.5]) == pytest.approx([1, 1])
    assert holm([]) == []


def test_both_sides() -> None:
    assert both_sides(np.array([-1.0] + [1.0] * 98)) == pytest.approx(2 * 2 / 100)
    assert both_sides(np.zeros(99)) == 1
    assert both_sides(np.ones(99)) == pytest.approx(2 / 100)  # never 0


def test_images_needed() -> None:
    # (2.801585 · 0.2/0.05)² = 125.58
    assert images_needed(0.05, 0.2) == images_needed(-0.05, 0.2) == 126
    assert images_needed(0.05, 0.0) == 2
    assert images_needed(0.0, 0.2) == math.inf


def test_the_number_of_images_has_the_power_that_it_says() -> None:
    """1000 draws of that many differences: about 80 % of z-tests are significant; with a quarter of them far fewer."""
    n = int(images_needed(0.05, 0.2))
    drawn = np.random.default_rng(5).normal(0.05, 0.2, (1000, n))
    assert 0.76 < (np.abs(drawn.mean(1)) > 1.96 * 0.2 / n**0.5).mean() < 0.84
    few = drawn[:, : n // 4]
    assert (np.abs(few.mean(1)) > 1.96 * 0.2 / few.shape[1] ** 0.5).mean() < 0.4


def test_a_family_of_three_methods() -> None:
    given = pd.concat(
        [
            rows("a", n=6, drop=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
            rows("b", n=6, drop=[0.2, 0.4, 0.6, 0.8, 1.0, NAN]),  # the last image has none
            rows("c", n=6, drop=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
        ]
    )
    table = pairs(given)
    found = {(line["a"], line["b"]): line for line in table.to_dict("records")}
    above = found["b", "a"]
    assert above["n"] == 5
    assert above["difference"] == pytest.approx(0.3)  # 0.1, 0.2, 0.3, 0.4, 0.5
    assert above["mean_b"] == pytest.approx(0.3)  # of the common images
    assert above["p"] == pytest.approx(2 / 32)
    assert above["p_holm"] == pytest.approx(6 / 32)  # three pairs
    assert 0.1 <= above["low"] < 0.3 < above["high"] <= 0.5
    assert above["images_needed"] == 3  # (2.801585 · 0.15811/0.3)² = 2.18
    equal = found["a", "c"]
    assert (equal["difference"], equal["p"], equal["p_holm"], equal["images_needed"]) == (0, 1, 1, math.inf)
    assert [line["neighbours"] for line in found.values()] == [False, True, True]  # a < c < b by their own means
    page = markdown(table)
    assert "∞" in page
    assert len(page.splitlines()) == 2 + 2


def test_adcc_of_the_means_and_of_the_images() -> None:
    given = pd.concat(
        [
            rows("a", n=40, drop=0.5, coherency=0.5, complexity=0.5, adcc=0.5),
            rows("b", n=40, drop=0.5, coherency=[0.5, 0.9] * 20, complexity=0.5, adcc=0.5),
        ]
    )
    found = {line["column"]: line for line in pairs(given).to_dict("records")}
    assert list(found) == ["drop", "coherency", "complexity", "adcc_mean", "adcc"]
    assert found["adcc"]["a"] == "b"
    assert found["adcc"]["difference"] == pytest.approx(3 / (1 / 0.7 + 2 + 2) - 0.5)
    assert found["adcc"]["p"] == pytest.approx(2 / 2001)  # no resample lies on the other side
    assert found["adcc_mean"]["p"] == 1


def test_families_do_not_mix() -> None:
    """Another protocol, network or layer is another family, and rows with an error do not count."""
    given = pd.concat([rows("a", drop=[0.1, 0.2, 0.3, 0.4]), rows("b", drop=[0.2, 0.4, 0.6, 0.8])])
    other = given.assign(protocol="byun@1")
    broken = given.assign(model="resnet50")
    broken.loc[broken["image_id"] == "image3", "error"] = "broken"
    table = pairs(pd.concat([given, other, broken]), ["drop"])
    assert list(zip(table["model"], table["protocol"], table["n"], strict=True)) == [
        ("vgg16", "poppi@1", 4), ("vgg16", "byun@1", 4), ("resnet50", "poppi@1", 3)]  # fmt: skip
    assert (table["p_holm"] == table["p"]).all()
    assert "| vgg16 " in markdown(table)
    assert pairs(rows("a", drop=0.5)).empty

"""The bootstrap and its statistics, by numbers worked on paper and by what an interval promises."""

from __future__ import annotations

import numpy as np
import pytest

from camsbench.metrics.adcc import harmonic
from camsbench.tables import bootstrap
from camsbench.tables.bootstrap import Array, Interval
from camsbench.tables.published import PrintedNumber
from camsbench.tables.verdict import AGREES, DIFFERS, IMPOSSIBLE, INCOMPARABLE, UNMEASURED, UNPUBLISHED, judge

NAN = float("nan")
DRAWN = np.array([[1.0, 1, 1, 1], [2, 0, 2, 0], [0, 0, 0, 4]])  # three draws of four images


def test_mean_leaves_out_images_without_a_value() -> None:
    mean = bootstrap.mean(np.array([0.2, 0.4, NAN, 0.9]))
    assert mean(DRAWN) == pytest.approx([0.5, 0.2, 0.9])
    assert np.isnan(mean(np.array([[0.0, 0, 4, 0]])))


def test_median_is_that_of_the_drawn_images() -> None:
    values = np.array([3.0, 1.0, 7.0, 2.0])
    assert bootstrap.median(values)(DRAWN) == pytest.approx([2.5, 5.0, 2.0])
    rng = np.random.default_rng(1)
    values, (weights,) = rng.random(31), bootstrap.draw_resamples(31, seed=3, resamples=50)
    plain = [np.median(np.repeat(values, line.astype(int))) for line in weights]
    assert bootstrap.median(values)(weights) == pytest.approx(plain)
    with_gap = np.append(values, NAN)
    assert bootstrap.median(with_gap)(np.column_stack([weights, np.ones(50)])) == pytest.approx(plain)


def test_class_mean_weighs_classes_and_not_images() -> None:
    values, labels = np.array([1.0, 1.0, 0.0, 0.0]), np.array([5, 5, 5, 9])
    class_mean = bootstrap.class_mean(values, labels)
    # (2/3 + 0)/2; then class 5 alone: (1 + 1 + 0 + 0)/4; then class 9 alone
    assert class_mean(DRAWN) == pytest.approx([1 / 3, 0.5, 0.0])
    assert bootstrap.mean(values)(DRAWN)[0] == pytest.approx(0.5)
    gap = bootstrap.class_mean(np.array([1.0, NAN, 0.0, NAN]), labels)
    assert gap(DRAWN)[0] == pytest.approx(0.5)


def test_adcc_is_the_harmonic_mean_of_the_means() -> None:
    drop, coherency, complexity = np.array([0.0, 0.5]), np.array([1.0, 0.5]), np.array([0.5, 0.5])
    adcc = bootstrap.of_means((drop, coherency, complexity), harmonic)
    # means 0.25, 0.75, 0.5: 3/(4/3 + 2 + 4/3); the second image alone: 3/(2 + 2 + 2); all lost: 0
    assert adcc(np.array([[1.0, 1], [0, 2]])) == pytest.approx([3 / (14 / 3), 0.5])
    assert bootstrap.of_means((np.ones(2), coherency, complexity), harmonic)(np.ones((1, 2))) == [0]


def test_ratio_and_rate_of_times() -> None:
    slow, fast = np.array([0.2, 0.4, 0.6, 9.0]), np.array([0.1, 0.1, 0.1, NAN])
    assert bootstrap.ratio(slow, fast)(DRAWN) == pytest.approx([4.0, 4.0, NAN], nan_ok=True)
    assert bootstrap.rate(slow)(DRAWN)[0] == pytest.approx(2.0)
    assert bootstrap.scale(bootstrap.median(slow), 1000)(DRAWN)[0] == pytest.approx(500)


def test_resamples_are_multinomial_and_seeded() -> None:
    blocks = list(bootstrap.draw_resamples(3_000_000, seed=0, resamples=2))  # a block a line: nothing is held at once
    assert [block.shape for block in blocks] == [(1, 3_000_000)] * 2
    (once,), (again,), (other,) = (list(bootstrap.draw_resamples(7, seed, 100)) for seed in (4, 4, 5))
    assert (once == again).all()
    assert (once != other).any()
    assert (once.sum(1) == 7).all()
    assert once.mean() == pytest.approx(1)


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """300 samples of 50 images of an exponential with mean 1: 95 % intervals hold 1 in 90 to 97 % of them, and 50 %
    intervals in 43 to 57 %; the standard error is the sample's own."""
    rng = np.random.default_rng(11)
    hits = {0.95: 0, 0.5: 0}
    for seed in range(300):
        values = rng.exponential(size=50)
        for level in hits:
            (interval,) = bootstrap.intervals([bootstrap.mean(values)], 50, seed, resamples=400, level=level)
            hits[level] += interval.low <= 1 <= interval.high
        assert interval.error == pytest.approx(values.std() / 50**0.5, rel=0.15)
    assert 0.90 <= hits[0.95] / 300 <= 0.97
    assert 0.43 <= hits[0.5] / 300 <= 0.57


@pytest.mark.parametrize(
    ("text", "interval", "n", "incomparable", "impossible", "word"),
    [
        ("15.21", Interval(15.0, 14.8, 15.3), 20, None, None, AGREES),
        ("15.21", Interval(15.0, 14.8, 15.206), 20, None, None, AGREES),  # 15.206 is printed so
        ("15.21", Interval(15.0, 14.8, 15.204), 20, None, None, DIFFERS),
        ("15.2", Interval(15.0, 14.8, 15.16), 20, None, None, AGREES),  # fewer decimals hide more
        ("15.21", Interval(15.0, 14.8, 15.3), 20, "other images", None, INCOMPARABLE),
        ("15.21", Interval(15.0, 14.8, 15.3), 20, "other images", "1/300", IMPOSSIBLE),
        ("15.21", None, 0, None, "1/300", IMPOSSIBLE),
        ("15.21", None, 0, "other images", None, UNMEASURED),
        ("15.21", Interval(NAN, NAN, NAN), 0, None, None, UNMEASURED),
        ("15.21", Interval(15.21, 15.21, 15.21), 1, None, None, INCOMPARABLE),
        (None, Interval(15.0, 14.8, 15.3), 20, None, None, UNPUBLISHED),
    ],
)
def test_verdicts(
    text: str | None, interval: Interval | None, n: int, incomparable: str | None, impossible: str | None, word: str
) -> None:
    verdict = judge(PrintedNumber(text) if text else None, interval, n, incomparable, impossible)
    assert verdict.word == word
    if word in (INCOMPARABLE, IMPOSSIBLE):
        assert verdict.reason


def test_an_impossible_number_still_says_where_it_lies() -> None:
    inside = judge(PrintedNumber("22.3"), Interval(22.0, 21.0, 23.0), 500, None, "no multiple of 1/500")
    outside = judge(PrintedNumber("22.3"), Interval(12.0, 11.0, 13.0), 500, None, "no multiple of 1/500")
    assert inside.reason == "no multiple of 1/500; it lies inside the measured interval"
    assert outside.reason == "no multiple of 1/500; it lies outside the measured interval"


def test_the_common_product_of_means_is_the_plain_loop() -> None:
    random = np.random.default_rng(3)
    drop, coherency, complexity, sparse = random.random((4, 30))
    sparse[random.random(30) < 0.7] = np.nan
    statistics = [
        bootstrap.mean(drop),
        bootstrap.mean(sparse),
        bootstrap.scale(bootstrap.of_means((drop, coherency, complexity), harmonic), 100),
        bootstrap.difference(bootstrap.mean(drop), bootstrap.of_means((coherency, drop, complexity), harmonic)),
        bootstrap.median(drop),
    ]
    drawn = bootstrap.replicates(statistics, 30, seed=5, resamples=40)

    def adcc(drops: Array, coherencies: Array, complexities: Array) -> float:
        return 3 / (1 / coherencies.mean() + 1 / (1 - complexities.mean()) + 1 / (1 - drops.mean()))

    (weights,) = bootstrap.draw_resamples(30, 5, 40)
    for line, found in zip(weights, drawn, strict=True):
        chosen = np.repeat(np.arange(30), line.astype(int))
        d, c, x = drop[chosen], coherency[chosen], complexity[chosen]
        known = sparse[chosen][np.isfinite(sparse[chosen])]
        expected = [d.mean(), known.mean(), 100 * adcc(d, c, x), d.mean() - adcc(c, d, x), np.median(d)]
        np.testing.assert_allclose(found, expected, rtol=1e-12)

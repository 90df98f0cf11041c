"""Which metric can be trusted: hand-worked cases, peers, and simulated rows whose answers are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import krippendorff
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from camsbench.core.columns import Column
from camsbench.tables import bootstrap
from camsbench.tables.jackknife import delete_blocks, jackknife
from camsbench.tables.reliability.agreement import alpha, mean_tau, tau
from camsbench.tables.reliability.choices import difference, moved
from camsbench.tables.reliability.generalisability import coefficient, variance_ratio
from camsbench.tables.reliability.metric import Reliability, reliability
from camsbench.tables.reliability.ranking import Ranking, friedman, orders, ranking
from camsbench.tables.reliability.scores import Scores, Setting, scores_of
from camsbench.tables.reliability.text import explained, letters_of, markdown

Array = np.ndarray
Values = Sequence[float] | Array
HIGHER = Column("quality", "higher")
HERE = Setting("net", "rise", "layer4")


def scores(values: Sequence[Sequence[float]] | Array, column: Column = HIGHER, **controls: Values) -> Scores:
    made = np.asarray(values, float)
    methods = tuple("abcdefghij"[: made.shape[1]])
    images = tuple(map(str, range(len(made))))
    return Scores(HERE, column, methods, images, made, {name: np.asarray(v, float) for name, v in controls.items()})


def rows_of(values: Mapping[str, Mapping[str, Values]]) -> pd.DataFrame:
    """Rows of a run: by method, by column, the values of its images."""
    frames = []
    for method, columns in values.items():
        frame = pd.DataFrame({name: np.asarray(v, float) for name, v in columns.items()})
        frame["image_id"] = [str(i) for i in range(len(frame))]
        known = {"model": "net", "protocol": "rise", "layer": "layer4", "error": None, "label": 0, "degenerate": False}
        frames.append(frame.assign(method=method, **known))
    return pd.concat(frames, ignore_index=True)


def value(statistic: bootstrap.Statistic, n: int) -> float:
    return float(statistic(np.ones((1, n)))[0])


# Krippendorff's α


def test_alpha_by_hand() -> None:
    """Two images that order two methods contrarily: each method is rated once 1 and once 2. All n = 4 coincidences are
    of unlike ratings, by chance 2·2·2/(4 − 1) = 8/3 would be: α = 1 − 4/(8/3)."""
    assert value(alpha(scores([[1, 2], [2, 1]])), 2) == pytest.approx(-0.5)
    assert value(alpha(scores([[1, 2], [1, 3], [0, 9]])), 3) == 1
    assert np.isnan(value(alpha(scores([[1, 1], [2, 2]])), 2))


def test_alpha_is_that_of_the_ranks_table() -> None:
    values = np.random.default_rng(0).normal(size=(7, 4)).round(1)  # with ties
    one = scores(values)
    expected = krippendorff.alpha(reliability_data=stats.rankdata(-values, axis=1), level_of_measurement="ordinal")
    assert value(alpha(one), 7) == pytest.approx(float(expected))
    weights = np.array([[2.0, 0, 1, 1, 1, 1, 1]])
    drawn = stats.rankdata(-values[[0, 0, 2, 3, 4, 5, 6]], axis=1)
    expected = krippendorff.alpha(reliability_data=drawn, level_of_measurement="ordinal")
    assert alpha(one)(weights)[0] == pytest.approx(float(expected))


def test_alpha_of_a_metric_that_is_better_when_lower_is_the_same() -> None:
    values = np.random.default_rng(1).normal(size=(20, 3))
    frame = {m: {"drop": values[:, i], "insertion": -values[:, i]} for i, m in enumerate("abc")}
    first, second = reliability(rows_of(frame))
    assert [first.scores.column.name, second.scores.column.name] == ["drop", "insertion"]
    assert first.alpha == second.alpha
    assert first.ranking.methods == second.ranking.methods
    assert first.ranking.means.tolist() == pytest.approx((-second.ranking.means).tolist())


# Generalisability


def test_components_by_hand() -> None:
    """Means of methods 2 and 4, of images 2, 4; grand 3. SS_m = 2·(1 + 1) = 4, SS_res: residuals ±1: 4.
    MS_m = 4, MS_res = 4/(1·1) = 4: nothing is left for methods. With residuals 0.5: SS_res 1, σ²_m = (4 − 1)/2."""
    x = np.array([[1.0, 3], [3, 5]])
    noise = np.array([[1.0, -1], [-1, 1]])
    assert value(variance_ratio(scores(x + noise)), 2) == 0
    ratio = value(variance_ratio(scores(x + noise / 2)), 2)
    assert ratio == pytest.approx(1.5)
    of = bootstrap.Interval(ratio, 0.5, 2.5)
    assert coefficient(of, 2).value == pytest.approx(1.5 / 2)
    assert coefficient(of, 2).low == pytest.approx(0.5)
    below = coefficient(bootstrap.Interval(-1, -2, 0.5), 2)
    assert (below.value, below.low, below.high) == (0, 0, 0.5)


def test_components_do_not_see_an_image_s_own_level() -> None:
    generator = np.random.default_rng(2)
    values = generator.normal(size=(30, 4))
    level = 100 * generator.normal(size=(30, 1))
    assert value(variance_ratio(scores(values + level)), 30) == pytest.approx(value(variance_ratio(scores(values)), 30))


def test_components_of_images_that_leave_no_residual_are_none() -> None:
    assert np.isnan(value(variance_ratio(scores([[1, 2], [3, 4], [7, 8]])), 3))


# Two metrics


def test_tau_by_hand() -> None:
    """Four methods, one pair exchanged: five of six pairs agree, τ = (5 − 1)/6."""
    generator = np.random.default_rng(3)
    noise = 1e-3 * generator.normal(size=(50, 4))
    first, second = scores(np.array([4.0, 3, 2, 1]) + noise), scores(np.array([4.0, 2, 3, 1]) + noise)
    found = tau(first, second)
    assert found.value == found.low == found.high == pytest.approx(4 / 6)
    assert mean_tau(first, [second, first]).value == pytest.approx((4 / 6 + 1) / 2)
    assert np.isnan(mean_tau(first, []).value)
    assert np.isnan(tau(first, scores(np.ones((50, 4)))).value)


def test_tau_counts_a_pair_that_nobody_can_tell_apart_both_ways() -> None:
    generator = np.random.default_rng(4)
    noise = generator.normal(size=(50, 3))
    near = scores(np.array([4.0, 1e-6, 0]) + noise)
    found = tau(near, near)
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(1 / 3)


# Ranking


def test_a_ranking_by_hand() -> None:
    """Of images 0 and 1: a beats b on one and b a on the other; c is last. a's mean is 3, b's 2.5."""
    one = scores([[4, 2, 1], [2, 3, 0]])
    drawn = np.array([[3.0, 2.5, 0.5], [4, 2, 1], [2, 3, 0], [2.5, 2.5, 0]])
    found = ranking(one, drawn)
    assert found.methods == ("a", "b", "c")
    assert found.means.tolist() == [3, 2.5, 0.5]
    assert found.best.tolist() == [2.5 / 4, 1.5 / 4, 0]
    assert found.mean_ranks.tolist() == [1.5, 1.5, 3]
    assert (found.low.tolist(), found.high.tolist()) == ([1, 1, 1], [3, 3, 3])  # two images tell nothing


def test_friedman_and_nemenyi_are_demsar_s() -> None:
    """Demšar 2006, table 6: four algorithms on 14 data sets. Mean ranks, χ²_F = 9.28 (without the correction for ties
    that Friedman's test has here) and the critical difference 2.569·√(4·5/(6·14)) = 1.25 are as he prints them."""
    tree = [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.0, 0.940, 0.619, 0.972, 0.957]
    m = [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.0, 0.962, 0.666, 0.981, 0.978]
    cf = [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.0, 0.965, 0.614, 0.9751, 0.946]
    both = [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.0, 0.962, 0.669, 0.975, 0.970]
    values = np.array([tree, m, cf, both]).T
    p, critical = friedman(values)
    assert critical == pytest.approx(1.25, abs=0.005)
    ranks = scores(values).ranks.mean(0)
    assert ranks.tolist() == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=0.001)
    uncorrected = 12 * 14 / (4 * 5) * ((ranks**2).sum() - 4 * 5**2 / 4)
    assert uncorrected == pytest.approx(9.28, abs=0.01)
    assert p < stats.chi2.sf(uncorrected, 3)


def ranked(p: float, *mean_ranks: float) -> Ranking:
    """A ranking of a, b, … with a critical difference of 1."""
    none = np.zeros(len(mean_ranks))
    return Ranking(tuple("abcd"[: len(mean_ranks)]), none, none, none, none, np.array(mean_ranks), p, 1.0)


def test_letters_tell_groups_apart() -> None:
    """a and b, b and c are nearer than the critical difference, d is alone; without a difference all are one group."""
    found = ranked(0.001, 1, 1.4, 2.2, 4)
    assert found.alike == [("a", "b"), ("b", "c")]
    assert letters_of(found) == {"a": "a", "b": "ab", "c": "b", "d": "c"}
    assert ranked(0.4, 1.4, 1.6).alike == []
    assert letters_of(ranked(0.4, 1.4, 1.6)) == {"a": "a", "b": "a"}


def test_orders_are_surely_right_or_open() -> None:
    generator = np.random.default_rng(5)
    one = scores(np.array([5.0, 0.01, 0]) + generator.normal(size=(30, 3)))
    assert orders(one).tolist() == [[0, 1, 1], [-1, 0, 0], [-1, 0, 0]]
    assert not orders(scores([[9, 1, 0]])).any()


# Controls


def test_controls_by_hand() -> None:
    """Two methods against one control on three images: beaten, beaten, tied and lost, and one without a value."""
    frame = {
        "a": {"insertion": [0.9, 0.8, 0.2, 0.5]},
        "b": {"insertion": [0.7, 0.5, 0.1, 0.5]},
        "fakecam": {"insertion": [0.1, 0.5, 0.2, np.nan]},
    }
    (found,) = reliability(rows_of(frame), controls=["fakecam"])
    assert found.scores.methods == ("a", "b")
    assert found.controls["fakecam"].value == pytest.approx((1 + 1 + 1 + 0.5 + 0.5 + 0) / 6)


# Simulated rows with known answers


EFFECTS = np.array([0.0, 0.05, 0.3, 0.6, 1.0])
RUNS = 200


def simulated(seed: int, n: int = 100, effects: Array = EFFECTS, noise: float = 1.0) -> Scores:
    """Values = image + method + noise: σ²_m is the effects' variance, σ²_res the noise's."""
    generator = np.random.default_rng(seed)
    image = 2 * generator.normal(size=(n, 1))
    return scores(effects + image + noise * generator.normal(size=(n, len(effects))))


def covered(intervals: Sequence[bootstrap.Interval], truth: float) -> float:
    return float(np.mean([i.low <= truth <= i.high for i in intervals]))


def test_alpha_and_g_are_recovered_within_their_intervals() -> None:
    many = simulated(10**6, n=100_000)
    true_alpha = value(alpha(many), 100_000)
    true_ratio = EFFECTS.var(ddof=1)
    assert 0.1 < true_alpha < 0.3
    found = [simulated(seed) for seed in range(RUNS)]
    left = delete_blocks(100, 0)
    alphas = [jackknife(alpha(one), 100, left) for one in found]
    ratios = [jackknife(variance_ratio(one), 100, left) for one in found]
    assert 0.91 <= covered(alphas, true_alpha) <= 0.99
    assert 0.91 <= covered([coefficient(r, 100) for r in ratios], true_ratio / (true_ratio + 0.01)) <= 0.99
    assert np.mean([a.value for a in alphas]) == pytest.approx(true_alpha, abs=0.01)
    assert np.mean([r.value for r in ratios]) == pytest.approx(true_ratio, rel=0.05)


def test_tau_and_ranks_are_recovered_within_their_intervals() -> None:
    """The orders of two metrics of which one exchanges the second and the third method: τ = 8/10."""
    other = EFFECTS[[0, 2, 1, 3, 4]]
    within, ranks = [], []
    for seed in range(RUNS):
        first, second = simulated(seed), simulated(RUNS + seed, effects=other)
        found = tau(first, second)
        within.append(found.low <= 0.8 <= found.high)
        made = ranking(first, first.values)
        true = [5 - "abcde".index(method) for method in made.methods]
        ranks.append(bool((made.low <= true).all() and (true <= made.high).all()))
    assert np.mean(within) >= 0.95
    assert np.mean(ranks) >= 0.95
    sure = simulated(0, n=20_000)
    assert (ranking(sure, sure.values).low == ranking(sure, sure.values).high).all()  # enough images close them


def test_p_best_is_the_chance_of_being_the_best() -> None:
    """Of methods whose true means are drawn as widely as the noise of their means: where P(best) says p, the method is
    truly the best in a share p of the simulations."""
    said, true = [], []
    for seed in range(400):
        effects = np.random.default_rng(10**7 + seed).normal(size=3)
        one = simulated(seed, n=50, effects=effects, noise=2.0)
        drawn = bootstrap.replicates([bootstrap.mean(v) for v in one.by_method], 50, seed, 400)
        found = ranking(one, drawn)
        said += found.best.tolist()
        true += [method == "abc"[int(effects.argmax())] for method in found.methods]
    chance, best = np.array(said), np.array(true)
    for low, high in ((0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.01)):
        chosen = (low <= chance) & (chance < high)
        error = np.sqrt(0.25 / chosen.sum())
        assert abs(chance[chosen].mean() - best[chosen].mean()) < 3 * error


# Rows, settings, the page


def test_methods_and_images_that_are_ranked() -> None:
    """A method with a limit of its own is left out, a time is no quality, and an image that one method lacks is."""
    frame: dict[str, dict[str, list[float]]] = {
        "a": {"drop": [0.1, 0.2, np.nan], "seconds": [1, 1, 1], "time_seconds": [1, 1, 1]},
        "b": {"drop": [0.3, 0.1, 0.5], "seconds": [1, 1, 1], "time_seconds": [1, 1, 1]},
        "c": {"drop": [0.3], "seconds": [1], "time_seconds": [1]},
    }
    (found,) = scores_of(rows_of(frame))
    assert found.methods == ("a", "b")
    assert (found.images, found.left_out) == (("0", "1"), 1)
    assert found.values.tolist() == [[-0.1, -0.3], [-0.2, -0.1]]
    assert scores_of(rows_of({"a": frame["a"]})) == []
    said = markdown(reliability(rows_of(frame)))
    assert "Not ranked, as they explained fewer images than the others: c." in said
    assert "not all methods have a value of them: Drop 1." in said


def test_choices_that_move_an_order() -> None:
    """Three settings: another number of steps turns nothing, another protocol (whose steps are its own) all."""
    generator = np.random.default_rng(6)
    up = scores(np.array([3.0, 2, 1]) + generator.normal(size=(40, 3)) / 10)
    down = scores(np.array([1.0, 2, 3]) + generator.normal(size=(40, 3)) / 10)
    settings = [
        ({"protocol": "rise", "insertion.steps": "14"}, up),
        ({"protocol": "rise", "insertion.steps": "28"}, up),
        ({"protocol": "poppi", "insertion.steps": "8"}, down),
    ]
    assert difference(settings[0][0], settings[2][0]) == ["protocol"]
    steps, protocol = moved(settings)
    assert (steps.choice, steps.pairs, steps.mean, steps.reversed) == ("insertion.steps", 1, 1, 0)
    assert (protocol.choice, protocol.pairs, protocol.mean, protocol.reversed) == ("protocol", 2, -1, 1)
    assert set(protocol.between) == {"rise", "poppi"}


def test_the_page_says_all_of_it() -> None:
    generator = np.random.default_rng(7)
    effects = dict(zip(["gradcam", "reciprocam", "abscam", "fakecam"], [0.5, 0.6, 0.1, 0.9], strict=True))
    frame = {
        m: {"drop": e + generator.normal(size=60) / 5, "adcc": e + generator.normal(size=60)}
        for m, e in effects.items()
    }
    found: list[Reliability] = reliability(rows_of(frame), controls=["fakecam"])
    text = markdown(found) + explained([])
    for said in ("beats fakecam", "Krippendorff", "abscam", "1 to 1"):
        assert said in text
    assert "fakecam |" not in text.split("## Rankings")[1].split("- **")[0]


def test_one_image_gives_no_interval() -> None:
    (found,) = reliability(rows_of({"a": {"drop": [0.1]}, "b": {"drop": [0.2]}}))
    assert np.isnan([found.alpha.value, found.generalisability[100].value]).all()
    assert found.ranking.best.tolist() == [1, 0]


def test_a_column_that_tables_reduce_otherwise_is_called_by_the_image() -> None:
    """ADCC's first number is of the means: what is ranked here is the mean over images."""
    generator = np.random.default_rng(8)
    (found,) = scores_of(rows_of({m: {"adcc": generator.random(5)} for m in "ab"}))
    assert found.label == "ADCC/image"

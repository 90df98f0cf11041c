"""The metrics that peers have beside the papers': on paper, against their implementations, and their contract."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import quantus
import torch
from captum.metrics import infidelity as captum_infidelity
from captum.metrics import sensitivity_max
from given import TARGET, Given, Turns, on_images, on_paper
from pytorch_grad_cam.metrics.perturbation_confidence import (
    PerturbationConfidenceMetric,
    RemoveLeastRelevantFirst,
    RemoveMostRelevantFirst,
)
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget
from torch import Tensor

from camsbench.config.compose import compose_config
from camsbench.config.instantiate import make_metrics
from camsbench.core import scoring
from camsbench.core.columns import columns_of
from camsbench.core.explained import Explained, Metric, explain, measure
from camsbench.core.passes import MicroBatch
from camsbench.methods.rise import RISE
from camsbench.metrics._imputation import TOLERANCE, impute_linearly
from camsbench.metrics._ranking import pixel_rank
from camsbench.metrics.arcc import ARCC
from camsbench.metrics.curves import Curve
from camsbench.metrics.drop import AverageGain
from camsbench.metrics.infidelity import Infidelity, infidelity
from camsbench.metrics.irof import IROF
from camsbench.metrics.mas import MAS
from camsbench.metrics.mufidelity import MuFidelity
from camsbench.metrics.road import ROAD
from camsbench.metrics.sensitivity import MaxSensitivity, nudged
from camsbench.metrics.sensitivity_n import SensitivityN
from camsbench.metrics.sparseness import Entropy, Sparseness
from camsbench.metrics.stability import RelativeStability
from camsbench.models.split import TorchSplit

NUMPY_2 = pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # grad-cam's imputer
REDUCED: list[Metric] = [
    ROAD(percentiles=[80, 90]),
    Infidelity(n=5),
    Infidelity("noisy_baseline", n=3),
    Infidelity("gaussian", n=3),
    MaxSensitivity(n=2),
    Sparseness(),
    Entropy(),
    AverageGain(),
    ARCC(percentiles=[80]),
    MAS(Curve(6, substrate="rise_blur"), Curve(6)),
    IROF(8),
    MuFidelity(n=12),
    MuFidelity(None, n=12, correlation="pearson", probability=False),
    MuFidelity(n=12, draw="each"),
    SensitivityN(sizes=3, subsets=8),
    RelativeStability(n=2, radius=1e-3),  # which changes no class
    RelativeStability(n=2, radius=1e-3, change="norm"),
]
STILL = (Sparseness, Entropy, AverageGain, MAS, IROF)  # they draw nothing


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


# --- on paper -------------------------------------------------------------------------------------------------------


def test_sparseness_and_entropy(tiny: TorchSplit, tiny_x: Tensor) -> None:
    subject = on_paper(tiny, tiny_x, Given((4.0, 0.0, 1.0, 2.0)))  # saliency 0, 1/4, 1/2, 1 in ascending order
    # (−3·0 − 1·1/4 + 1·1/2 + 3·1) / (4 · 7/4) = 3.25/7
    assert Sparseness()(subject)["sparseness"].item() == pytest.approx(0.4642857)
    # P = 1/7, 2/7, 4/7: ln 7 − (2/7) ln 2 − (4/7) ln 4 = ln 7 − (10/7) ln 2
    assert Entropy()(subject)["entropy"].item() == pytest.approx(0.9556997, abs=1e-6)
    single = on_paper(tiny, tiny_x, Given((0.0, 0.0, 1.0, 0.0)))
    assert Sparseness()(single)["sparseness"].item() == pytest.approx(0.75)  # 1 − 1/4
    assert Entropy()(single)["entropy"].item() == 0


def test_a_map_of_zeros_has_neither_sparseness_nor_entropy_nor_sensitivity(tiny: TorchSplit, tiny_x: Tensor) -> None:
    flat = on_paper(tiny, tiny_x, Given((1.0, 1.0, 1.0, 1.0)))
    columns, _ = measure([Sparseness(), Entropy(), MaxSensitivity(n=1)], flat)
    assert all(values.isnan().all() for values in columns.values())


def test_road(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """p_0 = σ((ΣA0/2 − 3·ΣA1)/4) with A0 = c0 = 1 2 3 4 and A1 = 2·c1 = 0 2 0 2.

    At 50 the pixels 0 and 1 go first. With weights 1/6 beside, 1/12 across: 5·u0 = 2·u1 + 2·3 + 4 and
    5·u1 = 2·u0 + 2·4 + 3 in c0, so u0 = 24/7, u1 = 25/7, sum of c0 = 14; in c1 u0 = 3/7, u1 = 4/7, sum 2.
    Pixels 2 and 3 go last: c0 becomes 1, 2, 10/7, 11/7, sum 6; the sum of c1 is 2 again.
    """
    subject = on_paper(tiny, tiny_x, Given((0.9, 0.8, 0.1, 0.2)))
    columns, curves = measure([ROAD(percentiles=[50], noise=0)], subject)
    before = sigmoid((10 / 2 - 3 * 4) / 4)
    morf, lerf = sigmoid((14 / 2 - 3 * 4) / 4), sigmoid((6 / 2 - 3 * 4) / 4)
    assert columns["road_morf"].item() == pytest.approx(morf - before, abs=1e-6)
    assert columns["road_lerf"].item() == pytest.approx(lerf - before, abs=1e-6)
    assert columns["road"].item() == pytest.approx((lerf - morf) / 2, abs=1e-6)
    assert curves["road_morf_curve"].tolist() == [[pytest.approx(morf, abs=1e-6)]]
    assert curves["road_lerf_curve"].tolist() == [[pytest.approx(lerf, abs=1e-6)]]


def test_road_removes_exactly_the_share_or_all_ties_at_once(tiny: TorchSplit, tiny_x: Tensor) -> None:
    subject = on_paper(tiny, tiny_x, Given((1.0, 1.0, 0.0, 1.0)))
    # 75: a quarter of the pixels, so of the three ones the first
    order, limit = ROAD([75])._order(subject.saliency)
    assert (order >= limit[..., None]).flatten(2).tolist() == [
        [[True, False, False, False], [False, False, True, False]]
    ]
    # the three ones go together; 1 − saliency at 75 lies between 0 and 1 at 0.25: pixel 2 alone
    order, limit = ROAD([75], ties="threshold")._order(subject.saliency)
    assert (order >= limit[..., None]).flatten(2).tolist() == [[[True, True, False, True], [False, False, True, False]]]
    # at 25 the least relevant rule takes every pixel, since 1 − saliency is 0 there: nothing is left to impute from
    columns, _ = measure([ROAD([25], ties="threshold")], subject)
    assert columns["road_lerf"].isnan().all()
    assert columns["road_morf"].isfinite().all()
    assert columns["road"].isnan().all()


def test_infidelity_of_known_samples() -> None:
    predicted, lost = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[2.0, 2.0], [1.0, 3.0]])
    # (1 − 2)² and (2 − 2)²; with nothing predicted, (1 + 9)/2
    assert infidelity(predicted, lost, scale=False).tolist() == [0.5, 5.0]
    # β = (1·2 + 2·2)/(1 + 4) = 1.2: ((1.2 − 2)² + (2.4 − 2)²)/2
    assert infidelity(predicted, lost, scale=True).tolist() == pytest.approx([0.4, 5.0])


def test_infidelity_of_a_square_as_large_as_the_image(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """The whole image turns to 0, where p_0 = 1/2; the map sums to 2 a colour."""
    subject = on_paper(tiny, tiny_x, Given((0.0, 1.0, 0.0, 1.0)))
    lost = sigmoid(-1.75) - 0.5
    whole = Infidelity(n=3, smallest=1, largest=1)
    assert whole(subject)["infidelity"].item() == pytest.approx(0, abs=1e-9)  # β explains one value perfectly
    unscaled = replace(whole, scale=False)(subject)["infidelity"].item()
    assert unscaled == pytest.approx((3 * 2 - lost) ** 2)
    on_logits = replace(whole, scale=False, probability=False)(subject)["infidelity"].item()
    assert on_logits == pytest.approx((6 - (10 / 4 - 4 / 4)) ** 2)  # logit 0: mean of A0 − mean of A1, at 0: 0


def test_squares_lie_inside_the_image_and_take_every_side(full_lite0: TorchSplit, full_images: Tensor) -> None:
    forward = on_images(full_lite0, full_images[:2]).forward
    image, copy = torch.arange(2).repeat_interleave(100), torch.arange(100).repeat(2)
    changed, I = Infidelity(n=100).change(forward)(image, copy)  # noqa: E741
    side = I[:, 0].amax(2).sum(1)
    assert torch.equal(side.square(), I[:, 0].sum((1, 2)))  # as wide as high, and whole
    assert 8 <= side.min() < 16
    assert 72 < side.max() <= 80
    assert torch.equal(changed, forward.x[image] * (1 - I))
    assert not torch.equal(I[:100], I[100:])  # each image has its own


def test_max_sensitivity(tiny: TorchSplit, tiny_x: Tensor) -> None:
    left, right = Given((1.0, 0.0, 1.0, 0.0)), Given((0.0, 1.0, 0.0, 1.0))
    turning = on_paper(tiny, tiny_x, Turns(tiny_x, left, right))
    assert MaxSensitivity(n=2)(turning)["max_sensitivity"].item() == pytest.approx(math.sqrt(2))  # √4 / √2
    assert MaxSensitivity(n=2)(on_paper(tiny, tiny_x, left))["max_sensitivity"].item() == 0


def test_nudged_images_stay_in_the_ball_and_differ(lite0: TorchSplit, images: Tensor) -> None:
    forward = on_images(lite0, images[:2]).forward
    first, second = (nudged(forward, "max_sensitivity", copy, 0.5) - forward.x for copy in range(2))
    for noise in (first, second):
        assert 0.49 < noise.abs().amax((1, 2, 3)).min() <= noise.abs().max() <= 0.5001
        assert noise.mean().abs() < 0.01
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_a_method_s_own_randomness_counts_as_sensitivity(lite0: TorchSplit, images: Tensor) -> None:
    """RISE with few masks is another map at each call: nearly no radius, and yet far."""
    subject = on_images(lite0, images[:1], RISE(n=8))
    assert MaxSensitivity(n=1, radius=1e-6)(subject)["max_sensitivity"].item() > 0.1
    still = on_images(lite0, images[:1])
    assert MaxSensitivity(n=1, radius=1e-6)(still)["max_sensitivity"].item() < 1e-3


# --- imputation -----------------------------------------------------------------------------------------------------


@NUMPY_2
def test_linear_imputation_solves_the_sparse_system(full_lite0: TorchSplit, full_images: Tensor) -> None:
    """Against grad-cam's sparse factorisation: blobs, scattered pixels, and one pixel that fills a whole image."""
    rank = pixel_rank(on_images(full_lite0, full_images[:2]).saliency)
    scattered = torch.rand(1, 1, 224, 224, generator=torch.Generator().manual_seed(0)) > 0.3
    alone = torch.ones(1, 1, 224, 224, dtype=torch.bool)
    alone[..., 100, 7] = False
    cases = [(0, rank[:1] < 0.5 * 224**2), (1, rank[1:] >= 0.6 * 224**2), (0, scattered)]
    x = torch.cat([full_images[i : i + 1] for i, _ in cases])
    removed = torch.cat([mask for _, mask in cases])
    filled = impute_linearly(x, removed)
    exact = torch.stack([NoisyLinearImputer(noise=0)(a, 1 - b[0].float()) for a, b in zip(x, removed, strict=True)])
    assert (filled - exact).abs().max() < 1e-3
    assert torch.equal(torch.where(removed, 0, filled), torch.where(removed, 0, x))  # what is known stays
    assert (impute_linearly(x[:1], alone) - x[:1, :, 100:101, 7:8]).abs().max() < 1e-3
    assert impute_linearly(x[:1], alone | True).isfinite().all()


@pytest.mark.parametrize("size", [(2, 2), (5, 9), (31, 17), (1, 6)])
def test_linear_imputation_of_odd_sizes(size: tuple[int, int]) -> None:
    """Each filled pixel is the weighted mean of its neighbours, pixel by pixel."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(2, 3, *size, generator=generator)
    removed = torch.rand(2, 1, *size, generator=generator) < 0.7
    removed[..., 0, 0] = False
    filled = impute_linearly(x, removed)
    for b, y, c in removed[:, 0].nonzero().tolist():
        total, weights = torch.zeros(3), 0.0
        for v in range(max(y - 1, 0), min(y + 2, size[0])):
            for u in range(max(c - 1, 0), min(c + 2, size[1])):
                if (v, u) != (y, c):
                    weight = 1 / 6 if v == y or u == c else 1 / 12
                    total, weights = total + weight * filled[b, :, v, u], weights + weight
        torch.testing.assert_close(filled[b, :, y, c], total / weights, rtol=0, atol=4 * TOLERANCE)


# --- contract -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def subject(lite0: TorchSplit, images: Tensor) -> Explained:
    return on_images(lite0, images[:3])


@pytest.fixture(scope="module")
def full_subject(full_lite0: TorchSplit, full_images: Tensor) -> Explained:
    return on_images(full_lite0, full_images[:3])


@pytest.fixture(scope="module")
def together(subject: Explained) -> dict[int, dict[str, Tensor]]:
    return {i: metric(subject) for i, metric in enumerate(REDUCED)}


@pytest.mark.parametrize("place", range(len(REDUCED)))
def test_same_row_for_any_batch_and_micro_batch(
    place: int, subject: Explained, together: dict[int, dict[str, Tensor]]
) -> None:
    metric = REDUCED[place]
    alone = explain(
        replace(subject.split, micro_batch=MicroBatch(3)),  # type: ignore[type-var]
        subject.explainer,
        subject.rule,
        subject.forward.select([1]),
    )
    for name, values in metric(alone).items():
        torch.testing.assert_close(values, together[place][name][1:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("place", range(len(REDUCED)))
def test_columns_are_those_that_are_named_and_finite(place: int, together: dict[int, dict[str, Tensor]]) -> None:
    made = together[place]
    assert {name for name, values in made.items() if values.ndim == 1} == {
        column.name for column in columns_of(REDUCED[place])
    }
    assert all(values.shape[0] == 3 and values.isfinite().all() for values in made.values())


@pytest.mark.parametrize("place", range(len(REDUCED)))
def test_the_draws_are_those_of_the_image_s_stream(
    place: int, subject: Explained, together: dict[int, dict[str, Tensor]]
) -> None:
    others = replace(subject, forward=replace(subject.forward, seeds=(7, 8, 9)))
    same = all(torch.equal(values, together[place][name]) for name, values in REDUCED[place](others).items())
    assert same == isinstance(REDUCED[place], STILL)


def test_yaml_defaults_are_the_classes_own() -> None:
    made = make_metrics(compose_config(["metric=[road,infidelity,max_sensitivity,sparseness,entropy]"]))
    assert replace(made["road"], percentiles=tuple(made["road"].percentiles)) == ROAD()  # type: ignore[type-var,attr-defined]
    assert made["infidelity"] == Infidelity()
    assert made["max_sensitivity"] == MaxSensitivity()
    assert made["sparseness"] == Sparseness()
    assert made["entropy"] == Entropy()


@pytest.mark.parametrize(
    ("kind", "options", "sentence"),
    [
        (ROAD, {"percentiles": []}, "percentiles is .*at least one"),
        (ROAD, {"percentiles": [0, 50]}, "percentiles is .*between 0 and 100"),
        (ROAD, {"noise": -1}, "noise is -1"),
        (ROAD, {"ties": "random"}, "ties is 'random'.*rank, threshold"),
        (Infidelity, {"perturbation": "blur"}, "perturbation is 'blur'.*square"),
        (Infidelity, {"n": 0}, "n is 0"),
        (Infidelity, {"smallest": 0.5, "largest": 0.2}, "smallest=0.5 and largest=0.2"),
        (Infidelity, {"sigma": 0}, "sigma is 0"),
        (MaxSensitivity, {"n": 0}, "n is 0"),
        (MaxSensitivity, {"radius": 0}, "radius is 0"),
    ],
)
def test_wrong_settings(kind: Any, options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        kind(**options)


# --- parity ---------------------------------------------------------------------------------------------------------


def agree(ours: Tensor, theirs: Any, rtol: float, atol: float = 0) -> None:
    torch.testing.assert_close(ours.double(), torch.as_tensor(theirs).double(), rtol=rtol, atol=atol)


@NUMPY_2
@pytest.mark.parity
def test_road_equals_grad_cam_without_its_noise(full_lite0: TorchSplit, full_subject: Explained) -> None:
    """Theirs draws the noise from the global stream: 0.01, which is turned off here, and rounds to float32."""
    x, maps = full_subject.forward.x[:1], full_subject.saliency[:1, 0].numpy()
    scored = [ClassifierOutputSoftmaxTarget(target) for target in TARGET[:1]]
    percentiles = [60, 90]
    theirs = [
        np.mean(
            [
                PerturbationConfidenceMetric(remove(p, NoisyLinearImputer(noise=0)))(x, maps, scored, full_lite0.model)
                for p in percentiles
            ],
            axis=0,
        )
        for remove in (RemoveMostRelevantFirst, RemoveLeastRelevantFirst)
    ]
    first = replace(full_subject, forward=full_subject.forward.select([0]), saliency=full_subject.saliency[:1])
    mine = ROAD(percentiles, noise=0, ties="threshold")(first)
    agree(mine["road_morf"], theirs[0], rtol=0, atol=1e-4)
    agree(mine["road_lerf"], theirs[1], rtol=0, atol=1e-4)
    agree(mine["road"], (theirs[1] - theirs[0]) / 2, rtol=0, atol=1e-4)
    assert (mine["road_lerf"] - mine["road_morf"]).abs().max() > 0.05  # there is something to compare


@pytest.mark.slow
def test_road_s_noise_does_what_grad_cam_s_does(full_subject: Explained, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise of 0.01 is no detail: it shifts this image's value by 0.021, and spreads it by 0.0025 (24 draws each).

    grad-cam draws it from one global stream, so that only the distribution can be compared.
    """
    first = replace(full_subject, forward=full_subject.forward.select([0]), saliency=full_subject.saliency[:1])
    metric = ROAD([60, 90], ties="threshold")
    clean, ours = replace(metric, noise=0)(first)["road"], metric(first)["road"]
    stream = torch.Generator().manual_seed(0)
    monkeypatch.setattr(
        "camsbench.metrics.road.normal_at",
        lambda forward, image, copy, shape: torch.randn(len(image), *shape, generator=stream),
    )
    theirs = torch.cat([metric(first)["road"] for _ in range(6)])
    assert (ours - theirs.mean()).abs().item() < 0.0108  # four standard deviations: 4 · 0.0025 · √(1 + 1/6)
    assert (ours - clean).abs().item() > 0.0108


@pytest.mark.parity
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("perturbation", ["square", "noisy_baseline", "gaussian"])
def test_infidelity_equals_captum_on_the_same_draws(full_subject: Explained, perturbation: str, scale: bool) -> None:
    n, split = 4, full_subject.split
    metric = Infidelity(perturbation, n=n, scale=scale)
    change = metric.change(full_subject.forward)
    image, copy = torch.arange(3).repeat_interleave(n), torch.arange(n).repeat(3)
    changed, I = change(image, copy)  # noqa: E741

    def perturb(x: Tensor) -> tuple[Tensor, Tensor]:
        assert len(x) == 3 * n
        return I.contiguous(), changed

    theirs = captum_infidelity(
        lambda x: split.logits(x).softmax(1),
        perturb,
        full_subject.forward.x,
        full_subject.saliency.expand(-1, 3, -1, -1).contiguous(),
        target=torch.tensor(TARGET),
        n_perturb_samples=n,
        normalize=scale,
    )
    agree(metric(full_subject)["infidelity"], theirs, rtol=1e-3, atol=1e-6)


@pytest.mark.parity
def test_max_sensitivity_equals_captum_on_the_same_draws(full_subject: Explained) -> None:
    n, split = 3, full_subject.split
    metric = MaxSensitivity(n=n, radius=0.2)
    moved = torch.stack([nudged(full_subject.forward, "max_sensitivity", copy, 0.2) for copy in range(n)], 1).flatten(
        0, 1
    )  # image by image

    def saliency(x: Any) -> tuple[Tensor]:  # captum hands over the images in a tuple, their copies without
        batch: Tensor = x[0] if isinstance(x, tuple) else x
        target = torch.tensor(TARGET).repeat_interleave(len(batch) // 3)
        forward = scoring.forward(split, batch, target, (0,) * len(batch))
        return (full_subject.rule(full_subject.explainer(split, forward), (224, 224))[0],)

    theirs = sensitivity_max(saliency, full_subject.forward.x, lambda x: moved, n_perturb_samples=n)
    agree(metric(full_subject)["max_sensitivity"], theirs, rtol=1e-4)


@pytest.mark.parity
@pytest.mark.parametrize(
    ("metric", "peer", "rtol"),
    [
        (Sparseness(), quantus.Sparseness, 1e-5),  # it adds 1e-7 to every pixel
        (Entropy(), quantus.Complexity, 1e-5),  # it adds 1e-12 in the logarithm
    ],
)
def test_sparseness_and_entropy_equal_quantus(full_subject: Explained, metric: Metric, peer: Any, rtol: float) -> None:
    measured = peer(disable_warnings=True)
    theirs = measured.evaluate_batch(
        x_batch=full_subject.forward.x.numpy(), a_batch=full_subject.saliency.double().numpy().copy()
    )
    (ours,) = metric(full_subject).values()
    agree(ours, np.asarray(theirs), rtol=rtol)

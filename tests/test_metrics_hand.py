"""Every metric on paper (see ``conftest.Tiny``): p_0 = σ((ΣA0/2 − 3·ΣA1)/4), A0 = c0, A1 = 2·c1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from given import C0, ORDERED, STATES, Given, on_paper, p, trapezoid
from scipy.ndimage import gaussian_filter
from torch import Tensor

from camsbench.config.compose import compose_config
from camsbench.config.instantiate import make_metrics
from camsbench.core import scoring
from camsbench.core.explained import explain
from camsbench.core.saliency import SaliencyRule
from camsbench.core.types import Forward, Split
from camsbench.metrics._ranking import pixel_rank
from camsbench.metrics._substrate import rise_kernel, substrate
from camsbench.metrics.adcc import ADCC, Coherency, Complexity, correlation, harmonic
from camsbench.metrics.curves import Curve, Deletion, Insertion
from camsbench.metrics.drop import AverageGain, Drop, Increase
from camsbench.models.split import TorchSplit

RIGHT = (0.0, 1.0, 0.0, 1.0)  # keeps pixels 1 and 3
LEFT = (1.0, 0.0, 1.0, 0.0)  # keeps pixels 0 and 2


def test_drop(tiny: TorchSplit, tiny_x: Tensor) -> None:
    before, after = p({0, 1, 2, 3}), p({1, 3})
    assert Drop()(on_paper(tiny, tiny_x, Given(RIGHT)))["drop"].item() == pytest.approx(
        (before - after) / before, abs=1e-6
    )
    assert Drop()(on_paper(tiny, tiny_x, Given(LEFT)))["drop"].item() == 0  # the score rises: nothing is dropped


def test_drop_of_a_class_without_any_probability(tiny: TorchSplit, tiny_x: Tensor) -> None:
    tiny_x[0, 1] = 300  # p_0 underflows to 0: nothing can be lost
    assert Drop()(on_paper(tiny, tiny_x, Given(RIGHT)))["drop"].item() == 0


def test_increase(tiny: TorchSplit, tiny_x: Tensor) -> None:
    assert Increase()(on_paper(tiny, tiny_x, Given(RIGHT)))["increase"].item() == 0
    assert Increase()(on_paper(tiny, tiny_x, Given(LEFT)))["increase"].item() == 1


def test_average_gain(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """Of the 1 − 0.148 that the image lacks the left column alone gains 0.622 − 0.148."""
    before, after = p({0, 1, 2, 3}), p({0, 2})
    assert AverageGain()(on_paper(tiny, tiny_x, Given(LEFT)))["average_gain"].item() == pytest.approx(
        (after - before) / (1 - before), abs=1e-6
    )
    assert AverageGain()(on_paper(tiny, tiny_x, Given(RIGHT)))["average_gain"].item() == 0  # the score falls


def test_average_gain_of_a_class_that_is_nearly_certain(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """c0 = 120 on the left and c1 = 4 in pixel 1: z = 240/8 − 3·8/4 = 24, and 30 under the mask.

    1 − Y is e^−24 = 4e-11, which single precision takes for 0; (e^−24 − e^−30)/e^−24 = 1 − e^−6. Of z = 2394, where
    double precision says 1 too, nothing can be gained.
    """
    for left, expected in ((120.0, 1 - math.exp(-6)), (9600.0, 0.0)):
        tiny_x[0, 0] = torch.tensor([[left, 0], [left, 0]])
        tiny_x[0, 1] = torch.tensor([[0.0, 4], [0, 0]])
        subject = on_paper(tiny, tiny_x, Given(LEFT))
        assert subject.forward.probability.item() == 1
        assert AverageGain()(subject)["average_gain"].item() == pytest.approx(expected, abs=1e-5)


def test_complexity(tiny: TorchSplit, tiny_x: Tensor) -> None:
    got = Complexity()(on_paper(tiny, tiny_x, Given((0.0, 1.0, 2.0, 4.0))))["complexity"]
    assert got.item() == pytest.approx((0.25 + 0.5 + 1) / 4)


@dataclass(frozen=True)
class FirstChannel:
    """The image's own first channel as map: another image, another map."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        return forward.x[:, 0]


def test_coherency_explains_the_masked_image_again(tiny: TorchSplit, tiny_x: Tensor) -> None:
    forward = scoring.forward(tiny, tiny_x, torch.tensor([0]), (0,))
    first = np.array([0, 1 / 3, 2 / 3, 1])  # min-max of c0
    again = first * np.array(C0)  # the masked image's first channel; min-max does not change ρ
    rho = np.corrcoef(first, again)[0, 1]
    got = Coherency()(explain(tiny, FirstChannel(), SaliencyRule(), forward))["coherency"]
    assert got.item() == pytest.approx((rho + 1) / 2, abs=1e-6)


def test_coherency_of_a_constant_map_is_zero(tiny: TorchSplit, tiny_x: Tensor) -> None:
    assert Coherency()(on_paper(tiny, tiny_x, Given((1.0, 1.0, 1.0, 1.0))))["coherency"].item() == 0


def test_correlation() -> None:
    a, b = torch.rand(3, 1, 5, 5), torch.rand(3, 1, 5, 5)
    expected = [np.corrcoef(m.flatten(), n.flatten())[0, 1] for m, n in zip(a, b, strict=True)]
    assert correlation(a, b).tolist() == pytest.approx(expected, abs=1e-6)
    assert correlation(a, -3 * a + 1).tolist() == pytest.approx([-1, -1, -1])


def test_adcc(tiny: TorchSplit, tiny_x: Tensor) -> None:
    # the same map again: coherency 1; complexity 1/2
    drop = 1 - p({1, 3}) / p({0, 1, 2, 3})
    expected = 3 / (1 / 1 + 1 / (1 - 0.5) + 1 / (1 - drop))
    assert ADCC()(on_paper(tiny, tiny_x, Given(RIGHT)))["adcc"].item() == pytest.approx(expected, abs=1e-6)


def test_adcc_of_published_means_and_of_a_zero_term() -> None:
    # ReciproCAM Table 1, ResNet-18: Drop 20.68, Coher 97.38, Compl 33.60 -> ADCC 79.08
    assert harmonic(*(torch.tensor(v) for v in (0.2068, 0.9738, 0.3360))).item() == pytest.approx(0.7908, abs=5e-5)
    assert harmonic(torch.tensor(0.2), torch.tensor(0.0), torch.tensor(0.3)).item() == 0
    assert harmonic(torch.tensor(1.0), torch.tensor(0.5), torch.tensor(0.3)).item() == 0
    assert harmonic(*(torch.tensor(v) for v in (float("nan"), 0.5, 0.3))).isnan()  # no image, no mean


def test_insertion_and_deletion_step_by_step(tiny: TorchSplit, tiny_x: Tensor) -> None:
    subject = on_paper(tiny, tiny_x, Given(ORDERED))
    inserted = [p(kept) for kept in STATES]
    deleted = [p({0, 1, 2, 3} - gone) for gone in STATES]
    curve = Curve(steps=4, substrate="zero")
    assert curve.scores(subject, insert=True)[0].tolist() == pytest.approx(inserted)
    assert curve.scores(subject, insert=False)[0].tolist() == pytest.approx(deleted)
    insertion = Insertion(steps=4, substrate="zero")(subject)["insertion"].item()
    deletion = Deletion(steps=4, substrate="zero")(subject)["deletion"].item()
    assert insertion == pytest.approx(trapezoid(inserted) / 4)
    assert deletion == pytest.approx(trapezoid(deleted) / 4)


def test_steps_that_do_not_divide_the_image(tiny: TorchSplit, tiny_x: Tensor) -> None:
    subject = on_paper(tiny, tiny_x, Given(ORDERED))
    up = Curve(steps=3, rounding="up").scores(subject, insert=True)  # 2 pixels a step
    assert up[0].tolist() == pytest.approx([p(STATES[0]), p(STATES[2]), p(STATES[4]), p(STATES[4])])
    down = Curve(steps=3, rounding="down").scores(subject, insert=True)  # 1 a step
    assert down[0].tolist() == pytest.approx([p(STATES[0]), p(STATES[1]), p(STATES[2]), p(STATES[3])])


def test_poppi_s_areas_leave_one_point_out(tiny: TorchSplit, tiny_x: Tensor) -> None:
    subject = on_paper(tiny, tiny_x, Given(ORDERED))
    black = -1.0  # (0 − 0.5)/0.5
    inserted = [p(kept, black) for kept in STATES]
    deleted = [p({0, 1, 2, 3} - gone, black) for gone in STATES]
    insertion = Insertion(4, "down", "black", "last")(subject)["insertion"].item()
    deletion = Deletion(4, "down", "black", "first")(subject)["deletion"].item()
    assert insertion == pytest.approx(trapezoid(inserted[1:]) / 4)
    assert deletion == pytest.approx(trapezoid(deleted[:-1]) / 4)


def test_ties_go_in_raster_order() -> None:
    saliency = torch.tensor([[0.5, 1.0, 0.5], [1.0, 0.0, 0.5]]).view(1, 1, 2, 3)
    assert pixel_rank(saliency).flatten().tolist() == [2, 0, 3, 1, 5, 4]


def test_curves_equal_rise_s_loop_on_a_real_image(lite0: TorchSplit, images: Tensor) -> None:
    """Pixel by pixel, as RISE's published loop does it: 8 steps, blur for insertion, zeros for deletion."""
    x = images[:1]
    subject = explain(lite0, FirstChannel(), SaliencyRule(), scoring.forward(lite0, x, None, (0,)))
    order = np.argsort(-subject.saliency.flatten().numpy(), kind="stable")
    delta = np.zeros((11, 11))
    delta[5, 5] = 1
    kernel = torch.from_numpy(gaussian_filter(delta, 5)).float()
    blurred = torch.cat([F.conv2d(x[:, c : c + 1], kernel[None, None], padding=5) for c in range(3)], 1)
    for metric, start, finish in (("insertion", blurred, x), ("deletion", x, torch.zeros_like(x))):
        picture, scores = start.clone(), []
        for step in range(9):
            with torch.no_grad():
                scores.append(float(lite0.model(picture).softmax(1)[0, subject.forward.target[0]]))
            changed = order[1152 * step : 1152 * (step + 1)]
            picture.view(3, -1)[:, changed] = finish.view(3, -1)[:, changed]
        kind = Insertion if metric == "insertion" else Deletion
        made = kind(steps=8, substrate="rise_blur" if metric == "insertion" else "zero")(subject)
        assert made[metric].item() == pytest.approx(trapezoid(scores) / 8, abs=1e-5)


def test_rise_kernel_is_the_published_one() -> None:
    kernel = rise_kernel()
    assert kernel.sum().item() == pytest.approx(1, abs=1e-6)
    assert kernel[5, 5].item() == pytest.approx(0.00883, abs=1e-5)
    assert kernel[0, 0].item() == pytest.approx(0.00774, abs=1e-5)


def test_substrates(full_lite0: TorchSplit, full_images: Tensor) -> None:
    x = full_images[:2]
    assert substrate("zero", full_lite0, x).abs().max() == 0
    black = full_lite0.preprocess.normalise(torch.zeros(2, 3, 224, 224, dtype=torch.uint8))
    assert torch.equal(substrate("black", full_lite0, x).contiguous(), black)
    flat = torch.full_like(x, 0.7)  # a flat image stays flat under a reflected blur
    torch.testing.assert_close(substrate("gaussian_blur", full_lite0, flat), flat)
    offset = torch.arange(-25, 26) / 50  # kernel 51, σ 50
    weight = torch.exp(-(offset[:, None] ** 2 + offset[None] ** 2) / 2)
    around = x[0, 0, 112 - 25 : 112 + 26, 100 - 25 : 100 + 26]
    expected = (around * weight).sum() / weight.sum()
    assert substrate("gaussian_blur", full_lite0, x)[0, 0, 112, 100].item() == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"steps": 1}, "steps is 1"),
        ({"substrate": "grey"}, "substrate is 'grey'.*zero, black"),
        ({"rounding": "half"}, "rounding is 'half'"),
        ({"points": "some"}, "points is 'some'"),
    ],
)
def test_wrong_settings(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Insertion(**options)  # type: ignore[arg-type]


def test_protocols_set_the_curves() -> None:
    rise = make_metrics(compose_config(["metric=[insertion,deletion]"]))
    assert rise["insertion"] == Insertion(224, "up", "rise_blur", "all")
    assert rise["deletion"] == Deletion(224, "up", "zero", "all")
    poppi = make_metrics(compose_config(["metric=[insertion,deletion]", "protocol=poppi"]))
    assert poppi["insertion"] == Insertion(100, "down", "black", "last")
    assert poppi["deletion"] == Deletion(100, "down", "black", "first")
    assert Curve(100, "down").plan(224 * 224) == (100, 501)
    assert Curve(224, "up").plan(224 * 224) == (224, 224)

"""ARCC on paper (see ``conftest.Tiny``), and against grad-cam's."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from given import Given, on_images, on_paper
from parity import Parity
from pytorch_grad_cam import GradCAM as PeerGradCAM
from pytorch_grad_cam.metrics import arcc as peer
from pytorch_grad_cam.metrics.road import NoisyLinearImputer, neighbors_weights
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget, ClassifierOutputTarget
from torch import Tensor

from camsbench.config.compose import compose_config
from camsbench.config.instantiate import make_metrics
from camsbench.core.explained import Explained
from camsbench.core.scoring import head_gradient
from camsbench.core.types import Forward, Split
from camsbench.methods.gradcam import GradCAM
from camsbench.metrics.adcc import ADCC
from camsbench.metrics.arcc import ARCC
from camsbench.metrics.road import ROAD
from camsbench.models.split import TorchSplit

NUMPY_2 = pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # grad-cam's imputer


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def test_arcc(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """ROAD at 50 as in ``test_metrics_peers.test_road``, of the reverse map: pixels 2 and 3 go first.

    So MoRF is σ((6/2 − 12)/4) and LeRF is σ((14/2 − 12)/4), and ROAD half their difference. The map is always the
    same: coherency 1. The mean of 0, 1/8, 1, 7/8 is 1/2.
    """
    subject = on_paper(tiny, tiny_x, Given((0.1, 0.2, 0.9, 0.8)))
    made = ARCC(percentiles=[50], noise=0)(subject)
    road = 2 * (sigmoid(-5 / 4) - sigmoid(-9 / 4)) / 2
    assert made["arcc_road"].item() == pytest.approx(road, abs=1e-6)
    assert made["arcc"].item() == pytest.approx(3 / (1 + 1 / 0.5 + 1 / road), abs=1e-6)


def test_arcc_of_a_map_that_is_no_better_than_its_reverse_is_zero(tiny: TorchSplit, tiny_x: Tensor) -> None:
    made = ARCC(percentiles=[50], noise=0)(on_paper(tiny, tiny_x, Given((0.9, 0.8, 0.1, 0.2))))
    assert made["arcc_road"].item() == 0
    assert made["arcc"].item() == 0
    assert ARCC(percentiles=[50])(on_paper(tiny, tiny_x, Given((1.0,) * 4)))["arcc"].item() == 0  # constant


def test_arcc_where_road_cannot_impute_is_not_defined(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """At 25 of a map with three ties all four pixels go, least relevant first: nothing is left to impute from."""
    subject = on_paper(tiny, tiny_x, Given((1.0, 1.0, 0.0, 1.0)))
    assert ARCC(percentiles=[25], ties="threshold")(subject)["arcc"].isnan().all()


def test_its_road_is_road_s_at_its_percentiles(lite0: TorchSplit, images: Tensor) -> None:
    subject = on_images(lite0, images[:3])
    road = ROAD(percentiles=[20, 40, 60, 80])(subject)["road"]
    assert (road > 0).any()
    torch.testing.assert_close(ARCC()(subject)["arcc_road"], (2 * road).clamp(0, 1))


def test_the_yaml_is_the_class_and_follows_the_protocol() -> None:
    made = make_metrics(compose_config(["metric=arcc", "protocol=byun"]))["arcc"]
    assert isinstance(made, ARCC)
    assert (tuple(made.percentiles), made.noise, made.ties) == ((20, 40, 60, 80), 0.01, "rank")
    assert (made.resolution, made.space, made.correlation) == ("map", "normalised", ADCC.correlation)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"percentiles": [0]}, "percentiles is .*between 0 and 100"),
        ({"ties": "random"}, "ties is 'random'"),
        ({"correlation": "none"}, "correlation is 'none'.*shifted, absolute"),
    ],
)
def test_wrong_settings(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ARCC(**options)


# --- against grad-cam -----------------------------------------------------------------------------------------------


class OfProbability:
    """Grad-CAM of the softmax: what grad-cam explains when it is asked for the softmax, as its ROAD must be."""

    needs = GradCAM.needs

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        gradient = head_gradient(split, forward, probability=True)
        return (gradient.mean((2, 3), keepdim=True) * forward.A).sum(1).relu()


@pytest.fixture
def without_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """grad-cam's imputer without its noise, which it draws from the global stream."""
    monkeypatch.setattr(NoisyLinearImputer.__init__, "__defaults__", (0.0, neighbors_weights))


def theirs(subject: Explained, target: type = ClassifierOutputSoftmaxTarget) -> Tensor:
    """grad-cam's ARCC [B] of the same saliencies."""
    split, forward = subject.split, subject.forward
    assert isinstance(split, TorchSplit)
    asked = [target(int(c)) for c in forward.target]
    with PeerGradCAM(split.model, [split.model.get_submodule(split.layer)]) as cam:

        def again(input_tensor: Tensor, targets: object) -> Any:
            return cam(input_tensor.clone().requires_grad_(), targets)  # the network's parameters are frozen

        return torch.as_tensor(peer.ARCC(again)(forward.x, subject.saliency[:, 0].numpy(), asked, split.model))


@NUMPY_2
@pytest.mark.parity
@pytest.mark.usefixtures("without_noise")
def test_arcc_equals_grad_cam_s(full_lite0: TorchSplit, full_images: Tensor, parity: Parity) -> None:
    subject = on_images(full_lite0, full_images[:2], OfProbability())
    ours, peers = ARCC(noise=0, ties="threshold")(subject)["arcc"], theirs(subject)
    assert (ours > 0.01).any()  # ROAD's term is not 0
    why = "with ties=threshold, without noise"
    parity.metric_agrees("arcc", "grad-cam", full_lite0.name, ours, peers, atol=1e-4, why=why)


@NUMPY_2
@pytest.mark.parity
@pytest.mark.usefixtures("without_noise")
def test_arcc_of_logits_parts_from_grad_cam_s(full_lite0: TorchSplit, full_images: Tensor, parity: Parity) -> None:
    """Asked for the class as grad-cam's own examples ask, its ROAD is of logits."""
    subject = on_images(full_lite0, full_images[:1])
    ours, peers = ARCC(noise=0, ties="threshold")(subject)["arcc"], theirs(subject, ClassifierOutputTarget)
    why = "of a ClassifierOutputTarget ROAD is of logits, clipped at 1"
    parity.metric_parts("arcc", "grad-cam", f"{full_lite0.name}, logits", ours, peers, why)


@pytest.mark.parity
def test_coherency_of_a_constant_map_parts_from_grad_cam_s(lite0: TorchSplit, images: Tensor, parity: Parity) -> None:
    """Its 1e-8 in ρ's denominator makes 0/0 a ρ of 0, and coherency 1/2."""
    subject = on_images(lite0, images[:1], Given((1.0,) * 4))

    def again(input_tensor: Tensor, targets: object) -> Any:
        return subject.saliency[:, 0].numpy()

    peers = peer.Coherency()(images[:1], subject.saliency[:, 0].numpy(), [], lite0.model, again)
    assert peers.tolist() == [0.5]
    why = "coherency of a constant map is 1/2, here 0, and so ARCC"
    ours = ARCC()(subject)["arcc"]
    parity.metric_parts("arcc", "grad-cam", "a constant map", ours, torch.as_tensor(peers), why)

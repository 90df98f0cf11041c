"""One contract for every method YAML, on the real network and real images."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import timm
import torch
from contract import (
    CONTROLS,
    METHODS,
    NO_PASS,
    POOLED_HEAD,
    RANDOM_COVERAGE,
    SENSITIVE,
    SLOW,
    TOLERANCE,
    TRANSFORMERS,
    contract_method,
)
from exact import EXACT, in_double
from torch import Tensor

import camsbench
from camsbench import CamsbenchError
from camsbench.core.passes import MicroBatch
from camsbench.core.types import Forward, Split
from camsbench.models.split import TorchSplit, cut
from camsbench.models.weights import weight_hash


@pytest.fixture(scope="module")
def inside(lite0: TorchSplit) -> TorchSplit:
    """EfficientNet-Lite0 on small images, cut inside its fourth stage: 240 channels of 6x6 behind a ReLU, and a head
    that is no average pool. So a pass a channel is affordable, and no gradient is constant."""
    preprocess = replace(lite0.preprocess, resize=SIDE, crop=SIDE)
    return cut(lite0.model, "blocks.3.0.bn2", preprocess, name="lite0", micro_batch=MicroBatch(16))


@pytest.fixture(scope="module")
def pooled(lite0: TorchSplit) -> TorchSplit:
    """The same network cut before its average pool: 1280 channels of 3x3."""
    preprocess = replace(lite0.preprocess, resize=SIDE, crop=SIDE)
    return cut(lite0.model, "bn2", preprocess, name="lite0", micro_batch=MicroBatch(16))


@pytest.fixture(scope="module")
def tokens(lite0: TorchSplit) -> TorchSplit:
    """A ViT of three blocks, a class token and 6x6 patches, with a classifier that does not squash its logits."""
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", img_size=SIDE, depth=3, embed_dim=96, num_classes=1000).eval()
    model.head.weight.data.mul_(20)
    preprocess = replace(lite0.preprocess, resize=SIDE, crop=SIDE)
    return cut(model.requires_grad_(False), None, preprocess, name="vit", micro_batch=MicroBatch(16))


@pytest.fixture(
    scope="module", params=[pytest.param(m, marks=[pytest.mark.slow] * (m in SLOW)) for m in [*METHODS, *TRANSFORMERS]]
)
def method(request: pytest.FixtureRequest) -> str:
    """Of the module: so that the tests of a method stand together, and one worker makes its reference."""
    return request.param


Networks = dict[bool, list[TorchSplit]]  # by whether they are in double precision: inside, pooled, tokens


@pytest.fixture(scope="module")
def networks(inside: TorchSplit, pooled: TorchSplit, tokens: TorchSplit) -> Networks:
    single = [inside, pooled, tokens]
    return {False: single, True: [in_double(split) for split in single]}


def network_of(method: str | None, networks: Networks) -> TorchSplit:
    """That on which a method keeps its contract."""
    return networks[method in SENSITIVE][2 if method in TRANSFORMERS else method in POOLED_HEAD]


@pytest.fixture
def network(request: pytest.FixtureRequest, networks: Networks) -> TorchSplit:
    asked = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    return network_of(asked.get("method"), networks)


@pytest.fixture(scope="module")
def pictures(full_images: Tensor) -> Tensor:
    return torch.nn.functional.interpolate(full_images[:2], (SIDE, SIDE), mode="area")


@pytest.fixture(scope="module")
def reference(method: str, networks: Networks, pictures: Tensor) -> dict[str, Tensor]:
    return {method: camsbench.explain(contract_method(method), network_of(method, networks), pictures, TARGET, ids=IDS)}


def tolerance(method: str) -> float:
    return EXACT if method in SENSITIVE else TOLERANCE.get(method, 2e-5)


SIDE = 96
TARGET = [243, 559]
IDS = ["a", "b"]


def test_the_issue_s_methods_are_all_there() -> None:
    named = "gradcam gradcampp smoothgradcampp scorecam groupcam abscam_init abscam reciprocam"
    assert set(named.split()) <= set(METHODS)


def test_shape_range_and_finiteness(method: str, reference: dict[str, Tensor]) -> None:
    saliency = reference[method]
    assert saliency.shape == (2, 1, SIDE, SIDE)
    assert saliency.isfinite().all()
    torch.testing.assert_close(saliency.amin((1, 2, 3)), torch.zeros(2).to(saliency))
    torch.testing.assert_close(saliency.amax((1, 2, 3)), torch.ones(2).to(saliency))


@pytest.mark.parametrize("size", [pytest.param(7, marks=pytest.mark.slow), 64])
def test_same_map_for_any_micro_batch(
    method: str, size: int, network: TorchSplit, pictures: Tensor, reference: dict[str, Tensor]
) -> None:
    got = camsbench.explain(
        contract_method(method), replace(network, micro_batch=MicroBatch(size)), pictures, TARGET, ids=IDS
    )
    torch.testing.assert_close(got, reference[method], rtol=0, atol=tolerance(method))


@pytest.mark.slow
@pytest.mark.parametrize("method", [m for m in [*METHODS, *TRANSFORMERS] if m not in SLOW], indirect=True)
def test_same_map_one_copy_at_a_time(
    method: str, network: TorchSplit, pictures: Tensor, reference: dict[str, Tensor]
) -> None:
    single = replace(network, micro_batch=MicroBatch(1))
    got = camsbench.explain(contract_method(method), single, pictures, TARGET, ids=IDS)
    torch.testing.assert_close(got, reference[method], rtol=0, atol=tolerance(method))


def test_a_batch_with_a_target_an_image_equals_single_images(
    method: str, network: TorchSplit, pictures: Tensor, reference: dict[str, Tensor]
) -> None:
    for i in (1, 0):
        alone = camsbench.explain(contract_method(method), network, pictures[i : i + 1], TARGET[i], ids=IDS[i : i + 1])
        torch.testing.assert_close(alone, reference[method][i : i + 1], rtol=0, atol=tolerance(method))


def test_input_weights_and_mode_are_untouched(method: str, network: TorchSplit, pictures: Tensor) -> None:
    x, weights = pictures[:1].clone(), weight_hash(network.model)
    camsbench.explain(contract_method(method), network, x, TARGET[:1])
    assert torch.equal(x, pictures[:1])
    assert weight_hash(network.model) == weights
    assert not any(module.training for module in network.model.modules())
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in network.model.parameters())


def test_an_exception_in_mid_work_leaves_nothing_behind(
    method: str, network: TorchSplit, pictures: Tensor, reference: dict[str, Tensor]
) -> None:
    calls = 0

    class FailingError(Exception):
        pass

    def fail_later(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise FailingError

    if method in TRANSFORMERS:
        network = network.plain  # whose head is the graph itself
    handle = network.head_graph.register_forward_pre_hook(fail_later)
    with nullcontext() if method in {*NO_PASS, "legrad"} else pytest.raises(FailingError):
        camsbench.explain(contract_method(method), network, pictures[:1], TARGET[:1], ids=IDS[:1])
    handle.remove()
    again = camsbench.explain(contract_method(method), network, pictures[:1], TARGET[:1], ids=IDS[:1])
    torch.testing.assert_close(again, reference[method][:1], rtol=0, atol=tolerance(method))


def test_it_works_in_the_callers_inference_mode(method: str, network: TorchSplit, pictures: Tensor) -> None:
    with torch.inference_mode():
        saliency = camsbench.explain(contract_method(method), network, pictures[:1] * 1, TARGET[:1])
    assert saliency.shape == (1, 1, SIDE, SIDE)


@pytest.mark.parametrize(
    "method", [method for method in METHODS if method not in CONTROLS | RANDOM_COVERAGE], indirect=True
)
def test_a_constant_map_becomes_zeros_and_a_flag(method: str, network: TorchSplit) -> None:
    """Where all cells are alike and the head ignores them, no cell matters more than another."""
    dead = replace(network, features_graph=ConstantFeatures(), head_graph=ConstantHead())
    rows = camsbench.evaluate(contract_method(method), dead, torch.zeros(1, 3, SIDE, SIDE), metrics=["complexity"])
    assert rows["degenerate"].tolist() == [True]
    assert rows["complexity"].tolist() == [0.0]


class ConstantFeatures(torch.nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.ones(len(x), 8, 4, 4)


class ConstantHead(torch.nn.Module):
    def forward(self, A: Tensor) -> Tensor:
        return A.sum((1, 2, 3))[:, None] * torch.zeros(1, 4) + torch.arange(4.0)


def test_a_method_that_needs_more_than_the_split_provides_is_refused(network: TorchSplit, pictures: Tensor) -> None:
    without = replace(network, provides=frozenset())
    assert camsbench.explain("reciprocam", without, pictures[:1]).shape == (1, 1, SIDE, SIDE)
    with pytest.raises(CamsbenchError, match="needs a gradient"):
        camsbench.explain("gradcam", without, pictures[:1])


def test_an_explainer_of_ones_own(network: TorchSplit, pictures: Tensor) -> None:
    @dataclass(frozen=True)
    class Mean:
        needs: ClassVar[frozenset[str]] = frozenset()

        def __call__(self, split: Split, forward: Forward) -> Tensor:
            return forward.A.mean(1)

    assert camsbench.explain(Mean(), network, pictures).shape == (2, 1, SIDE, SIDE)

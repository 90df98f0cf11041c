"""Grey, four-channel and oblong networks under every method and metric."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from contract import METHODS, POOLED_HEAD, contract_method
from torch import Tensor, nn

import camsbench
from camsbench.core.preprocess import Preprocess
from camsbench.models.split import TorchSplit, cut

SHAPES = {"grey": (1, 48, 48), "oblong": (3, 48, 64), "four": (4, 64, 48)}
TRANSPOSED = ["gradcam", "reciprocam", "scorecam", "layercam", "eigencam", "ablationcam", "occlusion"]
METRICS = [
    "drop",
    "increase",
    "insertion",
    "deletion",
    "coherency",
    "complexity",
    "adcc",
    "road",
    "sparseness",
    "entropy",
    "average_gain",
    "arcc",
    "mas",
    "mufidelity",
    "sensitivity_n",
    "irof",
    "relative_stability",
]


def build(channels: int) -> nn.Sequential:
    torch.manual_seed(0)
    first, second = nn.Conv2d(channels, 8, 3, stride=4, padding=1), nn.Conv2d(8, 12, 3, stride=2, padding=1)
    body = [first, nn.BatchNorm2d(8), nn.ReLU(), second, nn.ReLU()]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5)).eval()


def prepared(channels: int, *size: int) -> Preprocess:
    return Preprocess(resize=size, crop=size, interpolation="bilinear", mean=[0.5] * channels, std=[0.25] * channels)


def split_of(shape: tuple[int, int, int]) -> TorchSplit:
    return cut(build(shape[0]), "4", prepared(*shape))


def images(shape: tuple[int, int, int], count: int = 2) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
@pytest.mark.parametrize("name", METHODS)
def test_every_method_explains_images_of_any_channels_and_sides(name: str, shape: tuple[int, int, int]) -> None:
    maps = camsbench.explain(contract_method(name), split_of(shape), images(shape), 1)
    assert maps.shape == (2, 1, *shape[1:])
    assert maps.isfinite().all()


@pytest.mark.parametrize("name", TRANSPOSED)
def test_an_image_on_its_side_has_its_map_on_its_side(name: str) -> None:
    split, x = split_of((3, 48, 64)), images((3, 48, 64))
    side = build(3)
    for module in side:
        if isinstance(module, nn.Conv2d):
            module.weight = nn.Parameter(module.weight.detach().transpose(2, 3).contiguous())
    lying = cut(side, "4", prepared(3, 64, 48))
    ours, theirs = (
        camsbench.explain(contract_method(name), each, image, 1)
        for each, image in ((split, x), (lying, x.transpose(2, 3).contiguous()))
    )
    torch.testing.assert_close(theirs.transpose(2, 3), ours, rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_every_metric_measures_images_of_any_channels_and_sides(shape: tuple[int, int, int]) -> None:
    options: dict[str, Any] = {"metrics": METRICS}
    rows = camsbench.evaluate("gradcam", split_of(shape), images(shape), **options)
    assert rows.notna().all().all()


def test_the_pooled_head_is_among_them() -> None:
    assert set(METHODS) >= POOLED_HEAD

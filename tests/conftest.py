"""Real networks and real images that several test files share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import camsbench
from camsbench import data
from camsbench.config import CONF, compose_config, explainers
from camsbench.loader import read
from camsbench.preprocess import Preprocess
from camsbench.split import TorchSplit, cut
from camsbench.types import Explainer

METHOD_FILES = sorted((CONF / "method").glob("*.yaml"))
TRAINED = {"lficam"}  # they explain with a network that must be trained first: their own tests hold the contract
METHODS = [
    path.stem for path in METHOD_FILES if "defaults:" not in path.read_text() and path.stem not in TRAINED
]  # without the groups of methods

# Options for the contract test where the defaults need too many passes.
REDUCED: dict[str, dict[str, Any]] = {
    "extremal_perturbation": {"steps": 4},
    "generative_perturbation": {"patch": 32, "stride": 16},
    "meaningful_perturbation": {"steps": 4},
}


def contract_method(name: str) -> Explainer:
    """The method of ``conf/method/NAME.yaml``, with its ``REDUCED`` options."""
    return replace(explainers(compose_config([f"method={name}"]))[name], **REDUCED.get(name, {}))  # type: ignore[type-var]


class Tiny(nn.Module):
    """A network small enough for paper: A0 = c0, A1 = 2·c1; logits (a0 − a1, a0/2 + 2·a1) of their means a0, a1."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 2, 0]]).view(2, 3, 1, 1))
            self.fc.weight.copy_(torch.tensor([[1.0, -1], [0.5, 2]]))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(self.relu(self.conv(x))).flatten(1))


@pytest.fixture
def tiny() -> TorchSplit:
    preprocess = Preprocess(resize=2, crop=2, interpolation="bilinear", mean=[0.5] * 3, std=[0.5] * 3)
    return cut(Tiny().eval().requires_grad_(False), "relu", preprocess, name="tiny")


@pytest.fixture
def tiny_x() -> Tensor:
    """c0 = [[1,2],[3,4]], c1 = [[0,1],[0,1]], c2 = 0."""
    return torch.tensor([[[[1.0, 2], [3, 4]], [[0, 1], [0, 1]], [[0, 0], [0, 0]]]])


@pytest.fixture(scope="session")
def lite0() -> TorchSplit:
    """EfficientNet-Lite0 with its real ImageNet weights."""
    return camsbench.load_model("efficientnet_lite0", device="cpu")


@pytest.fixture(scope="session")
def vgg16() -> TorchSplit:
    """VGG16 with random weights: a head that is no average pool and a linear layer."""
    return camsbench.load_model("vgg16", weights="random", device="cpu")


@pytest.fixture(scope="session")
def images(lite0: TorchSplit) -> Tensor:
    """Five real ImageNet images [5,3,224,224], normalised for ``lite0``."""
    pixels = [read(record, lite0.preprocess).pixels for record in data.samples()[:5]]
    return lite0.preprocess.normalise(torch.stack([p for p in pixels if p is not None]))


@pytest.fixture(scope="session")
def sample_paths() -> list[Path]:
    return [record.path for record in data.samples()]

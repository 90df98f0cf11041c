"""Real networks and real images that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from parity import Parity
from torch import Tensor, nn

import camsbench
from camsbench.core.preprocess import Preprocess
from camsbench.data.embedded import samples
from camsbench.data.loader import read
from camsbench.models.split import TorchSplit, cut

FOUND = pytest.StashKey[Parity]()


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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--parity", type=Path, metavar="FILE", help="write what the comparisons with peers found")


def pytest_configure(config: pytest.Config) -> None:
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    threads = max(1, torch.get_num_threads() // workers)  # workers that each take all cores slow each other down
    torch.set_num_threads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # of the commands that tests start
    config.stash[FOUND] = Parity()


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption("--parity")
    if path is not None:
        session.config.stash[FOUND].write(path)


@pytest.fixture
def parity(request: pytest.FixtureRequest) -> Parity:
    """Compare with a peer's implementation; the test is marked ``parity``."""
    return request.config.stash[FOUND]


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
def resnet18() -> TorchSplit:
    """ResNet-18 with random weights: skip connections."""
    return camsbench.load_model("resnet18", weights="random", device="cpu")


@pytest.fixture(scope="session")
def images(lite0: TorchSplit) -> Tensor:
    """Five real ImageNet images [5,3,224,224], normalised for ``lite0``."""
    pixels = [read(record, lite0.preprocess).pixels for record in samples()[:5]]
    return lite0.preprocess.normalise(torch.stack([p for p in pixels if p is not None]))


@pytest.fixture(scope="session")
def sample_paths() -> list[Path]:
    return [record.source for record in samples() if isinstance(record.source, Path)]

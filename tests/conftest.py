"""Real networks and real images that several test files share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import quick
import torch
from exact import in_double
from faults import Hold
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


def small(split: TorchSplit) -> TorchSplit:
    """The same network, weights and layer for images of ``SIDE`` pixels."""
    return replace(split, preprocess=replace(split.preprocess, resize=quick.SIDE, crop=quick.SIDE))


def pixels(split: TorchSplit) -> Tensor:
    """Five real ImageNet images, normalised for ``split``."""
    found = [read(record, split.preprocess).pixels for record in samples()[:5]]
    return split.preprocess.normalise(torch.stack([p for p in found if p is not None]))


# Networks for images of 96 pixels, with the weights that they have at 224. What needs the images as published asks for
# full_lite0 and full_images, and is marked slow where it passes them through a network.


@pytest.fixture(scope="session")
def full_lite0() -> TorchSplit:
    """EfficientNet-Lite0 with its real ImageNet weights, for images [B,3,224,224]."""
    return camsbench.load_model("efficientnet_lite0", device="cpu")


@pytest.fixture(scope="session")
def full_vgg16() -> TorchSplit:
    """VGG16 with random weights: a head that is no average pool and a linear layer."""
    return camsbench.load_model("vgg16", weights="random", device="cpu")


@pytest.fixture(scope="session")
def full_resnet18() -> TorchSplit:
    """ResNet-18 with random weights: skip connections."""
    return camsbench.load_model("resnet18", weights="random", device="cpu")


@pytest.fixture(scope="session")
def lite0(full_lite0: TorchSplit) -> TorchSplit:
    """EfficientNet-Lite0 with its real ImageNet weights: 1280 channels of 3x3, an average pool, a linear layer."""
    return small(full_lite0)


@pytest.fixture(scope="session")
def vgg16(full_vgg16: TorchSplit) -> TorchSplit:
    """VGG16 with random weights: 512 channels of 6x6, and a head that is no average pool and a linear layer."""
    return small(full_vgg16)


@pytest.fixture(scope="session")
def resnet18(full_resnet18: TorchSplit) -> TorchSplit:
    """ResNet-18 with random weights: skip connections, 512 channels of 3x3."""
    return small(full_resnet18)


@pytest.fixture(scope="session")
def full_images(full_lite0: TorchSplit) -> Tensor:
    """Five real ImageNet images [5,3,224,224], normalised for ``full_lite0``."""
    return pixels(full_lite0)


@pytest.fixture(scope="session")
def images(lite0: TorchSplit) -> Tensor:
    """The same five images [5,3,96,96], as a run of ``quick_run`` reads them."""
    return pixels(lite0)


@pytest.fixture(scope="session")
def exact_lite0(lite0: TorchSplit) -> TorchSplit:
    """``lite0`` in double precision: several times slower."""
    return in_double(lite0)


@pytest.fixture(scope="session")
def quick_run() -> quick.QuickRun:
    """``quick_run(output, *overrides)``: a run of small images that takes seconds."""
    return quick.quick_run


@pytest.fixture
def hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hold]:
    """Holds a run after two images; for ``faults.begin_held``."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    monkeypatch.setenv("CAMSBENCH_PLUGINS", "hold")
    monkeypatch.setenv("PYTHONPATH", str(plugins), prepend=os.pathsep)
    monkeypatch.syspath_prepend(str(plugins))
    made = Hold(tmp_path / "hold", plugins, free=2)
    yield made
    made.release()  # nobody waits for ever, whatever became of the test
    sys.modules.pop("hold", None)


@pytest.fixture(scope="session")
def sample_paths() -> list[Path]:
    return [record.source for record in samples() if isinstance(record.source, Path)]

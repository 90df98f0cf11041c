"""A small network of grey pictures: feature maps of 16 x 16, their mean, one linear layer.

As camsbench builds it: model=module model.build=digits.network:build model.options.outputs=10
"""

from __future__ import annotations

from torch import Tensor, nn

from digits.pictures import SIDE

MEAN, STD = 0.4, 0.2  # of pixels in [0,1]
TRANSFORM = {"resize": SIDE, "crop": SIDE, "interpolation": "bilinear", "mean": [MEAN], "std": [STD]}


class Network(nn.Module):
    """Pictures [B,1,64,64] to outputs [B,C]."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *block(1, 16, 2), *block(16, 32, 2), *block(32, 64, 1), *block(64, 64, 1), *block(64, 96, 1)
        )
        self.head = nn.Linear(96, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.features(x).mean((2, 3)))
        return out


def build(outputs: int) -> tuple[nn.Module, dict[str, object]]:
    """The network, and how it expects its pictures."""
    return Network(outputs), TRANSFORM


def block(channels: int, more: int, stride: int) -> list[nn.Module]:
    """A convolution to ``more`` channels, its norm and its ReLU."""
    return [nn.Conv2d(channels, more, 3, stride, 1, bias=False), nn.BatchNorm2d(more), nn.ReLU()]

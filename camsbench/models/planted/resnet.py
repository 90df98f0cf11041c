"""Planted ResNets: stem and first block detect, blocks that keep the size are their skip, the others average 2×2."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from camsbench.core.planted import CLASSES, GRID, Task
from camsbench.models.planted.detectors import (
    CHANNELS,
    carry,
    colour_weights,
    head_weights,
    opponent_biases,
    opponent_weights,
    zeroed,
)


def resnet18(task: Task, side: int) -> nn.Module:
    """torchvision's ResNet-18 for a task."""
    return _planted(torchvision.models.resnet18, task, side)


def resnet50(task: Task, side: int) -> nn.Module:
    """torchvision's ResNet-50 for a task."""
    return _planted(torchvision.models.resnet50, task, side)


def _planted(build: Callable[..., ResNet], task: Task, side: int) -> ResNet:
    """Detectors in the stem and in the first block, then what is there carried on.

    Convolutions of a stride look at all four pixels of which they make one: so a cell of the last layer is the mean of
    its 32×32 pixels, but for the max pool behind the stem, which makes a tile one of its pixels wider to the right and
    downwards: the gap around tiles has room for that.
    """
    with torch.device("meta"):
        model = build(num_classes=len(CLASSES))
    model.to_empty(device="cpu")
    zeroed(model)
    carry(model.conv1, opponent_weights(), mean=True)
    for layer in (model.layer1, model.layer2, model.layer3, model.layer4):
        for block in layer:
            _be_skip(block)
    first = model.layer1[0]
    keeps = isinstance(first, BasicBlock)  # ResNet-18's first block has a skip, and with it the opponents stay
    _detect(first, colour_weights(), into=CHANNELS if keeps else 0)
    for number, layer in enumerate((model.layer2, model.layer3, model.layer4)):
        _detect(layer[0], torch.eye(CHANNELS), out_of=CHANNELS if keeps and number == 0 else 0, mean=True)
    weights = head_weights(task, side, whole=True)[:, :, 0, 0] * GRID**2
    with torch.no_grad():
        model.bn1.bias[:CHANNELS] = opponent_biases()
        model.fc.weight[:, :CHANNELS] = weights
    return model


@torch.no_grad()
def _be_skip(block: BasicBlock | Bottleneck) -> None:
    """Take what a block adds to its skip away."""
    last = block.bn3 if isinstance(block, Bottleneck) else block.bn2
    last.weight.zero_()


@torch.no_grad()
def _detect(
    block: BasicBlock | Bottleneck, weights: torch.Tensor, into: int = 0, out_of: int = 0, mean: bool = False
) -> None:
    """Let a block add channels of its own; where it changes the size it has no skip beside them."""
    if isinstance(block, Bottleneck):
        carry(block.conv1, weights, out_of=out_of)
        carry(block.conv2, mean=mean)
        carry(block.conv3, into=into)
        block.bn3.weight.fill_(1)
    else:
        carry(block.conv1, weights, out_of=out_of, into=into, mean=mean)
        carry(block.conv2, into=into, out_of=into)
        block.bn2.weight.fill_(1)
    if block.downsample is not None:
        block.downsample[1].weight.zero_()

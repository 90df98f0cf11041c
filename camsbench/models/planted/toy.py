"""The smallest planted network: three convolutions of eight channels, cells by an average pool, a linear head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from camsbench.core.planted import CLASSES, GRID, Task, cell_of
from camsbench.models.planted.detectors import (
    CHANNELS,
    carry,
    colour_weights,
    head_weights,
    opponent_biases,
    opponent_weights,
    zeroed,
)


class Toy(nn.Module):
    """Images [B,3,H,W] to logits [B,4], by way of cells [B,8,7,7].

    Args:
        cell: pixels along a side of a cell.
        pooled: whether the head sees the mean over the cells, or each cell by itself.
    """

    def __init__(self, cell: int, pooled: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.relu2 = nn.ReLU()
        self.cells = nn.AvgPool2d(cell)
        self.conv3 = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.relu3 = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1) if pooled else None
        self.head = nn.Linear(CHANNELS if pooled else CHANNELS * GRID**2, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        found = self.relu2(self.conv2(self.relu1(self.conv1(x))))
        found = self.relu3(self.conv3(self.cells(found)))
        if self.pool is not None:
            found = self.pool(found)
        logits: Tensor = self.head(found.flatten(1))
        return logits


def toy(task: Task, side: int) -> nn.Module:
    """The network of a task."""
    pooled = not task.knows_places
    model = Toy(cell_of(side), pooled)
    zeroed(model)
    carry(model.conv1, opponent_weights())
    carry(model.conv2, colour_weights())
    carry(model.conv3)
    weights = head_weights(task, side, whole=False)
    with torch.no_grad():
        model.conv1.bias.copy_(opponent_biases())  # type: ignore[union-attr]
        model.head.weight.copy_(weights[:, :, 0, 0] * GRID**2 if pooled else weights.flatten(1))
    return model

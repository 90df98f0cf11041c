"""A planted VGG: its first two convolutions detect, eleven carry on, its max pools ask of a cell what is most in it."""

from __future__ import annotations

import torch
import torchvision
from torch import nn

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


def vgg16(task: Task, side: int) -> nn.Module:
    """torchvision's VGG16 for a task.

    Its first linear layer sums each class's evidence, and in another unit what speaks against it, since a ReLU follows.
    """
    with torch.device("meta"):  # drawing 138 million weights takes longer than all else
        model = torchvision.models.vgg16(num_classes=len(CLASSES))
    model.to_empty(device="cpu")
    zeroed(model)
    first, second, *others = (module for module in model.features if isinstance(module, nn.Conv2d))
    carry(first, opponent_weights())
    carry(second, colour_weights())
    for conv in others:
        carry(conv)
    sums, carried, head = (module for module in model.classifier if isinstance(module, nn.Linear))
    weights = head_weights(task, side, whole=True)  # [4,8,7,7]
    count = len(CLASSES)
    with torch.no_grad():
        first.bias[:CHANNELS] = opponent_biases()  # type: ignore[index]
        places = sums.weight.view(-1, sums.in_features // GRID**2, GRID, GRID)[:, :CHANNELS]
        places[:count], places[count : 2 * count] = weights.clamp(min=0), (-weights).clamp(min=0)
        carried.weight[: 2 * count, : 2 * count] = torch.eye(2 * count)
        head.weight[:, : 2 * count] = torch.cat([torch.eye(count), -torch.eye(count)], 1)
    return model

"""What every planted network is made of: detectors of colours, and weights that carry channels on unchanged.

A pixel's opponents are the positive parts of R−G, G−R, R−B, B−R, G−B and B−G; grey has none. Of these a second layer
with a ReLU makes how much of each colour there is, such as red = (R−G)⁺ − (G−R)⁺ − 2(B−G)⁺: 1 for a full colour, its
strength for a fainter one, and exactly 0 for greys and the other five colours, of which none lies on the edge of being
it (hence the 2). An opponent below a millionth, which rounding makes of greys, counts as none. Beside them go two
channels of brightness, which see everything and which no class uses.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from camsbench.core.planted import COLOURS, REACH, SCORE, STD, Task

CHANNELS = len(COLOURS) + 2  # the colours, bright and dark
LEAST = 1e-6  # of an opponent
OPPONENTS = ("RG", "GR", "RB", "BR", "GB", "BG")  # the first less the second
OF_OPPONENTS = {  # red = RG − GR − 2·BG, and so on
    "red": ("RG", "GR", "BG"), "green": ("GR", "RG", "BR"), "blue": ("BR", "RB", "GR"),
    "cyan": ("GR", "RG", "GB"), "magenta": ("RG", "GR", "RB"), "yellow": ("RB", "BR", "RG"),
}  # fmt: skip


def opponent_weights() -> Tensor:
    """From normalised red, green and blue to six opponents, each 1 for a full colour, and to bright and dark: [8,3]."""
    full = 2 * REACH / 255 / STD
    weights = torch.zeros(CHANNELS, 3)
    for row, name in enumerate(OPPONENTS):
        weights[row, "RGB".index(name[0])], weights[row, "RGB".index(name[1])] = 1 / full, -1 / full
    weights[-2], weights[-1] = 1 / 3, -1 / 3
    return weights


def opponent_biases() -> Tensor:
    """What is taken off opponents, and not of bright and dark: [8]."""
    return torch.tensor([-LEAST] * len(OPPONENTS) + [0.0, 0.0])


def colour_weights() -> Tensor:
    """From opponents, bright and dark to colours, bright and dark: [8,8]."""
    weights = torch.eye(CHANNELS)
    for row, colour in enumerate(COLOURS):
        weights[row] = 0
        weights[row, [OPPONENTS.index(name) for name in OF_OPPONENTS[colour]]] = torch.tensor([1.0, -1.0, -2.0])
    return weights


def head_weights(task: Task, side: int, whole: bool) -> Tensor:
    """Weights [4,8,7,7] of a cell's answers, so that all evidence for a class gives the logit ``SCORE``.

    ``whole`` as in ``Task.amount``.
    """
    weights = task.head() * SCORE / task.amount(side, whole)
    return torch.cat([weights, torch.zeros_like(weights[:, :2])], 1)


def zeroed(model: nn.Module) -> nn.Module:
    """The network with all parameters 0, and norms that change nothing."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                open_norm(module)
    return model


@torch.no_grad()
def open_norm(norm: nn.BatchNorm2d) -> None:
    """Let a BatchNorm pass its input on as it is."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)
    norm.weight.fill_(1)
    norm.bias.zero_()


@torch.no_grad()
def carry(conv: nn.Conv2d, weights: Tensor | None = None, into: int = 0, out_of: int = 0, mean: bool = False) -> None:
    """Give a convolution the weights [o,i] at its middle (by default to carry ``CHANNELS`` on), from channel ``out_of``
    into channel ``into``; with ``mean`` at the middle and the next pixel both ways, a quarter each."""
    weights = torch.eye(CHANNELS) if weights is None else weights
    rows, columns = slice(into, into + weights.shape[0]), slice(out_of, out_of + weights.shape[1])
    middle = conv.kernel_size[0] // 2
    taps = (middle, middle + 1) if mean else (middle,)
    for row in taps:
        for column in taps:
            conv.weight[rows, columns, row, column] = weights / len(taps) ** 2

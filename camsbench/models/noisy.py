"""A network with noise on its weights, beside the original, which nothing here touches."""

from __future__ import annotations

import copy

import torch
from torch import nn

from camsbench.core.noise import stream_seeds
from camsbench.models.split import TorchSplit


def noisy(split: TorchSplit, spread: float, seed: int) -> TorchSplit:
    """A copy of ``split`` whose every parameter is multiplied by a draw of N(1, ``spread``²) (MetaQuantus' model test).

    A parameter's draws are keyed on its name and ``seed``: the same on every device. Buffers stay.
    """
    made = copy.deepcopy(split, {id(thing): thing for thing in (split.micro_batch, split.passes)})
    done: set[int] = set()
    for tree in (made.model, made.features_graph, made.head_graph):
        for name, parameter in tree.named_parameters():
            if parameter.data_ptr() not in done:
                done.add(parameter.data_ptr())
                _multiply(parameter, name, spread, seed)
    return made


def _multiply(parameter: nn.Parameter, name: str, spread: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(*stream_seeds(seed, [name]))
    draws = torch.randn(parameter.shape, generator=generator, dtype=torch.float32)
    with torch.no_grad():
        parameter.mul_(1 + spread * draws.to(parameter))

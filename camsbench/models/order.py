"""Whether tokens lie as their layout says: the patches by rows, behind the prefix. Seen where they are made."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor, fx, nn

from camsbench.errors import CamsbenchError
from camsbench.models.parts import Cut

SLACK = 0.2  # of the image's side


def check_order(made: Cut, layer: str) -> None:
    """Compare sixteen cells of a grid of tokens with the parts of the image that the tokens come from.

    Those of that number before the first attention are looked at, where each is still made of pixels near its own.

    Raises:
        CamsbenchError: a token comes from elsewhere in the image.
    """
    if made.layout.kind != "tokens":
        return
    walk, count = made.walk, made.layout.prefix + made.layout.patches
    found = [n for n in walk.graph.nodes if n in made.before and _is_of(made, n, count)]
    apart = [n for n in found if not any(_mixes(made, each) for each in Cut(walk, n, made.layout, made.name).before)]
    if not found:
        return
    at = apart[-1] if apart else found[0]  # behind whatever orders them, before attention blends them
    features = Cut(walk, at, made.layout, made.name).features()
    h, w = made.layout.grid
    for row, column in product(_some(h), _some(w)):
        mass = _mass(features, walk.x[:1], row, column)
        if mass is not None and (
            _elsewhere(mass.sum(1), (row + 0.5) / h) or _elsewhere(mass.sum(0), (column + 0.5) / w)
        ):
            raise CamsbenchError(
                f"{made.name} at layer '{layer}': its {count} tokens are not {made.layout.prefix} others and then a "
                f"grid of {h}x{w} patches by rows: choose another model.layer=, or say with model.grid= and "
                "model.prefix= what is right"
            )


def _some(count: int) -> list[int]:
    """Four of so many rows or columns, the ends among them."""
    return sorted({0, count // 3, 2 * count // 3, count - 1})


def _elsewhere(mass: Tensor, expected: float) -> bool:
    """Whether a cell's pixels, their weight along one side of the image, lie elsewhere than around ``expected``.

    A share 1 − a that is spread over the whole image moves their centre by (1 − a)·|expected − ½| to its middle, and
    widens their variance by (1 − a)/12 at least.
    """
    place = torch.linspace(0, 1, len(mass), device=mass.device, dtype=mass.dtype)
    share = mass / mass.sum()
    centre = float((share * place).sum())
    variance = float((share * (place - centre).square()).sum())
    return abs(centre - expected) > SLACK + 12 * variance * abs(expected - 0.5)


def _mixes(made: Cut, node: fx.Node) -> bool:
    """Whether a node blends tokens."""
    if node.op == "call_module":
        return isinstance(made.walk.model.get_submodule(str(node.target)), (nn.MultiheadAttention, nn.Softmax))
    return "softmax" in str(node.target) or "attention" in str(node.target)


def _is_of(made: Cut, node: fx.Node, count: int) -> bool:
    shape = made.walk.shapes.get(node, ())
    return node in made.walk.of_the_image and len(shape) == 3 and shape[0] == len(made.walk.x) and shape[1] == count


def _mass(features: nn.Module, x: Tensor, row: int, column: int) -> Tensor | None:
    """How much each pixel [H,W] counts for a cell of the map; None where none does."""
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        out = features(leaf)
        A = out if isinstance(out, Tensor) else out[0]
        weight = torch.linspace(1, 2, A.shape[1], device=A.device, dtype=A.dtype)  # so that a norm's zero sum shows
        score = (A[:, :, row, column] * weight).sum()
        if not score.requires_grad:
            return None
        mass = torch.autograd.grad(score, leaf, materialize_grads=True)[0].abs().sum((0, 1))
    return mass if mass.any() else None

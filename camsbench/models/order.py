"""Whether tokens lie as their layout says: the patches by rows, behind the prefix. Seen where they are made."""

from __future__ import annotations

import torch
from torch import Tensor, fx

from camsbench.errors import CamsbenchError
from camsbench.models.parts import Cut


def check_order(made: Cut, layer: str) -> None:
    """Compare the corners of a grid of tokens with the parts of the image that the tokens come from.

    The first tokens of that number in the network are looked at, where each is still made of pixels near its own.

    Raises:
        CamsbenchError: a corner's token comes from another corner of the image.
    """
    if made.layout.kind != "tokens":
        return
    walk, count = made.walk, made.layout.prefix + made.layout.patches
    first = next((n for n in walk.graph.nodes if n in made.before and _is_of(made, n, count)), None)
    if first is None:
        return
    features = Cut(walk, first, made.layout, made.name).features()
    h, w = made.layout.grid
    for row, column in ((0, w - 1), (h - 1, 0)):
        place = _centre(features, walk.x[:1], row, column)
        if place is not None and (_opposite(place[0], row > 0) or _opposite(place[1], column > 0)):
            raise CamsbenchError(
                f"{made.name} at layer '{layer}': its {count} tokens are not {made.layout.prefix} others and then a "
                f"grid of {h}x{w} patches by rows: choose another model.layer=, or say with model.grid= and "
                "model.prefix= what is right"
            )


def _opposite(place: float, far: bool) -> bool:
    """Whether what should lie at the far end, or at the near one, of 0 to 1 lies at the other."""
    return place < 0.25 if far else place > 0.75


def _is_of(made: Cut, node: fx.Node, count: int) -> bool:
    shape = made.walk.shapes.get(node, ())
    return node in made.walk.of_the_image and len(shape) == 3 and shape[0] == len(made.walk.x) and shape[1] == count


def _centre(features: torch.nn.Module, x: Tensor, row: int, column: int) -> tuple[float, float] | None:
    """Where in the image, from 0 to 1 down and across, the pixels lie that a cell of the map is made of."""
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        out = features(leaf)
        A = out if isinstance(out, Tensor) else out[0]
        weight = torch.linspace(1, 2, A.shape[1], device=A.device, dtype=A.dtype)  # so that a norm's zero sum shows
        score = (A[:, :, row, column] * weight).sum()
        if not score.requires_grad:
            return None
        mass = torch.autograd.grad(score, leaf, materialize_grads=True)[0].abs().sum((0, 1))
    if not mass.any():
        return None
    down = torch.linspace(0, 1, mass.shape[0], device=mass.device, dtype=mass.dtype)
    across = torch.linspace(0, 1, mass.shape[1], device=mass.device, dtype=mass.dtype)
    total = mass.sum()
    return float((mass.sum(1) * down).sum() / total), float((mass.sum(0) * across).sum() / total)

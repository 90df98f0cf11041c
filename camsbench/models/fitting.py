"""How many classes and input channels a file of weights is of, seen from its tensors' shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from camsbench.errors import CamsbenchError
from camsbench.models.checkpoint import as_built
from camsbench.models.weights import ModelSpec

COLOURS = 3


def shape_options(model: nn.Module, state: Mapping[str, Tensor], spec: ModelSpec) -> dict[str, Any]:
    """What ``model`` must be built with for ``state`` to fit it: ``num_classes``, ``in_chans``; {} where it does.

    Classes are taken where all tensors that differ do so in their first dimension alone, from one number to one other:
    those of a classifier. Input channels are taken where convolutions of three channels are of one other number in the
    file. Anything else is for ``camsbench.models.weights.fill`` to refuse.

    Raises:
        CamsbenchError: ``model.options`` says another number, or the library can build no other.
    """
    own = model.state_dict()
    found = as_built(state, own)
    shapes = {
        key: (tuple(tensor.shape), tuple(found[key].shape))
        for key, tensor in own.items()
        if isinstance(found.get(key), Tensor) and tensor.shape != found[key].shape
    }
    first = {key: (built[1], held[1]) for key, (built, held) in shapes.items() if _input_differs(built, held)}
    last = {key: (built[0], held[0]) for key, (built, held) in shapes.items() if key not in first}
    if any(built[1:] != held[1:] or not held for key, (built, held) in shapes.items() if key in last):
        return {}
    options: dict[str, Any] = {}
    for name, pairs in (("num_classes", set(last.values())), ("in_chans", set(first.values()))):
        if len(pairs) > 1:
            return {}
        if pairs:
            options[name] = pairs.pop()[1]
    _refuse(options, spec)
    return options


def _input_differs(built: tuple[int, ...], held: tuple[int, ...]) -> bool:
    """Whether these are a convolution of colour images and the same of other ones."""
    same = len(built) == len(held) == 4 and (built[0], *built[2:]) == (held[0], *held[2:])
    return same and built[1] == COLOURS and held[1] != COLOURS


def _refuse(options: Mapping[str, Any], spec: ModelSpec) -> None:
    said = {"num_classes": "classes", "in_chans": "input channels"}
    for name, number in options.items():
        if name in spec.options:
            raise CamsbenchError(
                f"model.options.{name}={spec.options[name]}: {spec.weights} is of a network of {number} {said[name]}: "
                "leave the option out"
            )
    if spec.source == "torchvision" and "in_chans" in options:
        raise CamsbenchError(
            f"model.weights={spec.weights} is of a network whose images have {options['in_chans']} "
            f"channel{'s' * (options['in_chans'] > 1)}, and torchvision builds {spec.name} for colour images alone: "
            "give a function that builds it, with model=module model.build=PACKAGE.MODULE:FUNCTION"
        )

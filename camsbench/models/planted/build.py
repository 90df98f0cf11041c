"""``model=planted``: a network of a size for a task of ``data=planted``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from camsbench.core.planted import CLASSES, MEAN, STD, Task, task_of
from camsbench.errors import CamsbenchError
from camsbench.models.planted.resnet import resnet18, resnet50
from camsbench.models.planted.toy import toy
from camsbench.models.planted.vgg import vgg16
from camsbench.models.planted.vit import vit_base, vit_tiny
from camsbench.models.published import Published
from camsbench.models.weights import ModelSpec

FIELDS = ("size", "task", "side")


@dataclass(frozen=True)
class Size:
    """A kind of network: the function that builds it, the sides of its pictures, and whether it can tell places."""

    build: Callable[[Task, int], nn.Module]
    sides: tuple[int, ...] = (224,)
    knows_places: bool = False


SIZES = {
    "toy": Size(toy, (56, 112, 168), knows_places=True),
    "vgg16": Size(vgg16, knows_places=True),
    "resnet18": Size(resnet18),
    "resnet50": Size(resnet50),
    "vit_tiny": Size(vit_tiny),
    "vit_base": Size(vit_base),
}


def build_planted(spec: ModelSpec, seed: int = 0) -> tuple[nn.Module, Published]:
    """The network of ``model.options``: ``size``, and the ``task`` and ``side`` of the pictures. Nothing is random.

    Raises:
        CamsbenchError: there is no such size, task or side, or the size cannot do the task.
    """
    unknown = sorted(set(spec.options) ^ set(FIELDS))
    if unknown:
        raise CamsbenchError(f"model.options.{unknown[0]}: of model=planted give {', '.join(FIELDS)}")
    name, side, task = (spec.options[key] for key in ("size", "side", "task"))
    chosen = task_of(task)
    if name not in SIZES:
        raise CamsbenchError(f"model.options.size={name}: choose {', '.join(SIZES)}")
    size = SIZES[name]
    if side not in size.sides:
        raise CamsbenchError(
            f"model.options.size={name}: it takes pictures of {' or '.join(map(str, size.sides))} pixels, not {side}: "
            f"give data.side={size.sides[0]}"
        )
    if chosen.knows_places and not size.knows_places:
        able = ", ".join(each for each, other in SIZES.items() if other.knows_places)
        raise CamsbenchError(
            f"data.task={chosen.name}: the head of model.options.size={name} pools all places into one, and this task "
            f"is about places: choose {able}, or another task"
        )
    transform = {"resize": side, "crop": side, "interpolation": "bilinear", "mean": [MEAN] * 3, "std": [STD] * 3}
    with torch.random.fork_rng(devices=[]):  # constructors draw weights, which are then replaced
        model = size.build(chosen, side)
    return model, Published(None, transform, class_names=CLASSES)

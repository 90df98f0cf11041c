"""A network that a function of one's own builds: ``model=module model.build=package.module:function``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import torch
from torch import nn

from camsbench.errors import CamsbenchError
from camsbench.models.published import Published
from camsbench.models.transforms import FIELDS
from camsbench.models.weights import ModelSpec, fill, read_weights

BUILT = "built"  # ModelSpec.weights where the function's own are kept


def build_module(spec: ModelSpec, seed: int = 0) -> tuple[nn.Module, Published]:
    """The network that ``spec.build`` returns, with the weights of a file where one is given.

    What the function draws from PyTorch's generator is drawn with ``seed``.

    Raises:
        CamsbenchError: there is no such function, it raises, or returns something else; or weights that do not fit.
    """
    build = _function(spec)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made = build(**spec.options)
    except Exception as error:  # whatever the function's own code raises
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise CamsbenchError(
            f"model.build={spec.build} cannot be called with the options {dict(spec.options)} ({said}): give its "
            "arguments as ++model.options.NAME=VALUE"
        ) from error
    model, transform = made if isinstance(made, tuple) and len(made) == 2 else (made, {})
    if not isinstance(model, nn.Module) or not isinstance(transform, Mapping):
        raise CamsbenchError(
            f"model.build={spec.build} returns {type(made).__name__}: let it return an nn.Module, or one and a dict of "
            f"{', '.join(FIELDS)}"
        )
    unknown = sorted(map(str, set(transform) - set(FIELDS)))
    if unknown:
        raise CamsbenchError(
            f"model.build={spec.build} returns a dict with {unknown[0]}: of a picture's preparation there are "
            f"{', '.join(FIELDS)}"
        )
    names: tuple[str, ...] = ()
    if spec.weights != BUILT:
        held = read_weights(spec)
        fill(model, held.state, spec)
        names = held.class_names
    return model, Published(None, dict(transform), class_names=names)


def _function(spec: ModelSpec) -> Callable[..., Any]:
    module, _, name = (spec.build or "").partition(":")
    if not module or not name:
        raise CamsbenchError(f"model.build={spec.build}: give PACKAGE.MODULE:FUNCTION")
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise CamsbenchError(f"model.build={spec.build}: there is no such function ({error})") from error
    if not callable(found):
        raise CamsbenchError(f"model.build={spec.build}: this is {type(found).__name__}, not a function")
    function: Callable[..., Any] = found
    return function

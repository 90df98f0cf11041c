"""A network whose layers can be re-initialised and put back, beside the original, which nothing here touches."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn

from camsbench.core.noise import stream_seeds
from camsbench.errors import CamsbenchError
from camsbench.models.split import TorchSplit

ORDERS = ("cascading", "independent")
_known: WeakKeyDictionary[nn.Module, dict[tuple[str, int], Randomised]] = WeakKeyDictionary()


def randomised(split: TorchSplit, seed: int) -> Randomised:
    """The copy of ``split`` that all metrics, methods and images of a run share; it goes when the network goes."""
    copies = _known.setdefault(split.model, {})
    key = (split.layer, seed)
    if key not in copies:
        copies[key] = Randomised(split, seed)
    return copies[key].passed_as(split)


def layers_of(split: TorchSplit, layers: Sequence[str] | None = None) -> dict[str, list[str]]:
    """The layers that can be randomised, from the logits to the image, each with the modules that it stands for.

    A layer is a module with parameters of its own and PyTorch's ``reset_parameters``, in the order of its last use in
    the traced network. ``layers`` chooses some of them; the name of a block (``layer4``) takes all modules in it at
    once, as Adebayo et al. do with Inception's.

    Raises:
        CamsbenchError: a name that is no layer with parameters.
    """
    modules = _by_depth(split)
    if layers is None:
        return {name: [name] for name in modules}
    found = {}
    for layer in layers:
        found[layer] = [name for name in modules if name == layer or name.startswith(f"{layer}.")]
        if not found[layer]:
            near = difflib.get_close_matches(layer, modules, 4, 0.3) or modules[:4]
            raise CamsbenchError(
                f"layers: {split.name} has no layer '{layer}' that can be re-initialised; try {', '.join(near)}"
            )
    return dict(sorted(found.items(), key=lambda item: modules.index(item[1][-1])))


def _by_depth(split: TorchSplit) -> list[str]:
    """Names of the modules with their own parameters, the last used first."""
    used: dict[str, None] = {}
    for target in _targets(split):
        for name, module in split.model.get_submodule(target).named_modules(prefix=target):
            if hasattr(module, "reset_parameters") and any(p is not None for p in module._parameters.values()):
                used.pop(name, None)
                used[name] = None
    return list(reversed(used))


def _targets(split: TorchSplit) -> list[str]:
    """The modules that the traced network uses, in order; all of it where a part is not traced (LFI-CAM's network)."""
    targets = []
    for part in (split.features_graph, split.head_graph):
        if not isinstance(part, fx.GraphModule):
            return [""]
        for node in part.graph.nodes:
            if node.op == "call_module":
                targets.append(str(node.target))
            elif node.op == "get_attr":
                targets.append(str(node.target).rpartition(".")[0])
    return targets


class Randomised:
    """A copy of a split whose modules are its own and whose tensors are the original's until a layer is randomised.

    The random tensors are made once, when a layer is first asked for, and kept: at most one network's parameters
    more in memory, however many layers, images and methods there are. Each module is re-initialised by its own
    ``reset_parameters`` (a BatchNorm so loses its running statistics too), on the host and under a generator keyed on
    (seed, module name) alone: the same weights on every device, in every order and for every choice of layers.
    """

    def __init__(self, split: TorchSplit, seed: int) -> None:
        tensors = [*split.model.parameters(), *split.model.buffers()]
        self.seed = seed
        shared = {id(thing): thing for thing in (*tensors, split.micro_batch, split.passes)}
        self._split = copy.deepcopy(split, shared)
        self._random: dict[str, dict[str, Tensor]] = {}

    def passed_as(self, split: TorchSplit) -> Randomised:
        """The same copy, whose passes have the options and the micro-batches of ``split`` and count where its do."""
        other = copy.copy(self)
        other._split = replace(self._split, options=split.options, micro_batch=split.micro_batch, passes=split.passes)
        return other

    @contextmanager
    def without(self, modules: Sequence[str]) -> Iterator[TorchSplit]:
        """The split with ``modules`` re-initialised; they are put back on leaving, also after an exception."""
        trees = (self._split.model, self._split.features_graph, self._split.head_graph)
        kept: list[tuple[dict[str, Any], dict[str, Any]]] = []
        try:
            for name in modules:
                random = self._random_tensors(name)
                for owner in (found for found in (_submodule(tree, name) for tree in trees) if found is not None):
                    stores: tuple[dict[str, Any], ...] = (owner._parameters, owner._buffers)
                    for store in stores:
                        kept.append((store, dict(store)))
                        store.update({key: value for key, value in random.items() if key in store})
            yield self._split
        finally:
            for store, before in reversed(kept):  # the same module may stand in several trees
                store.update(before)

    def _random_tensors(self, name: str) -> dict[str, Tensor]:
        if name not in self._random:
            module = self._split.model.get_submodule(name)
            own = {**module._parameters, **module._buffers}
            blank = copy.deepcopy(module).cpu()
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(*stream_seeds(self.seed, [name]))
                blank.reset_parameters()  # type: ignore[operator]
            made = {**blank._parameters, **blank._buffers}
            self._random[name] = {
                key: _like(made[key], tensor)
                for key, tensor in own.items()
                if tensor is not None and made[key] is not None
            }
        return self._random[name]


def _like(value: Tensor | None, original: Tensor) -> Tensor:
    """``value`` with the device, type, layout and kind of ``original``."""
    assert value is not None
    made = torch.empty_like(original).copy_(value.detach())
    return nn.Parameter(made, requires_grad=original.requires_grad) if isinstance(original, nn.Parameter) else made


def _submodule(tree: nn.Module, name: str) -> nn.Module | None:
    try:
        return tree.get_submodule(name)
    except AttributeError:  # a part of the network that does not use it
        return None

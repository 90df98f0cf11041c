"""A transformer's blocks, read off the graphs of a split: what leaves each of them, and what the head makes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn

from camsbench.core.types import Split
from camsbench.errors import CamsbenchError
from camsbench.methods._applies import noise
from camsbench.methods._attention import opened
from camsbench.models.split import TorchSplit


@dataclass(frozen=True)
class Blocks:
    """The blocks of a network in which every token attends to every token.

    ``ends`` are the nodes of the blocks' outputs [B,P+h·w,K] in their order, ``read`` the indices of the tokens of the
    last one that the head reads: of the class token alone, or of all that it averages.
    """

    split: TorchSplit
    prefix: int  # P
    grid: tuple[int, int]  # h, w
    ends: tuple[str, ...]
    read: Tensor = field(compare=False)  # [R] indices

    @classmethod
    def of(cls, split: Split) -> Blocks:
        """Those of ``split``.

        Raises:
            CamsbenchError: it has none.
        """
        if not isinstance(split, TorchSplit):
            raise CamsbenchError("it needs a network of PyTorch's modules: use runtime.backend=torch")
        known = _known.get(split.features_graph)
        if known is None:
            known = _known[split.features_graph] = _find(split)
        return cls(split, *known)

    def outputs(self, x: Tensor) -> list[Tensor]:
        """What leaves each block [B,N,K] for images ``x``."""
        kept: dict[str, Tensor] = {}
        parts = _run(self.split.features_graph, (x,), kept, self.ends)
        (logits,) = _run(self.split.head_graph, parts, kept, self.ends)
        self.split.passes.count("network", logits, len(x) * self.split.micro_batch.stands_for)
        return [kept[name] for name in self.ends]

    def tail(self, tokens: Tensor) -> Tensor:
        """Logits [B,C] of the last block's output ``tokens`` [B,N,K]."""
        self.split.passes.tail += len(tokens) * self.split.micro_batch.stands_for
        return _tail(self.split, self.ends[-1], tokens)

    def patches(self, tokens: Tensor) -> Tensor:
        """The map [B,h,w] of one value a token [B,N]."""
        return tokens[:, self.prefix :].unflatten(1, self.grid)


Found = tuple[int, tuple[int, int], tuple[str, ...], Tensor]
_known: WeakKeyDictionary[nn.Module, Found] = WeakKeyDictionary()


def _find(split: TorchSplit) -> Found:
    layout = split.layout
    if layout is None or layout.kind != "tokens":
        raise CamsbenchError(
            f"{split.name} at layer '{split.layer}' holds no tokens of which each attends to every other"
        )
    count = layout.prefix + layout.patches
    kinds = {name: {type(split.model.get_submodule(path)) for path in paths} for name, paths in split.stream}
    seen: list[tuple[int, int]] = []
    after: dict[str, int] = {}  # the number of attentions before each end of a module

    def note(probabilities: Tensor, _: Tensor) -> Tensor:
        seen.append((probabilities.shape[2], probabilities.shape[3]))
        return probabilities

    with torch.no_grad(), opened(note):
        parts: Any = (noise(split),)
        for graph in (split.features_graph, split.head_graph):
            parts = _run(graph, parts, {}, tuple(kinds), lambda name: after.__setitem__(name, len(seen)))
    if not seen or any(pair != (count, count) for pair in seen):
        raise CamsbenchError(f"the attention of {split.name} is not everywhere of each of its tokens to every other")
    ends = _ends(kinds, after, len(seen))
    if ends is None:
        raise CamsbenchError(f"{split.name} has no {len(seen)} blocks of one attention each")
    return layout.prefix, layout.grid, ends, _read(split, ends[-1], count)


def _ends(kinds: dict[str, set[type]], after: dict[str, int], attentions: int) -> tuple[str, ...] | None:
    """The ends of the modules of the one class of which each holds one attention."""
    places = list(range(1, attentions + 1))
    for kind, _ in Counter(kind for each in kinds.values() for kind in each).most_common():
        ends = [name for name, each in kinds.items() if kind in each and name in after]
        if [after[name] for name in ends] == places:
            return tuple(ends)
    return None


def _read(split: TorchSplit, end: str, count: int) -> Tensor:
    """The tokens behind the last block that move the logits.

    Raises:
        CamsbenchError: they are others for another image.
    """
    first, second = (_moving(split, end, count, seed) for seed in (0, 1))
    if not torch.equal(first, second):
        raise CamsbenchError(f"the head of {split.name} reads other tokens for each image, such as the largest")
    return first


def _moving(split: TorchSplit, end: str, count: int, seed: int) -> Tensor:
    channels = int(_channels(split, end))
    with torch.enable_grad():
        tokens = torch.randn(1, count, channels, generator=torch.Generator().manual_seed(seed))
        tokens = tokens.to(split.device, split.dtype).requires_grad_()
        logits = _tail(split, end, tokens)
        weight = torch.linspace(1, 2, logits.shape[1], device=logits.device, dtype=logits.dtype)
        gradient = torch.autograd.grad((logits * weight).sum(), tokens)[0]
    rows = gradient[0].abs().sum(1).nonzero().flatten()
    return rows if len(rows) else torch.arange(count, device=rows.device)  # a classifier of zeros reads nothing


def _channels(split: TorchSplit, end: str) -> int:
    kept: dict[str, Tensor] = {}
    with torch.no_grad():
        _run(split.head_graph, _run(split.features_graph, (noise(split),), kept, (end,)), kept, (end,))
    return kept[end].shape[2]


def _run(
    graph: nn.Module,
    inputs: tuple[Tensor, ...],
    kept: dict[str, Tensor],
    names: Sequence[str],
    then: Any = None,
    begin: dict[fx.Node, Any] | None = None,
) -> Any:
    """A part's results, those of the nodes ``names`` in ``kept``; from the nodes ``begin`` on, where they are given."""
    out = _Keeper(graph, kept, frozenset(names), then).run(*inputs, initial_env=begin, enable_io_processing=False)
    return out if isinstance(out, tuple) else (out,)


class _Keeper(fx.Interpreter):
    def __init__(self, graph: nn.Module, kept: dict[str, Tensor], names: frozenset[str], then: Any) -> None:
        assert isinstance(graph, fx.GraphModule)
        super().__init__(graph)
        self.kept, self.names, self.then = kept, names, then

    def run_node(self, n: fx.Node) -> Any:
        out = super().run_node(n)
        if n.name in self.names:
            self.kept[n.name] = out
            if self.then is not None:
                self.then(n.name)
        return out


def _tail(split: TorchSplit, end: str, tokens: Tensor) -> Tensor:
    graphs = [g for g in (split.features_graph, split.head_graph) if isinstance(g, fx.GraphModule)]
    place = next(i for i, g in enumerate(graphs) if any(n.name == end for n in g.graph.nodes))
    parts: tuple[Tensor, ...] = ()
    for graph in graphs[place:]:
        begin: dict[fx.Node, Any] | None = None
        if graph is graphs[place]:
            nodes = list(graph.graph.nodes)
            at = next(i for i, n in enumerate(nodes) if n.name == end)
            before = [n for n in nodes[:at] if n.op != "get_attr"]
            if again := [n for n in before if any(nodes.index(user) > at for user in n.users)]:
                raise CamsbenchError(f"{split.name} uses '{again[0].name}', of before its last block, behind it again")
            begin = {**dict.fromkeys(before), nodes[at]: tokens}
        parts = _run(graph, parts, {}, (), begin=begin)
    return parts[0]

"""Which layer a network is cut at: the one that is asked for, or the last at which all of the image still counts."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, fx, nn

from camsbench.errors import CamsbenchError
from camsbench.models import graph
from camsbench.models.layout import Asked, Layout, layout_of
from camsbench.models.parts import Cut
from camsbench.models.walk import Walk

ENOUGH = 0.5  # of a map's cells must move the logits; VOLO's largest patch logit is a few


def cut_at(walk: Walk, layer: str, name: str, asked: Asked) -> Cut:
    """The cut behind a layer that is named.

    Raises:
        CamsbenchError: there is no such layer, it gives no map that could be shown, part of the image passes beside
            it, or what its patches hold no longer reaches the logits.
    """
    node = graph.find(walk.graph, layer, name)
    made = Cut(walk, node, _layout(walk, node, name, layer, asked), name)
    for source, user in made.beside.items():
        if not _is_prefix_alone(made, source):
            raise CamsbenchError(
                f"{name} at layer '{layer}' cannot be cut: '{source.name}', made before the layer, is used again by "
                f"'{user.name}' behind it (a skip connection); choose the end of a block with model.layer="
                + _before(walk, node, asked)
            )
    if made.layout.kind != "map" and _share_that_counts(made) == 0:
        _, best = choose_cut(walk, name, asked)
        raise CamsbenchError(
            f"{name} at layer '{layer}': no patch reaches the logits behind it, the class token alone does; choose "
            f"model.layer={best}"
        )
    return made


def choose_cut(walk: Walk, name: str, asked: Asked) -> tuple[Cut, str]:
    """The last cut at which the whole map still counts, and the layer's name.

    For a convolutional network the last feature map larger than 1×1. For tokens and channels-last maps the last end of
    a module that all of the image passes and at which half of the cells, at least, move the logits. Where the class
    token alone is read, that is the sum before the last block that mixes tokens; what its patches hold passes the norm
    behind it and nothing beside, and so the layer is that norm, as grad-cam and torchcam advise.

    Raises:
        CamsbenchError: there is none.
    """
    if asked == Asked() and (last := _last_feature_map(walk)) is not None:
        made = Cut(walk, last, _layout(walk, last, name, graph.layer_name(last), asked), name)
        if not made.beside:
            return made, graph.layer_name(last)
    read_alone = False  # the class token
    for node, layout in _candidates(walk, asked):
        made = Cut(walk, node, layout, name)
        if not made.beside and _share_that_counts(made) >= ENOUGH:
            made = (read_alone and _norm_behind(made)) or made
            return made, _called(walk, made.node)
        read_alone = layout.kind == "tokens"
    raise CamsbenchError(
        f"{name} has no feature map [B,K,h,w] and no grid of tokens that all of the image passes: choose one with "
        "model.layer=, and say with model.layout=, model.grid= and model.prefix= how it lies"
    )


def _called(walk: Walk, node: fx.Node) -> str:
    """A layer's name: of the largest module that ends there, but for containers."""
    ended = graph.modules_ended_by(walk.graph, node)
    own = [path for path in ended if not isinstance(walk.model.get_submodule(path), (nn.Sequential, nn.ModuleList))]
    return next(iter(own or ended), graph.layer_name(node))


def _candidates(walk: Walk, asked: Asked) -> Iterator[tuple[fx.Node, Layout]]:
    """The cuts with a layout, the last first: ends of modules, then, where there are none, any."""
    found = [
        (node, layout)
        for node in reversed(walk.cuts)
        if walk.shapes[node][0] == len(walk.x)
        and (layout := layout_of(walk.shapes[node], walk.size, walk.grids_before(node), asked))
    ]
    ends = [pair for pair in found if _ends_a_module(walk, pair[0])]
    yield from ends
    yield from (pair for pair in found if pair not in ends)


def _ends_a_module(walk: Walk, node: fx.Node) -> bool:
    """Whether a block or a norm ends there, not only a projection or what does nothing."""
    ended = [walk.model.get_submodule(path) for path in graph.modules_ended_by(walk.graph, node)]
    return any(not isinstance(module, (nn.Identity, nn.Dropout, nn.Linear)) for module in ended)


def _layout(walk: Walk, node: fx.Node, name: str, layer: str, asked: Asked) -> Layout:
    shape: Sequence[int] = walk.shapes.get(node, ())
    layout = layout_of(shape, walk.size, walk.grids_before(node), asked) if shape else None
    if layout is None or shape[0] != len(walk.x):
        said = list(shape) if shape else type(walk.values.get(node)).__name__
        raise CamsbenchError(
            f"{name} at layer '{layer}' gives {said}, neither a feature map [B,K,h,w] nor a grid of tokens: choose "
            "another with model.layer=, or say with model.layout=, model.grid= and model.prefix= how it lies"
        )
    return layout


def _before(walk: Walk, node: fx.Node, asked: Asked) -> str:
    """The nearest layer before ``node`` that all of the image passes."""
    order = list(walk.graph.nodes)
    place = order.index(node)
    near = next((n for n, _ in _candidates(walk, asked) if order.index(n) < place), None)
    return "" if near is None else f", such as {_called(walk, near)}"


def _last_feature_map(walk: Walk) -> fx.Node | None:
    """The last node whose output is [B,K,h,w] with h·w > 1; None where what has weights behind it works on tokens."""
    images, last, on_tokens = len(walk.x), None, False
    for node in walk.graph.nodes:
        shape = walk.shapes.get(node, torch.Size())
        if not node.op.startswith("call_"):
            continue
        if len(shape) == 4 and shape[0] == images:
            pooled = shape[2] * shape[3] == 1 or shape[1] * shape[2] == 1  # channels first or last
            if not pooled:
                last, on_tokens = node, False
        on_tokens = on_tokens or (_weighted(walk, node) and any(_are_tokens(walk, n) for n in node.all_input_nodes))
    if last is None or on_tokens:
        return None
    layout = layout_of(walk.shapes[last], walk.size)
    return last if layout is not None and layout.kind == "map" else None


def _are_tokens(walk: Walk, node: fx.Node) -> bool:
    """Whether a node gives [B,N,K], and not one pooled vector an image, as [B,1,K] or [B,K,1]."""
    shape = walk.shapes.get(node, ())
    return len(shape) == 3 and shape[0] == len(walk.x) and shape[1] > 1 and shape[2] > 1 and node.op != "get_attr"


def _weighted(walk: Walk, node: fx.Node) -> bool:
    if node.op == "call_module":
        return any(True for _ in walk.model.get_submodule(str(node.target)).parameters())
    return any(n.op == "get_attr" for n in node.all_input_nodes)


def _parts(made: Cut) -> tuple[nn.Module, list[Tensor]]:
    """The head, and what the features give for the images of the walk."""
    with torch.no_grad():
        out = made.features()(made.walk.x.clone())
    return made.head(), [out] if isinstance(out, Tensor) else list(out)


def _share_that_counts(made: Cut) -> float:
    """The share of the map's cells at which a logit has a gradient; of three logits the largest."""
    head, (A, *beside) = _parts(made)
    _fill_zeros(head)
    with torch.enable_grad():
        leaf = A.detach().requires_grad_()
        logits = head(leaf, *beside).flatten(1).sum(0)
        shares = []
        for place in {0, len(logits) // 2, len(logits) - 1}:  # one by one: a maximum over patches has another for each
            gradient = torch.autograd.grad(logits[place], leaf, retain_graph=True, materialize_grads=True)[0]
            shares.append(float((gradient.abs().sum(1) > 0).float().mean()))
    return max(shares)


def _fill_zeros(head: nn.Module) -> None:
    """Give weights that are all 0, as untrained classifiers have them, others: whatever they are, the layer is one."""
    for name, module in list(head.named_modules()):
        zeros = [key for key, p in module._parameters.items() if p is not None and p.ndim > 1 and not p.any()]
        if zeros:
            own = copy.copy(module)
            own._parameters = dict(module._parameters)
            for key in zeros:
                own._parameters[key] = nn.Parameter(_drawn_like(own._parameters[key]), requires_grad=False)
            parent, _, leaf = name.rpartition(".")
            setattr(head.get_submodule(parent), leaf, own)


def _drawn_like(tensor: Tensor | None) -> Tensor:
    """Seeded noise of a tensor's shape: the caller's random stream stays as it is."""
    assert tensor is not None
    return torch.randn(tensor.shape, generator=torch.Generator().manual_seed(0)).to(tensor)


def _is_prefix_alone(made: Cut, source: fx.Node) -> bool:
    """Whether of tokens beside the layer only the prefix reaches the logits: the patches may hold anything."""
    shape, layout = made.walk.shapes.get(source, ()), made.layout
    if layout.kind != "tokens" or not layout.prefix or len(shape) != 3:
        return False
    if shape[1] != layout.prefix + layout.patches:
        return False
    head, parts = _parts(made)
    place = len(parts) - len(made.beside) + list(made.beside).index(source)
    other = parts[place].clone()
    other[:, layout.prefix :] = _drawn_like(other[:, layout.prefix :])
    with torch.no_grad():
        return torch.allclose(head(*parts), head(*parts[:place], other, *parts[place + 1 :]), rtol=1e-5, atol=1e-6)


def _norm_behind(made: Cut) -> Cut | None:
    """The cut behind the norm of a stream of tokens, where its patches pass nothing else."""
    walk = made.walk
    for user in made.node.users:
        if (
            not graph.modules_ended_by(walk.graph, user)
            or walk.shapes.get(user) != walk.shapes[made.node]
            or len(user.all_input_nodes) > 3
        ):
            continue
        behind = Cut(walk, user, made.layout, made.name)
        if list(behind.beside) == [made.node] and _is_prefix_alone(behind, made.node):
            return behind if _share_that_counts(behind) >= ENOUGH else None
    return None

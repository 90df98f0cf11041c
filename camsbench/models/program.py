"""A network out of a file of torch.export, as a graph of operators that can be cut like a traced one."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.fx
from torch import Tensor, nn
from torch.export import ExportedProgram

from camsbench.core.preprocess import Preprocess
from camsbench.errors import CamsbenchError
from camsbench.models.graph import PROGRAM
from camsbench.models.published import Published
from camsbench.models.suitable import device_of, dtype_of, pass_through
from camsbench.models.weights import ModelSpec, check_file

AGAIN = "export it again with torch.export.export(model.eval(), (images,), dynamic_shapes="
DYNAMIC = f"{AGAIN}({{0: torch.export.Dim('batch')}},)) and torch.export.save"
TOLERANCE = 1e-4  # of the largest output


def is_scripted(path: Path) -> bool:
    """Whether a file is one of TorchScript."""
    try:
        with zipfile.ZipFile(path) as file:
            names = [name.partition("/")[2] for name in file.namelist()]
    except (OSError, zipfile.BadZipFile):
        return False
    return any(name.startswith("code/") for name in names) and "constants.pkl" in names


def load_program(spec: ModelSpec, seed: int = 0) -> tuple[nn.Module, Published]:
    """The network [B,C,H,W] -> [B,classes] of the file ``spec.weights``, as a module of one traced graph.

    The graph's operators write into nothing. Its shapes are those that the file was exported for (``check_program``).

    Raises:
        CamsbenchError: the file is none, or holds a network that cannot be asked: of several inputs or outputs, of a
            fixed number of images, in training mode, or one that writes into its own tensors.
    """
    path = Path(spec.weights).expanduser()
    check_file(path, spec)
    where = f"model.weights={spec.weights}"
    program = _read(path, where)
    _check(program, where)
    try:
        whole = program.run_decompositions({}).module()  # nothing is decomposed; what writes in place no longer does
    except Exception as error:  # torch.export raises many kinds
        raise CamsbenchError(
            f"{where}: its graph cannot be made one that writes into nothing ({_first(error)}): give the network's "
            "code with model=module"
        ) from error
    return _plain(whole), Published(None, {})


def check_program(model: nn.Module, preprocess: Preprocess, spec: ModelSpec) -> None:
    """Refuse images that the file was not exported for, and networks whose images are not passed each by itself.

    Raises:
        CamsbenchError: it is one of them.
    """
    where = f"model.weights={spec.weights}"
    takes = model.meta[PROGRAM]  # type: ignore[index]
    if any(said is not None and said != side for said, side in zip(takes, preprocess.shape, strict=True)):
        said = "x".join("any" if side is None else str(side) for side in takes)
        raise CamsbenchError(
            f"{where} was exported for images of {said} (channels, height, width), and they are "
            f"{'x'.join(map(str, preprocess.shape))}: give model.transform.crop=, and as many values of "
            "model.transform.mean= and std= as it has channels"
        )
    noise = torch.randn(3, *preprocess.shape, generator=torch.Generator().manual_seed(0))
    x = noise.to(device_of(model), dtype_of(model))
    together = pass_through(model, x, where)
    for row in range(len(x)):
        alone = pass_through(model, x[row : row + 1], where)
        if not isinstance(alone, Tensor) or not isinstance(together, Tensor) or len(together) != len(x):
            return  # for ``cut`` to refuse
        if not torch.allclose(alone[0], together[row], rtol=0, atol=TOLERANCE * float(alone.abs().max())):
            raise CamsbenchError(
                f"{where}: an image's output depends on the other images of its batch: export it in evaluation mode"
            )


@contextmanager
def _tensors_only() -> Iterator[None]:
    """Unpickle tensors alone, where torch.export would unpickle anything."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        os.environ.pop(name) if before is None else os.environ.update({name: before})


def _read(path: Path, where: str) -> ExportedProgram:
    try:
        with _tensors_only():
            return torch.export.load(path)
    except Exception as error:  # whatever reading another kind of file raises
        raise CamsbenchError(
            f"{where} is no network that torch.export.save or torch.jit.save wrote ({_first(error)}); a file of "
            "weights alone goes with model=timm, model=torchvision or model=module"
        ) from error


def _check(program: ExportedProgram, where: str) -> None:
    signature, shape = program.graph_signature, program.call_spec.out_spec
    if len(signature.user_inputs) != 1:
        names = ", ".join(map(str, signature.user_inputs))
        raise CamsbenchError(
            f"{where} takes {len(signature.user_inputs)} inputs ({names}): export a module whose "
            "forward takes images [B,C,H,W] alone"
        )
    if shape is None or not shape.is_leaf():
        raise CamsbenchError(f"{where} returns more than logits [B,C]: export a module that returns these alone")
    for node in program.graph.nodes:
        arguments = getattr(getattr(node.target, "_schema", None), "arguments", ())
        for place, argument in enumerate(arguments):
            value = node.args[place] if place < len(node.args) else node.kwargs.get(argument.name)
            if argument.name in {"training", "train"} and value is True:
                raise CamsbenchError(
                    f"{where} was exported in training mode ('{node.name}'): call model.eval() and {DYNAMIC}"
                )
    if written := [*signature.buffers_to_mutate.values()]:
        raise CamsbenchError(f"{where} writes into its own tensor '{written[0]}': export a network that does not")
    image = next(n for n in program.graph.nodes if n.op == "placeholder" and n.name == signature.user_inputs[0])
    if not isinstance(image.meta.get("val"), Tensor) or image.meta["val"].ndim != 4:
        raise CamsbenchError(f"{where} takes no images [B,C,H,W]: export a classifier of images")
    batch = image.meta["val"].shape[0]
    if isinstance(batch, int):
        raise CamsbenchError(f"{where} was exported for batches of {batch} alone: {DYNAMIC}")
    bound = program.range_constraints.get(batch.node.expr)
    if bound is not None and (bound.upper.is_Integer or bound.lower > 1):
        raise CamsbenchError(
            f"{where} was exported for batches of {bound.lower} to {bound.upper} images alone: {DYNAMIC}"
        )


def _plain(program: torch.fx.GraphModule) -> torch.fx.GraphModule:
    """The graph with one input and one output, without checks, each size of a batch read where it is used."""
    graph = torch.fx.Graph()
    copies: dict[torch.fx.Node, torch.fx.Node] = {}
    image = next(n for n in program.graph.nodes if n.op == "placeholder")
    batch = image.meta["val"].shape[0]
    for node in program.graph.nodes:
        if node.op == "output":
            graph.output(copies[node.args[0][0]])
        elif not _checks(node):
            copies[node] = graph.node_copy(node, copies.__getitem__)
    for node in list(graph.nodes):
        _read_size_here(graph, node, batch)
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op not in {"placeholder", "output"}:
            graph.erase_node(node)
    made = torch.fx.GraphModule(program, graph)
    made.meta[PROGRAM] = tuple(side if isinstance(side, int) else None for side in image.meta["val"].shape[1:])
    return made


def _checks(node: torch.fx.Node) -> bool:
    """Whether a node only checks what it is given."""
    name = str(node.target)
    return node.op.startswith("call_") and ("_guards_fn" in name or "_assert" in name or "sym_constrain" in name)


def _read_size_here(graph: torch.fx.Graph, node: torch.fx.Node, batch: Any) -> None:
    """Let a node that uses the number of images ask its own input for it: a number from before a cut crosses it."""
    sizes = [source for source in node.all_input_nodes if _same(source.meta.get("val"), batch)]
    tensors = [source for source in node.all_input_nodes if _leads(source.meta.get("val"), batch)]
    if not sizes or not tensors:
        return
    with graph.inserting_before(node):
        here = graph.call_function(torch.ops.aten.sym_size.int, (tensors[0], 0))
    for size in sizes:
        node.replace_input_with(size, here)


def _same(value: object, batch: Any) -> bool:
    return isinstance(value, torch.SymInt) and bool(value.node.expr == batch.node.expr)


def _leads(value: object, batch: Any) -> bool:
    """Whether this is a tensor whose first dimension is the batch's."""
    return isinstance(value, Tensor) and value.ndim > 0 and _same(value.shape[0], batch)


def _first(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"

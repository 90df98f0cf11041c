"""What a network must be to be measured: one that takes images alone, in float32 or float64, and gives logits [B,C]."""

from __future__ import annotations

from itertools import chain

import torch
import torch.fx
from torch import Tensor, nn

from camsbench.core.preprocess import MODES
from camsbench.core.targets import Target, refuse_shape
from camsbench.errors import CamsbenchError

SQUASHING = {"softmax", "log_softmax", "sigmoid", "logsigmoid", "hardsigmoid", "special_softmax", "special_log_softmax"}
SQUASHING_MODULES = (nn.Softmax, nn.Softmax2d, nn.LogSoftmax, nn.Sigmoid, nn.LogSigmoid, nn.Hardsigmoid)
SHAPING = {
    "flatten",
    "squeeze",
    "reshape",
    "view",
    "contiguous",
    "clone",
    "getitem",
    "dropout",
    "float",
    "to",
    "to_copy",
}
SHAPING_MODULES = (nn.Flatten, nn.Identity, nn.Dropout, nn.Unflatten)


def device_of(model: nn.Module) -> torch.device:
    """Where a network's tensors are; the processor for one that has none."""
    first = next(chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if first is None else first.device


def check_model(model: nn.Module, name: str, embeds: bool = False) -> None:
    """Refuse networks that are neither in float32 nor in float64, and those whose classifier was left out.

    Args:
        embeds: whether text embeddings take the classifier's place.

    Raises:
        CamsbenchError: it is one of them.
    """
    dtypes = {parameter.dtype for parameter in model.parameters()} or {torch.float32}
    if len(dtypes) > 1 or not dtypes <= {torch.float32, torch.float64}:
        said = " and ".join(sorted(str(dtype).removeprefix("torch.") for dtype in dtypes))
        raise CamsbenchError(f"{name} is in {said}, and images are in float32: call model.float() before cutting it")
    if not embeds and getattr(model, "num_classes", None) == 0:  # as timm says that it gives pooled features
        raise CamsbenchError(
            f"{name} has no classifier, only features (num_classes=0): choose a network, or published weights, with "
            "one, or give text embeddings of the classes with model.text="
        )


def dtype_of(model: nn.Module) -> torch.dtype:
    """The precision of a network's numbers, and so of its images."""
    return next((parameter.dtype for parameter in model.parameters()), torch.float32)


def check_inputs(graph: torch.fx.Graph, name: str) -> None:
    """Refuse networks that need more than an image.

    Raises:
        CamsbenchError: the sentence names the second input.
    """
    inputs = [n for n in graph.nodes if n.op == "placeholder" and not str(n.target).startswith("*")]
    needed = [str(n.target) for n in inputs if not n.args]
    if len(inputs) == 0 or len(needed) > 1:
        said = f"needs more than an image ({', '.join(needed)})" if needed else "takes no image"
        raise CamsbenchError(f"{name} {said}: wrap it in a module whose forward takes images [B,C,H,W] alone")


def pass_through(model: nn.Module, x: Tensor, name: str) -> object:
    """What ``model`` gives for images ``x`` [B,C,H,W].

    Raises:
        CamsbenchError: it cannot pass them.
    """
    try:
        with torch.no_grad():
            return model(x)
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:  # whatever the model's own code raises on images that it is not made for
        first = next((m for m in model.modules() if isinstance(m, nn.modules.conv._ConvNd)), None)
        if isinstance(first, nn.Conv3d):
            said, remedy = "takes videos", "choose a classifier of images"
        elif first is not None and first.in_channels != x.shape[1]:
            said = f"takes images of {first.in_channels} channel{'s' * (first.in_channels > 1)}"
            remedy = (
                f"give model.transform.mean= and model.transform.std= {first.in_channels} values each"
                if first.in_channels in MODES
                else "wrap it in a module that takes images of 1, 3 or 4 channels"
            )
        else:
            said = f"cannot pass images {list(x.shape)} ({' '.join(str(error).split())[:160] or type(error).__name__})"
            remedy = "set the size that it takes with model.transform.crop, or crop= in Preprocess"
        raise CamsbenchError(f"{name} {said}: {remedy}") from error


def check_outputs(out: object, asked: Target, graph: torch.fx.Graph, model: nn.Module, name: str) -> Tensor:
    """``out``, of two images, where it is logits [2,C], or values, of which ``asked`` can be asked.

    Raises:
        CamsbenchError: it is not; the sentence says what was given instead, and the remedy.
    """
    if not isinstance(out, Tensor):
        raise CamsbenchError(f"{name} returns {type(out).__name__}, not logits [B,C]: wrap it so that it does")
    shape, dtype = list(out.shape), str(out.dtype).removeprefix("torch.")
    if shape[:1] != [2] or not out.is_floating_point():
        raise CamsbenchError(f"{name} gives {dtype} {shape} for 2 images, not logits [B,C]: wrap it so that it does")
    refuse_shape(asked, shape[1:], name)
    if asked.squashes and (squashed := _squashed(out, graph, model)):
        raise CamsbenchError(
            f"{name} ends in {squashed}, and that of logits is taken here: take it off, so that it gives logits"
        )
    return out


def _squashed(out: Tensor, graph: torch.fx.Graph, model: nn.Module) -> str:
    """The softmax or sigmoid behind which ``out`` [B,C] lies, by the graph and by the numbers; empty for logits."""
    node = next(n for n in graph.nodes if n.op == "output").args[0]
    while isinstance(node, torch.fx.Node):
        module = model.get_submodule(str(node.target)) if node.op == "call_module" else None
        called = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        if isinstance(module, SQUASHING_MODULES):
            return type(module).__name__.lower()
        called = called.partition(".")[0].strip("_")  # of an operator without its overload
        if module is None and called in SQUASHING:
            return called
        if not (isinstance(module, SHAPING_MODULES) or (module is None and called in SHAPING)):
            break
        node = node.args[0] if node.args else None
    return normalised(out)


def normalised(out: Tensor) -> str:
    """The softmax whose results outputs [B,C] are by their numbers; empty for logits."""
    total = out.double().sum(1)
    if (out >= 0).all() and torch.allclose(total, torch.ones_like(total), rtol=0, atol=1e-4):
        return "a softmax"
    normaliser = out.double().logsumexp(1)
    if (out <= 0).all() and torch.allclose(normaliser, torch.zeros_like(normaliser), rtol=0, atol=1e-4):
        return "a log-softmax"
    return ""

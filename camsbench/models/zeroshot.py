"""A CLIP-like image tower with a zero-shot head: logits are cosines with text embeddings, times a scale."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import GraphModule

from camsbench.core.preprocess import Preprocess
from camsbench.errors import CamsbenchError
from camsbench.models.suitable import device_of, dtype_of, pass_through
from camsbench.models.text import Text
from camsbench.models.weights import ModelSpec


class ZeroShot(nn.Module):
    """Mixed in before a tower's class: its images [B,C,H,W] -> embeddings e [B,D] become images -> logits [B,C].

    logits = scale · e/|e| · t (+ bias), with the text embeddings t, each of length 1. The tower's modules keep their
    names, and the head is three buffers: a module of its own would be one more step of an ``nn.Sequential``.
    """

    zero_shot_text: Tensor  # [C,D]
    zero_shot_scale: Tensor
    zero_shot_bias: Tensor | None

    @property
    def num_classes(self) -> int:
        return len(self.zero_shot_text)

    def forward(self, x: Tensor) -> Tensor:
        embedding = super().forward(x)
        logits = F.linear(F.normalize(embedding, dim=-1), self.zero_shot_text) * self.zero_shot_scale
        return logits if self.zero_shot_bias is None else logits + self.zero_shot_bias


def classify_by(text: Text, tower: nn.Module, preprocess: Preprocess, spec: ModelSpec) -> ZeroShot:
    """The tower as a classifier of the text's classes; ``tower`` itself stays as it is, and they share their modules.

    Raises:
        CamsbenchError: it gives no embeddings, or of another length than the text's.
    """
    _check_embeddings(text, tower, preprocess, spec)
    kind = _class_of(tower)
    made: Any = object.__new__(type(f"ZeroShot{kind.__name__}", (ZeroShot, kind), {}))
    vars(made).update(vars(tower))
    made._buffers = dict(tower._buffers)
    place: dict[str, Any] = {"device": device_of(tower), "dtype": dtype_of(tower)}
    made.register_buffer("zero_shot_text", text.embeddings.to(**place))
    made.register_buffer("zero_shot_scale", torch.tensor(text.scale, **place))
    made.register_buffer("zero_shot_bias", None if text.bias is None else torch.tensor(text.bias, **place))
    return made


def _class_of(tower: nn.Module) -> type[nn.Module]:
    """Its class; of a graph a plain one with the same code, since a copy of a graph is compiled anew from it alone."""
    kind = type(tower)
    return type(kind.__name__, (nn.Module,), {"forward": kind.forward}) if isinstance(tower, GraphModule) else kind


def _check_embeddings(text: Text, tower: nn.Module, preprocess: Preprocess, spec: ModelSpec) -> None:
    where = f"model.text={spec.text}"
    if "forward" in vars(tower):
        raise CamsbenchError(
            f"{where}: {spec.name} has a forward of its own, not its class's, which torch.fx does not trace: give a "
            "network whose class has it"
        )
    x = torch.zeros(2, *preprocess.shape, device=device_of(tower), dtype=dtype_of(tower))
    out = pass_through(tower, x, spec.name)
    if not isinstance(out, Tensor) or out.ndim != 2 or len(out) != len(x) or not out.is_floating_point():
        said = list(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise CamsbenchError(
            f"{where}: {spec.name} gives {said} for 2 images, not embeddings [B,D]: choose a network whose output is "
            "the image's embedding"
        )
    classes, length = text.embeddings.shape
    if length != out.shape[1]:
        turned = classes == out.shape[1]
        remedy = "save its transpose, a row a class" if turned else "embed the prompts with this network's text tower"
        raise CamsbenchError(
            f"{where}: its rows have {length} numbers, and the embeddings of {spec.name} have {out.shape[1]}: {remedy}"
        )

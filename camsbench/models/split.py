"""Cut a classifier in two at a named layer, by its traced graph: no hooks, nothing of the model changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from camsbench.core.one_query import one_query
from camsbench.core.passes import MicroBatch, Passes, PassOptions
from camsbench.core.preprocess import Preprocess
from camsbench.core.targets import SoftmaxClass, Target, refuse_shape
from camsbench.errors import CamsbenchError
from camsbench.models import graph
from camsbench.models.compiled import compile_part
from camsbench.models.folding import fold_norms
from camsbench.models.layers import choose_cut, cut_at
from camsbench.models.layout import Asked, Layout
from camsbench.models.names import check_names
from camsbench.models.order import check_order
from camsbench.models.suitable import check_inputs, check_model, check_outputs, device_of, dtype_of, pass_through
from camsbench.models.walk import Walk
from camsbench.models.weights import weight_hash


@dataclass(frozen=True)
class TorchSplit:
    """A PyTorch classifier cut at ``layer`` (see ``camsbench.core.types.Split``); ``model`` is the uncut module.

    ``options.copies_dtype`` and ``options.compile`` say how perturbed copies are passed: the split itself does not heed
    them, ``for_copies`` does. What is passed through ``model`` itself is not counted in ``passes``.
    """

    name: str
    layer: str
    model: nn.Module
    features_graph: nn.Module
    head_graph: nn.Module
    output_shape: tuple[int, ...]  # of one image's outputs
    preprocess: Preprocess
    micro_batch: MicroBatch
    asked: Target = field(default_factory=SoftmaxClass)
    options: PassOptions = field(default_factory=PassOptions)
    passes: Passes = field(default_factory=Passes, repr=False, compare=False)
    passes_copies: bool = False
    provides: frozenset[str] = frozenset({"gradient", "modules"})
    class_names: tuple[str, ...] = ()  # one a class that may be explained, or none
    layout: Layout | None = None  # of the layer's own output
    stream: tuple[tuple[str, tuple[str, ...]], ...] = ()  # nodes that all of the image passes, and modules ending there
    memory_format: ClassVar[torch.memory_format] = torch.channels_last

    @property
    def device(self) -> torch.device:
        return device_of(self.model)

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the network's numbers: float32, or float64."""
        return dtype_of(self.model)

    @property
    def traced_head(self) -> nn.Module:
        """The head's graph, for ``camsbench.core.heads``."""
        return self.head_graph

    @property
    def weight_hash(self) -> str:
        return weight_hash(self.model)

    @property
    def plain(self) -> TorchSplit:
        return self.with_options(short_cuts=False)

    @property
    def for_copies(self) -> TorchSplit:
        plain = self.options.copies_dtype == torch.float32 and not self.options.compile
        return self if plain else replace(self, passes_copies=True)

    def asking(self, asked: Target) -> TorchSplit:
        """The same network, asked something else of the same outputs.

        Raises:
            CamsbenchError: they cannot be asked that.
        """
        refuse_shape(asked, self.output_shape, self.name)
        named = asked.indices(self.output_shape[0]) == len(self.class_names)
        return replace(self, asked=asked, class_names=self.class_names if named else ())

    @property
    def num_classes(self) -> int:
        """The classes, or labels, that may be explained."""
        return self.asked.indices(self.output_shape[0])

    def with_options(self, **changes: Any) -> TorchSplit:
        """The same network, passed otherwise."""
        return replace(self, options=replace(self.options, **changes))

    def features(self, x: Tensor) -> Tensor:
        return self.parts(x)[0]

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        out = self._pass("features", self.features_graph, x.contiguous(memory_format=self.memory_format))
        return _several(out)

    def head(self, A: Tensor, *beside: Tensor) -> Tensor:
        quick = one_query(self.head_graph, (A, *beside)) if self.options.short_cuts else None
        logits = self._pass("head", quick or self.head_graph, A, *beside)
        assert isinstance(logits, Tensor)
        return logits

    def logits(self, x: Tensor) -> Tensor:
        return self.head(*self.parts(x))

    def _pass(self, name: str, part: nn.Module, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Through a part as it should run now: gradients, and rules in place of them, see the network as it is."""
        ready = fold_norms(part) if self.options.fold and not torch.is_grad_enabled() else part
        if not self.passes_copies:
            out = ready(*inputs)
        else:
            ready = compile_part(ready, self.micro_batch.size) if self.options.compile else ready
            dtype = self.options.copies_dtype
            low = dtype != torch.float32
            with torch.autocast(inputs[0].device.type, dtype if low else None, enabled=low):
                out = ready(*inputs)
        self.passes.count(name, _several(out)[0], len(inputs[0]) * self.micro_batch.stands_for)
        return out


@torch.inference_mode(mode=False)
def cut(
    model: nn.Module,
    layer: str | int | None,
    preprocess: Preprocess,
    *,
    name: str = "model",
    micro_batch: MicroBatch | None = None,
    fold: bool = False,
    repack: bool = True,
    options: PassOptions | None = None,
    asked: Target | None = None,
    class_names: Sequence[str] = (),
    layout: Asked | None = None,
) -> TorchSplit:
    """Cut ``model`` behind ``layer`` into features and head, and prove that they recompose.

    Args:
        model: a network [B,3,H,W] -> [B,C] (or of 1 or 4 channels), without a softmax or sigmoid at its end, in
            float32 or float64 and evaluation mode, that torch.fx can trace.
        layer: a module's name (its last call counts) or a graph node's name; None takes the last feature map larger
            than 1×1, or grid of tokens at which the whole image still counts (``camsbench.models.layers``).
        preprocess: what the network expects of a picture; its ``shape`` is that of the test input.
        fold, repack: see ``PassOptions``.
        options: all of these options together, in place of ``fold`` and ``repack``.
        asked: what is asked of the outputs; None: one class of a softmax.
        class_names: the classes' names, in the order of their indices.
        layout: what is known of how the layer's output lies; None: what its shape shows.

    Raises:
        CamsbenchError: the model is in training mode or cannot be traced, has no such layer, gives no feature map
            [B,K,h,w] and no grid of tokens there, carries a skip connection across the cut, or its parts do not
            recompose; it is no classifier of images that gives logits (``camsbench.models.suitable``); or there is not
            a name a class.
    """
    if model.training:
        raise CamsbenchError(f"{name} is in training mode: call model.eval() before cutting it")
    if any(parameter.is_inference() for parameter in model.parameters()):
        raise CamsbenchError(f"{name} was made in inference mode, which allows no gradient: make it outside of it")
    check_model(model, name)
    options = options or PassOptions(fold=fold, repack=repack)
    traced = graph.trace(model, name)
    check_inputs(traced, name)
    x = _test_input(model, preprocess)
    asked = asked or SoftmaxClass()
    whole = check_outputs(pass_through(model, x.clone(), name), asked, traced, model, name)  # may write into its input
    walk = Walk.of(model, traced, x)
    if layer is None:
        made, layer = choose_cut(walk, name, layout or Asked())
    else:
        made, layer = cut_at(walk, str(layer), name, layout or Asked()), str(layer)
    check_order(made, layer)
    features, head = made.features(), made.head()
    with torch.no_grad():
        parts = _several(features(x))
        logits = head(*parts)
        quick = fold_norms(head)(*_several(fold_norms(features)(x))) if options.fold else logits
    if not torch.allclose(logits, whole, rtol=1e-4, atol=1e-5, equal_nan=True):
        raise CamsbenchError(_does_not_recompose(name, layer, logits, whole, "choose another model.layer"))
    scale = float(whole.nan_to_num().abs().max())  # untrained networks have logits of 1e3, some of them near 0
    if not torch.allclose(quick, whole, rtol=0, atol=1e-4 * max(scale, 0.1), equal_nan=True):
        raise CamsbenchError(_does_not_recompose(name, layer, quick, whole, "use runtime.fold=false"))
    device = x.device
    split = TorchSplit(
        name=name,
        layer=layer,
        model=model,
        features_graph=features,
        head_graph=head,
        output_shape=tuple(logits.shape[1:]),
        asked=asked,
        preprocess=preprocess,
        micro_batch=micro_batch or MicroBatch.of("auto", device),
        options=options,
        class_names=tuple(class_names),
        layout=made.layout,
        stream=tuple((n.name, tuple(ended)) for n in walk.cuts if (ended := graph.modules_ended_by(traced, n))),
    )
    if class_names:
        check_names(class_names, split.num_classes, f"{name}: class_names")
    return split


def _several(out: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (out,) if isinstance(out, Tensor) else out


@torch.inference_mode()
def check_range(split: TorchSplit) -> None:
    """See that the network's numbers have a place in the precision of its copies; fp16 ends at 65504.

    Raises:
        CamsbenchError: the logits of noise are infinite or no numbers, though in fp32 they are.
    """
    low = split.with_options(compile=False).for_copies
    x = _test_input(split.model, split.preprocess)
    if low.passes_copies and not low.logits(x).isfinite().all() and split.logits(x).isfinite().all():
        raise CamsbenchError(
            f"{split.name} overflows in {split.options.copies_dtype}: use runtime.precision=bf16, or fp32"
        )


def _does_not_recompose(name: str, layer: str, logits: Tensor, whole: Tensor, remedy: str) -> str:
    largest = (logits - whole).abs().max()
    return f"{name} cut at layer '{layer}' does not recompose (largest difference {largest:.2g}): {remedy}"


def _test_input(model: nn.Module, preprocess: Preprocess) -> Tensor:
    """Two images of noise, on the model's device."""
    noise = torch.randn(2, *preprocess.shape, generator=torch.Generator().manual_seed(0))
    return noise.to(device_of(model), dtype_of(model)).contiguous(memory_format=torch.channels_last)

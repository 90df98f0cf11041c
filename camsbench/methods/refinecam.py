"""RefineCAM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn

from camsbench.core.passes import in_micro_batches
from camsbench.core.saliency import SaliencyRule, size_of
from camsbench.core.types import About, Explainer, Forward, Split
from camsbench.methods._applies import noise
from camsbench.methods.gradcampp import GradCAMpp
from camsbench.models.split import TorchSplit
from camsbench.models.stages import Layer, named_layers, stages_before

STAGES = 3  # before the target layer: with it the four of the paper's code
Asked = tuple[tuple[str, ...] | None, tuple[int, int, int]]  # names, and the images' shape
_known: WeakKeyDictionary[nn.Module, dict[Asked, tuple[Layer, ...]]] = WeakKeyDictionary()


class OfGradient(Explainer, Protocol):
    """A CAM of one layer's activations and the gradient of the target's score by them."""

    def map_of(self, A: Tensor, gradient: Tensor) -> Tensor:
        """The raw map [B,h,w] of activations and gradient, each [B,K,h,w]."""
        ...


@dataclass(frozen=True)
class RefineCAM:
    """RefineCAM (Domeniconi et al. 2026): the product over layers of N(U(M_l)), M_l a CAM's map of layer l.

    N is the min-max and U bilinear upsampling to the image, whatever the protocol's are: as the authors' code and
    grad-cam 1.5.7, which adds 1e-7 to each range, have it; torchcam min-maxes first and multiplies at the size of the
    largest map. What is negative in M_l counts as 0. Where a layer's map is constant, so is the product: the authors
    skip such an image.

    Blocks that end without a ReLU (EfficientNet's, MobileNet's) have activations of both signs, for which Grad-CAM++ is
    not made: its denominator 2 + g·ΣA passes 0 there. ``base`` LayerCAM has none.

    Explained again, as coherency asks, all layers are; the authors' own coherency takes the coarse layers' maps of the
    image before it was masked. Maps of all layers come of one pass of the network and one gradient.

    Args:
        base: the CAM: Grad-CAM++ (the default of grad-cam and torchcam), LayerCAM or Grad-CAM.
        layers: names of layers before the target layer, which is always the last. None: the ends of the three stages
            before it (``camsbench.models.stages``), so that ``layer4`` of a ResNet gets ``layer3 layer2 layer1`` and a
            ViT its last three blocks. The authors name the max pools of VGG11, ``features.15 features.10 features.5``,
            and a ViT's ``blocks.N.norm1``.

    Returns:
        Raw map [B,H,W] in [0,1].

    Raises:
        CamsbenchError: a layer is not before the target layer.
    """

    base: OfGradient = field(default_factory=GradCAMpp)
    layers: Sequence[str] | None = None
    about: ClassVar[About] = About("RefineCAM", "Domeniconi et al.", 2026, "gradient CAM")

    def __post_init__(self) -> None:
        if not hasattr(self.base, "map_of"):
            raise ValueError(
                f"base is {type(self.base).__name__}: it must be a CAM of gradients, GradCAMpp, LayerCAM or GradCAM"
            )
        if self.layers is not None:
            if isinstance(self.layers, str) or not self.layers:
                raise ValueError(f"layers is {self.layers}: give names of layers as a list, or null for the stages'")
            object.__setattr__(self, "layers", tuple(self.layers))

    @property
    def needs(self) -> frozenset[str]:
        return self.base.needs | {"modules"}

    def check(self, split: Split) -> None:
        self.layers_of(cast(TorchSplit, split))

    def layers_of(self, split: TorchSplit) -> tuple[Layer, ...]:
        """The layers before the target layer."""
        found = _known.setdefault(split.features_graph, {})
        names = None if self.layers is None else tuple(self.layers)
        key = (names, split.preprocess.shape)
        if key not in found:
            images = noise(split).repeat(2, 1, 1, 1)
            made = stages_before(split, STAGES, images) if names is None else named_layers(split, names, images)
            found[key] = made
        return found[key]

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        torch_split = cast(TorchSplit, split)
        layers, rule, size = self.layers_of(torch_split), SaliencyRule(), size_of(forward.x)
        if not layers:
            return rule(self.base(split, forward).relu(), size)[0].squeeze(1)

        def work(chunk: slice) -> Tensor:
            maps = [rule(raw.relu(), size)[0] for raw in self._maps(torch_split, forward, layers, chunk)]
            return torch.cat(maps, 1).prod(1)

        return in_micro_batches(split.micro_batch, len(forward.x), work)

    def _maps(self, split: TorchSplit, forward: Forward, layers: tuple[Layer, ...], chunk: slice) -> list[Tensor]:
        """The raw map [m,h,w] of each layer, and of the target layer."""
        kept: dict[str, Tensor] = {}
        x = forward.x[chunk].contiguous(memory_format=split.memory_format)
        with torch.enable_grad():
            parts = _Tapped(split, {layer.node for layer in layers}, kept).parts(x)
            score = split.asked.score(split.head(*parts), forward.target[chunk]).sum()
            outputs = [kept[layer.node] for layer in layers]
            gradients = torch.autograd.grad(score, [*outputs, parts[0]], materialize_grads=True)
        shown = [
            (layer.layout.map_of(out.detach()), layer.layout.map_of(gradient))
            for layer, out, gradient in zip(layers, outputs, gradients, strict=False)
        ]
        return [self.base.map_of(A, gradient) for A, gradient in [*shown, (parts[0].detach(), gradients[-1])]]


class _Tapped(fx.Interpreter):
    """A pass of a split's features that keeps what some nodes give, from the first of them on with gradients."""

    def __init__(self, split: TorchSplit, nodes: set[str], kept: dict[str, Tensor]) -> None:
        assert isinstance(split.features_graph, fx.GraphModule)  # else it has no layers
        super().__init__(split.features_graph)
        self.split, self.nodes, self.kept = split, nodes, kept

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        """As ``Split.parts``, counted."""
        out = self.run(x, enable_io_processing=False)
        parts = out if isinstance(out, tuple) else (out,)
        self.split.passes.count("features", parts[0], len(x) * self.split.micro_batch.stands_for)
        return parts

    def run_node(self, n: fx.Node) -> Any:
        out = super().run_node(n)
        if n.name not in self.nodes:
            return out
        self.kept[n.name] = out if out.requires_grad else out.detach().requires_grad_()
        return self.kept[n.name].clone()  # an in-place activation behind it must not write into what is kept

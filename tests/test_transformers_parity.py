"""Vision transformers against other people's implementations, on small networks with random weights.

The peers are shown tokens as maps by their ``reshape_transform``, at the layer where camsbench cuts. Where a library
cannot be installed beside the others (legrad-torch wants open_clip, openvino_xai an OpenVINO of 2024, and the authors'
repositories are no packages) its loop is written out here in plain PyTorch, and the line says so.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import MethodType, ModuleType
from typing import Any

import numpy as np
import pytest
import pytorch_grad_cam as pgc
import timm
import torch
import torch.nn.functional as F
import torchcam.methods as torchcam
import torchvision
from captum.attr import IntegratedGradients as CaptumIntegratedGradients
from captum.attr import LayerGradCam
from lxt.explicit import functional as lxt_explicit
from parity import Parity
from pytorch_grad_cam.ablation_layer import AblationLayerVit
from pytorch_grad_cam.utils.model_targets import ClassifierOutputReST, ClassifierOutputTarget
from test_transformers import prepared, small_vit
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from camsbench.config.compose import compose_config
from camsbench.config.instantiate import make_methods
from camsbench.core import scoring
from camsbench.core.targets import Embedding, Target
from camsbench.core.types import Explainer, Forward
from camsbench.methods import _components as components
from camsbench.methods.ablationcam import AblationCAM
from camsbench.methods.attention_guided_cam import AttentionGuidedCAM
from camsbench.methods.attention_rollout import AttentionRollout
from camsbench.methods.attnlrp import AttnLRP
from camsbench.methods.finercam import FinerCAM
from camsbench.methods.gradcam import GradCAM
from camsbench.methods.integrated_gradients import IntegratedGradients
from camsbench.methods.legrad import LeGrad
from camsbench.methods.shapleycam import ShapleyCAM
from camsbench.methods.transformer_attribution import TransformerAttribution
from camsbench.methods.vit_reciprocam import ViTReciproCAM
from camsbench.models.layout import Layout
from camsbench.models.split import TorchSplit, cut

pytestmark = pytest.mark.parity
Shown = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Network:
    """A network cut in two, the layer for the peers' hooks, and how that layer's output is shown as a map."""

    split: TorchSplit
    layer: str
    shown: Shown
    forward: Forward

    @property
    def model(self) -> Any:
        return self.split.model

    @property
    def x(self) -> Tensor:
        return self.forward.x

    @property
    def target(self) -> list[int]:
        """The first image's best class and the second's next best: others may have maps that are 0 everywhere."""
        return [int(index) for index in self.forward.target]


def randomised(model: nn.Module) -> nn.Module:
    """Weights far enough from those at which training starts that attention is no average and no bias is 0."""
    generator = torch.Generator().manual_seed(5)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim > 1:
            parameter.data = noise * (2 / parameter[0].numel()) ** 0.5 if "embed" not in name else noise * 0.2
        else:
            of_norm = "norm" in name or "ln" in name
            parameter.data = noise * 0.2 + of_norm * (1.0 if name.endswith("weight") else 0.3)
    return model.eval().requires_grad_(False)


def prepare(
    model: nn.Module, name: str, size: tuple[int, int], layer: str | None = None, asked: Target | None = None
) -> tuple[TorchSplit, Forward]:
    split = cut(randomised(model), layer, prepared(*size), name=name, asked=asked)
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        best = split.model(x).topk(2).indices
    index = torch.tensor([0, 0]) if asked else best[range(2), range(2)]
    return split, scoring.forward(split, x, index, (0, 0))


def of_tokens(grid: tuple[int, int], prefix: int) -> Shown:
    return lambda tokens: tokens[:, prefix:].transpose(1, 2).unflatten(2, grid)


def last_to_first(maps: Tensor) -> Tensor:
    return maps.permute(0, 3, 1, 2)


@pytest.fixture(scope="module")
def vit() -> Network:
    """timm's ViT, with a grid of 4x6 patches."""
    split, forward = prepare(small_vit(height=64, width=96), "small ViT (timm)", (64, 96))
    assert split.layer == "blocks.2.norm1"
    return Network(split, split.layer, of_tokens((4, 6), 1), forward)


@pytest.fixture(scope="module")
def registers() -> Network:
    """The same with two registers behind the class token."""
    model = small_vit(height=64, width=96, reg_tokens=2)
    split, forward = prepare(model, "small ViT with registers (timm)", (64, 96))
    assert split.layer == "blocks.2.norm1"
    return Network(split, split.layer, of_tokens((4, 6), 3), forward)


@pytest.fixture(scope="module")
def torchvision_vit() -> Network:
    model = torchvision.models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=3, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=10
    )
    split, forward = prepare(model, "small ViT (torchvision)", (32, 32))
    assert split.layer == "encoder.layers.encoder_layer_2.ln_1"
    return Network(split, split.layer, of_tokens((4, 4), 1), forward)


def small_swin() -> nn.Module:
    return timm.create_model(
        "swin_tiny_patch4_window7_224",
        img_size=64,
        window_size=4,
        embed_dim=24,
        depths=(2, 2),
        num_heads=(2, 4),
        num_classes=10,
    )


@pytest.fixture(scope="module")
def swin() -> Network:
    """timm's Swin at its default layer, behind which there is an average and a linear layer."""
    split, forward = prepare(small_swin(), "small Swin (timm)", (64, 64))
    assert split.layer == "norm"
    return Network(split, "norm", last_to_first, forward)


@pytest.fixture(scope="module")
def swin_block() -> Network:
    """The same before its last block."""
    split, forward = prepare(small_swin(), "small Swin before its last block (timm)", (64, 64), "layers.1.blocks.0")
    return Network(split, split.layer, last_to_first, forward)


@pytest.fixture(scope="module")
def torchvision_swin() -> Network:
    """torchvision's Swin, whose default layer is the permutation behind its last norm."""
    model = torchvision.models.SwinTransformer(
        patch_size=[4, 4], embed_dim=24, depths=[2, 2], num_heads=[2, 4], window_size=[4, 4], num_classes=10
    )
    split, forward = prepare(model, "small Swin (torchvision)", (64, 64))
    assert split.layout is not None
    assert split.layout.kind == "map"
    return Network(split, "norm", last_to_first, forward)


NETWORKS = ["vit", "registers", "torchvision_vit", "swin", "swin_block", "torchvision_swin"]
WITH_PREFIX = ["vit", "registers", "torchvision_vit"]


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> Network:
    found: Network = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["vit", "registers"])
def of_timm(request: pytest.FixtureRequest) -> Network:
    found: Network = request.getfixturevalue(request.param)
    return found


@dataclass(frozen=True)
class Compare:
    """``parity``, which compares maps after min-max, and before it the raw maps as they are."""

    parity: Parity

    def agrees(
        self, method: str, implementation: str, given: Network, mine: Tensor, theirs: Tensor, why: str = ""
    ) -> None:
        span = theirs.amax((1, 2)) - theirs.amin((1, 2))
        assert (span > 0).all(), f"{implementation} gives maps without a range"
        difference = ((mine - theirs).abs().amax((1, 2)) / span).max()
        assert difference <= 1e-4, f"raw maps of {method} are {difference:.2g} of their range from {implementation}"
        self.parity.agrees(method, implementation, given.split.name, mine, theirs, why=why)

    def parts(self, method: str, implementation: str, given: Network, mine: Tensor, theirs: Tensor, why: str) -> None:
        self.parity.parts(method, implementation, given.split.name, mine, theirs, why)


@pytest.fixture
def compare(parity: Parity) -> Compare:
    return Compare(parity)


def preset(name: str) -> Explainer:
    return make_methods(compose_config([f"method={name}"]))[name]


# grad-cam


def by_grad_cam(
    kind: Any, given: Network, targets: Any = None, on: tuple[nn.Module, nn.Module] | None = None, **options: Any
) -> Tensor:
    """grad-cam's maps before it scales and min-maxes them, cut at 0 as it does first.

    Of the tokens that it reshapes, or of the model and layer ``on``, where it finds a map.
    """
    model, layer = on or (given.model, given.model.get_submodule(given.layer))
    found: list[np.ndarray] = []
    with kind(model, [layer], reshape_transform=None if on else given.shown, **options) as peer:
        plain = peer.get_cam_image

        def kept(*args: Any, **kwargs: Any) -> np.ndarray:
            found.append(plain(*args, **kwargs))
            return found[-1]

        peer.get_cam_image = kept
        targets = targets or [ClassifierOutputTarget(target) for target in given.target]
        try:
            peer(given.x.clone().requires_grad_(), targets)
        finally:  # it would detach in place what ShapleyCAM keeps, which may be a view
            peer.activations_and_grads.activations.clear()
            peer.activations_and_grads.gradients.clear()
    return torch.from_numpy(np.maximum(found[0], 0))


GRADCAM_METHODS = [
    ("gradcam", pgc.GradCAM),
    ("gradcampp_gradcam", pgc.GradCAMPlusPlus),
    ("layercam", pgc.LayerCAM),
    ("xgradcam", pgc.XGradCAM),
    ("hirescam", pgc.HiResCAM),
    ("gradcam_elementwise", pgc.GradCAMElementWise),
    ("scorecam_gradcam", pgc.ScoreCAM),
]


@pytest.mark.parametrize(("name", "kind"), GRADCAM_METHODS)
def test_equal_to_grad_cam(name: str, kind: Any, network: Network, compare: Compare) -> None:
    mine = preset(name)(network.split, network.forward)
    compare.agrees(name, "grad-cam", network, mine, by_grad_cam(kind, network))


@pytest.mark.parametrize(("name", "kind"), [("eigencam", pgc.EigenCAM), ("eigengradcam", pgc.EigenGradCAM)])
def test_components_equal_grad_cam_s_but_for_the_sign(
    name: str, kind: Any, network: Network, monkeypatch: pytest.MonkeyPatch, compare: Compare
) -> None:
    mine = preset(name)(network.split, network.forward)
    turn = components.signed
    monkeypatch.setattr(components, "signed", lambda component, cells: -turn(component, cells))
    turned = preset(name)(network.split, network.forward)
    theirs = by_grad_cam(kind, network)
    same, other = ((maps - theirs).abs().amax((1, 2)) for maps in (mine, turned))
    nearer = torch.where((same < other)[:, None, None], mine, turned)
    compare.agrees(name, "grad-cam", network, nearer, theirs, "up to the sign")


def test_finercam_equals_grad_cam(network: Network, compare: Compare) -> None:
    """One image at a time: it takes one target for all."""
    layers, maps = [network.model.get_submodule(network.layer)], []
    for i, target in enumerate(network.target):
        with pgc.FinerCAM(network.model, layers, reshape_transform=network.shown) as peer:
            plain = peer.base_cam.get_cam_image

            def kept(*args: Any, plain: Any = plain, **kwargs: Any) -> np.ndarray:
                maps.append(plain(*args, **kwargs))
                return maps[-1]

            peer.base_cam.get_cam_image = kept
            peer(network.x[i : i + 1].clone().requires_grad_(), target_idx=target)
    theirs = torch.from_numpy(np.maximum(np.concatenate(maps), 0))
    compare.agrees("finercam", "grad-cam", network, FinerCAM()(network.split, network.forward), theirs)


class AsMap(nn.Module):
    """A layer whose output passes ``map`` as [B,K,h,w] on its way, for peers that hook a map and reshape nothing."""

    def __init__(self, layer: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.layer, self.layout, self.map = layer, layout, nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out, prefix = self.layer(x), self.layout.prefix
        if self.layout.kind == "channels_last":
            return self.map(out.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        shown = self.map(out[:, prefix:].transpose(1, 2).unflatten(2, self.layout.grid))
        return torch.cat([out[:, :prefix], shown.flatten(2).transpose(1, 2)], 1)


def with_a_map(given: Network) -> tuple[nn.Module, nn.Module]:
    """A copy of the network whose layer is an ``AsMap``, and its map."""
    model, layout = copy.deepcopy(given.model), given.split.layout
    assert layout is not None
    if layout.kind == "map":  # of torchvision's Swin, whose norm is channels-last
        layout = Layout("channels_last", layout.grid)
    parent, _, name = given.layer.rpartition(".")
    shown = AsMap(model.get_submodule(given.layer), layout)
    setattr(model.get_submodule(parent), name, shown)
    return model, shown.map


def test_shapleycam_equals_grad_cam(network: Network, compare: Compare) -> None:
    """On a map: it forgets its reshape_transform where it multiplies weights and activations, and then fails.

    Without a fused attention, of which PyTorch has no second derivative on a processor.
    """
    model, layer = with_a_map(network)
    targets = [ClassifierOutputReST(target) for target in network.target]
    with sdpa_kernel(SDPBackend.MATH):
        theirs = by_grad_cam(pgc.ShapleyCAM, network, targets, on=(model, layer))
    mine = ShapleyCAM()(network.split, network.forward)
    why = "on ClassifierOutputReST, on tokens shown as a map"
    compare.agrees("shapleycam", "grad-cam", network, mine, theirs, why)


class Zeroed(AblationLayerVit):
    """grad-cam's layer, which sets a channel to its least activation − 1e7, with 0 in its place."""

    def __init__(self, prefix: int) -> None:
        super().__init__()
        self.prefix = prefix

    def __call__(self, x: Tensor) -> Tensor:
        out: Tensor = self.activations
        for i, channel in enumerate(self.indices[: len(out)]):
            out[i, self.prefix :, ..., channel] = 0
        return out


def test_ablationcam_equals_grad_cam_with_its_fill_mended(network: Network, compare: Compare) -> None:
    mine = AblationCAM()(network.split, network.forward)
    prefix = network.split.layout.prefix if network.split.layout else 0
    theirs = by_grad_cam(pgc.AblationCAM, network, ablation_layer=Zeroed(prefix))
    compare.agrees("ablationcam", "grad-cam", network, mine, theirs, "with 0 in place of min − 1e7, patches alone")
    theirs = by_grad_cam(pgc.AblationCAM, network, ablation_layer=AblationLayerVit())
    compare.parts("ablationcam", "grad-cam", network, mine, theirs, "fills min − 1e7 where min(A) is not 0")
    if prefix:
        theirs = by_grad_cam(pgc.AblationCAM, network, ablation_layer=Zeroed(0))
        compare.parts("ablationcam", "grad-cam", network, mine, theirs, "ablates the class token's channel too")


# torchcam


def by_torchcam(kind: Any, given: Network, **options: Any) -> Tensor:
    """torchcam's raw maps."""
    options = {"reshape_transform": given.shown, **options}
    with kind(given.model, given.layer, **options) as extractor:
        scores = given.model(given.x.clone().requires_grad_())
        found: Tensor = extractor(given.target, scores, normalized=False)[0].detach()
    return found


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gradcam", torchcam.GradCAM),
        ("gradcampp_torchcam", torchcam.GradCAMpp),
        ("layercam", torchcam.LayerCAM),
        ("xgradcam", torchcam.XGradCAM),
        ("scorecam_torchcam", torchcam.ScoreCAM),
    ],
)
def test_equal_to_torchcam(name: str, kind: Any, network: Network, compare: Compare) -> None:
    mine = preset(name)(network.split, network.forward)
    compare.agrees(name, "torchcam", network, mine, by_torchcam(kind, network))


def test_finercam_equals_torchcam(network: Network, compare: Compare) -> None:
    mine = FinerCAM(gamma=0.6, weights="mean")(network.split, network.forward)
    theirs = by_torchcam(torchcam.FinerCAM, network)
    compare.agrees("finercam", "torchcam", network, mine, theirs, "with gamma=0.6 weights=mean")


@pytest.mark.parametrize("blocks", [None, 2])
def test_legrad_equals_torchcam(blocks: int | None, torchvision_vit: Network, compare: Compare) -> None:
    given = torchvision_vit
    layers: list[nn.Module | str] = list(given.model.encoder.layers)[-(blocks or 0) :]
    with torchcam.LeGrad(given.model, layers) as peer:
        given.model(given.x)
        theirs = peer(given.target, normalized=False)[0]
    mine = LeGrad(blocks=blocks)(given.split, given.forward)
    compare.agrees("legrad", "torchcam", given, mine, theirs, f"blocks={blocks or 'null'}")


# captum


def test_gradcam_equals_captum(network: Network, compare: Compare) -> None:
    """On a map, for captum takes axis 1 for the channels."""
    x = network.x.clone().requires_grad_()
    peer = LayerGradCam(*with_a_map(network))
    theirs = peer.attribute(x, target=network.target, relu_attributions=True).squeeze(1).detach()
    mine = GradCAM()(network.split, network.forward)
    compare.agrees("gradcam", "captum", network, mine, theirs, "on tokens shown as a map")


def test_integrated_gradients_equal_captum(network: Network, compare: Compare) -> None:
    peer = CaptumIntegratedGradients(network.model)
    theirs = peer.attribute(network.x.clone(), target=network.target, n_steps=10, method="gausslegendre")
    mine = IntegratedGradients(n=10)(network.split, network.forward)
    why = "sum of absolute colours"
    compare.agrees("integrated_gradients", "captum", network, mine, theirs.detach().abs().sum(1).float(), why)


# Attention: the authors' loops, on the attention that timm's own unfused code gives


@dataclass(frozen=True)
class Pass:
    """What a pass through a copy of timm's ViT left in each block, one image."""

    scores: list[Tensor]  # [H,N,N] before the softmax
    attention: list[Tensor]  # [1,H,N,N]
    gradient: list[Tensor]  # [1,H,N,N], of the target's logit
    outputs: list[Tensor]  # [1,N,K]
    model: Any


def passed(given: Network, image: int) -> Pass:
    model: Any = copy.deepcopy(given.model)
    inputs: list[Tensor] = []
    attention: list[Tensor] = []
    outputs: list[Tensor] = []
    for block in model.blocks:
        block.attn.fused_attn = False
        block.attn.qkv.register_forward_hook(lambda *args: inputs.append(args[2]))
        block.attn.attn_drop.register_forward_hook(lambda *args: attention.append(args[2]))
        block.register_forward_hook(lambda *args: outputs.append(args[2]))
    logits = model(given.x[image : image + 1].clone().requires_grad_())
    gradient = torch.autograd.grad(logits[0, given.forward.target[image]], attention, retain_graph=True)
    scores = []
    for block, found in zip(model.blocks, inputs, strict=True):
        q, k, _ = found[0].detach().unflatten(1, (3, block.attn.num_heads, -1)).permute(1, 2, 0, 3)
        scores.append(q @ k.transpose(1, 2) * block.attn.scale)
    return Pass(scores, attention, list(gradient), outputs, model)


def for_both(given: Network, loop: Callable[[Pass], Tensor]) -> Tensor:
    """``loop``'s value for each of the patches, of both images [2,h,w]."""
    assert given.split.layout is not None
    rows = [loop(passed(given, image)).detach()[given.split.layout.prefix :] for image in range(2)]
    return torch.stack(rows).unflatten(1, given.split.layout.grid)


def rollout(one: Pass) -> Tensor:
    """Transformer-Explainability, baselines/ViT/ViT_explanation_generator.py: ``generate_rollout``."""
    layers = [attention.sum(1) / attention.shape[1] for attention in one.attention]
    eye = torch.eye(layers[0].shape[1])[None]
    layers = [layer + eye for layer in layers]
    layers = [layer / layer.sum(-1, keepdim=True) for layer in layers]
    joint = layers[0]
    for layer in layers[1:]:
        joint = layer.bmm(joint)
    return joint[0, 0]


def discarding_rollout(one: Pass, ratio: float) -> Tensor:
    """vit-explain, vit_rollout.py: ``rollout`` with head_fusion="mean" and its discard_ratio."""
    result = torch.eye(one.attention[0].shape[-1])
    for attention in one.attention:
        fused = attention.detach().mean(1).clone()
        flat = fused.view(1, -1)
        lowest = flat.topk(int(flat.shape[-1] * ratio), -1, largest=False).indices
        flat[0, lowest[lowest != 0]] = 0
        a = (fused + torch.eye(fused.shape[-1])) / 2
        result = (a / a.sum(-1)) @ result
    return result[0, 0]


def relevance(one: Pass) -> Tensor:
    """Transformer-MM-Explainability, the notebook of ViT: ``generate_relevance``, rules 5 and 6."""
    R = torch.eye(one.attention[0].shape[-1])
    for cam, grad in zip(one.attention, one.gradient, strict=True):
        cam, grad = (t.reshape(-1, t.shape[-2], t.shape[-1]) for t in (cam, grad))
        R = R + (grad * cam).clamp(min=0).mean(0) @ R
    return R[0]


def attention_guided(one: Pass) -> Tensor:
    """Attention-Guided-CAM, Methods/AGCAM/AGCAM.py: the first row, heads and layers summed."""
    gradient = torch.cat([g[:, :, 0:1] for g in reversed(one.gradient)])
    scores = torch.stack([s[:, 0:1] for s in reversed(one.scores)])
    mask = gradient.relu() * scores.sigmoid()
    return mask.sum(1).sum(0)[0]


def legrad_torch(one: Pass, text: Tensor, starting_depth: int) -> Tensor:
    """legrad-torch 1.1, legrad/wrapper.py: ``compute_legrad_clip``, before its interpolation and min-max.

    ``ln_post`` and ``proj`` of CLIP are timm's norm and head. Its sum over blocks is divided by their number, which the
    min-max would take out.
    """
    total = torch.zeros(one.attention[0].shape[-1])
    for attention, tokens in list(zip(one.attention, one.outputs, strict=True))[starting_depth:]:
        feature = F.normalize(one.model.head(one.model.norm(tokens.mean(1))), dim=-1)
        similarity = (text @ feature.transpose(-1, -2)).sum()
        gradient = torch.autograd.grad(similarity, attention, retain_graph=True)[0].clamp(min=0)
        total = total + gradient.mean(1).mean(1)[0]
    return total / len(one.attention[starting_depth:])


def test_rollout_equals_the_authors_loop(of_timm: Network, compare: Compare) -> None:
    mine = AttentionRollout()(of_timm.split, of_timm.forward)
    compare.agrees(
        "attention_rollout", "Transformer-Explainability (its loop)", of_timm, mine, for_both(of_timm, rollout)
    )


def test_rollout_equals_vit_explain_where_it_discards_nothing(of_timm: Network, compare: Compare) -> None:
    mine = AttentionRollout()(of_timm.split, of_timm.forward)
    theirs = for_both(of_timm, lambda one: discarding_rollout(one, 0))
    compare.agrees("attention_rollout", "vit-explain (its loop)", of_timm, mine, theirs, "with discard_ratio=0")
    theirs = for_both(of_timm, lambda one: discarding_rollout(one, 0.9))
    why = "sets 90 % of a block's attention to 0, and divides columns by the sums of rows"
    compare.parts("attention_rollout", "vit-explain (its loop)", of_timm, mine, theirs, why)


def test_attribution_equals_the_authors_loop(of_timm: Network, compare: Compare) -> None:
    mine = TransformerAttribution()(of_timm.split, of_timm.forward)
    theirs = for_both(of_timm, relevance)
    compare.agrees("transformer_attribution", "Transformer-MM-Explainability (its loop)", of_timm, mine, theirs)


def test_attention_guided_cam_equals_the_authors_loop(of_timm: Network, compare: Compare) -> None:
    mine = AttentionGuidedCAM()(of_timm.split, of_timm.forward)
    theirs = for_both(of_timm, attention_guided)
    compare.agrees("attention_guided_cam", "AGCAM (its loop)", of_timm, mine, theirs)


@pytest.mark.parametrize("blocks", [None, 2])
def test_legrad_equals_legrad_torch_s_loop(blocks: int | None, compare: Compare) -> None:
    """Of the cosine of an image's embedding and a text's, as it explains CLIP; its LeWrapper takes the last two."""
    text = F.normalize(torch.randn(1, 10, generator=torch.Generator().manual_seed(5)))
    split, forward = prepare(small_vit(height=64, width=96), "small ViT (timm)", (64, 96), asked=Embedding(text[0]))
    given = Network(split, split.layer, of_tokens((4, 6), 1), forward)
    theirs = for_both(given, lambda one: legrad_torch(one, text, -(blocks or 0)))
    mine = LeGrad(blocks=blocks)(given.split, given.forward)
    compare.agrees("legrad", "legrad-torch (its loop)", given, mine, theirs, f"blocks={blocks or 'null'}")


# ViT-ReciproCAM


def mosaic(tokens: Tensor, grid: tuple[int, int], gaussian: bool, class_token: bool) -> Tensor:
    """openvino_xai 1.1.0, methods/white_box/recipro_cam.py: ``_get_mosaic_feature_map`` of tokens [1,1+h·w,dim]."""
    h, w = grid
    dim = tokens.shape[2]
    if gaussian:
        first = tokens[:, :1] if class_token else torch.zeros(1, 1, dim)
        masks = torch.zeros(h * w, h + 2, w + 2)
        kernel = torch.tensor([[1 / 16, 1 / 8, 1 / 16], [1 / 8, 1 / 4, 1 / 8], [1 / 16, 1 / 8, 1 / 16]])
        for i in range(h):
            for j in range(w):
                masks[i * w + j, i : i + 3, j : j + 3] = kernel
        patches = tokens[:, 1:].reshape(1, h, w, dim).tile(h * w, 1, 1, 1) * masks[:, 1:-1, 1:-1, None]
        return torch.cat([first.tile(h * w, 1, 1), patches.reshape(h * w, h * w, dim)], 1)
    keep = torch.cat([torch.full((h * w, 1), float(class_token)), torch.eye(h * w)], 1)
    return tokens.tile(h * w, 1, 1) * keep[:, :, None]


def by_openvino_xai(given: Network, gaussian: bool, class_token: bool, sum_too: bool = True) -> Tensor:
    """Its ViTReciproCAM with k=1: the mosaic of the sum before the last block, and of that block's first norm.

    With ``sum_too`` false its TorchViTReciproCAM (methods/white_box/torch.py): the third norm from the end alone.
    """
    model, maps = given.model, []
    assert given.split.layout is not None
    grid, last = given.split.layout.grid, model.blocks[-1]
    with torch.no_grad():
        for image, target in zip(given.x, given.target, strict=True):
            tokens = model.blocks[:-1](model.norm_pre(model._pos_embed(model.patch_embed(image[None]))))
            normed = mosaic(last.norm1(tokens), grid, gaussian, class_token)
            tokens = mosaic(tokens, grid, gaussian, class_token) if sum_too else tokens
            tokens = tokens + last.attn(normed)
            tokens = tokens + last.mlp(last.norm2(tokens))
            maps.append(model.head(model.norm(tokens)[:, 0])[:, target].view(grid))
    return torch.stack(maps)


@pytest.mark.parametrize("class_token", [True, False])
@pytest.mark.parametrize("mask", ["gaussian", "cell"])
def test_vit_reciprocam_equals_openvino_xai(mask: str, class_token: bool, vit: Network, compare: Compare) -> None:
    method = ViTReciproCAM(mask=mask, class_token=class_token)
    theirs = by_openvino_xai(vit, mask == "gaussian", class_token)
    why = f"mask={mask} class_token={str(class_token).lower()}"
    mine = method(vit.split, vit.forward)
    compare.agrees("vit_reciprocam", "openvino_xai (its mosaic)", vit, mine, theirs, why)
    before = cut(vit.model, "blocks.1", vit.split.preprocess, name=vit.split.name)
    mine = method(before, scoring.forward(before, vit.x, vit.forward.target, (0, 0)))
    why += ", at the sum before the last block"
    compare.agrees("vit_reciprocam", "openvino_xai (its mosaic)", vit, mine, theirs, why)


@pytest.mark.parametrize("mask", ["gaussian", "cell"])
def test_vit_reciprocam_and_openvino_xai_s_torch_version(mask: str, vit: Network, compare: Compare) -> None:
    theirs = by_openvino_xai(vit, mask == "gaussian", True, sum_too=False)
    mine = ViTReciproCAM(mask=mask)(vit.split, vit.forward)
    compare.agrees("vit_reciprocam", "openvino_xai for PyTorch (its mosaic)", vit, mine, theirs, f"mask={mask}")
    theirs = by_openvino_xai(vit, mask == "gaussian", False, sum_too=False)
    mine = ViTReciproCAM(mask=mask, class_token=False)(vit.split, vit.forward)
    why = "without the class token it keeps that of the skip connection"
    compare.parts("vit_reciprocam", "openvino_xai for PyTorch (its mosaic)", vit, mine, theirs, why)


# AttnLRP


@pytest.fixture
def lxt_patches(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """lxt/efficient/patches.py, without the ``__init__.py`` beside it, which imports transformers."""
    spec = importlib.util.find_spec("lxt")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    package = ModuleType("lxt.efficient")
    package.__path__ = [f"{place}/efficient" for place in spec.submodule_search_locations]
    monkeypatch.setitem(sys.modules, "lxt.efficient", package)
    for name in ("rules", "patches"):
        monkeypatch.delitem(sys.modules, f"lxt.efficient.{name}", raising=False)
    return importlib.import_module("lxt.efficient.patches")


@contextmanager
def attention_through(wrap: Callable[[Any], Any]) -> Iterator[None]:
    """Fused attention as a model of transformers would call it, so that lxt's wrapper fits."""
    plain = F.scaled_dot_product_attention
    wrapped = wrap(lambda _, *args, **kwargs: plain(*args, **kwargs))
    F.scaled_dot_product_attention = lambda *args, **kwargs: wrapped(None, *args, **kwargs)
    try:
        yield
    finally:
        F.scaled_dot_product_attention = plain


def patch(module: Any, forward: Callable[..., Tensor]) -> None:
    """What lxt's ``patch_method`` does to a class."""
    module.original_forward, module.forward = module.forward, MethodType(forward, module)


def by_lxt(given: Network, patches: Any, attention: str = "wrap_attention_forward") -> Tensor:
    """Input times gradient of a copy whose norms, activations and attention are lxt's."""
    model = copy.deepcopy(given.model)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            patch(module, patches.layer_norm_forward)
        elif isinstance(module, nn.GELU):
            patch(module, patches.non_linear_forward)
    x = given.x.clone().requires_grad_()
    with attention_through(getattr(patches, attention)):
        logits = model(x)
    (gradient,) = torch.autograd.grad(logits[range(2), given.target].sum(), x)
    return (x * gradient).sum(1).detach()


@pytest.mark.parametrize("name", WITH_PREFIX)
def test_attnlrp_equals_lxt(
    name: str, lxt_patches: ModuleType, compare: Compare, request: pytest.FixtureRequest
) -> None:
    """lxt.efficient: its patches of norms and activations, and its wrapper of an attention."""
    given: Network = request.getfixturevalue(name)
    mine = AttnLRP()(given.split, given.forward)
    compare.agrees("attnlrp", "lxt (efficient)", given, mine, by_lxt(given, lxt_patches))
    why = "its patches for torchvision's ViT are CP-LRP's: nothing through queries and keys"
    theirs = by_lxt(given, lxt_patches, "cp_wrap_attention_forward")
    compare.parts("attnlrp", "lxt (efficient)", given, mine, theirs, why)


class Same(torch.autograd.Function):
    """An activation by lxt's identity rule: relevance as it comes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Any) -> Tensor:
        return function(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def by_lxt_explicit(given: Network) -> Tensor:
    """Relevance itself from layer to layer, by lxt.explicit's functions, in double precision with a tiny ε."""
    model, eps = copy.deepcopy(given.model).double(), 1e-15
    B, N, C, H = len(given.x), 1 + model.patch_embed.num_patches, model.embed_dim, model.blocks[0].attn.num_heads

    def linear(x: Tensor, layer: nn.Linear) -> Tensor:
        return lxt_explicit.linear_epsilon(x, layer.weight, layer.bias, eps)

    def norm(x: Tensor, layer: nn.LayerNorm) -> Tensor:
        return lxt_explicit.layer_norm_grad_fn.apply(x, layer.weight, layer.bias, layer.eps, eps)

    def add(x: Tensor, y: Tensor) -> Tensor:
        return lxt_explicit.add2(x, y, False, eps)

    x = given.x.double().requires_grad_()
    side = model.patch_embed.patch_size[0]
    pixels = x.unfold(2, side, side).unfold(3, side, side).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    embed = model.patch_embed.proj
    patches = lxt_explicit.linear_epsilon(pixels, embed.weight.flatten(1), embed.bias, eps)
    tokens = torch.cat([model.cls_token.expand(B, -1, -1), patches], 1)
    tokens = add(tokens, model.pos_embed.expand(B, -1, -1).clone().requires_grad_())
    for block in model.blocks:
        q, k, v = linear(norm(tokens, block.norm1), block.attn.qkv).view(B, N, 3, H, C // H).permute(2, 0, 3, 1, 4)
        scores = lxt_explicit.mul2(lxt_explicit.matmul(q, k.transpose(-1, -2), False, eps), block.attn.scale)
        mixed = lxt_explicit.matmul(lxt_explicit.softmax(scores, -1), v, False, eps)
        tokens = add(tokens, linear(mixed.transpose(1, 2).flatten(2), block.attn.proj))
        inner = Same.apply(linear(norm(tokens, block.norm2), block.mlp.fc1), block.mlp.act)
        tokens = add(tokens, linear(inner, block.mlp.fc2))
    logits = linear(norm(tokens, model.norm)[:, 0], model.head)
    torch.testing.assert_close(logits, model(given.x.double()))
    seed = torch.zeros_like(logits)
    seed[range(B), given.target] = logits.detach()[range(B), given.target]
    (found,) = torch.autograd.grad(logits, x, seed)
    return found.sum(1).float()


def test_attnlrp_equals_lxt_s_explicit_rules(vit: Network, compare: Compare) -> None:
    mine = AttnLRP()(vit.split, vit.forward)
    compare.agrees("attnlrp", "lxt (explicit)", vit, mine, by_lxt_explicit(vit), "with ε = 1e-15")

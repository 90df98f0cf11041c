"""Networks of tokens: how layers are found and shown; methods for them, by hand where there are two patches."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from contract import METHODS, TRANSFORMERS, contract_method
from quick import QuickRun
from torch import Tensor, nn

import camsbench
from camsbench import CamsbenchError
from camsbench.config.families import FAMILIES, NONE
from camsbench.core.preprocess import Preprocess
from camsbench.core.scoring import forward
from camsbench.core.targets import Binary, Contrast, Embedding, Label, SoftmaxClass, Target, Value
from camsbench.core.types import Forward
from camsbench.methods.attention_guided_cam import AttentionGuidedCAM
from camsbench.methods.attention_rollout import AttentionRollout
from camsbench.methods.legrad import LeGrad
from camsbench.methods.transformer_attribution import TransformerAttribution
from camsbench.methods.vit_reciprocam import ViTReciproCAM
from camsbench.models import backends
from camsbench.models.layout import Asked, Layout, layout_of
from camsbench.models.split import TorchSplit, cut

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from families import load


def prepared(height: int, width: int) -> Preprocess:
    return Preprocess(
        resize=(height, width), crop=(height, width), interpolation="bilinear", mean=[0.5] * 3, std=[0.25] * 3
    )


def small_vit(name: str = "vit_tiny_patch16_224", height: int = 64, width: int = 64, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    small: dict[str, Any] = {
        "img_size": (height, width),
        "depth": 3,
        "embed_dim": 48,
        "num_heads": 3,
        "num_classes": 10,
    }
    return timm.create_model(name, **{**small, **options}).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def vit() -> TorchSplit:
    return cut(small_vit(), None, prepared(64, 64), name="vit")


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


# Layers


@pytest.mark.parametrize(
    ("shape", "size", "grids", "expected"),
    [
        ((2, 8, 7, 7), (224, 224), [], Layout("map", (7, 7))),
        ((2, 7, 7, 8), (224, 224), [], Layout("channels_last", (7, 7))),
        ((2, 197, 8), (224, 224), [], Layout("tokens", (14, 14), 1)),
        ((2, 201, 8), (224, 224), [], Layout("tokens", (14, 14), 5)),
        ((2, 49, 8), (224, 224), [(14, 14)], Layout("tokens", (7, 7))),  # the map before it has too many cells
        ((2, 33, 8), (64, 128), [(4, 8)], Layout("tokens", (4, 8), 1)),
        ((2, 33, 8), (64, 128), [], Layout("tokens", (4, 8), 1)),
        ((2, 24, 8), (64, 96), [], Layout("tokens", (4, 6))),
        ((2, 8, 7, 5), (224, 224), [], None),
        ((2, 8), (224, 224), [], None),
        ((2, 90, 8), (224, 224), [], Layout("tokens", (9, 9), 9)),
        ((2, 99, 8), (224, 224), [], None),  # 18 left over
    ],
)
def test_a_shape_shows_its_layout(shape: Any, size: Any, grids: Any, expected: Layout | None) -> None:
    assert layout_of(shape, size, grids) == expected


def test_what_is_said_of_a_layout_counts() -> None:
    assert layout_of((2, 14, 14, 14), (224, 224)) == Layout("map", (14, 14))
    assert layout_of((2, 14, 14, 14), (224, 224), (), Asked("channels_last")) == Layout("channels_last", (14, 14))
    assert layout_of((2, 200, 8), (224, 224), [(14, 14)], Asked(prefix=4)) == Layout("tokens", (14, 14), 4)
    assert layout_of((2, 200, 8), (224, 224), [(14, 14)], Asked(prefix=3)) is None
    assert layout_of((2, 33, 8), (224, 224), (), Asked(grid=(4, 8))) == Layout("tokens", (4, 8), 1)


QUICK = ("vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "levit_128s", "mixer_s32_224", "pit_ti_224")


@pytest.mark.parametrize(
    ("name", "layer"),
    [pytest.param(name, layer, marks=[pytest.mark.slow] * (name not in QUICK)) for _, name, layer, _ in FAMILIES],
)
def test_families_are_cut_where_the_list_says(name: str, layer: str) -> None:
    split = load(name)
    assert split.layer == layer
    x = torch.randn(1, *split.preprocess.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(split.logits(x), split.model(x), rtol=1e-4, atol=1e-5)
    for method in ("gradcam", *["reciprocam"] * (name in QUICK)):  # a pass a cell: `make families` has all of them
        assert camsbench.explain(method, split, x).isfinite().all()


@pytest.mark.parametrize("name", [name for _, name, _ in NONE])
def test_what_has_no_grid_says_so(name: str) -> None:
    with pytest.raises(CamsbenchError, match=r"no grid of tokens that all of the image passes"):
        camsbench.load_model(f"timm/{name}", weights="random", device="cpu")


def test_the_default_does_not_depend_on_the_weights() -> None:
    model = small_vit()
    assert isinstance(model.head, nn.Linear)
    model.head.weight.data.zero_()  # as torchvision leaves an untrained one
    assert cut(model, None, prepared(64, 64)).layer == "blocks.2.norm1"


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (
            "blocks.2",
            r"no patch reaches the logits behind it, the class token alone does; choose model.layer=blocks.2.norm1",
        ),
        ("norm", r"choose model.layer=blocks.2.norm1"),
        ("blocks.1.norm1", r"\(a skip connection\); choose the end of a block with model.layer=, such as blocks.0"),
        ("blocks.1.attn.qkv", r"\(a skip connection\)"),
        ("fc_norm", r"gives \[2, 48\], neither a feature map \[B,K,h,w\] nor a grid of tokens"),
    ],
)
def test_layers_that_cannot_be_cut_say_which_can(layer: str, says: str) -> None:
    with pytest.raises(CamsbenchError, match=says):
        cut(small_vit(), layer, prepared(64, 64), name="vit")


class Patches(nn.Module):
    """Patches as they are asked for: by rows, by columns, or with the class token behind them."""

    def __init__(self, order: str) -> None:
        super().__init__()
        self.order = order
        self.embed, self.token = nn.Conv2d(3, 16, 8, 8), nn.Parameter(torch.randn(1, 1, 16))
        self.block, self.norm = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), nn.LayerNorm(16)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        found = self.embed(x)
        if self.order == "columns":
            found = found.transpose(2, 3)
        tokens = found.flatten(2).transpose(1, 2)
        if self.order == "behind":
            tokens = torch.cat([tokens, self.token.expand(x.shape[0], -1, -1)], 1)
        out: Tensor = self.head(self.norm(self.block(tokens)).mean(1))
        return out


def test_tokens_that_lie_otherwise_are_found_out() -> None:
    assert cut(Patches("rows").eval(), None, prepared(64, 64)).layer == "norm"
    for order in ("columns", "behind"):
        with pytest.raises(CamsbenchError, match=r"are not . others and then a grid of 8x8 patches by rows"):
            cut(Patches(order).eval(), None, prepared(64, 64))


def test_options_of_a_layout_are_checked() -> None:
    for options, says in (
        ({"layout": "rows"}, "model.layout=rows: choose one of map, tokens, channels_last"),
        ({"grid": [14]}, r"model.grid=\[14\]: give the rows and columns"),
        ({"prefix": -1}, "model.prefix=-1: give the number of tokens"),
        ({"layout": "map", "prefix": 1}, "model.layout=map has no tokens"),
        ({"prefix": 3}, r"no feature map \[B,K,h,w\] and no grid of tokens"),
    ):
        with pytest.raises(CamsbenchError, match=says):
            camsbench.load_model("timm/vit_tiny_patch16_224", weights="random", device="cpu", **options)


# Every method

REFUSED = {  # on a ViT, and what its sentence says
    **dict.fromkeys(["lrp", "relevancecam", "relevancecam_code"], "relevance has no rule for"),
    **dict.fromkeys(["deconvolution", "guided_backprop"], "has no ReLU"),
    **dict.fromkeys(["deeplift", "fullgrad"], "has attention"),
    "cam": "needs an average pool and a linear layer",
}


@pytest.mark.parametrize("method", [*METHODS, *TRANSFORMERS])
def test_every_method_explains_a_vit_or_says_why_not(method: str, vit: TorchSplit, x: Tensor) -> None:
    explainer = contract_method(method)
    if method in REFUSED:
        with pytest.raises(CamsbenchError, match=REFUSED[method]):
            camsbench.explain(explainer, vit, x, [1, 2])
        return
    both = camsbench.explain(explainer, vit, x, [1, 2], ids=["a", "b"])
    assert both.shape == (2, 1, 64, 64)
    assert both.isfinite().all()
    alone = camsbench.explain(explainer, vit, x[1:], [2], ids=["b"])
    torch.testing.assert_close(both[1:], alone, rtol=0, atol=2e-2)


@pytest.mark.parametrize("method", TRANSFORMERS)
def test_a_convolutional_network_is_refused(method: str, lite0: TorchSplit, images: Tensor) -> None:
    with pytest.raises(CamsbenchError, match=r"holds no tokens|has no attention"):
        camsbench.explain(method, lite0, images[:1])


@pytest.mark.parametrize("method", TRANSFORMERS)
def test_an_image_that_is_no_square(method: str) -> None:
    split = cut(small_vit(height=32, width=96), None, prepared(32, 96), name="vit")
    assert split.layout == Layout("tokens", (2, 6), 1)
    maps = camsbench.explain(method, split, torch.randn(2, 3, 32, 96, generator=torch.Generator().manual_seed(0)))
    assert maps.shape == (2, 1, 32, 96)
    assert maps.isfinite().all()


ASKED: dict[str, tuple[int, Target, list[int]]] = {
    "softmax": (5, SoftmaxClass(), [2, 1]),
    "labels": (5, Label(), [2, 1]),
    "binary": (1, Binary(), [0, 1]),
    "value": (2, Value(), [1, 0]),
    "contrast": (5, Contrast(3), [2, 1]),
    "embedding": (5, Embedding(torch.tensor([1.0, -0.5, 0.25, 2.0, -1.0])), [0, 0]),
}


@pytest.mark.parametrize("name", ASKED)
def test_every_target_is_asked(name: str, x: Tensor) -> None:
    outputs, asked, index = ASKED[name]
    split = cut(small_vit(num_classes=outputs), None, prepared(64, 64), name="vit", asked=asked)
    for method in (*TRANSFORMERS, "gradcam", "reciprocam"):
        if contract_method(method).needs & {"confidence"} - asked.provides:
            continue
        assert camsbench.explain(contract_method(method), split, x, index).isfinite().all()


# By hand


class TwoPatches(nn.Module):
    """A class token and two patches, two blocks of one head, written out."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.embed = nn.Conv2d(3, 6, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 6))
        self.blocks = nn.ModuleList([OneHead(), OneHead()])
        self.norm, self.head = nn.LayerNorm(6), nn.Linear(6, 4)
        for parameter in self.parameters():
            parameter.data = torch.randn_like(parameter) * 0.7

    def forward(self, x: Tensor) -> Tensor:
        patches = self.embed(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(x.shape[0], -1, -1), patches], 1)
        for block in self.blocks:
            tokens = block(tokens)
        out: Tensor = self.head(self.norm(tokens)[:, 0])
        return out


class OneHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.qkv, self.proj = nn.LayerNorm(6), nn.Linear(6, 18), nn.Linear(6, 6)
        self.norm2, self.mlp = nn.LayerNorm(6), nn.Linear(6, 6)

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm1(tokens))[:, None].chunk(3, -1)
        tokens = tokens + self.proj(F.scaled_dot_product_attention(q, k, v).squeeze(1))
        return tokens + F.gelu(self.mlp(self.norm2(tokens)))


def by_hand(model: TwoPatches, x: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor], Tensor]:
    """Scores, attention and output of each block, and the logits, of one image, step by step."""
    patches = model.embed(x).flatten(2)[0].T  # [2,6]
    tokens = torch.cat([model.token[0], patches])
    scores, attention, outputs = [], [], []
    for block in model.blocks:
        assert isinstance(block, OneHead)
        q, k, v = block.qkv(block.norm1(tokens)).chunk(3, -1)
        scores.append(q @ k.T / 6**0.5)
        attention.append(scores[-1].softmax(1))
        attention[-1].requires_grad_() if attention[-1].is_leaf else attention[-1].retain_grad()
        tokens = tokens + block.proj(attention[-1] @ v)
        tokens = tokens + F.gelu(block.mlp(block.norm2(tokens)))
        outputs.append(tokens)
    return scores, attention, outputs, model.head(model.norm(tokens)[0])


@pytest.fixture(scope="module")
def two() -> tuple[TwoPatches, TorchSplit, Forward]:
    model = TwoPatches().eval().requires_grad_(False)
    split = cut(model, None, prepared(8, 16), name="two")
    assert (split.layer, split.layout) == ("blocks.1.norm1", Layout("tokens", (1, 2), 1))
    image = torch.randn(1, 3, 8, 16, generator=torch.Generator().manual_seed(2))
    return model, split, forward(split, image, torch.tensor([3]), (0,))


def test_rollout_by_hand(two: tuple[TwoPatches, TorchSplit, Forward]) -> None:
    model, split, given = two
    _, (first, second), _, _ = by_hand(model, given.x)
    eye = torch.eye(3)
    expected = ((0.5 * second + 0.5 * eye) @ (0.5 * first + 0.5 * eye))[0, 1:]
    torch.testing.assert_close(AttentionRollout()(split, given), expected.view(1, 1, 2), rtol=0, atol=1e-6)


def test_attribution_by_hand(two: tuple[TwoPatches, TorchSplit, Forward]) -> None:
    model, split, given = two
    _, attention, _, logits = by_hand(model, given.x)
    first, second = torch.autograd.grad(logits[3], attention)
    relevance = torch.eye(3)
    for a, g in zip(attention, (first, second), strict=True):
        relevance = relevance + (a * g).relu() @ relevance
    got = TransformerAttribution()(split, given)
    torch.testing.assert_close(got, relevance[0, 1:].detach().view(1, 1, 2), rtol=1e-5, atol=1e-7)


def test_attention_guided_cam_by_hand(two: tuple[TwoPatches, TorchSplit, Forward]) -> None:
    model, split, given = two
    scores, attention, _, logits = by_hand(model, given.x)
    gradients = torch.autograd.grad(logits[3], attention)
    expected = sum(g[0, 1:].relu() * s[0, 1:].sigmoid() for g, s in zip(gradients, scores, strict=True))
    assert isinstance(expected, Tensor)
    got = AttentionGuidedCAM()(split, given)
    torch.testing.assert_close(got, expected.detach().view(1, 1, 2), rtol=1e-5, atol=1e-7)


def test_legrad_by_hand(two: tuple[TwoPatches, TorchSplit, Forward]) -> None:
    model, split, given = two
    _, attention, outputs, _ = by_hand(model, given.x)
    maps = []
    for a, tokens in zip(attention, outputs, strict=True):
        score = model.head(model.norm(tokens.mean(0)))[3]
        maps.append(torch.autograd.grad(score, a, retain_graph=True)[0].relu().mean(0)[1:])
    expected = torch.stack(maps).mean(0)
    torch.testing.assert_close(LeGrad()(split, given), expected.view(1, 1, 2), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(LeGrad(blocks=1)(split, given), maps[1].view(1, 1, 2), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("class_token", [True, False])
@pytest.mark.parametrize("layer", ["blocks.1.norm1", "blocks.0"])
@pytest.mark.parametrize(("mask", "next_to_it"), [("cell", 0.0), ("gaussian", 0.125)])
def test_vit_reciprocam_by_hand(
    two: tuple[TwoPatches, TorchSplit, Forward], mask: str, next_to_it: float, layer: str, class_token: bool
) -> None:
    """The sum before the last block with one patch left, and its norm with the same one left; or with a quarter of it
    and an eighth of the other."""
    model, _, given = two
    split = cut(model, layer, prepared(8, 16), name="two")
    _, _, outputs, _ = by_hand(model, given.x)
    block, expected = model.blocks[1], []
    assert isinstance(block, OneHead)
    itself = 1.0 if mask == "cell" else 0.25
    for weights in ((itself, next_to_it), (next_to_it, itself)):
        keep = torch.tensor([float(class_token), *weights])[:, None]
        tokens, normed = outputs[0] * keep, block.norm1(outputs[0]) * keep
        q, k, v = block.qkv(normed).chunk(3, -1)
        tokens = tokens + block.proj((q @ k.T / 6**0.5).softmax(1) @ v)
        tokens = tokens + F.gelu(block.mlp(block.norm2(tokens)))
        expected.append(model.head(model.norm(tokens)[0])[3])
    method = ViTReciproCAM(mask=mask, class_token=class_token)
    got = method(split, forward(split, given.x, given.target, (0,)))
    torch.testing.assert_close(got, torch.stack(expected).view(1, 1, 2), rtol=1e-4, atol=1e-5)


# Elsewhere


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_backends_without_gradients_give_the_same_maps(
    backend: str, vit: TorchSplit, x: Tensor, tmp_path: Path
) -> None:
    twin = backends.move_to(backend, [vit], tmp_path)[0]
    for method in ("reciprocam", "vit_reciprocam_gaussian", "ablationcam", "eigencam"):
        ours, theirs = (camsbench.explain(method, split, x, [1, 2]) for split in (vit, twin))
        torch.testing.assert_close(theirs, ours, rtol=0, atol=2e-3)


def test_a_run_and_its_sanity_checks(quick_run: QuickRun, tmp_path: Path) -> None:
    chosen = ["model=timm", "model.name=vit_tiny_patch16_224", "model.weights=random", "++model.options.img_size=96"]
    chosen += ["++model.options.depth=2", "data.limit=2"]
    done = quick_run(tmp_path / "run", *chosen, "method=[gradcam,legrad]", "metric=[drop,sanity_cascading,coherency]")
    assert done.rows["error"].isna().all()
    assert set(done.rows["layer"]) == {"blocks.1.norm1"}
    assert done.rows.filter(like="sanity").notna().all(axis=None)
    with pytest.raises(CamsbenchError, match="method=lrp: relevance has no rule for"):
        quick_run(tmp_path / "other", *chosen, "method=[lrp]", "metric=[drop]")


# What a reviewer found


def test_attnlrp_knows_parameters_that_learn(x: Tensor) -> None:
    model = small_vit("deit3_small_patch16_224", init_values=0.5)
    split = cut(model, None, prepared(64, 64), name="deit3")
    expected = camsbench.explain("attnlrp", split, x, [1, 2])
    model.requires_grad_(True)
    learning = cut(model, None, prepared(64, 64), name="deit3")
    torch.testing.assert_close(camsbench.explain("attnlrp", learning, x, [1, 2]), expected, rtol=0, atol=1e-5)
    assert all(parameter.requires_grad for parameter in model.parameters())


class Einsum(OneHead):
    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm1(tokens))[:, None].chunk(3, -1)
        scores = torch.einsum("bhnd,bhmd->bhnm", q, k).softmax(-1)
        return tokens + self.proj((scores @ v).squeeze(1))


def test_attnlrp_refuses_products_without_a_rule() -> None:
    model = TwoPatches()
    model.blocks = nn.ModuleList([Einsum(), Einsum()])
    split = cut(model.eval().requires_grad_(False), None, prepared(8, 16), name="two")
    with pytest.raises(CamsbenchError, match=r"relevance has no rule for torch\.functional\.einsum"):
        camsbench.explain("attnlrp", split, torch.randn(1, 3, 8, 16))
    assert camsbench.explain("legrad", split, torch.randn(1, 3, 8, 16)).isfinite().all()


@pytest.mark.slow
def test_an_order_by_windows_is_found_out() -> None:
    for layer in ("blocks.0", "blocks.2"):
        with pytest.raises(CamsbenchError, match="patches by rows"):
            camsbench.load_model("timm/hiera_tiny_224", weights="random", layer=layer, device="cpu")


def test_a_softmax_over_branches_is_no_attention() -> None:
    model = timm.create_model("skresnet18", num_classes=10).eval().requires_grad_(False)
    split = cut(model, None, prepared(64, 64), name="skresnet18")
    for method in ("deeplift", "fullgrad"):
        assert camsbench.explain(method, split, torch.randn(1, 3, 64, 64)).isfinite().all()
    with pytest.raises(CamsbenchError, match="has no attention"):
        camsbench.explain("attnlrp", split, torch.randn(1, 3, 64, 64))


@pytest.mark.slow
def test_a_backend_that_cannot_mask_the_norm_says_so(tmp_path: Path, x: Tensor) -> None:
    twin = backends.move_to("onnxruntime", [cut(small_vit(), "blocks.0", prepared(64, 64), name="vit")], tmp_path)[0]
    with pytest.raises(CamsbenchError, match="has a norm behind it, which is masked in PyTorch alone"):
        camsbench.explain("vit_reciprocam", twin, x)


@pytest.mark.parametrize("class_token", [True, False])
def test_more_registers_than_patches(class_token: bool, x: Tensor) -> None:
    model = small_vit(patch_size=32, reg_tokens=4)
    split = cut(model, "blocks.0", prepared(64, 64), name="vit")
    assert split.layout == Layout("tokens", (2, 2), 5)
    given = forward(split, x[:1], torch.tensor([3]), (0,))
    A, prefix = given.A.flatten(2)[0].T, given.beside[0][0]
    expected = []
    for patch in range(4):
        keep = torch.tensor([float(class_token)] * 5 + [float(patch == n) for n in range(4)])[:, None]
        tokens = torch.cat([prefix, A])
        block: Any = model.blocks[1]  # type: ignore[index]
        masked = (tokens * keep)[None]
        masked = masked + block.attn(block.norm1(tokens[None]) * keep)
        masked = masked + block.mlp(block.norm2(masked))
        expected.append(model.head(model.norm(model.blocks[2](masked))[:, 0])[0, 3])  # type: ignore[operator, index]
    got = ViTReciproCAM(mask="cell", class_token=class_token)(split, given)
    torch.testing.assert_close(got.flatten(), torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_a_head_that_reads_the_largest_tokens_is_refused(x: Tensor) -> None:
    model = small_vit(global_pool="max", class_token=False, patch_size=8)
    split = cut(model, "blocks.2", prepared(64, 64), name="vit")
    with pytest.raises(CamsbenchError, match="reads other tokens for each image"):
        camsbench.explain("attention_rollout", split, x)


def test_cutting_leaves_the_callers_modes_and_random_stream() -> None:
    model = small_vit()
    state = torch.random.get_rng_state()
    with torch.inference_mode():
        assert cut(model, None, prepared(64, 64)).layer == "blocks.2.norm1"
    assert torch.equal(torch.random.get_rng_state(), state)

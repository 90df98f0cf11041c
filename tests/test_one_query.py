"""Heads of tokens: few queries in place of all, and one token of each kind, against the plain loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
import timm
import torch
import torchvision
from exact import EXACT
from test_short_cuts import RECIPROCAMS, both_ways
from torch import Tensor, nn

from camsbench.core import scoring
from camsbench.core.alike import head_by_kind
from camsbench.core.one_query import one_query
from camsbench.core.passes import MicroBatch, count_passes
from camsbench.core.preprocess import Preprocess
from camsbench.core.types import Explainer, Forward
from camsbench.methods._attention import attentions, opened
from camsbench.methods.ablationcam import AblationCAM
from camsbench.methods.attention_rollout import AttentionRollout
from camsbench.methods.gradcam import GradCAM
from camsbench.methods.legrad import LeGrad
from camsbench.methods.reciprocam import ReciproCAM
from camsbench.methods.transformer_attribution import TransformerAttribution
from camsbench.models.randomise import randomised
from camsbench.models.split import TorchSplit, cut

PREPROCESS = Preprocess(resize=64, crop=64, interpolation="bilinear", mean=[0.5] * 3, std=[0.5] * 3)
SMALL = {"img_size": 64, "depth": 2, "embed_dim": 32, "num_heads": 2, "num_classes": 10}
CELLS = 16

ALIKE = {  # the queries that remain
    "vit_tiny_patch16_224": 1,
    "deit_tiny_distilled_patch16_224": 2,
    "deit3_small_patch16_224": 1,
    "vit_small_patch14_reg4_dinov2": 1,
    "vit_base_patch16_clip_224": 1,
    "vit_small_patch16_18x2_224": 1,
    "torchvision": 1,
}
PLACES = {  # attention knows places
    "vit_relpos_base_patch16_cls_224": 1,
    "beit_base_patch16_224": 1,
    "eva02_tiny_patch14_224": 1,
}
ALL_READ = ["vit_base_patch16_siglip_gap_224", "vit_base_patch16_siglip_224", "cait_xxs24_224", "xcit_nano_12_p16_224"]


def torchvision_vit() -> Any:
    """Whose classifier is made of zeros."""
    sizes = {"image_size": 64, "patch_size": 16, "num_layers": 2, "num_heads": 2, "hidden_dim": 32, "mlp_dim": 64}
    return torchvision.models.VisionTransformer(**sizes, num_classes=10)


def network(name: str) -> Any:
    """A network of random weights, large enough that logits and attention differ; frozen.

    In double precision, where what rounding does is far below what a wrong token would.
    """
    pooled = {"global_pool": "token"} if name in ("beit_base_patch16_224", "eva02_tiny_patch14_224") else {}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = torchvision_vit() if name == "torchvision" else timm.create_model(name, **SMALL, **pooled)
        for weight in model.parameters():
            with torch.no_grad():
                weight.copy_(torch.randn_like(weight) / (4 if weight.ndim > 1 else 2) + (weight.ndim == 1))
    return model.eval().requires_grad_(False).double()


@lru_cache
def small(name: str, layer: str | None = None) -> TorchSplit:
    return cut(network(name), layer, PREPROCESS, name=name)


def fresh(name: str) -> TorchSplit:
    """One whose weights a test may change."""
    return cut(network(name), None, PREPROCESS, name=name)


def images(count: int) -> Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(count), dtype=torch.float64)


def passed(split: TorchSplit, count: int = 2) -> Forward:
    target = torch.arange(count) % 10
    return scoring.forward(split, images(count), target, (0,) * count)


def share(got: Tensor, expected: Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    return float(((got - expected).abs().max() / expected.abs().max().clamp(min=1e-12)).detach())


def queries(run: Callable[[], Tensor]) -> list[int]:
    """How many queries each attention of a pass has."""
    seen: list[int] = []

    def look(probabilities: Tensor, _: Tensor) -> Tensor:
        seen.append(probabilities.shape[2])
        return probabilities

    with opened(look):
        run()
    return seen


@pytest.mark.parametrize("name", [*ALIKE, *PLACES])
def test_the_last_attention_has_the_queries_that_are_read(name: str) -> None:
    split = small(name)
    for count in (1, 2, 5):
        with torch.no_grad():
            parts = split.parts(images(count))
            assert share(split.head(*parts), split.plain.head(*parts)) < EXACT
    assert split.layout is not None
    assert queries(lambda: split.plain.head(*parts))[-1] == split.layout.prefix + CELLS
    assert queries(lambda: split.head(*parts))[-1] == {**ALIKE, **PLACES}[name]


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "torchvision", "beit_base_patch16_224"])
def test_gradients_are_the_same(name: str) -> None:
    split, found = small(name), list[Tensor]()
    for each in (split, split.plain):
        A, *beside = (part.detach() for part in split.parts(images(2)))
        A.requires_grad_()
        found.append(torch.autograd.grad(each.head(A, *beside)[:, 3].sum(), A)[0])
    assert share(found[0], found[1]) < EXACT


def test_before_earlier_blocks_only_the_last_attention_changes() -> None:
    split = small("vit_tiny_patch16_224", "patch_embed")
    parts = split.parts(images(2))
    assert queries(lambda: split.head(*parts)) == [17, 1]
    assert share(split.head(*parts), split.plain.head(*parts)) < EXACT


@pytest.mark.parametrize("name", ALL_READ)
def test_heads_without_queries_to_spare_stay_as_they_are(name: str) -> None:
    split = small(name)
    parts = split.parts(images(2))
    assert one_query(split.head_graph, parts) is None
    assert torch.equal(split.head(*parts), split.plain.head(*parts))


class ReadsAll(nn.Module):
    """A class token and a share of the patches, which is 0 until somebody trains it."""

    def __init__(self) -> None:
        super().__init__()
        self.body: Any = network("vit_tiny_patch16_224")
        self.share = nn.Parameter(torch.zeros(32, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.body.forward_features(x)
        logits: Tensor = self.body.head(tokens[:, 0] + self.share * tokens[:, 1:].mean(1))
        return logits


def test_a_head_that_may_come_to_read_all_tokens_stays_as_it_is() -> None:
    split = cut(ReadsAll().eval(), "body.blocks.0", PREPROCESS, name="reads all")
    parts = split.parts(images(2))
    assert one_query(split.head_graph, parts) is None
    assert head_by_kind(split, parts) is None


def test_a_head_without_attention_stays_as_it_is(lite0: TorchSplit) -> None:
    parts = lite0.parts(images(2).float())
    assert one_query(lite0.head_graph, parts) is None
    assert head_by_kind(lite0, parts) is None


@pytest.mark.parametrize("name", ALIKE)
@pytest.mark.parametrize("method", RECIPROCAMS, ids=str)
def test_reciprocam_passes_a_token_of_each_kind(method: Explainer, name: str) -> None:
    off, head, tail, every = both_ways(method, small(name), passed(small(name)))
    assert off < EXACT
    assert (head, tail, every) == (0, 2 * CELLS, 2 * CELLS)


@pytest.mark.parametrize("name", ["cait_xxs24_224", "xcit_nano_12_p16_224", "vit_base_patch16_siglip_224"])
def test_pools_by_attention_count_kinds_too(name: str) -> None:
    off, head, tail, _ = both_ways(ReciproCAM(mask="gaussian"), small(name), passed(small(name)))
    assert off < EXACT
    assert (head, tail) == (0, 2 * CELLS)


def test_kinds_pass_several_blocks() -> None:
    split = small("vit_tiny_patch16_224", "blocks.0")
    off, head, tail, _ = both_ways(ReciproCAM(mask="gaussian"), split, passed(split))
    assert off < EXACT
    assert (head, tail) == (0, 2 * CELLS)


@pytest.mark.parametrize("name", PLACES)
def test_where_attention_knows_places_every_copy_is_passed(name: str) -> None:
    split = small(name)
    off, head, tail, every = both_ways(ReciproCAM(mask="gaussian"), split, passed(split))
    assert off < EXACT
    assert (head, tail, every) == (2 * CELLS, 0, 2 * CELLS)


@pytest.mark.parametrize("size", [1, 3, 16])
def test_micro_batches_of_any_size(size: int) -> None:
    split = replace(small("torchvision"), micro_batch=MicroBatch(size))
    for method in (ReciproCAM(mask="gaussian"), AblationCAM()):
        base = passed(split, 3)
        assert share(method(split, base), method(split.plain, base)) < EXACT


@pytest.mark.parametrize("name", [*ALIKE, *PLACES])
def test_ablationcam_and_gradcam_pass_the_few_queries(name: str) -> None:
    split = small(name)
    base = passed(split)
    for method, expected in ((AblationCAM(), 2 * 32), (GradCAM(), 2)):
        with count_passes(split) as passes:
            got = method(split, base)
        assert (passes.head, passes.tail) == (expected, 0)
        assert share(got, method(split.plain, base)) < EXACT


@pytest.mark.parametrize("method", [AttentionRollout(), TransformerAttribution(), LeGrad()], ids=str)
def test_methods_of_attention_see_all_of_it(method: Explainer) -> None:
    split = small("vit_tiny_patch16_224")
    base = passed(split)
    assert [p.shape[2] for p in attentions(split, base.x)] == [17, 17]
    assert both_ways(method, split, base)[0] < EXACT


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "torchvision"])
def test_weights_that_change_are_followed(name: str) -> None:
    split = fresh(name)
    parts = split.parts(images(2))
    before = split.head(*parts)
    for weight in split.head_graph.parameters():
        with torch.no_grad():
            weight.mul_(1.5)
        assert share(split.head(*parts), split.plain.head(*parts)) < EXACT
    for module in [m for m in split.head_graph.modules() if isinstance(m, nn.Linear)]:
        module.weight = nn.Parameter(module.weight.flip(0))
        assert share(split.head(*parts), split.plain.head(*parts)) < EXACT
    assert share(split.head(*parts), before) > 0.1
    base = passed(split)
    assert both_ways(ReciproCAM(score="logit"), split, base)[0] < EXACT


def test_a_classifier_of_zeros_hides_nothing() -> None:
    model = torchvision_vit().eval().double()
    split = cut(model, None, PREPROCESS, name="zeros")
    parts = split.parts(images(2))
    assert not split.head(*parts).any()
    assert head_by_kind(split, parts) is not None
    with torch.no_grad():
        model.heads.head.weight.normal_()
    assert share(split.head(*parts), split.plain.head(*parts)) < EXACT


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("vit_tiny_patch16_224", ["head", "norm", "blocks.1.norm2", "blocks.1.attn.qkv", "blocks.1.mlp.fc1"]),
        ("torchvision", ["heads.head", "encoder.ln", "encoder.layers.encoder_layer_1.self_attention.out_proj"]),
    ],
)
def test_randomised_layers_are_followed(name: str, layers: list[str]) -> None:
    split = small(name)
    base = passed(split)
    parts = (base.A, *base.beside)
    before, copy = split.head(*parts), randomised(split, 3)
    for layer in layers:
        with copy.without([layer]) as random:
            got = random.head(*parts)
            assert share(got, random.plain.head(*parts)) < EXACT
            assert share(got, before) > 1e-2
            assert both_ways(ReciproCAM(score="logit"), random, base)[0] < EXACT
    with copy.without([]) as same:
        assert torch.equal(same.head(*parts), before)


def test_folded_norms_behind_few_queries() -> None:
    model = network("torchvision")
    model.heads = nn.Sequential(nn.Linear(32, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10)).eval().double()
    model.heads[1].running_mean.normal_()
    split = cut(model, None, PREPROCESS, name="folded", fold=True)
    parts = split.parts(images(2))
    with torch.no_grad():
        assert share(split.head(*parts), split.with_options(fold=False).plain.head(*parts)) < EXACT


def test_low_precision_passes_the_few_queries() -> None:
    single = cut(network("vit_tiny_patch16_224").float(), None, PREPROCESS, name="single")
    split = single.with_options(copies_dtype=torch.bfloat16).for_copies
    with torch.inference_mode():
        parts = split.parts(images(2).float())
        assert queries(lambda: split.head(*parts)) == [1]
        assert share(split.head(*parts).float(), single.plain.head(*parts)) < 0.05


@pytest.mark.slow
def test_compiled_passes_have_the_few_queries() -> None:
    split = small("vit_tiny_patch16_224").with_options(compile=True)
    base = passed(split)
    with count_passes(split) as passes:
        got = AblationCAM()(split, base)
    assert passes.head == 2 * 32
    expected = AblationCAM()(split.with_options(compile=False).plain, base)
    assert share(got, expected) < EXACT

"""BatchNorm folded away: the same activations and logits, nothing of the network changed, weights kept up with."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import timm
import torch
from torch import Tensor, fx, nn

import camsbench
from camsbench import CamsbenchError, cut
from camsbench.core import scoring
from camsbench.core.passes import count_passes
from camsbench.core.preprocess import Preprocess
from camsbench.models.folding import fold_norms
from camsbench.models.randomise import randomised
from camsbench.models.split import TorchSplit
from camsbench.models.weights import weight_hash

SMALL = Preprocess(resize=64, crop=64, interpolation="bilinear", mean=[0.5] * 3, std=[0.5] * 3)


class Norms(nn.Module):
    """A BatchNorm that can be folded (w = 2, b = 1, mean 3, variance 4, γ = 6, β = 5), and three that cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.folds = nn.Conv2d(3, 1, 1), nn.BatchNorm2d(1, eps=0)
        self.first, self.shared, self.read_twice = nn.BatchNorm2d(3), nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)
        self.late = nn.BatchNorm2d(2)
        self.fc = nn.Linear(2, 2)
        with torch.no_grad():
            self.conv.weight.fill_(2)
            self.conv.bias.fill_(1)  # type: ignore[union-attr]
            self.folds.weight.fill_(6)
            self.folds.bias.fill_(5)
            self.folds.running_mean.fill_(3)  # type: ignore[union-attr]
            self.folds.running_var.fill_(4)  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        once = self.folds(self.conv(self.first(x)))
        twice = self.shared(once)
        return self.fc((self.late(self.read_twice(twice).relu()) + twice).mean((2, 3)))


def norms(part: nn.Module) -> int:
    assert isinstance(part, fx.GraphModule)
    called = [part.get_submodule(str(n.target)) for n in part.graph.nodes if n.op == "call_module"]
    return sum(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in called)


def test_the_fold_by_hand_and_what_cannot_be_folded() -> None:
    model = Norms().eval().requires_grad_(False)
    split = cut(model, "folds", replace(SMALL, crop=8), name="norms", fold=True)
    features, head = fold_norms(split.features_graph), fold_norms(split.head_graph)
    both = features.folded_0
    assert isinstance(both, nn.Conv2d)
    assert both.weight.flatten().tolist() == [6, 6, 6]  # 2 · 6/√4
    assert both.bias is not None
    assert both.bias.tolist() == [-1]  # (1 − 3) · 6/√4 + 5
    assert norms(features) == 1
    assert norms(head) == 2
    assert head is split.head_graph


@pytest.mark.parametrize("name", ["lite0", "resnet18"])
def test_real_networks_keep_their_activations_and_logits(
    name: str, images: Tensor, request: pytest.FixtureRequest
) -> None:
    split: TorchSplit = request.getfixturevalue(name)
    before = weight_hash(split.model)
    plain = split.with_options(fold=False)
    with torch.no_grad():
        pairs = [(split.features(images[:2]), plain.features(images[:2]))]
        pairs.append((split.logits(images[:2]), plain.logits(images[:2])))
    for got, expected in pairs:
        assert 0 < (got - expected).abs().max() < 1e-5 * expected.abs().max()
    assert norms(fold_norms(split.features_graph)) == 0
    assert norms(split.features_graph) > 15
    assert weight_hash(split.model) == before


@pytest.mark.parametrize("name", ["resnet26d", "mobilenetv3_small_050", "densenet121", "regnety_002"])
def test_networks_of_other_kinds(name: str) -> None:
    model = timm.create_model(name, pretrained=False).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # as training leaves them, not 0 and 1
            generator = torch.Generator().manual_seed(module.num_features)
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                assert isinstance(tensor, Tensor)
                tensor.add_(torch.rand(tensor.shape, generator=generator) * 0.3)
    split = cut(model, None, SMALL, name=name, fold=True)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        got, expected = split.logits(x), model(x)
    assert (got - expected).abs().max() < 1e-5 * expected.abs().max()
    assert norms(fold_norms(split.features_graph)) < norms(split.features_graph)


def test_gradients_see_the_network_itself_and_both_count(resnet18: TorchSplit, images: Tensor) -> None:
    x, used = images[:1], []
    handles = [
        part.register_forward_hook(lambda *_, part=part: used.append(part))
        for part in (resnet18.features_graph, fold_norms(resnet18.features_graph))
    ]
    with count_passes(resnet18) as passes:
        base = scoring.forward(resnet18, x, None, (0,))
        resnet18.logits(x.clone().requires_grad_()).sum().backward()
        scoring.score_inputs(resnet18, lambda i, n: x[i], 3, base.target)
    for handle in handles:
        handle.remove()
    own, quick = resnet18.features_graph, fold_norms(resnet18.features_graph)
    assert used == [quick, own, quick]
    assert (passes.features, passes.head) == (5, 5)


def test_the_fold_follows_weights_that_change() -> None:
    split = camsbench.load_model("resnet18", weights="random", device="cpu")
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    norm = split.model.get_submodule("layer2.0.bn1")
    assert isinstance(norm, nn.BatchNorm2d)

    def agrees(case: TorchSplit) -> Tensor:
        with torch.no_grad():
            got, expected = case.features(x), case.with_options(fold=False).features(x)
        assert (got - expected).abs().max() < 1e-5 * expected.abs().max()
        return got

    first = agrees(split)
    with torch.no_grad():
        norm.weight.mul_(3)  # written to
    second = agrees(split)
    assert (second - first).abs().max() > 1e-2 * first.abs().max()
    with pytest.MonkeyPatch.context() as patch:  # replaced
        patch.setitem(norm._buffers, "running_var", torch.full_like(norm.running_var, 9))  # type: ignore[arg-type]
        assert not torch.equal(agrees(split), second)
    assert torch.equal(agrees(split), second)
    other = copy.deepcopy(split)
    with torch.no_grad():
        next(other.model.get_submodule("conv1").parameters()).mul_(2)
    assert not torch.equal(agrees(other), second)
    assert torch.equal(agrees(split), second)


class ReadsWeight(Norms):
    """A weight that the graph reads itself, behind a BatchNorm that folds."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(self.late(self.shared(self.folds(self.conv(x)))).mean((2, 3)), self.fc.weight)


def test_the_fold_follows_weights_that_the_graph_reads_itself() -> None:
    split = cut(ReadsWeight().eval(), "folds", replace(SMALL, crop=8), name="reads", fold=True)
    copy_of_it = randomised(split, 0)
    with torch.no_grad():
        parts = split.parts(torch.ones(1, 3, 8, 8))
        before = split.head(*parts)
        assert fold_norms(split.head_graph) is not split.head_graph
        with copy_of_it.without([]) as same:
            assert torch.equal(same.head(*parts), before)
        with copy_of_it.without(["fc"]) as random:
            assert torch.allclose(random.head(*parts), random.with_options(fold=False).head(*parts))
            assert not torch.allclose(random.head(*parts), before)


def test_a_fold_that_does_not_recompose_is_refused() -> None:
    """Where a channel of constant output is far from its mean, √(σ²+ε) divides what rounding left of it."""
    model = Norms().eval().requires_grad_(False)
    with torch.no_grad():
        model.conv.weight.fill_(1e-3)
        model.conv.bias.fill_(3e4)  # type: ignore[union-attr]
        model.folds.running_mean.fill_(3e4)  # type: ignore[union-attr]
        model.folds.running_var.fill_(1e-12)  # type: ignore[union-attr]
    with pytest.raises(CamsbenchError, match=r"norms.*does not recompose.*runtime\.fold=false"):
        cut(model, "folds", replace(SMALL, crop=8), name="norms", fold=True)
    assert not cut(model, "folds", replace(SMALL, crop=8), name="norms").options.fold

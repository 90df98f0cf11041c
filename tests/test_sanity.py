"""Sanity checks on paper and on the real network: what is randomised, what it gives, and what stays as it was."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from quick import FULL, QuickRun
from scipy.stats import spearmanr
from torch import Tensor, nn

import camsbench
from camsbench import CamsbenchError
from camsbench.config.build import build
from camsbench.config.compose import compose_config
from camsbench.core import scoring
from camsbench.core.explained import Explained, explain
from camsbench.core.saliency import SaliencyRule
from camsbench.core.types import Explainer, Forward, Split
from camsbench.methods.cam import CAM
from camsbench.methods.gradcam import GradCAM
from camsbench.methods.randomcam import RandomCAM
from camsbench.metrics.sanity import CascadingRandomisation, IndependentRandomisation
from camsbench.models import randomise
from camsbench.models.randomise import layers_of, randomised
from camsbench.models.split import TorchSplit
from camsbench.store.folder import RunFolder

FEW = ("classifier", "conv_head", "blocks.6")
MEASURES = ("spearman", "abs_spearman", "ssim", "hog")


def explained(split: TorchSplit, method: Explainer, x: Tensor, seeds: tuple[int, ...] | None = None) -> Explained:
    target = torch.zeros(len(x), dtype=torch.long)
    return explain(split, method, SaliencyRule(), scoring.forward(split, x, target, seeds or tuple(range(len(x)))))


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Re-initialising gives A0 = 0, A1 = c0, and the logits (a1, a0)."""

    def conv(self: nn.Conv2d) -> None:
        self.weight.data = torch.tensor([[0.0, 0, 0], [1, 0, 0]]).view(2, 3, 1, 1)

    def fc(self: nn.Linear) -> None:
        self.weight.data = torch.tensor([[0.0, 1], [1, 0]])

    monkeypatch.setattr(nn.Conv2d, "reset_parameters", conv)
    monkeypatch.setattr(nn.Linear, "reset_parameters", fc)


def test_cascading_on_paper(tiny: TorchSplit, tiny_x: Tensor, known: None) -> None:
    # CAM of class 0 is A0 - A1 = [1,0,3,2] with ranks [2,1,4,3].
    # Without fc it is A1 = [0,2,0,2], ranks [1.5,3.5,1.5,3.5]: rho = -2/(2 sqrt 5).
    # Without fc and conv it is A1 = c0 = [1,2,3,4]: rho = 3/5.
    metric = CascadingRandomisation()
    assert metric.labels(tiny) == ["fc", "conv"]
    found = metric(explained(tiny, CAM(), tiny_x))
    assert found["sanity_cascading_spearman_curve"].tolist() == [pytest.approx([-1 / math.sqrt(5), 0.6], abs=1e-6)]
    assert found["sanity_cascading_spearman"].item() == pytest.approx((0.6 - 1 / math.sqrt(5)) / 2, abs=1e-6)
    assert torch.equal(found["sanity_cascading_abs_spearman_curve"], found["sanity_cascading_spearman_curve"])
    assert found["sanity_cascading_ssim"].isnan().all()  # two pixels have no window of eleven
    assert found["sanity_cascading_hog"].isnan().all()


def test_independent_on_paper(tiny: TorchSplit, tiny_x: Tensor, known: None) -> None:
    # Without conv alone the map is ReLU(A0 - A1) = ReLU(-c0) = 0: constant, so not defined, and not in the mean.
    found = IndependentRandomisation()(explained(tiny, CAM(), tiny_x))
    curve = found["sanity_independent_spearman_curve"][0]
    assert curve[0].item() == pytest.approx(-1 / math.sqrt(5), abs=1e-6)
    assert curve[1].isnan()
    assert found["sanity_independent_spearman"].item() == pytest.approx(-1 / math.sqrt(5), abs=1e-6)


@dataclass(frozen=True)
class Signed:
    """The class's weights on the activations, negative values and all."""

    needs: ClassVar[frozenset[str]] = frozenset({"modules"})

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        weight: Tensor = split.model.fc.weight  # type: ignore[attr-defined]
        return torch.einsum("bk,bkhw->bhw", weight[forward.target], forward.A)


def test_the_magnitude_and_the_sign_are_two_measures(tiny: TorchSplit, tiny_x: Tensor, known: None) -> None:
    # [1,0,3,2] against [-1,-2,-3,-4] (without conv): ranks [2,1,4,3] and [4,3,2,1]: rho = -3/5; of magnitudes 3/5.
    found = IndependentRandomisation(layers=["conv"])(explained(tiny, Signed(), tiny_x))
    assert found["sanity_independent_spearman"].item() == pytest.approx(-0.6, abs=1e-6)
    assert found["sanity_independent_abs_spearman"].item() == pytest.approx(0.6, abs=1e-6)


def test_a_network_that_does_not_change_gives_one(
    lite0: TorchSplit, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(randomise, "_like", lambda value, original: original)
    monkeypatch.setattr(randomise, "_known", type(randomise._known)())
    for method in (GradCAM(), RandomCAM()):  # an image keeps its random stream
        found = CascadingRandomisation(layers=FEW)(explained(lite0, method, images[:1]))
        for measure in MEASURES:
            assert found[f"sanity_cascading_{measure}_curve"].tolist() == [pytest.approx([1.0] * 3, abs=1e-6)]


def test_real_weights_that_are_lost_change_the_map(full_lite0: TorchSplit, full_images: Tensor) -> None:
    before = {name: value.clone() for name, value in full_lite0.model.state_dict().items()}
    state = torch.get_rng_state()
    both = [kind(layers=FEW)(explained(full_lite0, GradCAM(), full_images[:2])) for kind in BOTH]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in full_lite0.model.state_dict().items())
    cascading, independent = (
        found[f"sanity_{order}_spearman_curve"] for found, order in zip(both, ("cascading", "independent"), strict=True)
    )
    assert cascading.shape == independent.shape == (2, 3)
    assert torch.equal(cascading[:, 0], independent[:, 0])  # the first step is the same
    assert not torch.equal(cascading[:, 2], independent[:, 2])
    assert (cascading.abs() < 0.9).all()
    for found in both:
        values = torch.stack([value for name, value in found.items() if name.endswith("_curve")])
        assert (values.isnan() | ((values >= -1) & (values <= 1))).all()


BOTH = (CascadingRandomisation, IndependentRandomisation)


def test_a_row_depends_on_the_seed_and_on_nothing_else(full_lite0: TorchSplit, full_images: Tensor) -> None:
    def curve(x: Tensor, layers: tuple[str, ...] = FEW, seed: int = 0) -> Tensor:
        found = CascadingRandomisation(layers, seed)(explained(full_lite0, GradCAM(), x))
        return found["sanity_cascading_spearman_curve"]

    first = curve(full_images[:2])
    randomise._known.clear()  # other random tensors, of the same seed
    torch.testing.assert_close(curve(full_images[1:2]), first[1:], rtol=0, atol=1e-4)  # a batch rounds otherwise
    torch.testing.assert_close(curve(full_images[:1], ("blocks.6",)), first[:1, 2:], rtol=0, atol=1e-4)
    assert (curve(full_images[:2], seed=1) - first).abs().max() > 0.01


def test_spearman_is_that_of_scipy(lite0: TorchSplit, images: Tensor) -> None:
    metric = IndependentRandomisation(layers=["conv_head"])
    given = explained(lite0, GradCAM(), images[:1])
    ((_, _, saliency, _),) = metric.maps(given)
    expected = spearmanr(given.saliency.flatten(), saliency.flatten()).statistic
    assert metric(given)["sanity_independent_spearman"].item() == pytest.approx(expected, abs=1e-3)


@dataclass(frozen=True)
class Fails:
    """Explains the trained network, and nothing else."""

    trained: nn.Module
    needs: ClassVar[frozenset[str]] = frozenset({"modules"})

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        if split.model is not self.trained:  # type: ignore[attr-defined]
            raise RuntimeError("on purpose")
        return forward.A.sum(1)


def test_weights_are_put_back_after_an_exception(lite0: TorchSplit, images: Tensor) -> None:
    before = {name: value.clone() for name, value in lite0.model.state_dict().items()}
    with pytest.raises(RuntimeError, match="on purpose"):
        CascadingRandomisation(layers=FEW)(explained(lite0, Fails(lite0.model), images[:1]))
    assert all(torch.equal(value, before[name]) for name, value in lite0.model.state_dict().items())
    assert not lite0.model.training
    with randomised(lite0, 0).without([]) as copy, torch.no_grad():
        assert copy.model is not lite0.model
        assert torch.equal(copy.logits(images[:1]), lite0.logits(images[:1]))
        assert torch.equal(copy.model(images[:1]), copy.with_options(fold=False).logits(images[:1]))


def test_a_copy_costs_one_set_of_parameters_and_goes_with_its_network(load: Callable[[], TorchSplit]) -> None:
    split = load()
    copies = randomised(split, 0)
    assert randomised(split, 0)._random is copies._random
    assert randomised(split, 1)._random is not copies._random
    with copies.without([]) as copy:
        shared = {p.data_ptr() for p in split.model.parameters()}
        assert {p.data_ptr() for p in copy.model.parameters()} == shared
    with copies.without(["fc"]) as copy:
        assert sum(p.data_ptr() not in shared for p in copy.model.parameters()) == 2
        weight = copy.model.get_parameter("fc.weight")
        assert not weight.requires_grad
    with copies.without(["fc"]) as copy:
        assert copy.model.get_parameter("fc.weight") is weight  # made once
    count = len(randomise._known)
    del split, copies, copy
    gc.collect()
    assert len(randomise._known) == count - 1


@pytest.fixture
def load() -> Callable[[], TorchSplit]:
    return lambda: camsbench.load_model("resnet18", weights="random", device="cpu")


def test_layers_stand_from_the_logits_to_the_image(lite0: TorchSplit, resnet18: TorchSplit, vgg16: TorchSplit) -> None:
    assert list(layers_of(vgg16))[:4] == ["classifier.6", "classifier.3", "classifier.0", "features.28"]
    assert len(layers_of(vgg16)) == 16
    assert list(layers_of(lite0))[:3] == ["classifier", "bn2", "conv_head"]
    assert list(layers_of(lite0))[-1] == "conv_stem"
    chosen = layers_of(resnet18, ["conv1", "layer1", "fc", "layer4"])
    assert list(chosen) == ["fc", "layer4", "layer1", "conv1"]
    assert chosen["layer1"] == [f"layer1.{i}.{name}" for i in (1, 0) for name in ("bn2", "conv2", "bn1", "conv1")]


def test_every_tensor_of_every_layer_is_drawn_anew(resnet18: TorchSplit, images: Tensor) -> None:
    with randomised(resnet18, 0).without(list(layers_of(resnet18))) as copy, torch.no_grad():
        for name, tensor in copy.model.named_parameters():
            original = resnet18.model.get_parameter(name)
            assert tensor is not original
            assert tensor.shape == original.shape
            assert tensor.stride() == original.stride()
        unfolded = copy.with_options(fold=False)  # folding rounds
        assert torch.equal(copy.model(images[:1]), unfolded.logits(images[:1]))  # both parts saw the change
        torch.testing.assert_close(copy.logits(images[:1]), unfolded.logits(images[:1]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["metric.sanity_cascading.layers=[classifer]"], r"no layer 'classifer' .* try classifier"),
        (["metric.sanity_cascading.layers=[bn2,bn2]"], r"metric\.sanity_cascading: layers is .* give different names"),
        (["metric.sanity_cascading.layers=[]"], r"metric\.sanity_cascading: layers is .* give different names"),
        (["metric.sanity_cascading.seed=x"], r"metric\.sanity_cascading: seed is x"),
        (["model.layer=[bn2,blocks.5]", "model.fuse=mean"], r"metric=sanity_cascading needs the network's modules"),
    ],
)
def test_refusals(overrides: list[str], sentence: str) -> None:
    with pytest.raises(CamsbenchError, match=sentence):
        build(compose_config(["metric=[sanity_cascading]", "runtime.device=cpu", *overrides]))


def test_a_split_without_modules_is_refused(lite0: TorchSplit, images: Tensor) -> None:
    bare = replace(lite0, provides=frozenset({"gradient"}))
    with pytest.raises(CamsbenchError, match="metric=sanity_cascading needs the network's modules"):
        camsbench.evaluate("gradcam", bare, images[:1], metrics=["sanity_cascading"])


def test_a_run_keeps_columns_and_curves(quick_run: QuickRun, tmp_path: Path) -> None:
    layers = [f"metric.sanity_{order}.layers=[classifier,conv_head]" for order in ("cascading", "independent")]
    assert quick_run(tmp_path / "run", "metric=[sanity]", "data.limit=2", *FULL, *layers).errors == 0
    folder = RunFolder(tmp_path / "run")
    rows, curves = folder.rows(), folder.curves()
    assert len(curves) == 2 * 8
    for order in ("cascading", "independent"):
        kept = curves[curves["curve"] == f"sanity_{order}_spearman_curve"].set_index("image_id")["y"]
        for _, row in rows.iterrows():
            assert len(kept[row["image_id"]]) == 2
            assert row[f"sanity_{order}_spearman"] == pytest.approx(sum(kept[row["image_id"]]) / 2)

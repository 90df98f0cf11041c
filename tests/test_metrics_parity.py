"""The metrics against other people's, on real images and real weights.

Where a peer is no package, its arithmetic is written out here as a plain loop over one image, from its published
formulas and settings. Where a peer's definition is another one, the deviation is named and asserted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pytest
import quantus
import torch
from exact import in_double
from parity import Parity
from PIL import Image
from pytorch_grad_cam.metrics.cam_mult_image import DropInConfidence, IncreaseInConfidence
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget
from scipy.stats import pearsonr
from torch import Tensor
from torchcam.methods import GradCAM as TorchCamGradCAM
from torchcam.metrics import ClassificationMetric, DeletionInsertionMetric

from camsbench.config.compose import compose_config
from camsbench.config.instantiate import make_metrics
from camsbench.core import scoring
from camsbench.core.columns import columns_of
from camsbench.core.explained import Explained, explain
from camsbench.core.saliency import SaliencyRule
from camsbench.core.types import Explainer, Forward, Split
from camsbench.methods.gradcam import GradCAM
from camsbench.methods.reciprocam import ReciproCAM
from camsbench.metrics._substrate import substrate
from camsbench.metrics.adcc import ADCC, Coherency, Complexity, harmonic
from camsbench.metrics.curves import Deletion, Insertion
from camsbench.metrics.drop import Drop, Increase
from camsbench.models.split import TorchSplit

pytestmark = pytest.mark.parity
POPPI = SaliencyRule("normalise_then_upsample")


# The comparisons that results/parity.md lists are of images as published.


@pytest.fixture(scope="module")
def lite0(full_lite0: TorchSplit) -> TorchSplit:
    return full_lite0


@pytest.fixture(scope="module")
def images(full_images: Tensor) -> Tensor:
    return full_images


@dataclass(frozen=True)
class Untied:
    """Grad-CAM's saliency of the first pass plus a slope of a tenth down the raster: no two pixels tie."""

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        height, width = forward.x.shape[2:]
        slope = torch.linspace(1e-1, 0, height * width).view(1, height, width)
        return POPPI(GradCAM()(split, forward), (height, width))[0].squeeze(1) + slope


@dataclass(frozen=True)
class OfProbability:
    """Grad-CAM of the softmax: what torchcam's metrics explain, which hand it the probabilities that they score."""

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        gradient = scoring.head_gradient(split, forward, probability=True)
        return (gradient.mean((2, 3), keepdim=True) * forward.A).sum(1).relu()


@dataclass(frozen=True)
class Fake:
    """FakeCAM's map: everywhere 1 but in the first pixel."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        fake = torch.ones(len(forward.x), *forward.x.shape[2:])
        fake[:, 0, 0] = 0
        return fake


def seen(method: Explainer, split: TorchSplit, x: Tensor, target: list[int] | None, rule: SaliencyRule) -> Explained:
    classes = None if target is None else torch.tensor(target)
    return explain(split, method, rule, scoring.forward(split, x, classes, (0,) * len(x)))


def scorer(split: TorchSplit, target: int) -> Callable[[Tensor], float]:
    def score(x: Tensor) -> float:
        with torch.no_grad():
            return float(split.model(x).softmax(1)[0, target])

    return score


def adcc_of_poppi(subject: Explained, split: TorchSplit) -> dict[str, float]:
    """Poppi et al. 2021, Eq. 4 and 6-9, of one image, as the authors' code reads them."""
    x, first = subject.forward.x, subject.saliency[0, 0].double().numpy()
    with torch.no_grad():
        before = split.model(x).softmax(1)[0].double().numpy()
        masked = torch.from_numpy((x[0].numpy() * first).astype(np.float32))[None]
        after = split.model(masked).softmax(1)[0].double().numpy()
    c = int(before.argmax())
    forward = scoring.forward(split, masked, torch.tensor([c]), (0,))
    second = subject.rule(subject.explainer(split, forward), (224, 224))[0][0, 0].double().numpy()
    drop = max(0.0, before[c] - after[c]) / before[c]
    coherency = (np.corrcoef(first.ravel(), second.ravel())[0, 1] + 1) / 2
    complexity = np.abs(first).sum() / first.size
    adcc = 3 / (1 / coherency + 1 / (1 - complexity) + 1 / (1 - drop))
    return {"drop": drop, "coherency": coherency, "complexity": complexity, "adcc": adcc}


def test_adcc_and_its_parts_equal_the_authors(lite0: TorchSplit, images: Tensor, parity: Parity) -> None:
    subjects = [seen(GradCAM(), lite0, images[i : i + 1], None, POPPI) for i in range(2)]
    theirs = [adcc_of_poppi(subject, lite0) for subject in subjects]
    for metric in (Drop(), Coherency(), Complexity(), ADCC()):
        (name,) = (column.name for column in columns_of(metric))
        mine = torch.cat([metric(subject)[name] for subject in subjects])
        expected = torch.tensor([row[name] for row in theirs])
        parity.metric_agrees(name, "ADCC (authors' arithmetic)", lite0.name, mine, expected)


def test_adcc_of_a_term_that_is_zero_parts_from_the_authors(parity: Parity) -> None:
    mine = harmonic(torch.tensor([1.0]), torch.tensor([0.9]), torch.tensor([0.3]))
    with pytest.raises(ZeroDivisionError):
        _ = 3 / (1 / 0.9 + 1 / (1 - 0.3) + 1 / (1 - 1.0))
    why = "a term that is 0 is divided by; here ADCC is 0"
    parity.metric_parts("adcc", "ADCC (authors' arithmetic)", "drop 1", mine, torch.tensor([float("nan")]), why)


def test_coherency_of_a_constant_map_parts_from_the_authors(lite0: TorchSplit, images: Tensor, parity: Parity) -> None:
    """Their guard is for maps that hold NaN; Pearson's ρ of a constant map is NaN behind it."""

    class Constant(Fake):
        def __call__(self, split: Split, forward: Forward) -> Tensor:
            return torch.ones(1, 7, 7)

    mine = Coherency()(seen(Constant(), lite0, images[:1], None, POPPI))["coherency"]
    with pytest.warns(Warning, match="constant"):
        rho = pearsonr(np.zeros(49), np.zeros(49)).statistic
    theirs = torch.tensor([(rho + 1) / 2])
    assert mine.item() == 0
    parity.metric_parts("coherency", "ADCC (authors' arithmetic)", "a constant map", mine, theirs, "NaN; here 0")


def test_drop_of_another_class_parts_from_the_authors(lite0: TorchSplit, images: Tensor, parity: Parity) -> None:
    """Given a class, their drop still starts from the highest probability."""
    with torch.no_grad():
        best, second = (int(c) for c in lite0.model(images[:1]).topk(2).indices[0])
    subject = seen(GradCAM(), lite0, images[:1], [second], POPPI)
    top = subject.forward.logits.softmax(1)[:, best]
    theirs = (top - subject.masked.probability).clamp(min=0) / top
    why = "of a class that is not the predicted one, Y is the predicted one's"
    parity.metric_parts("drop", "ADCC (authors' arithmetic)", lite0.name, Drop()(subject)["drop"], theirs, why)


def rise_loop(x: Tensor, start: Tensor, finish: Tensor, order: Any, step: int, score: Callable[[Tensor], float]) -> Any:
    """Petsiuk et al. 2018, algorithm 1: ``step`` pixels at a time from ``start`` to ``finish``."""
    picture, n_steps = start.clone().flatten(2), -(-order.size // step)
    target, scores = finish.flatten(2), []
    for i in range(n_steps + 1):
        scores.append(score(picture.view_as(x)))
        taken = order[step * i : step * (i + 1)].copy()
        picture[..., taken] = target[..., taken]
    return np.array(scores)


def rise_auc(scores: Any) -> float:
    return float((scores.sum() - scores[0] / 2 - scores[-1] / 2) / (len(scores) - 1))


def test_curves_equal_rise_s_causal_metric(lite0: TorchSplit, images: Tensor, parity: Parity) -> None:
    x = images[:1]
    subject = seen(Untied(), lite0, x, None, SaliencyRule())
    score = scorer(lite0, int(subject.forward.target))
    order = np.flip(np.argsort(subject.saliency.numpy().ravel()))
    blur, zero = substrate("rise_blur", lite0, x), torch.zeros_like(x)
    for metric, start, finish in (
        (Insertion(8, substrate="rise_blur"), blur, x),
        (Deletion(8), x, zero),
    ):
        (name,) = (column.name for column in columns_of(metric))
        scores = rise_loop(x, start, finish, order, 224 * 28, score)
        made = metric(subject)
        theirs = torch.from_numpy(scores)[None]
        parity.metric_agrees(f"{name} curve", "RISE (CausalMetric)", lite0.name, made[f"{name}_curve"], theirs)
        parity.metric_agrees(name, "RISE (CausalMetric)", lite0.name, made[name], torch.tensor([rise_auc(scores)]))


def test_ties_part_from_rise(lite0: TorchSplit, images: Tensor, parity: Parity) -> None:
    x = images[:1]
    subject = seen(Fake(), lite0, x, None, SaliencyRule())
    order = np.flip(np.argsort(subject.saliency.numpy().ravel(), kind="stable"))
    scores = rise_loop(x, x, torch.zeros_like(x), order, 224 * 28, scorer(lite0, int(subject.forward.target)))
    why = "pixels of equal saliency go from the last on (a flipped argsort); here from the first"
    mine = Deletion(8)(subject)["deletion"]
    parity.metric_parts("deletion", "RISE (CausalMetric)", "FakeCAM's map", mine, torch.tensor([rise_auc(scores)]), why)


def byun_loop(subject: Explained, split: TorchSplit) -> dict[str, float]:
    """The evaluation of ReciproCAM's author, of one image, cell by cell."""
    x, score = subject.forward.x, scorer(split, int(subject.forward.target))
    cam = subject.raw[0]
    cam = (cam - cam.min()) / (cam.max() - cam.min())
    h, w = cam.shape
    dy, dx = 224 // h, 224 // w
    gone, inserted, deleted = torch.zeros(224, 224, dtype=torch.bool), [], []
    colour = x.mean((2, 3), keepdim=True)
    for cell in cam.flatten().sort(descending=True, stable=True).indices.tolist():
        i, j = divmod(cell, w)
        gone[i * dy : min((i + 1) * dy, 223) + 1, j * dx : min((j + 1) * dx, 223) + 1] = True
        deleted.append(score(x * ~gone))
        inserted.append(score(torch.where(gone, x, colour)))
    before = score(x)
    resized = Image.fromarray(cam.numpy()).resize((224, 224), Image.Resampling.BICUBIC)
    masked = x * torch.from_numpy(np.array(resized))
    after = score(masked)
    again = subject.explainer(split, scoring.forward(split, masked, subject.forward.target, (0,)))[0]
    points = h * w + 1
    drop, complexity = max(0, before - after) / before, float(cam.sum() / (h * w))
    coherency = (np.corrcoef(cam.flatten(), again.flatten())[0, 1] + 1) / 2
    return {
        "drop": drop,
        "increase": float(after > before),
        "deletion": float(np.trapezoid([before, *deleted])) / points,
        "insertion": float(np.trapezoid([*inserted, before])) / points,
        "coherency": coherency,
        "complexity": complexity,
        "adcc": 3 / (1 / coherency + 1 / (1 - complexity) + 1 / (1 - drop)),
    }


def test_the_byun_protocol_equals_the_author_s_script(lite0: TorchSplit, images: Tensor, parity: Parity) -> None:
    metrics = ["drop", "increase", "insertion", "deletion", "coherency", "complexity", "adcc"]
    cfg = compose_config(["protocol=byun", f"metric=[{','.join(metrics)}]"])
    subject = seen(ReciproCAM(), lite0, images[:1], [6], SaliencyRule(**cfg.protocol.saliency))
    theirs = byun_loop(subject, lite0)
    for metric in make_metrics(cfg).values():
        (name,) = (column.name for column in columns_of(metric))
        parity.metric_agrees(
            name, "ReciproCAM's author's loop", lite0.name, metric(subject)[name], torch.tensor([theirs[name]])
        )


def test_drop_and_increase_equal_torchcam(lite0: TorchSplit, images: Tensor, parity: Parity) -> None:
    subject = seen(OfProbability(), lite0, images[:3], None, POPPI)
    with TorchCamGradCAM(lite0.model, "bn2") as extractor:
        peer = ClassificationMetric(extractor, partial(torch.softmax, dim=-1))
        peer.update(images[:3].clone().requires_grad_(), subject.forward.target.tolist())
    theirs = peer.summary()
    for metric, key in ((Drop(), "avg_drop"), (Increase(), "conf_increase")):
        (name,) = (column.name for column in columns_of(metric))
        mine = metric(subject)[name].mean()
        why = "means of three images, up to 1e-7 added to Y" if name == "drop" else "means of three images"
        parity.metric_agrees(name, "torchcam", lite0.name, mine, torch.tensor(theirs[key]), atol=1e-4, why=why)


def test_insertion_and_deletion_equal_torchcam(lite0: TorchSplit, images: Tensor, parity: Parity) -> None:
    lite0, images = in_double(lite0), images[:1].double()  # so that both put nearly equal pixels in one order
    subject = seen(OfProbability(), lite0, images, None, POPPI)
    with TorchCamGradCAM(lite0.model, "bn2") as extractor:
        peer = DeletionInsertionMetric(extractor, partial(torch.softmax, dim=-1), steps=8)
        peer.update(images.clone().requires_grad_(), subject.forward.target.tolist())
    theirs = peer.summary()
    for metric in (Insertion(8), Deletion(8)):
        (name,) = (column.name for column in columns_of(metric))
        mine = metric(subject)[name].mean()
        parity.metric_agrees(
            name, "torchcam", lite0.name, mine, torch.tensor(theirs[f"{name}_auc"]), why="both from zeros"
        )


def test_drop_and_increase_equal_grad_cam(lite0: TorchSplit, images: Tensor, parity: Parity) -> None:
    subject = seen(GradCAM(), lite0, images[:3], None, POPPI)
    targets = [ClassifierOutputSoftmaxTarget(int(t)) for t in subject.forward.target]
    saliency = subject.saliency[:, 0].numpy()
    drop = torch.from_numpy(DropInConfidence()(images[:3], saliency, targets, lite0.model))
    increase = torch.from_numpy(IncreaseInConfidence()(images[:3], saliency, targets, lite0.model))
    absolute = Drop(formula="absolute")(subject)["drop"]
    parity.metric_agrees("drop", "grad-cam", lite0.name, absolute, drop, why="with formula=absolute")
    parity.metric_parts("drop", "grad-cam", lite0.name, Drop()(subject)["drop"], drop, "Y − O is not divided by Y")
    parity.metric_agrees("increase", "grad-cam", lite0.name, Increase()(subject)["increase"], increase)


def test_deletion_curve_equals_quantus_pixel_flipping(lite0: TorchSplit, images: Tensor, parity: Parity) -> None:
    """PixelFlipping takes colours one by one, 1/24 of them a step: every third of its points ends with whole pixels."""
    subject = seen(Untied(), lite0, images[:1], None, SaliencyRule())
    peer = quantus.PixelFlipping(
        features_in_step=224 * 28, perturb_baseline=0.0, normalise=False, disable_warnings=True
    )
    with torch.no_grad():
        theirs = peer(
            lite0.model, images[:1].numpy(), subject.forward.target.numpy(), subject.saliency.numpy(), softmax=True
        )
    mine = Deletion(8)(subject)["deletion_curve"][:, 1:]
    why = "at whole pixels; it has no point before the first step"
    parity.metric_agrees(
        "deletion curve", "quantus (PixelFlipping)", lite0.name, mine, torch.tensor(theirs)[:, 2::3], why=why
    )


def test_complexity_parts_from_quantus(lite0: TorchSplit, images: Tensor, parity: Parity) -> None:
    subject = seen(GradCAM(), lite0, images[:1], None, POPPI)
    peer = quantus.Complexity(normalise=False, disable_warnings=True)
    theirs = peer(lite0.model, images[:1].numpy(), subject.forward.target.numpy(), subject.saliency.numpy())
    share = (subject.saliency / subject.saliency.sum()).flatten().double()
    entropy = -(share * share.clamp(min=1e-300).log()).sum()
    assert theirs == pytest.approx([entropy.item()], rel=1e-4)
    mine = Complexity()(subject)["complexity"]
    why = "the entropy of the saliency's shares (Bhatt et al. 2020), not its mean"
    parity.metric_parts("complexity", "quantus", lite0.name, mine, torch.tensor(theirs), why)

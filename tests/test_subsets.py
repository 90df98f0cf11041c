"""Metrics that take parts of the image away: on paper (see ``conftest.Tiny``), their draws, and against peers.

Without pixel 0, 1, 2 or 3 ``Tiny`` loses 0.0150, −0.2295, 0.0413 or −0.1728 of p_0 = 0.1480; of its logit, which is
linear, 1/4, 0, 3/4 or 2/4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import quantus
import torch
from exact import EXACT
from given import TARGET, Given, on_images, on_paper, p
from parity import Parity
from quantus.helpers import utils as quantus_utils
from scipy.stats import pearsonr, spearmanr
from skimage.segmentation import slic
from torch import Tensor, nn

from camsbench import cut
from camsbench.config.compose import compose_config
from camsbench.config.instantiate import make_metrics
from camsbench.core.explained import Explained, Metric
from camsbench.core.noise import branch
from camsbench.core.passes import count_passes
from camsbench.core.preprocess import Preprocess
from camsbench.core.types import Forward, Split
from camsbench.metrics._ranking import mean_rank
from camsbench.metrics._subsets import correlate, subsets
from camsbench.metrics.irof import IROF
from camsbench.metrics.mufidelity import MuFidelity
from camsbench.metrics.sensitivity_n import SensitivityN
from camsbench.models.split import TorchSplit

ALL = {0, 1, 2, 3}


# --- μFidelity ------------------------------------------------------------------------------------------------------


def test_mufidelity_of_a_map_in_the_order_of_the_losses(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """Cells of one pixel, one of four removed: Spearman's ρ is 1 of any draws, and −1 of the reverse."""
    metric = MuFidelity(grid=2, subset=0.25, n=20)
    for sign in (1, -1):
        subject = on_paper(tiny, tiny_x, Given((0.6 * sign, 0.0, 1.0 * sign, 0.2 * sign)))
        assert metric(subject)["mufidelity"].item() == pytest.approx(sign)


@pytest.mark.parametrize("correlation", ["pearson", "spearman"])
@pytest.mark.parametrize("draw", ["exact", "each"])
def test_mufidelity_subset_by_subset(tiny: TorchSplit, tiny_x: Tensor, correlation: str, draw: str) -> None:
    metric = MuFidelity(grid=None, subset=0.5, n=12, correlation=correlation, draw=draw)
    subject = on_paper(tiny, tiny_x, Given((0.4, 0.1, 1.0, 0.3)))
    saliency = [1 / 3, 0, 1, 2 / 9]
    sums, lost = [], []
    for gone in metric.removed(subject.forward)(torch.zeros(12, dtype=torch.long), torch.arange(12)).flatten(1):
        pixels = {int(i) for i in gone.nonzero()}
        assert draw == "each" or len(pixels) == 2
        sums.append(sum(saliency[i] for i in pixels))
        lost.append(p(ALL) - p(ALL - pixels))
    pearson = correlation == "pearson"
    expected = pearsonr(sums, lost).statistic if pearson else spearmanr(sums, lost).statistic
    assert metric(subject)["mufidelity"].item() == pytest.approx(expected, abs=1e-5)


def test_where_nothing_varies_there_is_no_correlation(tiny: TorchSplit, tiny_x: Tensor) -> None:
    flat, sure = on_paper(tiny, tiny_x, Given((1.0,) * 4)), tiny_x.clone()
    sure[0, 1] = 300  # p_0 is 0, whatever pixel is lost
    still = on_paper(tiny, sure, Given((0.6, 0.0, 1.0, 0.2)))
    for subject in (flat, still):
        assert MuFidelity(grid=2, subset=0.25, n=8)(subject)["mufidelity"].isnan().all()
    assert SensitivityN(3, subsets=8)(flat)["sensitivity_n"].isnan().all()


def test_cells_are_those_of_tensorflow_s_nearest_neighbours() -> None:
    """Of 10×7 pixels and 3×3 cells: pixel i lies in cell ⌊(i + 1/2)·3/10⌋; about a third of the cells is removed."""
    preprocess = Preprocess(resize=(10, 7), crop=(10, 7), interpolation="bilinear", mean=[0.5] * 3, std=[0.5] * 3)
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)).eval()
    subject = on_paper(cut(model, "1", preprocess), torch.randn(1, 3, 10, 7), Given((0.0, 1.0, 2.0, 3.0)))
    gone = MuFidelity(grid=3, subset=1 / 3).removed(subject.forward)(torch.zeros(5).long(), torch.arange(5))[:, 0]
    rows, columns = (((np.arange(side) + 0.5) * 3 / side).astype(int) for side in (10, 7))
    for copy in gone:
        cells = {(int(rows[i]), int(columns[j])) for i, j in copy.nonzero().tolist()}
        assert len(cells) == 3
        assert copy.tolist() == [[(int(r), int(c)) in cells for c in columns] for r in rows]


def test_mean_rank_is_scipy_s() -> None:
    a = torch.tensor([[3.0, 1, 3, 2, 3], [0, 0, 0, 0, 0], [5, 4, 3, 2, 1]])
    assert mean_rank(a).tolist() == [[4, 1, 4, 2, 4], [3] * 5, [5, 4, 3, 2, 1]]
    b = torch.rand(3, 5)
    for row in (0, 2):
        assert correlate(a, b, "spearman")[row].item() == pytest.approx(spearmanr(a[row], b[row]).statistic, abs=1e-6)
    assert correlate(a, b, "spearman")[1].isnan()


def test_subsets_are_exact_alike_likely_and_each_image_s_own(lite0: TorchSplit, images: Tensor) -> None:
    forward = branch(on_images(lite0, images[:2]).forward, "a test")
    image, copy = torch.arange(2).repeat_interleave(400), torch.arange(400).repeat(2)
    chosen = subsets(forward, 9, [3] * 400)(image, copy)
    assert (chosen.sum(1) == 3).all()
    assert chosen.float().mean(0).sub(1 / 3).abs().max() < 0.06  # four standard deviations are 0.067
    assert not torch.equal(chosen[:400], chosen[400:])


# --- sensitivity-n --------------------------------------------------------------------------------------------------


def test_sensitivity_n_of_what_a_linear_score_is_made_of(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """1, 0, 3, 2 quarters: what each pixel adds to the logit. All sums are the losses, for every n."""
    made = SensitivityN(sizes=3, subsets=10)(on_paper(tiny, tiny_x, Given((1.0, 0.0, 3.0, 2.0))))
    assert made["sensitivity_n_curve"][0].tolist() == pytest.approx([1, 1, 1])
    assert made["sensitivity_n"].item() == pytest.approx(1)
    turned = SensitivityN(sizes=3, subsets=10)(on_paper(tiny, tiny_x, Given((-1.0, 0.0, -3.0, -2.0))))
    assert turned["sensitivity_n"].item() == pytest.approx(-1)


def test_sizes_grow_by_equal_steps_of_their_logarithm() -> None:
    assert SensitivityN(5, largest=0.5).counts(20000) == [1, 10, 100, 1000, 10000]
    assert SensitivityN(10).counts(4) == [1, 2, 3]  # 4·0.8; equal ones once
    assert SensitivityN(1).counts(100) == [1]


# --- IROF -----------------------------------------------------------------------------------------------------------


class Halves(IROF):
    """The left and the right column as segments."""

    def segments_of(self, split: Split, forward: Forward) -> Tensor:
        return torch.tensor([[0, 1], [0, 1]]).expand(len(forward.x), -1, -1)


def test_irof(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """The right column turns to the mean colour: c0 is 1, 2.5, 3, 2.5 and c1 0, .5, 0, .5: p_0 = σ((9/2 − 3·2)/4).

    All of it: c0 sums to 10, A1 to 4, as before: the ratio is 1 again.
    """
    once = 1 / (1 + np.exp(-(9 / 2 - 6) / 4)) / p(ALL)
    right = Halves()(on_paper(tiny, tiny_x, Given((0.0, 1.0, 0.0, 1.0))))["irof"]
    assert right.item() == pytest.approx(1 - ((1 + once) / 2 + (once + 1) / 2) / 2, abs=1e-5)
    # the left column alone: c0 2.5, 2, 2.5, 4 and c1 .5, 1, .5, 1
    first = 1 / (1 + np.exp(-(11 / 2 - 18) / 4)) / p(ALL)
    left = Halves()(on_paper(tiny, tiny_x, Given((1.0, 0.0, 1.0, 0.0))))["irof"]
    assert left.item() == pytest.approx(1 - ((1 + first) / 2 + (first + 1) / 2) / 2, abs=1e-5)


def test_irof_of_a_class_without_any_probability_is_not_defined(tiny: TorchSplit, tiny_x: Tensor) -> None:
    tiny_x[0, 1] = 300
    assert Halves()(on_paper(tiny, tiny_x, Given((0.0, 1.0, 0.0, 1.0))))["irof"].isnan().all()


def test_segments_are_slic_s_of_the_picture_made_once_for_all_methods(
    lite0: TorchSplit, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = on_images(lite0, images[:2])
    metric = IROF(20)
    made = metric.segments_of(lite0, subject.forward)
    picture = (images[0] * torch.tensor(lite0.preprocess.std).view(3, 1, 1)).movedim(0, -1)
    picture = picture + torch.tensor(lite0.preprocess.mean)
    assert -1e-6 < picture.min() < picture.max() < 1 + 1e-6
    expected = slic(picture.double().numpy(), n_segments=20, start_label=0)
    assert (torch.from_numpy(expected) == made[0]).float().mean() > 0.999  # up to rounding
    assert made.shape == (2, 96, 96)
    first = metric(subject)
    monkeypatch.setattr(IROF, "segments_of", lambda *_: pytest.fail("made again"))
    assert torch.equal(metric(subject)["irof"], first["irof"])


def test_irof_costs_a_pass_a_segment_of_each_image(lite0: TorchSplit, images: Tensor) -> None:
    subject = on_images(lite0, images[:3])
    count = IROF(20).segments_of(lite0, subject.forward).flatten(1).amax(1) + 1
    with count_passes(lite0) as passes:
        IROF(20)(subject)
    assert len(set(count.tolist())) > 1
    assert passes.features == count.sum()
    with count_passes(lite0) as passes:
        IROF(20)(replace(subject, split=lite0.plain))
    assert passes.features == 3 * 20 >= count.sum()


# --- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options", "sentence"),
    [
        (MuFidelity, {"grid": 1}, "grid is 1.*null for pixels"),
        (MuFidelity, {"subset": 1}, "subset is 1"),
        (MuFidelity, {"n": 1}, "n is 1"),
        (MuFidelity, {"correlation": "kendall"}, "correlation is 'kendall'.*pearson, spearman"),
        (MuFidelity, {"draw": "some"}, "draw is 'some'.*exact, each"),
        (SensitivityN, {"sizes": 0}, "sizes is 0"),
        (SensitivityN, {"subsets": 1}, "subsets is 1"),
        (SensitivityN, {"largest": 1.5}, "largest is 1.5"),
        (SensitivityN, {"substrate": "grey"}, "substrate is 'grey'"),
        (IROF, {"segments": 1}, "segments is 1"),
        (IROF, {"compactness": 0}, "compactness is 0"),
    ],
)
def test_wrong_settings(kind: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        kind(**options)


def test_yaml_defaults_are_the_classes_own() -> None:
    made = make_metrics(compose_config(["metric=[mufidelity,sensitivity_n,irof]"]))
    expected: dict[str, Metric] = {"mufidelity": MuFidelity(), "sensitivity_n": SensitivityN(), "irof": IROF()}
    assert made == expected


# --- against peers --------------------------------------------------------------------------------------------------


def loop(
    subject: Explained, removed: Callable[[Tensor, Tensor], Tensor], n: int, probability: bool, i: int
) -> tuple[list[float], list[float]]:
    """Σ of the map over each subset and what the output loses with it, of image ``i``, one subset at a time."""
    split, x, saliency = subject.split, subject.forward.x[i], subject.saliency[i, 0]

    def output(picture: Tensor) -> float:
        with torch.no_grad():
            logits = split.logits(picture[None])[0]
        return float((logits.softmax(0) if probability else logits)[TARGET[i]])

    sums, lost = [], []
    for copy in range(n):
        gone = removed(torch.tensor([i]), torch.tensor([copy]))[0, 0]
        sums.append(sum(float(saliency[r, c]) for r, c in gone.nonzero().tolist()))
        lost.append(output(x) - output(x * ~gone))
    return sums, lost


@pytest.mark.parity
def test_mufidelity_equals_xplique(lite0: TorchSplit, images: Tensor, parity: Parity) -> None:
    """Its arithmetic, with the same cells: masks by nearest neighbours, zeros, Spearman's ρ."""
    subject = on_images(lite0, images[:2])
    metric = MuFidelity(n=12, draw="each")
    theirs = []
    for i in range(2):
        sums, lost = loop(subject, metric.removed(subject.forward), 12, True, i)
        theirs.append(spearmanr(lost, sums).statistic)
    name, ours = "Xplique (its arithmetic)", metric(subject)["mufidelity"]
    parity.metric_agrees("mufidelity", name, lite0.name, ours, torch.tensor(theirs), why="with draw=each")


@pytest.mark.parity
def test_mufidelity_of_pixels_equals_quantus_faithfulness_correlation(
    lite0: TorchSplit, images: Tensor, parity: Parity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same draws, of whole pixels: all three of their colours."""
    subject = on_images(lite0, images[:2])
    metric = MuFidelity(None, subset=0.1, n=10, correlation="pearson")
    removed = metric.removed(subject.forward)
    draws = []
    for copy in range(10):
        for i in range(2):
            pixels = removed(torch.tensor([i]), torch.tensor([copy])).flatten().nonzero().flatten()
            draws.append(torch.cat([pixels + colour * 96**2 for colour in range(3)]).numpy())
    monkeypatch.setattr(np.random, "choice", lambda *_, **__: draws.pop(0))
    peer = quantus.FaithfulnessCorrelation(
        nr_runs=10, subset_size=3 * 922, perturb_baseline=0.0, normalise=False, return_aggregate=False,
        disable_warnings=True,
    )  # fmt: skip
    target, saliency = subject.forward.target.numpy(), subject.saliency.double().numpy()
    with torch.no_grad():
        theirs = peer(lite0.model, images[:2].numpy(), target, saliency, softmax=True)
    name, ours = "quantus (FaithfulnessCorrelation)", metric(subject)["mufidelity"]
    why = "grid=null correlation=pearson, same draws"
    parity.metric_agrees("mufidelity", name, lite0.name, ours, torch.tensor(theirs), atol=1e-4, why=why)


@pytest.mark.parity
def test_sensitivity_n_equals_the_paper_s_loop(lite0: TorchSplit, images: Tensor, parity: Parity) -> None:
    subject = on_images(lite0, images[:1])
    metric = SensitivityN(sizes=3, subsets=6)
    counts = metric.counts(96**2)
    chosen = subsets(branch(subject.forward, "sensitivity_n"), 96**2, [n for n in counts for _ in range(6)])
    sums, lost = loop(subject, lambda i, copy: chosen(i, copy).view(-1, 1, 96, 96), 18, False, 0)
    theirs = [pearsonr(sums[k : k + 6], lost[k : k + 6]).statistic for k in (0, 6, 12)]
    ours = metric(subject)["sensitivity_n_curve"][0]
    name = "Ancona et al. (their formula)"
    parity.metric_agrees("sensitivity_n curve", name, lite0.name, ours, torch.tensor(theirs), atol=1e-3)


@pytest.mark.parity
def test_sensitivity_n_parts_from_quantus(lite0: TorchSplit, images: Tensor, parity: Parity) -> None:
    """Its subsets are nested and not drawn, and a point of its curve is a correlation over the images of the batch."""
    subject = on_images(lite0, images[:3])
    peer = quantus.SensitivityN(
        features_in_step=96 * 48, perturb_baseline=0.0, normalise=False, return_aggregate=False, disable_warnings=True
    )
    target, saliency = subject.forward.target.numpy(), subject.saliency.double().numpy()
    with torch.no_grad():
        theirs = torch.as_tensor(np.asarray(peer(lite0.model, images[:3].numpy(), target, saliency, softmax=False)))
    assert theirs.shape == (1,)  # of all three images; 0.8 of the pixels of one colour in steps of 4608 are one step
    ours = SensitivityN(sizes=1, subsets=8)(subject)["sensitivity_n"]
    why = "pixels in the map's order, not drawn; a correlation over images, not over subsets"
    parity.metric_parts("sensitivity_n", "quantus", lite0.name, ours, theirs, why)


class OfSingles(nn.Module):
    """A network in double precision, for images in single precision: what Quantus makes of every input."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x.double())
        return out


@pytest.mark.parity
def test_irof_equals_quantus_on_the_same_segments(
    exact_lite0: TorchSplit, images: Tensor, parity: Parity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its area has no first point and is not divided by the number of segments."""
    subject = on_images(exact_lite0, images[:2].double())
    segments = IROF(12).segments_of(exact_lite0, subject.forward)
    given = iter(segments.numpy())
    monkeypatch.setattr(quantus_utils, "get_superpixel_segments", lambda **_: next(given))
    monkeypatch.setattr(np, "trapz", np.trapezoid, raising=False)  # by which name NumPy has it no more
    target, saliency, theirs = subject.forward.target.numpy(), subject.saliency.double().numpy(), []
    for i in range(2):  # one by one: it warns where one has fewer segments than another
        colour = images[i : i + 1].mean((2, 3), keepdim=True).numpy()

        def fill(arr: Any, mask: Any, colour: Any = colour, **_: Any) -> Any:
            return np.where(mask, colour, arr)

        peer = quantus.IROF(perturb_func=fill, normalise=False, return_aggregate=False, disable_warnings=True)
        one = slice(i, i + 1)
        with torch.no_grad():
            model = OfSingles(exact_lite0.model).eval()
            theirs += list(peer(model, images[one].numpy(), target[one], saliency[one], softmax=True))
    ratios, count = IROF(12).ratios(subject, segments)
    areas = [torch.trapezoid(r[:n]) for r, n in zip(ratios.double(), count.tolist(), strict=True)]
    ours = count - torch.stack(areas)
    why = "on the same segments, from the first step on, over their number"
    peers = torch.tensor(theirs) / count
    parity.metric_agrees("irof", "quantus", f"{exact_lite0.name}, double", ours / count, peers, why=why)
    whole = count * IROF(12)(subject)["irof"] + (1 + ratios[:, 0]) / 2
    torch.testing.assert_close(whole, ours, rtol=0, atol=EXACT)


@pytest.mark.parity
def test_quantus_irof_refuses_colours(lite0: TorchSplit, images: Tensor) -> None:
    """With its own ``perturb_func``, which compares a mask of one channel with three."""
    peer = quantus.IROF(normalise=False, return_aggregate=False, disable_warnings=True)
    with pytest.raises(AssertionError, match="shape of arr must be the same as the mask"):
        peer(lite0.model, images[:1].numpy(), np.array([243]), np.arange(96.0**2).reshape(1, 1, 96, 96), softmax=True)

"""Magnitude aligned scoring on paper (see ``conftest.Tiny``), and against the authors' arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from given import ORDERED, STATES, Given, on_images, on_paper, p, trapezoid
from parity import Parity
from torch import Tensor

from camsbench.config.compose import compose_config
from camsbench.config.instantiate import make_metrics
from camsbench.core.passes import count_passes
from camsbench.metrics._substrate import substrate
from camsbench.metrics.curves import Curve, Deletion, Insertion
from camsbench.metrics.mas import MAS, density_response
from camsbench.models.split import TorchSplit

ALIKE = MAS(Curve(4), Curve(4))  # both from and to zeros


def test_mas(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """The saliency is 1, 2/4, 1/4, 0 of pixels 1, 2, 3, 0: the density goes 0, 4/7, 6/7, 1, 1.

    Pixels come into an image of zeros, where p = 1/2, and end at p = 0.148: r is how far p is on its way there. At
    pixels 1 and 2 that is less than at pixel 1 alone, at 1, 2, 3 more than all the way: .788, .585, 1.04 become .788,
    .788, 1. Less |d − r| that is .571, .720, 1.
    """
    subject = on_paper(tiny, tiny_x, Given(ORDERED))
    bare, whole = p(set()), p({0, 1, 2, 3})
    r = [(p(state) - bare) / (whole - bare) for state in STATES]
    assert r == pytest.approx([0, 0.7879, 0.5847, 1.0426, 1], abs=2e-3)
    inserted = [0, r[1] - (r[1] - 4 / 7), r[1] - (6 / 7 - r[1]), 1, 1]
    made = ALIKE(subject)
    assert made["mas_insertion_curve"][0].tolist() == pytest.approx(inserted)
    assert made["mas_insertion"].item() == pytest.approx(trapezoid(inserted) / 4)

    left = [(p({0, 1, 2, 3} - state) - bare) / (whole - bare) for state in STATES]  # 1 … 0, as pixels go
    expected, lowest = [], 1.0
    for value, density in zip(left, [1, 3 / 7, 1 / 7, 0, 0], strict=True):
        lowest = min(lowest, max(value, 0))
        expected.append(min(lowest + abs(density - lowest), 1))
    assert made["mas_deletion_curve"][0].tolist() == pytest.approx(expected)
    assert made["mas_deletion"].item() == pytest.approx(trapezoid(expected) / 4)
    assert made["mas"].item() == pytest.approx(trapezoid(inserted) / 4 - trapezoid(expected) / 4)


def test_a_map_of_the_same_order_and_another_magnitude_has_the_same_insertion_and_another_mas(
    tiny: TorchSplit, tiny_x: Tensor
) -> None:
    flat, steep = (on_paper(tiny, tiny_x, Given(values)) for values in ((0.1, 0.9, 0.5, 0.3), (0.0, 9.0, 0.2, 0.1)))
    assert torch.equal(Insertion(4)(flat)["insertion"], Insertion(4)(steep)["insertion"])
    assert (ALIKE(flat)["mas_insertion"] - ALIKE(steep)["mas_insertion"]).abs() > 0.01


def test_a_map_of_zeros_and_an_image_like_its_substrate_have_none(tiny: TorchSplit, tiny_x: Tensor) -> None:
    flat = ALIKE(on_paper(tiny, tiny_x, Given((1.0,) * 4)))
    same = ALIKE(on_paper(tiny, torch.zeros_like(tiny_x), Given(ORDERED)))
    assert all(values.isnan().all() for made in (flat, same) for values in made.values())


def test_density_of_cells_and_of_pixels_that_are_never_reached(lite0: TorchSplit, images: Tensor) -> None:
    """Of a map of 3×3 cells on 96 pixels, each 32 of them wide and one more, first come first served."""
    subject = on_images(lite0, images[:1])
    density = density_response(Curve(None, order="cells"), subject)[0].tolist()
    saliency, order = subject.saliency[0, 0].double(), subject.raw[0].flatten().argsort(descending=True, stable=True)
    taken, expected = torch.zeros(96, 96, dtype=torch.bool), [0.0]
    for cell in order.tolist():
        row, column = 32 * (cell // 3), 32 * (cell % 3)
        taken[row : row + 33, column : column + 33] = True
        expected.append(float(saliency[taken].sum() / saliency.sum()))
    assert density == pytest.approx(expected)
    few = density_response(Curve(7, rounding="down"), subject)  # 7·1316 of 9216 pixels
    rest = saliency.flatten().sort(descending=True).values[7 * 1316 :].sum() / saliency.sum()
    assert few[0, -1].item() == pytest.approx(1 - float(rest))


def test_it_costs_nothing_beside_insertion_and_deletion(lite0: TorchSplit, images: Tensor) -> None:
    subject = on_images(lite0, images[:2])
    blur = Curve(5, substrate="rise_blur")
    with count_passes(lite0) as passes:
        Insertion(5, substrate="rise_blur")(subject)
        Deletion(5)(subject)
    assert passes.features == 2 * (4 + 1 + 4 + 1)
    with count_passes(lite0) as passes:
        MAS(blur, Curve(5))(subject)
    assert passes.features == 0
    with count_passes(lite0) as passes:
        MAS(blur, Curve(6))(subject)
    assert passes.features == 2 * 5


def test_the_yaml_takes_the_protocol_s_curves() -> None:
    made = make_metrics(compose_config(["metric=mas", "protocol=poppi"]))["mas"]
    assert made == MAS(Curve(100, "down", "black"), Curve(100, "down", "black"))
    assert make_metrics(compose_config(["metric=mas"]))["mas"] == MAS()


def walker(x: Tensor, other: Tensor, saliency: Tensor, score: Callable[[Tensor], float], steps: int) -> list[float]:
    """Walker et al.'s areas of insertion (from ``other``) and deletion (to ``other``), pixel block by pixel block."""
    order = np.argsort(-saliency.numpy().ravel(), kind="stable")
    block, areas = -(-order.size // steps), []
    for insert in (True, False):
        start, end = (other, x) if insert else (x, other)
        response, density, picture = [score(start)], [0.0 if insert else 1.0], start.clone()
        for step in range(steps):
            taken = order[step * block : (step + 1) * block]
            picture.view(3, -1)[:, taken] = end.contiguous().view(3, -1)[:, taken]
            response.append(score(picture))
            share = float(saliency.flatten()[taken].sum() / saliency.sum())
            density.append(density[-1] + share if insert else density[-1] - share)
        low, high = score(other), score(x)
        monotone, points = 0.0 if insert else 1.0, []
        for value, promised in zip(response, density, strict=True):
            there = min(max((value - low) / (high - low), 0), 1)
            monotone = max(monotone, there) if insert else min(monotone, there)
            penalty = abs(promised - monotone)
            points.append(min(max(monotone - penalty if insert else monotone + penalty, 0), 1))
        scaled = [(point - min(points)) / (max(points) - min(points)) for point in points]
        areas.append(trapezoid(scaled) / steps)
    return areas


@pytest.mark.parity
def test_mas_equals_the_authors(lite0: TorchSplit, images: Tensor, parity: Parity) -> None:
    subject = on_images(lite0, images[:2])
    made = MAS(Curve(8, substrate="rise_blur"), Curve(8, substrate="rise_blur"))(subject)
    blurred, theirs = substrate("rise_blur", lite0, images[:2]), []
    for i, target in enumerate(subject.forward.target.tolist()):

        def score(x: Tensor, target: int = target) -> float:
            with torch.no_grad():
                return float(lite0.logits(x[None]).softmax(1)[0, target])

        theirs.append(walker(images[i], blurred[i], subject.saliency[i, 0].double(), score, 8))
    for name, column in (("mas_insertion", 0), ("mas_deletion", 1)):
        peers = torch.tensor([areas[column] for areas in theirs])
        parity.metric_agrees(name, "MAS (authors' arithmetic)", lite0.name, made[name], peers)

"""Relative stability on paper (see ``conftest.Tiny``), and against Quantus and OpenXAI."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import quantus
import torch
from given import Given, Turns, on_images, on_paper
from parity import Parity
from torch import Tensor

from camsbench.config.compose import compose_config
from camsbench.config.instantiate import make_metrics
from camsbench.core import scoring
from camsbench.core.explained import Explained
from camsbench.methods.gradcam import GradCAM
from camsbench.methods.rise import RISE
from camsbench.metrics.sensitivity import nudged
from camsbench.metrics.stability import RelativeStability
from camsbench.models.split import TorchSplit

LEFT, RIGHT = Given((1.0, 0.0, 1.0, 0.0)), Given((0.0, 1.0, 0.0, 1.0))


def copies(subject: Explained, metric: RelativeStability) -> list[tuple[list[float], list[float], list[float]]]:
    """Input, logits and activations of each noisy copy of ``tiny_x``, by hand."""
    found = []
    for copy in range(metric.n):
        x = nudged(subject.forward, "relative_stability", copy, metric.radius)[0]
        A = [max(float(v), 0) for v in x[0].flatten()] + [max(2 * float(v), 0) for v in x[1].flatten()]
        a0, a1 = sum(A[:4]) / 4, sum(A[4:]) / 4
        found.append((x.flatten().tolist(), [a0 - a1, a0 / 2 + 2 * a1], A))
    return found


X = [1.0, 2, 3, 4, 0, 1, 0, 1, 0, 0, 0, 0]
LOGITS, A = [1.5, 3.25], [1.0, 2, 3, 4, 0, 2, 0, 2]


def norm(values: list[float]) -> float:
    return math.sqrt(sum(value * value for value in values))


def gap(a: list[float], b: list[float]) -> list[float]:
    return [u - v for u, v in zip(a, b, strict=True)]


def test_by_ratios_of_norms(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """The map goes from left to right: ‖(1,0,1,0) − (0,1,0,1)‖/‖(1,0,1,0)‖ = 2/√2."""
    metric = RelativeStability(n=3, change="norm")
    made = metric(subject := on_paper(tiny, tiny_x, Turns(tiny_x, LEFT, RIGHT)))
    for place, (name, own) in enumerate((("ris", X), ("ros", LOGITS), ("rrs", A))):
        moves = [norm(gap(copy[place], own)) / norm(own) for copy in copies(subject, metric)]
        assert made[name].item() == pytest.approx(math.sqrt(2) / min(moves), rel=1e-4)


def test_value_by_value(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """With ε = 1/2: (1/1, −1/½, 1/1, −1/½) has the norm √10."""
    metric = RelativeStability(n=3, epsilon=0.5)
    made = metric(subject := on_paper(tiny, tiny_x, Turns(tiny_x, LEFT, RIGHT)))
    found = copies(subject, metric)
    for place, name, own in ((0, "ris", X), (2, "rrs", A)):
        moves = [norm([d / (v or 0.5) for d, v in zip(gap(copy[place], own), own, strict=True)]) for copy in found]
        assert made[name].item() == pytest.approx(math.sqrt(10) / max(min(moves), 0.5), rel=1e-4)
    assert made["ros"].item() == pytest.approx(math.sqrt(10) / 0.5)  # the logits move less than ε
    free = replace(metric, epsilon=1e-6)(subject)["ros"]
    nearest = min(norm(gap(copy[1], LOGITS)) for copy in found)
    assert free.item() == pytest.approx(math.sqrt(2 + 2e12) / nearest, rel=1e-4)


def test_copies_that_lose_the_class_do_not_count(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """Class 1 is ahead by 3 a1 − a0/2 = 1.75."""
    metric = RelativeStability(n=12, radius=6, change="norm")
    subject = on_paper(tiny, tiny_x, Turns(tiny_x, LEFT, RIGHT))
    found = copies(subject, metric)
    same = [copy for copy in found if copy[1][1] > copy[1][0]]
    assert 0 < len(same) < 12
    shows = False
    for place, (name, own) in enumerate((("ris", X), ("ros", LOGITS), ("rrs", A))):
        every, moves = ([norm(gap(copy[place], own)) / norm(own) for copy in those] for those in (found, same))
        assert metric(subject)[name].item() == pytest.approx(math.sqrt(2) / min(moves), rel=1e-4)
        shows = shows or min(moves) > min(every)
    assert shows


def test_where_no_copy_keeps_the_class_or_the_map_is_zero_there_is_none(tiny: TorchSplit, tiny_x: Tensor) -> None:
    flat = on_paper(tiny, tiny_x, Given((1.0,) * 4))
    subject = on_paper(tiny, tiny_x, LEFT)  # of class 1, as its copies
    other = replace(subject, forward=replace(subject.forward, logits=torch.tensor([[9.0, 0.0]])))
    for one in (flat, other):
        assert all(values.isnan().all() for values in RelativeStability(n=3)(one).values())


def test_a_still_map_is_perfectly_stable_and_a_drawn_one_is_not(lite0: TorchSplit, images: Tensor) -> None:
    still = on_images(lite0, images[:1], Given((0.0, 1.0, 2.0, 3.0)))
    assert all((values == 0).all() for values in RelativeStability(n=2, radius=1e-3)(still).values())
    drawn = on_images(lite0, images[:1], RISE(n=8))
    near = RelativeStability(n=1, radius=1e-4, change="norm")
    assert near(drawn)["ris"] > 10 * near(on_images(lite0, images[:1]))["ris"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"n": 0}, "n is 0"),
        ({"radius": 0}, "radius is 0"),
        ({"change": "both"}, "change is 'both'.*elementwise, norm"),
        ({"epsilon": 0}, "epsilon is 0"),
    ],
)
def test_wrong_settings(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        RelativeStability(**options)


def test_yaml_defaults_are_the_class_s_own() -> None:
    assert make_metrics(compose_config(["metric=relative_stability"]))["relative_stability"] == RelativeStability()


# --- against peers --------------------------------------------------------------------------------------------------


def saliency_of(subject: Explained, x: Tensor) -> Tensor:
    forward = scoring.forward(subject.split, x, subject.forward.target, (0,) * len(x))
    return subject.rule(subject.explainer(subject.split, forward), (96, 96))[0]


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "peer"), [("ris", quantus.RelativeInputStability), ("ros", quantus.RelativeOutputStability)]
)
def test_elementwise_equals_quantus(name: str, peer: Any, lite0: TorchSplit, images: Tensor, parity: Parity) -> None:
    """On the same draws, none of which changes the class."""
    metric = RelativeStability(n=3, radius=1e-3)
    subject = on_images(lite0, images[:2], GradCAM())
    moved = iter([nudged(subject.forward, "relative_stability", copy, metric.radius) for copy in range(3)])

    def perturb(arr: Any, **_: Any) -> Any:
        return next(moved).numpy().reshape(arr.shape)

    def explain(model: Any, inputs: Any, targets: Any, **_: Any) -> Any:
        return saliency_of(subject, torch.as_tensor(inputs)).double().numpy()

    measure = peer(nr_samples=3, perturb_func=perturb, return_nan_when_prediction_changes=False, disable_warnings=True)
    theirs = measure(
        model=lite0.model,
        x_batch=images[:2].numpy(),
        y_batch=subject.forward.target.numpy(),
        a_batch=subject.saliency.double().numpy(),
        explain_func=explain,
    )
    ours, peers = metric(subject)[name].double(), torch.as_tensor(np.asarray(theirs))
    assert ours.isfinite().all()
    why = "same draws; the quotient of both, which are of the size of 1/ε"
    parity.metric_agrees(name, "quantus", lite0.name, ours / peers, torch.ones(2), atol=1e-3, why=why)


@pytest.mark.parity
def test_norms_equal_openxai(lite0: TorchSplit, images: Tensor, parity: Parity) -> None:
    """Its arithmetic, of one image at a time: ‖v − v′‖/‖v‖ of each, copies of another class left out."""
    metric = RelativeStability(n=3, radius=1e-3, change="norm")
    subject = on_images(lite0, images[:2])
    made = metric(subject)
    found: dict[str, list[float]] = {"ris": [], "ros": [], "rrs": []}
    for i in range(2):
        most = dict.fromkeys(found, 0.0)
        for copy in range(3):
            x = nudged(subject.forward, "relative_stability", copy, metric.radius)
            with torch.no_grad():
                A = lite0.features(x)
                logits = lite0.head(A)
            if logits[i].argmax() != subject.forward.logits[i].argmax():
                continue
            pairs = {
                "ris": (subject.forward.x[i], x[i]),
                "ros": (subject.forward.logits[i], logits[i]),
                "rrs": (subject.forward.A[i], A[i]),
            }
            again, own = saliency_of(subject, x)[i], subject.saliency[i]
            moved = np.linalg.norm((own - again).flatten()) / np.linalg.norm(own.flatten())
            for name, (before, after) in pairs.items():
                change = np.linalg.norm((before - after).flatten()) / np.linalg.norm(before.flatten())
                most[name] = max(most[name], float(moved / change))
        for name in found:
            found[name].append(most[name])
    for name, theirs in found.items():
        why = "with change=norm"
        parity.metric_agrees(
            name, "OpenXAI (its arithmetic)", lite0.name, made[name], torch.tensor(theirs), atol=1e-2, why=why
        )

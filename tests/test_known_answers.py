"""Each reason that ``results/known_answers.md`` gives for a map that misses the evidence, by an experiment."""

from __future__ import annotations

import copy
import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from contract import TRANSFORMERS
from test_planted import forward_of, network, picture_of
from torch import Tensor

import camsbench
from camsbench import CamsbenchError
from camsbench.config.compose import compose_config
from camsbench.config.instantiate import make_methods
from camsbench.config.paths import CONF, PACKAGE
from camsbench.core import scoring
from camsbench.core.explained import mask_of
from camsbench.core.saliency import SaliencyRule, normalise, upsample
from camsbench.core.types import Forward
from camsbench.data.planted import planted
from camsbench.data.record import Record
from camsbench.experiment import cells
from camsbench.methods.attention_rollout import AttentionRollout
from camsbench.methods.layercam import LayerCAM
from camsbench.metrics._substrate import gaussian_blur
from camsbench.models.planted.detectors import CHANNELS
from camsbench.models.split import TorchSplit, cut
from camsbench.session import execute

SCRIPTS = PACKAGE.parent / "scripts"


@cache
def setting(task: str) -> tuple[TorchSplit, tuple[Record, ...], Forward]:
    split, records = network(task, layer="relu3"), planted(task=task, count=3)
    return split, tuple(records), replace(forward_of(split, records), seeds=(0, 1, 2))


def raw(name: str, task: str, split: TorchSplit | None = None, **options: Any) -> Tensor:
    """The maps of a method with other options than its YAML's."""
    own, _, forward = setting(task)
    if split is not None:
        forward = scoring.forward(split, forward.x, forward.target, forward.seeds)
    method: Any = make_methods(compose_config([f"method={name}"]))[name]
    made: Tensor = replace(method, **options)(split or own, forward)
    return made


def mass(maps: Tensor, task: str) -> float:
    """How much of the saliency lies on the evidence, the mean over the pictures, as ``energy_pointing`` has it."""
    saliency = SaliencyRule()(maps, (56, 56))[0][:, 0]
    truth = setting(task)[2].truth
    assert truth is not None
    return float(((saliency * (truth > 0)).sum((1, 2)) / saliency.sum((1, 2))).mean())


def best(task: str) -> float:
    """What a map of cells can reach."""
    truth = setting(task)[2].truth
    assert truth is not None
    return mass(torch.nn.functional.adaptive_avg_pool2d(truth[:, None], (7, 7)).squeeze(1), task)


def without(channels: list[int]) -> TorchSplit:
    """The network of ``distractor`` without some channels of its last layer."""
    split, _, _ = setting("distractor")
    model = copy.deepcopy(split.model)
    with torch.no_grad():
        model.conv3.weight[channels] = 0  # type: ignore[union-attr,operator]
    return cut(model, "relu3", split.preprocess)


@pytest.mark.parametrize("method", ["eigencam", "kpcacam"])
def test_without_a_class_the_larger_object_wins(method: str) -> None:
    _, records, _ = setting("distractor")
    assert mass(raw(method, "distractor"), "distractor") < 0.01
    for record, found in zip(records, raw(method, "distractor"), strict=True):
        tile = picture_of(record).scene.tiles[0]
        place = int(found.argmax())
        assert tile.row <= place // 7 < tile.row + tile.size
        assert tile.column <= place % 7 < tile.column + tile.size


def test_score_cam_weighs_channels_that_no_class_uses() -> None:
    split, _, forward = setting("distractor")
    masks = normalise(upsample(forward.A, (56, 56)))[0]
    with torch.no_grad():
        scores = [split.logits(forward.x * masks[:, k : k + 1]).softmax(1) for k in range(CHANNELS)]
    weights = torch.stack([each.gather(1, forward.target[:, None])[:, 0] for each in scores], 1)
    for i, target in enumerate(forward.target.tolist()):
        unused = [k for k in range(6) if k != target]
        torch.testing.assert_close(weights[i, unused], torch.full((5,), 0.25))  # as a blank picture
        assert weights[i, 7] > 0.9  # dark: wide enough to keep the evidence
    whole, coloured = (mass(raw("scorecam", "distractor", each), "distractor") for each in (None, without([6, 7])))
    assert whole + 0.08 < coloured < best("distractor") - 0.2
    red = without(list(range(1, CHANNELS)))  # the class of the first picture alone
    only, right = raw("scorecam", "distractor", red)[0], raw("gradcam", "distractor")[0]
    torch.testing.assert_close(only / only.max(), right / right.max())


def test_ss_cam_s_noise_hides_its_masks() -> None:
    little, paper = (mass(raw("sscam", "distractor", sigma=sigma), "distractor") for sigma in (0.01, 2.0))
    assert little == pytest.approx(mass(raw("scorecam", "distractor"), "distractor"), abs=0.03)
    assert paper < little / 2


def test_a_softmax_makes_grey_of_what_is_not_used() -> None:
    assert mass(raw("reciprocam", "two_objects"), "two_objects") < 0.5
    assert mass(raw("reciprocam", "two_objects", score="logit"), "two_objects") == pytest.approx(best("two_objects"))
    occluded = raw("occlusion", "two_objects", window=4, stride=2)
    assert mass(occluded, "two_objects") < 0.3
    assert mass(occluded.clamp(min=0), "two_objects") > 0.85


def test_contrast_makes_grey_of_what_is_not_used() -> None:
    found = raw("relevancecam", "two_objects")
    assert mass(found, "two_objects") < 0.5
    assert mass(found.clamp(min=0), "two_objects") == pytest.approx(best("two_objects"))


@pytest.mark.parametrize("method", ["deeplift", "lrp"])
def test_signed_maps_are_right_above_zero(method: str) -> None:
    found = raw(method, "cells")
    assert mass(found, "cells") < 0.3
    assert mass(found.clamp(min=0), "cells") == pytest.approx(1)


@pytest.mark.parametrize("method", ["integrated_gradients", "fullgrad"])
def test_magnitudes_count_what_speaks_against_the_class(method: str) -> None:
    """As many pixels for it with a weight of 1 as against it with one of −½: 1/(1 + ½)."""
    assert mass(raw(method, "cells"), "cells") == pytest.approx(2 / 3, abs=1e-3)


def test_a_first_component_shows_one_channel() -> None:
    for record, found in zip(setting("shares")[1], raw("eigengradcam", "shares"), strict=True):
        strong, weak = picture_of(record).scene.tiles
        assert found[strong.row, strong.column] > 0.1
        assert found[weak.row, weak.column] == pytest.approx(0, abs=1e-6)


def test_a_gradient_does_not_say_how_much() -> None:
    shares = [mass(raw("smoothgrad", "distractor", sigma=sigma), "distractor") for sigma in (1e-5, 1e-3, 0.15)]
    assert max(shares) < 0.4
    assert mass(raw("smoothgrad", "distractor", sigma=1e-8), "distractor") == pytest.approx(1)
    assert mass(raw("integrated_gradients", "distractor"), "distractor") == pytest.approx(1)


@pytest.mark.parametrize(
    ("method", "noise"),
    [("smoothgradcampp_torchcam", "sigma"), ("smoothgradcampp_metrics_evaluator", "sigma"),
     ("smoothgradcampp_vendored", "spread")],
)  # fmt: skip
def test_noisy_pictures_have_colours(method: str, noise: str) -> None:
    assert mass(raw(method, "distractor"), "distractor") < best("distractor") - 0.05
    still = replace(make_methods(compose_config([f"method={method}"]))[method], **{noise: 1e-6})  # type: ignore[type-var]
    split, _, forward = setting("distractor")
    assert mass(still(split, forward), "distractor") == pytest.approx(best("distractor"), abs=1e-3)
    assert mass(raw("smoothgradcampp", "distractor"), "distractor") == pytest.approx(best("distractor"), abs=1e-3)


def test_deconvolution_is_the_same_for_all_pixels() -> None:
    found = raw("deconvolution", "distractor").flatten(1)
    assert torch.equal(found, found[:, :1].expand_as(found))
    assert found[0, 0] > 0


def test_rise_s_background_is_a_mean_probability() -> None:
    found = raw("rise", "distractor", n=500).flatten(1)
    assert (found.median(1).values > 0.6).all()
    assert mass(raw("rise", "distractor", n=500), "distractor") < 0.3


@pytest.mark.slow
def test_inpainting_spreads_colour() -> None:
    found = raw("generative_perturbation", "distractor", patch=7, stride=2)
    assert (found.flatten(1).min(1).values < 0).all()
    assert mass(found, "distractor") < 0.2
    assert mass(found.clamp(min=0), "distractor") > 0.9


def test_a_smooth_mask_spreads_around_a_patch() -> None:
    options: dict[str, Any] = {"steps": 100, "blur": 2.5, "smooth": 1.25, "jitter": 1}
    paper = mass(raw("meaningful_perturbation", "patch", **options), "patch")
    assert mass(raw("meaningful_perturbation", "patch", **options | {"tv": 0.0}), "patch") > 1.8 * paper
    assert mass(raw("meaningful_perturbation", "patch", **options | {"l1": 1e-3}), "patch") > 1.8 * paper


def test_the_top_half_of_a_map_that_is_one_on_more_than_half_is_nothing() -> None:
    """Why drop under ``protocol=abscam`` rejects the truth of ``background``: its median is its maximum."""
    truth = setting("background")[2].truth
    assert truth is not None
    saliency = SaliencyRule()(truth, (56, 56))[0]
    assert mask_of("soft", saliency).mean() > 0.8
    assert not mask_of("soft_top50", saliency).any()


def test_a_blurred_picture_still_has_the_evidence() -> None:
    for task, enough in (("distractor", 0.9), ("background", 0.97), ("patch", 0.0)):
        split, _, forward = setting(task)
        with torch.no_grad():
            blurred = split.logits(gaussian_blur(forward.x, 31, 5.0)).softmax(1)
        found = blurred.gather(1, forward.target[:, None])
        assert (found > enough).all() if enough else (found < 0.6).all()


def test_no_group_is_better_than_an_even_colour_blurred() -> None:
    assert (raw("groupcam_v0", "background", kernel=13, sigma=12.5) == 0).all()


@pytest.mark.parametrize("method", ["gradcam_metrics_evaluator", "gradcampp_metrics_evaluator"])
def test_maps_of_the_picture_s_size_have_a_rim(method: str) -> None:
    found = raw(method, "two_objects")
    assert found.shape[1:] == (56, 56)
    assert mass(found, "two_objects") == pytest.approx(best("two_objects"), abs=1e-3)


@pytest.mark.slow
def test_a_max_pool_asks_only_what_is_most() -> None:
    """The blurred picture has the larger logit; behind the pool one of each four cells has the gradient 5/4."""
    split, records = network("distractor", "vgg16", layer="features.29"), planted(task="distractor", count=1, side=224)
    forward = forward_of(split, records)
    with torch.no_grad():
        blurred = split.logits(gaussian_blur(forward.x, 51, 50.0))
    assert blurred[0, 0] > forward.logits[0, 0] + 1
    tile = picture_of(records[0]).scene.tiles[1]
    found = LayerCAM()(split, forward)[0, 2 * tile.row : 2 * tile.row + 4, 2 * tile.column : 2 * tile.column + 4]
    corner = torch.tensor([[1.25, 0], [0, 0]])
    torch.testing.assert_close(found, corner.repeat(2, 2), rtol=0, atol=1e-4)


@pytest.mark.slow
def test_rollout_of_uniform_attention_says_nothing() -> None:
    split, records = network("distractor", "vit_tiny"), planted(task="distractor", count=1, side=224)
    found = AttentionRollout()(split, forward_of(split, records))
    assert float(found.std() / found.mean()) < 1e-4


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    yield importlib.import_module("known_answers")
    for name in ("known_answers", "known", "known.reasons", "methods"):
        sys.modules.pop(name, None)


def names(group: str) -> set[str]:
    return {path.stem for path in (CONF / group).glob("*.yaml") if "defaults:" not in path.read_text()}


def test_every_method_and_metric_has_its_row_or_a_reason(script: Any) -> None:
    """A new one goes into the lists of ``conf/experiment/known_answers.yaml``, or into ``ABSENT`` with its reason."""
    found = yaml.safe_load((CONF / "experiment" / "known_answers.yaml").read_text())["cells"]["full"]
    planned = [dict(each.partition("=")[::2] for each in cell) for cell in found]
    seen = {
        group: {name.strip() for cell in planned for name in cell[group].strip("[]").split(",")}
        for group in ("method", "metric")
    }
    assert names("method") - seen["method"] == set(script.ABSENT)
    assert names("metric") - seen["metric"] == {"time"}
    for task in ("patch", "cells"):
        toy = [cell for cell in planned if cell["data.task"] == task and "model.options.size" not in cell]
        there = {name.strip() for cell in toy for name in cell["method"].strip("[]").split(",")}
        assert names("method") - there == {*TRANSFORMERS, "lficam", *(["cam"] if task == "cells" else [])}


def test_the_tables_are_written(tmp_path: Path, script: Any) -> None:
    overrides = ["experiment=known_answers", "smoke=true", "runtime.device=cpu", "runtime.workers=0"]
    for cell in cells(compose_config(overrides), overrides):
        cell.config.output = str(tmp_path / "runs" / cell.name)
        execute(cell.config)
    assert script.main([str(tmp_path / "runs"), "--output", str(tmp_path / "known.md")]) == 0
    text = (tmp_path / "known.md").read_text()
    assert "| truth | 100 · 100 · 1.00 · 100 |" in text
    assert "| energy_pointing | rise | – | 100 |" in text  # preferred under patch, which smoke runs alone
    assert "lficam" in text


def test_methods_that_ask_for_the_truth_are_refused_without_it() -> None:
    with pytest.raises(CamsbenchError, match="the truth of these images is not known"):
        camsbench.explain("truth", setting("patch")[0], setting("patch")[2].x)

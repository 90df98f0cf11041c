"""``model=planted`` and ``data=planted``: what is said to be evidence is evidence, by taking it away."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import quick
import torch
from torch import Tensor

import camsbench
from camsbench import CamsbenchError
from camsbench.config.build import build
from camsbench.config.compose import compose_config
from camsbench.core import scoring
from camsbench.core.explained import explain
from camsbench.core.planted import MIDDLE, SCORE, TASKS
from camsbench.core.saliency import SaliencyRule
from camsbench.core.types import Forward
from camsbench.data.loader import read
from camsbench.data.planted import PlantedPicture, planted
from camsbench.data.record import Record
from camsbench.data.scenes import Scene
from camsbench.methods.gradcam import GradCAM
from camsbench.methods.hirescam import HiResCAM
from camsbench.methods.layercam import LayerCAM
from camsbench.models.planted.build import SIZES
from camsbench.models.split import TorchSplit

POOLED = [name for name, task in TASKS.items() if not task.knows_places]
TOP = {"cells": [2.5, 0, 0, 0], "two_objects": [5, 2.5, 0, 0]}  # logits in descending order; of other tasks 5, 0, 0, 0
ROUNDING = 1e-4  # of logits of 5: a millionth of an opponent counts as none, and a ViT's norms are steady to millionths


def network(task: str, size: str = "toy", layer: str | None = None) -> TorchSplit:
    options = {"size": size, "task": task, "side": side_of(size)}
    split = camsbench.load_model("planted", layer=layer, device="cpu", options=options)
    assert isinstance(split, TorchSplit)
    return split


def side_of(size: str) -> int:
    return 56 if size == "toy" else 224


def picture_of(record: Record) -> PlantedPicture:
    assert isinstance(record.source, PlantedPicture)
    return record.source


def logits(split: TorchSplit, record: Record, scene: Scene | None = None) -> Tensor:
    """Of a record's picture, or of another scene on its noise."""
    pixels = torch.from_numpy(picture_of(record).pixels(scene)).permute(2, 0, 1)[None]
    with torch.no_grad():
        return split.logits(split.preprocess.normalise(pixels))[0]


def forward_of(split: TorchSplit, records: list[Record]) -> Forward:
    pictures = [read(record, split.preprocess) for record in records]
    x = split.preprocess.normalise(torch.stack([p.pixels for p in pictures if p.pixels is not None]))
    made = scoring.forward(split, x, None, (0,) * len(x))
    return replace(made, truth=torch.stack([picture.maps["truth"] for picture in pictures]))


@pytest.mark.parametrize("task", TASKS)
def test_a_picture_follows_from_its_seed_and_id_alone(task: str) -> None:
    one, again, other = (planted(task=task, count=n, seed=s) for n, s in ((4, 0), (7, 0), (4, 1)))
    for i, record in enumerate(one):
        assert record.source.open("rb").read() == again[i].source.open("rb").read()
        assert record.source.open("rb").read() != other[i].source.open("rb").read()
        assert record.label == i % 3
    assert len({record.source.open("rb").read() for record in one}) == 4


@pytest.mark.parametrize("task", TASKS)
def test_truth_and_mask_are_the_same_at_every_size(task: str) -> None:
    small, large = (planted(task=task, count=6, side=side) for side in (56, 224))
    for one, other in zip(small, large, strict=True):
        assert picture_of(one).scene == picture_of(other).scene
        assert one.truth is not None
        assert one.mask is not None
        truth = one.truth.pixels(56, 56)
        assert truth.sum() == pytest.approx(1)
        assert ((truth > 0) == one.mask.pixels(56, 56)).all()


@pytest.mark.parametrize("task", TASKS)
def test_the_mirrored_truth_is_wrong_and_tiles_lie_apart(task: str) -> None:
    for record in planted(task=task, count=60):
        assert record.truth is not None
        truth = record.truth.pixels(56, 56)
        overlap = truth[truth[:, ::-1] > 0].sum()
        assert overlap < (0.9 if task == "background" else 1e-9)


def removals(record: Record) -> list[tuple[Scene, float]]:
    """The scene without each of its tiles, or its tint, and the share of the score that goes with it."""
    scene = picture_of(record).scene
    found = [(replace(scene, tiles=scene.tiles[:i] + scene.tiles[i + 1 :]), t.share) for i, t in enumerate(scene.tiles)]
    return [(replace(scene, tinted=False), 1.0)] if scene.tinted else found


@pytest.mark.parametrize(
    ("size", "task"),
    [
        *(("toy", task) for task in TASKS),
        *(pytest.param(size, "shares", marks=pytest.mark.slow) for size in SIZES if size not in ("toy", "vgg16")),
        *(pytest.param(size, "background", marks=pytest.mark.slow) for size in ("resnet18", "vit_tiny")),
        pytest.param("vgg16", "cells", marks=pytest.mark.slow),
    ],
)
def test_taking_a_piece_of_evidence_away_takes_its_share_and_anything_else_nothing(size: str, task: str) -> None:
    split = network(task, size)
    for record in planted(task=task, count=3 if size == "toy" else 1, side=side_of(size)):
        whole = logits(split, record)
        assert int(whole.argmax()) == record.label
        expected = torch.tensor(TOP.get(task, [5, 0, 0, 0]), dtype=torch.float)
        torch.testing.assert_close(whole.sort(descending=True).values, expected, rtol=0, atol=ROUNDING)
        for scene, share in removals(record):
            lost = whole[record.label] - logits(split, record, scene)[record.label]
            assert float(lost) == pytest.approx(SCORE * share, abs=ROUNDING)


@pytest.mark.parametrize("task", TASKS)
def test_grey_in_place_of_any_rectangle_takes_the_truth_inside_it(task: str) -> None:
    """Pixel by pixel on the toy network; under ``cells`` what speaks against the class comes off, too."""
    split, random = network(task), torch.Generator().manual_seed(0)
    for record in planted(task=task, count=3):
        picture = picture_of(record)
        assert record.truth is not None
        gains = torch.from_numpy(SCORE * record.truth.pixels(56, 56))
        for tile in picture.scene.tiles:
            if tile.share < 0:
                x0, y0, x1, y1 = tile.box(56)
                gains[y0:y1, x0:x1] = SCORE * tile.share / ((x1 - x0) * (y1 - y0))
        pixels = torch.from_numpy(picture.pixels()).permute(2, 0, 1)
        copies, expected = [pixels], [0.0]
        for _ in range(40):
            y0, x0, height, width = torch.randint(4, 40, (4,), generator=random).tolist()
            grey = pixels.clone()
            grey[:, y0 : y0 + height, x0 : x0 + width] = MIDDLE
            copies.append(grey)
            expected.append(float(gains[y0 : y0 + height, x0 : x0 + width].sum()))
        with torch.no_grad():
            found = split.logits(split.preprocess.normalise(torch.stack(copies)))[:, record.label]
        torch.testing.assert_close(found[0] - found, torch.tensor(expected), rtol=0, atol=ROUNDING)


def test_grad_cam_by_hand_on_a_patch() -> None:
    """One red cell of answer 1 makes the logit 5 behind a mean over 49 cells: its weight is 5·49, and every cell's
    gradient 5. So Grad-CAM's map is 5 in the cell of the patch and 0 elsewhere; so are LayerCAM's and HiResCAM's."""
    split, records = network("patch", layer="relu3"), planted(task="patch", count=3)
    forward = forward_of(split, records)
    expected = torch.zeros(3, 7, 7)
    for i, record in enumerate(records):
        patch = picture_of(record).scene.tiles[1]
        expected[i, patch.row, patch.column] = 5
    for method in (GradCAM(), LayerCAM(), HiResCAM()):
        torch.testing.assert_close(method(split, forward), expected, rtol=0, atol=ROUNDING)


def test_grad_cam_by_hand_on_cells_takes_what_speaks_against_the_class_for_evidence() -> None:
    """Class 0's four red cells in its half make the logit 5: a weight of 1.25 in its 21 cells, and −0.625 in the other
    28. Grad-CAM's mean of these is (21·1.25 − 28·0.625)/49 = 0.17857, in every cell that is red. HiResCAM's cells have
    their own: 1.25, and −0.625 where red speaks against the class, of which a ReLU makes 0; so do LayerCAM's."""
    split, records = network("cells", layer="relu3"), planted(task="cells", count=1)
    forward = forward_of(split, records)
    found, against = picture_of(records[0]).scene.tiles
    for method, own, others in ((GradCAM(), 0.178571, 0.178571), (HiResCAM(), 1.25, 0.0), (LayerCAM(), 1.25, 0.0)):
        expected = torch.zeros(1, 7, 7)
        expected[0, found.row : found.row + 2, found.column : found.column + 2] = own
        expected[0, against.row : against.row + 2, against.column : against.column + 2] = others
        torch.testing.assert_close(method(split, forward), expected, rtol=0, atol=ROUNDING)


def test_nothing_of_a_planted_network_is_drawn() -> None:
    before = torch.get_rng_state()
    weights = [
        camsbench.load_model("planted", device="cpu", seed=seed).model.state_dict()["head.weight"] for seed in (0, 1)
    ]
    assert torch.equal(*weights)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model=planted", "data=planted", "data.task=patches"], "data.task=patches: choose cells, patch"),
        (["model=planted", "data=planted", "data.count=0"], "data.count=0: give a number of pictures from 1 up"),
        (["model=planted", "data=planted", "data.side=64"], "data.side=64: choose 56, 112, 168, 224"),
        (["model=planted", "data=planted", "data.side=224"], "size=toy: it takes pictures of 56 or 112 or 168 pixels"),
        (["model=planted", "data=planted", "model.options.size=alexnet"], "size=alexnet: choose toy, vgg16"),
        (["model=planted", "data=planted", "model.options.size=vgg16"], "not 56: give data.side=224"),
        (["model=planted", "data=planted", "++model.options.depth=3"], "options.depth: of model=planted give size"),
        (
            ["model=planted", "data=planted", "data.task=cells", "data.side=224", "model.options.size=resnet18"],
            "pools all places into one, and this task is about places: choose toy, vgg16",
        ),
        (["model=planted", "data=planted", "model.options.task=shares"], "give data.task alone"),
        (["model=planted", "data=planted", "protocol=poppi"], "give protocol.resize=null protocol.crop=null"),
        (["model=resnet18", "model.weights=random", "data=planted"], "known of model=planted alone"),
        (["method=distractor"], "method=distractor needs images of which it is known what is there and not used"),
    ],
)
def test_what_does_not_fit_is_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(CamsbenchError, match=said.replace("[", r"\[")):
        build(compose_config([*overrides, "runtime.device=cpu"]))


def test_a_run_of_planted_pictures(tmp_path: Path) -> None:
    options: list[Any] = ["model=planted", "data=planted", "data.count=3", "runtime.device=cpu", "runtime.workers=0"]
    done = quick.command(
        *options, "method=[gradcam,truth,mirrored_truth,distractor]", "runtime.bare=0", "report.html=false",
        "metric=[pointing,energy_pointing,truth_correlation,drop,coherency,max_sensitivity]", "output=run",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = pd.read_parquet(tmp_path / "run" / "rows")
    mean: Any = rows.groupby("method").mean(numeric_only=True)
    assert rows["error"].isna().all()
    assert mean.loc["truth", ["pointing", "energy_pointing", "truth_correlation"]].tolist() == [1, 1, 1]
    assert mean.loc["truth", "drop"] == pytest.approx(0, abs=1e-6)
    assert mean.loc["truth", "coherency"] == pytest.approx(1)  # the masked image has the same truth
    assert mean.loc["truth", "max_sensitivity"] == 0
    assert mean.loc["gradcam", ["pointing", "truth_correlation"]].tolist() == [1, 1]
    assert mean.loc["mirrored_truth", "energy_pointing"] == 0
    assert mean.loc["distractor", "energy_pointing"] == pytest.approx(1 / 9)  # a cell of the object's nine
    assert rows["target"].tolist() == rows["label"].tolist()


@pytest.mark.parametrize("task", POOLED)
def test_the_truth_at_the_layer_is_grad_cam_s_map(task: str) -> None:
    """Behind a mean and a linear layer Grad-CAM is exact: up to its scale it is the truth of each cell."""
    split = network(task, layer="relu3")
    forward, rule = forward_of(split, planted(task=task, count=3)), SaliencyRule()
    cells = torch.nn.functional.adaptive_avg_pool2d(forward.truth[:, None], (7, 7))  # type: ignore[index]
    ideal, _ = rule(cells[:, 0], (56, 56))
    torch.testing.assert_close(explain(split, GradCAM(), rule, forward).saliency, ideal, rtol=0, atol=ROUNDING)

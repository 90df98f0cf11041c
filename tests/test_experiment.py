"""Experiments of several runs: which cells there are, and what a user's choice makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from camsbench import experiment
from camsbench.config.compose import compose_config
from camsbench.config.paths import CONF
from camsbench.errors import CamsbenchError
from camsbench.experiment import Cell

GRADIENT_CAMS = ["gradcam", "gradcampp", "smoothgradcampp"]
NETWORKS = ["vgg16", "resnet18", "resnet50", "resnet101", "resnext50_32x4d", "resnext101_32x8d"]


def cells(*overrides: str) -> list[Cell]:
    return experiment.cells(compose_config(overrides), overrides)


def test_a_table_has_each_row_under_the_protocol_that_made_it() -> None:
    found = cells("experiment=reciprocam_table1")
    assert [cell.name for cell in found] == [f"{net}-{protocol}" for net in NETWORKS for protocol in ("poppi", "byun")]
    harness = [f"{paper}{form}" for paper in GRADIENT_CAMS for form in ("", "_metrics_evaluator")]
    for cell in found:
        own = cell.config.protocol.name == "byun"
        assert list(cell.config.method) == (["reciprocam_gaussian", "reciprocam"] if own else [*harness, "scorecam"])
        assert cell.config.data.name == "ilsvrc2012"
        assert cell.config.output == f"results/reciprocam_table1/{cell.name}"
        assert cell.config.target == ("label" if own else "predicted")


def test_choosing_a_network_keeps_its_cells_with_their_settings() -> None:
    vgg = cells("experiment=reciprocam_table1", "model=vgg16")
    assert [(c.name, c.config.model.layer) for c in vgg] == [
        ("vgg16-poppi", "features.29"),
        ("vgg16-byun", "features.30"),
    ]


def test_a_choice_that_no_cell_makes_replaces_theirs_and_the_settings_below() -> None:
    found = cells("experiment=reciprocam_table1", "model=vgg19", "output=elsewhere")
    assert [(c.name, c.config.model.layer) for c in found] == [
        ("vgg19-poppi", "features.35"),
        ("vgg19-byun", "features.35"),
    ]
    assert found[0].config.output == "elsewhere/vgg19-poppi"


def test_cells_that_become_the_same_run_once() -> None:
    found = cells("experiment=reciprocam_table1", "model=resnet50", "protocol=rise", "method=[gradcam]")
    assert [cell.name for cell in found] == ["resnet50-rise"]


def test_smoke_cells_lie_apart_from_the_full_ones() -> None:
    found = cells("experiment=reciprocam_table1", "smoke=true", "data.limit=2")
    assert [cell.config.output for cell in found] == [
        "results/smoke/reciprocam_table1/tf_efficientnet_lite0-poppi",
        "results/smoke/reciprocam_table1/tf_efficientnet_lite0-byun",
    ]
    assert all(cell.config.data.limit == 2 for cell in found)


def test_the_harness_s_forms_stand_below_the_papers_in_the_table() -> None:
    chosen = compose_config(["experiment=reciprocam_table1"]).table.methods
    for printed, method in zip(("GradCAM", "GradCAM++", "SGradCAM++"), GRADIENT_CAMS, strict=True):
        assert list(chosen[printed]) == [method, f"{method}_metrics_evaluator"]


def test_runs_of_one_network_and_protocol_get_names_of_their_own() -> None:
    found = cells("experiment=abscam_table2")
    assert [cell.name for cell in found] == ["vgg16-abscam", "vgg16-abscam-2"]
    assert [cell.config.data.limit for cell in found] == [500, 5500]


def test_an_override_that_fits_no_cell_is_one_sentence() -> None:
    with pytest.raises(CamsbenchError, match=r"metric\.drop"):
        cells("experiment=reciprocam_table2", "metric.drop.mask=soft")  # its cells measure time only


@pytest.mark.parametrize("path", sorted((CONF / "experiment").glob("*.yaml")), ids=lambda path: path.stem)
@pytest.mark.parametrize("smoke", ["true", "false"])
def test_every_cell_of_every_experiment_composes(path: Path, smoke: str) -> None:
    overrides = [f"experiment={path.stem}", f"smoke={smoke}"]
    cfg = compose_config(overrides)
    if cfg.cells is not None:
        found = experiment.cells(cfg, overrides)
        assert len({cell.name for cell in found}) == len(found) > 0
        assert cfg.name == path.stem

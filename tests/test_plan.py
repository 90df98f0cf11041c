"""The plan of a run: the passes it says are the passes that the run then takes, with no data and no weights on disk."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from contract import TRANSFORMERS
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

import camsbench
from camsbench.config.build import model_spec
from camsbench.config.compose import add_controls, compose_config
from camsbench.config.instantiate import make_methods, make_metrics, make_rule
from camsbench.config.plain import plain
from camsbench.core import scoring
from camsbench.core.explained import explain
from camsbench.core.passes import Passes, Rehearsal, in_micro_batches
from camsbench.errors import CamsbenchError
from camsbench.models.dry import DrySplit
from camsbench.models.published import published
from camsbench.models.speed import Speed
from camsbench.models.split import TorchSplit
from camsbench.plan import main, parse_rates
from camsbench.run.planning import images as counting
from camsbench.run.planning.count import BASE, EXPLAIN, Line, plan
from camsbench.run.planning.networks import Networks, sample_images, scale_speed
from camsbench.run.planning.table import render

SIDE = 96  # fewer pixels, the same passes
FEWER_PIXELS = [f"++protocol.resize={SIDE}", f"++protocol.crop={SIDE}"]


def config(*overrides: str) -> DictConfig:
    return compose_config([*FEWER_PIXELS, *overrides])


@pytest.fixture(scope="module")
def networks() -> Networks:
    """Lite0's shapes, for 100 passes a second."""
    return Networks({"": 100})


@pytest.fixture(scope="module")
def small(lite0: TorchSplit) -> TorchSplit:
    """The real Lite0, for images of 96×96 pixels."""
    return camsbench.cut(lite0.model, lite0.layer, replace(lite0.preprocess, resize=SIDE, crop=SIDE), name=lite0.name)


def by_part(lines: list[Line]) -> dict[tuple[str, str], tuple[int, int, int]]:
    return {
        (line.method, line.part): (line.passes.forward, line.passes.head_only, line.passes.backward) for line in lines
    }


def test_the_plan_equals_the_counted_run(networks: Networks, small: TorchSplit, images: Tensor) -> None:
    cfg = config(
        "method=[gradcam,smoothgradcampp,abscam_group32,abscam_init,reciprocam,rise,integrated_gradients,guided_backprop]",
        "method.rise.n=30",
        "metric.insertion.steps=9",
        "metric.deletion.steps=7",
    )
    said = by_part(plan(cfg, networks))
    metrics, rule = make_metrics(cfg), make_rule(cfg)
    x = torch.nn.functional.interpolate(images[:1], SIDE)
    small = replace(small, passes=(passes := Passes())).plain  # a plan knows no short cut
    forward = scoring.forward(small, x, None, (0,))
    assert (passes.forward, passes.head_only, passes.backward) == said[BASE, BASE]
    for name, method in make_methods(cfg).items():
        before = replace(passes)
        explained = explain(small, method, rule, forward)
        found = {EXPLAIN: passes - before}
        for metric in metrics:
            before = replace(passes)
            metrics[metric](explained)
            found[metric] = passes - before
        for part, cost in found.items():
            assert said[name, part] == (cost.forward, cost.head_only, cost.backward), (name, part)
    assert said["rise", "coherency"] == (30, 0, 0)
    assert said["gradcam", "insertion"] == (10, 0, 0)
    assert said["gradcam", "drop"] == (1, 0, 0)  # the masked image, which increase shares
    assert said["gradcam", "increase"] == (0, 0, 0)


def test_the_plan_equals_the_table_of_methods(networks: Networks) -> None:
    """``results/methods.md`` was counted on a real image, with the exact short cuts and without (``plain``)."""
    slow = {"extremal_perturbation", "meaningful_perturbation"}  # hundreds of steps of their own arithmetic
    text = (Path(__file__).parents[1] / "results" / "methods.md").read_text()
    cells = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    left_out = slow | set(TRANSFORMERS)  # which are counted on another network
    rows = [row for row in cells if len(row) > 9 and row[6].isdigit() and row[1] not in left_out]
    table = {row[1]: tuple(map(int, row[6:9])) for row in rows}
    plain = {row[1]: {kind: int(count) for count, kind in re.findall(r"(\d+) (F|head|B)", row[9])} for row in rows}
    assert len(table) > 40
    said = by_part(plan(config(f"method=[{','.join(table)}]", "metric=[complexity]"), networks))
    for name, seen in table.items():
        bound = said[name, EXPLAIN]
        assert bound == tuple(plain[name].get(kind, 0) for kind in ("F", "head", "B")), name
        assert all(one <= most for one, most in zip(seen, bound, strict=True)), name
    assert table["scorecam"] == (596, 0, 0)  # of 1280 channels 713 vary, and 117 of these mask like another


def test_score_cam_on_resnet101_has_2048_channels() -> None:
    cfg = compose_config(["model=resnet101", "data=ilsvrc2012", "method=[scorecam]", "metric=[drop]"])
    networks = Networks({"": 10})
    assert by_part(plan(cfg, networks))["scorecam", EXPLAIN] == (2048, 0, 0)
    assert networks.layers(cfg)[0].dry.side == (7, 7)


@pytest.mark.parametrize(("choice", "images"), [([], 50_000), (["data.draw=0"], 5500), (["data.limit=300"], 300)])
def test_images_that_are_not_on_this_machine(choice: list[str], images: int, tmp_path: Path) -> None:
    n, assumed = counting.count(config("data=ilsvrc2012", f"data.root={tmp_path}/none", *choice))
    assert n == images
    assert str(assumed).startswith(f"data.root={tmp_path}/none is not on this machine: planned for the 50,000")


def test_a_list_of_images(tmp_path: Path) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text("ILSVRC2012_val_00000007\nILSVRC2012_val_00049999\n")
    n, assumed = counting.count(config("data=ilsvrc2012", f"data.subset={ids}"))
    assert n == 2
    assert str(assumed).startswith("data.root is not given")


def test_a_method_with_a_limit(networks: Networks) -> None:
    cfg = config("method=[gradcam,fakecam]", "metric=[drop]", "++limits.fakecam=3")
    assert counting.count(cfg) == (20, None)
    assert {(line.method, line.images) for line in plan(cfg, networks)} == {(BASE, 20), ("gradcam", 20), ("fakecam", 3)}


def test_metrics_of_randomised_copies_boxes_and_time(networks: Networks) -> None:
    layers = "metric.sanity_cascading.layers=[classifier,conv_head]"
    cfg = config("method=[gradcam,guided_backprop]", "metric=[sanity_cascading,pointing]", layers)
    said = by_part(plan(cfg, networks))
    assert said["gradcam", "sanity_cascading"] == (
        2,
        2,
        2,
    )  # for each layer a pass, and the head again for its gradient
    assert said["guided_backprop", "sanity_cascading"] == (4, 0, 2)
    assert said["gradcam", "pointing"] == (0, 0, 0)


def test_hours_are_passes_over_the_rate(networks: Networks, full_lite0: TorchSplit) -> None:
    line = plan(config("method=[scorecam]", "metric=[drop]"), networks)[1]
    assert line.total == Passes(features=20 * 1280, head=20 * 1280)
    assert line.hours == pytest.approx(20 * 1280 / 100 / 3600)
    speed = scale_speed(full_lite0, *sample_images(full_lite0), 100)
    assert speed.forward_rate == pytest.approx(100)
    assert speed.head / speed.features < 0.01  # 1.3 of 390 million multiplications
    assert Speed(4, 3, 2, 1).seconds(Passes(features=1, head=11, backward=5, through=2)) == 4 + 33 + 10 + 2


def test_layers_and_fused_layers(networks: Networks) -> None:
    layers = ["model.layer=[blocks.5,bn2]", "method=[gradcam]", "metric=[drop]"]
    apart = plan(config(*layers), networks)
    assert [line.layer for line in apart if line.part == EXPLAIN] == ["blocks.5", "bn2"]
    assert [line.passes.head_only for line in apart if line.part == EXPLAIN] == [1, 1]
    fused = by_part(plan(config(*layers, "model.fuse=mean"), networks))
    assert fused["gradcam", EXPLAIN] == (2, 2, 2)  # a pass and a gradient of each layer


def test_a_rehearsed_loop_counts_what_its_first_item_stands_for() -> None:
    budget = Rehearsal()
    seen: list[int] = []

    def inner(chunk: slice) -> Tensor:
        seen.append(budget.stands_for)
        return torch.ones(1, 2)

    def outer(chunk: slice) -> Tensor:
        return in_micro_batches(budget, 5, inner).sum().view(1)

    assert in_micro_batches(budget, 3, outer).tolist() == [10, 10, 10]
    assert seen == [15]
    assert budget.stands_for == 1


def test_a_dry_split_gives_a_gradient_that_is_counted() -> None:
    preprocess = compose_config([]).model.transform
    dry = DrySplit("net", "layer", 10, preprocess, channels=4, side=(3, 3))
    x = torch.zeros(2, 3, 9, 9, requires_grad=True)
    dry.logits(x).sum().backward()
    assert dry.passes == Passes(features=2, head=2, backward=2, through=2)
    given = scoring.forward(dry, torch.zeros(1, 3, 9, 9), torch.tensor([3]), (0,))
    assert (scoring.head_gradient(dry, given) > 0).all()


def test_the_table_and_its_largest_part(networks: Networks) -> None:
    cfg = config("method=[gradcam,scorecam]", "metric=[drop,coherency]")
    text = render(plan(cfg, networks, "cell"), ["A remark."])
    # 20 images: 1280 + 1 + 1280 Score-CAM passes; 1 of Grad-CAM, whose gradient weighs next to nothing; the base pass
    assert "20 images, 51,220 forward passes, 9 min, 100 % of the whole" in text
    assert "| cell | scorecam  |     20 |  51,220 |    0 |        0 |    0.14 |         0.071 |" in text
    assert "| all  |           |        |  51,260 |   40 |       40 |    0.14 |" in text
    assert text.endswith("A remark.")


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run = ["data=ilsvrc2012", "data.limit=500", "method=[reciprocam]", "metric=[drop]", *FEWER_PIXELS]
    assert main([*run, "--rate", "tf_efficientnet_lite0=250", "--output", str(tmp_path / "plan.md")]) == 0
    said = capsys.readouterr().out
    assert said == (tmp_path / "plan.md").read_text()
    assert "reciprocam |    500 |     500 | 4,500 |        0 |" in said
    assert "data.root is not given: planned for the 50,000 validation images" in said


def test_this_machine_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FEWER_PIXELS, "method=[gradcam]", "metric=[complexity]"]) == 0
    speeds = capsys.readouterr().out.split("| network ")[1].splitlines()[2].split("|")
    assert float(speeds[3].replace(",", "")) > 1
    assert float(speeds[4].replace(",", "")) > float(speeds[3].replace(",", ""))  # a head is faster than the features


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--rate", "fast"], "--rate fast: give passes a second"),
        (["--rate", "0"], "--rate 0: give passes a second, above 0"),
        (["--rate", "9", "--rate", "vgg16=9", *FEWER_PIXELS], "--rate vgg16=…: the plan has no such network"),
        (["method=nothing"], "method=nothing: there is no such choice"),
        (["data.limit=0", "--rate", "9"], "data.limit=0"),
    ],
)
def test_a_wrong_option_is_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_rates_by_network() -> None:
    assert parse_rates(["900", "vgg16=450"]) == {"": 900, "vgg16": 450}
    with pytest.raises(CamsbenchError, match="--rate vgg16=: give"):
        parse_rates(["vgg16="])


def test_controls_join_any_methods_once() -> None:
    cfg = compose_config(["method=[gradcam,randomcam]", "metric=[insertion]"])
    both = add_controls(cfg)
    assert list(both.method) == ["gradcam", "randomcam", "fakecam"]
    assert list(cfg.method) == ["gradcam", "randomcam"]
    assert add_controls(both) == both
    assert set(make_methods(both)) == {"gradcam", "randomcam", "fakecam"}
    assert OmegaConf.is_struct(both)
    assert both.metric.insertion.steps == both.protocol.insertion.steps


def test_the_plan_is_of_the_images_that_the_weights_expect(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[DictConfig] = []

    def cut(cfg: DictConfig, runtime: object) -> list[TorchSplit]:
        seen.append(cfg)
        return []

    monkeypatch.setattr("camsbench.run.planning.networks.cut_networks", cut)
    chosen = ["model=torchvision", "model.name=regnet_y_16gf", "model.weights=IMAGENET1K_SWAG_E2E_V1"]
    Networks().cut(compose_config(chosen))
    spec = model_spec(plain(seen[0].model))
    assert (spec.weights, published(spec).transform["crop"]) == ("random", 384)


def test_a_method_that_the_network_is_not_for_is_refused_as_the_run_would(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model=efficientnet_lite0", "method=legrad", "metric=[drop]", "--rate", "100"]) == 1
    assert "method=legrad" in capsys.readouterr().err

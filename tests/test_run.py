"""The main job end to end: rows, resume, refusals, exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest
import torch
import torchvision
from faults import Hold, until
from quick import QUICK, QuickRun, command
from torch import Tensor

import camsbench
from camsbench import CamsbenchError
from camsbench.config.compose import compose_config
from camsbench.core.saliency import normalise
from camsbench.models.split import TorchSplit, cut
from camsbench.session import execute
from camsbench.store.folder import RunFolder

METHODS = "method=[gradcam,smoothgradcampp,groupcam,reciprocam]"
COLUMNS = [
    *("model", "layer", "method", "protocol", "seed", "image_id", "label", "target", "probability"),
    *("drop", "increase", "insertion", "deletion", "coherency", "complexity", "adcc"),
    *("seconds", "degenerate", "error"),
]


def rows_of(output: Path) -> pd.DataFrame:
    return RunFolder(output).rows()


def assert_same_rows(a: pd.DataFrame, b: pd.DataFrame, tolerance: float = 1e-5) -> None:
    keys = ["method", "image_id"]
    left, right = (frame.sort_values(keys).reset_index(drop=True) for frame in (a, b))
    assert not left.duplicated(keys).any()
    pd.testing.assert_frame_equal(left.drop(columns="seconds"), right.drop(columns="seconds"), rtol=0, atol=tolerance)


@pytest.fixture(scope="module")
def reference(quick_run: QuickRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "reference"
    quick_run(output, METHODS, "data.limit=5", "gallery=2")
    return output


def test_a_run_folder_holds_what_it_promises(reference: Path, lite0: TorchSplit, images: Tensor) -> None:
    names = {path.name for path in reference.iterdir() if not path.name.startswith(".")}
    files = {"rows", "maps", "curves", "config.yaml", "environment.json", "manifest.csv", "progress"}
    assert names == files | {"summary.csv", "summary.md", "pairs.csv", "ranking.csv", "gallery.png"}
    curves = RunFolder(reference).curves()
    assert curves.groupby("curve").size().to_dict() == {"insertion_curve": 20, "deletion_curve": 20}
    assert {len(y) for y in curves["y"]} == {5}
    rows = rows_of(reference)
    assert list(rows.columns) == COLUMNS
    assert len(rows) == 20
    assert rows["error"].isna().all()
    assert not rows["degenerate"].any()
    shares = rows[COLUMNS[8:-3]]
    assert ((shares >= 0) & (shares <= 1)).all(axis=None)
    assert set(rows["protocol"]) == {"rise@1"}
    predicted = dict(zip(rows["image_id"].unique(), lite0.logits(images).argmax(1).tolist(), strict=True))
    assert (rows["target"] == rows["image_id"].map(predicted)).all()
    environment = json.loads((reference / "environment.json").read_text())
    assert environment["identity"]["model.weight_hash"] == "5ddd2127c0bca728"
    assert environment["sessions"][0]["packages"]["torch"] == version("torch")
    assert pd.read_csv(reference / "manifest.csv")["image_id"].tolist() == rows["image_id"].unique().tolist()
    assert (reference / "gallery.png").stat().st_size > 50_000
    assert len(list((reference / "maps").glob("*/*/*.png"))) == 8


def test_the_summary_is_the_mean_of_the_rows(reference: Path) -> None:
    rows, summary = rows_of(reference), pd.read_csv(reference / "summary.csv").set_index("method")
    assert summary.index.tolist() == ["gradcam", "smoothgradcampp", "groupcam", "reciprocam"]
    for method, group in rows.groupby("method"):
        line = summary.loc[str(method)]
        assert line["drop"] == pytest.approx(group["drop"].mean())
        assert line["adcc_mean"] == pytest.approx(group["adcc"].mean())
        parts = 1 / group["coherency"].mean() + 1 / (1 - group["complexity"].mean()) + 1 / (1 - group["drop"].mean())
        assert line["adcc"] == pytest.approx(3 / parts)
        assert (line["n"], line["n_error"], line["n_degenerate"]) == (5, 0, 0)
    percent = 100 * rows[rows["method"] == "gradcam"]["drop"].mean()
    assert f"{percent:.2f}" in (reference / "summary.md").read_text()


def test_rows_equal_the_public_call(reference: Path, lite0: TorchSplit, images: Tensor) -> None:
    rows = rows_of(reference).query("method == 'groupcam'")
    called = camsbench.evaluate("groupcam", lite0, images, metrics=["drop", "coherency", "adcc"])
    for column in ("target", "probability", "drop", "coherency", "adcc"):
        assert rows[column].tolist() == pytest.approx(called[column].tolist(), abs=1e-5)


@pytest.mark.parametrize(
    "sizes",
    [
        ["runtime.micro_batch=1"],
        ["runtime.micro_batch=7", "runtime.batch_size=1"],
        ["runtime.micro_batch=64", "runtime.batch_size=5", "runtime.block=2", "runtime.workers=2"],
    ],
)
def test_sizes_do_not_change_a_row(sizes: list[str], reference: Path, quick_run: QuickRun, tmp_path: Path) -> None:
    quick_run(tmp_path / "run", METHODS, "data.limit=5", *sizes)
    assert_same_rows(rows_of(tmp_path / "run"), rows_of(reference))


def test_methods_alone_give_the_rows_of_the_common_run(reference: Path, quick_run: QuickRun, tmp_path: Path) -> None:
    quick_run(tmp_path / "run", "method=smoothgradcampp", "data.subset=null", "data.limit=5")
    common = rows_of(reference).query("method == 'smoothgradcampp'")
    assert_same_rows(rows_of(tmp_path / "run"), common)


@pytest.mark.faults
def test_a_killed_run_goes_on_and_gives_the_same_rows(
    hold: Hold, reference: Path, quick_run: QuickRun, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    hold.allow(calls=4)  # coherency explains each image again
    chosen = [METHODS, "data.limit=5", *hold.options]
    overrides = [f"output='{output}'", *QUICK, *chosen, "runtime.block=1", "runtime.batch_size=1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "camsbench", *overrides], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until(lambda: len(RunFolder(output).parts()) == 2 and hold.held())
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = RunFolder(output).parts()
    assert len(kept) == 2
    hold.release()
    (output / "rows" / ".part-00004.parquet.tmp").write_bytes(b"half a part")  # what a kill in mid-write leaves
    before = {part.name: part.read_bytes() for part in kept}
    quick_run(output, *chosen)
    assert {part.name: part.read_bytes() for part in kept} == before
    assert not list((output / "rows").glob(".*"))
    assert_same_rows(rows_of(output), rows_of(reference))
    assert len(json.loads((output / "environment.json").read_text())["sessions"]) == 2


def test_a_larger_limit_adds_only_what_is_missing(reference: Path, quick_run: QuickRun, tmp_path: Path) -> None:
    output = tmp_path / "run"
    quick_run(output, METHODS, "data.limit=4", "+limits.groupcam=1")
    assert rows_of(output)["method"].value_counts().to_dict() == {
        "gradcam": 4,
        "smoothgradcampp": 4,
        "reciprocam": 4,
        "groupcam": 1,
    }
    assert "compare within the same n" in (output / "summary.md").read_text()
    first = RunFolder(output).parts()[0].read_bytes()
    quick_run(output, METHODS, "data.limit=5")
    assert RunFolder(output).parts()[0].read_bytes() == first
    assert_same_rows(rows_of(output), rows_of(reference))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("seed=1", r"seed was 0 and is 1"),
        ("protocol=poppi", r"protocol\.name was rise and is poppi"),
        ("method.groupcam.groups=16", r"method\.groupcam\.groups was 32 and is 16"),
        ("metric.insertion.steps=5", r"metric\.insertion\.steps was 4 and is 5"),
        ("model.layer=conv_head", r"model\.layer was \['bn2'\] and is \['conv_head'\]"),
        ("model.weights=random", r"model\.weight_hash was 5ddd2127c0bca728"),
        ("target=label", r"target was predicted and is label"),
    ],
)
def test_another_configuration_in_the_same_folder_is_refused(
    change: str, sentence: str, reference: Path, quick_run: QuickRun
) -> None:
    before = {path: path.read_bytes() for path in reference.rglob("*") if path.is_file()}
    with pytest.raises(CamsbenchError, match=rf"{sentence}.*choose another folder with output="):
        quick_run(reference, METHODS, "data.limit=5", change)
    assert {path: path.read_bytes() for path in reference.rglob("*") if path.is_file()} == before


def test_changed_labels_are_refused(quick_run: QuickRun, tmp_path: Path, sample_paths: list[Path]) -> None:
    for wnid in ("n02108422", "n03376595"):
        (tmp_path / "a" / wnid).mkdir(parents=True)
    picture = tmp_path / "a" / "n02108422" / "x.jpg"
    picture.write_bytes(sample_paths[0].read_bytes())
    chosen = ["metric=[drop]", "data=ilsvrc2012", f"data.root='{tmp_path / 'a'}'"]
    quick_run(tmp_path / "run", *chosen)
    picture.rename(tmp_path / "a" / "n03376595" / "x.jpg")
    with pytest.raises(CamsbenchError, match="image x had label 243 and now has label 559: the data changed"):
        quick_run(tmp_path / "run", *chosen)


@pytest.fixture
def damaged(tmp_path: Path, sample_paths: list[Path]) -> Path:
    """Three images in a wnid folder, the second of them cut in half."""
    folder = tmp_path / "data" / "n02108422"
    folder.mkdir(parents=True)
    for i in range(3):
        whole = sample_paths[0].read_bytes()
        (folder / f"{i}.JPEG").write_bytes(whole[: len(whole) // 2] if i == 1 else whole)
    return folder.parent


@pytest.mark.parametrize(("strict", "code"), [("false", 0), ("true", 2)])
def test_one_bad_image_is_a_row_with_its_error(strict: str, code: int, damaged: Path, tmp_path: Path) -> None:
    chosen = ["data=ilsvrc2012", f"data.root={damaged}", "metric=[drop]", "method=[gradcam,reciprocam]", "output=run"]
    done = command(*QUICK, *chosen, "gallery=3", f"strict={strict}", "runtime.workers=1", cwd=tmp_path)
    assert done.returncode == code, done.stderr
    rows = rows_of(tmp_path / "run")
    assert len(rows) == 6
    bad = rows[rows["error"].notna()]
    assert bad["image_id"].tolist() == ["1", "1"]
    assert bad["error"].iloc[0].startswith("cannot read 1.JPEG: OSError: image file is truncated")
    assert bad[["drop", "probability", "seconds", "degenerate"]].isna().all(axis=None)
    summary = pd.read_csv(tmp_path / "run" / "summary.csv")
    assert summary[["n", "n_error"]].values.tolist() == [[2, 1], [2, 1]]
    assert "Warning: 2 rows failed" in done.stdout
    assert "cannot read 1.JPEG" in done.stderr


@pytest.mark.faults
def test_a_network_that_gives_nan_is_an_error_in_every_row(quick_run: QuickRun, tmp_path: Path) -> None:
    state = torchvision.models.resnet18(weights=None).state_dict()
    state["fc.bias"][0] = float("nan")
    torch.save(state, tmp_path / "nan.pth")
    chosen = ["model=resnet18", f"model.weights='{tmp_path / 'nan.pth'}'", "metric=[drop]", "data.limit=2"]
    assert quick_run(tmp_path / "run", *chosen).errors == 2
    rows = rows_of(tmp_path / "run")
    assert set(rows["error"]) == {"a map or a probability holds NaN or infinity"}
    assert rows["drop"].isna().all()


def test_failed_images_are_tried_again_on_demand(
    damaged: Path, quick_run: QuickRun, tmp_path: Path, sample_paths: list[Path]
) -> None:
    chosen = ["data=ilsvrc2012", f"data.root='{damaged}'", "metric=[drop]", "runtime.block=2"]
    assert quick_run(tmp_path / "run", *chosen).errors == 1
    (damaged / "n02108422" / "1.JPEG").write_bytes(sample_paths[0].read_bytes())
    assert quick_run(tmp_path / "run", *chosen).errors == 1
    assert quick_run(tmp_path / "run", *chosen, "retry=true").errors == 0
    rows = rows_of(tmp_path / "run")
    assert rows["image_id"].tolist() == ["0", "1", "2"]
    assert rows["drop"].tolist() == pytest.approx([rows["drop"][0]] * 3, abs=1e-5)  # one picture three times now


@pytest.mark.faults
def test_two_processes_do_not_share_a_folder(quick_run: QuickRun, tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run").locked(), pytest.raises(CamsbenchError, match="in use by another run"):
        quick_run(tmp_path / "run", "data.limit=1", "metric=[complexity]")


def test_the_summary_is_of_the_images_that_were_asked_for(quick_run: QuickRun, tmp_path: Path) -> None:
    quick_run(tmp_path / "run", "metric=[complexity]", "data.limit=3")
    fewer = quick_run(tmp_path / "run", "metric=[complexity]", "data.shuffle=1", "data.limit=2")
    assert fewer.summary["n"].tolist() == [2]
    assert 3 <= len(rows_of(tmp_path / "run")) <= 5


def test_a_gallery_can_be_asked_for_later(quick_run: QuickRun, tmp_path: Path) -> None:
    chosen = ["metric=[complexity]", "data.limit=3"]
    quick_run(tmp_path / "run", *chosen)
    parts = RunFolder(tmp_path / "run").parts()
    quick_run(tmp_path / "run", *chosen, "gallery=2")
    assert RunFolder(tmp_path / "run").parts() == parts
    assert len(list((tmp_path / "run" / "maps" / "bn2" / "gradcam").iterdir())) == 2


def test_several_layers_give_a_row_each_and_the_rows_of_single_runs(
    reference: Path, quick_run: QuickRun, tmp_path: Path
) -> None:
    both = ["model.layer=[blocks.5,bn2]", METHODS, "data.limit=2", "gallery=1"]
    outcome = quick_run(tmp_path / "both", *both)
    rows = rows_of(tmp_path / "both")
    assert rows.groupby("layer").size().to_dict() == {"blocks.5": 8, "bn2": 8}
    assert outcome.summary[["method", "layer"]].values.tolist()[:2] == [["gradcam", "blocks.5"], ["gradcam", "bn2"]]
    expected = rows_of(reference)
    expected = expected[expected["image_id"].isin(rows["image_id"])]
    assert_same_rows(rows[rows["layer"] == "bn2"], expected)
    assert quick_run(tmp_path / "both", *both).errors == 0  # nothing is pending


def test_fused_layers_are_the_mean_of_their_saliencies(
    lite0: TorchSplit, images: Tensor, quick_run: QuickRun, tmp_path: Path
) -> None:
    options = ["model.layer=[blocks.5,bn2]", "model.fuse=mean", "method=gradcam", "metric=[complexity]", "data.limit=2"]
    quick_run(tmp_path / "run", *options)
    rows = rows_of(tmp_path / "run")
    assert rows["layer"].tolist() == ["blocks.5+bn2"] * 2
    deeper = cut(lite0.model, "blocks.5", lite0.preprocess, fold=lite0.options.fold)
    mean = (camsbench.explain("gradcam", deeper, images[:2]) + camsbench.explain("gradcam", lite0, images[:2])) / 2
    unit, _ = normalise(mean)
    assert rows["complexity"].tolist() == pytest.approx(unit.mean((1, 2, 3)).tolist(), abs=1e-5)


def test_targets(quick_run: QuickRun, tmp_path: Path) -> None:
    for target in ("label", "340", "zebra"):
        quick_run(tmp_path / target, f"target={target}", "metric=[drop]", "data.limit=13")
    labelled = rows_of(tmp_path / "label")
    assert (labelled["target"] == labelled["label"]).all()
    assert set(rows_of(tmp_path / "340")["target"]) == set(rows_of(tmp_path / "zebra")["target"]) == {340}


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["data=ilsvrc2012"], "data=ilsvrc2012 needs data.root=DIR"),
        (["data=ilsvrc2012", "data.root=nowhere"], "data.root=nowhere: there is no such folder"),
        (["model=timm"], "need model.name=NAME"),
        (["model.weights=lost.pth"], "there is no file lost.pth"),
        (["model.layer=bn9"], "has no layer 'bn9'"),
        (["model.fuse=max"], "model.fuse=max: choose mean, or null"),
        (["model.layer=[bn2,bn2]"], "name one layer or several different ones"),
        (["model=vgg16"], "could not download the weights of vgg16"),
        (["runtime.device=cuda:9"], "runtime.device=cuda:9: PyTorch sees"),
        (["runtime.micro_batch=0"], "runtime.micro_batch=0: give a number from 1 up"),
        (["runtime.batch_size=0"], "runtime.batch_size=0"),
        (["runtime.precision=fp8"], "runtime.precision=fp8: choose one of fp32, tf32"),
        (["method=groupcam", "method.groupcam.groups=0"], "method.groupcam: groups=0"),
        (["metric=insertion", "metric.insertion.steps=0"], "metric.insertion: steps is 0"),
        (["target=everything"], "target=everything: choose predicted, label, or a class: class 'everything': no class"),
        (["target=1000"], "target=1000: tf_efficientnet_lite0 has classes 0 to 999"),
        (["protocol.saliency.order=never"], "protocol.saliency: order is 'never'"),
        (["method=[]"], "method: choose at least one, such as method=[gradcam]"),
        (["+limits.gradcam=0"], "limits.gradcam=0"),
        (["data.limit=0"], "data.limit=0"),
        (["data.limit=many"], "data.limit=many"),
        (["data.shuffle=yes"], "data.shuffle=yes: give a whole number"),
        (["+limits.gradcm=5"], "limits.gradcm: there is no such method in this run; it has gradcam"),
        (["runtime.device=mps"], "runtime.device=mps: give auto, cpu, cuda or cuda:N"),
    ],
)
def test_a_wrong_option_is_one_sentence(
    overrides: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # no cached weights, and a proxy where nobody answers
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CamsbenchError) as raised:
        execute(compose_config(overrides))
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_missing_weights_offline_end_with_one_sentence_and_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    done = command("model=vgg16", cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("camsbench: model.weights=IMAGENET1K_V1: could not download the weights of vgg16")
    assert "vgg16-397923af.pth elsewhere and put it at" in line
    assert line.endswith("or give model.weights=PATH or model.weights=random")
    assert not list(tmp_path.rglob("*.hydra"))


def test_a_failing_job_of_a_sweep_does_not_stop_the_others(tmp_path: Path) -> None:
    done = command("-m", "model.layer=bn9,bn2", "data.limit=1", "metric=[complexity]", *QUICK, cwd=tmp_path)
    assert done.returncode == 1
    assert "has no layer 'bn9'" in done.stderr
    (made,) = [path for path in (tmp_path / "results").iterdir() if path.name != ".sweep"]
    assert made.name.startswith("tf_efficientnet_lite0-samples-gradcam-rise-")
    assert len(rows_of(made)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["results"]  # nothing else lies about


def test_unknown_names_are_answered_with_the_choices(tmp_path: Path) -> None:
    done = command("method=gradcm", cwd=tmp_path)
    assert done.returncode == 1
    assert "reciprocam" in done.stderr
    assert "Traceback" not in done.stderr

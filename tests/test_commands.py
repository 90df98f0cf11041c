"""The small commands: one image explained, the choices listed, misspelt names answered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf
from PIL import Image
from quick import command

from camsbench import CamsbenchError, audit, check, ls, plan, show, status
from camsbench.config import catalogue
from camsbench.config import help as help_
from camsbench.config.compose import compose_config
from camsbench.config.paths import CONF
from camsbench.config.suggest import compose_or_suggest, suggest_nearest
from camsbench.data.classes import Classes
from camsbench.run.progress import Progress
from camsbench.store.shares import Shard


def test_a_picture_is_explained(sample_paths: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "maps.png"
    code = show.main([str(sample_paths[0]), "method=[gradcam,reciprocam]", "--output", str(out)])
    printed = capsys.readouterr().out.splitlines()
    assert code == 0
    assert len(printed) == 6
    assert "243  bull mastiff  <- explained" in printed[0]
    shares = [float(line.split()[0]) for line in printed[:5]]
    assert shares == sorted(shares, reverse=True)
    assert 50 < shares[0] <= 100
    assert printed[5] == f"maps: {out}"
    drawn = np.asarray(Image.open(out).convert("RGB"))
    assert drawn.shape[1] > 2 * drawn.shape[0]  # the picture and two maps beside each other
    assert drawn.std() > 30


def test_another_class_gives_another_map(sample_paths: list[Path], tmp_path: Path) -> None:
    made = [show.show(sample_paths[0], ["method=gradcam"], t, tmp_path / f"{t}.png") for t in (None, "zebra", "243")]
    assert [one.target for one in made] == [243, 340, 243]
    predicted, zebra, same = (np.asarray(Image.open(one.path).convert("RGB")).astype(float) for one in made)
    assert (predicted == same).all()
    assert predicted.shape != zebra.shape or np.abs(predicted - zebra).max() > 50


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none.jpg"], "none.jpg: there is no such picture"),
        (["text.jpg"], "text.jpg: cannot read text.jpg: UnidentifiedImageError"),
        (["PHOTO", "--target", "zebrra"], "class 'zebrra': no class of ImageNet has this name; near are zebra"),
        (["PHOTO", "--target", "1000"], "class 1000: the network has classes 0 to 999"),
        (["PHOTO", "method=gradcm"], "method=gradcm: there is no such choice; near are gradcam"),
        (["PHOTO", "model.layer=bn9"], "has no layer 'bn9'"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    arguments: list[str],
    sentence: str,
    sample_paths: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.jpg").write_text("no picture")
    assert show.main([str(sample_paths[0]) if one == "PHOTO" else one for one in arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("camsbench.show: ")
    assert sentence in line


def test_classes_by_name() -> None:
    imagenet = Classes()
    assert {imagenet.index(said) for said in ("zebra", "Zebra ", "340", "n02391049")} == {340}
    assert imagenet.index("Tinca tinca") == 0
    assert all(imagenet.name(imagenet.index(str(index))) for index in range(1000))
    with pytest.raises(CamsbenchError, match=r"'crane' is the name of several: give the index, one of 134 .*517 "):
        imagenet.index("crane")
    with pytest.raises(CamsbenchError, match="this network's classes have no names here; give an index"):
        Classes(10).index("zebra")
    own = Classes(3, ("cat", "7", "Dog"))
    assert [own.index(said) for said in ("cat", "7", "dog", "2")] == [0, 1, 2, 2]
    assert own.name(2) == "Dog"
    assert own.name(None) == "none"
    with pytest.raises(CamsbenchError, match="no class of the network has this name; near are dog"):
        own.index("dogs")


@pytest.mark.parametrize("group", catalogue.GROUPS)
def test_every_choice_is_listed_with_a_line(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ls.main([group]) == 0
    lines = capsys.readouterr().out.partition("\n\n")[0].splitlines()  # behind them, where networks are cut
    files = {path.stem for path in (CONF / catalogue.GROUPS[group]).glob("*.yaml")}
    assert {line.split()[0] for line in lines} == files
    assert all(len(line.split()) > 2 for line in lines), "a choice without a word about it"


def test_the_groups_are_listed_and_a_misspelt_one_is_answered(capsys: pytest.CaptureFixture[str]) -> None:
    assert ls.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[3] for line in lines] == list(catalogue.GROUPS)
    assert ls.main(["model"]) == 0
    assert "resnet50" in capsys.readouterr().out
    assert ls.main(["modles"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("camsbench.ls: modles: there is no such group; near is models; choose methods, ")


@pytest.mark.parametrize("group", ["methods", "metrics"])
def test_a_choice_says_what_its_class_says_of_itself(group: str) -> None:
    for name, line in ls.choices(group):
        text = (CONF / catalogue.GROUPS[group] / f"{name}.yaml").read_text()
        if not text.startswith("#") and "_target_" in text:
            made = resolve_name(yaml.safe_load(text)[name]["_target_"])
            assert line == made.__doc__.splitlines()[0].rstrip(".")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["method=gradcm"], "method=gradcm: there is no such choice; near are gradcam"),
        (["method=[abscam,recipcam]"], "method=recipcam: there is no such choice; near are reciprocam"),
        (["-m", "model=resnet50,resnt18"], "model=resnt18: there is no such choice; near are resnet18"),
        (["runtime/executor=rya"], "runtime/executor=rya: there is no such choice; near are ray"),
        (["runtime.batchsize=3"], "runtime.batchsize: there is no such option; near are runtime.batch_size"),
        (["metric=insertion", "metric.insertion.step=5"], "near are metric.insertion.steps"),
        (["limit=5"], "limit: there is no such option; near are limits, data.limit"),
    ],
)
def test_misspelt_names_are_answered_with_the_nearest(arguments: list[str], sentence: str) -> None:
    (said,) = suggest_nearest(arguments)
    assert sentence in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["modle=resnet50"], "modle: there is no such option; near are model"),
        (["exprment=demo"], "exprment: there is no such option; near are experiment"),
        (["runtime/exector=ray"], "near are runtime/executor"),
        (["experiment=abscam_figre4"], "experiment=abscam_figre4: there is no such choice; near are abscam_figure4"),
        (
            ["data=imagenet"],
            "data=imagenet: there is no such choice; choose coco, folder, ilsvrc2012, planted, samples, table, voc;",
        ),
        (["metric.insertion.stepz=5"], "near are metric.insertion.steps"),
        (["data.lmit=5"], "data.lmit: there is no such option; near are data.limit"),
        (["limits.scorecam=5"], "limits.scorecam: it is to be added: ++limits.scorecam=5"),
        (["metric=[road]", "metric.insertion.steps=5"], "this run has no metric=insertion; its metric is road"),
    ],
)
def test_so_are_groups_experiments_and_what_a_run_lacks(arguments: list[str], sentence: str) -> None:
    with pytest.raises(CamsbenchError) as refused:
        compose_or_suggest(arguments)
    assert sentence in str(refused.value)


def test_right_names_are_not_spoken_of() -> None:
    assert suggest_nearest(["method=[gradcam,abscam]", "+limits.gradcam=5", "data.limit=3", "-m", "seed=1,2"]) == []


def test_the_command_line_says_the_nearest_last(tmp_path: Path) -> None:
    done = command("metric.drop.formla=x", cwd=tmp_path)
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .startswith("camsbench: metric.drop.formla: there is no such option; near are metric.drop.formula")
    )


def test_help_names_every_choice_and_fits_the_terminal() -> None:
    for width in (72, 100, 118):
        said = help_.text(width)
        assert max(map(len, said.splitlines())) <= max(width, 84)  # examples are not broken
    words = set(said.replace("*", "").split())
    for group in catalogue.GROUPS:
        for name, _ in ls.choices(group):
            assert name in words, f"{group}: {name}"
    for word in ("Exit code", "goes on where a killed run", "--cfg job", "rise*", "gradcam*", "local*", "samples*"):
        assert word in said


def test_help_s_options_are_there() -> None:
    known = [compose_config([f"data={name}"]) for name in ("ilsvrc2012", "table")]
    known.append(compose_config(["model=timm", "model.name=resnet18"]))
    for option, _ in help_.OPTIONS:
        key = option.lstrip("+").partition("=")[0]
        if key.startswith("limits."):
            continue
        parent, _, name = key.rpartition(".")
        found = [list(OmegaConf.select(cfg, parent) if parent else cfg) for cfg in known]
        assert any(name in each for each in found), option  # a value that is missing counts: list(), not "in"


def test_help_s_examples_compose() -> None:
    for example, _ in help_.EXAMPLES:
        if "-m" not in example:
            compose_or_suggest([one.strip("'") for one in example.split()])


@pytest.mark.parametrize(
    ("main", "arguments", "sentence"),
    [
        (check.main, ["/nowhere"], "camsbench.check: data.root=/nowhere: there is no such folder or file"),
        (plan.main, ["experiment=demoo"], "camsbench.plan: experiment=demoo: there is no such choice; near are demo"),
        (status.main, ["/nowhere"], "camsbench.status: /nowhere is no run folder"),
        (audit.main, ["--output", "FILE/audit.md"], "camsbench.audit: FILE/audit.md: cannot be written"),
        (show.main, ["nowhere.jpg"], "camsbench.show: nowhere.jpg: there is no such picture"),
    ],
)
def test_a_wrong_path_is_one_sentence(
    main: Callable[[list[str]], int | None],
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("")
    try:
        code = main(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else None
    assert code == 1
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith(sentence)
    assert printed.out == ""


@pytest.mark.parametrize("main", [ls.main, check.main, plan.main, status.main, audit.main, show.main])
def test_every_command_s_help_has_an_example(
    main: Callable[[list[str]], int | None], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    assert capsys.readouterr().out.count("python -m camsbench.") > 1  # the usage, and an example


def test_no_bar_where_there_is_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(tmp_path, Shard(), [], "run", 60.0) as progress:
        progress.start_clock()
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""

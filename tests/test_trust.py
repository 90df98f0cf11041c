"""A configuration given by somebody else calls nothing that its user did not allow."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from quick import command

import camsbench
from camsbench import CamsbenchError
from camsbench.config.compose import compose_config
from camsbench.config.images import choose_images
from camsbench.config.instantiate import make_methods, make_metrics
from camsbench.config.trust import check_config_folders, check_targets

PLUGIN = """
from dataclasses import dataclass
from typing import ClassVar

@dataclass(frozen=True)
class MeanActivation:
    needs: ClassVar[frozenset] = frozenset()

    def __call__(self, split, forward):
        return forward.A.mean(1)
"""


def given(group: str, target: str, **options: Any) -> Any:
    """A configuration whose YAML names ``target``."""
    cfg = compose_config(["metric=[drop]", "method=gradcam"])
    OmegaConf.set_struct(cfg, False)
    node = cfg[group] if group == "data" else next(iter(cfg[group].values()))
    node.clear()
    node._target_ = target
    node.update(options)
    return cfg


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("os.system", r"_target_ os\.system is not of camsbench\.methods; .*CAMSBENCH_PLUGINS=os"),
        ("builtins.eval", "CAMSBENCH_PLUGINS=builtins"),
        ("camsbench.store.write_text", r"is not of camsbench\.methods"),  # ours, and would write a file
        ("camsbench.methods.scorecam.torch.load", r"is not of camsbench\.methods but of torch"),
        ("camsbench.methods.nothing.Here", r"there is no camsbench\.methods\.nothing\.Here"),
        ("camsbench.methodsx.Here", r"is not of camsbench\.methods"),
    ],
)
def test_other_code_is_refused(target: str, says: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    with pytest.raises(CamsbenchError, match=rf"method\.\w+: .*{says}"):
        make_methods(given("method", target, _args_=[f"touch {canary}"]))
    with pytest.raises(CamsbenchError, match=r"metric\.drop: "):
        make_metrics(given("metric", target, _args_=[f"touch {canary}"]))
    with pytest.raises(CamsbenchError, match=r"data: "):
        choose_images(given("data", target, _args_=[f"touch {canary}"]).data)
    assert not canary.exists()


def test_targets_inside_options_count(tmp_path: Path) -> None:
    inner = {"_target_": "camsbench.methods.gradcam.GradCAM", "a": [{"b": {"_target_": "os.getcwd"}}]}
    with pytest.raises(CamsbenchError, match=r"os\.getcwd is not of"):
        check_targets("method", "method.x", inner)


def test_a_package_that_the_user_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_methods.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    cfg = given("method", "my_methods.MeanActivation")
    with pytest.raises(CamsbenchError, match="CAMSBENCH_PLUGINS=my_methods"):
        make_methods(cfg)
    assert "my_methods" not in sys.modules  # refused before it is imported
    monkeypatch.setenv("CAMSBENCH_PLUGINS", "others, my_methods")
    (made,) = make_methods(cfg).values()
    assert type(made).__name__ == "MeanActivation"


def test_everything_that_camsbench_ships_is_its_own() -> None:
    assert len(make_methods(compose_config(["experiment=all_methods"]))) > 30


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hydra: {callbacks: {evil: {_target_: os.system, command: id}}}", "_target_: os.system"),
        ("a: [{b: {_target_: builtins.eval}}]", "_target_: builtins.eval"),
        ("_target_: ${oc.env:X}", "_target_: ${oc.env:X}"),
        ("hydra: {job_logging: {handlers: {h: {(): subprocess.Popen, args: id}}}}", "(): subprocess.Popen"),
        ("handlers: {h: {class: os.popen}}", "class: os.popen"),
    ],
)
@pytest.mark.parametrize(
    "flag", ["--config-dir={}", "--config-dir {}", "-cd {}", "--config-d={}", "hydra.searchpath=[file://{}]"]
)
def test_a_folder_of_files_by_somebody_else(text: str, said: str, flag: str, tmp_path: Path) -> None:
    (tmp_path / "given" / "experiment").mkdir(parents=True)
    (tmp_path / "given" / "experiment" / "x.yaml").write_text(f"# @package _global_\n{text}\n")
    arguments = flag.format(tmp_path / "given").split(" ")
    with pytest.raises(CamsbenchError, match=re.escape(said)) as raised:
        check_config_folders(["experiment=x", *arguments])
    assert "CAMSBENCH_PLUGINS=" in str(raised.value)


def test_a_folder_of_harmless_files_is_composed(tmp_path: Path) -> None:
    (tmp_path / "given" / "method").mkdir(parents=True)
    (tmp_path / "given" / "method" / "mine.yaml").write_text("mine: {_target_: camsbench.methods.gradcam.GradCAM}\n")
    check_config_folders([f"--config-dir={tmp_path / 'given'}", "method=mine"])


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("hydra.searchpath=[pkg://somebody/conf]", r"pkg://somebody/conf: the package is not allowed; .*=somebody"),
        ("hydra.searchpath=[file://a],[file://b]", "give one list of folders"),
    ],
)
def test_a_search_path_that_cannot_be_looked_through(argument: str, said: str) -> None:
    with pytest.raises(CamsbenchError, match=said):
        check_config_folders([argument])


def test_the_command_line_refuses_before_hydra_calls_anything(tmp_path: Path) -> None:
    (tmp_path / "given" / "experiment").mkdir(parents=True)
    touch = f"{{_target_: pathlib.Path.touch, self: {{_target_: pathlib.Path, _args_: [{tmp_path / 'called'}]}}}}"
    text = f"# @package _global_\nhydra: {{callbacks: {{evil: {touch}}}}}\n"
    (tmp_path / "given" / "experiment" / "x.yaml").write_text(text)
    done = command("--config-dir", str(tmp_path / "given"), "experiment=x", cwd=tmp_path)
    assert done.returncode == 1
    assert "_target_: pathlib.Path.touch is not of camsbench, Hydra or logging" in done.stderr
    assert not (tmp_path / "called").exists()


class Evil:
    """Unpickled without care it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("weights", ["IMAGENET1K_V1", "own"])
def test_weights_run_no_code(weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"  # where torchvision would keep its own
    path.parent.mkdir(parents=True)
    torch.save({"fc.weight": Evil(tmp_path / "called")}, path)
    with pytest.raises(CamsbenchError, match="resnet18"):
        camsbench.load_model("resnet18", weights=str(path) if weights == "own" else weights, device="cpu")
    assert not (tmp_path / "called").exists()

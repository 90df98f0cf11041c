"""A configuration given by somebody else calls nothing that its user did not allow."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from camsbench import CamsbenchError
from camsbench.config import compose_config, explainers, images_of, measures
from camsbench.trust import check_targets

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
        explainers(given("method", target, _args_=[f"touch {canary}"]))
    with pytest.raises(CamsbenchError, match=r"metric\.drop: "):
        measures(given("metric", target, _args_=[f"touch {canary}"]))
    with pytest.raises(CamsbenchError, match=r"data: "):
        images_of(given("data", target, _args_=[f"touch {canary}"]).data)
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
        explainers(cfg)
    assert "my_methods" not in sys.modules  # refused before it is imported
    monkeypatch.setenv("CAMSBENCH_PLUGINS", "others, my_methods")
    (made,) = explainers(cfg).values()
    assert type(made).__name__ == "MeanActivation"


def test_everything_that_camsbench_ships_is_its_own() -> None:
    assert len(explainers(compose_config(["experiment=all_methods"]))) > 30

"""What was typed becomes a configuration: paths in quotes, groups and options composed, controls added."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf, open_dict

from camsbench.config.paths import CONF

MODEL_PATHS = ("model.weights", "model.file", "model.classes", "model.text")
DATA_PATHS = ("data.root", "data.labels", "data.boxes", "data.masks", "data.subset", "data.file")
PATHS = (*DATA_PATHS, "output", "runtime.cache", *MODEL_PATHS)
PLAIN = re.compile(r"[\w./:@%-]*")
SWEEPS = {"-m", "--multirun"}
CONTROLS = ("fakecam", "randomcam")


def compose_config(overrides: Sequence[str] = ()) -> DictConfig:
    """The configuration that the command line would compose from the same overrides."""
    outer = GlobalHydra.instance().hydra  # a caller may be a Hydra application itself
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
            return compose("config", overrides=list(overrides))
    finally:
        GlobalHydra.instance().hydra = outer


def quote_paths(arguments: Sequence[str]) -> list[str]:
    """The arguments with the values of options that are paths in quotes, where Hydra would read them as something else.

    A value that is quoted already stays, and so do interpolations, and in a sweep what has commas: several values.
    """
    sweep = bool(SWEEPS & set(arguments))
    return [_quoted(argument, sweep) for argument in arguments]


def _quoted(argument: str, sweep: bool) -> str:
    option, equals, value = argument.partition("=")
    if not equals or option.lstrip("+") not in PATHS or PLAIN.fullmatch(value):
        return argument
    if value[0] in "'\"[" or "${" in value or (sweep and "," in value):
        return argument
    return f"{option}='" + re.sub(r"(\\*)'", r"\1\1\\'", value) + _closing(value)


def _closing(value: str) -> str:
    """The closing quote; backslashes before it are doubled, which would escape it."""
    ends = len(value) - len(value.rstrip("\\"))
    return "\\" * ends + "'"


def add_controls(cfg: DictConfig) -> DictConfig:
    """A configuration with FakeCAM and the random map after its methods; methods that it has stay as they are."""
    copy = cfg.copy()
    with open_dict(copy):
        for name in CONTROLS:
            if name not in copy.method:
                copy.method = OmegaConf.merge(copy.method, OmegaConf.load(CONF / "method" / f"{name}.yaml"))
    return copy

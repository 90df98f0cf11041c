"""Folders of configuration files that somebody else gave: looked through before Hydra composes anything of them.

What a run instantiates is checked where that is done (``camsbench.trust``). Hydra itself, however, instantiates its
callbacks, launcher, sweeper and logging before the run begins, wherever a file puts them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from camsbench.errors import CamsbenchError
from camsbench.trust import HOMES, VARIABLE, plugins, within

OWN = tuple(home for homes in HOMES.values() for home in homes)
HYDRAS = ("hydra._internal.core_plugins", "hydra.experimental.callbacks", "hydra_plugins")
LOGGING = ("logging", "colorlog")
FLAGS = ("--config-dir", "-cd", "--config-path", "-cp")
SEARCHPATH = "hydra.searchpath="


def check_foreign(arguments: Sequence[str]) -> None:
    """Refuse arguments whose folders hold a file that would have Hydra call what nobody allowed.

    Raises:
        CamsbenchError: there is one.
    """
    for place in _places(arguments):
        scheme, _, rest = place.rpartition("://")
        if scheme == "pkg":
            if not within(rest.replace("/", "."), (*OWN, *plugins(), "hydra", "hydra_plugins")):
                raise CamsbenchError(_remedy(f"{SEARCHPATH}{place}: the package is not allowed", rest.split("/")[0]))
            continue
        for file in sorted(path for path in Path(rest).expanduser().rglob("*") if path.suffix in {".yaml", ".yml"}):
            for said, package in _calls(_read(file)):
                raise CamsbenchError(_remedy(f"{file}: {said} is not of camsbench, Hydra or logging", package))


def _places(arguments: Sequence[str]) -> Iterator[str]:
    given = iter(arguments)
    for argument in given:
        flag, equals, value = argument.partition("=")
        if flag in FLAGS:
            yield value if equals else next(given, "")
        elif flag[:3] in FLAGS and not flag.startswith("--"):  # -cdFOLDER
            yield argument[3:]
        elif argument.lstrip("+").startswith(SEARCHPATH):
            listed = argument.partition("=")[2].strip("[]")
            yield from (each.strip().strip("'\"") for each in listed.split(",") if each.strip())


def _read(file: Path) -> Any:
    try:
        return yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CamsbenchError(f"{file} cannot be read as YAML: {str(error).splitlines()[0]}") from error


def _calls(node: Any) -> Iterator[tuple[str, str]]:
    """What a file would have called that is not allowed, and the package that would have to be."""
    if isinstance(node, list):
        for value in node:
            yield from _calls(value)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        allowed = {"_target_": (*OWN, *HYDRAS), "()": LOGGING, "class": LOGGING}.get(str(key))
        if allowed is not None and isinstance(value, str) and not within(value, (*allowed, *plugins())):
            yield f"{key}: {value}", value.partition(".")[0]
        yield from _calls(value)


def _remedy(said: str, package: str) -> str:
    return f"{said}; if you trust it, allow its package with the environment variable {VARIABLE}={package}"

"""What a configuration may call: this project's methods, metrics and sources, and packages allowed on purpose.

Hydra's ``_target_`` names anything that Python can import, so that a YAML given by somebody else could run anything.
What a run instantiates is checked where that is done. Hydra itself, however, instantiates its callbacks, launcher,
sweeper and logging before the run begins, wherever a file puts them: so folders of configuration files that somebody
else gave are looked through before Hydra composes anything of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import yaml

from camsbench.errors import CamsbenchError

VARIABLE = "CAMSBENCH_PLUGINS"
HOMES = {
    "method": ("camsbench.methods",),
    "metric": ("camsbench.metrics",),
    "data": ("camsbench.data",),
}


def plugins() -> tuple[str, ...]:
    """The packages that the environment variable ``CAMSBENCH_PLUGINS`` allows, with commas between.

    Not a field of the configuration: that is what must not decide.
    """
    return tuple(name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip())


def check_targets(group: str, option: str, node: Any) -> None:
    """Refuse a ``_target_`` anywhere in a plain node that is neither of the group's own nor of an allowed package.

    Raises:
        CamsbenchError: there is one; ``option`` says where.
    """
    for target in _targets(node):
        if within(target, plugins()):
            continue
        own = HOMES[group]
        if not within(target, own):
            raise CamsbenchError(
                f"{option}: _target_ {target} is not of {own[0]}; if you trust it, allow its package with the "
                f"environment variable {VARIABLE}={target.partition('.')[0]}"
            )
        try:
            module = getattr(resolve_name(target), "__module__", "")
        except (ImportError, AttributeError, ValueError) as error:
            raise CamsbenchError(f"{option}: there is no {target}: {str(error).splitlines()[0]}") from error
        if not within(module, own):  # such as what one of our modules imports
            raise CamsbenchError(f"{option}: _target_ {target} is not of {own[0]} but of {module}")


def within(name: str, packages: tuple[str, ...]) -> bool:
    """Whether a dotted name is one of ``packages`` or lies in one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield str(node["_target_"])
        for value in node.values():
            yield from _targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from _targets(value)


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

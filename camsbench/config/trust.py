"""What a configuration may call: this project's methods, metrics and sources, and packages allowed on purpose.

Hydra's ``_target_`` names anything that Python can import, so that a YAML given by somebody else could run anything.
What a run instantiates is checked where that is done. Hydra itself, however, instantiates its callbacks, launcher,
sweeper and logging before the run begins, wherever a file puts them: so folders of configuration files that somebody
else gave are looked through before Hydra composes anything of them.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import yaml
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

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
    for target in targets(node):
        if within(target, plugins()):
            continue
        own = HOMES[group]
        if not within(target, own):
            raise CamsbenchError(f"{option}: _target_ {target} is not of {own[0]}; {_remedy(target.partition('.')[0])}")
        try:
            module = getattr(resolve_name(target), "__module__", "")
        except (ImportError, AttributeError, ValueError) as error:
            raise CamsbenchError(f"{option}: there is no {target}: {str(error).splitlines()[0]}") from error
        if not within(module, own):  # such as what one of our modules imports
            raise CamsbenchError(f"{option}: _target_ {target} is not of {own[0]} but of {module}")


def check_plugin(option: str, target: str) -> None:
    """Refuse what is not of a package that ``CAMSBENCH_PLUGINS`` allows; nothing is imported.

    Raises:
        CamsbenchError: it is not; ``option`` says where it stands.
    """
    dotted = target.replace(":", ".")
    if not within(dotted, plugins()):
        raise CamsbenchError(f"{option}={target}: the package is not allowed; {_remedy(dotted.partition('.')[0])}")


def targets(node: Any) -> list[str]:
    """Every ``_target_`` anywhere in a plain node."""
    return [target for _, target in _find(node, {"_target_"})]


def within(name: str, packages: tuple[str, ...]) -> bool:
    """Whether a dotted name is one of ``packages`` or lies in one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


HYDRAS = ("hydra._internal.core_plugins", "hydra.experimental.callbacks", "hydra_plugins")
LOGGING = ("logging", "colorlog")
CALLS = {  # the keys of a file that have something called, and whose it may be
    "_target_": (*(home for homes in HOMES.values() for home in homes), *HYDRAS),
    "()": LOGGING,
    "class": LOGGING,
}
SEARCHPATH = "hydra.searchpath="


def check_config_folders(arguments: Sequence[str]) -> None:
    """Refuse folders of the command line that hold a file which would have Hydra call what nobody allowed.

    Raises:
        CamsbenchError: there is one.
    """
    for place in _config_folders(arguments):
        scheme, _, rest = place.rpartition("://")
        if scheme == "pkg":
            if not within(rest.replace("/", "."), ("hydra", "hydra_plugins", *plugins())):
                raise CamsbenchError(f"{SEARCHPATH}{place}: the package is not allowed; {_remedy(rest.split('/')[0])}")
            continue
        for file in sorted(path for path in Path(rest).expanduser().rglob("*") if path.suffix in {".yaml", ".yml"}):
            for key, name in _find(_read(file), CALLS):
                if not within(name, (*CALLS[key], *plugins())):
                    said = f"{file}: {key}: {name} is not of camsbench, Hydra or logging"
                    raise CamsbenchError(f"{said}; {_remedy(name.partition('.')[0])}")


def _config_folders(arguments: Sequence[str]) -> Iterator[str]:
    """The folders that Hydra will read, found by its own parsers: an abbreviated flag counts, too."""
    given, _ = get_args_parser().parse_known_args(list(arguments))
    yield from filter(None, (given.config_dir, given.config_path))
    for text in given.overrides:
        if text.lstrip("+").startswith(SEARCHPATH):
            try:
                folders = OverridesParser.create().parse_override(text).value()
            except HydraException:
                folders = None
            if not isinstance(folders, list):
                raise CamsbenchError(f"{text}: give one list of folders, such as {SEARCHPATH}[file://DIR]")
            yield from map(str, folders)


def _read(file: Path) -> Any:
    try:
        return yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CamsbenchError(f"{file} cannot be read as YAML: {str(error).splitlines()[0]}") from error


def _find(node: Any, keys: Collection[str]) -> Iterator[tuple[str, str]]:
    """Those keys anywhere in a plain node, each with its value."""
    for key, value in node.items() if isinstance(node, dict) else ():
        if key in keys and not isinstance(value, dict | list):
            yield key, str(value)
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _find(value, keys)


def _remedy(package: str) -> str:
    return f"if you trust it, allow its package with the environment variable {VARIABLE}={package}"

"""What a configuration may call: this project's methods, metrics and sources, and packages allowed on purpose.

Hydra's ``_target_`` names anything that Python can import, so that a YAML given by somebody else could run anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pkgutil import resolve_name
from typing import Any

from camsbench.errors import CamsbenchError

VARIABLE = "CAMSBENCH_PLUGINS"
HOMES = {
    "method": ("camsbench.methods", "camsbench.methods.inpaint"),
    "metric": ("camsbench.metrics",),
    "data": ("camsbench.data.imagenet", "camsbench.data"),
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

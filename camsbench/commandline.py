"""Paths as people type them: Hydra's grammar has a meaning of its own for spaces, brackets, ``=`` and commas."""

from __future__ import annotations

import re
from collections.abc import Sequence

PATHS = ("data.root", "data.labels", "data.boxes", "data.subset", "output", "model.weights", "runtime.cache")
PLAIN = re.compile(r"[\w./:@%-]*")
SWEEPS = {"-m", "--multirun"}


def quoted(arguments: Sequence[str]) -> list[str]:
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

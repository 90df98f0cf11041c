"""Where the numbers of a report come from: what each run chose, who ran it with what, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from camsbench.report.saved_run import SavedRun


@dataclass(frozen=True)
class Provenance:
    """A run's choices (flat) and its sessions, each as pairs of a name and a text."""

    name: str
    short: str
    choices: list[tuple[str, str]]
    sessions: list[list[tuple[str, str]]]


def provenance(run: SavedRun) -> Provenance:
    """What ``environment.json`` says of a run."""
    choices = [(key, _text(value)) for key, value in run.identity.items()]
    sessions = [list(_flat(session)) for session in run.sessions]
    last = run.sessions[-1]
    short = f"camsbench {last['camsbench']}, torch {last['packages'].get('torch')}, {last['device']}, {last['started']}"
    return Provenance(run.path.name, short, choices, sessions)


def _flat(node: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    made: list[tuple[str, str]] = []
    for key, value in node.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            made += _flat(value, f"{name}.")
        elif value is not None:
            made.append((name, _text(value)))
    return made


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(map(_text, value)) if value else "none"
    return str(value).replace("True", "true").replace("False", "false").replace("None", "null")

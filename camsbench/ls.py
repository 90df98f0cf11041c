"""``python -m camsbench.ls GROUP``: the choices of a group, a line each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import yaml

from camsbench.config import CONF

GROUPS = {
    "methods": "method",
    "metrics": "metric",
    "models": "model",
    "protocols": "protocol",
    "data": "data",
    "experiments": "experiment",
    "executors": "runtime/executor",
}


def choices(group: str) -> Iterator[tuple[str, str]]:
    """Each choice of a group (a key of ``GROUPS``), and what it is in one line."""
    for file in sorted((CONF / GROUPS[group]).glob("*.yaml")):
        yield file.stem, _said(file)


def _said(file: Path) -> str:
    """The file's first comment; else the first line of what it builds, or what it names."""
    text = file.read_text()
    comments = [line[1:].strip() for line in text.splitlines() if line.startswith("#") and "@package" not in line]
    if comments:
        return comments[0]
    content: dict[str, Any] = yaml.safe_load(text) or {}
    if "defaults" in content:
        return "together: " + ", ".join(str(name) for name in content["defaults"] if name != "_self_")
    targets = [one["_target_"] for one in [content, *content.values()] if isinstance(one, dict) and "_target_" in one]
    if targets:
        return (resolve_name(targets[0]).__doc__ or "").strip().splitlines()[0]
    return ", ".join(f"{key} {content[key]}" for key in ("weights", "layer", "top1") if content.get(key) is not None)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m camsbench.ls", description="The choices of a group, a line each.")
    parser.add_argument("group", choices=GROUPS, help="which: %(choices)s", metavar="GROUP")
    found = list(choices(parser.parse_args(arguments).group))
    width = max(len(name) for name, _ in found)
    for name, said in found:
        print(f"{name:<{width}}  {said}".rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The choices of each group of the configuration, and what each is in one line; none of them is imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from camsbench.config.paths import CONF, PACKAGE

GROUPS = {
    "methods": "method",
    "metrics": "metric",
    "models": "model",
    "protocols": "protocol",
    "data": "data",
    "experiments": "experiment",
    "executors": "runtime/executor",
}
ABOUT = {
    "methods": "what explains the network: method=NAME or method=[NAME,NAME]",
    "metrics": "what is measured of each map: metric=NAME or metric=[NAME,NAME]",
    "models": "the network that is explained: model=NAME",
    "protocols": "how maps are made and measured, after whom: protocol=NAME",
    "data": "the images: data=NAME",
    "experiments": "tables and figures of the papers: experiment=NAME",
    "executors": "who does the work: runtime/executor=NAME",
}
END = re.compile(r"(?<! al)\.\s")  # of a sentence


def choices(group: str) -> Iterator[tuple[str, str]]:
    """Each choice of a group (a key of ``GROUPS``), and what it is in one line."""
    for file in sorted((CONF / GROUPS[group]).glob("*.yaml")):
        yield file.stem, _said(file)


def _said(file: Path) -> str:
    """The first sentence of the file's comment; else the first line of what it builds, or what it names."""
    text = file.read_text()
    comment = _comment(text)
    if comment:
        return END.split(comment)[0].rstrip(".")
    content: dict[str, Any] = yaml.safe_load(text) or {}
    if "defaults" in content:
        return "together: " + ", ".join(str(name) for name in content["defaults"] if name != "_self_")
    targets = [one["_target_"] for one in [content, *content.values()] if isinstance(one, dict) and "_target_" in one]
    if targets:
        return _docstring(targets[0])
    return ", ".join(f"{key} {content[key]}" for key in ("weights", "layer", "top1") if content.get(key) is not None)


def _comment(text: str) -> str:
    """The comment that a file begins with, in one line."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if "@package" not in line:
            lines.append(line[1:].strip())
    return " ".join(lines)


def _docstring(target: str) -> str:
    """The first line of what a dotted name says of itself, read from its source."""
    module, _, name = target.rpartition(".")
    for node in _source(module).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0].rstrip(".")
    return ""


@cache
def _source(module: str) -> ast.Module:
    return ast.parse((PACKAGE.parent / f"{module.replace('.', '/')}.py").read_text())

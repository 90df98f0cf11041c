"""Aligned text tables: readable in a terminal, and Markdown on a page."""

from __future__ import annotations

from collections.abc import Sequence


def grid(lines: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table whose first line is the head; the first ``left`` columns stand left, the others right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    shown = [
        "| "
        + " | ".join(v.ljust(w) if i < left else v.rjust(w) for i, (v, w) in enumerate(zip(line, widths, strict=True)))
        + " |"
        for line in lines
    ]
    rule = "|" + "|".join("-" * (w + 2) if i < left else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join([shown[0], rule, *shown[1:]])

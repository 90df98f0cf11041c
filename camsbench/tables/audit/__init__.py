"""What the papers' printed numbers imply of each other: every inconsistency with its arithmetic."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from textwrap import fill

from camsbench.tables.audit import abscam as audit_abscam
from camsbench.tables.audit import reciprocam as audit_reciprocam
from camsbench.tables.audit import reciprocam_times as audit_reciprocam_times
from camsbench.tables.audit.finding import HOLDS, IMPOSSIBLE, REMARK, ROUNDING, WRONG, Finding
from camsbench.tables.grid import grid
from camsbench.tables.published import Keys, load

HEAD = """# Audit of the published tables

What the printed numbers of ReciproCAM (Byun and Lee 2024) and Abs-CAM (Zeng et al. 2022) say of each other, by
arithmetic alone: no network runs. A printed number stands for everything that rounds to it. Written by `make audit`
(`python -m camsbench.audit`)."""

WORDS = {
    HOLDS: "the numbers fit",
    ROUNDING: "they fit once each is taken as what rounds to it",
    IMPOSSIBLE: "no numbers that round to the printed ones fit; tables of measured values carry the same mark",
    WRONG: "a sentence that its own table refutes",
    REMARK: "neither right nor wrong, and worth knowing",
}


@lru_cache
def findings() -> tuple[Finding, ...]:
    """All findings, table by table."""
    return tuple(f for room in (audit_reciprocam, audit_reciprocam_times, audit_abscam) for f in room.findings())


def impossible(table: str) -> dict[tuple[Keys, str], str]:
    """For each cell (keys, column) of a published table that cannot be as printed the sentence that says why."""
    return {(f.keys, f.column): f.arithmetic for f in findings() if f.table == table and f.verdict == IMPOSSIBLE}


def markdown() -> str:
    """The audit as a page: what counts, what does not fit, then every check of every table."""
    found = findings()
    counts = Counter(finding.verdict for finding in found)
    meaning = [["verdict", "checks", "meaning"], *([word, str(counts[word]), said] for word, said in WORDS.items())]
    parts = [HEAD, grid(meaning, left=3), "## What does not fit"]
    tables = {name: [f for f in found if f.table == name] for name in dict.fromkeys(f.table for f in found)}
    for name, checks in tables.items():
        wrong = [f for f in checks if f.verdict in (IMPOSSIBLE, WRONG)]
        parts.append(f"### {load(name).title}: {len(wrong)} of {len(checks)} checks\n\n{_points(wrong)}")
    parts.append("## The other checks")
    for name, checks in tables.items():
        rest = [f for f in checks if f.verdict not in (IMPOSSIBLE, WRONG)]
        parts.append(f"### {load(name).title}\n\n{_points(rest)}")
    return "\n\n".join(parts) + "\n"


def _points(chosen: list[Finding]) -> str:
    """A point a finding, wrapped: the arithmetic is too long for a table's cell."""
    said = (f"{f.where}: {f.printed}. **{f.verdict.capitalize()}**: {f.arithmetic}." for f in chosen)
    return "\n".join(
        fill(text, 118, initial_indent="- ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        for text in said
    )

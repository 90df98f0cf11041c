"""A comparison as Markdown: a block a network with published above measured, then every cell on a line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any

import pandas as pd

from camsbench.tables.grid import grid
from camsbench.tables.published import PaperColumn, Published
from camsbench.tables.verdict import AGREES, DIFFERS, IMPOSSIBLE, INCOMPARABLE, MARKS, UNMEASURED

ARROWS = {"higher": "↑", "lower": "↓"}
NONE = "–"
LEGEND = (
    "Each method has the published line, the measured one, and its 95 % interval (percentile bootstrap over images). "
    "✓ agrees: the published value lies in the interval widened by its rounding; ✗ differs; – not comparable; "
    "! impossible as printed (see the notes and `python -m camsbench.audit`)."
)


@dataclass(frozen=True)
class Block:
    """The lines of a comparison under one network."""

    backbone: str
    model: str
    rows: pd.DataFrame

    @property
    def measured(self) -> bool:
        return bool((self.rows["measured_method"] != "").any())

    @property
    def title(self) -> str:
        if self.backbone and self.measured:
            return f"{self.backbone} (measured: {self.model})"
        return self.backbone or self.model or "The table"


def blocks(table: Published, long: pd.DataFrame) -> Iterator[Block]:
    """The networks, in the paper's order."""
    named = "backbone" in table.keys
    for key, rows in long.groupby(["backbone", "model"] if named else ["model"], sort=False):
        yield Block(str(key[0]) if named else "", str(key[-1]), rows)


def lines(block: Block) -> Iterator[tuple[str, bool, pd.DataFrame]]:
    """(published method, whether its printed line comes first here, the cells of one measured line)."""
    seen: set[str] = set()
    for key, cells in block.rows.groupby(["method", "measured_method", "protocol", "layer"], sort=False):
        label = str(key[0])
        yield label, bool(label) and label not in seen, cells
        seen.add(label)


def measured_name(block: Block, cells: pd.DataFrame) -> str:
    """The method of a measured line, with protocol and layer where the block has several of them for it."""
    first = cells.iloc[0]
    same = block.rows[block.rows["measured_method"] == first["measured_method"]]
    several = [str(first[part]) for part in ("protocol", "layer") if len(set(same[part])) > 1]
    return " ".join([str(first["measured_method"]), *several])


def number(value: float, decimals: int) -> str:
    """A measured value with the paper's decimals."""
    return NONE if math.isnan(value) else f"{value:.{decimals}f}"


def interval(low: float, high: float, decimals: int) -> str:
    """[low, high] with the paper's decimals."""
    return NONE if math.isnan(low) else f"[{low:.{decimals}f}, {high:.{decimals}f}]"


def title(column: PaperColumn) -> str:
    """A column's head, with the arrow towards better."""
    return f"{column.title} {ARROWS[column.better]}"


def markdown(table: Published, long: pd.DataFrame, remarks: Sequence[str] = ()) -> str:
    """The whole page, with ``remarks`` under its title."""
    shown, missing = shown_and_missing(table, long)
    parts = [f"# {table.title}: published and measured", *remarks, fill(f"{table.note} {LEGEND}", 118), tally(long)]
    parts += [f"## {block.title}\n\n{_paper_grid(table, block)}" for block in shown]
    if missing:
        parts.append(f"Not measured: {', '.join(missing)}.")
    parts.append(f"## Every measured cell\n\n{_long_grid(table, shown)}")
    return "\n\n".join(parts) + "\n"


def shown_and_missing(table: Published, long: pd.DataFrame) -> tuple[list[Block], list[str]]:
    """The networks with a measured line, and the names of those without one."""
    made = list(blocks(table, long))
    return [block for block in made if block.measured], [block.title for block in made if not block.measured]


def tally(long: pd.DataFrame) -> str:
    """How many cells, a published number beside a measured line or none, got which verdict."""
    counts = long["verdict"].value_counts()
    words = [word for word in (AGREES, DIFFERS, INCOMPARABLE, IMPOSSIBLE, UNMEASURED) if counts.get(word, 0)]
    return "Cells: " + (", ".join(f"{counts[word]} {word}" for word in words) or "none") + "."


def _paper_grid(table: Published, block: Block) -> str:
    head = ["method", "", *(title(column) for column in table.columns), "n", "degenerate", "errors"]
    made = [head]
    for label, first, cells in lines(block):
        by = {row["column"]: row for row in cells.to_dict("records")}
        rows = [by[column.name] for column in table.columns]
        places = [table.decimals(column.name) for column in table.columns]
        if first:
            made.append([label, "published", *(row["published"] or NONE for row in rows), "", "", ""])
        if not rows[0]["measured_method"]:
            continue
        values = [
            f"{number(r['measured'], d)} {MARKS[r['verdict']]}".strip() for r, d in zip(rows, places, strict=True)
        ]
        made.append([f"`{measured_name(block, cells)}`", "measured", *values, *behind(rows)])
        ranges = [interval(r["low"], r["high"], d) for r, d in zip(rows, places, strict=True)]
        made.append(["", "95 %", *ranges, "", "", ""])
    return grid(made, left=2)


def behind(rows: Sequence[Mapping[Any, Any]]) -> tuple[str, str, str]:
    """How many images, degenerate maps and errors stand behind the cells of a measured line."""
    counts = sorted({int(row["n"]) for row in rows if row["n"]})
    n = "–".join(str(count) for count in dict.fromkeys((counts[0], counts[-1]))) if counts else "0"
    return n, str(rows[0]["n_degenerate"]), str(rows[0]["n_error"])


def _long_grid(table: Published, shown: list[Block]) -> str:
    notes: dict[str, int] = {}
    made = [[*table.keys, "measured method", "column", "published", "measured", "difference", "95 % interval", "n",
             "degenerate", "errors", "verdict", "note"]]  # fmt: skip
    for block in shown:
        for _, _, cells in lines(block):
            for row in cells.to_dict("records"):
                if not row["measured_method"]:
                    continue
                places = table.decimals(row["column"])
                note = str(notes.setdefault(row["reason"], len(notes) + 1)) if row["reason"] else ""
                made.append(
                    [
                        *(str(row[key]) or NONE for key in table.keys),
                        measured_name(block, cells) or NONE,
                        row["column"],
                        row["published"] or NONE,
                        number(row["measured"], places),
                        NONE if math.isnan(row["difference"]) else f"{row['difference']:+.{places}f}",
                        interval(row["low"], row["high"], places),
                        *(str(row[name]) for name in ("n", "n_degenerate", "n_error")),
                        row["verdict"],
                        note,
                    ]
                )
    said = "\n".join(f"{number}. {note}." for note, number in notes.items())
    return grid(made, left=len(table.keys) + 2) + (f"\n\nNotes:\n\n{said}" if said else "")

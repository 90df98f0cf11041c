"""What a section found, on disk: rows as CSV, with every repeat, and as a Markdown table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benching.timing import Row


def frame(rows: list[Row]) -> pd.DataFrame:
    """A line a contender; ``runs`` holds the seconds of each repeat for all images, separated by spaces."""
    return pd.DataFrame(
        {
            "section": row.section,
            "group": row.group,
            "contender": row.contender,
            "images": row.images,
            "seconds": row.seconds,
            "passes": row.passes,
            "ratio": pd.Series(row.ratios).median(),
            "least": min(row.ratios),
            "most": max(row.ratios),
            "repeats": len(row.runs),
            "difference": row.difference,
            "note": row.note,
            "runs": " ".join(f"{run:.6g}" for run in row.runs),
        }
        for row in rows
    )


def write(folder: Path, name: str, title: str, text: str, table: pd.DataFrame, head: str) -> str:
    """``name.csv`` and ``name.md`` in the folder; gives the Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / f"{name}.csv", index=False)
    said = f"# {title}\n\n{text}\n\n{markdown(table)}\n\n{head}\n"
    (folder / f"{name}.md").write_text(said)
    return said


def markdown(table: pd.DataFrame) -> str:
    """The table without what is the same in all lines, and without the single repeats."""
    shown = table.drop(columns=["section", "runs"], errors="ignore").dropna(axis=1, how="all")
    shown = shown.loc[:, [column for column in shown if not (shown[column].astype(str) == "").all()]]
    lines = [list(shown.columns), *shown.itertuples(index=False)]
    cells = ["| " + " | ".join(_cell(value) for value in line) + " |" for line in lines]
    rule = "|" + "".join("---:|" if pd.api.types.is_numeric_dtype(shown[c]) else "---|" for c in shown)
    return "\n".join([cells[0], rule, *cells[1:]])


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.3g}"
    return str(value)

"""A comparison as a LaTeX table: booktabs rules, the paper's layout."""

from __future__ import annotations

import pandas as pd

from camsbench.tables.published import Published
from camsbench.tables.render import NONE, interval, lines, measured_name, number, shown_and_missing, tally
from camsbench.tables.verdict import AGREES, DIFFERS, IMPOSSIBLE, INCOMPARABLE

MARKS = {AGREES: r"\,$\checkmark$", DIFFERS: r"\,$\times$", INCOMPARABLE: r"\,--", IMPOSSIBLE: r"\,!"}
ARROWS = {"higher": r"$\uparrow$", "lower": r"$\downarrow$"}
SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "−": "$-$", "×": r"$\times$",
}  # fmt: skip


def escape(text: str) -> str:
    """Text with the characters that LaTeX reads as commands written out."""
    return "".join(SPECIAL.get(character, character) for character in text)


def latex(table: Published, long: pd.DataFrame) -> str:
    """The table environment; the preamble needs ``\\usepackage{booktabs,amssymb}``."""
    width = len(table.columns) + 1
    head = " & ".join(["Method", *(f"{escape(c.title)} {ARROWS[c.better]}" for c in table.columns)])
    body: list[str] = []
    shown, missing = shown_and_missing(table, long)
    for block in shown:
        body += [r"\midrule", rf"\multicolumn{{{width}}}{{l}}{{\textbf{{{escape(block.title)}}}}} \\"]
        for label, first, cells in lines(block):
            by = {row["column"]: row for row in cells.to_dict("records")}
            rows = [by[column.name] for column in table.columns]
            places = [table.decimals(column.name) for column in table.columns]
            if first:
                body.append(_line(escape(label), [escape(row["published"] or NONE) for row in rows]))
            if not rows[0]["measured_method"]:
                continue
            pairs = list(zip(rows, places, strict=True))
            values = [escape(number(r["measured"], d)) + MARKS.get(r["verdict"], "") for r, d in pairs]
            ranges = [rf"{{\scriptsize {escape(interval(r['low'], r['high'], d))}}}" for r, d in pairs]
            body.append(_line(rf"\quad\texttt{{{escape(measured_name(block, cells))}}}", values))
            body.append(_line("", ranges))
    without = f" Not measured: {', '.join(missing)}." if missing else ""
    caption = (
        f"{table.title}: published line, measured line, 95 % bootstrap interval over images. {table.note} "
        f"{tally(long)}{without}"
    )
    marks = r"$\checkmark$~agrees, $\times$~differs, --~not comparable, !~impossible as printed."
    return "\n".join(
        [
            "% needs \\usepackage{booktabs,amssymb}",
            r"\begin{table*}",
            r"\centering",
            r"\small",
            rf"\caption{{{escape(caption)} {marks}}}",
            rf"\label{{tab:{table.name.replace('_', '-')}}}",
            rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
            r"\toprule",
            rf"{head} \\",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table*}",
            "",
        ]
    )


def _line(name: str, values: list[str]) -> str:
    return " & ".join([name, *values]) + r" \\"

"""Do the maps lie where the evidence is? The share of each map inside the digits it should show, beside chance.

PYTHONPATH=scripts python -m digits.evidence results/digits
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from camsbench.report.saved_run import SavedRun
from camsbench.tables.grid import grid
from digits.pictures import SIDE

QUESTIONS = {
    "labels": "where is the digit of the label? (several labels)",
    "either": "why a 3, or why an 8? (one logit)",
    "sum": "what makes the sum? (a value)",
}
TIMES = 1.5  # of chance, which the mean of every method must reach,
PEAKS = 3.0  # or with --peaks its peaks these: a map of both signs is grey where nothing is


def chance(table: pd.DataFrame, per_label: bool) -> float:
    """The mean share of a picture that its boxes cover; they never overlap."""
    area = (table["xmax"] - table["xmin"]) * (table["ymax"] - table["ymin"]) / SIDE**2
    return float(area.mean() if per_label else area.groupby(table["path"]).sum().mean())


def main() -> int:
    """Print the table; 1 where a method does not find the evidence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folder", type=Path, help="where digits.train wrote, with the runs of the three questions in it"
    )
    parser.add_argument("--questions", nargs="*", choices=list(QUESTIONS), default=list(QUESTIONS))
    parser.add_argument("--peaks", action="store_true", help=f"let peaks of {PEAKS} times chance serve instead")
    args = parser.parse_args()
    folder: Path = args.folder
    lines, missed = [], []
    for name, question in ((name, QUESTIONS[name]) for name in args.questions):
        run = SavedRun.load(folder / f"{name}_run")
        share = chance(pd.read_csv(folder / f"{name}.csv"), per_label=name != "sum")
        means = run.rows.groupby("method", sort=False)[["pointing", "energy_pointing"]].mean()
        for method, (hit, inside) in zip(means.index, means.to_numpy(), strict=True):
            lines.append([question, str(method), *(f"{100 * each:.1f}" for each in (share, inside, hit))])
            if not (inside >= TIMES * share or (args.peaks and hit >= PEAKS * share)):
                missed.append(f"{method} ({name})")
    print(grid([["question", "method", "chance %", "map inside %", "peak inside %"], *lines], left=2))
    if missed:
        print(f"Below {TIMES} times chance: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

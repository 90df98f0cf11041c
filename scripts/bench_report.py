"""Time a report of 50,000 images under five methods: writing it, its size, until a browser shows it; and the page of
metrics.

python scripts/bench_report.py [--output results/bench] [--images 50000] [--methods 5] [--repeats 5]

The rows are drawn at random, in the layout and with the metrics of a real run (blocks of 16 images, 28 steps a curve).
Writes FOLDER/report.md and report.csv.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from benching import machine, table
from benching.browser import browser, opened
from benching.synthetic import synthetic

from camsbench.report.page import find, write
from camsbench.report.saved_run import SavedRun
from camsbench.report.trust import trust

TEXT = (
    "Synthetic rows in the layout of a real run, with the seven metrics of ReciproCAM's Table 1 and two curves an "
    "image; no maps. Opening: from the navigation until the page has drawn its charts and its list of images, median "
    "of several visits in a browser without a window."
)


def main(given: list[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("results/bench"))
    parser.add_argument("--images", type=int, default=50_000, help="rows of each method (50,000)")
    parser.add_argument("--methods", type=int, default=5, help="methods (5)")
    parser.add_argument("--repeats", type=int, default=5, help="visits (5)")
    args = parser.parse_args(given)
    head = machine.facts()
    with tempfile.TemporaryDirectory() as folder:
        run = synthetic(Path(folder) / "run", args.images, args.methods)
        start = time.perf_counter()
        report = write(find([run]), Path(folder) / "report.html")
        written = time.perf_counter() - start
        size = report.stat().st_size / 1e6
        start = time.perf_counter()
        trust([SavedRun.load(run)]).markdown()
        judged = time.perf_counter() - start
        with browser() as chromium:
            visits = [opened(chromium, report) for _ in range(args.repeats)]
    what = f"{args.images:,} images x {args.methods} methods"
    lines = [
        {"what": f"writing the report of {what}, seconds", "measured": written},
        {"what": "its size, MB", "measured": size, "target": "under 30", "verdict": _met(size < 30)},
        {
            "what": "until it is shown, seconds",
            "measured": statistics.median(visits),
            "least": min(visits),
            "most": max(visits),
            "target": "under 3",
            "verdict": _met(statistics.median(visits) < 3),
        },
        {
            "what": f"the page of metrics of {what}, read and computed, seconds",
            "measured": judged,
            "target": "under 20",
            "verdict": _met(judged < 20),
        },
    ]
    found = pd.DataFrame(lines).fillna({"target": "", "verdict": ""})
    print(table.write(args.output, "report", "A large report", TEXT, found, head))
    return 0


def _met(reached: bool) -> str:
    return "met" if reached else "not met"


if __name__ == "__main__":
    sys.exit(main())

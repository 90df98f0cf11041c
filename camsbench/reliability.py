"""``python -m camsbench.reliability RUN [RUN ...]``: which metric can be trusted to order the methods, and how far."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from camsbench.errors import CamsbenchError
from camsbench.files import write_text
from camsbench.report.page import find
from camsbench.report.trust import trust

FILE = "metrics.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m camsbench.reliability",
        description="Say how far each metric of a run can be trusted to order the methods: agreement of its images "
        "(Krippendorff's alpha), how far its order generalises to other images, ties, how often it prefers a method to "
        "a control that explains nothing, agreement with the other metrics, P(best), intervals of ranks, Friedman's "
        "and Nemenyi's tests. Of several runs also what a choice between them does to the order: protocol, steps, "
        "layer, network. Computed from the rows: nothing is passed through a network.",
        epilog="Controls are the run's methods of the category control: add fakecam and randomcam to the methods of a "
        "run. Example: python -m camsbench.reliability results/demo",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", type=Path, help="the folder of a run, or of an experiment")
    parser.add_argument("--output", type=Path, help=f"the Markdown file; without it {FILE} in the first folder")
    args = parser.parse_args(arguments)
    try:
        text = trust(find([run.expanduser() for run in args.runs]).runs).markdown()
        path = (args.output or args.runs[0] / FILE).expanduser()
        write_text(path, text)
    except CamsbenchError as error:
        print(f"camsbench.reliability: {error}", file=sys.stderr)
        return 1
    print(f"{text}\nmetrics: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

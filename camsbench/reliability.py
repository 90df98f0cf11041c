"""``python -m camsbench.reliability RUN [RUN ...]``: which metric can be trusted to order the methods, and how far."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from camsbench.errors import CamsbenchError
from camsbench.files import write_text
from camsbench.report.page import find
from camsbench.report.saved_run import SavedRun
from camsbench.report.trust import trust
from camsbench.run.perturbed import NOISE, consistencies, passes_needed
from camsbench.tables.reliability.consistency import consistency_markdown

FILE = "metrics.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m camsbench.reliability",
        description="Say how far each metric of a run can be trusted to order the methods: agreement of its images "
        "(Krippendorff's alpha), how far its order generalises to other images, ties, how often it prefers a method to "
        "a control that explains nothing, agreement with the other metrics, P(best), intervals of ranks, Friedman's "
        "and Nemenyi's tests. Of several runs also what a choice between them does to the order: protocol, steps, "
        "layer, network. Computed from the rows: nothing is passed through a network, but with --consistency.",
        epilog="Controls are the run's methods of the category control: add fakecam and randomcam to the methods of a "
        "run. Example: python -m camsbench.reliability results/demo",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", type=Path, help="the folder of a run, or of an experiment")
    parser.add_argument("--output", type=Path, help=f"the Markdown file; without it {FILE} in the first folder")
    parser.add_argument(
        "--consistency",
        type=int,
        default=0,
        metavar="DRAWS",
        help="measure the first run again under so many draws of minor and of disruptive noise, on its images and on "
        "its network's weights (MetaQuantus); it says first how many passes that takes",
    )
    parser.add_argument("--images", type=int, default=20, help="of --consistency: the first N (default: %(default)s)")
    args = parser.parse_args(arguments)
    try:
        runs = find([run.expanduser() for run in args.runs]).runs
        text = trust(runs).markdown()
        if args.consistency > 0:
            text += f"\n{under_noise(runs[0], args.images, args.consistency)}"
        path = (args.output or args.runs[0] / FILE).expanduser()
        write_text(path, text)
    except CamsbenchError as error:
        print(f"camsbench.reliability: {error}", file=sys.stderr)
        return 1
    print(f"{text}\nmetrics: {path}")
    return 0


def under_noise(run: SavedRun, images: int, draws: int) -> str:
    """The consistency of a run's metrics as Markdown, after saying what it takes.

    Raises:
        CamsbenchError: as ``consistencies``; or the run's images or weights are not there any more.
    """
    print(f"consistency: {passes_needed(run.job, images, draws)}", file=sys.stderr)
    return consistency_markdown(consistencies(run.job, images, draws), NOISE)


if __name__ == "__main__":
    sys.exit(main())

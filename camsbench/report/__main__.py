"""``python -m camsbench.report RUN [RUN ...]``: one HTML file of tables, charts and images, to look at and to send."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from camsbench.config.job import check_maps
from camsbench.errors import CamsbenchError
from camsbench.report.page import find, write

MAPS = "report.maps="


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m camsbench.report",
        usage="python -m camsbench.report RUN [RUN ...] [report.maps=N|all|worst] [--output FILE]",
        description="Write one HTML file of a run, or of several beside each other: published tables with verdicts, "
        "leaderboard, distributions, curves, time against quality, agreement of metrics, paired comparisons, an image "
        "browser, protocol and versions. It works from disk and loads nothing.",
        epilog="report.maps chooses the images that show their maps: the first N, all, or the worst (those where the "
        "methods do worst or part most). Maps that the run did not keep are explained again, which needs its images "
        "and weights. Without it, what the run itself was asked for.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="the folder of a run, or of an experiment of several")
    parser.add_argument("--output", type=Path, help="the HTML file; without it report.html in the first folder")
    args = parser.parse_args(arguments)
    try:
        print(f"report: {_report(args.runs, args.output)}")
    except CamsbenchError as error:
        print(f"camsbench.report: {error}", file=sys.stderr)
        return 1
    return 0


def _report(given: Sequence[str], output: Path | None) -> Path:
    folders = [Path(one).expanduser() for one in given if not one.startswith("report.")]
    asked: int | str | None = None
    for one in given:
        if one.startswith(MAPS):
            value = one.removeprefix(MAPS)
            asked = check_maps(int(value) if value.isdigit() else value)
        elif one.startswith("report."):
            raise CamsbenchError(f"{one}: there is no such option; report.maps=N, all or worst is")
    if not folders:
        raise CamsbenchError("name the folder of at least one run")
    found = find(folders)
    maps = found.maps if asked is None else asked
    return write(found, (output or folders[0] / "report.html").expanduser(), maps)


if __name__ == "__main__":
    sys.exit(main())

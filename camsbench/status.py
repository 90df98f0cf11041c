"""``python -m camsbench.status RUN``: how far a run is, from another shell or another machine."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from camsbench.errors import CamsbenchError
from camsbench.store.folder import RunFolder
from camsbench.store.shares import in_use

SILENT = 120.0  # seconds without a sign of life


def status(path: Path) -> str:
    """What the sessions in a run folder say of themselves, and the rows on the disk.

    Raises:
        CamsbenchError: there is no run folder.
    """
    if not (path / "environment.json").is_file():
        raise CamsbenchError(f"{path} is no run folder: give the one that output= named, or that the run printed")
    working = in_use(path)
    lines = [str(path)]
    for file in sorted((path / "progress").glob("*-of-*.json"), key=_number):
        lines += _session(json.loads(file.read_text()), working)
    table = RunFolder(path).counts()
    failed = sum(failed for _, failed in table.values())
    for method, (rows, _) in table.items():
        lines.append(f"  {method}: {rows:,} rows on disk")
    if failed:
        lines.append(f"  {failed:,} rows failed, see the column error of rows/; retry=true tries them again")
    return "\n".join(lines)


def _number(file: Path) -> int:
    return int(file.stem.split("-")[0])


def _session(said: dict[str, Any], working: Sequence[str]) -> list[str]:
    share, alive = said["shard"], said["shard"] in working
    ago = (datetime.now(UTC) - datetime.fromisoformat(said["updated"])).total_seconds()
    state = said["state"]
    if not alive and state not in {"done", "stopped"}:
        state = "ended without a word (killed?); the same command goes on"
    elif alive and ago > SILENT:
        state += f", silent for {tqdm.format_interval(ago)}"
    line = f"share {share}: {state}; {said['images_done']:,} of {said['images_total']:,} images"
    line += f", {said['rows_done']:,} of {said['rows_total']:,} rows"
    if alive and said["images_per_second"]:
        line += f", {said['images_per_second']:.2f} images/s, {tqdm.format_interval(said['seconds_left'])} left"
    line += f" ({said['host']}, process {said['pid']}, {tqdm.format_interval(ago)} ago)"
    where = Counter(str(each["where"]) for each in said["workers"])
    return [line, *(f"  worker {name}" for name in where)] if alive else [line]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m camsbench.status",
        description="Say how far a run is, while it goes on or after it: images and rows done, rate and time left of "
        "each share, and what failed.",
        epilog="Example: python -m camsbench.status results/demo",
    )
    parser.add_argument("run", type=Path, help="the run's folder: what output= named, or what the run printed")
    try:
        print(status(parser.parse_args(arguments).run.expanduser()))
    except CamsbenchError as error:
        print(f"camsbench.status: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()

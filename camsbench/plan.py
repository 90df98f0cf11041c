"""Say what a run or an experiment costs before any work: passes of the network, and hours.

python -m camsbench.plan experiment=reciprocam_table1
python -m camsbench.plan model=resnet101 method=scorecam data=ilsvrc2012 data.limit=500 --rate 900
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from camsbench.config.compose import add_controls
from camsbench.config.suggest import compose_or_suggest
from camsbench.errors import CamsbenchError
from camsbench.experiment import cells
from camsbench.run.planning import images
from camsbench.run.planning.count import plan
from camsbench.run.planning.networks import Networks
from camsbench.run.planning.table import render


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the plan; 1 for a wrong option, with one sentence."""
    parser = argparse.ArgumentParser(
        prog="python -m camsbench.plan", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "overrides", nargs="*", help="options as for python -m camsbench; data and weights may be absent"
    )
    parser.add_argument(
        "--rate",
        action="append",
        default=[],
        metavar="[NETWORK=]N",
        help="forward passes a second, of all networks or of one (again for another); default: measured here",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the plan there too")
    args = parser.parse_intermixed_args(arguments)
    try:
        text = make_plans(args.overrides, parse_rates(args.rate))
        if args.output is not None:
            args.output.parent.mkdir(parents=True, exist_ok=True)
            args.output.write_text(f"{text}\n")
    except (CamsbenchError, OSError) as error:
        print(f"camsbench.plan: {error}", file=sys.stderr)
        return 1
    print(text)
    return 0


def make_plans(overrides: Sequence[str], parse_rates: dict[str, float]) -> str:
    """The plan of what ``python -m camsbench`` would run with the same overrides, as Markdown."""
    networks, lines, remarks = Networks(parse_rates), [], set()
    for name, cfg in _runs(overrides):
        lines += plan(cfg, networks, name)
        _, assumed = images.count(cfg)
        remarks.add(assumed)
    networks.check_names()
    return render(lines, sorted(remark for remark in remarks if remark))


def parse_rates(options: Sequence[str]) -> dict[str, float]:
    """Rates by network from ``NETWORK=N`` and ``N`` (under ``""``, for all others)."""
    found = {}
    for option in options:
        name, _, number = option.rpartition("=")
        try:
            found[name] = float(number)
        except ValueError:
            raise CamsbenchError(
                f"--rate {option}: give passes a second, as in --rate 900 or --rate vgg16=450"
            ) from None
    return found


def _runs(overrides: Sequence[str]) -> list[tuple[str | None, DictConfig]]:
    cfg = compose_or_suggest(overrides)
    if cfg.get("cells"):
        return [(cell.name, cell.config) for cell in cells(cfg, overrides)]
    return [(None, add_controls(cfg) if cfg.controls else cfg)]


if __name__ == "__main__":
    sys.exit(main())

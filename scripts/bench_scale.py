"""Time what large runs need: workers side by side, Ray, a restart with 50,000 rows, and the tar of 50,000 images.

python scripts/bench_scale.py [--only SECTION,...] [--output results/bench] [--images 120] [--repeats 3] [--large 50000]

Writes FOLDER/scale.md and scale.csv: a line a measurement, with what is to be reached. About ten minutes on 2 cores;
leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd
from benching import machine, scale, table

SECTIONS = {"workers": scale.workers, "restart": scale.restart, "tar": scale.tar}
TEXT = (
    "EfficientNet-Lite0, on the processor. Workers: Grad-CAM with drop, increase, insertion and deletion, one thread a "
    "process, by the session's own clock, which begins when the first worker is ready; the kinds of run take turns, "
    "ratios are medians of paired repeats. Restart: seconds from the command to its first new part, beside a run of "
    "the same images that has no row. The tar: small generated images, laid out as ILSVRC2012_img_val.tar."
)


def main(given: list[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help=f"sections, with commas between: {', '.join(SECTIONS)}")
    parser.add_argument("--output", type=Path, default=Path("results/bench"))
    parser.add_argument("--images", type=int, default=120, help="of a run of workers (120)")
    parser.add_argument("--repeats", type=int, default=3, help="of each kind of run (3)")
    parser.add_argument("--large", type=int, default=50_000, help="rows of the restart, images of the tar (50,000)")
    args = parser.parse_args(given)
    chosen = args.only.split(",") if args.only else list(SECTIONS)
    unknown = [name for name in chosen if name not in SECTIONS]
    if unknown:
        print(f"--only {unknown[0]}: choose among {', '.join(SECTIONS)}", file=sys.stderr)
        return 1
    head = machine.facts()
    size = scale.Size(args.images, args.repeats, args.large)
    found = pd.DataFrame([line for name in chosen for line in SECTIONS[name](size)])
    print(table.write(args.output, "scale", "Large runs", TEXT, found, head))
    return 0


if __name__ == "__main__":
    sys.exit(main())

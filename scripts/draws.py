"""Freeze the draws of ILSVRC2012 validation images: ten seeded lists of 5500 image numbers, one a line.

python scripts/draws.py [--output camsbench/data/assets/draws]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from camsbench.data.draws import COUNT, SIZE, VALIDATION, sample

HEADER = f"""\
# Draw {{draw}}: {SIZE} of the {VALIDATION} validation images of ILSVRC2012, without replacement, seeded by {{draw}}.
# A line is the number in ILSVRC2012_val_XXXXXXXX. The first 300, 500, 1000 and 5000 lines are the smaller subsets.
# Which images the papers drew is not known: their tables are measured on other images than these.
# Written by scripts/draws.py.
"""


def main() -> None:
    """Write a file a draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, default=Path("camsbench/data/assets/draws"))
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    for draw in range(COUNT):
        (folder / f"draw{draw}.txt").write_text(text(draw))


def text(draw: int) -> str:
    """The file of a draw."""
    return HEADER.format(draw=draw) + "".join(f"{number}\n" for number in sample(draw))


if __name__ == "__main__":
    main()

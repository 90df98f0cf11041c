"""``python -m camsbench.audit``: what the papers' printed numbers imply of each other."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from camsbench.tables.audit import markdown


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the audit as Markdown, and write it to a file where one is named."""
    parser = argparse.ArgumentParser(
        prog="python -m camsbench.audit",
        description="Recompute what the published tables imply (ADCC from its parts, FPS from times, shares of N "
        "images, claims of the text) and list what does not fit. Runs no network.",
    )
    parser.add_argument("--output", type=Path, help="write the Markdown to this file too")
    output = parser.parse_args(arguments).output
    text = markdown()
    print(text, end="")
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text)


if __name__ == "__main__":
    main()

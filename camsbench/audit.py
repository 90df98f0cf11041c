"""``python -m camsbench.audit``: what the papers' printed numbers imply of each other."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from camsbench.tables.audit import markdown


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the audit as Markdown, and write it to a file where one is named."""
    parser = argparse.ArgumentParser(
        prog="python -m camsbench.audit",
        description="Recompute what the published tables imply (ADCC from its parts, FPS from times, shares of N "
        "images, claims of the text) and list what does not fit. Runs no network.",
        epilog="Example: python -m camsbench.audit --output audit.md",
    )
    parser.add_argument("--output", type=Path, help="write the Markdown to this file too")
    output = parser.parse_args(arguments).output
    text = markdown()
    if output is not None:
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(text)
        except OSError as error:
            print(f"camsbench.audit: {output}: cannot be written: {error.strerror}", file=sys.stderr)
            raise SystemExit(1) from None
    print(text, end="")


if __name__ == "__main__":
    main()

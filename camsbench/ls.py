"""``python -m camsbench.ls GROUP``: the choices of a group, a line each. Imports none of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from difflib import get_close_matches

from camsbench.config.catalogue import ABOUT, GROUPS, choices
from camsbench.config.families import FAMILIES, NONE

LAYER = max(len(layer) for _, _, layer, _ in FAMILIES)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; without a group it lists the groups, and 1 where there is no such group."""
    parser = argparse.ArgumentParser(
        prog="python -m camsbench.ls",
        description="The choices of a group, a line each; without a group, the groups.",
        epilog="Example: python -m camsbench.ls methods",
    )
    parser.add_argument("group", nargs="?", help=f"one of {', '.join(GROUPS)}", metavar="GROUP")
    given = parser.parse_args(arguments).group
    if given is None:
        _print([(f"python -m camsbench.ls {name}", about) for name, about in ABOUT.items()])
        return 0
    group = {folder: name for name, folder in GROUPS.items()}.get(given, given)  # method for methods
    if group not in GROUPS:
        near = get_close_matches(given, [*GROUPS, *GROUPS.values()], n=1)
        said = f"; near is {near[0]}" if near else ""
        print(f"camsbench.ls: {given}: there is no such group{said}; choose {', '.join(GROUPS)}", file=sys.stderr)
        return 1
    _print(list(choices(group)))
    if group == "models":
        print("\nWhere networks on tokens, and those with channels last, are cut (model.layer=null):\n")
        _print(
            [
                ("NETWORK", f"{'LAYER':<{LAYER}}  WHY"),
                *((name, f"{at:<{LAYER}}  {why}") for _, name, at, why in FAMILIES),
            ]
        )
        print()
        _print([(name, f"none: {why}") for _, name, why in NONE])
    return 0


def _print(lines: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in lines)
    for name, said in lines:
        print(f"{name:<{width}}  {said}".rstrip())


if __name__ == "__main__":
    sys.exit(main())

"""Refusals: the one exception that the command line answers with its message alone, and words for wrong options."""

from __future__ import annotations

from collections.abc import Sequence


class CamsbenchError(Exception):
    """Something the user can mend: the message is one sentence that names the option or file and the remedy."""


def check_choices(options: object, **choices: Sequence[str]) -> None:
    """Refuse an option of ``options`` that is none of its ``choices``.

    Raises:
        ValueError: with a sentence that names the option and what it may be.
    """
    for name, allowed in choices.items():
        if getattr(options, name) not in allowed:
            raise ValueError(f"{name} is '{getattr(options, name)}': it must be one of {', '.join(allowed)}")

"""The names of a network's classes: out of a file of their own, or out of a checkpoint."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from camsbench.errors import CamsbenchError

KEYS = ("classes", "class_names", "class_to_idx", "idx_to_class", "label_names")  # of checkpoints
FORMS = 'a name a line, a JSON list of names, or a JSON object {"name": index} or {"index": "name"}'


def held_names(held: object) -> tuple[str, ...]:
    """The names that a checkpoint holds under a usual key, in the order of their indices; () where it has none."""
    if not isinstance(held, Mapping):
        return ()
    for key in KEYS:
        if names := in_order(held.get(key)):
            return names
    return ()


def choose_names(path: str | None, held: Sequence[str], num_classes: int) -> tuple[str, ...]:
    """The names of ``path`` (``model.classes``); without one those that a checkpoint holds, where they fit.

    Raises:
        CamsbenchError: the file is none, holds something else, doubles, or another number of names.
    """
    if path is None:
        return tuple(held) if len(held) == num_classes and len(set(held)) == len(held) else ()
    names = read_names(Path(path).expanduser())
    check_names(names, num_classes, f"model.classes={path}")
    return names


def check_names(names: Sequence[str], num_classes: int, where: str) -> None:
    """Refuse names that are not one a class.

    Raises:
        CamsbenchError: there are more or fewer, or one stands twice.
    """
    if len(names) != num_classes:
        raise CamsbenchError(
            f"{where}: there are {len(names)} names, and the network has {num_classes} classes: give a name a class"
        )
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise CamsbenchError(f"{where}: '{name}' stands there {count} times: give each class a name of its own")


def read_names(path: Path) -> tuple[str, ...]:
    """The names in a file, in the order of their indices.

    Raises:
        CamsbenchError: it cannot be read, or is of no known form.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        held = json.loads(text) if path.suffix == ".json" else [line.strip() for line in text.splitlines()]
    except (OSError, ValueError) as error:
        raise CamsbenchError(
            f"model.classes={path}: it cannot be read ({str(error).splitlines()[0]}); give {FORMS}"
        ) from error
    if path.suffix != ".json":
        while held and not held[-1]:
            held.pop()
    names = in_order(held)
    if not names or not all(names):
        raise CamsbenchError(f"model.classes={path}: these are no names of classes; give {FORMS}")
    return names


def in_order(held: object) -> tuple[str, ...]:
    """Names in the order of their indices, of a list, {name: index} or {index: name}; () of anything else."""
    if isinstance(held, list | tuple):
        return tuple(held) if all(isinstance(name, str) for name in held) else ()
    if not isinstance(held, Mapping):
        return ()
    if all(isinstance(key, str) and type(value) is int for key, value in held.items()):
        by_index = {value: key for key, value in held.items()}
    elif all(str(key).isdecimal() and isinstance(value, str) for key, value in held.items()):
        by_index = {int(key): value for key, value in held.items()}
    else:
        return ()
    complete = len(by_index) == len(held) and sorted(by_index) == list(range(len(held)))
    return tuple(by_index[index] for index in range(len(held))) if complete else ()

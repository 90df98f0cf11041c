"""Which of a network's classes each class of the data is, where the data's classes are names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from difflib import get_close_matches

from camsbench.data.classes import is_number
from camsbench.data.record import Record
from camsbench.errors import CamsbenchError

SAY = "say with model.classes=FILE what the network's classes are, a name a line in its order"
REMEDY = f"rename the class of the data, or {SAY}"


def match(
    found: Sequence[str], names: Sequence[str], num_classes: int, index_of: Callable[[str], int] | None, model: str
) -> list[int]:
    """For each class of the data the network's index.

    A network whose classes have names is asked for the same name, then for one that differs in capitals, or in ``_``,
    ``-`` and spaces alone. Without names of its own ``index_of`` knows them, such as ImageNet's. Without either, the
    classes of the data are the network's in their order, as torchvision's ``ImageFolder`` counts them, if there are as
    many.

    Args:
        found: the classes of the data, in their order.
        names: the network's classes, in its order; empty: unknown.
        num_classes: how many it has; 2 of a network with one output for two classes.
        index_of: gives a name's index, and raises ``CamsbenchError`` where no class or several have it.
        model: the network's name, for the sentence.

    Raises:
        CamsbenchError: a class of the data is none of the network's or more than one, two are the same, or nothing says
            which is which.
    """
    if names and len(names) != num_classes:
        raise CamsbenchError(
            f"{model} has {num_classes} classes, and {len(names)} names of classes: give one name a class with "
            "model.classes=FILE"
        )
    if names:
        indices = [_by_name(one, names, model) for one in found]
    elif index_of is not None:
        indices = [_known(one, index_of, num_classes, model) for one in found]
    else:
        return _in_order(found, num_classes, model)
    for place, index in enumerate(indices):
        if index in indices[:place]:
            first = found[indices.index(index)]
            raise CamsbenchError(f"classes {first} and {found[place]} of the data are both class {index} of {model}: "
                                 "make one of them")  # fmt: skip
    return indices


def relabel(records: Sequence[Record], indices: Sequence[int]) -> list[Record]:
    """The records with the network's indices as labels; ``indices`` has one for each class of the data."""
    return [
        replace(
            record,
            label=None if record.label is None else indices[record.label],
            several={indices[label]: place for label, place in record.several.items()},
        )
        for record in records
    ]


def _plain(name: str) -> str:
    return " ".join(re.split(r"[\s_-]+", name.casefold().strip()))


def _by_name(one: str, names: Sequence[str], model: str) -> int:
    same = [index for index, name in enumerate(names) if name == one]
    same = same or [index for index, name in enumerate(names) if _plain(name) == _plain(one)]
    if len(same) == 1:
        return same[0]
    if same:
        raise CamsbenchError(
            f"class '{one}' of the data is the name of {len(same)} classes of {model}, "
            f"{', '.join(f'{index} ({names[index]})' for index in same)}: {REMEDY}"
        )
    plain = {_plain(name): name for name in names}
    near = [plain[name] for name in get_close_matches(_plain(one), plain, n=3, cutoff=0.4)] or list(names[:3])
    raise CamsbenchError(
        f"class '{one}' of the data is none of the {len(names)} classes of {model}; near are {', '.join(near)}: "
        f"{REMEDY}"
    )


def _known(one: str, index_of: Callable[[str], int], num_classes: int, model: str) -> int:
    try:
        index = index_of(one)
    except CamsbenchError as error:
        raise CamsbenchError(f"class '{one}' of the data is no class of {model} ({error}): {REMEDY}") from error
    if not 0 <= index < num_classes:
        raise CamsbenchError(f"class '{one}' of the data would be class {index} of {model}, which has {num_classes}")
    return index


def _in_order(found: Sequence[str], num_classes: int, model: str) -> list[int]:
    if not found:
        return []
    if len(found) != num_classes:
        raise CamsbenchError(
            f"the data have {len(found)} classes and {model} {num_classes}, whose names are unknown, so that a class "
            f"which is missing would shift those after it: {SAY}"
        )
    if any(is_number(one) and int(one) != place for place, one in enumerate(found)):
        raise CamsbenchError(
            f"the classes of the data are numbers in the order {', '.join(found[:4])}, ..., so that '{found[-1]}' "
            f"would be class {len(found) - 1} of {model}: {SAY}"
        )
    return list(range(num_classes))

"""The labels of a table's rows: indices, names, several of them in a field, or a column a class."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from camsbench.data.found import LeftOut, left_out
from camsbench.data.table_columns import Columns
from camsbench.data.tabular import MISSING, Table
from camsbench.errors import CamsbenchError

BETWEEN = re.compile(r"[;|]")
INDEX = re.compile(r"(0|[1-9]\d*)(\.0+)?")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
YES, NO, UNCERTAIN = {"1", "1.0", "true"}, {"0", "0.0", "", "false"}, {"-1", "-1.0"}


@dataclass(frozen=True)
class RowLabels:
    """The labels of each row, the names that they count (none: indices of the network's own), and what said so."""

    rows: list[tuple[int, ...]]
    class_names: tuple[str, ...]
    said: str
    left_out: tuple[LeftOut, ...] = ()


def row_labels(table: Table, columns: Columns, kept: Sequence[int]) -> RowLabels:
    """The labels of all rows of a table, also of those that are not ``kept``: their names count among the classes.

    Raises:
        CamsbenchError: a label is neither an index nor a name.
    """
    if columns.classes:
        return _of_class_columns(table, columns, kept)
    if columns.label is not None:
        name, fields = columns.label, [[] if field in MISSING else [field] for field in table.text[columns.label]]
    elif columns.labels is not None:
        name = columns.labels
        fields = [
            [one for one in map(str.strip, BETWEEN.split(field)) if one not in MISSING] for field in table.text[name]
        ]
    else:
        return RowLabels([()] * table.rows, (), "none: the table has no labels")
    said = f"the column '{name}' of {table.where.removeprefix('data.file=')}"
    every = {one for row in fields for one in row}
    if all(INDEX.fullmatch(one) for one in every):
        return RowLabels([_once(int(float(one)) for one in row) for row in fields], (), said)
    numbers = [one for one in sorted(every) if NUMBER.fullmatch(one) and not INDEX.fullmatch(one)]
    if numbers and all(NUMBER.fullmatch(one) for one in every):
        raise CamsbenchError(
            f"{table.where}: the column '{name}' has {numbers[0]}, which is neither a class index (0, 1, 2, ...) nor a "
            "name: write one, leave it blank where an image has no label, or say with data.columns.label=null "
            f"data.columns.value={name} that it is a number"
        )
    if indices := sorted(one for one in every if INDEX.fullmatch(one)):
        word = next(one for one in sorted(every) if not INDEX.fullmatch(one))
        raise CamsbenchError(
            f"{table.where}: the column '{name}' has class indices ({indices[0]}) and names ({word}): write one kind, "
            "and leave it blank where an image has no label"
        )
    names = sorted(every)
    index = {one: place for place, one in enumerate(names)}
    return RowLabels([_once(index[one] for one in row) for row in fields], tuple(names), said)


def _of_class_columns(table: Table, columns: Columns, kept: Sequence[int]) -> RowLabels:
    found: list[list[int]] = [[] for _ in range(table.rows)]
    uncertain: list[str] = []
    asked = set(kept)
    for label, name in enumerate(columns.classes):
        for row, field in enumerate(table.text[name]):
            said = field.lower()
            if said in YES:
                found[row].append(label)
            elif said in UNCERTAIN:
                uncertain += [f"{name} of {table.text[columns.path][row]}"] if row in asked else []
            elif said not in NO:
                raise CamsbenchError(
                    f"{table.where}: '{field}' stands in the column '{name}' of {table.text[columns.path][row]}: write "
                    "1 (it is of this class), 0 or nothing (it is not), or -1 (uncertain)"
                )
    ignored = left_out("uncertain labels (-1), which count as none", uncertain)
    return RowLabels([tuple(row) for row in found], columns.classes, "the columns of data.label_columns", ignored)


def _once(labels: Iterable[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(labels))

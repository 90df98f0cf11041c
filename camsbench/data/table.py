"""Images that a table lists: a row an image, or a row a box, with labels, numbers, masks and further columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

from camsbench.data.found import FoundImages, LeftOut, ids, left_out, refuse_doubles
from camsbench.data.paths import Listed, file_of, folder_of
from camsbench.data.record import Cell, Record
from camsbench.data.storage import Stored
from camsbench.data.table_columns import Columns, find_columns
from camsbench.data.table_labels import row_labels
from camsbench.data.table_places import boxes_of, placed
from camsbench.data.tabular import DECIMAL, MISSING, Table, read_table, values
from camsbench.errors import CamsbenchError


def table(
    file: str,
    root: str | None = None,
    columns: Mapping[str, str | None] | None = None,
    label_columns: Sequence[str] | None = None,
    where: Mapping[str, Cell] | None = None,
    relative: bool = False,
    name: str = "table",
) -> FoundImages:
    """The images of a table; an image's id is its path without suffix, or what the column ``id`` says.

    Labels are the network's indices where all are whole numbers, else names, whose order is that of plain strings, over
    all rows of the table. An image that has several, or boxes of several, has them in ``Record.several``.

    Args:
        file: a ``.csv``, ``.tsv`` or ``.parquet``.
        root: the folder that its paths begin at; None: the file's own.
        columns: the name of each column, by what it is (``camsbench.data.table_columns``).
        label_columns: classes that have a column each, of 1, 0 or nothing, and -1 for uncertain: their order is the
            classes'.
        where: values of columns that a row must have, such as ``{split: test}``.
        relative: whether boxes are in fractions of the picture's sides, not in pixels.
        name: what the data are called.

    Raises:
        CamsbenchError: a column, a field or a picture is not as it must be.
    """
    source = file_of("data.file", file)
    read = read_table(source)
    found = find_columns(read, dict(columns or {}), list(label_columns) if label_columns is not None else None)
    kept, ignored = _kept(read, dict(where or {}))
    labels = row_labels(read, found, kept)
    listed = Listed(folder_of("data.root", root) if root is not None else source.folder)
    files = _files(read, found.path, kept, listed, "images")
    masked = [row for row in kept if found.mask is not None and read.text[found.mask][row]]
    masks = dict(zip(masked, _files(read, found.mask, masked, listed, "masks"), strict=True))
    images: dict[str, list[int]] = {}
    for row, there in zip(kept, files, strict=True):
        images.setdefault(str(there), []).append(row)
    of_row = dict(zip(kept, files, strict=True))
    boxes = boxes_of(read, found, kept, relative)
    paths = [listed.inside(read.text[found.path][rows[0]]) for rows in images.values()]
    cells, differing = _cells(read, found, list(images.values()))
    records = []
    for one, rows, further in zip(ids(paths), images.values(), cells, strict=True):
        own = one if found.id is None else _same(read, found.id, rows)
        record = Record(own, of_row[rows[0]], None, relative=relative, cells=further)
        records.append(placed(read, found, record, rows, labels.rows, boxes, masks))
    refuse_doubles(records)
    ignored += labels.left_out + left_out("columns that differ among the rows of an image", differing)
    return FoundImages("table", str(source), records, labels.said, ignored, labels.class_names)


def _kept(read: Table, where: Mapping[str, Cell]) -> tuple[list[int], tuple[LeftOut, ...]]:
    """The rows that have the values of ``where``."""
    for column in where:
        if column not in read.text:
            raise CamsbenchError(
                f"data.where.{column}: {read.where} has no such column; it has {', '.join(read.columns)}"
            )
    kept: list[int] = []
    others: list[int] = []
    for row in range(read.rows):
        right = all(read.cells[c][row] == wanted or read.text[c][row] == str(wanted) for c, wanted in where.items())
        (kept if right else others).append(row)
    if not kept:
        there = {column: sorted(set(read.text[column]))[:10] for column in where}
        said = "; ".join(f"{column} has {', '.join(said)}" for column, said in there.items())
        raise CamsbenchError(f"data.where={dict(where)}: {read.where} has no such row; {said}")
    asked = " and ".join(f"{column} is {wanted}" for column, wanted in where.items())
    return kept, _of_others(asked, others)


def _of_others(asked: str, others: Sequence[int]) -> tuple[LeftOut, ...]:
    return (LeftOut(f"rows of another split than {asked}", len(others), f"row {others[0] + 1}"),) if others else ()


def _files(read: Table, column: str | None, rows: Sequence[int], listed: Listed, what: str) -> list[Stored]:
    if column is None:
        return []
    blank = [row for row in rows if not read.text[column][row]]
    if blank:
        raise CamsbenchError(f"{read.where}: row {blank[0] + 1} has no path in the column '{column}': remove the row")
    remedy = "say with data.root=DIR which folder the paths begin at, or remove the rows of what is not there"
    return listed.every([read.text[column][row] for row in rows], f"{read.where}: {what}", remedy)


def _cells(
    read: Table, columns: Columns, images: Sequence[Sequence[int]]
) -> tuple[list[dict[str, Cell]], tuple[str, ...]]:
    """The further columns of each image, and those that have several values of one image."""
    source: dict[str, Mapping[int, Cell]] = {name: dict(enumerate(read.cells[name])) for name in columns.further}
    if columns.value is not None:
        source["value"] = _numbers(read, columns.value, [row for rows in images for row in rows])
    several = [rows for rows in images if len(rows) > 1]
    differing = {
        name for name, of in source.items() if any(len({repr(of[row]) for row in rows}) > 1 for rows in several)
    }
    if "value" in differing and columns.value is not None:
        raise CamsbenchError(f"{read.where}: rows of one image have different numbers in '{columns.value}': mend them")
    kept = [{name: of[rows[0]] for name, of in source.items() if name not in differing} for rows in images]
    return kept, tuple(sorted(differing))


def _numbers(read: Table, column: str, rows: Sequence[int]) -> dict[int, Cell]:
    """The numbers that these rows have in a column, of which others may have texts."""
    for row in rows:
        field = read.text[column][row]
        if field not in MISSING and not (DECIMAL.fullmatch(field) and isfinite(float(field))):
            raise CamsbenchError(
                f"{read.where}: '{field}' stands in the column '{column}' of row {row + 1}, which is of numbers: write "
                "one, or nothing"
            )
    return dict(zip(rows, values([read.text[column][row] for row in rows]), strict=True))


def _same(read: Table, column: str, rows: Sequence[int]) -> str:
    said = {read.text[column][row] for row in rows}
    if len(said) > 1 or "" in said:
        raise CamsbenchError(
            f"{read.where}: row {rows[0] + 1} has no id in the column '{column}', or another than the image's other "
            "rows: mend it"
        )
    return said.pop()

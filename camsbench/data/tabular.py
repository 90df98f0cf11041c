"""A table of a CSV, TSV or parquet file: what each of its fields says, as text and as a value."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from camsbench.data.record import Cell
from camsbench.data.storage import Stored
from camsbench.errors import CamsbenchError

SEPARATORS = {".csv": ",", ".tsv": "\t"}
MISSING = {"", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>"}
WHOLE = re.compile(r"[+-]?(0|[1-9]\d*)")
DECIMAL = re.compile(r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
BOOLEAN = {"true": True, "false": False}


@dataclass(frozen=True)
class Table:
    """Rows by their columns: ``text`` has blanks where nothing stands, ``cells`` has values and None."""

    where: str
    rows: int
    text: dict[str, list[str]]
    cells: dict[str, list[Cell]]

    @property
    def columns(self) -> list[str]:
        return list(self.text)


def read_table(file: Stored) -> Table:
    """The table of a file.

    A column of a CSV file is of numbers, or of true and false, where all its fields are; '007' is a text.

    Raises:
        CamsbenchError: it is of another kind, has rows of another length than its head, a name twice, or no row.
    """
    where = f"data.file={file}"
    suffix = next((one for one in (*SEPARATORS, ".parquet") if file.name.lower().endswith(one)), None)
    if suffix is None:
        raise CamsbenchError(f"{where}: this is no .csv, .tsv or .parquet: save the table as one of them")
    try:
        found = _of_parquet(file, where) if suffix == ".parquet" else _of_text(file, SEPARATORS[suffix], where)
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise CamsbenchError(f"{where} cannot be read: {error}") from error
    if not found.rows:
        raise CamsbenchError(f"{where} has no row: give a table that has a row an image")
    return found


def _of_text(file: Stored, separator: str, where: str) -> Table:
    lines = csv.reader(io.StringIO(file.text(), newline=""), delimiter=separator, strict=True)
    head = [name.strip() for name in next(lines, [])]
    _refuse_twice(head, where)
    rows: list[list[str]] = []
    for row in lines:
        if row and len(row) != len(head):
            raise CamsbenchError(
                f"{where}: line {lines.line_num} has {len(row)} fields, and the head {len(head)}: mend it"
            )
        if row:
            rows.append([field.strip() for field in row])
    text = {name: [row[place] for row in rows] for place, name in enumerate(head)}
    return Table(where, len(rows), text, {name: values(column) for name, column in text.items()})


def _of_parquet(file: Stored, where: str) -> Table:
    with file.stream() as opened:
        found = pq.read_table(opened)
    _refuse_twice(found.column_names, where)
    columns = {name: found[name].to_pylist() for name in found.column_names}
    text = {name: [_text(value) for value in column] for name, column in columns.items()}
    cells = {name: [_cell(value) for value in column] for name, column in columns.items()}
    return Table(where, found.num_rows, text, cells)


def values(column: Sequence[str]) -> list[Cell]:
    """The values of a column of texts: whole numbers, decimal ones, true and false, or the texts themselves."""
    said = [field for field in column if field not in MISSING]
    if said and all(WHOLE.fullmatch(field) for field in said):
        return [None if field in MISSING else int(field) for field in column]
    if said and all(DECIMAL.fullmatch(field) for field in said):
        return [None if field in MISSING else float(field) for field in column]
    if said and all(field.lower() in BOOLEAN for field in said):
        return [None if field in MISSING else BOOLEAN[field.lower()] for field in column]
    return [None if field in MISSING else field for field in column]


def _text(value: object) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # pandas makes decimals of whole numbers beside blanks
    return str(value).strip()


def _cell(value: object) -> Cell:
    if value is None or value != value:
        return None
    return value if isinstance(value, str | float | int | bool) else str(value)


def _refuse_twice(head: Sequence[str], where: str) -> None:
    twice = [name for name, count in Counter(head).items() if count > 1]
    if twice:
        raise CamsbenchError(f"{where}: the column '{twice[0]}' stands there twice: rename one")

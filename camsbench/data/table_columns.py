"""Which column of a table is what: paths, labels, boxes, masks, a number, and further ones that rows take along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from camsbench.data.tabular import Table
from camsbench.errors import CamsbenchError

CORNERS = ("xmin", "ymin", "xmax", "ymax")
SIDES = ("x", "y", "width", "height")
KINDS = ("path", "label", "labels", "value", *CORNERS, *SIDES, "mask", "id")
OF_ROWS = frozenset(
    {
        *("image_id", "label", "target", "probability", "seconds", "degenerate", "error"),
        *("model", "layer", "method", "protocol", "seed"),
    }
)  # columns of results, which a further column of the same name would overwrite


@dataclass(frozen=True)
class Columns:
    """The columns of a table by what they are: None where it has none of a kind."""

    path: str
    label: str | None
    labels: str | None
    value: str | None
    box: tuple[str, str, str, str] | None
    corners: bool  # whether a box is of two corners; else of one, with a width and a height
    mask: str | None
    id: str | None
    classes: tuple[str, ...]  # of a column a class
    further: tuple[str, ...]


def find_columns(table: Table, named: Mapping[str, str | None], classes: Sequence[str] | None) -> Columns:
    """The columns that are ``named``, of those that the table has.

    Args:
        table: of one row an image, or one a box.
        named: the name of each kind's column, over the kind's own name; None: the table has none of this kind.
        classes: names of columns that say of each class whether an image is of it.

    Raises:
        CamsbenchError: a column is missing that must be there, there are two that contradict each other, or a further
            one has the name of a column of results.
    """
    unknown = [kind for kind in named if kind not in KINDS]
    if unknown:
        raise CamsbenchError(f"data.columns.{unknown[0]}: choose one of {', '.join(KINDS)}")
    given = {kind: named.get(kind, None if kind == "id" else kind) for kind in KINDS}
    for kind, name in given.items():
        if name is not None and name not in table.text and (kind == "path" or name != kind):
            raise CamsbenchError(
                f"data.columns.{kind}={name}: {table.where} has no such column; it has {', '.join(table.columns)}"
            )
    there = {kind: name for kind, name in given.items() if name in table.text}
    if "path" not in there:
        raise CamsbenchError("data.columns.path: say which column has the paths of the images")
    absent = [name for name in classes or () if name not in table.text]
    if absent:
        raise CamsbenchError(
            f"data.label_columns: {table.where} has no column '{absent[0]}'; it has {', '.join(table.columns)}"
        )
    corners = all(kind in there for kind in CORNERS)
    if not corners and any(kind in there for kind in CORNERS):
        lacking = next(kind for kind in CORNERS if kind not in there)
        raise CamsbenchError(
            f"{table.where} has a part of a box alone, and no column '{given[lacking]}': give xmin, ymin, xmax, ymax, "
            f"or name it with data.columns.{lacking}="
        )
    kinds = CORNERS if corners else SIDES if all(kind in there for kind in SIDES) else ()
    box = (there[kinds[0]], there[kinds[1]], there[kinds[2]], there[kinds[3]]) if kinds else None
    own = {kind: there.get(kind) for kind in ("label", "labels", "value", "mask", "id")}
    _refuse_two(table, own["label"], own["labels"], classes)
    used = {there["path"], *own.values(), *(box or ()), *(classes or ())}
    further = tuple(name for name in table.columns if name not in used)
    _refuse_further(table, further, own["value"])
    return Columns(
        there["path"], own["label"], own["labels"], own["value"], box, corners, own["mask"], own["id"],
        tuple(classes or ()), further,
    )  # fmt: skip


def _refuse_two(table: Table, label: str | None, labels: str | None, classes: Sequence[str] | None) -> None:
    said = [f"the column '{label}'"] if label is not None else []
    said += [f"the column '{labels}'"] if labels is not None else []
    said += ["data.label_columns"] if classes else []
    if len(said) > 1:
        raise CamsbenchError(
            f"{table.where}: {' and '.join(said)} both have labels: keep one of them, and rename or remove the other"
        )


def _refuse_further(table: Table, further: Sequence[str], value: str | None) -> None:
    for name in further:
        if name in OF_ROWS or (name == "value" and value is not None):
            remedy = ", or name it as the ids with data.columns.id=image_id" if name == "image_id" else ""
            raise CamsbenchError(
                f"{table.where}: results have a column '{name}' of their own: rename that of the table{remedy}"
            )

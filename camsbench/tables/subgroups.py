"""A summary split by a column of the images' table: where does an explanation fail?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from omegaconf import DictConfig
from scipy import stats

from camsbench.core.columns import Column
from camsbench.data.classes import Classes
from camsbench.data.record import LABEL, Record
from camsbench.errors import CamsbenchError
from camsbench.store.schema import CELL, group_column
from camsbench.tables.columns import metric_columns
from camsbench.tables.grid import grid
from camsbench.tables.pairs import holm
from camsbench.tables.summary import KEYS, summarise, text_cells

VALUES = 12  # different numbers up to which each is a group
MOST = 100  # groups
LEVEL = 0.05
NONE = "none"  # the group of images without a value
FEWEST = 3  # images of a group, from which it is compared
MEANING = (
    "▼ worse, ▲ better than the method's other images: Mann and Whitney's test, Holm-corrected, 5 %; groups of fewer "
    "than three images are not compared."
)
MARKS = {"worse": " ▼", "better": " ▲", "": ""}


@dataclass(frozen=True)
class Subgroups:
    """The summary of each group of images, a line a group and method, and how it stands against the other images.

    Args:
        by: what splits the images, the name of the first column of ``summary``.
        summary: as ``summarise`` makes it of the group's images.
        p: of each metric that has a value an image, Mann and Whitney's test of the group's images against all others of
            the method, Holm-corrected over the groups and methods of the metric; NaN where it was not made.
        against: ``worse`` or ``better`` where that is below 0.05, else nothing.
    """

    by: str
    summary: pd.DataFrame
    p: pd.DataFrame
    against: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """All in one, ``p`` under ``METRIC_p``."""
        return self.summary.join(self.p.add_suffix("_p"))

    def text_cells(self, columns: Iterable[Column] = ()) -> list[list[str]]:
        """The summary as text, its head first, with ▼ and ▲ where a group is worse or better than the other images."""
        return text_cells(self.summary, list(columns), self.against.replace(MARKS))

    def markdown(self, columns: Iterable[Column] = ()) -> str:
        """The same as Markdown, with what the marks mean."""
        return f"By {self.by}. {MEANING}\n\n{grid(self.text_cells(columns), left=2)}"


def subgroups(
    rows: pd.DataFrame, by: str, columns: Iterable[Column] = (), name: Callable[[int], str] = str
) -> Subgroups:
    """The summary of ``rows`` split by a column, in the order of its values.

    Numbers of more than twelve values are cut at their quartiles; images without a value are a group of their own,
    ``none``. Groups of fewer than three images are not compared with the others.

    Args:
        rows: of a run.
        by: ``label``, ``target``, or a column of the images' table.
        columns: what the run's metrics declare, before the defaults of camsbench's own.
        name: of a class, for ``label`` and ``target``.

    Raises:
        CamsbenchError: no such column, or more than 100 groups.
    """
    declared = list(columns)
    column = group_column(by, [name.removeprefix(CELL) for name in map(str, rows) if name.startswith(CELL)])
    group = _groups(rows[column], None if column.startswith(CELL) else name)
    values = list(group.cat.categories)
    check_groups(by, len(values))
    parts = [summarise(rows[group == value], declared) for value in values]
    for value, part in zip(values, parts, strict=True):
        part.insert(0, by, value)
    summary = pd.concat(parts, ignore_index=True)
    p = pd.DataFrame(index=summary.index)
    against = pd.DataFrame(index=summary.index)
    for metric in metric_columns(rows.columns, declared):
        if metric.better:
            p[metric.name], against[metric.name] = _compare(summary, rows, group, metric, column)
    return Subgroups(by, summary, p, against)


def check_groups(by: str, groups: int) -> None:
    """Refuse more groups than a table can show.

    Raises:
        CamsbenchError: there are more than 100.
    """
    if groups > MOST:
        raise CamsbenchError(
            f"summary.by={by}: it has {groups} values, more than the {MOST} groups that a table can show: give a "
            "column of fewer"
        )


def check_cells(cfg: DictConfig, records: Sequence[Record]) -> None:
    """Refuse, before any work, a ``summary.by`` whose column has more values than a table can show.

    Raises:
        CamsbenchError: it has.
    """
    by = cfg.get("summary", {}).get("by")
    if by is not None and any(by in record.cells for record in records):
        values = pd.Series([record.cells.get(by) for record in records])
        check_groups(str(by), _groups(values, None).cat.categories.size)


def split_summary(
    cfg: DictConfig, rows: pd.DataFrame, columns: Iterable[Column], classes: Classes | None
) -> Subgroups | None:
    """The summary of a run split as ``summary.by`` says; None where it does not."""
    by = cfg.get("summary", {}).get("by")
    if by is None:
        return None
    return subgroups(rows, str(by), columns, str if classes is None else classes.name)


def _groups(values: pd.Series, name: Callable[[int], str] | None) -> pd.Series:
    """The group of each row, a category of text: one a value, whatever two are called."""
    known = values[values.notna()]
    numbers = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if name is None and numbers and known.nunique() > VALUES:
        cut = pd.qcut(values, 4, duplicates="drop")
        order = list(cut.cat.categories)
        titles = _apart([f"{each.left:.4g} to {each.right:.4g}" for each in order], [str(each) for each in order])
    else:
        cut, order = values, sorted(known.unique())
        titles = _apart([name(int(each)) if name is not None else _text(each) for each in order], [*map(_text, order)])
    if len(known) < len(values):
        order, titles = [*order, None], [*titles, NONE if NONE not in titles else f"({NONE})"]
    named = dict(zip(order, titles, strict=True))
    said = [named[None if pd.isna(value) else value] for value in cut]
    return pd.Series(pd.Categorical(said, categories=titles), values.index)


def _apart(titles: list[str], more: list[str]) -> list[str]:
    """Titles, with what tells them apart behind those that stand there twice."""
    count = Counter(titles)
    return [f"{one} ({own})" if count[one] > 1 else one for one, own in zip(titles, more, strict=True)]


def _text(value: object) -> str:
    """A whole number without a point."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _of_images(rows: pd.DataFrame, metric: str, column: str) -> np.ndarray:
    """The values of a metric, one an image: of one that is explained once a label their mean.

    Split by the label itself each of them is one.
    """
    if not column.startswith(CELL):
        return rows[metric].to_numpy(float)
    image = rows["image_id"].str.rpartition(LABEL)[0].where(rows["image_id"].str.contains(LABEL), rows["image_id"])
    return rows.groupby(image)[metric].mean().to_numpy(float)


def _compare(
    summary: pd.DataFrame, rows: pd.DataFrame, group: pd.Series, metric: Column, column: str
) -> tuple[pd.Series, pd.Series]:
    """For each line its p-value, corrected, and where that is small on which side it lies."""
    by, keys = summary.columns[0], [key for key in KEYS if key in summary]
    good = rows["error"].isna() & rows[metric.name].notna()
    p, side = {}, {}
    for place, line in enumerate(summary.to_dict("records")):
        of_line = good & (rows[keys] == [line[key] for key in keys]).all(axis=1)
        inside = _of_images(rows[of_line & (group == line[by])], metric.name, column)
        others = _of_images(rows[of_line & (group != line[by])], metric.name, column)
        if min(len(inside), len(others)) >= FEWEST:
            p[place] = float(stats.mannwhitneyu(inside, others).pvalue)
            more = stats.rankdata([*inside, *others])[: len(inside)].mean() > (len(inside) + len(others) + 1) / 2
            side[place] = "better" if more == (metric.better == "higher") else "worse"
    corrected = pd.Series(holm(list(p.values())), list(p), dtype=float).reindex(summary.index)
    return corrected, pd.Series([side[i] if corrected[i] < LEVEL else "" for i in summary.index])

"""Rows beside a published table: for each printed number the measured one, its interval, and a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from camsbench.core.columns import Column
from camsbench.errors import CamsbenchError
from camsbench.tables import bootstrap, latex, render
from camsbench.tables.audit import impossible
from camsbench.tables.bootstrap import Interval
from camsbench.tables.columns import first_reduction
from camsbench.tables.measure import Estimate, LineKey, Sample, estimate
from camsbench.tables.published import PaperColumn, Published
from camsbench.tables.spec import Spec
from camsbench.tables.verdict import judge

OTHER_MACHINE = "an absolute time of another machine"


@dataclass(frozen=True)
class Comparison:
    """A published table with the measured lines beside its own.

    ``long`` has a line for each published cell and measured line: the table's keys, ``model``, ``measured_method``,
    ``protocol``, ``layer``, ``column``, ``published`` (the text as printed), ``measured``, ``difference`` (measured −
    published), ``low`` and ``high`` (95 %), all in the printed unit; ``n``, ``n_degenerate``, ``n_error``,
    ``verdict`` and ``reason``.
    """

    table: Published
    long: pd.DataFrame

    def csv(self) -> str:
        """The long table."""
        return self.long.to_csv(index=False)

    def markdown(self, remarks: Sequence[str] = ()) -> str:
        """The paper's layout with published above measured, then the long table; ``remarks`` go under the title."""
        return render.markdown(self.table, self.long, remarks)

    def latex(self) -> str:
        """The paper's layout for a document that loads booktabs and amssymb."""
        return latex.latex(self.table, self.long)


def compare(
    spec: Mapping[str, Any] | Spec, rows: pd.DataFrame, seed: int = 0, columns: Iterable[Column] = ()
) -> Comparison:
    """Set rows beside a published table.

    Args:
        spec: the ``table`` of an experiment (``camsbench.tables.spec.Spec``).
        rows: rows of one or several run folders, concatenated; rows with an error are counted and left out.
        seed: seed of the bootstrap.
        columns: what the metrics of the runs declare, before the defaults of camsbench's own.

    Raises:
        CamsbenchError: an option of the spec is wrong, or rows of several networks stand against a table of one.
    """
    chosen = spec if isinstance(spec, Spec) else Spec.of(spec)
    table = chosen.layout()
    declared = list(columns)
    kept = [chosen.counts(method, protocol) for method, protocol in zip(rows["method"], rows["protocol"], strict=True)]
    rows = rows.loc[np.array(kept, dtype=bool)]
    records: list[dict[str, Any]] = []
    for block in _blocks(chosen, table, rows):
        records += _block(chosen, table, block, rows[rows["model"] == block.model], seed, declared)
    return Comparison(table, pd.DataFrame(records))


@dataclass(frozen=True)
class _Block:
    """A published network (empty: the table has none, or lacks it) beside a model of the rows (empty: none)."""

    backbone: str
    model: str
    published: bool  # whether the paper has this network


def _blocks(spec: Spec, table: Published, rows: pd.DataFrame) -> list[_Block]:
    """The paper's networks, then the models that it lacks."""
    present = list(rows["model"].unique())
    if table.backbones == [""]:
        named = list(spec.models.values())
        if len(named) > 1 or (not named and len(present) > 1):
            raise CamsbenchError(
                f"{table.title} has one network, and {', '.join(named or present)} stand beside it: name the one "
                "that does with table.models={network: MODEL}"
            )
        blocks = [_Block("", (named or present or [""])[0], True)]
    else:
        blocks = [_Block(label, spec.models.get(label, ""), True) for label in table.backbones]
    known = {block.model for block in blocks}
    return blocks + [_Block("", model, False) for model in present if model not in known]


@dataclass(frozen=True)
class _Pair:
    """A published method (empty: the paper lacks it) and the measured line beside it (None: not measured)."""

    label: str
    line: LineKey | None


def _pairs(spec: Spec, table: Published, sample: Sample, published: bool) -> list[_Pair]:
    if not published:
        return [_Pair("", line) for line in sample.rows]
    pairs: list[_Pair] = []
    for label in table.methods:
        pairs += [_Pair(label, line) for line in _beside(spec, sample, label)] or [_Pair(label, None)]
    taken = {pair.line for pair in pairs}
    return pairs + [_Pair("", line) for line in sample.rows if line not in taken]


def _beside(spec: Spec, sample: Sample, label: str) -> list[LineKey]:
    """The measured lines beside a published method, in the order of the spec."""
    return [line for name in spec.methods.get(label, ()) for line in sample.rows if line.method == name]


def _block(
    spec: Spec, table: Published, block: _Block, rows: pd.DataFrame, seed: int, declared: Sequence[Column]
) -> Iterator[dict[str, Any]]:
    """The records of one network: all its statistics come of the same resamples of its images."""
    sample = Sample.of(rows)
    reference = next(iter(_beside(spec, sample, table.reference)), None)
    pairs = _pairs(spec, table, sample, block.published)
    cells = [(pair, column) for pair in pairs for column in table.columns]
    measured = [_measure(sample, pair, column, reference, declared) for pair, column in cells]
    drawn = iter(bootstrap.intervals([m.statistic for m in measured if m], len(sample.images), seed))
    for (pair, column), m in zip(cells, measured, strict=True):
        interval = next(drawn) if m else None
        yield _record(spec, table, block, sample, pair, column, interval, m.n if m else 0)


def _measure(
    sample: Sample, pair: _Pair, column: PaperColumn, reference: LineKey | None, declared: Sequence[Column]
) -> Estimate | None:
    if pair.line is None or not sample.images:
        return None
    reduction = column.statistic or first_reduction(column.source, declared)
    made = estimate(sample, pair.line, column.source, reduction, reference)
    return Estimate(bootstrap.scale(made.statistic, column.scale), made.n)


def _record(
    spec: Spec,
    table: Published,
    block: _Block,
    sample: Sample,
    pair: _Pair,
    column: PaperColumn,
    interval: Interval | None,
    n: int,
) -> dict[str, Any]:
    keys = table.key(block.backbone, pair.label)
    published = table.cell(keys, column.name) if pair.label else None
    why = spec.incomparable or (OTHER_MACHINE if column.machine and not spec.same_machine else None)
    verdict = judge(published, interval, n, why, impossible(table.name).get((keys, column.name)))
    line = pair.line
    value = interval.value if interval else float("nan")
    sure = interval is not None and n > 1
    return {
        **dict(zip(table.keys, keys, strict=True)),
        "model": block.model,
        "measured_method": line.method if line else "",
        "protocol": line.protocol if line else "",
        "layer": line.layer if line else "",
        "column": column.name,
        "published": published.text if published else "",
        "measured": value,
        "difference": value - published.value if published else float("nan"),
        "low": interval.low if interval and sure else float("nan"),
        "high": interval.high if interval and sure else float("nan"),
        "n": n,
        "n_degenerate": sample.degenerate[line] if line else 0,
        "n_error": sample.errors[line] if line else 0,
        "verdict": verdict.word,
        "reason": verdict.reason,
    }

"""Which measured rows stand beside which published line: the ``table`` of an experiment's YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any

from camsbench.errors import CamsbenchError
from camsbench.tables.measure import STATISTICS
from camsbench.tables.published import PaperColumn, Published, load


@dataclass(frozen=True)
class Spec:
    """How to compare rows with a published table.

    Args:
        published: name of the table, a file of ``camsbench/tables/papers``.
        models: published network -> ``model`` of the rows. Where the table has no network, empty (the rows have one
            model) or one entry with any label.
        methods: published method -> the ``method`` names of the rows that are lines beside it; the first of the
            reference method is what ratios divide by.
        protocols: method of the rows -> the protocol (name, or name@version), or several, that count; a method that
            is not named counts under every protocol that the rows hold.
        columns: published column -> measured column, or ``{column: NAME, statistic: mean | class_mean | ...}``; without
            a statistic as the table has it, or else as the metric reduces its column.
        incomparable: why nothing is comparable (another network, other images), or null.
        same_machine: true: absolute times are compared too, because the paper's machine ran them.
    """

    published: str
    models: Mapping[str, str] = field(default_factory=dict)
    methods: Mapping[str, Sequence[str]] = field(default_factory=dict)
    protocols: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    columns: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)
    incomparable: str | None = None
    same_machine: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Spec:
        """The spec of a plain mapping.

        Raises:
            CamsbenchError: an unknown option, network, method, column or statistic.
        """
        known = [option.name for option in fields(cls)]
        for key in given:
            _known("table", key, known)
        if "published" not in given:
            raise CamsbenchError("table.published is missing: name the published table")
        spec = cls(**{key: value for key, value in given.items() if value is not None})
        table = load(spec.published)
        methods = {label: [names] if isinstance(names, str) else list(names) for label, names in spec.methods.items()}
        for label in methods:
            _known("table.methods", label, table.methods)
        for label in spec.models if table.backbones != [""] else ():
            _known("table.models", label, table.backbones)
        for name in spec.columns:
            _known("table.columns", name, [column.name for column in table.columns])
        return replace(spec, methods=methods)

    def layout(self) -> Published:
        """The published table, its columns pointed at the rows' columns."""
        table = load(self.published)
        return replace(table, columns=tuple(self._pointed(column) for column in table.columns))

    def _pointed(self, column: PaperColumn) -> PaperColumn:
        chosen = self.columns.get(column.name)
        if chosen is None:
            return column
        options = {"column": chosen} if isinstance(chosen, str) else dict(chosen)
        for key in options:
            _known(f"table.columns.{column.name}", key, ["column", "statistic"])
        statistic = options.get("statistic", column.statistic)
        if statistic:
            _known(f"table.columns.{column.name}.statistic", statistic, list(STATISTICS))
        return replace(column, measured=options.get("column", column.source), statistic=statistic)

    def counts(self, method: str, protocol: str) -> bool:
        """Whether rows of a method under a protocol (name@version) belong to the table."""
        chosen = self.protocols.get(method)
        if chosen is None:
            return True
        names = [chosen] if isinstance(chosen, str) else list(chosen)
        return protocol in names or protocol.partition("@")[0] in names


def _known(where: str, name: str, choices: Sequence[str]) -> None:
    if name not in choices:
        close = get_close_matches(name, choices, 1)
        meant = f"; did you mean {close[0]}?" if close else ""
        raise CamsbenchError(f"{where}: '{name}' is not one of {', '.join(choices)}{meant}")

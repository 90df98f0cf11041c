"""Does a metric order the methods alike under another protocol, number of steps, layer or network?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from camsbench.tables.bootstrap import Array
from camsbench.tables.reliability.agreement import tau
from camsbench.tables.reliability.ranking import orders
from camsbench.tables.reliability.scores import Scores

Choices = Mapping[str, str]
"""What a table could as well have been made with: such as protocol, layer, ``insertion.steps``, by name."""


OF_NO_PROTOCOL = ("model", "model.layer", "contrast", "seed")


@dataclass(frozen=True)
class Moved:
    """How a metric's order of the methods differs between settings that differ in one choice.

    Args:
        column: the metric's column.
        choice: what differs.
        pairs: of settings that differ in it alone.
        mean, lowest: Kendall's τ over these pairs.
        between: the two values of the choice where it is lowest.
        reversed: the share of pairs of methods of which one setting is sure that the first is better, and the other
            that the second is (``orders``), over these pairs of settings.
    """

    column: str
    choice: str
    pairs: int
    mean: float
    lowest: float
    between: tuple[str, str]
    reversed: float


def moved(found: Sequence[tuple[Choices, Scores]]) -> list[Moved]:
    """Of every metric and choice, over the pairs of settings that differ in this choice alone.

    A multiverse of one table (Steegen et al. 2016): every setting is one that somebody could have chosen.

    Args:
        found: each metric's values under each setting, with what was chosen there. Settings without the same ranked
            methods are not compared.
    """
    made = []
    for column in dict.fromkeys(scores.column.name for _, scores in found):
        of = _distinct([(choices, scores) for choices, scores in found if scores.column.name == column])
        by_choice: dict[str, list[tuple[Choices, Scores, Choices, Scores]]] = {}
        for (a, first), (b, second) in combinations(of, 2):
            differing = difference(a, b)
            if len(differing) == 1 and set(first.methods) == set(second.methods):
                by_choice.setdefault(differing[0], []).append((a, first, b, second))
        made += [one for choice, pairs in by_choice.items() if (one := _moved(column, choice, pairs)) is not None]
    return made


def _distinct(found: Sequence[tuple[Choices, Scores]]) -> list[tuple[Choices, Scores]]:
    """Each setting once: runs that differ in another metric's options are one for this."""
    kept: list[tuple[Choices, Scores]] = []
    for choices, scores in found:
        if not any(choices == other for other, _ in kept):
            kept.append((choices, scores))
    return kept


def difference(a: Choices, b: Choices) -> list[str]:
    """The choices of both settings that they make otherwise.

    What belongs to another one that differs (``model.layer`` to ``model``) is no choice of its own; where the protocol
    is another, all that it may give is part of it.
    """
    names = [name for name in a if name in b and a[name] != b[name]]
    if "protocol" in names:
        names = [name for name in names if name in OF_NO_PROTOCOL or name.startswith("method.")] + ["protocol"]
    return [name for name in names if not any(name.startswith(f"{other}.") for other in names)]


def _moved(column: str, choice: str, pairs: Sequence[tuple[Choices, Scores, Choices, Scores]]) -> Moved | None:
    taus, contrary = [], []
    for _, first, _, second in pairs:
        second = _as(second, first.methods)
        taus.append(tau(first, second).value)
        contrary.append(_contrary(first, second))
    known = [i for i, value in enumerate(taus) if np.isfinite(value)]
    if not known:
        return None
    least = min(known, key=lambda i: taus[i])
    between = (str(pairs[least][0].get(choice, "")), str(pairs[least][2].get(choice, "")))
    mean = float(np.mean([taus[i] for i in known]))
    return Moved(column, choice, len(pairs), mean, taus[least], between, float(np.mean(contrary)))


def _contrary(first: Scores, second: Scores) -> float:
    """The share of pairs of methods that the two order surely and contrarily."""
    pairs = np.triu_indices(len(first.methods), 1)
    return float((orders(first)[pairs] * orders(second)[pairs] < 0).mean())


def _as(scores: Scores, methods: tuple[str, ...]) -> Scores:
    """The same with its methods in another order."""
    values: Array = scores.values[:, [scores.methods.index(method) for method in methods]]
    return Scores(scores.setting, scores.column, methods, scores.images, values)

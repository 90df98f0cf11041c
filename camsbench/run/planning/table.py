"""A plan as Markdown: what each method costs, what each metric does, how fast the networks are, and what is largest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from camsbench.core.passes import Passes
from camsbench.models.speed import Speed
from camsbench.run.planning.count import BASE, EXPLAIN, Line
from camsbench.tables.grid import grid

SPEEDS = ("network", "layer", "features/s", "heads/s", "gradients of the head/s", "of the features/s")
PASSES = ("forward", "head", "backward", "hours")
BOUND = (
    "A pass is one image through the network (forward), through its head alone (head), or a gradient of either "
    "(backward). Counts are upper bounds: a channel that is constant for an image costs Score-CAM-like methods no "
    "pass. The pass of the masked image, and its explanation, stand with the first metric that asks for them. Hours "
    "are those of the passes alone: reading images and arithmetic between passes come on top."
)


def render(lines: Sequence[Line], remarks: Sequence[str] = ()) -> str:
    """The whole plan."""
    methods = []
    for (cell, method), part in _grouped(lines, lambda line: (line.cell, line.method)).items():
        judging = sum(line.hours for line in part if line.part not in {BASE, EXPLAIN})
        methods.append([cell, method, f"{part[0].images:,}", *_totals(part), _hours(judging)])
    metrics = [[part, *_totals(found)] for (part,), found in _grouped(lines, lambda line: (line.part,)).items()]
    total = ["all", "", "", *_totals(lines), ""]
    speeds = dict.fromkeys((line.network, line.layer, *_rates(line.speed)) for line in lines)
    return "\n\n".join(
        [
            largest(lines),
            grid([["cell", "method", "images", *PASSES, "of it metrics"], *methods, total], left=2),
            grid([["part of all cells", *PASSES], *metrics]),
            grid([list(SPEEDS), *speeds], left=2),
            BOUND,
            *remarks,
        ]
    )


def largest(lines: Sequence[Line]) -> str:
    """Which method of which cell takes longest, and how long all of it takes."""
    groups = _grouped([line for line in lines if line.method != BASE], lambda line: (line.cell, line.method))
    (cell, method), part = max(groups.items(), key=lambda item: sum(line.hours for line in item[1]))
    hours, whole = sum(line.hours for line in part), sum(line.hours for line in lines)
    return (
        f"All of it takes {_duration(whole)}. The largest part is {method} in {cell}: {part[0].images:,} images, "
        f"{_sum(part).forward:,} forward passes, {_duration(hours)}, {100 * hours / whole:.0f} % of the whole."
    )


def _grouped(lines: Sequence[Line], key: Callable[[Line], tuple[str, ...]]) -> dict[tuple[str, ...], list[Line]]:
    groups: dict[tuple[str, ...], list[Line]] = {}
    for line in lines:
        groups.setdefault(key(line), []).append(line)
    return groups


def _sum(lines: Sequence[Line]) -> Passes:
    return sum((line.total for line in lines), Passes())


def _totals(lines: Sequence[Line]) -> list[str]:
    heads = sum(line.total.head_only for line in lines)  # a line's: one part's heads complete no other's features
    total = _sum(lines)
    return [f"{total.forward:,}", f"{heads:,}", f"{total.backward:,}", _hours(sum(line.hours for line in lines))]


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.1f}" if hours >= 1 else f"{hours:.2g}"


def _duration(hours: float) -> str:
    if hours >= 2 * 365 * 24:
        return f"{hours / 24 / 365:,.0f} years"
    if hours >= 48:
        return f"{hours / 24:,.0f} days"
    return f"{hours:.1f} hours" if hours >= 1 else f"{max(1, round(60 * hours))} min"


def _rates(speed: Speed) -> list[str]:
    return [_rate(seconds) for seconds in (speed.features, speed.head, speed.back_head, speed.back_features)]


def _rate(seconds: float) -> str:
    if seconds <= 0:
        return "–"
    return f"{1 / seconds:,.0f}" if seconds < 0.1 else f"{1 / seconds:.2g}"

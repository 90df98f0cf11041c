"""Compare a method or a metric with somebody else's implementation, assert it, and keep it for the tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from camsbench.core.saliency import normalise


@dataclass(frozen=True)
class Comparison:
    """One line of a table of parity: of a method or of a metric."""

    subject: str
    implementation: str
    network: str
    difference: float
    verdict: str


class Parity:
    """What the comparisons of a test session found; ``make parity`` writes it."""

    def __init__(self) -> None:
        self.found: list[Comparison] = []
        self.metrics: list[Comparison] = []

    def agrees(
        self,
        method: str,
        implementation: str,
        network: str,
        ours: Tensor,
        theirs: Tensor,
        atol: float = 1e-4,
        why: str = "",
    ) -> None:
        """Assert that two sets of maps [B,h,w] are equal after min-max; ``why`` says up to what."""
        difference = self._note(method, implementation, network, ours, theirs, f"agrees{', ' + why if why else ''}")
        assert difference <= atol, f"{method} is {difference:.2g} from {implementation} on {network}"

    def parts(
        self,
        method: str,
        implementation: str,
        network: str,
        ours: Tensor,
        theirs: Tensor,
        why: str,
        least: float = 1e-3,
    ) -> None:
        """Assert that two sets of maps [B,h,w] differ after min-max, for the reason ``why``."""
        difference = self._note(method, implementation, network, ours, theirs, f"parts: {why}")
        assert difference > least, f"{method} agrees with {implementation} on {network}: is '{why}' mended?"

    def metric_agrees(
        self,
        metric: str,
        implementation: str,
        network: str,
        ours: Tensor,
        theirs: Tensor,
        atol: float = 1e-5,
        why: str = "",
    ) -> None:
        """Assert that a metric's values (or curves) are equal as they are; ``why`` says up to what."""
        difference = self._note_metric(
            metric, implementation, network, ours, theirs, f"agrees{', ' + why if why else ''}"
        )
        assert difference <= atol, f"{metric} is {difference:.2g} from {implementation} on {network}"

    def metric_parts(
        self,
        metric: str,
        implementation: str,
        network: str,
        ours: Tensor,
        theirs: Tensor,
        why: str,
        least: float = 1e-3,
    ) -> None:
        """Assert that a metric's values differ, or that theirs are not finite, for the reason ``why``."""
        difference = self._note_metric(metric, implementation, network, ours, theirs, f"parts: {why}")
        assert not difference <= least, f"{metric} agrees with {implementation} on {network}: is '{why}' mended?"

    def write(self, path: Path) -> None:
        """The table of methods, and that of metrics."""
        text = [
            "# Parity",
            "Largest difference of the maps after min-max. Written by `make parity`.",
            _table("method", self.found),
            "## Metrics",
            "Largest difference of the values themselves, which lie in [0,1]. Written by `make parity`.",
            _table("metric", self.metrics),
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n\n".join(text) + "\n")

    def _note_metric(
        self, metric: str, implementation: str, network: str, ours: Tensor, theirs: Tensor, verdict: str
    ) -> float:
        difference = float((ours.double() - theirs.double()).abs().max())
        self.metrics.append(Comparison(metric, implementation, network, difference, verdict))
        return difference

    def _note(
        self, method: str, implementation: str, network: str, ours: Tensor, theirs: Tensor, verdict: str
    ) -> float:
        mine, other = (normalise(maps.detach().double())[0] for maps in (ours, theirs))
        difference = float((mine - other).abs().max())
        self.found.append(Comparison(method, implementation, network, difference, verdict))
        return difference


def _table(subject: str, found: list[Comparison]) -> str:
    cells = [(subject, "implementation", "network", "largest difference", "verdict")]
    for one in sorted(found, key=lambda c: (c.subject, c.implementation, c.network)):
        cells.append((one.subject, one.implementation, one.network, f"{one.difference:.1e}", one.verdict))
    first, *rest = ("| " + " | ".join(line) + " |" for line in cells)
    return "\n".join([first, "|---|---|---|---:|---|", *rest])

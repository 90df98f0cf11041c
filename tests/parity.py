"""Compare a method with somebody else's implementation, assert it, and keep what was found for the table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from camsbench.maps import normalise


@dataclass(frozen=True)
class Comparison:
    """One line of the table of parity."""

    method: str
    implementation: str
    network: str
    difference: float
    verdict: str


class Parity:
    """What the comparisons of a test session found; ``make parity`` writes it."""

    def __init__(self) -> None:
        self.found: list[Comparison] = []

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

    def write(self, path: Path) -> None:
        """The table, by method."""
        cells = [("method", "implementation", "network", "largest difference", "verdict")]
        for one in sorted(self.found, key=lambda c: (c.method, c.implementation, c.network)):
            cells.append((one.method, one.implementation, one.network, f"{one.difference:.1e}", one.verdict))
        first, *rest = ("| " + " | ".join(line) + " |" for line in cells)
        note = "Largest difference of the maps after min-max. Written by `make parity`."
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(["# Parity", "", note, "", first, "|---|---|---|---:|---|", *rest]) + "\n")

    def _note(
        self, method: str, implementation: str, network: str, ours: Tensor, theirs: Tensor, verdict: str
    ) -> float:
        mine, other = (normalise(maps.detach().double())[0] for maps in (ours, theirs))
        difference = float((mine - other).abs().max())
        self.found.append(Comparison(method, implementation, network, difference, verdict))
        return difference

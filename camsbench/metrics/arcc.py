"""ARCC: ADCC with ROAD in the place of the drop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from camsbench.core.columns import Column
from camsbench.core.explained import RESOLUTIONS, SPACES, Explained
from camsbench.errors import check_choices
from camsbench.metrics.adcc import CORRELATIONS, Coherency, Complexity, harmonic_mean
from camsbench.metrics.road import ROAD


@dataclass(frozen=True)
class ARCC:
    """ARCC of each image (Domeniconi et al. 2026): the harmonic mean of coherency, 1 − complexity and faithfulness.

    Faithfulness is clip(2·ROAD, 0, 1), with ROAD = (LeRF − MoRF)/2 over four percentiles; it stands under
    ``arcc_road``. Coherency, complexity and ROAD are those of ``camsbench.metrics.adcc`` and ``road`` with the same
    settings. ARCC is 0 where a term is, so where removing the least relevant pixels first does no less harm, and for
    a constant map, whose coherency is 0. In [0,1].

    Where grad-cam 1.5.7, by the paper's first author, parts from this: its docstring calls it a geometric mean, its
    code takes the harmonic one; a constant map has ρ = 0, and so coherency 1/2, there; 1e-8 is added to each term and
    to ρ's denominator; pixels that tie at a percentile go together (``ties=threshold``); and of a target that gives a
    logit, ROAD is of logits, which the clip is not made for. docs/methods.md has the table.

    Args:
        percentiles, noise, ties: of ROAD.
        resolution, correlation: of coherency, the first of complexity too.
        space: what coherency's mask multiplies.
    """

    percentiles: Sequence[float] = (20, 40, 60, 80)
    noise: float = 0.01
    ties: str = "rank"
    resolution: str = "image"
    correlation: str = CORRELATIONS[0]
    space: str = "normalised"
    needs: ClassVar[frozenset[str]] = ROAD.needs
    columns: ClassVar[tuple[Column, ...]] = (
        Column("arcc", "higher", percent=True, title="ARCC"),
        Column("arcc_road", "higher", percent=True),
    )

    def __post_init__(self) -> None:
        ROAD(self.percentiles, self.noise, self.ties)  # refuses its own options
        check_choices(self, resolution=RESOLUTIONS, correlation=CORRELATIONS, space=SPACES)

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        coherency = Coherency(self.resolution, self.space, self.correlation)(explained)["coherency"]
        complexity = Complexity(self.resolution)(explained)["complexity"]
        road = ROAD(self.percentiles, self.noise, self.ties)(explained)["road"]
        faithful = (2 * road).clamp(0, 1)
        return {"arcc": harmonic_mean(coherency, 1 - complexity, faithful), "arcc_road": faithful}

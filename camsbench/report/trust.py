"""How far the metrics of some runs can be trusted: each run's own tables, and what differs between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from camsbench.errors import CamsbenchError
from camsbench.report.choices import choices_of, setting_choices
from camsbench.report.saved_run import SavedRun
from camsbench.tables.reliability import text
from camsbench.tables.reliability.choices import Moved, moved
from camsbench.tables.reliability.metric import Reliability


@dataclass(frozen=True)
class Trust:
    """Of each run its metrics, and what a choice between the runs moves."""

    runs: list[tuple[SavedRun, Sequence[Reliability]]]
    moves: list[Moved]

    def markdown(self) -> str:
        """A page of all."""
        several = len(self.runs) > 1
        parts = [text.markdown(found, run.path.name if several else "") for run, found in self.runs]
        return "\n".join(["# Which metric can be trusted?\n", *parts, text.explained(self.moves)])


def trust(runs: Sequence[SavedRun]) -> Trust:
    """Of the rows of some runs.

    Raises:
        CamsbenchError: no metric of any run has two methods with a value of the same image.
    """
    found = trust_of(runs)
    if found is None:
        raise CamsbenchError(
            f"{runs[0].path}: no metric has two methods to order (beside controls, times, and what has no better "
            "direction): give the run two methods and a metric"
        )
    return found


def trust_of(runs: Sequence[SavedRun]) -> Trust | None:
    """The same; None where there is nothing to order."""
    made = [(run, found) for run in runs if (found := run.reliability)]
    settings = [
        (setting_choices(chosen, one.scores), one.scores)
        for chosen, found in ((choices_of(run), found) for run, found in made)
        for one in found
    ]
    return Trust(made, moved(settings)) if made else None

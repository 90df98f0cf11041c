"""Does a metric prefer methods that look at the network to maps that explain nothing?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from camsbench.tables.bootstrap import Array, Statistic, mean
from camsbench.tables.reliability.scores import Scores

CONTROL = "control"  # the category of methods that explain nothing


def controls_of(methods: Mapping[str, object]) -> list[str]:
    """The names of methods whose ``about`` says that they explain nothing."""
    about = {name: getattr(method, "about", None) for name, method in methods.items()}
    return [name for name, said in about.items() if said is not None and said.category == CONTROL]


def auroc(scores: Scores, control: str) -> Statistic:
    """The chance that an image's map of a ranked method has a better value than the ``control``'s, ties half.

    Averaged over the methods: the area under the ROC curve of telling them apart, image by image. ½ is a coin's; below
    it the metric prefers the control. Images that the control has no value of do not count.
    """
    return mean(preferred(scores.values, scores.controls[control][:, None]).mean(1))


def preferred(first: Array, second: Array) -> Array:
    """1 where ``first`` is larger, ½ where they tie, else 0; NaN where one is no number."""
    won = (first > second) + 0.5 * (first == second)
    return np.where(np.isfinite(first) & np.isfinite(second), won, np.nan)

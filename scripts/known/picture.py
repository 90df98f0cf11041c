"""Draw maps of planted pictures, a row a task: PYTHONPATH=scripts python -m known.picture docs/known_answers.jpg"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

import camsbench
from camsbench.config.compose import compose_config
from camsbench.config.instantiate import make_methods
from camsbench.core import scoring
from camsbench.core.planted import TASKS
from camsbench.core.saliency import SaliencyRule, size_of
from camsbench.data.loader import read
from camsbench.data.planted import planted

METHODS = (
    *("truth", "truth_layer", "distractor", "gradcam", "hirescam", "scorecam", "reciprocam", "lrp"),
    *("smoothgrad", "rise", "eigencam"),
)
REDUCED = ["method.rise.n=1000"]
NUMBER = 3  # of each task's pictures


def main(path: Path) -> None:
    """Explain a picture of each task and write the figure."""
    made = make_methods(compose_config([f"method=[{','.join(METHODS)}]", *REDUCED]))
    figure = Figure(figsize=(1.0 * (len(METHODS) + 1), 1.02 * len(TASKS)), dpi=100)
    axes = figure.subplots(len(TASKS), len(METHODS) + 1)
    for row, task in zip(axes, TASKS, strict=True):
        options = {"size": "toy", "task": task, "side": 56}
        split = camsbench.load_model("planted", layer="relu3", device="cpu", options=options)
        picture = read(planted(task=task, count=NUMBER + 1)[NUMBER], split.preprocess)
        assert picture.pixels is not None
        passed = scoring.forward(split, split.preprocess.normalise(picture.pixels[None]), None, (0,))
        truth, distractor = (picture.maps[name][None] for name in ("truth", "distractor"))
        forward = replace(passed, truth=truth, distractor=distractor)
        row[0].imshow(picture.in_colour())
        row[0].set_ylabel(task, fontsize=7)
        for place, (name, method) in zip(row[1:], made.items(), strict=True):
            saliency = SaliencyRule()(method(split, forward), size_of(forward.x))[0][0, 0]
            place.imshow(saliency, cmap=mpl.colormaps["magma"], vmin=0, vmax=1)
            if task == next(iter(TASKS)):
                place.set_title(name, fontsize=7)
    for each in axes.flat:
        each.set_xticks([])
        each.set_yticks([])
    figure.subplots_adjust(left=0.03, right=0.999, top=0.95, bottom=0.005, wspace=0.04, hspace=0.04)
    figure.savefig(path, pil_kwargs={"quality": 80})


if __name__ == "__main__":
    main(Path(sys.argv[1]))

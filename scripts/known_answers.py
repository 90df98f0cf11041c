"""Write what experiment=known_answers found: methods on evidence that is known, metrics on maps that are wrong.

python scripts/known_answers.py results/known_answers [--output results/known_answers.md]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from known.reasons import ABSENT, REASONS
from methods import is_method, render

from camsbench.config.paths import CONF
from camsbench.core.planted import TASKS
from camsbench.report.saved_run import SavedRun

SEEN = ["energy_pointing", "iou_best", "truth_correlation", "pointing"]
TIE = 1e-6  # values that differ by less are as good


def main(given: list[str] | None = None) -> int:
    """Read the runs and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("results/known_answers"))
    parser.add_argument("--output", type=Path, default=Path("results/known_answers.md"))
    args = parser.parse_args(given)
    runs = [SavedRun.load(path.parent) for path in sorted(args.folder.glob("*/config.yaml"))]
    explaining = [run for run in runs if "gradcam" in run.config.method]
    toy = sorted((run for run in explaining if size(run) == "toy"), key=lambda run: list(TASKS).index(task(run)))
    real = [run for run in explaining if size(run) != "toy"]
    judged = preferences([run for run in runs if run not in explaining])
    found = {task(run): shown(run.rows) for run in toy}
    inside = {f"{size(run)} {task(run)}": shown(run.rows) for run in real}
    text = [
        "# Known answers",
        "Networks and pictures whose evidence is known by construction "
        "([docs/known_answers.md](../docs/known_answers.md)). Written by `make known-answers`.",
        "## Methods, on the toy network",
        "Of each map: how much of it lies on the evidence (`energy_pointing`, in percent), its IoU with it at "
        "its best threshold (`iou_best`, in percent), its rank correlation with the truth over the layer's cells "
        "(`truth_correlation`), and whether its peak lies on the evidence "
        "(`pointing`, in percent). `truth_layer` is the most that a map of the layer's 7×7 cells can reach, "
        "`fakecam` is chance. `–`: no such map, or it is constant.",
        methods(found),
        "## Methods, on real architectures with a constructed inside",
        methods(inside),
        "Without a row: " + "; ".join(f"`{name}`, {why}" for name, why in absent(explaining)) + ".",
        "## Why some fail by their own definition",
        "\n".join(f"- {sentence(found | inside, *reason)}" for reason in REASONS),
        "## Metrics: how often they prefer the truth",
        "Share of pictures, in percent, on which a metric gives the truth the better value than a wrong map; a tie "
        "is half. 50: it cannot tell; below: it prefers what is wrong. Wrong maps that are constant are left out, as"
        " `other_class` always is here (no other class has evidence in these pictures).",
        "By task, the mean over the wrong maps:",
        preferred(judged, "task", list(TASKS)),
        "By wrong map, the mean over the tasks:",
        preferred(judged, "wrong", list(dict.fromkeys(judged["wrong"]))),
        "`coherency`, `max_sensitivity` and the sanity checks judge how a method behaves, not one map: of maps that "
        "do not follow the network they say nothing, and tie. `time` judges no map.",
    ]
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text("\n\n".join(text) + "\n")
    print(f"known answers: {args.output}")
    return 0


def task(run: SavedRun) -> str:
    return str(run.config.data.task)


def size(run: SavedRun) -> str:
    return str(run.config.model.options.size)


def shown(rows: pd.DataFrame) -> pd.DataFrame:
    """The means of a run's methods, those of ``SEEN``; a constant map shows nothing."""
    seen = rows[SEEN].where(~rows["degenerate"].astype(bool))
    return seen.groupby(rows["method"], sort=False).mean()


def methods(found: dict[str, pd.DataFrame]) -> str:
    """A row a method, a column a task: mass, IoU, correlation, peak."""
    names = list(dict.fromkeys(name for each in found.values() for name in each.index))
    lines = [(name, *(cell(each, name) for each in found.values())) for name in names]
    return render([("method", *found), *lines])


def cell(found: pd.DataFrame, name: str) -> str:
    values = found[SEEN].reindex([name]).to_numpy(float)[0]
    if np.isnan(values[0]):
        return "–"
    mass, overlap, correlation, peak = values
    said = "–" if np.isnan(correlation) else f"{correlation:.2f}"
    return f"{100 * mass:.0f} · {100 * overlap:.0f} · {said} · {100 * peak:.0f}"


def absent(runs: Iterable[SavedRun]) -> list[tuple[str, str]]:
    """The methods of ``conf/method`` that no run has, and why."""
    seen = {str(name) for run in runs for name in run.config.method}
    every = [path.stem for path in sorted((CONF / "method").glob("*.yaml")) if is_method(path)]
    return [(name, ABSENT.get(name, "not run")) for name in every if name not in seen]


def sentence(found: dict[str, pd.DataFrame], names: tuple[str, ...], on: str, why: str) -> str:
    """A reason, with the share of the first method's map on the evidence of the task that shows it."""
    said = ", ".join(f"`{name}`" for name in names)
    if on not in found:
        return f"{said}: {why}"
    measured, best = (cell(found[on], name) for name in (names[0], "truth_layer"))
    return f"{said} (`{on}`: {measured.replace('–', 'a constant map')}, where the best of cells is {best}): {why}"


def preferences(runs: Iterable[SavedRun]) -> pd.DataFrame:
    """For each column, protocol, task and wrong map the share of pictures on which the truth has the better value."""
    lines = []
    for run in runs:
        rows = run.rows[~run.rows["degenerate"].astype(bool)]
        by_method = {str(name): each.set_index("image_id") for name, each in rows.groupby("method")}
        truth = by_method.pop("truth")
        for column in run.columns:
            sign = 1 if column.better == "higher" else -1
            for wrong, others in by_method.items():
                better = (sign * (truth[column.name] - others[column.name])).dropna()
                scores = np.where(better.abs() <= TIE, 0.5, better > 0)
                if len(scores):
                    place = {"task": task(run), "wrong": wrong, "protocol": str(run.config.protocol.name)}
                    lines.append({"column": column.name, **place, "preferred": scores.mean()})
    return pd.DataFrame(lines)


def preferred(judged: pd.DataFrame, by: str, heads: list[str]) -> str:
    """A row a column and protocol, in percent."""
    order = list(dict.fromkeys(zip(judged["column"], judged["protocol"], strict=True)))
    order.sort(key=lambda pair: list(dict.fromkeys(judged["column"])).index(pair[0]))
    means = judged.groupby(["column", "protocol", by])["preferred"].mean()
    lines = []
    for column, protocol in order:
        values = [means.get((column, protocol, head), np.nan) for head in heads]
        lines.append((column, protocol, *("–" if np.isnan(v) else f"{100 * v:.0f}" for v in values)))
    return render([("column", "protocol", *heads), *lines])


if __name__ == "__main__":
    raise SystemExit(main())

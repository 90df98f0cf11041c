"""Time camsbench side by side with torchcam, grad-cam, captum, quantus and openvino-xai, in one run on one machine.

python scripts/bench.py [--only SECTION,...] [--output results/bench] [--openvino-xai-python PATH]

Each section writes its own table, FOLDER/SECTION.md and .csv, when it ends, and then the table of targets, reach.md: a
bench that is stopped keeps what it has, and --only goes on with the rest. All sections take about an hour on 2 cores;
none takes more than about nine minutes. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"  # grad-cam's Score-CAM draws a bar, and drawing takes time

import pandas as pd
from benching import machine, reach, table
from benching.subjects import Bench
from benching.timing import Row

from camsbench import CamsbenchError
from camsbench.core.process import tune_allocator


@dataclass(frozen=True)
class Section:
    """A table: ``module.function`` of ``benching`` measures it; imported when it runs, since peers load slowly."""

    title: str
    module: str
    function: str
    options: dict[str, str] = field(default_factory=dict)

    def __call__(self, bench: Bench) -> list[Row] | pd.DataFrame:
        work = getattr(importlib.import_module(f"benching.{self.module}"), self.function)
        return work(bench, **self.options)


SECTIONS = {
    "gradients": Section(
        "Gradient CAMs and ReciproCAM against the bare forward pass, a batch of 16", "methods", "gradients"
    ),
    "reciprocam": Section("ReciproCAM on each backend, against openvino-xai", "reciprocam", "reciprocam"),
    "vgg": Section("ReciproCAM on VGG16 (random weights), the activations given", "reciprocam", "vgg"),
    "vit": Section("ReciproCAM and Grad-CAM on ViT-B/16 (random weights)", "vit", "vit"),
    "curves": Section("Insertion and deletion, maps given", "metrics", "curves"),
    "runs": Section("Methods that share a run, without metrics", "runs", "methods"),
    "efficiency": Section("Efficiency of whole runs with seven metrics", "runs", "efficiency"),
    "scorecam-torchcam": Section("Score-CAM against torchcam, one image", "methods", "scorecam", {"peer": "torchcam"}),
    "scorecam-grad-cam": Section("Score-CAM against grad-cam, one image", "methods", "scorecam", {"peer": "grad-cam"}),
    "images": Section("A run's time and peak memory by the number of images", "runs", "images"),
    "batches": Section("Cost by the images a batch", "costs", "batches"),
    "channels": Section("Cost by the channels of the layer, one image", "costs", "channels"),
    "others": Section("Other methods of torchcam and grad-cam, a batch of 4", "methods", "others"),
    "pixelwise": Section("Methods of captum, one image", "methods", "pixelwise"),
    "channelwise": Section("Methods of many passes a channel, one image", "methods", "channelwise"),
    "metrics": Section("Metrics of a pass or none, maps given", "metrics", "metrics"),
    "perturbing": Section("Metrics of many passes", "perturbing", "perturbing"),
}
TEXT = (
    "EfficientNet-Lite0 and foolbox's sample images unless the group says otherwise. `ratio`: time over that of the "
    "group's first line, the median of paired repeats that take turns; `least` and `most` of them. `difference`: the "
    "largest between two maps after min-max (between two values, of a metric), to the group's first line of camsbench "
    "or to its preset that reads the method as the peer does. Passes: F whole forward, head of it alone, B backward, "
    "tail of the head behind its first linear layer, or of few tokens. All contenders have the same threads and, but "
    "where they run as they come, the same allocator setting."
)

WHOLE = (
    "Whole runs of camsbench on EfficientNet-Lite0, images from disk to rows on disk. `efficiency`: the bare time of "
    "the passes over the run's wall time, as the run accounts for itself. Peak memory: of the command's "
    "process, as the run accounts for it."
)


def main(given: list[str] | None = None) -> int:
    """Run the sections and print their tables."""
    args = _arguments(given)
    chosen = args.only.split(",") if args.only else list(SECTIONS)
    unknown = [name for name in chosen if name not in SECTIONS]
    if unknown:
        print(f"--only {unknown[0]}: choose among {', '.join(SECTIONS)}", file=sys.stderr)
        return 1
    python: Path | None = args.openvino_xai_python
    if python is not None and not python.is_file():
        print(
            f"--openvino-xai-python {python}: there is no such file; make bench-openvino-xai makes it", file=sys.stderr
        )
        return 1
    tune_allocator()  # as camsbench's command line does: the peers gain from it, too
    bench = Bench(args.output, args.repeats, args.budget, args.smoke, python)
    failed = [name for name in chosen if not written(bench, name)]
    warning = "These numbers mean nothing: --smoke only shows that the bench works.\n\n" if bench.smoke else ""
    text = f"# Targets\n\n{warning}{reach.markdown(bench.output)}\n\n{machine.facts()}\n"
    (bench.output / "reach.md").write_text(text)
    print(text)
    return 1 if failed else 0


def written(bench: Bench, name: str) -> bool:
    """Measure a section and write it; False where it failed, which the others outlive."""
    section = SECTIONS[name]
    head, start = machine.facts(), time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peers warn of hooks and of NumPy
            found = section(bench)
    except (CamsbenchError, RuntimeError) as error:
        print(f"{name} failed: {error}", file=sys.stderr)
        return False
    rows = found if isinstance(found, pd.DataFrame) else table.frame(found)
    spent = f"{time.perf_counter() - start:.0f} s. {head}"
    text = TEXT if not isinstance(found, pd.DataFrame) else WHOLE
    if name == "reciprocam" and bench.openvino_xai_python is None:
        text += " Without openvino-xai: no environment of its own was named (make bench-openvino-xai)."
    print(table.write(bench.output, name, section.title, text, rows, spent), flush=True)
    return True


def _arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help=f"sections, with commas between: {', '.join(SECTIONS)}")
    parser.add_argument("--output", type=Path, default=Path("results/bench"))
    parser.add_argument("--repeats", type=int, help="of every measurement; without it 15 of what is fast, 5 of slow")
    parser.add_argument("--budget", type=float, default=450.0, help="seconds a section may begin repeats in (450)")
    parser.add_argument("--smoke", action="store_true", help="fewer images and steps: to see that it works")
    parser.add_argument("--openvino-xai-python", type=Path, help="the Python of an environment with openvino-xai")
    return parser.parse_args(given)


if __name__ == "__main__":
    sys.exit(main())

"""``python -m camsbench.show PHOTO``: what a network sees in a picture, and where each method says that it sees it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from camsbench.config.build import build
from camsbench.config.compose import quote_paths
from camsbench.config.job import Job
from camsbench.config.suggest import compose_or_suggest
from camsbench.core import scoring
from camsbench.core.explained import explain
from camsbench.core.noise import stream_seeds
from camsbench.core.targets import confidence_or_score
from camsbench.core.types import Split
from camsbench.data.classes import Classes
from camsbench.data.loader import Picture, read
from camsbench.data.record import Record
from camsbench.errors import CamsbenchError
from camsbench.report.figures.gallery import GalleryLine, Panel, figure_of, save

TOP = 5
BESIDE = ("metric=[complexity]", "runtime.bare=0", "data=samples")  # a run's, and not needed here


@dataclass(frozen=True)
class Shown:
    """The picture that was written, and the network's first classes with what it says of them."""

    path: Path
    top: list[tuple[int, str, str]]
    target: int


def show(photo: Path, overrides: Sequence[str] = (), target: str | None = None, output: Path | None = None) -> Shown:
    """Explain one picture and write the maps over it, a column a method.

    Args:
        photo: any picture that Pillow reads.
        overrides: options of a run, such as ``method=[gradcam,abscam]`` and ``model=vgg16``.
        target: the class that is explained, by index or name; None: the predicted one.
        output: the PNG to write; None: beside the photo's name, in the working folder.

    Raises:
        CamsbenchError: the picture cannot be read, or an option is wrong.
    """
    job = _built(photo, overrides)
    picture = read(job.records[0], job.split.preprocess)
    if picture.pixels is None:
        raise CamsbenchError(f"{photo}: {picture.error}")
    classes = Classes.of(job.split)
    chosen = None if target is None else torch.tensor([classes.index(target)], device=job.runtime.device)
    lines, logits, explained_class = _line(job, picture, chosen)
    path = output or Path(f"{photo.stem}.maps.png")
    save(figure_of(_titles(job), [lines]), path)
    return Shown(path, _first(job.split, logits), explained_class)


def _first(split: Split, logits: Tensor) -> list[tuple[int, str, str]]:
    """The classes of which the network says most, with what it says of them."""
    classes = Classes.of(split)
    index = torch.arange(classes.count, device=logits.device)
    value = confidence_or_score(split.asked, logits.expand(classes.count, *logits.shape[1:]), index)
    best = value.topk(min(TOP, classes.count))
    found = zip(best.values.tolist(), best.indices.tolist(), strict=True)
    return [(i, classes.name(i), classes.number(v)) for v, i in found]


def _built(photo: Path, overrides: Sequence[str]) -> Job:
    if not photo.is_file():
        raise CamsbenchError(f"{photo}: there is no such picture")
    cfg = compose_or_suggest([*BESIDE, *overrides])
    return build(cfg, [Record(photo.stem, photo, None)])


def _line(job: Job, picture: Picture, target: Tensor | None) -> tuple[GalleryLine, Tensor, int]:
    """The picture with its maps, the logits, and the class that is explained."""
    assert picture.pixels is not None
    panels = []
    for split in job.splits:
        x = split.preprocess.normalise(picture.pixels[None].to(job.runtime.device))
        forward = scoring.forward(split, x, target, stream_seeds(job.seed, [job.records[0].image_id]))
        name = Classes.of(split).caption(int(forward.target), float(forward.probability))
        for method in job.methods.values():
            saliency = explain(split, method, job.rule, forward).saliency[0, 0].clamp(0, 1)
            panels.append(Panel(saliency.cpu().numpy(), name))
    return GalleryLine(picture, job.records[0].image_id, panels), forward.logits, int(forward.target)


def _titles(job: Job) -> list[str]:
    several = len(job.splits) > 1
    return [f"{method}\n{split.layer}" if several else method for split in job.splits for method in job.methods]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m camsbench.show",
        description="Explain one picture: print the network's first classes, and write each method's map over it.",
        epilog="Example: python -m camsbench.show photo.jpg 'method=[gradcam,reciprocam]' model=efficientnet_lite0 "
        "--target zebra. The options are those of python -m camsbench.",
    )
    parser.add_argument("photo", type=Path, help="a picture")
    parser.add_argument("options", nargs="*", help="such as method=[gradcam,abscam], model=vgg16, model.layer=[a,b]")
    parser.add_argument("--target", help="the class that is explained: its index or its name; without it the predicted")
    parser.add_argument("--output", type=Path, help="the PNG to write; without it PHOTO.maps.png in this folder")
    args = parser.parse_args(arguments)
    try:
        shown = show(args.photo.expanduser(), quote_paths(args.options), args.target, args.output)
    except (CamsbenchError, OSError) as error:
        print(f"camsbench.show: {error}", file=sys.stderr)
        return 1
    for index, name, number in shown.top:
        print(f"{number:>8}  {index:>4}  {name}" + ("  <- explained" if index == shown.target else ""))
    print(f"maps: {shown.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

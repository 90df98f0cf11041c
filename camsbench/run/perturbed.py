"""A run's metrics again, under noise on its images and on its network's weights: what MetaQuantus compares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from camsbench.config.job import Job
from camsbench.core import scoring
from camsbench.core.columns import Column
from camsbench.core.explained import Explained, explain, measure
from camsbench.core.noise import stream_seeds
from camsbench.core.passes import Passes
from camsbench.core.types import Forward
from camsbench.data.loader import batches
from camsbench.data.record import Record
from camsbench.errors import CamsbenchError
from camsbench.models.noisy import noisy
from camsbench.models.split import TorchSplit
from camsbench.run.planning.count import plan
from camsbench.run.work import chunk
from camsbench.run.worker import shared_forward
from camsbench.tables.reliability.consistency import SIZES, WHERE, Consistency, Perturbed, Size, Where, consistency
from camsbench.tables.reliability.controls import controls_of

# MetaQuantus' settings for ImageNet.
INPUT: dict[Size, float] = {"minor": 0.001, "disruptive": 5.0}  # of uniform noise, in normalised input space
WEIGHTS: dict[Size, float] = {"minor": 0.001, "disruptive": 0.5}  # standard deviation of each weight's factor
NOISE = (
    f"Noise on the input: uniform within ±{INPUT['minor']:g} and ±{INPUT['disruptive']:g} of the normalised input, the "
    f"map that of the image without it. On weights: each multiplied by N(1, {WEIGHTS['minor']:g}²) and "
    f"N(1, {WEIGHTS['disruptive']:g}²), the map made again."
)


def passes_needed(job: Job, images: int, draws: int) -> str:
    """A sentence on the passes of ``consistencies``, counted before any of them."""
    used = min(images, len(job.records))
    total = sum((line.passes for line in plan(job.config)), Passes())
    times = used * (1 + len(WHERE) * len(SIZES) * draws)
    return (
        f"{used:,} images, {draws} draws of each noise: at most {times * total.forward:,} forward and "
        f"{times * total.backward:,} backward passes"
    )


@dataclass(frozen=True)
class _Measured:
    """The values [m,C,b] of the metrics' columns of a batch, and its predicted classes [b]."""

    values: Tensor
    predicted: Tensor


def consistencies(job: Job, images: int, draws: int) -> dict[tuple[Where, Column], Consistency]:
    """The consistencies of every metric of a run, by where the noise is.

    An image's map is made once and measured on the noisy image; on a noisy network it is made again (as the authors'
    code does). Controls are left out. The class that is explained stays that of the unperturbed pass.

    Args:
        job: the run; its first layer alone.
        images: its first ones.
        draws: of each perturbation.

    Raises:
        CamsbenchError: the run has not two methods beside controls, its network is no PyTorch module, or no image can
            be read.
    """
    split = job.split
    methods = {name: method for name, method in job.methods.items() if name not in controls_of(job.methods)}
    job = replace(job, methods=methods)
    if len(methods) < 2 or not isinstance(split, TorchSplit):
        raise CamsbenchError("consistency under noise needs a run of two methods on a network in PyTorch")
    columns = [column for column in job.columns if column.better and not column.seconds]
    passed = list(_forwards(job, split, job.records[:images]))
    if not passed:
        raise CamsbenchError(f"consistency under noise: none of the first {images} images can be read: give --images=N")
    explained = [[explain(split, method, job.rule, forward) for method in methods.values()] for _, forward in passed]
    before = _together([_measure(job, columns, each) for each in explained])

    def under(where: Where, size: Size, k: int) -> _Measured:
        if where == "input":
            each = [
                _on_images(job, columns, maps, size, k, records)
                for maps, (records, _) in zip(explained, passed, strict=True)
            ]
            return _together(each)
        network = noisy(split, WEIGHTS[size], job.seed + k)  # one at a time
        return _together([_on_network(job, columns, network, forward) for _, forward in passed])

    found = {(where, size): [under(where, size, k) for k in range(draws)] for where in WHERE for size in SIZES}
    return {
        (where, column): consistency(
            _perturbed(before, found[where, "minor"], c, moved=False),
            _perturbed(before, found[where, "disruptive"], c, moved=True),
            column.better,
        )
        for where in WHERE
        for c, column in enumerate(columns)
    }


def _perturbed(before: _Measured, drawn: Sequence[_Measured], column: int, moved: bool) -> Perturbed:
    """One column, and the images that count: those whose prediction the noise ``moved``, or left."""
    changed = torch.stack([one.predicted for one in drawn]) != before.predicted
    values = torch.stack([one.values[:, column] for one in drawn])
    return Perturbed(before.values[:, column].numpy(), values.numpy(), (changed if moved else ~changed).numpy())


def _together(parts: Sequence[_Measured]) -> _Measured:
    """Batches as one."""
    return _Measured(torch.cat([part.values for part in parts], 2), torch.cat([part.predicted for part in parts]))


def _forwards(job: Job, split: TorchSplit, records: Sequence[Record]) -> Iterator[tuple[list[Record], Forward]]:
    """The readable images with the pass that all methods share."""
    groups = chunk(range(len(records)), job.runtime.batch_size)
    for batch in batches(records, groups, split.preprocess, job.runtime.workers, pin=False):
        if batch.pixels is not None:
            readable = [records[place] for place in batch.places]
            yield readable, shared_forward(job, split, batch.pixels, batch, readable)


def _on_images(
    job: Job, columns: Sequence[Column], explained: Sequence[Explained], size: Size, k: int, records: Sequence[Record]
) -> _Measured:
    """The maps as they are, on images with uniform noise, clipped to the range that each image had."""
    forward = explained[0].forward
    x = forward.x
    seeds = stream_seeds(job.seed, (f"{record.image_id} {size} {k}" for record in records))
    draws = [torch.rand(x.shape[1:], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    noise = INPUT[size] * (2 * torch.stack(draws).to(x) - 1)
    moved = (x + noise).clamp(x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True))
    split = explained[0].split
    again = scoring.forward(split, moved, forward.target, forward.seeds).knowing(forward)
    return _measure(job, columns, [replace(one, forward=again) for one in explained])


def _on_network(job: Job, columns: Sequence[Column], split: TorchSplit, forward: Forward) -> _Measured:
    """Maps made again on a network with noisy weights."""
    again = scoring.forward(split, forward.x, forward.target, forward.seeds).knowing(forward)
    return _measure(job, columns, [explain(split, method, job.rule, again) for method in job.methods.values()])


def _measure(job: Job, columns: Sequence[Column], explained: Sequence[Explained]) -> _Measured:
    values = []
    for one in explained:
        found, _ = measure(job.metrics.values(), one)
        values.append(torch.stack([found[column.name].double().cpu() for column in columns]))
    first = explained[0]
    return _Measured(torch.stack(values), first.split.asked.predict(first.forward.logits).cpu())

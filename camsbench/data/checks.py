"""What is asked of images before a run: labels that are theirs, classes that the network has, boxes where needed.

A wrong label order is the commonest silent error of tables on ImageNet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from camsbench.core.passes import in_micro_batches
from camsbench.core.types import Split
from camsbench.data.classes import IMAGENET
from camsbench.data.loader import batches
from camsbench.data.record import Place, Record
from camsbench.errors import CamsbenchError

ENOUGH = 20  # images that tell right labels from wrong ones
WRONG = 1 / 3  # of the published accuracy: labels in another order agree with one image in a thousand
FAR = 4.0  # standard errors
OF_IMAGENET = {  # sources of images whose labels are those of ImageNet-1k
    *("camsbench.data.imagenet.ilsvrc2012", "camsbench.data.samples", "camsbench.data.embedded.samples"),
}


@dataclass(frozen=True)
class Agreement:
    """How many of ``images`` readable images a network predicts as labelled, and the accuracy published for it."""

    right: int
    images: int
    published: float | None  # percent

    @property
    def top1(self) -> float:
        """In percent; 0 where no image could be read."""
        return 100 * self.right / self.images if self.images else 0.0

    @property
    def wrong(self) -> bool:
        """Whether the labels cannot be those of the images."""
        known = self.published is not None and self.images >= ENOUGH
        return known and self.top1 < WRONG * (self.published or 0)

    def sentence(self) -> str:
        """The verdict in words."""
        said = f"top-1 {self.top1:.1f} % on {self.images} images"
        if self.published is None:
            return f"{said}; nothing is published for this network with these weights and this preprocessing"
        said += f", published {self.published} %"
        if self.images < ENOUGH:
            return f"{said}: too few images to say whether the labels are in order"
        if self.wrong:
            return f"{said}: wrong label order, or labels of other images"
        share = self.published / 100
        if self.top1 / 100 < share - FAR * sqrt(share * (1 - share) / self.images):
            return f"{said}: far below, so some labels, the weights or the pictures are not what they should be"
        return f"{said}: the labels are in order"


def agreement(split: Split, records: Sequence[Record], images: int, published: float | None) -> Agreement:
    """Predict up to ``images`` of the records that have one label, spread evenly over them."""
    records = [record for record in records if record.label is not None]
    chosen = records[:: max(1, len(records) // images)][:images]
    size = split.micro_batch.size
    groups = [list(range(i, min(i + size, len(chosen)))) for i in range(0, len(chosen), size)]
    right = seen = 0
    for batch in batches(chosen, groups, split.preprocess, workers=1, pin=False):
        if batch.pixels is None:
            continue
        x = split.preprocess.normalise(batch.pixels.to(split.device)).contiguous(memory_format=split.memory_format)
        labels = torch.tensor([chosen[place].label for place in batch.places])
        right += int((_predicted(split, x).cpu() == labels).sum())
        seen += len(x)
    return Agreement(right, seen, published)


@torch.inference_mode()
def _predicted(split: Split, x: Tensor) -> Tensor:
    return in_micro_batches(split.micro_batch, len(x), lambda chunk: split.logits(x[chunk])).argmax(1)


def refuse_wrong(found: Agreement, name: str) -> None:
    """Stop a run whose labels are wrong.

    Raises:
        CamsbenchError: they are.
    """
    if found.wrong:
        raise CamsbenchError(
            f"{name}: {found.sentence()}; see python -m camsbench.check PATH, or go on all the same with data.check=0"
        )


def check_labels(records: Iterable[Record], num_classes: int, model: str) -> None:
    """Refuse labels that the network has no class for."""
    for record in records:
        for label in record.labels:
            if 0 <= label < num_classes:
                continue
            raise CamsbenchError(
                f"label {label} of image {record.image_id} is outside the {num_classes} classes of {model}: "
                "choose a network trained on these classes"
            )


def check_imagenet(source: str | None, num_classes: int, model: str) -> None:
    """Refuse ImageNet-1k's labels for a network of other classes: indices that it has, and that mean something else."""
    if source in OF_IMAGENET and num_classes != IMAGENET:
        raise CamsbenchError(
            f"{model} has {num_classes:,} outputs, and the images' labels are ImageNet-1k's {IMAGENET:,} classes: "
            "choose a network trained on these, or images of its own classes (docs/extending.md)"
        )


def _has_place(record: Record) -> bool:
    places = [Place(record.boxes, record.mask), *record.several.values()]
    return record.truth is not None or any(place.boxes or place.mask is not None for place in places)


def check_places(records: Sequence[Record], needs: Mapping[str, frozenset[str]]) -> None:
    """Refuse what needs boxes, or a distractor, where not one image has any.

    Args:
        records: the images.
        needs: for each metric and method, as ``metric=NAME`` or ``method=NAME``, what it needs.
    """
    for who, asked in needs.items():
        if "boxes" in asked and not any(map(_has_place, records)):
            raise CamsbenchError(
                f"{who} needs boxes, and none of the {len(records)} images has one: use data that has "
                "them, or masks (data=samples, or data=ilsvrc2012 with data.boxes=PATH: the folder or archive of XML "
                f"files, or LOC_val_solution.csv), or leave the {who.partition('=')[0]} out"
            )
        if "distractor" in asked and not any(record.distractor for record in records):
            raise CamsbenchError(
                f"{who} needs images of which it is known what is there and not used, and none of the {len(records)} "
                "is one: use data=planted, or leave the method out"
            )

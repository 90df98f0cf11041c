"""The images that a configuration names: found, chosen, with their boxes, and as the network calls their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from camsbench.config.plain import plain
from camsbench.config.trust import check_targets
from camsbench.core.explained import Metric
from camsbench.core.targets import Contrast, Target
from camsbench.core.types import Explainer, Split
from camsbench.data import boxes, imagenet_s
from camsbench.data.asked import of_class, once_a_label, without_places
from camsbench.data.checks import check_imagenet, check_labels
from camsbench.data.classes import IMAGENET, Classes
from camsbench.data.found import FoundImages, LeftOut, left_out, refuse_doubles
from camsbench.data.matching import match, relabel
from camsbench.data.record import Record
from camsbench.data.selection import only_classes, select
from camsbench.errors import CamsbenchError
from camsbench.models.backends.exported import ExportedSplit
from camsbench.models.split import TorchSplit

S = TypeVar("S", bound=TorchSplit | ExportedSplit)

SELECTION = ("subset", "draw", "shuffle", "limit", "classes", "per_class")
PLACE = ("root", "layout", "labels", "boxes", "masks", "check", "file")
NUMBERED = ("index", "parquet")  # layouts of images whose labels are numbers, of whatever classes


def find_images(node: DictConfig) -> Sequence[Record]:
    """All images of ``data``, before its choices among them.

    Raises:
        CamsbenchError: they cannot be found, or two have the same id.
    """
    options = {k: v for k, v in plain(node).items() if k not in ("boxes", "masks", "check", "scale", *SELECTION)}
    check_targets("data", "data", options)
    try:
        found = instantiate(options)
    except InstantiationException as error:
        if isinstance(error.__cause__, CamsbenchError):
            raise error.__cause__ from None
        raise CamsbenchError(f"data: {error.__cause__ or error}") from error
    source: Sequence[Record] = found if isinstance(found, Sequence) else list(found)
    refuse_doubles(source)
    return source


def select_images(node: DictConfig, source: Sequence[Record]) -> list[Record]:
    """The images that ``data`` chooses of its own."""
    options = plain(node)
    chosen = {key: options.get(key) for key in SELECTION}
    found = select(source, class_names=_names(source), **chosen)
    return _scaled(only_classes(found, chosen["classes"], _names(source)), options.get("scale"))


def choose_images(node: DictConfig) -> list[Record]:
    """The images that ``data`` finds and chooses."""
    return select_images(node, find_images(node))


def add_boxes(node: DictConfig, records: list[Record], asking: Mapping[str, Metric | Explainer]) -> list[Record]:
    """The images with the boxes of ``data.boxes`` and the masks of ``data.masks``, where a metric or method asks for
    any."""
    asked = any("boxes" in getattr(one, "needs", ()) for one in asking.values())
    if asked and node.get("boxes") and not (node.boxes == "auto" and any(record.boxes for record in records)):
        records = boxes.attach_boxes(records, node.root, node.boxes)
    if asked and node.get("masks"):
        records = imagenet_s.attach_masks(records, node.root, node.masks)
    return records


def name_classes(splits: Sequence[S], source: Sequence[Record]) -> list[S]:
    """The network cut at its layers, its classes called as the data's where it has no names and they are as many.

    Raises:
        CamsbenchError: nothing says which class of the data is which of the network's.
    """
    names, classes = _names(source), Classes.of(splits[0])
    if not names or classes.names or classes.are_imagenet:
        return list(splits)
    match(names, (), classes.count, None, splits[0].name)
    return [replace(split, class_names=names) for split in splits]


def label_images(
    records: list[Record], source: Sequence[Record], split: Split, target: str | int, uses_boxes: bool
) -> tuple[list[Record], tuple[LeftOut, ...]]:
    """The images as ``target`` asks of them, their labels the network's indices, and what of them is left out.

    With ``target=label`` an image of several labels is there once for each, with the boxes of that one; with a class as
    the target its boxes are those of this class; those of a network with one value are all of it.

    Args:
        records: the chosen images.
        source: all images of the data.
        split: the network.
        target: ``predicted``, ``label`` or a class index.
        uses_boxes: whether a metric looks at them.

    Raises:
        CamsbenchError: the network has no such classes, no image has a label that is asked for, or boxes are those of
            several labels and nothing says which of them is explained.
    """
    classes = Classes.of(split)
    if names := _names(source):
        index_of = classes.index if classes.are_imagenet else None
        records = relabel(records, match(names, classes.names, classes.count, index_of, split.name))
    elif any(record.labels for record in records):
        classes.refuse_ambiguous("the data's labels are indices")
    check_labels(records, classes.count, split.name)
    if classes.count == 1 and target != "label":  # whatever is there belongs to the one output
        return records, ()
    if target == "label":
        return _labelled(records, classes, split.asked)
    if isinstance(target, int):
        return of_class(records, target), ()
    if uses_boxes and any(place.boxes or place.mask for record in records for place in record.several.values()):
        raise CamsbenchError(
            "target=predicted: the images have boxes of several labels, and nothing says which of them is explained: "
            "use target=label, or leave out the metrics that need boxes"
        )
    return without_places(records), ()


def refuse_other_classes(source: Sequence[Record], node: DictConfig, split: Split) -> None:
    """Refuse ImageNet-1k's labels for a network of other classes; numbers may be those of any."""
    numbered = getattr(source, "layout", None) in NUMBERED
    if not (numbered and split.num_classes < IMAGENET):
        check_imagenet(plain(node).get("_target_"), split.num_classes, split.name)


def _labelled(records: list[Record], classes: Classes, asked: Target) -> tuple[list[Record], tuple[LeftOut, ...]]:
    found, ignored = once_a_label(records)
    if isinstance(asked, Contrast):
        same = [record.image_id for record in found if record.label == asked.other]
        ignored += left_out("images of the class that the others are compared with", same)
        found = [record for record in found if record.label != asked.other]
    if not found:
        raise CamsbenchError(f"target=label: none of the {len(records)} images has a label: use target=predicted")
    return found, ignored


def _names(source: Sequence[Record]) -> tuple[str, ...]:
    """The names of the data's classes, where its labels count them."""
    return source.class_names if isinstance(source, FoundImages) else ()


def _scaled(records: list[Record], scale: object) -> list[Record]:
    """The images with what is black and what is white in them, from ``data.scale``."""
    if scale is None:
        return records
    pair = [float(each) for each in scale if isinstance(each, int | float)] if isinstance(scale, list) else []
    if len(pair) != 2 or not pair[0] < pair[1]:
        raise CamsbenchError(f"data.scale={scale}: give what is black and what is white, such as [0,4095]")
    return [replace(record, scale=(pair[0], pair[1])) for record in records]

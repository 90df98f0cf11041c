"""How many images a run will have, also where its data are not on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from camsbench.config.images import SELECTION, choose_images
from camsbench.config.trust import within
from camsbench.data import draws
from camsbench.data.classes import validation_id
from camsbench.data.record import Record
from camsbench.data.selection import select

CLASSES = 1000
IMAGENET = "camsbench.data.imagenet"  # the source whose images a plan may assume


def count(cfg: DictConfig) -> tuple[int, str | None]:
    """The images of a run, and a sentence where they had to be assumed; with ``target=label`` an image once a label.

    ILSVRC2012 without its folder counts as its whole validation set, from which ``data``'s own choices select.

    Raises:
        CamsbenchError: a choice of ``data`` is wrong.
    """
    node = cfg.data
    if not within(str(node.get("_target_")), (IMAGENET,)):
        return _asked(choose_images(node), cfg.target), None
    root = None if OmegaConf.is_missing(node, "root") else str(node.get("root", "."))  # embedded data have none
    if root is not None and Path(root).expanduser().is_dir():
        return len(choose_images(node)), None
    numbers = range(1, draws.VALIDATION + 1)
    whole = [Record(validation_id(number), Path(), number % CLASSES) for number in numbers]
    selection = OmegaConf.to_container(OmegaConf.masked_copy(node, [key for key in SELECTION if key in node]))
    assert isinstance(selection, dict)
    where = "data.root is not given" if root is None else f"data.root={root} is not on this machine"
    assumed = (
        f"{where}: planned for the {draws.VALIDATION:,} validation images of ILSVRC2012 and what data selects of them."
    )
    return len(select(whole, **{str(key): value for key, value in selection.items()})), assumed


def _asked(records: Sequence[Record], target: object) -> int:
    if target != "label":
        return len(records)
    return sum(len(record.several) or record.label is not None for record in records)

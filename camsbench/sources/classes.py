"""ImageNet's thousand classes, and the ids of the validation images."""

from __future__ import annotations

import re
from functools import cache

from timm.data import ImageNetInfo

from camsbench.errors import CamsbenchError

WNID = re.compile(r"n\d{8}")
OFFICIAL = re.compile(r"ILSVRC2012_val_\d{8}")
IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png", ".webp", ".bmp")


@cache
def wnids() -> dict[str, int]:
    """The class index of each wnid: its place among all 1000, never its rank among those that happen to be there."""
    return {wnid: index for index, wnid in enumerate(ImageNetInfo().label_names())}


def index_of(wnid: str, where: str) -> int:
    """The class index of a wnid.

    Raises:
        CamsbenchError: ILSVRC2012 has no such class.
    """
    if wnid not in wnids():
        raise CamsbenchError(f"{where}: {wnid} is no wnid of ILSVRC2012")
    return wnids()[wnid]


def image_id(name: str) -> str:
    """The id in a file's name: the official one where there is any (others append the wnid), else without suffix."""
    found = OFFICIAL.search(name)
    return found.group() if found else name.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def is_image(name: str) -> bool:
    """Whether a file's name is that of an image."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.rsplit("/", 1)[-1].startswith(".")


def official(number: int) -> str:
    """The id of validation image ``number``, from 1."""
    return f"ILSVRC2012_val_{number:08d}"

"""ImageNet's thousand classes, by index, wnid and name, and the ids of the validation images."""

from __future__ import annotations

import posixpath
import re
from difflib import get_close_matches
from functools import cache

from PIL import Image
from timm.data import ImageNetInfo

from camsbench.errors import CamsbenchError

WNID = re.compile(r"n\d{8}")
OFFICIAL = re.compile(r"ILSVRC2012_val_\d{8}")
IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png", ".webp", ".bmp")
PICTURE_SUFFIXES = (*IMAGE_SUFFIXES, ".tif", ".tiff", ".ppm", ".pgm")  # with those that torchvision's ImageFolder reads
IMAGENET = 1000


@cache
def class_name(index: int, num_classes: int = IMAGENET) -> str:
    """A class's English name for ImageNet's 1000 classes, the bare index for others."""
    return _info().index_to_description(index).split(",")[0] if num_classes == IMAGENET else f"class {index}"


def class_index(said: str, num_classes: int = IMAGENET) -> int:
    """The index of a class that is named by its index, its wnid, or one of its English names.

    Raises:
        CamsbenchError: no class has the name (the nearest are said), or several have it.
    """
    if is_number(said):
        if int(said) < num_classes:
            return int(said)
        raise CamsbenchError(f"class {said}: the network has classes 0 to {num_classes - 1}")
    if num_classes != IMAGENET:
        raise CamsbenchError(f"class '{said}': this network's classes have no names here; give an index")
    known = _names()
    found = known.get(said.strip().lower(), [])
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(f"{index} ({_info().index_to_description(index, detailed=True)})" for index in found)
        raise CamsbenchError(f"class '{said}' is the name of several: give the index, one of {several}")
    near = get_close_matches(said.lower(), known, n=3)
    raise CamsbenchError(
        f"class '{said}': no class of ImageNet has this name" + (f"; near are {', '.join(near)}" if near else "")
    )


@cache
def _info() -> ImageNetInfo:
    return ImageNetInfo()  # reads its tables anew each time


@cache
def _names() -> dict[str, list[int]]:
    info = _info()
    names: dict[str, list[int]] = {}
    for index in range(IMAGENET):
        for name in {*info.index_to_description(index).lower().split(", "), info.index_to_label_name(index)}:
            names.setdefault(name, []).append(index)
    return names


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


def is_image(name: str, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> bool:
    """Whether a file's name is that of an image."""
    return name.lower().endswith(suffixes) and not name.rsplit("/", 1)[-1].startswith(".")


def is_unread_picture(name: str, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> bool:
    """Whether a file's name is that of a picture of a kind that is not read, such as ``.gif``."""
    suffix = posixpath.splitext(name)[1].lower()
    hidden = posixpath.basename(name).startswith(".")
    return suffix in Image.registered_extensions() and suffix not in suffixes and not hidden


def is_number(text: str) -> bool:
    """Whether a text is a whole number from 0 up: ``str.isdigit`` takes ² for one, which ``int`` refuses."""
    return text.isascii() and text.isdecimal()


def validation_id(number: int) -> str:
    """The id of validation image ``number``, from 1."""
    return f"ILSVRC2012_val_{number:08d}"

"""What classes are called, ImageNet's thousand among them, and the names of images' files."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

from PIL import Image
from timm.data import ImageNetInfo

from camsbench.core.targets import CONFIDENCE
from camsbench.core.types import Split
from camsbench.errors import CamsbenchError

WNID = re.compile(r"n\d{8}")
OFFICIAL = re.compile(r"ILSVRC2012_val_\d{8}")
IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png", ".webp", ".bmp")
PICTURE_SUFFIXES = (*IMAGE_SUFFIXES, ".tif", ".tiff", ".ppm", ".pgm")  # with those that torchvision's ImageFolder reads
IMAGENET = 1000


@dataclass(frozen=True)
class Classes:
    """What the ``count`` classes of a network are called.

    By ``names``, as its checkpoint or ``model.classes`` says them; a thousand classes without names are ImageNet's;
    all others are numbers.
    """

    count: int = IMAGENET
    names: tuple[str, ...] = ()
    in_percent: bool = True  # whether what the network says of a class is a confidence in [0,1]

    @classmethod
    def of(cls, split: Split) -> Classes:
        return cls(split.num_classes, split.class_names, CONFIDENCE in split.asked.provides)

    @property
    def are_imagenet(self) -> bool:
        return self.count == IMAGENET and not self.names

    def name(self, index: int | None) -> str:
        """A class's name, "class 3" where it has none; "none" of a picture without a label."""
        if index is None:
            return "none"
        if self.are_imagenet:
            return _info().index_to_description(index).split(",")[0]
        return self.names[index] if self.names else f"class {index}"

    def caption(self, index: int, value: float) -> str:
        """A class with what the network says of it."""
        return f"{self.name(index)} {self.number(value)}"

    def number(self, value: float) -> str:
        """What the network says of a class: a confidence in percent, a value as it is."""
        return f"{100 * value:.2f} %" if self.in_percent else f"{value:.4g}"

    def index(self, said: str) -> int:
        """The index of a class that is named by its name, its index or, of ImageNet's, its wnid.

        Raises:
            CamsbenchError: no class has the name (the nearest are said), or several have it.
        """
        if said in self.names:
            return self.names.index(said)
        if is_number(said):
            if int(said) < self.count:
                return int(said)
            raise CamsbenchError(f"class {said}: the network has classes 0 to {self.count - 1}")
        if not self.names and not self.are_imagenet:
            raise CamsbenchError(
                f"class '{said}': this network's classes have no names here; give an index, or model.classes=FILE"
            )
        known = self._known()
        found = known.get(said.strip().lower(), [])
        if len(found) == 1:
            return found[0]
        if found:
            several = ", ".join(f"{index} ({self._in_full(index)})" for index in found)
            raise CamsbenchError(f"class '{said}' is the name of several: give the index, one of {several}")
        near = get_close_matches(said.lower(), known, n=3)
        of = "of ImageNet has" if self.are_imagenet else "of the network has"
        raise CamsbenchError(
            f"class '{said}': no class {of} this name" + (f"; near are {', '.join(near)}" if near else "")
        )

    def refuse_ambiguous(self, what: str) -> None:
        """Refuse an index where the classes' names are numbers that stand elsewhere: it may be meant as the name.

        Raises:
            CamsbenchError: they are; ``what`` says where the index stands.
        """
        for index, name in enumerate(self.names):
            if is_number(name) and int(name) != index:
                raise CamsbenchError(
                    f"{what}: the network's classes are called by numbers, and class {index} is called '{name}': "
                    "nothing says whether an index or a name is meant; give model.classes=FILE with other names, "
                    f"such as 'digit {name}'"
                )

    def _known(self) -> Mapping[str, list[int]]:
        """The indices of each name, in lower case."""
        if self.are_imagenet:
            return _imagenet_names()
        known: dict[str, list[int]] = {}
        for index, name in enumerate(self.names):
            known.setdefault(name.lower(), []).append(index)
        return known

    def _in_full(self, index: int) -> str:
        return str(_info().index_to_description(index, detailed=True)) if self.are_imagenet else self.names[index]


def class_name(index: int, num_classes: int = IMAGENET) -> str:
    """A class's English name for ImageNet's 1000 classes, the bare index for others."""
    return Classes(num_classes).name(index)


def class_index(said: str, num_classes: int = IMAGENET) -> int:
    """The index of a class that is named by its index or, of ImageNet's, its wnid or one of its English names."""
    return Classes(num_classes).index(said)


@cache
def _info() -> ImageNetInfo:
    return ImageNetInfo()  # reads its tables anew each time


@cache
def _imagenet_names() -> dict[str, list[int]]:
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

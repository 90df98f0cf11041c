"""One's own images: a folder a class, or pictures of no class in one folder."""

from __future__ import annotations

import posixpath

from camsbench.data.classes import PICTURE_SUFFIXES, is_image
from camsbench.data.found import FoundImages, LeftOut, ids, left_out, refuse_doubles, unread_pictures
from camsbench.data.record import Record
from camsbench.data.storage import Folder, Stored, locate
from camsbench.errors import CamsbenchError

SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}
UNLABELLED = "none: the pictures are unlabelled"


def folder(root: str, name: str = "folder") -> FoundImages:
    """The images below ``root``: each folder in it is a class, as torchvision's ``ImageFolder`` takes them.

    The classes are the folders' names in the order of plain strings, and all images below a class's folder are its
    own, however deep. Where ``root`` has pictures and no folder, they have no label. An image's id is its path from
    ``root`` without suffix, or with it where another would have the same. Other than ``ImageFolder``, hidden folders
    and files are no classes and no images.

    Raises:
        CamsbenchError: there is no picture, a class folder has none, or the folders are splits instead of classes.
    """
    top = locate("data.root", root)
    if isinstance(top, Stored):
        raise CamsbenchError(f"data.root={root}: this is a file; give the folder of the images")
    classes = [one for one in top.folders if not one.startswith(".")]
    loose = [one for one in top.files if is_image(one, PICTURE_SUFFIXES)]
    hidden = left_out("hidden folders", [one for one in top.folders if one.startswith(".")])
    if not classes:
        return _unlabelled(top, loose, hidden)
    if {one.lower() for one in classes} <= SPLITS:
        raise CamsbenchError(
            f"data.root={root}: its folders are {', '.join(classes)}, which are splits and no classes: give one of "
            f"them, data.root={root.rstrip('/')}/{classes[-1]}"
        )
    below = top.below()
    found = [(path, file) for path, file in below if is_image(path, PICTURE_SUFFIXES)]
    _refuse_empty(root, classes, {path.partition("/")[0] for path, _ in found})
    index = {one: place for place, one in enumerate(classes)}
    found.sort(key=lambda each: (index[each[0].partition("/")[0]], posixpath.split(each[0])))
    paths = [path for path, _ in found]
    records = [
        Record(one, file, index[path.partition("/")[0]]) for one, (path, file) in zip(ids(paths), found, strict=True)
    ]
    refuse_doubles(records)
    ignored = left_out("pictures beside the class folders, which have no class", loose)
    ignored += hidden + unread_pictures([*top.files, *(path for path, _ in below)], PICTURE_SUFFIXES)
    return FoundImages("folder", str(top), records, "the folders' names", ignored, tuple(classes))


def _unlabelled(top: Folder, loose: list[str], ignored: tuple[LeftOut, ...]) -> FoundImages:
    ignored += unread_pictures(top.files, PICTURE_SUFFIXES)
    if not loose:
        said = "".join(f" {each.sentence()}" for each in ignored)
        raise CamsbenchError(
            f"data.root={top}: there is neither a class folder nor a picture in it: give the folder that has a folder "
            f"a class, or the pictures.{said}"
        )
    records = [Record(one, top.file(path), None) for one, path in zip(ids(loose), loose, strict=True)]
    refuse_doubles(records)
    return FoundImages("folder", str(top), records, UNLABELLED, ignored)


def _refuse_empty(root: str, classes: list[str], filled: set[str]) -> None:
    empty = [one for one in classes if one not in filled]
    if empty:
        raise CamsbenchError(
            f"data.root={root}: {len(empty)} of its {len(classes)} class folders have no picture that is read "
            f"({', '.join(PICTURE_SUFFIXES)}), the first is {empty[0]}: put its images there, or move the folder away "
            "if it is no class"
        )

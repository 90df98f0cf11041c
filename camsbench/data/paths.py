"""Images that a file lists by their paths: where each of them lies, and which are not there."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import PurePosixPath

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from PIL import Image

from camsbench.data.record import ImageSource
from camsbench.data.storage import Folder, Stored, locate
from camsbench.errors import CamsbenchError

LOOKED_AT = 16  # pictures whose sides are compared with those that a file says
Sides = tuple[int, int]


class Listed:
    """Files by paths from a folder, or by whole paths and URLs of their own; each folder is listed once."""

    def __init__(self, root: Folder) -> None:
        self._root = root
        self._folders: dict[str, Folder] = {}

    def file(self, path: str) -> Stored | None:
        """The file; None where its folder, on this machine, does not have it: others say so when they are read."""
        above, name = posixpath.split(posixpath.normpath(path) if "://" not in path else path)
        folder = self._folders.get(above)
        if folder is None:
            folder = self._folders[above] = self._folder(above)
        if not isinstance(folder.fs, LocalFileSystem):
            return Stored(folder.fs, f"{folder}/{name}")
        return folder.file(name) if folder.entries.get(name) is False else None

    def every(self, paths: Sequence[str], what: str, remedy: str) -> list[Stored]:
        """All of these files, in their order.

        Args:
            paths: as ``file`` takes them.
            what: says which option names them, and what they are.
            remedy: what to do where some are missing.

        Raises:
            CamsbenchError: some are not there.
        """
        found = [(path, self.file(path)) for path in paths]
        missing = [path for path, file in found if file is None]
        if missing:
            raise CamsbenchError(
                f"{what}: {len(missing):,} of {len(paths):,} are not below {self._root}, the first is {missing[0]}: "
                f"{remedy}"
            )
        return [file for _, file in found if file is not None]

    def inside(self, path: str) -> str:
        """A path as an id names it: from the root, and the bare name of a file that lies elsewhere."""
        if "://" in path:
            return posixpath.basename(path)
        inside = posixpath.relpath(path, self._root.path) if posixpath.isabs(path) else posixpath.normpath(path)
        return posixpath.basename(path) if ".." in PurePosixPath(inside).parts else inside

    def _folder(self, above: str) -> Folder:
        if "://" in above:
            fs, path = url_to_fs(above)
            return Folder(fs, path)
        if posixpath.isabs(above):
            return Folder(LocalFileSystem(), above)
        return self._root.child(above)


def folder_of(option: str, root: str) -> Folder:
    """The folder that ``root`` names.

    Raises:
        CamsbenchError: there is none.
    """
    found = locate(option, root)
    if isinstance(found, Stored):
        raise CamsbenchError(f"{option}={root}: this is a file; give the folder of the images")
    return found


def file_of(option: str, path: str) -> Stored:
    """The file that ``path`` names.

    Raises:
        CamsbenchError: there is none.
    """
    found = locate(option, path)
    if isinstance(found, Folder):
        raise CamsbenchError(f"{option}={path}: this is a folder; give a file in it")
    return found


def refuse_resized(pictures: Sequence[tuple[ImageSource, Sides | None]], where: str) -> None:
    """See that some pictures, spread evenly, have the width and height that ``where`` says: boxes count their pixels.

    Raises:
        CamsbenchError: one has others.
    """
    known = [(source, sides) for source, sides in pictures if sides is not None]
    for source, sides in known[:: max(1, len(known) // LOOKED_AT)][:LOOKED_AT]:
        try:
            with source.open("rb") as file, Image.open(file) as image:
                own = image.size
        except Exception:  # its row will say why it cannot be read
            continue
        if own != sides:
            raise CamsbenchError(
                f"{where} says that {source.name} is of {sides[0]}x{sides[1]} pixels, and it is of {own[0]}x{own[1]}: "
                "boxes and masks are of other pictures; give the pictures as they were annotated"
            )

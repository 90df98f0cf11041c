"""ILSVRC2012's validation images, in whatever layout they are kept (``camsbench.data.layouts``)."""

from __future__ import annotations

from functools import cache

from camsbench.data import labels as tables
from camsbench.data import layouts, shards
from camsbench.data.found import FoundImages, unique
from camsbench.data.layouts import INSIDE, LAYOUTS, Lookup
from camsbench.data.storage import Folder, Stored, locate
from camsbench.errors import CamsbenchError


def ilsvrc2012(root: str, layout: str = "auto", labels: str | None = None, name: str = "ilsvrc2012") -> FoundImages:
    """The validation images under ``root``: see ``find``."""
    return find(root, layout, labels)


def find(root: str, layout: str = "auto", labels: str | None = None) -> FoundImages:
    """The validation images under ``root``, and how they were recognised.

    An image's id is the official one where its name has it, else its name without suffix; where two folders hold the
    same name, it is their path.

    Args:
        root: a folder or an archive, on this machine or behind a URL (``s3://``, ``gs://``, ``https://``).
        layout: one of ``LAYOUTS``, or ``auto``.
        labels: the file that has the labels of images that lie flat or in a tar; None looks for it beside them.

    Raises:
        CamsbenchError: nothing is there, no layout that is known, or a label that is no ImageNet class.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise CamsbenchError(f"data.layout={layout}: choose auto or one of {', '.join(LAYOUTS)}")
    top = locate("data.root", root)
    given = locate("data.labels", labels) if labels is not None else None
    if isinstance(given, Folder):
        raise CamsbenchError(f"data.labels={labels}: this is a folder; give the file that has the labels")
    if isinstance(top, Stored):
        return _of_file(top, given)
    places = [top.child(path) for path in INSIDE]
    find_labels = _lookup(given, [*places, top.above])
    found = layouts.find_images(places, find_labels, layout)
    if found is None:
        raise CamsbenchError(_nothing(root, find_labels(), layout))
    return found


def _lookup(given: Stored | None, folders: list[Folder]) -> Lookup:
    """The labels of the file that is given, or of the first that lies in ``folders``; read once."""
    return cache(lambda: tables.read_labels(given) if given else tables.find_labels(folders))


def _of_file(file: Stored, given: Stored | None) -> FoundImages:
    if file.name.endswith(".parquet"):
        return FoundImages("parquet", str(file), unique(shards.rows(file)), "the shard's column label")
    if file.name.endswith(".tar"):
        return layouts.of_tar(file, _lookup(given, [file.folder]))
    raise CamsbenchError(
        f"data.root={file}: this is a file, and no .tar and no .parquet: give the folder of the validation images"
    )


def _nothing(root: str, known: tables.Labels | None, layout: str) -> str:
    if known is not None and layout in ("auto", "flat"):
        first = next(iter(sorted(known.label)), "")
        inside = ", ".join(path or "the folder itself" for path in INSIDE)
        return (
            f"data.root={root}: {known.source} has labels, but {first}.JPEG and the images after it are in none of "
            f"{inside}: put it beside them"
        )
    sought = "neither folders named by wnid (n01440764 ...), folders 0 to 999, images with a file of labels "
    sought += f"({tables.SOLUTION}, {tables.DEVKIT}.tar.gz or val.txt), {layouts.ARCHIVE}, webdataset tars nor parquet"
    return (
        f"data.root={root}: {sought if layout == 'auto' else f'nothing of the layout {layout}'} was found in it or in "
        "its folder val: give the folder that holds them"
    )

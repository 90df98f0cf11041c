"""Images in folders named by their classes."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Callable

from camsbench.data.classes import image_id, is_image, is_unread_picture
from camsbench.data.found import LeftOut, left_out, unread_pictures
from camsbench.data.record import Record
from camsbench.data.storage import Folder, Stored
from camsbench.errors import CamsbenchError


def images_by_class(folder: Folder, class_of: Callable[[str], int | None]) -> tuple[list[Record], tuple[LeftOut, ...]]:
    """The images in ``folder``'s class folders, and what lies there and is not taken.

    Of a class the images in its own folder are taken; where there are none, those of the one folder inside of it that
    has any, as Tiny ImageNet keeps them (``n01443537/images/``).

    Args:
        class_of: the class index of a folder's name; None where it names none.
    """
    inside: dict[str, dict[str, list[tuple[str, Stored]]]] = defaultdict(lambda: defaultdict(list))
    unread: list[str] = []
    for path, file in folder.below():
        own, _, rest = path.partition("/")
        if class_of(own) is None:
            continue
        if is_image(rest):
            inside[own][posixpath.dirname(rest)].append((path, file))
        elif is_unread_picture(rest):
            unread.append(path)
    found: list[Record] = []
    deeper: list[str] = []
    for own, places in inside.items():
        taken = "" if "" in places else next(iter(places)) if len(places) == 1 else None
        label = class_of(own)
        for place, images in places.items():
            if place == taken and label is not None:
                found += [Record(image_id(file.name), file, label) for _, file in images]
            else:
                deeper += [path for path, _ in images]
    beside = [name for name in folder.files if is_image(name)]
    ignored = left_out("images in folders inside the class folders", deeper)
    ignored += left_out("images beside the class folders, which have no class", beside)
    ignored += unread_pictures(unread)
    if not found and ignored:
        said = " ".join(each.sentence() for each in ignored)
        raise CamsbenchError(f"data.root={folder}: no image lies in its class folders themselves. {said} Move them")
    return found, ignored

"""Which images of a source a run takes: a list, a frozen draw, a seeded order, some classes, the first so many."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from camsbench.data import draws
from camsbench.data.record import Record
from camsbench.errors import CamsbenchError


def select(
    records: Sequence[Record],
    subset: str | None = None,
    draw: int | Sequence[int] | None = None,
    shuffle: int | None = None,
    limit: int | None = None,
    classes: Sequence[int | str] | None = None,
    per_class: int | None = None,
    class_names: Sequence[str] = (),
) -> list[Record]:
    """The images of a run: those listed in the file ``subset``, shuffled by a seed, the first ``limit`` of them.

    ``draw`` takes a frozen draw instead, or several together (``camsbench.data.draws``): the first ``limit`` of each.
    Before the limit, ``classes`` keeps the images of these labels, in the order of ``classes``, and ``per_class`` the
    first so many of each label; of a draw they keep some. ``class_names`` are what the records' labels count, where the
    data's classes are names: then ``classes`` has names, too.

    Raises:
        CamsbenchError: the file is missing, repeats an id or names one that is not there; a draw comes with another
            choice, or has images that are not there; the limit is below 1; or nothing is left; a class has no image,
            or an image no class.
    """
    chosen = list(records)
    if subset is not None:
        chosen = _listed(chosen, Path(subset).expanduser())
    if shuffle is not None and type(shuffle) is not int:
        raise CamsbenchError(f"data.shuffle={shuffle}: give a whole number, the seed of the order, or null")
    if shuffle is not None:
        random.Random(shuffle).shuffle(chosen)
    if limit is not None and (type(limit) is not int or limit < 1):
        raise CamsbenchError(f"data.limit={limit}: give a number from 1 up, or null for all images")
    if draw is not None:
        if subset is not None or shuffle is not None:
            raise CamsbenchError(f"data.draw={draw}: a draw is a choice of its own; drop data.subset and data.shuffle")
        chosen, limit = _drawn(chosen, draw, limit), None
    chosen = _of_classes(chosen, _class_indices(chosen, classes, class_names), per_class)[:limit]
    if not chosen:
        raise CamsbenchError("data: no images are left; check data.root and data.subset")
    return chosen


def only_classes(
    records: list[Record], classes: Sequence[int | str] | None, class_names: Sequence[str] = ()
) -> list[Record]:
    """The images with those of their several labels alone that ``classes`` chooses; arguments as of ``select``."""
    if classes is None:
        return records
    wanted = {class_names.index(str(one)) if class_names else int(one) for one in classes}
    return [
        record.placed({label: place for label, place in record.several.items() if label in wanted})
        if record.several
        else record
        for record in records
    ]


def _of_classes(records: list[Record], wanted: Sequence[int] | None, per_class: int | None) -> list[Record]:
    """An image of several labels is of each of them: it stays where it is among the first of any."""
    if per_class is not None and (type(per_class) is not int or per_class < 1):
        raise CamsbenchError(f"data.per_class={per_class}: give a number from 1 up, or null for all images of a class")
    if wanted is not None:
        place = {label: i for i, label in enumerate(wanted)}
        chosen = [r for r in records if any(label in place for label in r.labels)]
        records = sorted(chosen, key=lambda r: min(place[label] for label in r.labels if label in place))
    if per_class is None:
        return records
    seen: Counter[int] = Counter()
    kept = []
    for record in records:
        if not record.labels:
            raise CamsbenchError(
                f"data.per_class={per_class}: image {record.image_id} has no label, so that it is of no class: drop "
                "the option, or choose classes with data.classes"
            )
        counted = [label for label in record.labels if wanted is None or label in wanted]
        seen.update(counted)
        if any(seen[label] <= per_class for label in counted):
            kept.append(record)
    return kept


def _class_indices(
    records: Sequence[Record], classes: Sequence[int | str] | None, names: Sequence[str]
) -> list[int] | None:
    """The labels of ``classes``: indices, or names where the data's classes have any."""
    if classes is None:
        return None
    if isinstance(classes, str | int) or len(set(classes)) < len(classes):
        example = (
            f"different class names, such as [{names[0]}]" if names else "different class indices, such as [243,282]"
        )
        raise CamsbenchError(f"data.classes={classes}: give a list of {example}")
    found: list[int] = []
    for one in classes:
        if names and one not in names:
            near = get_close_matches(str(one), names, n=3) or list(names[:3])
            raise CamsbenchError(
                f"data.classes: '{one}' is none of the {len(names)} class names of these data, which their classes are "
                f"chosen by; near are {', '.join(near)}"
            )
        if not names and type(one) is not int:
            raise CamsbenchError(
                f"data.classes: '{one}' is no class index, and these data's classes have no names here"
            )
        found.append(names.index(str(one)) if names else int(one))
    there = {label for record in records for label in record.labels}
    absent = [one for one, label in sorted(zip(classes, found, strict=True), key=lambda e: e[1]) if label not in there]
    if absent:
        raise CamsbenchError(f"data.classes: class {absent[0]} has no image in the data; leave it out")
    return found


def _drawn(records: Sequence[Record], draw: int | Sequence[int], limit: int | None) -> list[Record]:
    ids = draws.union(draw, limit)
    by_id = {r.image_id: r for r in records}
    missing = [image_id for image_id in ids if image_id not in by_id]
    if len(missing) == len(ids):
        raise CamsbenchError(
            f"data.draw={draw}: draws are of ILSVRC2012's validation images (ids like {ids[0]}), and this data has "
            "none of them; use data=ilsvrc2012, or data.shuffle=SEED with data.limit=N on other images"
        )
    if missing:
        raise CamsbenchError(
            f"data.draw={draw}: {len(missing)} of its {len(ids)} images are not in the data, the first is "
            f"{missing[0]}; put all {draws.VALIDATION:,} validation images there, or choose among those that are there "
            "with data.shuffle=SEED data.limit=N"
        )
    return [by_id[image_id] for image_id in ids]


def _listed(records: Sequence[Record], subset: Path) -> list[Record]:
    if not subset.is_file():
        raise CamsbenchError(f"data.subset={subset}: there is no such file; give a text file with one image id a line")
    lines = (line.split("#")[0].strip() for line in subset.read_text().splitlines())
    ids = [line for line in lines if line]
    twice = [image_id for image_id, count in Counter(ids).items() if count > 1]
    if twice:
        raise CamsbenchError(f"data.subset={subset}: {twice[0]} stands there more than once; remove the repeats")
    by_id = {r.image_id: r for r in records}
    unknown = [image_id for image_id in ids if image_id not in by_id]
    if unknown:
        raise CamsbenchError(
            f"data.subset={subset}: {len(unknown)} of its {len(ids)} ids are not in the data, "
            f"the first is {unknown[0]}; ids look like {records[0].image_id if records else '...'}"
        )
    return [by_id[image_id] for image_id in ids]

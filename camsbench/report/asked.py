"""``report.maps``: which images of a run show their maps in its report."""

from __future__ import annotations

from camsbench.errors import CamsbenchError


def check_maps(maps: object) -> int | str:
    """A number of first images, ``all``, or ``worst``.

    Raises:
        CamsbenchError: it is none of these.
    """
    if maps in ("all", "worst") or (isinstance(maps, int) and not isinstance(maps, bool) and maps >= 0):
        return maps
    raise CamsbenchError(f"report.maps={maps}: give a number of images from 0 up, all or worst")


def first_images(maps: int | str, images: int) -> int:
    """How many of a run's first images that is; none for ``worst``, which is known at the run's end only."""
    return images if maps == "all" else min(maps, images) if isinstance(maps, int) else 0

"""``report.maps``: which images of a run show their maps in its report."""

from __future__ import annotations

from camsbench.errors import CamsbenchError

MOST = 2000  # images with maps, beyond which a browser does not open the page


def check_maps(maps: object) -> int | str:
    """A number of first images, ``all``, or ``worst``.

    Raises:
        CamsbenchError: it is none of these.
    """
    if maps in ("all", "worst") or (isinstance(maps, int) and not isinstance(maps, bool) and maps >= 0):
        return maps
    raise CamsbenchError(f"report.maps={maps}: give a number of images from 0 up, all or worst")


def check_count(images: int, maps: int | str) -> None:
    """Refuse more images with maps than a page can hold.

    Raises:
        CamsbenchError: they are too many.
    """
    if images > MOST:
        raise CamsbenchError(
            f"report.maps={maps}: the maps of {images:,} images make a page that no browser opens; give a number up to "
            f"{MOST}, or worst"
        )


def first_images(maps: int | str, images: int) -> int:
    """How many of a run's first images that is; none for ``worst``, which is known at the run's end only."""
    return images if maps == "all" else min(maps, images) if isinstance(maps, int) else 0

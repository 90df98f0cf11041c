"""Images and their maps in a page: small encoded pictures, and a sentence for those who cannot see them."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from scipy import stats

from camsbench.data.loader import read
from camsbench.report.page.lines import ReportLine
from camsbench.report.saved_run import SavedRun
from camsbench.run.redraw import draw_missing
from camsbench.store.schema import Task

SMALL = 32  # pixels a side of the maps that are compared with each other


def pictures(run: SavedRun, lines: Mapping[int, ReportLine], images: Collection[str]) -> dict[str, dict[str, Any]]:
    """For each of ``images`` that the run has: the picture, its boxes, each line's map, and how far maps agree.

    Maps are those of the run's folder; what it lacks is explained again and saved there. A map is 8-bit grey, as WebP
    (lossy: two levels of 255), which the page colours.
    """
    draw_missing(run.job, run.folder, images)
    made = {}
    for record in run.job.records:
        if record.image_id not in images:
            continue
        picture = read(record, run.job.split.preprocess)
        if picture.pixels is None:
            continue
        height, width = picture.pixels.shape[-2:]
        maps = {}
        for place, line in lines.items():
            saliency = run.maps.load(Task(line.layer, line.method), record)
            if saliency is not None:
                maps[place] = saliency
        made[record.image_id] = {
            "src": _jpeg(picture.in_colour()),
            "width": width,
            "height": height,
            "boxes": [[round(edge, 1) for edge in box] for box in picture.boxes],
            "maps": {
                place: {"src": _webp(saliency), "alt": describe_map(saliency)} for place, saliency in maps.items()
            },
            "agree": _agreement(list(maps.values())),
        }
    return made


def describe_map(saliency: np.ndarray) -> str:
    """A saliency [H,W] in words: where it is strongest, and how much of the image is above half."""
    if not saliency.max() > saliency.min():
        return "the same everywhere (degenerate)"
    y, x = np.unravel_index(int(saliency.argmax()), saliency.shape)
    height, width = saliency.shape
    across, down = 100 * (x + 0.5) / width, 100 * (y + 0.5) / height
    return (
        f"strongest {across:.0f} % from the left and {down:.0f} % from the top; "
        f"{100 * (saliency > 0.5).mean():.0f} % of the image above half"
    )


def _agreement(maps: Sequence[np.ndarray]) -> list[list[float | None]]:
    """Spearman's rank correlation of every two maps, at ``SMALL`` pixels a side; None where one is constant."""
    small = [Image.fromarray(m.astype(np.float32)).resize((SMALL, SMALL), Image.Resampling.BOX) for m in maps]
    ranks = [stats.rankdata(m) if np.ptp(m) else None for m in map(np.asarray, small)]

    def rho(a: np.ndarray | None, b: np.ndarray | None) -> float | None:
        return None if a is None or b is None else round(float(np.corrcoef(a, b)[0, 1]), 3)

    return [[rho(a, b) for b in ranks] for a in ranks]


def _jpeg(pixels: np.ndarray) -> str:
    return _encode(Image.fromarray(pixels), "JPEG", quality=82)


def _webp(saliency: np.ndarray) -> str:
    return _encode(Image.fromarray((saliency * 255).round().astype(np.uint8)), "WEBP", quality=80)


def _encode(image: Image.Image, form: str, **options: Any) -> str:
    file = io.BytesIO()
    image.save(file, format=form, **options)
    return f"data:image/{form.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"

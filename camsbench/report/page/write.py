"""The page is put together: everything that a report says, in one file that loads nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

import camsbench
from camsbench.data.classes import Classes
from camsbench.files import publish
from camsbench.report.heading import heading
from camsbench.report.page import sections
from camsbench.report.page.agreement import agreements
from camsbench.report.page.bands import curves
from camsbench.report.page.choose import choose_images
from camsbench.report.page.columns import of_images, of_lines, with_values
from camsbench.report.page.content import content
from camsbench.report.page.input import ReportInput
from camsbench.report.page.lines import ReportLine, report_lines
from camsbench.report.page.pictures import pictures
from camsbench.report.page.provenance import provenance
from camsbench.report.page.published import paper_tables
from camsbench.report.page.standings import standings
from camsbench.report.page.table import ImageTable
from camsbench.report.page.trusted import meanings, rankings, tables
from camsbench.report.saved_run import SavedRun
from camsbench.report.trust import trust_of
from camsbench.tables.curves import curve_columns
from camsbench.tables.subgroups import MEANING

ASSETS = Path(__file__).parent / "assets"
PALETTES = ("inferno", "viridis", "cividis", "gray")  # perceptually even, and readable without colour vision


def write(given: ReportInput, output: Path, maps: int | str = 0) -> Path:
    """Write the report of some runs.

    Args:
        given: the runs and experiments.
        output: the HTML file.
        maps: which images show their maps: a number of the first ones, ``all`` or ``worst``.

    Raises:
        CamsbenchError: maps are asked for, and the network or the images are not there; or the disk is full.
    """
    runs = given.runs
    lines = report_lines(runs)
    columns = [column for column in of_images(runs) if any(with_values(line.rows, [column]) for line in lines)]
    table = ImageTable.of(lines)
    shown = _pictures(runs, lines, table, choose_images(table, columns, maps))
    title = _title(given)
    data = content(table, columns, curves(runs, lines), shown["images"], title, _classes(runs))
    board = of_lines(columns, dict.fromkeys(name for run in runs for name in curve_columns(run.rows)))
    papers = paper_tables(given.experiments)
    found = trust_of(runs)
    ranked = rankings(found, lines)
    parts: dict[str, Any] = {
        "version": camsbench.__version__,
        "title": title,
        "heading": [heading(run.config, run.rows) for run in runs],
        "warnings": sections.warnings(runs),
        "papers": papers,
        "leaderboard": sections.leaderboard(standings(runs, lines, board), board),
        "agreements": sections.agreement(agreements(lines, columns)),
        "trusted": tables(found),
        "meanings": meanings(found),
        "rankings": ranked,
        "several_settings": len({one["where"] for one in ranked}) > 1,
        "pairs": sections.pairs_table(runs),
        "subgroups": sections.subgroup_tables(runs),
        "subgroups_note": MEANING,
        "images_note": _note(shown["images"], len(table.ids), maps),
        "provenance": [provenance(run) for run in runs],
        "audit": sections.audit(),
        "packed": Markup(data.packed),
        "content": _json(data.plain | {"runs": [run.path.name for run in runs], "rankings": ranked}),
        "pictures": _json(shown),
        "css": Markup((ASSETS / "page.css").read_text()),
        "library": Markup((ASSETS / "vendor" / "echarts.min.js").read_text()),
        "js": Markup("\n".join(path.read_text() for path in sorted(ASSETS.glob("*.js")))),
    }
    parts["sections"] = _sections(parts)
    page = _template().render(parts)
    output.parent.mkdir(parents=True, exist_ok=True)
    publish(output, lambda temporary: temporary.write_text(page, encoding="utf-8"))
    return output


def _classes(runs: Sequence[SavedRun]) -> Classes | None:
    """What all the runs' networks call their classes; numbers where they differ."""
    different = {run.classes for run in runs}
    return next(iter(different)) if len(different) == 1 else Classes(0)


@cache
def _template() -> Template:
    loader = FileSystemLoader(ASSETS)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html")


def _pictures(
    runs: Sequence[SavedRun],
    lines: Sequence[ReportLine],
    table: ImageTable,
    places: Sequence[int],
) -> dict[str, Any]:
    """``images``: by place and run, what its picture and maps are; ``files``: the encoded pictures, each once."""
    files: dict[str, int] = {}
    images: dict[int, dict[int, Any]] = {place: {} for place in places}
    ids = {table.ids[place]: place for place in places}
    for number, run in enumerate(runs if places else ()):
        own = {i: line for i, line in enumerate(lines) if line.run == number}
        for image_id, found in pictures(run, own, ids.keys()).items():
            for one in (found, *found["maps"].values()):
                one["src"] = files.setdefault(one["src"], len(files))
            images[ids[image_id]][number] = found
    return {
        "images": {place: of_runs for place, of_runs in images.items() if of_runs},
        "files": list(files),
        "palettes": {name: _palette(name) for name in PALETTES} if images else {},
    }


def _palette(name: str) -> list[int]:
    """Red, green and blue of 256 levels, one after another."""
    return (mpl.colormaps[name](np.arange(256))[:, :3] * 255).round().astype(int).ravel().tolist()


def _title(given: ReportInput) -> str:
    names = [str(experiment.config.name) for experiment in given.experiments] or [run.path.name for run in given.runs]
    return " and ".join(names) if len(names) < 4 else f"{len(names)} runs"


def _note(shown: dict[int, Any], images: int, maps: int | str) -> str:
    if not shown:
        return "No maps are in this report: python -m camsbench.report RUN report.maps=N (or all, worst) puts them in."
    which = {"worst": "where the methods do worst or part most", "all": "all that could be read"}
    return f"{len(shown):,} of {images:,} images have their maps here: {which.get(str(maps), 'the first ones')}."


def _sections(parts: dict[str, Any]) -> list[tuple[str, str]]:
    papers = [(f"published-{i}", paper.title) for i, paper in enumerate(parts["papers"], 1)]
    sections = {
        "leaderboard": True,
        "subgroups": parts["subgroups"],
        "distributions": True,
        "curves": True,
        "time": True,
        "agreement": parts["agreements"],
        "metrics": parts["trusted"],
        "pairs": parts["pairs"],
        "images": True,
        "protocol": True,
        "audit": True,
    }
    return [*papers, *((name, name) for name, there in sections.items() if there)]


def _json(value: Any) -> Markup:
    """JSON that cannot end its script element."""
    return Markup(json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"))

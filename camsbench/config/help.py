"""``python -m camsbench --help``: what there is to choose, and where the rest is said. Imports no network."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from textwrap import shorten, wrap

import yaml

from camsbench.config.catalogue import GROUPS, choices
from camsbench.config.paths import CONF

FLAGS = {"--help", "-h"}
CITATION = re.compile(r" \([^()]*\b(19|20)\d\d[^()]*\)")
NARROW, WIDE = 72, 118  # columns
RUN = "python -m camsbench"
EXAMPLES = (
    ("", "Grad-CAM on the embedded network and images, in a minute"),
    (" 'method=[gradcam,reciprocam]' 'metric=[adcc,insertion]'", "methods beside each other, each metric a column"),
    (" model=resnet50 data=ilsvrc2012 data.root=DIR data.limit=500", "real ILSVRC2012; DIR as you have it"),
    (" model=timm model.name=NAME model.weights=FILE", "a network that you trained"),
    (" experiment=demo", "eight methods, seven metrics, in six minutes"),
    (" experiment=reciprocam_table1 smoke=true", "a paper's table, small; with data.root=DIR the whole"),
    (" -m model=vgg16,vgg19 method=gradcam", "one run each"),
)
GROUP_LINES = {
    "models": "the network that is explained",
    "methods": "what explains it; one, or a list",
    "metrics": "what is measured of every map; one, or a list",
    "protocols": "how maps are made and measured, after whom",
    "data": "the images",
    "experiments": "a table or figure of a paper, with all its choices",
    "executors": "who does the work",
}
OPTIONS = (
    ("data.root=DIR", "where the images lie; of data=ilsvrc2012 a folder, a .tar or a URL"),
    ("data.file=FILE", "the table of data=table, the annotations of data=coco"),
    ("data.scale=[0,4095]", "what is black and what is white in greys of more than 8 bits"),
    ("data.limit=N", "the first N images"),
    ("data.draw=0", "a frozen draw of ILSVRC2012, 0 to 9; data.limit takes its first images"),
    ("target=label", "the class that is explained: predicted, label, or a class, by its index or name"),
    ("contrast=CLASS", "why the target rather than this class: the difference of their logits"),
    ("model.layer=NAME", "where the network is cut; [a,b]: several layers, a row each"),
    ("model.weights=PATH", "your weights, a published name, or random"),
    ("model.output=binary", "what the network's outputs are: softmax, labels, binary (one logit) or value"),
    ("model.classes=FILE", "what the network's classes are called, a name a line"),
    ("model.text=FILE", "text embeddings of the classes, for networks that give embeddings as CLIP's do"),
    ("model.transform.crop=N", "how it expects its pictures: resize, crop, interpolation, mean, std"),
    ("summary.by=COLUMN", "split the summary by a column of the images' table, or by label or target"),
    ("gallery=N", "draw the maps of the first N images: gallery.png"),
    ("report.maps=N", "maps in report.html: of N images, all, or worst"),
    ("output=DIR", "the run folder; else one under results/ named after the choices"),
    ("retry=true", "images that failed before are tried again"),
    ("strict=true", "exit with 2 when an image failed"),
    ("controls=true", "add FakeCAM and a random map, which no metric may be fooled by"),
    ("++limits.scorecam=N", "fewer images for a slow method"),
    ("runtime.device=cpu", "auto (a GPU where there is one), cpu, cuda, cuda:1"),
    ("runtime.precision=bf16", "fp32, tf32, bf16 or fp16 for the passes of perturbed copies"),
    ("runtime.backend=openvino", "torch; or without gradients onnxruntime, openvino"),
    ("runtime.block=N", "images a part on disk: what a killed run can lose"),
    ("runtime.shard=3/8", "a share of the run; all shares write into one folder"),
    ("runtime.executor.processes=N", "processes on this machine"),
    ("smoke=true", "an experiment's small cells, on what is embedded"),
)
COMMANDS = (
    ("camsbench.show PHOTO", "one picture: the network's first classes, and each method's map over it"),
    ("camsbench.ls GROUP", f"the choices of a group, a line each: {', '.join(GROUPS)}"),
    ("camsbench.check PATH", "what images lie somewhere, and whether their labels are in order"),
    ("camsbench.plan OPTIONS", "passes and hours of a run, before any work"),
    ("camsbench.status RUN", "how far a run is, from another shell"),
    ("camsbench.report RUN", "finished runs as one HTML page"),
    ("camsbench.audit", "what the papers' printed numbers imply of each other"),
)
REST = (
    f"Every other option: {RUN} --cfg job prints all with their values (and with what you choose before it); the files "
    "of conf/ say what each does. An option that a group does not have is added with ++OPTION=VALUE. Brackets and "
    "spaces want quotes in a shell: 'method=[gradcam,abscam]'. Hydra, which reads all this: --hydra-help.",
)
FOLDER = (
    "rows/*.parquet (a row an image and method), summary.csv, summary.md, report.html, manifest.csv, config.yaml, "
    "environment.json, curves/*.parquet where a metric has curves; an experiment adds table.md, table.csv and "
    "table.tex, or figure.png and figure.pdf.",
    "The same command goes on where a killed run stopped; another command is refused in that folder.",
)
CODES = (
    ("0", "done"),
    ("1", "a wrong option, file or weights: one sentence says which, and what to do"),
    ("2", "an image failed, and strict=true"),
    ("130, 143", "Ctrl-C, SIGTERM: what is finished is kept"),
)


def text(width: int | None = None) -> str:
    """The help, in lines of at most ``width`` columns; without it as wide as the terminal."""
    width = max(NARROW, min(WIDE, width or shutil.get_terminal_size((100, 24)).columns))
    return "\n".join(_lines(width))


def _lines(width: int) -> Iterator[str]:
    yield from wrap(
        "camsbench measures explanations of image classifiers (class activation maps): it explains real networks' "
        "decisions with every method you choose, scores each map with every metric, and writes one table.",
        width,
    )
    yield from ("", f"Usage: {RUN} [GROUP=CHOICE ...] [OPTION=VALUE ...]", "", "Examples")
    for command, said in EXAMPLES:
        yield from wrap(f"# {said}", width, initial_indent="  ", subsequent_indent="  # ")
        yield f"  {RUN}{command}"
    yield from ("", "Choices (GROUP=CHOICE; * without being asked)")
    defaults = _defaults()
    for group, about in GROUP_LINES.items():
        folder = GROUPS[group]
        yield from ("", f"  {folder}=  {about}")
        marks = {True: "*", False: ""}
        found = [(name + marks[name in defaults.get(folder, ())], _brief(said)) for name, said in choices(group)]
        if group == "methods":
            names = " ".join(name for name, _ in found)
            yield from wrap(names, width, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
            yield f"    {RUN}.ls methods says what each is"
        else:
            yield from _table(found, width, indent=4, cut=True)
    yield from ("", "Options (OPTION=VALUE), those most used")
    yield from _table(OPTIONS, width)
    yield from (line for part in REST for line in ("", *wrap(part, width, break_on_hyphens=False)))
    yield from ("", "Other commands (each has its --help)")
    yield from _table([(f"python -m {name}", said) for name, said in COMMANDS], width)
    yield from ("", "The run folder")
    for part in FOLDER:
        yield from wrap(part, width, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    yield from ("", "Exit code")
    yield from _table(CODES, width)


def _table(lines: Sequence[tuple[str, str]], width: int, indent: int = 2, cut: bool = False) -> Iterator[str]:
    """Names and what is said of each, wrapped beside them, or ``cut`` to a line."""
    column = indent + 2 + max(len(name) for name, _ in lines)
    for name, said in lines:
        room = width - column
        parts = [shorten(said, room, placeholder=" …")] if cut else wrap(said, room, break_on_hyphens=False)
        yield f"{' ' * indent}{name}".ljust(column) + parts[0]
        yield from (" " * column + part for part in parts[1:])


def _brief(said: str) -> str:
    """Without who published it, which ``camsbench.ls`` says."""
    return CITATION.sub("", said)


def _defaults() -> dict[str, list[str]]:
    """The choices of each group that a run without options makes."""
    found: dict[str, list[str]] = {}
    for one in yaml.safe_load((CONF / "config.yaml").read_text())["defaults"]:
        for group, chosen in one.items() if isinstance(one, dict) else ():
            found[group] = [chosen] if isinstance(chosen, str) else list(chosen or ())
    for one in yaml.safe_load((CONF / "runtime" / "default.yaml").read_text())["defaults"]:
        if isinstance(one, dict):
            found |= {f"runtime/{group}": [chosen] for group, chosen in one.items()}
    return found

"""The targets of the project, and whether the tables on disk reach them."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benching.timing import paired

COMES = ", as it comes"  # with the allocator's own settings; without it: with camsbench's


@dataclass(frozen=True)
class Target:
    """One line: ``found`` reads the sections' tables and gives the number and what it was read from."""

    what: str
    aim: float
    most: bool  # whether the number may be at most ``aim``, or at least
    found: Callable[[Path], tuple[float, str]]

    def line(self, folder: Path) -> str:
        """A line of the table."""
        sign = "at most" if self.most else "at least"
        try:
            number, holds = self.found(folder)
        except (FileNotFoundError, KeyError) as error:
            return f"| {self.what} | {sign} {self.aim:g} | – | not measured | {_why(error)} |"
        met = number <= self.aim if self.most else number >= self.aim
        short = abs(number / self.aim - 1)
        verdict = "met" if met else f"not met, by {100 * short:.0f} %"
        return f"| {self.what} | {sign} {self.aim:g} | {number:.2f} | {verdict} | {holds} |"


def markdown(folder: Path) -> str:
    """The table of all targets."""
    head = "| what | target | reached | | read from, and what holds it |\n|---|---|---:|---|---|"
    return "\n".join([head, *(target.line(folder) for target in targets())])


def runs(folder: Path, section: str, group: str) -> dict[str, list[float]]:
    """Seconds of each repeat of each contender of a group, named in full or up to its first comma.

    Raises:
        FileNotFoundError, KeyError: the section, or the group, was not measured.
    """
    table = pd.read_csv(folder / f"{section}.csv", dtype=str)  # one repeat reads as a number otherwise
    rows = table[(table["group"] == group) | table["group"].str.startswith(f"{group},")]
    if rows.empty:
        raise KeyError(f"{section} has no {group}")
    return {
        name: [float(run) for run in text.split()] for name, text in zip(rows["contender"], rows["runs"], strict=True)
    }


def ratio(section: str, group: str, slow: tuple[str, ...], quick: str) -> Callable[[Path], tuple[float, str]]:
    """How many times as long the fastest of ``slow`` takes (names by their beginning), as paired medians."""

    def found(folder: Path) -> tuple[float, str]:
        measured = runs(folder, section, group)
        chosen = [name for name in measured if name.startswith(slow) and (COMES in name) == (COMES in slow[0])]
        rivals = {name: paired(measured[name], measured[quick]) for name in chosen}
        if not rivals:
            raise KeyError(f"{section} has no {' or '.join(slow)}")
        name = min(rivals, key=lambda one: statistics.median(rivals[one]))
        spread = f"{min(rivals[name]):.2f} to {max(rivals[name]):.2f} in {len(rivals[name])} repeats"
        return statistics.median(rivals[name]), f"{name}, {spread}"

    return found


def scorecam(quick: str, how: str = "") -> Callable[[Path], tuple[float, str]]:
    """Against the faster of two peers, whichever section it lies in; ``how``: what follows their names."""

    def found(folder: Path) -> tuple[float, str]:
        both = [
            ratio(f"scorecam-{peer}", "Score-CAM", (f"{peer}{how}",), quick)(folder)
            for peer in ("torchcam", "grad-cam")
        ]
        return min(both)

    return found


def over_bare(method: str) -> Callable[[Path], tuple[float, str]]:
    """Time over the bare forward's; what is above 1 is the gradient, the map, its resize and min-max."""

    def found(folder: Path) -> tuple[float, str]:
        measured = runs(folder, "gradients", method)
        times = paired(measured["camsbench, torch"], measured["bare forward, torch"])
        least = min(times)
        over = statistics.median(
            a - b for a, b in zip(measured["camsbench, torch"], measured["bare forward, torch"], strict=True)
        )
        said = f"{least:.2f} to {max(times):.2f} in {len(times)} repeats; {1000 * over:.0f} ms a batch above bare"
        return statistics.median(times), said

    return found


def single(section: str, group: str, column: str) -> Callable[[Path], tuple[float, str]]:
    """One cell of a table without repeats."""

    def found(folder: Path) -> tuple[float, str]:
        table = pd.read_csv(folder / f"{section}.csv")
        row, *_ = table[table["group"] == group].to_dict("records")
        return float(row[column]), f"{row['images']} images, {row['seconds']:.1f} s"

    return found


def memory(folder: Path) -> tuple[float, str]:
    """Peak of the most images over that of the fewest."""
    table = pd.read_csv(folder / "images.csv").sort_values("group")
    first, last = table.iloc[0], table.iloc[-1]
    peak = "MiB at the peak"
    return last[peak] / first[
        peak
    ], f"{last[peak]:.0f} MiB at {last['group']} images, {first[peak]:.0f} at {first['group']}"


def targets() -> list[Target]:
    """The lines of the project's table "To reach"."""
    torch, openvino = "camsbench, torch", "camsbench, openvino"
    gradients = ("gradcam", "gradcampp", "xgradcam", "abscam_init", "reciprocam")
    return [
        *(
            Target(f"Score-CAM, {backend}, against the faster of torchcam and grad-cam{how}", aim, False, read)
            for how in (COMES, "")
            for backend, aim, read in (("torch", 3, scorecam(torch, how)), ("openvino", 6, scorecam(openvino, how)))
        ),
        *(Target(f"{name}, batch 16, over a bare forward", 1.10, True, over_bare(name)) for name in gradients),
        *(
            Target(
                f"ReciproCAM on OpenVINO against openvino-xai, {precision}, batch {n}",
                aim,
                False,
                ratio("reciprocam", f"batch {n}", (f"openvino-xai, {precision}",), openvino),
            )
            for precision in ("fp32", "as it comes")  # its default is bf16 where the processor has it
            for n, aim in ((1, 1), (16, 1.5))
        ),
        Target(
            "ReciproCAM on VGG16 against the plain batched head, 196 cells",
            4.5,
            False,
            ratio("vgg", "vgg16", ("a pass a cell",), torch),
        ),
        *(
            Target(
                f"ReciproCAM on ViT-B/16 against the plain batched head, 196 cells, mask {mask}",
                3,
                False,
                ratio("vit", f"ReciproCAM, {mask}", ("a pass a cell, all queries",), f"{torch}, a token of each kind"),
            )
            for mask in ("cell", "gaussian")
        ),
        Target(
            "ViT-ReciproCAM on ViT-B/16 against the plain batched head, 196 tokens, mask gaussian",
            3,
            False,
            ratio("vit", "ViT-ReciproCAM, gaussian", ("a pass a cell, all queries",), f"{torch}, one query"),
        ),
        Target(
            "Grad-CAM on ViT-B/16, batch 16, over a bare forward",
            1.15,
            True,
            ratio("vit", "Grad-CAM", (torch,), "bare forward, all queries"),
        ),
        *(
            Target(f"{what}{how}", 2, False, ratio("curves", group, (f"{peer}{how}",), torch))
            for how in (COMES, "")
            for what, group, peer in (
                ("insertion + deletion against torchcam", "insertion + deletion", "torchcam"),
                ("deletion against quantus, PixelFlipping", "deletion", "quantus, PixelFlipping"),
            )
        ),
        Target(
            "four methods in one run against four runs",
            1.4,
            False,
            ratio("runs", "four methods", ("four runs",), "one run of four methods"),
        ),
        *(
            Target(f"efficiency of a whole run: {name}", aim, False, single("efficiency", name, "efficiency"))
            for name, aim in (
                ("methods and metrics, torch", 0.85),
                ("methods and metrics, openvino", 0.85),
                ("scorecam, torch", 0.93),
                ("scorecam, openvino", 0.93),
            )
        ),
        Target("peak memory of 1000 images against 100", 1.05, True, memory),
    ]


def _why(error: Exception) -> str:
    name = getattr(error, "filename", None)
    return f"the section {Path(name).stem} was not run" if name else str(error.args[0])

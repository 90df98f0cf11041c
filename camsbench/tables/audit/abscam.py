"""Checks of Abs-CAM (Zeng et al. 2022): shares of 500 and of 300 images, times, and what the text claims."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

from camsbench.tables.audit.finding import HOLDS, IMPOSSIBLE, REMARK, WRONG, Finding, nearest_share, smallest_fitting
from camsbench.tables.published import Published, load

TABLE2 = "abscam_table2"
TABLE3 = "abscam_table3"
OWN, INIT = "Abs-CAM", "Abs-CAM_init"
TIMED = 5500  # images of the times (section 4.2)
CHANNELS = 512  # of VGG16's last convolution
PEAK = 989.0  # TFLOP/s: NVIDIA H100 SXM, dense fp16, the fastest card of the paper's year
PEAK_FP32 = 67.0  # the same card without tensor cores

# VGG16 on 224 × 224: channels in, channels out, side of the map; then the fully connected layers.
CONVOLUTIONS = (
    (3, 64, 224), (64, 64, 224), (64, 128, 112), (128, 128, 112), (128, 256, 56), (256, 256, 56), (256, 256, 56),
    (256, 512, 28), (512, 512, 28), (512, 512, 28), (512, 512, 14), (512, 512, 14), (512, 512, 14),
)  # fmt: skip
LINEAR = ((25088, 4096), (4096, 4096), (4096, 1000))


def vgg16_gflop() -> float:
    """GFLOP of a forward pass of VGG16, a multiplication and an addition counted as two."""
    multiplied = sum(9 * a * b * side**2 for a, b, side in CONVOLUTIONS) + sum(a * b for a, b in LINEAR)
    return 2 * multiplied / 1e9


def findings() -> list[Finding]:
    """All checks of the paper's two tables with numbers."""
    two, three = load(TABLE2), load(TABLE3)
    return [
        *_shares(two, "increase", "Inc", 500, 100),
        *_best(two),
        *_noise(two, "increase", "Inc", 500, 100),
        *_text(two),
        *_other_paper(two),
        *_shares(three, "pointing_accuracy", "Accuracy", 300, 1),
        *_best(three, ("pointing_accuracy",)),
        *_noise(three, "pointing_accuracy", "Accuracy", 300, 1),
        *_times(three),
    ]


def _shares(table: Published, column: str, title: str, n: int, whole: int) -> Iterator[Finding]:
    unit = " %" if whole == 100 else ""
    cells = [table.cells[keys, column] for keys in table.lines]
    for keys, cell in zip(table.lines, cells, strict=True):
        k, possible = nearest_share(cell, n, whole)
        exact = cell.value / whole * n
        around = ", ".join(
            f"{i}/{n} = {whole * i / n:.{cell.decimals + 1}f}{unit}" for i in (int(exact), int(exact) + 1)
        )
        said = (
            f"{k}/{n} = {whole * k / n:.{cell.decimals + 1}f}{unit}"
            if possible
            else f"of {n} images a share is a multiple of 1/{n}: {cell.text}{unit} would be {exact:.1f} of them "
            f"({around})"
        )
        yield Finding(TABLE2 if whole == 100 else TABLE3, f"{keys[0]}, {title}", cell.text, said,
                      HOLDS if possible else IMPOSSIBLE, keys, column)  # fmt: skip
    smallest = smallest_fitting(cells, whole)
    good = sum(nearest_share(cell, n, whole)[1] for cell in cells)
    yield Finding(
        table.name,
        f"all lines, {title}",
        f"{n} images",
        f"{good} of {len(cells)} are possible; the smallest number of images for which all are is {smallest}, and "
        "1000 is one",
        REMARK,
    )


def _best(table: Published, columns: tuple[str, ...] | None = None) -> Iterator[Finding]:
    chosen = [c for c in table.columns if columns is None or c.name in columns]
    lost = []
    for column in chosen:
        values = {keys[0]: table.cells[keys, column.name].value for keys in table.lines}
        best = (max if column.better == "higher" else min)(values, key=lambda m, v=values: v[m])  # type: ignore[misc]
        lost += [f"{column.title}: {best}"] if best != OWN else []
    yield Finding(
        table.name,
        "section 4: Abs-CAM outperforms the others",
        "best in " + ", ".join(c.title for c in chosen),
        "; ".join(lost) or "it is, in every one of them",
        WRONG if lost else HOLDS,
    )


def _noise(table: Published, column: str, title: str, n: int, whole: int) -> Iterator[Finding]:
    values = sorted(((table.cells[keys, column].value / whole, keys[0]) for keys in table.lines), reverse=True)
    (first, own), (second, rival) = values[:2]
    error = sqrt(first * (1 - first) / n)
    yield Finding(
        table.name,
        f"{own} against {rival}, {title}",
        f"{first * whole:g} against {second * whole:g}",
        f"{(first - second) * n:.0f} of {n} images; one such share alone has a standard error of "
        f"{error * whole:.{1 if whole == 100 else 3}f}, that is {error * n:.0f} images: no order follows without the "
        "paired images",
        REMARK,
    )


def _text(table: Published) -> Iterator[Finding]:
    cell = table.cells[("Group-CAM",), "insertion"]
    yield Finding(
        TABLE2,
        "Group-CAM, Insertion",
        cell.text,
        f"{cell.decimals} decimals where its column has {table.decimals('insertion')}: rounding may hide "
        f"{cell.half:g}, and Score-CAM's 0.4929 lies within it",
        REMARK,
    )
    init, own = table.cells[(INIT,), "insertion"], table.cells[(OWN,), "insertion"]
    yield Finding(
        TABLE2,
        "Eq. 5 with one score Y_c(M1)",
        f"Insertion {init.text} and {own.text}",
        "Y_c(M1)·M0 is M0 times a positive number: the same order of pixels, hence the same Insertion, Deletion and "
        "Pointing as Abs-CAM_init, which are printed as different; so the score must differ by channel (Algorithm 1)",
        REMARK,
    )


def _other_paper(table: Published) -> Iterator[Finding]:
    other = load("reciprocam_table1")
    names = {"Grad-CAM": "GradCAM", "Grad-CAM++": "GradCAM++", "SGCAM++": "SGradCAM++", "Score-CAM": "ScoreCAM"}
    for column, whole in (("drop", 1), ("increase", 1), ("insertion", 100), ("deletion", 100)):
        pairs = [
            f"{name} {table.cells[(name,), column].value * whole:.2f} and {other.cells[('VGG-16', twin), column].text}"
            for name, twin in names.items()
        ]
        yield Finding(
            TABLE2,
            f"{column}, against ReciproCAM's Table 1 on VGG-16",
            "the same network and methods",
            f"percent here and there: {', '.join(pairs)}: two protocols, not two measurements",
            REMARK,
        )


def _times(table: Published) -> Iterator[Finding]:
    time = {keys[0]: table.cells[keys, "time_s"].value for keys in table.lines}
    gflop = vgg16_gflop()
    for name, passes, why in (
        ("Score-CAM", CHANNELS + 1, f"{CHANNELS} channels and the image itself"),
        (OWN, CHANNELS + 1, f"Algorithm 1 passes each of {CHANNELS} channels, and the image"),
        ("Group-CAM", 33, "32 groups and the image"),
    ):
        rate = TIMED * passes / time[name]
        power = rate * gflop / 1000
        fast = power > PEAK
        limit = (
            f"the fastest card of that year peaks at {PEAK:.0f} (dense fp16), so that even half the channels are too "
            "many"
            if fast
            else f"above the {PEAK_FP32:.0f} of the fastest card of that year in fp32"
        )
        said = (
            f"{why}: {TIMED} × {passes} / {time[name]} = {rate:,.0f} forward passes of VGG16 a second; at "
            f"{gflop:.1f} GFLOP each {power:,.0f} TFLOP/s, {limit}"
        )
        keys = (name,)
        yield Finding(TABLE3, f"{name}, Time", f"{time[name]} s", said, IMPOSSIBLE if fast else REMARK, keys, "time_s")
    score, smooth = time["Score-CAM"] - time["Grad-CAM"], time["SGCAM++"] - time["Grad-CAM"]
    own = time[OWN] - time[INIT]
    yield Finding(
        TABLE3,
        "Score-CAM against SGCAM++",
        f"{time['Score-CAM']} and {time['SGCAM++']} s",
        f"beyond Grad-CAM: {score:.2f} s for {CHANNELS} passes an image, {smooth:.2f} s for a few noisy copies "
        f"(unstated; 4: {smooth / TIMED / 4 * 1e6:.0f} µs each, Score-CAM's {score / TIMED / CHANNELS * 1e6:.1f} µs)",
        REMARK,
    )
    yield Finding(
        TABLE3,
        "Abs-CAM's second phase against Score-CAM's",
        f"{time[OWN]} and {time[INIT]} s",
        f"({time[OWN]} − {time[INIT]})/({time['Score-CAM']} − {time['Grad-CAM']}) = {own:.2f}/{score:.2f} = "
        f"{own / score:.3f}: a pass a channel too, as Algorithm 1 says, not one",
        REMARK,
    )
    yield Finding(
        TABLE3,
        "section 4.2: Time",
        "the same order of magnitude",
        f"{max(time.values())}/{min(time.values())} = {max(time.values()) / min(time.values()):.2f} as printed; "
        f"{CHANNELS} passes beside two would be two orders",
        REMARK,
    )

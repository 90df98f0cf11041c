"""Two hand-made images, and what every metric says of them in every protocol, on paper.

An image has 32×32 pixels in four bands of 8 rows, and the layer 4×4 cells, each of which shows its
band: ``marks``, Σ relu(red − 1); ``light``, max relu(green); ``dark``, max relu(−blue − 1/2). The map is relu(marks +
light − dark). With ``odds(s) = 2^s/(1 + 2^s)`` the probability of class 0 is odds(marks + light − dark of all
bands − 10).

                marks in column 0                 light  dark             map           probability
    image 0     red 3 row 0, 5 row 11, 2 row 28   1      0                (3, 5, 1, 2)  odds(7 + 4 − 0 − 10) = odds(1)
    image 1     red 4 row 0, 8 row 11, 2 row 28   1      blue −6.5 row 20 (4, 8, 0, 2)  odds(11 + 4 − 6 − 10) = odds(−1)

Both maps are (1/2, 1, 0, 1/4) after min-max. Bilinear over 8 rows a band, they are 1/2 in rows 0-3, then rise by 1/16
from 17/32 in row 4 to 31/32 in row 11, fall by 1/8 from 15/16 in row 12 to 1/16 in row 19, rise by 1/32 from 1/64 in
row 20 to 15/64 in row 27, and are 1/4 in rows 28-31: every row has its own place in the order, but for those that tie
at a border, which go from above. A black pixel is −1, so light 0 and dark 1/2.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from quick import QuickRun
from torch import Tensor, nn

from camsbench.config.compose import compose_config
from camsbench.config.instantiate import make_metrics
from camsbench.core import scoring
from camsbench.core.explained import Explained, explain
from camsbench.core.preprocess import Preprocess
from camsbench.core.saliency import SaliencyRule, upsample
from camsbench.core.types import Forward, Split
from camsbench.errors import CamsbenchError
from camsbench.metrics._ranking import cell_rank
from camsbench.metrics.curves import Curve
from camsbench.models.split import TorchSplit, cut
from camsbench.store.folder import RunFolder

MASKED = ("drop", "increase", "coherency", "complexity", "adcc")
ALL = ("drop", "increase", "insertion", "deletion", "coherency", "complexity", "adcc")
PLACES = [
    11,
    12,
    10,
    9,
    13,
    8,
    7,
    14,
    6,
    5,
    15,
    4,
    0,
    1,
    2,
    3,
    16,
    17,
    28,
    29,
    30,
    31,
    27,
    26,
    18,
    25,
    24,
    23,
    22,
    19,
    21,
    20,
]


class Bands(nn.Module):
    """Marks, light and dark of the four bands, and the odds of class 0."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.ReLU()
        self.fc = nn.Linear(3, 2)
        with torch.no_grad():
            self.fc.weight.copy_(np.log(2) * torch.tensor([[1.0, 1, -1], [0, 0, 0]]))
            self.fc.bias.copy_(np.log(2) * torch.tensor([-10.0, 0]))

    def forward(self, x: Tensor) -> Tensor:
        bands = x.unflatten(2, (4, 8)).flatten(3)  # [B,3,4,256]
        marks = (bands[:, 0] - 1).relu().sum(-1)
        light, dark = bands[:, 1].relu().amax(-1), (-bands[:, 2] - 0.5).relu().amax(-1)
        A = torch.stack((marks, light, dark), 1)[..., None].expand(-1, -1, -1, 4)  # [B,3,4,4]
        return self.fc(self.cells(A).mean(3).sum(2))


@dataclass(frozen=True)
class Shown:
    """A method whose map is what the cells show: exact numbers, so that equal rows stay equal when they are resized."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        return (forward.A[:, 0] + forward.A[:, 1] - forward.A[:, 2]).relu()


@pytest.fixture(scope="module")
def bands() -> TorchSplit:
    preprocess = Preprocess(resize=32, crop=32, interpolation="bilinear", mean=[0.5] * 3, std=[0.5] * 3)  # black: −1
    return cut(Bands().eval().requires_grad_(False), "cells", preprocess, name="bands")


@pytest.fixture
def pair() -> Tensor:
    x = torch.zeros(2, 3, 32, 32)
    x[:, 1] = 1
    x[0, 0, [0, 11, 28], 0] = torch.tensor([3.0, 5, 2])
    x[1, 0, [0, 11, 28], 0] = torch.tensor([4.0, 8, 2])
    x[1, 2, 20, 0] = -6.5
    return x


def odds(exponent: float) -> float:
    return float(2**exponent / (1 + 2**exponent))


def measured(bands: TorchSplit, pair: Tensor, *overrides: str, metrics: tuple[str, ...] = ALL) -> dict[str, list[Any]]:
    """What the metrics give as the configuration of a run sets them."""
    cfg = compose_config([f"metric=[{','.join(metrics)}]", *overrides])
    forward = scoring.forward(bands, pair, torch.tensor([0, 0]), (0, 0))
    subject = explain(bands, Shown(), SaliencyRule(**cfg.protocol.saliency), forward)
    return {name: value.tolist() for m in make_metrics(cfg).values() for name, value in m(subject).items()}


def test_the_images(bands: TorchSplit, pair: Tensor) -> None:
    forward = scoring.forward(bands, pair, torch.tensor([0, 0]), (0, 0))
    assert forward.probability.tolist() == pytest.approx([2 / 3, 1 / 3])
    subject: Explained = explain(bands, Shown(), SaliencyRule("normalise_then_upsample"), forward)
    assert subject.raw[:, :, 0].tolist() == [[3, 5, 1, 2], [4, 8, 0, 2]]
    rows = subject.saliency[:, 0, :, 5].numpy()
    assert rows[0] == pytest.approx(np.interp((np.arange(32) + 0.5) / 8 - 0.5, range(4), [0.5, 1, 0, 0.25]))
    assert np.argsort(-rows[0], kind="stable").tolist() == PLACES


def trapezoid(points: list[float]) -> float:
    return sum(points) - (points[0] + points[-1]) / 2


def curve(start: float, events: list[tuple[int, float]], step: int, steps: int) -> list[float]:
    """Points of a curve: ``events`` are (after so many pixels or cells, what the exponent gains)."""
    return [odds(start + sum(gain for n, gain in events if k * step >= n)) for k in range(steps + 1)]


# In the order of PLACES row r at place k has its column 0 at pixel 32·k + 1 and ends with pixel 32·(k + 1):
# row 11 is at place 0, row 0 at 12, row 28 at 18, row 20 at 31. Bands 1, 0, 3, 2 begin with rows 11 (pixel 1),
# 7 (193), 28 (577), 16 (513) and end with rows 15 (352), 3 (512), 24 (864), 20 (1024).
MARKS: list[list[tuple[int, float]]] = [[(1, 4), (385, 2), (577, 1)], [(1, 7), (385, 3), (577, 1)]]  # of either image
BEGIN, END = (1, 193, 513, 577), (352, 512, 864, 1024)
DARK: list[list[tuple[int, float]]] = [[], [(993, 6)]]  # the dark pixel is the first of the last row
FULL = [1.0, -1.0]


def deletion(image: int, black: bool) -> list[tuple[int, float]]:
    events = [(n, -gain) for n, gain in MARKS[image]] + [(n, -1.0) for n in END]  # marks go; a band's light goes last
    if not black:
        return events + DARK[image]
    dark = [(n, -0.5) for n in BEGIN]  # a band is dark by 1/2 with its first black pixel
    if image == 1:  # but band 2 was dark by 6, and is dark by 1/2 when that pixel turns black
        dark = [(n, -0.5) for n in BEGIN if n != 513] + [(993, 5.5)]
    return events + dark


def insertion(image: int, black: bool) -> list[tuple[int, float]]:
    if not black:  # from a substrate that is as light as the image, and holds neither marks nor dark
        return MARKS[image] + [(n, -gain) for n, gain in DARK[image]]
    dark = [(n, 0.5) for n in END]  # a band is not dark any more with its last pixel
    if image == 1:
        dark = [(n, 0.5) for n in END if n != 1024] + [(993, -5.5)]
    return MARKS[image] + [(n, 1.0) for n in BEGIN] + dark


def drops(exponents: tuple[float, float]) -> list[float]:
    """The relative drop of both images, whose masked images have these exponents."""
    return [max(0, odds(full) - odds(s)) / odds(full) for full, s in zip(FULL, exponents, strict=True)]


def adcc(row: dict[str, list[Any]]) -> list[float]:
    parts = zip(row["drop"], row["coherency"], row["complexity"], strict=True)
    return [3 / (1 / coherency + 1 / (1 - complexity) + 1 / (1 - drop)) for drop, coherency, complexity in parts]


def check(row: dict[str, list[Any]], **expected: list[float]) -> None:
    for name, values in expected.items():
        assert row[name] == pytest.approx(values, abs=2e-5), name


# Under the bilinear mask the marks of image 0 are 3·1/2 − 1 = 1/2, 5·31/32 − 1 = 123/32 and 2/4 − 1 < 0, so 4.34375,
# and its light is 23/32 + 31/32 + 7/16 + 1/4 = 2.375 (rows 7, 11, 16, 28): 4.34375 + 2.375 − 10 = −3.28125. Of image 1
# the marks are 4/2 − 1 = 1 and 8·31/32 − 1 = 27/4, so 7.75, and the dark is gone, 6.5/64 < 1/2: 7.75 + 2.375 − 10 =
# 0.125.
SOFT = (-3.28125, 0.125)
# Their maps, band by band, for coherency: marks + light − dark.
AGAIN = [[1.21875, 4.8125, 0.4375, 0.25], [1.71875, 7.71875, 0.4375, 0.25]]
FIRST = [0.5, 1, 0, 0.25]


def interpolated(values: list[float]) -> Any:
    return np.interp((np.arange(32) + 0.5) / 8 - 0.5, range(4), values)


def coherencies(again: list[list[float]], image: bool) -> list[float]:
    first = interpolated(FIRST) if image else FIRST
    return [(np.corrcoef(first, interpolated(m) if image else m)[0, 1] + 1) / 2 for m in again]


def test_poppi(bands: TorchSplit, pair: Tensor) -> None:
    row = measured(bands, pair, "protocol=poppi")
    check(row, drop=drops(SOFT), increase=[0, 1])
    check(row, drop=[1 - 1.5 * odds(-3.28125), 0], coherency=coherencies(AGAIN, image=True), complexity=[0.4375] * 2)
    # 1024//100 = 10 pixels a step, 1000 in all; black: light 0, dark 4/2: −12; 24 pixels stay
    inserted = [curve(-12, insertion(i, black=True), 10, 100) for i in range(2)]
    deleted = [curve(FULL[i], deletion(i, black=True), 10, 100) for i in range(2)]
    assert np.array(row["insertion_curve"]) == pytest.approx(np.array(inserted), abs=1e-5)
    assert np.array(row["deletion_curve"]) == pytest.approx(np.array(deleted), abs=1e-5)
    check(row, insertion=[trapezoid(points[1:]) / 100 for points in inserted])  # 100 points, a hundredth apart
    check(row, deletion=[trapezoid(points[:-1]) / 100 for points in deleted])
    check(row, adcc=adcc(row))


def test_coherency_as_the_absolute_correlation(bands: TorchSplit, pair: Tensor) -> None:
    absolute = [f"+metric.{name}.correlation=absolute" for name in ("coherency", "adcc")]
    row = measured(bands, pair, "protocol=poppi", *absolute)
    check(row, coherency=[abs(2 * shifted - 1) for shifted in coherencies(AGAIN, image=True)])
    check(row, adcc=adcc(row))


def test_rise(bands: TorchSplit, pair: Tensor) -> None:
    row = measured(bands, pair, "protocol=rise")
    # upsampled first, the least row is 1/64 and the greatest 31/32 = 62/64: s' = (64·s − 1)/61
    # marks: 3·31/61 − 1, 5·61/61 − 1, 2·15/61 − 1 < 0; light: (45 + 61 + 27 + 15)/61
    first = (3 * 31 / 61 - 1) + 4 + 148 / 61 - 10
    second = (4 * 31 / 61 - 1) + 7 + 148 / 61 - 0 - 10  # row 20 is 0: no dark is left
    check(row, drop=drops((first, second)), increase=[0, 1])
    check(row, complexity=[(64 * 0.4375 - 1) / 61] * 2)
    again = [[3 * 31 / 61 - 1 + 45 / 61, 5, 27 / 61, 15 / 61], [4 * 31 / 61 - 1 + 45 / 61, 8, 27 / 61, 15 / 61]]
    check(row, coherency=coherencies(again, image=True), adcc=adcc(row))
    # ⌈1024/224⌉ = 5 pixels a step, done after 205 of 224; RISE's blur leaves no red above 1 and keeps each band's light
    inserted = [curve(-6, insertion(i, black=False), 5, 224) for i in range(2)]
    deleted = [curve(FULL[i], deletion(i, black=False), 5, 224) for i in range(2)]
    check(row, insertion=[trapezoid(points) / 224 for points in inserted])
    check(row, deletion=[trapezoid(points) / 224 for points in deleted])
    assert [len(points) for points in row["insertion_curve"]] == [225, 225]


def test_abscam(bands: TorchSplit, pair: Tensor) -> None:
    row = measured(bands, pair, "protocol=abscam")
    # s' as in rise, where it is above its median: rows 0-15 (places 0-15). Light of bands 0 and 1 only: 45/61 + 1
    first = (3 * 31 / 61 - 1) + 4 + 106 / 61 - 10
    second = (4 * 31 / 61 - 1) + 7 + 106 / 61 - 10
    check(row, drop=drops((first, second)), increase=[0, 1])
    check(row, complexity=[27 / 61] * 2)
    again = [[3 * 31 / 61 - 1 + 45 / 61, 5, 27 / 61, 15 / 61], [4 * 31 / 61 - 1 + 45 / 61, 8, 27 / 61, 15 / 61]]
    check(row, coherency=coherencies(again, image=True), adcc=adcc(row))  # coherency's mask is the soft one
    # ⌈1024/28⌉ = 37 pixels a step; the blur reflects: it is light 1 everywhere, and holds neither marks nor dark
    inserted = [curve(-6, insertion(i, black=False), 37, 28) for i in range(2)]
    deleted = [curve(FULL[i], deletion(i, black=False), 37, 28) for i in range(2)]
    check(row, insertion=[trapezoid(points) / 28 for points in inserted])
    check(row, deletion=[trapezoid(points) / 28 for points in deleted])


def test_byun(bands: TorchSplit, pair: Tensor) -> None:
    row = measured(bands, pair, "protocol=byun")
    bicubic = np.asarray(
        Image.fromarray(np.array(FIRST, np.float32)[:, None]).resize((32, 32), Image.Resampling.BICUBIC)
    )[:, 0]
    light = [bicubic[i : i + 8].max() for i in range(0, 32, 8)]
    marks = [[red * bicubic[r] - 1 for red, r in zip(reds, (0, 11), strict=True)] for reds in ((3, 5), (4, 8))]
    again = [[m[0] + light[0], m[1] + light[1], light[2], light[3]] for m in marks]  # the third mark is below 1
    assert 2 * bicubic[28] < 1
    assert bicubic[20] < 0 < bicubic.max() - 1  # unclamped; the dark pixel is bright under a mask below 0
    check(row, drop=drops((sum(again[0]) - 10, sum(again[1]) - 10)), increase=[0, 1])
    check(row, complexity=[(0.5 + 1 + 0 + 0.25) / 4] * 2, coherency=coherencies(again, image=False), adcc=adcc(row))
    # The cells go band by band, 1, 0, 3, 2, and in a band from the left. A band's first cell takes its
    # mark (band 2's the dark of image 1), its last cell the light. 17 points over 17.
    deleted = [[odds(s) for s in exponents] for exponents in CELLS]
    check(row, deletion=[trapezoid(points) / 17 for points in deleted])
    assert np.array(row["deletion_curve"]) == pytest.approx(np.array(deleted), abs=1e-5)
    # Insertion starts from the image's mean colour (light 1, no marks, no dark) and scores after each cell, and
    # then the image once more.
    scored = [[-6, *[-2] * 4, *[0] * 4, *[1] * 8], [-6, *[1] * 4, *[4] * 4, *[5] * 4, *[-1] * 4]]
    inserted = [[odds(s) for s in exponents] for exponents in scored]
    assert np.array(row["insertion_curve"]) == pytest.approx(np.array(inserted), abs=1e-5)
    check(row, insertion=[trapezoid([*p[1:], odds(full)]) / 17 for p, full in zip(inserted, FULL, strict=True)])
    # image 0: (1/5)/2 + 3·(1/5) + 4·(1/2) + 8·(2/3) + (2/3)/2 = 8.36667, over 17
    assert row["insertion"][0] == pytest.approx(8.366667 / 17, abs=1e-5)


# Exponents of deletion to 0, cell by cell.
CELLS = [
    [1, -3, -3, -3, -4, -6, -6, -6, -7, -8, -8, -8, -9, -9, -9, -9, -10],
    [-1, -8, -8, -8, -9, -12, -12, -12, -13, -14, -14, -14, -15, -9, -9, -9, -10],
]


@pytest.mark.parametrize(
    ("protocol", "literal"),
    [  # of both images, as the tests above spell out
        ("poppi", {"drop": [0.86010, 0], "insertion": [0.25118, 0.55642], "deletion": [0.03060, 0.00256]}),
        ("byun", {"drop": [0.85016, 0], "insertion": [0.49216, 0.67511], "deletion": [0.04702, 0.01104]}),
        ("abscam", {"drop": [0.89540, 0], "insertion": [0.45861, 0.80525], "deletion": [0.05333, 0.00742]}),
        ("rise", {"drop": [0.83832, 0], "insertion": [0.47786, 0.78734], "deletion": [0.04138, 0.00220]}),
    ],
)
def test_the_numbers(bands: TorchSplit, pair: Tensor, protocol: str, literal: dict[str, list[float]]) -> None:
    check(measured(bands, pair, f"protocol={protocol}", metrics=tuple(literal)), **literal)


@pytest.mark.parametrize(
    ("choice", "exponents"),
    [
        # rows 0-15 whole: marks 2 + 4 and 3 + 7, light of bands 0 and 1
        ("protocol.mask.kind=binary_top50", (6 + 2 - 10, 10 + 2 - 10)),
        # as soft, but light of bands 0 and 1 only: 23/32 + 31/32
        ("protocol.mask.kind=soft_top50", (4.34375 + 1.6875 - 10, 7.75 + 1.6875 - 10)),
        # v becomes s·(v + 1) − 1. Marks: 4·1/2 − 2 = 0 and 6·31/32 − 2; 5·1/2 − 2 and 9·31/32 − 2. Light, 2·s − 1:
        # 7/16 + 15/16. Dark, 1/2 − s: 31/64 (row 20) and 23/64 (row 24); of image 1's pixel, 1/2 + 5.5/64
        ("protocol.mask.space=pixels", (3.8125 + 1.375 - 54 / 64 - 10, 7.21875 + 1.375 - 60.5 / 64 - 10)),
    ],
)
def test_masks(bands: TorchSplit, pair: Tensor, choice: str, exponents: tuple[float, float]) -> None:
    row = measured(bands, pair, "protocol=poppi", choice, metrics=MASKED)
    check(row, drop=drops(exponents), increase=[float(s > full) for s, full in zip(exponents, FULL, strict=True)])
    check(row, adcc=adcc(row))


def test_absolute_drop(bands: TorchSplit, pair: Tensor) -> None:
    row = measured(bands, pair, "protocol=poppi", "protocol.drop=absolute", metrics=MASKED)
    check(row, drop=[2 / 3 - odds(-3.28125), 0], adcc=adcc(row))


def test_order_of_normalising_and_resolution(bands: TorchSplit, pair: Tensor) -> None:
    after = measured(bands, pair, "protocol=poppi", "protocol.saliency.order=upsample_then_normalise", metrics=MASKED)
    check(after, complexity=[27 / 61] * 2)
    at_map = measured(bands, pair, "protocol=rise", "protocol.resolution=map", metrics=MASKED)
    check(at_map, complexity=[0.4375] * 2)
    poppi = measured(bands, pair, "protocol=poppi", "protocol.resolution=map", metrics=MASKED)
    check(poppi, coherency=coherencies(AGAIN, image=False), adcc=adcc(poppi))
    assert poppi["coherency"] != pytest.approx(coherencies(AGAIN, image=True), abs=1e-3)


def test_each_field_of_the_curves(bands: TorchSplit, pair: Tensor) -> None:
    """From ``rise``'s deletion, of image 0, with 32 steps: a row a step."""
    events = deletion(0, black=False)
    points = curve(1, events, 32, 32)
    dark = curve(1, deletion(0, black=True), 32, 32)
    cells = [odds(s) for s in CELLS[0]]
    thirds = curve(1, events, 341, 3)  # 1024//3 = 341; rounded up 342
    thirds_up = curve(1, events, 342, 3)

    def area(*fields: str) -> float:
        chosen = [f"protocol.deletion.{field}" for field in ("steps=32", *fields)]
        return float(measured(bands, pair, "protocol=rise", *chosen, metrics=("deletion",))["deletion"][0])

    assert area() == pytest.approx(trapezoid(points) / 32, abs=1e-5)
    assert area("points=first") == pytest.approx(trapezoid(points[:-1]) / 32, abs=1e-5)
    assert area("points=last") == pytest.approx(trapezoid(points[1:]) / 32, abs=1e-5)
    assert area("points=last_and_image") == pytest.approx(trapezoid([*points[1:], 2 / 3]) / 32, abs=1e-5)
    assert area("divisor=points") == pytest.approx(trapezoid(points) / 33, abs=1e-5)
    assert area("divisor=points", "points=last") == pytest.approx(trapezoid(points[1:]) / 32, abs=1e-5)
    assert area("substrate=black") == pytest.approx(trapezoid(dark) / 32, abs=1e-5)
    assert area("steps=3") == pytest.approx(trapezoid(thirds_up) / 3, abs=1e-5)
    assert area("steps=3", "rounding=down") == pytest.approx(trapezoid(thirds) / 3, abs=1e-5)
    assert area("steps=null", "order=cells") == pytest.approx(trapezoid(cells) / 16, abs=1e-5)
    assert area("steps=2", "order=cells") == pytest.approx(trapezoid(cells[::8]) / 2, abs=1e-5)


def test_cells_share_their_borders() -> None:
    """A map of 2×2 over 5×4 pixels: ⌊5/2⌋ = 2 and ⌊4/2⌋ = 2. Rows 0-2 and 2-4; columns 0-2 and 2-3."""
    rank = cell_rank(torch.tensor([[[0.1, 0.4], [0.3, 0.2]]]), (5, 4))
    # cell (0,1) goes first, (1,0) second, (1,1) third, (0,0) last: a pixel goes with the first of its cells
    assert rank[0, 0].tolist() == [[3, 3, 0, 0], [3, 3, 0, 0], [1, 1, 0, 0], [1, 1, 1, 2], [1, 1, 1, 2]]


@pytest.mark.parametrize(
    ("cell", "rows", "columns"), [((3, 5), (96, 128), (160, 192)), ((6, 6), (192, 223), (192, 223))]
)
def test_cells_of_7_by_7(cell: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]) -> None:
    """Blocks of 33×33, and of 32×32 in the last corner."""
    values = torch.zeros(1, 7, 7)
    values[0, *cell] = 1
    taken = (cell_rank(values, (224, 224)) == 0)[0, 0].nonzero()
    assert (taken[0].tolist(), taken[-1].tolist()) == ([rows[0], columns[0]], [rows[1], columns[1]])
    assert len(taken) == (rows[1] - rows[0] + 1) * (columns[1] - columns[0] + 1)


def test_pixels_beyond_the_last_cell_stay() -> None:
    """⌊8/3⌋ = 2: three cells of 3 columns end with column 6; column 7 is never taken."""
    rank = cell_rank(torch.tensor([[[3.0, 2, 1]]]), (1, 8))
    assert rank[0, 0, 0, :7].tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert rank[0, 0, 0, 7] > 3


def test_a_map_of_another_size_is_averaged_over_the_cells(bands: TorchSplit, pair: Tensor) -> None:
    forward = scoring.forward(bands, pair, torch.tensor([0, 0]), (0, 0))

    class Rows(Shown):
        def __call__(self, split: Any, forward: Any) -> Tensor:  # 32×8, its means over 8×2 are the 4×4
            coarse = super().__call__(split, forward)
            return coarse.repeat_interleave(8, 1).repeat_interleave(2, 2) + torch.tensor([-0.7, 0.7]).repeat(4)

    rule = SaliencyRule()
    cells = Curve(None, "up", "zero", order="cells")
    fine, coarse = explain(bands, Rows(), rule, forward), explain(bands, Shown(), rule, forward)
    torch.testing.assert_close(cells.scores(fine, insert=False), cells.scores(coarse, insert=False))


def test_pil_bicubic_is_pillow_s() -> None:
    maps = torch.rand(3, 1, 7, 5, generator=torch.Generator().manual_seed(0))
    for size in ((224, 224), (5, 3)):
        mine = upsample(maps, size, "pil_bicubic")
        for one, own in zip(maps[:, 0], mine[:, 0], strict=True):
            theirs = Image.fromarray(one.numpy()).resize(size[::-1], Image.Resampling.BICUBIC)
            torch.testing.assert_close(own, torch.from_numpy(np.array(theirs)), rtol=0, atol=2e-6)
    assert (upsample(maps, (224, 224), "bicubic") - upsample(maps, (224, 224), "pil_bicubic")).abs().max() > 0.02


def test_pil_bicubic_on_paper() -> None:
    """From 2 to 4: kernel weights 111/128 and −9/128 at a distance of 1/4 and 5/4, which do not sum to 1."""
    got = upsample(torch.tensor([[[[0.0, 0], [1, 1]]]]), (4, 2), "pil_bicubic")[0, 0, :, 0].tolist()
    assert got == pytest.approx([-3 / 34, 29 / 140, 111 / 140, 37 / 34], abs=1e-6)


@pytest.mark.parametrize(
    ("name", "target", "resize"),
    [
        ("byun", "label", [256, 256]),
        ("poppi", "predicted", 224),
        ("abscam", "predicted", [224, 224]),
        ("rise", "predicted", None),
    ],
)
def test_class_and_preprocessing(name: str, target: str, resize: Any) -> None:
    cfg = compose_config([f"protocol={name}"])
    assert (cfg.target, cfg.protocol.resize, cfg.protocol.name) == (target, resize, name)


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ("protocol.mask.kind=hard", "metric.drop: mask is 'hard': it must be one of soft, soft_top50"),
        ("protocol.mask.space=rgb", "metric.drop: space is 'rgb': it must be one of normalised, pixels"),
        ("protocol.drop=logit", "metric.drop: formula is 'logit': it must be one of relative, absolute"),
        ("protocol.resolution=half", "metric.coherency: resolution is 'half': it must be one of image, map"),
        ("protocol.insertion.order=tiles", "metric.insertion: order is 'tiles': it must be one of pixels, cells"),
        ("protocol.insertion.divisor=2", "metric.insertion: divisor is '2': it must be one of steps, points"),
    ],
)
def test_wrong_choices(choice: str, sentence: str) -> None:
    with pytest.raises(Exception, match=sentence):
        make_metrics(compose_config([f"metric=[{','.join(ALL)}]", choice]))


def test_a_run_records_every_choice(quick_run: QuickRun, tmp_path: Path) -> None:
    own = [
        "protocol.resize=[256,256]",
        "protocol.crop=224",
        "protocol.insertion.steps=null",
        "protocol.deletion.steps=null",
    ]
    overrides = ["protocol=byun", "method=gradcam", "metric=[drop,insertion]", "data.limit=2", *own]
    quick_run(tmp_path / "run", *overrides)
    folder = RunFolder(tmp_path / "run")
    rows = folder.rows()
    assert rows["error"].isna().all()
    assert rows["target"].tolist() == rows["label"].tolist()
    assert [len(y) for y in folder.curves()["y"]] == [50, 50]  # 49 cells of lite0's 7×7
    recorded = json.loads((tmp_path / "run" / "environment.json").read_text())["identity"]
    chosen = {"mask.kind": "soft", "mask.space": "normalised", "drop": "relative", "resolution": "map", "version": 1}
    assert {key: recorded[f"protocol.{key}"] for key in chosen} == chosen
    assert recorded["preprocess.resize"] == [256, 256]
    assert recorded["protocol.insertion.order"] == recorded["metric.insertion.order"] == "cells"
    with pytest.raises(CamsbenchError, match=r"protocol\.mask\.space was normalised and is pixels"):
        quick_run(tmp_path / "run", *overrides, "protocol.mask.space=pixels")

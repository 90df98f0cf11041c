"""The pictures of the worked example: what their tables say is where it is."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from digits.pictures import EITHER, SIDE, Painter
from digits.train import answers, write


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    painter = Painter(seed=1, training=False)
    write([painter.paint() for _ in range(12)], folder)
    return folder


def test_a_seed_gives_the_same_pictures() -> None:
    first, second, other = (Painter(seed, training=True).paint() for seed in (3, 3, 4))
    assert torch.equal(first.pixels, second.pixels)
    assert first.digits == second.digits
    assert not torch.equal(first.pixels, other.pixels)


def test_a_digit_lies_in_its_box_and_nowhere_else() -> None:
    """What a picture has beyond its texture is inside the boxes: the texture ends at a half."""
    painter = Painter(seed=0, training=True)
    for _ in range(20):
        picture = painter.paint()
        inside = torch.zeros(SIDE, SIDE, dtype=torch.bool)
        for digit in picture.digits:
            x0, y0, x1, y1 = digit.box
            assert not inside[y0:y1, x0:x1].any()  # they do not overlap
            inside[y0:y1, x0:x1] = True
        assert float(picture.pixels[~inside].max()) <= 0.5
        assert sum(digit.value in EITHER for digit in picture.digits) == 1
        assert 2 <= len(picture.digits) <= 3


def test_tables_say_what_is_there(painted: Path) -> None:
    labels, either, value = (pd.read_csv(painted / f"{name}.csv") for name in ("labels", "either", "sum"))
    assert len(either) == 12
    by_picture = labels.groupby("path")["label"].agg(list)
    assert all(by_picture.map(lambda digits: len(set(digits)) == len(digits)))
    assert dict(by_picture.map(sum)) == dict(value.groupby("path")["value"].first())
    for _, row in either.iterrows():
        assert EITHER[row["label"]] in by_picture[row["path"]]
    with Image.open(painted / str(labels["path"][0])) as image:
        assert (image.mode, image.size) == ("L", (SIDE, SIDE))


def test_the_three_questions() -> None:
    painter = Painter(seed=5, training=False)
    pictures = [painter.paint() for _ in range(4)]
    there, eight, total = answers(pictures)
    for i, picture in enumerate(pictures):
        values = [digit.value for digit in picture.digits]
        assert there[i].nonzero().flatten().tolist() == sorted(values)
        assert bool(eight[i, 0]) == (8 in values)
        assert float(total[i, 0]) == sum(values)

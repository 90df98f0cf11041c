"""Pictures of more than 8 bits a pixel: black and white are where the scale says, or nothing is guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camsbench.core.preprocess import Preprocess
from camsbench.data.depth import to_bytes
from camsbench.data.loader import read
from camsbench.data.record import Record

PLAIN = Preprocess(resize=[1, 4], crop=[1, 4], interpolation="bilinear", mean=[0.5], std=[0.25])


def saved(path: Path, values: list[float], kind: type) -> Path:
    Image.fromarray(np.array([values], dtype=kind)).save(path)
    return path


def pixels(path: Path, scale: tuple[float, float] | None = None) -> list[int] | str:
    found = read(Record("a", path, 0, scale=scale), PLAIN)
    return str(found.error) if found.pixels is None else found.pixels.flatten().tolist()


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits(suffix: str, tmp_path: Path) -> None:
    file = saved(tmp_path / f"a.{suffix}", [0, 255, 256, 65535], np.uint16)
    assert pixels(file) == [0, 0, 1, 255]
    assert pixels(file, (0, 65535)) == [0, 0, 1, 255]


def test_twelve_bits_in_sixteen_are_not_taken_for_dark(tmp_path: Path) -> None:
    file = saved(tmp_path / "a.png", [0, 16, 2048, 4095], np.uint16)
    assert "ValueError: its brightest pixel is 4095 of 16 bits, so it may have fewer: say" in pixels(file)
    assert pixels(file, (0, 4095)) == [0, 1, 128, 255]
    assert pixels(file, (16, 2063)) == [0, 0, 254, 255]
    assert pixels(saved(tmp_path / "b.png", [0, 8191, 1, 2], np.uint16)) != [0, 31, 0, 0]
    assert pixels(saved(tmp_path / "b.png", [0, 32768, 1, 2], np.uint16)) == [0, 128, 0, 0]


def test_thirty_two_bits_need_a_scale(tmp_path: Path) -> None:
    whole = saved(tmp_path / "a.tiff", [-1000, 0, 1, 1000], np.int32)
    decimal = saved(tmp_path / "b.tiff", [0, 0.5, 1, 2], np.float32)
    for file, kind in ((whole, "whole"), (decimal, "decimal")):
        assert f"its pixels are {kind} numbers of 32 bits without a scale: say what is black" in pixels(file)
    assert pixels(whole, (-1000, 1000)) == [0, 127, 128, 255]
    assert pixels(decimal, (0, 1)) == [0, 128, 255, 255]


def test_eight_bits_are_as_they_are() -> None:
    for mode in ("L", "RGB", "P", "1"):
        image = Image.new(mode, (4, 1))
        assert to_bytes(image, (0, 9)) is image

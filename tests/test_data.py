"""Sources of images, the choice of some, and pictures and boxes through the same resize and crop."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image, ImageDraw

from camsbench import CamsbenchError
from camsbench.core.preprocess import Preprocess
from camsbench.data import loader
from camsbench.data.checks import check_labels
from camsbench.data.classes import Classes
from camsbench.data.embedded import samples
from camsbench.data.loader import Batch, batches, read, worker_count
from camsbench.data.record import Record
from camsbench.data.selection import select
from camsbench.data.storage import Stored

PREPROCESS = Preprocess(resize=256, crop=224, interpolation="bilinear", mean=[0.5] * 3, std=[0.25] * 3)


def test_samples_have_labels_and_boxes() -> None:
    records = samples()
    assert len(records) == 20
    assert [r.label for r in records[:3]] == [243, 559, 438]
    assert [r.image_id for r in records if not r.boxes] == ["imagenet_12_741"]  # the mislabelled one
    assert sum(len(r.boxes) for r in records) == 42
    assert Classes().name(243) == "bull mastiff"


def test_subset_shuffle_and_limit(tmp_path: Path) -> None:
    records = samples()
    listed = tmp_path / "ids.txt"
    listed.write_text("# a frozen list\nimagenet_02_438\n\nimagenet_00_243  # the dog\n")
    assert [r.label for r in select(records, subset=str(listed))] == [438, 243]
    assert select(records, limit=3) == records[:3]
    ten, five = (select(records, shuffle=1, limit=n) for n in (10, 5))
    assert ten[:5] == five != records[:5]  # a larger limit only adds images
    assert select(records, shuffle=2, limit=5) != five
    assert select(records, limit=1000) == records


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("imagenet_00_243\nnobody\n", "1 of its 2 ids are not in the data, the first is nobody"),
        ("imagenet_00_243\nimagenet_00_243\n", "imagenet_00_243 stands there more than once"),
        ("", "no images are left"),
    ],
)
def test_a_wrong_subset_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "ids.txt").write_text(text)
    with pytest.raises(CamsbenchError, match=sentence):
        select(samples(), subset=str(tmp_path / "ids.txt"))


def test_other_wrong_choices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CamsbenchError, match=r"data\.subset=.*there is no such file"):
        select(samples(), subset=str(tmp_path / "none.txt"))
    with pytest.raises(CamsbenchError, match=r"data\.limit=0"):
        select(samples(), limit=0)
    with pytest.raises(CamsbenchError, match=r"label 559 of image imagenet_01_559 is outside the 500 classes of small"):
        check_labels(samples(), 500, "small")


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (224, 224), (300, 1001)])
@pytest.mark.parametrize("resize", [256, 224, [224, 224]])
def test_boxes_go_where_the_pixels_go(tmp_path: Path, size: tuple[int, int], resize: int | list[int]) -> None:
    """A white rectangle is painted; after resize and crop its box must enclose the white that is left."""
    width, height = size
    box = (0.3 * width, 0.4 * height, 0.8 * width, 0.7 * height)
    picture = Image.new("RGB", size)
    x0, y0, x1, y1 = (round(v) for v in box)
    ImageDraw.Draw(picture).rectangle((x0, y0, x1 - 1, y1 - 1), fill="white")  # PIL includes the last pixel
    picture.save(tmp_path / "box.png")
    preprocess = Preprocess(resize=resize, crop=224, interpolation="bilinear", mean=[0.5] * 3, std=[0.5] * 3)
    made = read(Record("box", tmp_path / "box.png", 0, (box,)), preprocess)
    assert made.pixels is not None
    rows, columns = torch.where(made.pixels[0] > 127)
    (carried,) = made.boxes
    found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert carried == pytest.approx([float(v) for v in found], abs=1.5)


def test_boxes_outside_the_crop_are_dropped() -> None:
    assert PREPROCESS.boxes([(0, 0, 10, 10), (0, 0, 60, 60)], 256, 256) == [(0, 0, 44, 44)]


def test_preprocessing_is_torchvision_s() -> None:
    from torchvision.models import VGG16_Weights

    record = samples()[0]
    preprocess = Preprocess(256, 224, "bilinear", [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    pixels = read(record, preprocess).pixels
    assert pixels is not None
    with Image.open(str(record.source)) as image:
        expected = VGG16_Weights.IMAGENET1K_V1.transforms()(image)
    torch.testing.assert_close(preprocess.normalise(pixels[None])[0], expected)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_other_colour_modes_are_read(tmp_path: Path, mode: str, sample_paths: list[Path]) -> None:
    suffix = "tif" if mode == "CMYK" else "png"
    with Image.open(sample_paths[0]) as image:
        image.convert(mode).save(tmp_path / f"image.{suffix}")
    made = read(Record("a", tmp_path / f"image.{suffix}", 0), PREPROCESS)
    assert made.pixels is not None
    assert made.pixels.shape == (3, 224, 224)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_scale_are_an_error(tmp_path: Path, mode: str, sample_paths: list[Path]) -> None:
    with Image.open(sample_paths[0]) as picture:
        picture.convert(mode).save(tmp_path / "a.tiff")
    picture_read = read(Record("a", tmp_path / "a.tiff", 0), PREPROCESS)
    assert picture_read.pixels is None
    assert "numbers of 32 bits without a scale: say what is black and what is white with data.scale=[LOW,HIGH]" in str(
        picture_read.error
    )


def test_an_error_is_the_same_in_every_run() -> None:
    """Pillow names the object that it reads by its address in memory."""
    source = Stored(MemoryFileSystem(), "/nothing/a.JPEG")
    source.fs.pipe_file("/nothing/a.JPEG", b"no picture")
    assert read(Record("a", source, 0), PREPROCESS).error == (
        "cannot read a.JPEG: UnidentifiedImageError: cannot identify image file a.JPEG"
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_one_bad_image_does_not_stop_a_batch(tmp_path: Path, workers: int) -> None:
    records = samples()[:3]
    whole = Path(str(records[1].source)).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    mixed = [records[0], Record("cut", tmp_path / "cut.jpg", 0), Record("empty", tmp_path / "empty.jpg", 0), records[2]]
    made: list[Batch] = list(batches(mixed, [[0, 1], [2], [3]], PREPROCESS, workers, pin=False))
    assert [batch.places for batch in made] == [[0], [], [3]]
    assert made[1].pixels is None
    assert made[0].failed[1].startswith("cannot read cut.jpg: OSError: image file is truncated")
    assert made[1].failed[2].startswith("cannot read empty.jpg: UnidentifiedImageError")


def test_threads_read_a_few_batches_ahead_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    plain = loader.read

    def watched(record: Record, preprocess: Preprocess) -> loader.Picture:
        asked.append(record.image_id)
        return plain(record, preprocess)

    monkeypatch.setattr(loader, "read", watched)
    records = samples()[:8]
    made = batches(records, [[place] for place in range(8)], PREPROCESS, 2, pin=False)
    assert next(made).places == [0]
    made.close()  # type: ignore[attr-defined] # a run that ends early
    assert len(asked) <= 1 + loader.AHEAD
    asked.clear()
    every = list(batches(records, [[0, 1, 2], [3], [4, 5, 6, 7]], PREPROCESS, 3, pin=False))
    assert [batch.places for batch in every] == [[0, 1, 2], [3], [4, 5, 6, 7]]
    assert sorted(asked) == sorted(record.image_id for record in records)
    assert not [thread for thread in threading.enumerate() if "camsbench-loader" in thread.name]


def test_worker_count() -> None:
    assert worker_count(3) == 3
    assert worker_count("auto") >= 1
    with pytest.raises(CamsbenchError, match=r"runtime\.workers=-1"):
        worker_count(-1)

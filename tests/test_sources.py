"""ILSVRC2012's images in every layout that people keep: the same ids, labels, pixels and boxes, or a sentence."""

from __future__ import annotations

import csv
import http.server
import io
import json
import os
import pickle
import re
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.io import savemat

from camsbench import CamsbenchError
from camsbench.config.compose import compose_config
from camsbench.config.images import add_boxes, choose_images
from camsbench.config.instantiate import make_metrics
from camsbench.core.preprocess import Preprocess
from camsbench.data import boxes, imagenet, shards, tars
from camsbench.data.checks import check_places
from camsbench.data.classes import validation_id, wnids
from camsbench.data.found import FoundImages
from camsbench.data.loader import batches, read
from camsbench.data.record import Record

PREPROCESS = Preprocess(resize=64, crop=56, interpolation="bilinear", mean=[0.5] * 3, std=[0.25] * 3)
LABELS = [65, 970, 230]  # of the true first three validation images
WNID = {index: wnid for wnid, index in wnids().items()}
IDS = [validation_id(number) for number in (1, 2, 3)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tars._contents.cache_clear()
    shards._groups.clear()
    return tmp_path / "cache"


@pytest.fixture
def pictures(sample_paths: list[Path]) -> list[bytes]:
    return [path.read_bytes() for path in sample_paths[:3]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def put(root: Path, name: str, content: bytes | str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def tar(members: dict[str, bytes | str], mode: str = "w") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            raw = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))
    return made.getvalue()


def devkit() -> dict[str, bytes]:
    """Truth and meta as the devkit has them: its numbers follow no order of the wnids, and there are inner nodes."""
    kind = [(name, object) for name in ("ILSVRC2012_ID", "WNID", "words", "num_children")]
    numbers = {230: 1, 65: 2, 970: 3}
    rows = [(number, WNID[index], "words", 0) for index, number in numbers.items()] + [(4, "n00001740", "entity", 2)]
    meta = io.BytesIO()
    savemat(cast(Any, meta), {"synsets": np.array(rows, dtype=kind).reshape(-1, 1)})
    truth = "".join(f"{numbers[label]}\n" for label in LABELS)
    return {"ILSVRC2012_validation_ground_truth.txt": truth.encode(), "meta.mat": meta.getvalue()}


def solution() -> str:
    lines = ["ImageId,PredictionString"]
    lines += [f"{one},{WNID[label]} 10 20 110 220 {WNID[label]} 0 0 5 5 " for one, label in zip(IDS, LABELS)]  # noqa: B905
    return "\n".join([lines[0], *reversed(lines[1:])]) + "\n"


def flat(root: Path, pictures: list[bytes], inside: str = "") -> None:
    for one, picture in zip(IDS, pictures, strict=True):
        put(root, f"{inside}{one}.JPEG", picture)


def wnid_folders(root: Path, pictures: list[bytes]) -> None:
    for one, label, picture in zip(IDS, LABELS, pictures, strict=True):
        put(root, f"val/{WNID[label]}/{one}.JPEG", picture)
    put(root, "val/.DS_Store", "")
    put(root, f"val/{WNID[65]}/Thumbs.db", "")


def numbered(root: Path, pictures: list[bytes]) -> None:
    for one, label, picture in zip(IDS, LABELS, pictures, strict=True):
        put(root, f"{label}/{one}.JPEG", picture)


def kaggle(root: Path, pictures: list[bytes]) -> None:
    flat(root, pictures, "ILSVRC/Data/CLS-LOC/val/")
    put(root, "LOC_val_solution.csv", solution())


def devkit_folder(root: Path, pictures: list[bytes]) -> None:
    flat(root, pictures)
    for name, content in devkit().items():
        put(root, f"ILSVRC2012_devkit_t12/data/{name}", content)


def devkit_archive(root: Path, pictures: list[bytes]) -> None:
    flat(root, pictures, "val/")
    members: dict[str, bytes | str] = {f"ILSVRC2012_devkit_t12/data/{k}": v for k, v in devkit().items()}
    put(root, "ILSVRC2012_devkit_t12.tar.gz", tar(members, "w:gz"))


def two_columns(root: Path, pictures: list[bytes]) -> None:
    flat(root, pictures)
    put(root, "val.txt", "".join(f"{one}.JPEG {label}\n" for one, label in zip(IDS, LABELS, strict=True)))


def a_wnid_a_line(root: Path, pictures: list[bytes]) -> None:
    flat(root, pictures)
    put(root, "imagenet_2012_validation_synset_labels.txt", "\n".join(WNID[label] for label in LABELS))


def unopened(root: Path, pictures: list[bytes]) -> None:
    members: dict[str, bytes | str] = {f"{one}.JPEG": p for one, p in reversed(list(zip(IDS, pictures, strict=True)))}
    put(root, "ILSVRC2012_img_val.tar", tar(members))
    put(root, "LOC_val_solution.csv", solution())


def webdataset(root: Path, pictures: list[bytes]) -> None:
    every = list(zip(IDS, LABELS, pictures, strict=True))
    for number, part in enumerate((every[:2], every[2:])):
        members: dict[str, bytes | str] = {}
        for one, label, picture in part:
            members[f"{one}.jpg"] = picture
            members[f"{one}.cls" if number else f"{one}.json"] = str(label) if number else json.dumps({"label": label})
        put(root, f"imagenet-val-{number:04d}.tar", tar(members))
    put(root, "imagenet-train-0000.tar", tar({"a.jpg": b"", "a.cls": "1"}))


def parquet(root: Path, pictures: list[bytes]) -> None:
    every = [
        {"image": {"bytes": picture, "path": f"{one}_{WNID[label]}.JPEG"}, "label": label}
        for one, label, picture in zip(IDS, LABELS, pictures, strict=True)
    ]
    (root / "data").mkdir()
    for number, part in enumerate((every[:2], every[2:])):
        pq.write_table(pa.Table.from_pylist(part), root / f"data/validation-{number:05d}-of-00002.parquet", 1)
    pq.write_table(pa.table({"x": [1]}), root / "data/train-00000-of-00001.parquet")


LAYOUTS: dict[Callable[[Path, list[bytes]], None], str] = {
    wnid_folders: "wnid",
    numbered: "index",
    kaggle: "flat",
    devkit_folder: "flat",
    devkit_archive: "flat",
    two_columns: "flat",
    a_wnid_a_line: "flat",
    unopened: "tar",
    webdataset: "webdataset",
    parquet: "parquet",
}


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_every_layout_gives_the_same_images(
    make: Callable[[Path, list[bytes]], None], root: Path, pictures: list[bytes], sample_paths: list[Path]
) -> None:
    make(root, pictures)
    found = imagenet.find(str(root))
    assert found.layout == LAYOUTS[make]
    by_id = {record.image_id: record for record in found.records}
    assert {one: by_id[one].label for one in IDS} == dict(zip(IDS, LABELS, strict=True))
    assert len(found.records) == 3
    for one, path in zip(IDS, sample_paths, strict=False):
        mine, plain = read(by_id[one], PREPROCESS), read(Record("", path, 0), PREPROCESS)
        assert mine.pixels is not None
        assert plain.pixels is not None
        assert mine.pixels.equal(plain.pixels)
    named = imagenet.ilsvrc2012(str(root), layout=LAYOUTS[make])
    assert list(named) == found.records
    (batch,) = batches(found.records, [[0, 1, 2]], PREPROCESS, 2, pin=False)  # threads share an archive
    assert batch.places == [0, 1, 2]
    sent = pickle.loads(pickle.dumps(found.records))  # as workers in other processes get them
    (there,) = batches(sent, [[0, 1, 2]], PREPROCESS, 0, pin=False)
    assert batch.pixels is not None
    assert there.pixels is not None
    assert there.pixels.equal(batch.pixels)


def test_images_and_labels_may_lie_apart(tmp_path: Path, root: Path, pictures: list[bytes]) -> None:
    flat(root, pictures)
    put(tmp_path, "elsewhere/order.txt", "".join(f"{one} {WNID[n]}\n" for one, n in zip(IDS, LABELS, strict=True)))
    made = choose_images(
        compose_config(["data=ilsvrc2012", f"data.root={root}", f"data.labels={tmp_path}/elsewhere/order.txt"]).data
    )
    assert [(record.image_id, record.label) for record in made] == list(zip(IDS, LABELS, strict=True))
    with pytest.raises(CamsbenchError, match=r"its images have no labels: put LOC_val_solution.csv.*data\.labels=FILE"):
        imagenet.find(str(root))
    with pytest.raises(CamsbenchError, match=r"data\.labels=.*this is a folder"):
        imagenet.find(str(root), labels=str(tmp_path))


def test_a_tar_or_a_shard_alone(root: Path, pictures: list[bytes]) -> None:
    unopened(root, pictures)
    assert [r.image_id for r in imagenet.ilsvrc2012(str(root / "ILSVRC2012_img_val.tar"))] == IDS
    parquet(root, pictures)
    assert [r.label for r in imagenet.ilsvrc2012(str(root / "data/validation-00001-of-00002.parquet"))] == [230]
    put(root, "val.zip", b"PK")
    with pytest.raises(CamsbenchError, match=r"val\.zip: this is a file, and no \.tar and no \.parquet"):
        imagenet.find(str(root / "val.zip"))


def test_a_missing_image_of_a_table_is_a_row_with_its_error(root: Path, pictures: list[bytes]) -> None:
    kaggle(root, pictures)
    (root / f"ILSVRC/Data/CLS-LOC/val/{IDS[1]}.JPEG").unlink()
    records = imagenet.ilsvrc2012(str(root))
    assert len(records) == 3
    assert read(records[1], PREPROCESS).error == (
        f"cannot read {IDS[1]}.JPEG: FileNotFoundError: [Errno 2] No such file or directory: '{IDS[1]}.JPEG'"
    )


def test_what_lies_beside_labelled_folders_is_not_read(root: Path, pictures: list[bytes]) -> None:
    wnid_folders(root, pictures)
    put(root, "val/labels.txt", "tench, Tinca tinca\ngoldfish\n")
    put(root, "LOC_val_solution.csv", "cut off")
    assert len(imagenet.ilsvrc2012(str(root))) == 3


def left(found: FoundImages) -> list[str]:
    return [each.sentence() for each in found.left_out]


def test_folders_and_files_that_are_links_are_read(tmp_path: Path, root: Path, pictures: list[bytes]) -> None:
    for picture, label in zip(pictures, LABELS, strict=True):
        put(tmp_path, f"store/{label}/{WNID[label]}.JPEG", picture)
    (root / WNID[LABELS[0]]).mkdir()
    (root / WNID[LABELS[0]] / "a.JPEG").symlink_to(tmp_path / "store" / str(LABELS[0]) / f"{WNID[LABELS[0]]}.JPEG")
    for label in LABELS[1:]:
        (root / WNID[label]).symlink_to(tmp_path / "store" / str(label))
    found = imagenet.find(str(root))
    assert sorted(record.labels[0] for record in found) == sorted(LABELS)
    assert [record.source.open("rb").read() for record in found] == [
        pictures[LABELS.index(record.labels[0])] for record in found
    ]
    assert left(found) == []
    for round_trip in ("round", "again"):  # neither ends in a circle, also where the root itself is behind a link
        (root / WNID[LABELS[0]] / round_trip).symlink_to(root)
        (tmp_path / "store" / str(LABELS[1]) / round_trip).symlink_to(tmp_path / "store")
    (tmp_path / "linked").symlink_to(root)
    for place in (root, tmp_path / "linked"):
        assert len(imagenet.find(str(place))) == 3
    (root / WNID[1]).symlink_to(tmp_path / "unmounted")
    with pytest.raises(CamsbenchError, match=rf"the link .*{WNID[1]} leads nowhere: mend it, or remove it"):
        imagenet.find(str(root))


def test_a_folder_that_cannot_be_listed_is_one_sentence(
    root: Path, pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for label, picture in zip(LABELS, pictures, strict=True):
        put(root, f"{WNID[label]}/a.JPEG", picture)
    scan = os.scandir

    def refuse(path: str) -> Any:
        if str(path).endswith(WNID[LABELS[1]]):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(CamsbenchError, match=rf"{WNID[LABELS[1]]} cannot be listed \(Permission denied\)"):
        imagenet.find(str(root))


def test_hidden_folders_hold_no_images(root: Path, pictures: list[bytes]) -> None:
    put(root, f"{WNID[65]}/.thumbs/t.JPEG", pictures[0])
    put(root, f"{WNID[970]}/images/a.JPEG", pictures[0])
    put(root, f"{WNID[970]}/.ipynb_checkpoints/a.JPEG", pictures[0])
    found = imagenet.find(str(root))
    assert [(record.image_id, record.label) for record in found] == [("a", 970)]
    assert left(found) == []


def test_images_of_the_same_name_in_the_folders_of_two_classes(root: Path, pictures: list[bytes]) -> None:
    put(root, "0/images/1.jpg", pictures[0])
    put(root, "1/images/1.jpg", pictures[1])
    assert [record.image_id for record in imagenet.find(str(root))] == ["0/images/1", "1/images/1"]
    put(root, "1/more/1.jpg", pictures[1])
    (root / "0" / "images" / "1.jpg").rename(root / "0" / "images" / "1.tif")
    with pytest.raises(CamsbenchError, match=r"no image lies in its class folders themselves\. Left out: images in"):
        imagenet.find(str(root))


def test_images_in_a_folder_of_a_class_folder(root: Path, pictures: list[bytes]) -> None:
    """As Tiny ImageNet has them; where some lie in the class folder itself, those deeper are left out, and said."""
    put(root, f"{WNID[65]}/images/a.JPEG", pictures[0])
    put(root, f"{WNID[970]}/images/b.JPEG", pictures[1])
    assert sorted((record.image_id, record.label) for record in imagenet.find(str(root))) == [("a", 65), ("b", 970)]
    put(root, f"{WNID[970]}/c.JPEG", pictures[2])
    put(root, f"{WNID[65]}/more/d.JPEG", pictures[2])
    put(root, "e.JPEG", pictures[2])
    put(root, f"{WNID[970]}/f.tif", pictures[2])
    put(root, f"{WNID[970]}/g.txt", "no picture")
    found = imagenet.find(str(root))
    assert [(record.image_id, record.label) for record in found] == [("c", 970)]
    assert left(found) == [
        f"Left out: images in folders inside the class folders (3), the first is {WNID[65]}/images/a.JPEG.",
        "Left out: images beside the class folders, which have no class (1), the first is e.JPEG.",
        f"Left out: pictures that are none of .jpeg, .jpg, .png, .webp, .bmp (1), the first is {WNID[970]}/f.tif.",
    ]


@pytest.mark.parametrize("packed", ["flat", "tar"])
def test_images_that_a_file_of_labels_does_not_list_are_said(packed: str, root: Path, pictures: list[bytes]) -> None:
    names = [f"{one}.JPEG" for one in IDS]
    if packed == "tar":
        put(root, "ILSVRC2012_img_val.tar", tar(dict(zip(names, pictures, strict=True))))
    else:
        for name, picture in zip(names, pictures, strict=True):
            put(root, name, picture)
    put(root, "val.txt", f"{IDS[1]}.JPEG 7\n")
    found = imagenet.find(str(root))
    assert [(record.image_id, record.label) for record in found] == [(IDS[1], 7)]
    (said,) = left(found)
    assert re.fullmatch(rf"Left out: images that .*val\.txt does not list \(2\), the first is {IDS[0]}\.JPEG\.", said)


def test_a_tar_without_some_of_the_labelled_images_says_so(root: Path, pictures: list[bytes]) -> None:
    put(root, "ILSVRC2012_img_val.tar", tar({f"{IDS[0]}.JPEG": pictures[0]}))
    put(root, "val.txt", "".join(f"{one} 7\n" for one in IDS))
    (said,) = left(imagenet.find(str(root)))
    assert said.startswith("Left out: images of ")
    assert said.endswith(f"val.txt that are not in the tar (2), the first is {IDS[1]}.")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("val.txt", f"{IDS[0]}.JPEG 1\n{IDS[0]}.png 2\n", f"the image {IDS[0]} stands there twice"),
        ("val.txt", f"{WNID[1]}\n\n{WNID[2]}\n", "a line between its wnids is empty"),
        (
            "LOC_val_solution.csv",
            f"ImageId,PredictionString\n{IDS[0]},{WNID[1]} 1 2 3 4\n{IDS[0]},{WNID[1]} 5 6 7 8\n",
            f"the image {IDS[0]} stands there twice",
        ),
    ],
)
def test_labels_that_contradict_themselves_are_refused(
    name: str, text: str, says: str, root: Path, pictures: list[bytes]
) -> None:
    put(root, f"{IDS[0]}.JPEG", pictures[0])
    put(root, name, text)
    with pytest.raises(CamsbenchError, match=says):
        imagenet.find(str(root))


def test_two_kinds_of_one_name(root: Path, pictures: list[bytes]) -> None:
    """In a class folder they are two images; where a file of labels says the name once, nobody knows which."""
    put(root, f"{WNID[65]}/a.JPEG", pictures[0])
    put(root, f"{WNID[65]}/a.png", pictures[1])
    put(root, f"{WNID[65]}/b.png", pictures[1])
    ids = [record.image_id for record in imagenet.find(str(root))]
    assert ids == [f"{WNID[65]}/a.JPEG", f"{WNID[65]}/a.png", f"{WNID[65]}/b"]


@pytest.mark.parametrize("packed", ["flat", "tar", "webdataset"])
def test_two_images_of_one_label_are_refused(packed: str, root: Path, pictures: list[bytes]) -> None:
    two: dict[str, bytes | str] = {"a.jpg": pictures[0], "a.png": pictures[1]}
    if packed == "flat":
        for name, picture in two.items():
            put(root, name, picture)
    elif packed == "tar":
        put(root, "ILSVRC2012_img_val.tar", tar(two))
    else:
        put(root, "val-0.tar", tar({**two, "a.cls": "7"}))
    if packed != "webdataset":
        put(root, "val.txt", "a 7\n")
    with pytest.raises(CamsbenchError, match=r"a\.jpg and .*a\.png"):
        imagenet.find(str(root))


def test_a_folder_named_by_a_digit_that_is_no_number(root: Path, pictures: list[bytes]) -> None:
    put(root, "1/a.JPEG", pictures[0])
    put(root, "²/b.JPEG", pictures[0])
    with pytest.raises(CamsbenchError, match="² is no class from 0 to 999"):
        imagenet.find(str(root))


def test_samples_without_an_image_and_with_two_classes(root: Path, pictures: list[bytes]) -> None:
    put(root, "val-0.tar", tar({"a.jpg": pictures[0], "a.cls": "7", "b.tif": pictures[0], "b.cls": "8"}))
    assert left(imagenet.find(str(root))) == ["Left out: samples without an image that is read (1), the first is b."]
    twice = io.BytesIO()
    with tarfile.open(fileobj=twice, mode="w") as archive:
        for name, content in (("a.jpg", pictures[0]), ("a.cls", b"7"), ("a.cls", b"8")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    put(root, "val-0.tar", twice.getvalue())
    tars._contents.cache_clear()
    with pytest.raises(CamsbenchError, match=r"the sample a has two \.cls: write it with one"):
        imagenet.find(str(root))


def test_pictures_of_other_kinds_in_a_flat_folder_are_said(root: Path, pictures: list[bytes]) -> None:
    for name in (f"{IDS[0]}.JPEG", "b.tif", "deeper/c.JPEG"):
        put(root, name, pictures[0])
    put(root, "val.txt", f"{IDS[0]} 7\n")
    assert [said.partition(" (")[0] for said in left(imagenet.find(str(root)))] == [
        "Left out: pictures that are none of .jpeg, .jpg, .png, .webp, .bmp",
        "Left out: images in folders inside the folder",
    ]


def test_archives_of_another_split_are_said(root: Path, pictures: list[bytes]) -> None:
    put(root, "train-0.tar", tar({"a.jpg": pictures[0], "a.cls": "7"}))
    put(root, "val-0.tar", tar({"b.jpg": pictures[0], "b.cls": "7"}))
    found = imagenet.find(str(root))
    assert [record.image_id for record in found] == ["b"]
    assert left(found) == ["Left out: archives of another split (1), the first is train-0.tar."]


def test_one_name_in_two_folders_is_told_apart(root: Path, pictures: list[bytes]) -> None:
    for label in LABELS[:2]:
        put(root, f"{WNID[label]}/photo.jpg", pictures[0])
    ids = [record.image_id for record in imagenet.ilsvrc2012(str(root))]
    assert ids == [f"{WNID[65]}/photo", f"{WNID[970]}/photo"]


def test_the_table_of_contents_of_a_tar_is_kept_until_the_tar_changes(
    root: Path, pictures: list[bytes], own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unopened(root, pictures)
    first = imagenet.ilsvrc2012(str(root))
    assert len(list((own_cache / "camsbench" / "tars").iterdir())) == 1
    tars._contents.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(tarfile, "open", lambda **_: pytest.fail("read again"))
        assert imagenet.ilsvrc2012(str(root)) == first
    tars._contents.cache_clear()
    put(root, "ILSVRC2012_img_val.tar", tar({f"{IDS[2]}.JPEG": pictures[1]}))
    (only,) = imagenet.ilsvrc2012(str(root))
    assert only.source.open("rb").read() == pictures[1]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"no tar at all" * 99, "no tar that can be read in place"),
        (tar({f"{IDS[0]}.JPEG": b"x" * 9999})[:5000], "no tar that can be read in place|ends in the middle"),
        (tar({"readme.txt": "none"}), "no image lies in this tar"),
        (tar({"a.jpg": b"x"}), r"none of its 1 images is in .*LOC_val_solution\.csv"),
    ],
)
def test_a_wrong_tar_is_one_sentence(root: Path, content: bytes, says: str) -> None:
    put(root, "ILSVRC2012_img_val.tar", content)
    put(root, "LOC_val_solution.csv", solution())
    with pytest.raises(CamsbenchError, match=says):
        imagenet.find(str(root))


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"a.jpg": b"x", "b.cls": "1"}, r"the sample a has no \.cls and no \.json"),
        ({"a.jpg": b"x", "a.cls": "dog"}, "dog is no wnid"),
        ({"a.jpg": b"x", "a.json": '{"name": 1}'}, "class that cannot be read: no label in its .json"),
    ],
)
def test_a_sample_without_its_class_is_one_sentence(root: Path, members: dict[str, bytes | str], says: str) -> None:
    put(root, "val-0.tar", tar(members))
    with pytest.raises(CamsbenchError, match=says):
        imagenet.find(str(root))


def test_shards_without_labels_are_refused(root: Path, pictures: list[bytes]) -> None:
    row = {"image": {"bytes": pictures[0], "path": "a.jpg"}, "label": -1}
    pq.write_table(pa.Table.from_pylist([row]), root / "test-0.parquet")
    with pytest.raises(CamsbenchError, match=r"a\.jpg has no label; give the validation split"):
        imagenet.find(str(root))
    pq.write_table(pa.table({"x": [1]}), root / "test-0.parquet")
    with pytest.raises(CamsbenchError, match="no parquet shard with the columns image"):
        imagenet.find(str(root))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("LOC_val_solution.csv", "ImageId,Labels\n", "lacks the columns ImageId and PredictionString"),
        ("LOC_val_solution.csv", "ImageId,PredictionString\na,n99999999 1 2 3 4\n", "the row of a is not 'wnid xmin"),
        ("LOC_val_solution.csv", "ImageId,PredictionString\na,n02108422 1 2 3\n", "the row of a is not 'wnid xmin"),
        ("LOC_val_solution.csv", "ImageId,PredictionString\na,\n", "the row of a is not 'wnid xmin"),
        ("val.txt", "a.JPEG 65\nb.JPEG\n", "line 2 is not 'NAME INDEX' or 'NAME WNID' but 'b.JPEG'"),
        ("val.txt", "b.JPEG 65\n", r"none of its 1 images is in .*val\.txt, whose first is b"),
        ("ILSVRC2012_validation_ground_truth.txt", "490\n", r"meta\.mat of the devkit is missing beside it"),
    ],
)
def test_a_broken_table_is_one_sentence(root: Path, name: str, text: str, says: str) -> None:
    put(root, name, text)
    put(root, "a.JPEG", b"")
    with pytest.raises(CamsbenchError, match=says):
        imagenet.find(str(root))


def test_truth_without_its_meaning_is_refused(root: Path) -> None:
    made = devkit()
    put(root, "ILSVRC2012_validation_ground_truth.txt", b"7\n")
    put(root, "meta.mat", made["meta.mat"])
    with pytest.raises(CamsbenchError, match=r"line 1 is '7', no class of meta\.mat"):
        imagenet.find(str(root))
    put(root, "meta.mat", b"nothing")
    with pytest.raises(CamsbenchError, match=r"meta\.mat is not the devkit's"):
        imagenet.find(str(root))


def test_a_table_without_its_images_is_refused(root: Path) -> None:
    put(root, "LOC_val_solution.csv", solution())
    with pytest.raises(CamsbenchError, match=rf"has labels, but {IDS[0]}\.JPEG and the images after it are in none of"):
        imagenet.find(str(root))


def test_missing_and_unknown_roots_are_refused(root: Path, pictures: list[bytes]) -> None:
    with pytest.raises(CamsbenchError, match=r"data\.root=.*nowhere: there is no such folder"):
        imagenet.find(str(root / "nowhere"))
    with pytest.raises(CamsbenchError, match=r"neither folders named by wnid.*LOC_val_solution\.csv"):
        imagenet.find(str(root))
    with pytest.raises(CamsbenchError, match=r"data\.layout=zip: choose auto or one of wnid, index"):
        imagenet.find(str(root), layout="zip")
    with pytest.raises(CamsbenchError, match=r"nothing of the layout parquet was found"):
        imagenet.find(str(root), layout="parquet")
    wnid_folders(root, pictures)
    put(root, "val/n99999999/a.jpg", b"")
    with pytest.raises(CamsbenchError, match=r"n99999999: .*no wnid|n99999999 is no wnid"):
        imagenet.find(str(root))
    put(root / "numbers", "1000/a.jpg", b"")
    with pytest.raises(CamsbenchError, match="1000 is no class from 0 to 999"):
        imagenet.find(str(root / "numbers"))
    with pytest.raises(CamsbenchError, match=r"data\.root=nothing://x: .*pip install 'camsbench\[remote\]'"):
        imagenet.find("nothing://x")


BOX = "<xmin>10</xmin><ymin>20</ymin><xmax>110</xmax><ymax>220</ymax>"
XML = f"<annotation><object><name>n01751748</name><bndbox>{BOX}</bndbox></object></annotation>"
TWO = ((10.0, 20.0, 110.0, 220.0), (0.0, 0.0, 5.0, 5.0))


def boxes_of(root: Path, *options: str) -> list[tuple[tuple[float, ...], ...]]:
    cfg = compose_config(["data=ilsvrc2012", f"data.root={root}", "metric=[pointing]", *options])
    metrics = make_metrics(cfg)
    found = add_boxes(cfg.data, choose_images(cfg.data), metrics)
    check_places(found, {f"metric={name}": getattr(metric, "needs", frozenset()) for name, metric in metrics.items()})
    return [record.boxes for record in found]


@pytest.mark.parametrize("place", ["boxes.tgz", "ILSVRC2012_bbox_val_v3.tgz", "xml", "ILSVRC/Annotations/CLS-LOC/val"])
def test_boxes_from_xml(place: str, tmp_path: Path, root: Path, pictures: list[bytes]) -> None:
    wnid_folders(root, pictures)
    top = root if place.startswith("ILSVRC") else root.parent
    if place.endswith(".tgz"):
        put(top, place, tar({f"bbox/val/{one}.xml": XML for one in IDS[:2]}, "w:gz"))
    else:
        for one in IDS[:2]:
            put(top, f"{place}/{one}.xml", XML)
    named = [] if "ILSVRC" in place else [f"data.boxes={top / place}"]
    found = boxes_of(root, *named)
    assert sorted(found) == [(), ((10, 20, 110, 220),), ((10, 20, 110, 220),)]
    assert read(replace(imagenet.ilsvrc2012(str(root))[0], boxes=TWO), PREPROCESS).boxes  # pixels of the picture


def test_boxes_from_kaggle_come_with_the_labels_or_alone(root: Path, pictures: list[bytes]) -> None:
    kaggle(root, pictures)
    assert boxes_of(root) == [TWO] * 3
    (root / "LOC_val_solution.csv").rename(root.parent / "LOC_val_solution.csv")
    two_columns(root, pictures)
    for path in (root / "ILSVRC/Data/CLS-LOC/val").iterdir():
        path.unlink()
    assert [r.boxes for r in imagenet.ilsvrc2012(str(root), labels=str(root / "val.txt"))] == [()] * 3
    assert boxes_of(root, f"data.labels={root}/val.txt") == [TWO] * 3
    with pytest.raises(CamsbenchError, match=r"needs boxes, and none of the 3 images has one: use data that has them"):
        boxes_of(root, f"data.labels={root}/val.txt", "data.boxes=null")


BOMB = '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;">]><annotation><object>&y;</object></annotation>'


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (BOMB, r"is no PASCAL VOC file"),
        ("<annotation><object>", r"is no PASCAL VOC file"),
        (XML.replace("110", "left"), r"is no PASCAL VOC file .*could not convert"),
        (" " * (boxes.LARGEST + 1), r"has 1,048,577 bytes: not its boxes"),
    ],
)
def test_hostile_boxes_are_one_sentence(content: str, says: str, root: Path, pictures: list[bytes]) -> None:
    wnid_folders(root, pictures)
    put(root, "boxes.tgz", tar({f"../../{IDS[0]}.xml": content}, "w:gz"))
    with pytest.raises(CamsbenchError, match=says):
        boxes_of(root, f"data.boxes={root}/boxes.tgz")
    assert not list(root.parent.rglob("*.xml"))


def test_boxes_of_other_images_or_nowhere_are_one_sentence(root: Path, pictures: list[bytes]) -> None:
    wnid_folders(root, pictures)
    put(root, "boxes.tgz", tar({"other.xml": XML}, "w:gz"))
    with pytest.raises(CamsbenchError, match=rf"has boxes of none of the 3 images, whose first is {IDS[0]}"):
        boxes_of(root, f"data.boxes={root}/boxes.tgz")
    with pytest.raises(CamsbenchError, match=r"data\.boxes=.*there is no such"):
        boxes_of(root, f"data.boxes={root}/none.tgz")
    put(root, "cut.tgz", tar({f"{IDS[0]}.xml": XML}, "w:gz")[:60])
    with pytest.raises(CamsbenchError, match=r"cut\.tgz cannot be read"):
        boxes_of(root, f"data.boxes={root}/cut.tgz")


class Ranges(http.server.SimpleHTTPRequestHandler):
    """A server of files that gives parts of them, as object stores do."""

    def log_message(self, format: str, *args: object) -> None:
        pass

    def send_head(self) -> Any:
        path, asked = Path(self.translate_path(self.path)), self.headers.get("Range", "")
        if not asked.startswith("bytes=") or not path.is_file():
            return super().send_head()
        whole = path.read_bytes()
        start, _, stop = asked.removeprefix("bytes=").partition("-")
        part = whole[int(start) : int(stop) + 1 if stop else None]
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes {start}-{int(start) + len(part) - 1}/{len(whole)}")
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        return io.BytesIO(part)


@pytest.fixture
def served(root: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("make", [wnid_folders, kaggle, unopened, webdataset, parquet], ids=lambda make: make.__name__)
def test_images_behind_a_url(
    make: Callable[[Path, list[bytes]], None], root: Path, pictures: list[bytes], served: str
) -> None:
    make(root, pictures)
    found, here = imagenet.find(served), imagenet.find(str(root))
    assert [(r.image_id, r.label) for r in found.records] == [(r.image_id, r.label) for r in here.records]
    for there, local in zip(found.records, here.records, strict=True):
        assert there.source.open("rb").read() == local.source.open("rb").read()
    with pytest.raises(CamsbenchError, match="there is no such folder"):
        imagenet.find(f"{served}/nowhere/at/all.tar")


def test_the_table_of_a_solution_is_the_one_of_the_csv(root: Path, pictures: list[bytes]) -> None:
    """The rows here are in the opposite order: ids, not lines, say which image has which label."""
    kaggle(root, pictures)
    with (root / "LOC_val_solution.csv").open() as table:
        lines = list(csv.DictReader(table))
    assert [line["ImageId"] for line in lines] == IDS[::-1]
    assert [r.image_id for r in imagenet.ilsvrc2012(str(root))] == IDS

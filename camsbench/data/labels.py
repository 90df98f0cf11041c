"""Labels that lie beside the images: Kaggle's table, the devkit's, or a text file."""

from __future__ import annotations

import csv
import io
import re
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from scipy.io import loadmat

from camsbench.core.preprocess import Box
from camsbench.data.classes import WNID, image_id, index_of, is_number, validation_id
from camsbench.data.storage import Folder, Stored
from camsbench.errors import CamsbenchError

SOLUTION = "LOC_val_solution.csv"
TRUTH = "ILSVRC2012_validation_ground_truth.txt"
META = "meta.mat"
DEVKIT = "ILSVRC2012_devkit_t12"
LISTS = ("imagenet_2012_validation_synset_labels.txt", "val.txt", "val_labels.txt", "labels.txt")
LARGEST = 2**24  # bytes: no file of the devkit comes near


@dataclass(frozen=True)
class Labels:
    """The class index of image ids, and the boxes of those that have any, with the file that said so."""

    label: dict[str, int]
    boxes: dict[str, tuple[Box, ...]]
    source: str


def find_labels(folders: Sequence[Folder]) -> Labels | None:
    """The first label file among ``folders``, by its usual names."""
    for folder in folders:
        if SOLUTION in folder.entries:
            return read_labels(folder.file(SOLUTION))
        for devkit in (folder, folder.child("data"), folder.child(f"{DEVKIT}/data")):
            if TRUTH in devkit.entries:
                return read_labels(devkit.file(TRUTH))
        for name in (f"{DEVKIT}.tar.gz", *LISTS):
            if name in folder.entries:
                return read_labels(folder.file(name))
    return None


def read_labels(file: Stored) -> Labels:
    """The labels of a file, recognised by its name and its first line.

    Raises:
        CamsbenchError: it cannot be read, or holds something else.
    """
    where = f"data.labels={file}"
    try:
        if file.name.endswith((".tar.gz", ".tgz")):
            truth, meta = _devkit_archive(file)
            return Labels(_of_truth(truth, meta, where), {}, str(file))
        text = file.text()
        if file.name.endswith(".csv"):
            return Labels(*_of_solution(text, where), str(file))
        if re.fullmatch(r"\s*\d+\s*", text.partition("\n")[0]):
            return Labels(_of_truth(text, file.folder.file(META).read(), where), {}, str(file))
        return Labels(_of_lines(text.splitlines(), where), {}, str(file))
    except FileNotFoundError as error:
        raise CamsbenchError(
            f"{where}: {META} of the devkit is missing beside it, which says what class each number stands for: "
            f"put it there, or give {DEVKIT}.tar.gz"
        ) from error
    except (OSError, UnicodeDecodeError, tarfile.TarError) as error:
        raise CamsbenchError(f"{where} cannot be read: {error}") from error


def _of_solution(text: str, where: str) -> tuple[dict[str, int], dict[str, tuple[Box, ...]]]:
    """Kaggle's ``ImageId,PredictionString``: wnid and box, over and over."""
    reader = csv.DictReader(io.StringIO(text))
    if not reader.fieldnames or not {"ImageId", "PredictionString"} <= set(reader.fieldnames):
        raise CamsbenchError(f"{where} lacks the columns ImageId and PredictionString: download it again")
    label: dict[str, int] = {}
    boxes: dict[str, tuple[Box, ...]] = {}
    for row in reader:
        words = (row["PredictionString"] or "").split()
        try:
            numbers = [tuple(float(n) for n in words[i + 1 : i + 5]) for i in range(0, len(words), 5)]
            found = tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in numbers)
            said = index_of(words[0], where)
        except (CamsbenchError, IndexError, ValueError) as error:
            raise CamsbenchError(
                f"{where}: the row of {row['ImageId']} is not 'wnid xmin ymin xmax ymax ...' with a wnid of "
                "ILSVRC2012: download the file again"
            ) from error
        one = row["ImageId"]
        if (said, found) != (label.get(one, said), boxes.get(one, found)):
            raise CamsbenchError(_contradicts(where, one))
        label[one], boxes[one] = said, found
    return label, boxes


def _of_truth(truth: str, meta: bytes, where: str) -> dict[str, int]:
    """The devkit's ground truth: a number from 1 an image, not its place among the sorted wnids but ``meta.mat``'s."""
    try:
        synsets: Any = loadmat(cast(Any, io.BytesIO(meta)), squeeze_me=True)["synsets"]
        classes = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets if int(row["num_children"]) == 0}
    except Exception as error:  # whatever a damaged file makes of a parser
        raise CamsbenchError(f"{where}: {META} is not the devkit's ({error}): download the devkit again") from error
    found = {}
    for number, line in enumerate(truth.split(), 1):
        wnid = classes.get(int(line)) if is_number(line) else None
        if wnid is None:
            raise CamsbenchError(f"{where}: line {number} is '{line}', no class of {META}: download the devkit again")
        found[validation_id(number)] = index_of(wnid, where)
    return found


def _of_lines(lines: Iterable[str], where: str) -> dict[str, int]:
    """``name label`` with an index or a wnid, or a wnid a line in the order of the validation_id images."""
    rows = [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()]
    if rows and all(len(row) == 1 for _, row in rows):
        if rows[-1][0] != len(rows):
            raise CamsbenchError(f"{where}: a line between its wnids is empty, so that those after it shift: remove it")
        return {validation_id(number): index_of(row[0], where) for number, row in rows}
    found: dict[str, int] = {}
    for number, row in rows:
        if len(row) != 2 or not (is_number(row[1]) or WNID.fullmatch(row[1])):
            raise CamsbenchError(
                f"{where}: line {number} is not 'NAME INDEX' or 'NAME WNID' but '{' '.join(row)[:60]}'"
            )
        one, said = image_id(row[0]), int(row[1]) if is_number(row[1]) else index_of(row[1], where)
        if found.setdefault(one, said) != said:
            raise CamsbenchError(_contradicts(where, one))
    return found


def _contradicts(where: str, one: str) -> str:
    return f"{where}: the image {one} stands there twice, with different labels or boxes: remove what is wrong"


def _devkit_archive(file: Stored) -> tuple[str, bytes]:
    """Ground truth and ``meta.mat`` out of the devkit's archive, in memory: nothing is unpacked."""
    found: dict[str, bytes] = {}
    with file.stream() as opened, tarfile.open(fileobj=opened, mode="r|gz") as archive:
        for member in archive:
            name = member.name.rsplit("/", 1)[-1]
            if name in (TRUTH, META) and member.isfile() and member.size <= LARGEST:
                content = archive.extractfile(member)
                found[name] = content.read() if content else b""
    lacking = [name for name in (TRUTH, META) if name not in found]
    if lacking:
        raise CamsbenchError(f"data.labels={file}: {lacking[0]} is not in it: download {DEVKIT}.tar.gz again")
    return found[TRUTH].decode(), found[META]

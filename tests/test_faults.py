"""What goes wrong in long runs, done to a run: after each no row is lost, none comes twice, and none is wrong."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from faults import Hold, begin, begin_held, children, parts, rows_of, run, same_rows, until, workers
from PIL import Image
from torchvision.models import resnet18

from camsbench import CamsbenchError
from camsbench.config.build import build
from camsbench.config.job import Job
from camsbench.data.embedded import samples
from camsbench.models.split import TorchSplit
from camsbench.status import status
from camsbench.store.folder import RunFolder

pytestmark = pytest.mark.faults

TWO = "runtime.executor.processes=2"
WATCHED = "runtime.heartbeat=0.1"  # how often a run says where it is


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("faults") / "reference"
    run(output)
    return output


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of a user's, ``harm``, that the configuration may call."""
    monkeypatch.setenv("CAMSBENCH_PLUGINS", "harm")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "plugins"))
    monkeypatch.syspath_prepend(str(tmp_path / "plugins"))
    (tmp_path / "plugins").mkdir()
    yield tmp_path / "plugins" / "harm.py"
    sys.modules.pop("harm", None)


@pytest.mark.parametrize("executor", [[], [TWO]], ids=["one process", "two workers"])
def test_a_run_that_is_killed(executor: list[str], hold: Hold, reference: Path, tmp_path: Path) -> None:
    process = begin_held(hold, tmp_path / "run", *executor)
    begun = children(process)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(begun, timeout=10)
    assert not alive  # workers do not outlive it
    assert len(parts(tmp_path / "run")) == 2
    assert "ended without a word" in status(tmp_path / "run")
    kept = {part: part.read_bytes() for part in parts(tmp_path / "run")}
    hold.release()
    run(tmp_path / "run", *hold.options)
    assert {part: part.read_bytes() for part in kept} == kept
    same_rows(tmp_path / "run", reference)


def test_a_worker_that_is_killed(hold: Hold, reference: Path, tmp_path: Path) -> None:
    process = begin_held(hold, tmp_path / "run", TWO, WATCHED)
    until(lambda: set(workers(tmp_path / "run", busy=True)) == set(hold.held()), process)
    victim = hold.held()[0]
    os.kill(victim, signal.SIGKILL)
    hold.release()
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert f"(process {victim}) was killed (SIGKILL, as when memory runs out): " in said
    same_rows(tmp_path / "run", reference)


DEADLY = """
import os, signal
from camsbench.methods.gradcam import GradCAM

class Deadly(GradCAM):
    def __call__(self, split, forward):
        if (forward.logits.argmax(1) == 243).any() and os.environ["HARM"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(split, forward)
"""


def test_an_image_that_kills_whoever_explains_it(plugin: Path, tmp_path: Path) -> None:
    plugin.write_text(DEADLY)
    options = [
        "method=gradcam",
        "method.gradcam._target_=harm.Deadly",
        "data.limit=3",
        f"data.subset={tmp_path / 'ids'}",
    ]
    ids = [record.image_id for record in sorted(samples(), key=lambda record: record.label != 243)]
    (tmp_path / "ids").write_text("\n".join(ids))
    process = begin(tmp_path / "run", TWO, "runtime.executor.retries=1", *options, HARM="1")
    _, said = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "camsbench: 1 images were not done, 2 workers were lost over them (blocks 0;" in said
    assert "the others are kept, and the same command tries these again" in said
    assert "Traceback" not in said
    assert len(rows_of(tmp_path / "run")) == 2
    process = begin(tmp_path / "run", *options, HARM="")
    process.communicate(timeout=240)
    assert process.returncode == 0
    assert len(rows_of(tmp_path / "run")) == 3


def test_a_disk_that_is_full(reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the third part on, the file that is written is /dev/full."""
    write = RunFolder.write_part

    def written(folder: RunFolder, rows: Any, columns: Any, curves: Any, block: int, cells: Any) -> None:
        if block == 2:
            (tmp_path / "run" / "rows" / f".part-00002-01.parquet.{os.getpid()}.tmp").symlink_to("/dev/full")
        write(folder, rows, columns, curves, block, cells)

    monkeypatch.setattr(RunFolder, "write_part", written)
    with pytest.raises(CamsbenchError, match=r"part-00002-01\.parquet: No space left on device; what was finished"):
        run(tmp_path / "run")
    monkeypatch.undo()
    assert len(parts(tmp_path / "run")) == 2
    run(tmp_path / "run")
    same_rows(tmp_path / "run", reference)


@pytest.mark.parametrize("kind", ["rows", "curves"])
@pytest.mark.parametrize("size", [0, 3, 0.5])
def test_a_part_that_is_cut_short(
    kind: str, size: float, reference: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path / "run")
    part = tmp_path / "run" / kind / "part-00003-01.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[: int(size * len(whole)) if size == 0.5 else int(size)])
    run(tmp_path / "run")
    assert "part-00003-01.parquet was cut short: set aside as part-00003-01.parquet.broken" in caplog.text
    assert (tmp_path / "run" / "rows" / "part-00003-01.parquet.broken").exists()
    same_rows(tmp_path / "run", reference)


@pytest.mark.parametrize(("number", "executor"), [(signal.SIGINT, [TWO]), (signal.SIGTERM, [])])
def test_a_run_that_is_stopped(
    number: signal.Signals, executor: list[str], hold: Hold, reference: Path, tmp_path: Path
) -> None:
    process = begin_held(hold, tmp_path / "run", *executor)
    begun = children(process)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert said.strip().splitlines()[-1] == (
        f"camsbench: stopped ({number.name}); the blocks that are finished are kept, and the same command goes on from "
        "there"
    )
    _, alive = psutil.wait_procs(begun, timeout=10)
    assert not alive
    assert "stopped" in status(tmp_path / "run")
    assert not list((tmp_path / "run" / "rows").glob(".*"))
    hold.release()
    run(tmp_path / "run", *hold.options)
    same_rows(tmp_path / "run", reference)


def test_two_runs_in_one_folder(hold: Hold, reference: Path, tmp_path: Path) -> None:
    process = begin_held(hold, tmp_path / "run")
    with pytest.raises(CamsbenchError, match="is in use by another run: wait for it, or choose another folder"):
        run(tmp_path / "run", *hold.options)
    with pytest.raises(CamsbenchError, match="is in use by another run, of other images, blocks or shares"):
        run(tmp_path / "run", *hold.options, "data.limit=5")
    hold.release()
    process.communicate(timeout=240)
    assert process.returncode == 0
    same_rows(tmp_path / "run", reference)


def test_memory_that_runs_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The allocator itself refuses, wherever more than four copies pass at once."""

    def hungry(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        if len(given[0]) > 4:
            torch.empty(2**60)

    def built(cfg: Any, records: Any = None) -> Job:
        job = build(cfg, records)
        assert isinstance(job.split, TorchSplit)
        for module in job.split.features_graph.modules():
            module.register_forward_pre_hook(hungry)
        return job

    monkeypatch.setattr("camsbench.session.build", built)
    options = ["method=[groupcam]", "runtime.fold=false"]
    run(tmp_path / "run", *options, "runtime.micro_batch=16")
    said = [record.getMessage() for record in caplog.records if "memory ran out" in record.getMessage()]
    assert said == [f"memory ran out: going on with micro-batches of {size}" for size in (8, 4)]  # each once
    monkeypatch.undo()
    run(tmp_path / "plain", *options, "runtime.micro_batch=4")
    same_rows(tmp_path / "run", tmp_path / "plain")


EDITING = """
import torch
from camsbench.methods.gradcam import GradCAM

class Editing(GradCAM):
    def __call__(self, split, forward):
        if (forward.logits.argmax(1) == LABEL).any():
            with torch.no_grad():
                next(split.model.parameters())[0] += 0.01
        return super().__call__(split, forward)
"""


@pytest.mark.parametrize("executor", [[], [TWO]], ids=["one process", "two workers"])
def test_a_network_that_changes_its_weights(executor: list[str], plugin: Path, reference: Path, tmp_path: Path) -> None:
    fourth = int(rows_of(reference)["label"][3])
    plugin.write_text(EDITING.replace("LABEL", str(fourth)))
    options = ["method=gradcam", "method.gradcam._target_=harm.Editing"]
    with pytest.raises(CamsbenchError, match="the weights of tf_efficientnet_lite0 changed while it was explained"):
        run(tmp_path / "run", *options, *executor)
    assert fourth not in set(rows_of(tmp_path / "run")["label"])
    assert len(rows_of(tmp_path / "run")) >= 1


def test_weights_that_are_others_in_the_next_session(tmp_path: Path) -> None:
    def weights(seed: int) -> None:
        torch.manual_seed(seed)
        torch.save(resnet18(weights=None).state_dict(), tmp_path / "own.pth")

    chosen = ["model=resnet18", f"model.weights='{tmp_path / 'own.pth'}'", "method=gradcam"]
    weights(0)
    run(tmp_path / "run", *chosen, "data.limit=1")
    before = rows_of(tmp_path / "run")
    weights(1)
    with pytest.raises(CamsbenchError, match=r"model\.weight_hash was \w+ and is \w+\): choose another folder"):
        run(tmp_path / "run", *chosen, "data.limit=2")
    assert rows_of(tmp_path / "run").equals(before)


def test_images_of_every_kind(tmp_path: Path, sample_paths: list[Path], caplog: pytest.LogCaptureFixture) -> None:
    """Those that can be read are read right; the others are rows that say why, and so do the workers."""
    folder = tmp_path / "images" / "n02108422"
    folder.mkdir(parents=True)
    plain = Image.open(sample_paths[0]).convert("RGB")
    grey = np.asarray(plain.convert("L"))
    plain.save(folder / "plain.png")
    Image.fromarray(grey).save(folder / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 256 + 7).save(folder / "grey16.png")
    plain.convert("CMYK").save(folder / "cmyk.tif.JPEG", format="TIFF")
    plain.save(folder / "animated.png", save_all=True, append_images=[plain.rotate(180)])
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it by a quarter
    plain.save(folder / "rotated.png", exif=exif)
    whole = sample_paths[0].read_bytes()
    (folder / "truncated.JPEG").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.JPEG").write_bytes(b"")
    Image.new("1", (20_000, 10_000)).save(folder / "bomb.png")  # 200 million pixels in a few kB
    source = ["data=ilsvrc2012", f"data.root='{folder.parent}'", "data.limit=null", "method=gradcam"]
    run(tmp_path / "run", *source, TWO)
    rows = rows_of(tmp_path / "run").set_index("image_id")
    assert len(rows) == 9
    assert caplog.text.count("cannot read truncated.JPEG: OSError: image file is truncated") == 1
    errors = rows["error"].dropna()
    assert set(errors.index) == {"truncated", "empty", "bomb"}
    assert errors["truncated"].startswith("cannot read truncated.JPEG: OSError: image file is truncated")
    assert errors["empty"].startswith("cannot read empty.JPEG: UnidentifiedImageError")
    assert errors["bomb"].startswith("cannot read bomb.png: DecompressionBombError")
    drop = rows["drop"]
    assert drop["grey16"] == pytest.approx(drop["grey"], abs=1e-6)
    assert drop["animated"] == pytest.approx(drop["plain"], abs=1e-6)
    assert drop["rotated"] == pytest.approx(drop["plain"], abs=1e-6)
    assert drop["cmyk.tif"] == pytest.approx(drop["plain"], abs=0.05)

"""CLIP-like towers with text embeddings in place of a classifier: logits, names, layers, identity, files, refusals."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Tiny
from PIL import Image
from quick import QuickRun, command
from safetensors.torch import save_file
from torch import Tensor, nn

import camsbench
from camsbench import CamsbenchError, cut
from camsbench.core.preprocess import Preprocess
from camsbench.models.randomise import Randomised
from camsbench.models.split import TorchSplit
from camsbench.models.text import Text, read_text
from camsbench.models.weights import ModelSpec
from camsbench.models.zeroshot import ZeroShot, classify_by

SIDE = 96
OWN: dict[str, Any] = {"resize": SIDE, "crop": SIDE, "interpolation": "bilinear", "mean": [0.5] * 3, "std": [0.5] * 3}
LENGTH = 16  # of the small tower's embeddings
VIT: dict[str, Any] = {"options": {"img_size": SIDE, "num_classes": LENGTH}, "transform": OWN, "device": "cpu"}
OPTIONS = ["model=timm", "model.name=vit_tiny_patch16_224", "model.weights=random", "model.transform.crop=96"]
OPTIONS += ["++model.options.img_size=96", f"++model.options.num_classes={LENGTH}"]
HALF = Preprocess(resize=2, crop=2, interpolation="bilinear", mean=[0.5] * 3, std=[0.5] * 3)
ROWS = [[3.0, 4.0], [0.0, 2.0], [-1.0, 0.0]]
SPEC = ModelSpec("tiny", "module", "built", text="text.npy")


def random_text(rows: int = 3, length: int = LENGTH, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, length)).astype(np.float32)


def saved(path: Path, **held: Any) -> Path:
    """Arrays in a file of the suffix's kind."""
    if path.suffix == ".npz":
        np.savez(path, **held)
    elif path.suffix == ".npy":
        np.save(path, held["text"])
    else:
        tensors = {key: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for key, v in held.items()}
        write: Any = save_file if path.suffix == ".safetensors" else torch.save
        write(tensors, path)
    return path


def read(path: Path, **changes: Any) -> Text:
    found = read_text(ModelSpec("tiny", "module", "built", text=str(path), **changes))
    assert found is not None
    return found


def unit(rows: list[list[float]]) -> Tensor:
    return torch.nn.functional.normalize(torch.tensor(rows, dtype=torch.float64), dim=1)


def tiny_split(tower: nn.Module, bias: float | None = -2.0, layer: str | None = "relu") -> TorchSplit:
    made = classify_by(Text(unit(ROWS), 10.0, bias), tower.eval().requires_grad_(False), HALF, SPEC)
    return cut(made, layer, HALF, name="tiny")


def test_logits_by_hand(tiny_x: Tensor) -> None:
    split = tiny_split(Tiny())
    e = (1.5, 3.25)  # of the means a0 = 2.5 and a1 = 1 of A
    length = math.hypot(*e)
    cosines = torch.tensor([[(0.6 * e[0] + 0.8 * e[1]) / length, e[1] / length, -e[0] / length]])
    assert torch.allclose(split.logits(tiny_x), 10 * cosines - 2, rtol=0, atol=1e-5)
    assert torch.allclose(split.model(tiny_x), 10 * cosines - 2, rtol=0, atol=1e-5)
    plain = tiny_split(Tiny(), bias=None)
    assert torch.allclose(plain.logits(tiny_x) / 10, cosines, rtol=0, atol=1e-6)
    assert split.num_classes == 3
    double = tiny_split(Tiny().double(), bias=None)
    assert double.logits(tiny_x.double()).dtype == torch.float64


def test_the_gradient_by_hand(tiny_x: Tensor) -> None:
    split = tiny_split(Tiny())
    A = split.features(tiny_x).detach().requires_grad_()
    (found,) = torch.autograd.grad(split.head(A)[0, 0], A)
    e, t = torch.tensor([1.5, 3.25]), torch.tensor([0.6, 0.8])
    direction = e / e.norm()
    at_e = 10 * (t - (t @ direction) * direction) / e.norm()
    at_A = torch.tensor([[1.0, -1], [0.5, 2]]).T @ at_e / 4  # W, and the mean of four cells
    assert torch.allclose(found, at_A.view(1, 2, 1, 1).expand_as(found), rtol=0, atol=1e-6)
    maps = camsbench.explain("gradcam", split, tiny_x, 0)
    assert maps.shape == (1, 1, 2, 2)
    assert maps.isfinite().all()


@pytest.mark.parametrize("name", ["class", "sequential", "graph"])
def test_any_kind_of_tower(name: str, tiny_x: Tensor) -> None:
    tiny = Tiny().eval()
    parts = nn.Sequential(tiny.conv, tiny.relu, tiny.pool, nn.Flatten(), tiny.fc)  # passes all its modules in turn
    tower = {"class": tiny, "sequential": parts, "graph": torch.fx.symbolic_trace(tiny)}[name]
    before = tower(tiny_x)
    split = tiny_split(tower, layer="1" if name == "sequential" else "relu")
    logits = split.logits(tiny_x)
    assert torch.allclose(logits, tiny_split(Tiny()).logits(tiny_x), rtol=0, atol=1e-5)
    assert torch.equal(tower(tiny_x), before)  # it stays an embedding's
    assert torch.equal(tiny_split(tower, layer=split.layer).logits(tiny_x), logits)  # and can be asked again
    with Randomised(split, seed=0).without(["4" if name == "sequential" else "fc"]) as other:
        assert other.model(tiny_x).shape == (1, 3)
        assert not torch.allclose(other.model(tiny_x), logits)
        assert torch.allclose(other.model(tiny_x), other.logits(tiny_x), rtol=0, atol=1e-5)


def test_layers_keep_their_names(tmp_path: Path) -> None:
    text = saved(tmp_path / "text.npy", text=random_text())
    split = camsbench.load_model("timm/vit_tiny_patch16_224", "random", text=text, **VIT)
    tower = camsbench.load_model("timm/vit_tiny_patch16_224", "random", **VIT)
    assert split.layer == tower.layer == "blocks.11.norm1"
    assert split.stream == tower.stream
    assert set(split.model.state_dict()) - set(tower.model.state_dict()) == {"zero_shot_text", "zero_shot_scale"}
    named = camsbench.load_model("timm/vit_tiny_patch16_224", "random", "blocks.9", text=text, **VIT)
    assert named.layer == "blocks.9"
    x = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    e = tower.model(x)
    expected = 100 * (e / e.norm(dim=1, keepdim=True)) @ unit(random_text().tolist()).float().T
    for each in (split, named):
        assert torch.allclose(each.logits(x), expected, rtol=1e-4, atol=1e-4)
    assert camsbench.explain("gradcam", split, x, [0, 2]).isfinite().all()


def test_features_without_a_classifier_are_embeddings(tmp_path: Path) -> None:
    text = saved(tmp_path / "text.npy", text=random_text(length=512))
    options: dict[str, Any] = {"options": {"num_classes": 0}, "transform": OWN, "device": "cpu"}
    split = camsbench.load_model("timm/resnet18", "random", text=text, **options)
    assert split.num_classes == 3
    with pytest.raises(CamsbenchError, match=r"has no classifier, .* or give text embeddings .* with model\.text="):
        camsbench.load_model("timm/resnet18", "random", **options)
    wide = saved(tmp_path / "wide.npy", text=random_text(length=1000))
    assert (
        camsbench.load_model("torchvision/resnet18", "random", text=wide, transform=OWN, device="cpu").num_classes == 3
    )


@pytest.mark.parametrize("name", ["t.npy", "t.npz", "t.pt", "t.pth", "t.safetensors"])
def test_forms_of_files(name: str, tmp_path: Path) -> None:
    found = read(saved(tmp_path / name, text=random_text()))
    expected = unit(random_text().tolist())
    assert torch.allclose(found.embeddings, expected)
    assert (found.scale, found.bias, found.names) == (100.0, None, ())


def test_a_matrix_alone_or_under_a_key(tmp_path: Path) -> None:
    matrix = torch.from_numpy(random_text())
    expected = unit(random_text().tolist())
    torch.save(nn.Parameter(matrix.half()), tmp_path / "alone.pt")  # as a GPU's text tower gives it
    np.savez(tmp_path / "alone.npz", random_text())
    for path in (tmp_path / "alone.pt", tmp_path / "alone.npz"):
        assert torch.allclose(read(path).embeddings, expected, atol=1e-3)
    for key in ("text_features", "embeddings"):
        assert torch.allclose(read(saved(tmp_path / "t.pt", **{key: matrix})).embeddings, expected)


def test_what_a_file_says_beside_its_matrix(tmp_path: Path) -> None:
    text = random_text()
    siglip = saved(tmp_path / "a.npz", text=text, logit_scale=math.log(117.0), logit_bias=-12.9, names=["a", "b", "c"])
    found = read(siglip)
    assert found.scale == pytest.approx(117)  # CLIP's parameter is the logarithm
    assert (found.bias, found.names) == (-12.9, ("a", "b", "c"))
    assert read(siglip, scale=7.5).scale == 7.5
    held = {
        "text": torch.from_numpy(text),
        "scale": torch.tensor(50.0),
        "bias": torch.tensor([1.5]),
        "names": ["a"] * 3,
    }
    other = saved(tmp_path / "b.pt", **held)
    assert read(other, classes="names.txt").names == ("a",) * 3  # model.classes takes their place
    with pytest.raises(CamsbenchError, match="'a' stands there 3 times"):
        read(other)
    found = read(saved(tmp_path / "c.pt", **{**held, "names": ["x", "y", "z"]}))
    assert (found.scale, found.bias) == (50.0, 1.5)


def test_names_of_the_classes(tmp_path: Path) -> None:
    text = saved(tmp_path / "text.npz", text=random_text(), names=["cat", "dog", "owl"])
    split = camsbench.load_model("timm/vit_tiny_patch16_224", "random", text=text, **VIT)
    assert split.class_names == ("cat", "dog", "owl")
    (tmp_path / "n.txt").write_text("a\nb\nc\n")
    other = camsbench.load_model("timm/vit_tiny_patch16_224", "random", text=text, classes=tmp_path / "n.txt", **VIT)
    assert other.class_names == ("a", "b", "c")


def test_the_hash_covers_text_scale_and_bias(tmp_path: Path) -> None:
    def hash_of(scale: float | None = None, **held: Any) -> str:
        text = saved(tmp_path / "text.npz", **held)
        return camsbench.load_model("timm/vit_tiny_patch16_224", "random", text=text, scale=scale, **VIT).weight_hash

    first: dict[str, Any] = {"text": random_text()}
    found = [hash_of(**first), hash_of(text=random_text(seed=1)), hash_of(50.0, **first), hash_of(**first, bias=1.0)]
    assert len(set(found)) == 4
    assert hash_of(100.0, **first) == found[0]
    assert hash_of(scale=None, **first, names=["a", "b", "c"]) == found[0]


def with_row(value: float) -> np.ndarray:
    matrix = random_text()
    matrix[1] = value
    return matrix


class Pickled:
    """What only running a file's code could read."""


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("t.npy", None, r"there is no file .*; give text embeddings of the classes: a matrix \[C,D\], a row a class"),
        ("t.csv", lambda p: p.write_text("1,2"), r"a file \.csv is of no known form; save a matrix"),
        ("t.npy", lambda p: p.write_bytes(b"none"), r"cannot be read as arrays alone .*; save a matrix"),
        ("t.npy", lambda p: np.save(p, np.array([Pickled()])), "cannot be read as arrays alone"),
        ("t.pt", lambda p: torch.save(Pickled(), p), "cannot be read as arrays alone"),
        ("t.safetensors", lambda p: p.write_bytes(b"none"), "cannot be read as arrays alone"),
        ("t.npz", lambda p: saved(p, other=random_text()), "it holds other; save a matrix"),
        (
            "t.npz",
            lambda p: saved(p, text=random_text(), embeddings=random_text()),
            "it holds text and embeddings, and",
        ),
        ("t.npy", lambda p: saved(p, text=np.ones(4)), r"these are numbers of the shape \[4\], no matrix of numbers"),
        ("t.npy", lambda p: saved(p, text=np.array([["a"]])), "these are ndarray, no matrix of numbers; save a matrix"),
        ("t.pt", lambda p: torch.save([1, 2], p), "these are list, no matrix of numbers"),
        ("t.npy", lambda p: saved(p, text=random_text(1)), "it has 1 rows; give those of two classes or more"),
        ("t.npy", lambda p: saved(p, text=with_row(np.nan)), "row 1 holds NaN or infinity; embed that class again"),
        ("t.npy", lambda p: saved(p, text=with_row(np.inf)), "row 1 holds NaN or infinity"),
        ("t.npy", lambda p: saved(p, text=with_row(0)), "row 1 is all zeros, which has no direction; embed that class"),
        (
            "t.npz",
            lambda p: saved(p, text=random_text(), names=["a"]),
            "there are 1 names, and the network has 3 classes",
        ),
        ("t.npz", lambda p: saved(p, text=random_text(), names=[1, 2, 3]), "its names are no list of names; save one"),
        ("t.npz", lambda p: saved(p, text=random_text(), scale=-1.0), r"its scale is -1, .* or give model\.scale="),
        ("t.npz", lambda p: saved(p, text=random_text(), scale=[1, 2]), "its scale is not one finite number"),
        ("t.npz", lambda p: saved(p, text=random_text(), bias=np.nan), "its bias is not one finite number; save one"),
        (
            "t.npz",
            lambda p: saved(p, text=random_text(), logit_scale=100.0),
            "is a logarithm: save the factor itself as",
        ),
        ("t.npz", lambda p: saved(p, text=random_text(), logit_scale=1.0, scale=1.0), "it holds scale and logit_scale"),
    ],
)
def test_files_that_are_refused(name: str, write: Callable[[Path], object] | None, said: str, tmp_path: Path) -> None:
    if write is not None:
        write(tmp_path / name)
    with pytest.raises(CamsbenchError, match=rf"^model\.text=.*{said}"):
        read(tmp_path / name)


def test_text_of_another_length(tmp_path: Path) -> None:
    for matrix, said in (
        (
            random_text(length=10),
            f"rows have 10 numbers, and the embeddings of .* have {LENGTH}: embed the prompts with",
        ),
        (random_text(LENGTH, 3), f"rows have 3 numbers, and the embeddings of .* have {LENGTH}: save its transpose"),
    ):
        text = saved(tmp_path / "text.npy", text=matrix)
        with pytest.raises(CamsbenchError, match=said):
            camsbench.load_model("timm/vit_tiny_patch16_224", "random", text=text, **VIT)


def test_networks_that_are_refused() -> None:
    text = Text(unit(ROWS), 10.0)
    tiny = Tiny().eval()
    with pytest.raises(CamsbenchError, match=r"gives \[2, 2, 2, 2\] for 2 images, not embeddings \[B,D\]: choose"):
        classify_by(text, nn.Sequential(tiny.conv), HALF, SPEC)
    tiny.forward = tiny.conv.forward  # type: ignore[assignment,method-assign]
    with pytest.raises(CamsbenchError, match=r"has a forward of its own, .*: give a network whose class has it"):
        classify_by(text, tiny, HALF, SPEC)


def test_options_that_are_refused(tmp_path: Path) -> None:
    text = saved(tmp_path / "text.npy", text=random_text())
    for scale in (0, -3, math.inf, math.nan, True, "large"):
        with pytest.raises(
            CamsbenchError, match=rf"^model\.scale={scale}: give a number above 0, or null for what the"
        ):
            camsbench.load_model("timm/vit_tiny_patch16_224", "random", text=text, scale=scale, **VIT)  # type: ignore[arg-type]
    with pytest.raises(CamsbenchError, match=r"^model\.scale=50: .*: give model\.text=FILE, or leave it out"):
        camsbench.load_model("timm/vit_tiny_patch16_224", "random", scale=50, **VIT)
    for name in ("onnx", "checkpoint"):
        given: dict[str, Any] = {"file": "net.onnx"} if name == "onnx" else {"weights": "net.pt2"}
        with pytest.raises(
            CamsbenchError, match=rf"the file of model={name} must give logits itself: leave the option"
        ):
            camsbench.load_model(name, text=text, **given)
    done = command(*OPTIONS, f"model.text={tmp_path / 'no where.npy'}", "output=run", cwd=tmp_path)
    assert done.returncode == 1
    assert f"model.text={tmp_path / 'no where.npy'}: there is no file" in done.stderr


TOWER = """
from torch import nn

tower = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

def build():
    return tower
"""


def test_a_function_s_tower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_towers.py").write_text(TOWER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("CAMSBENCH_PLUGINS", "own_towers")
    text = saved(tmp_path / "text.npy", text=random_text(length=6))
    try:
        for _ in range(2):  # of one object
            split = camsbench.load_model("module", build="own_towers:build", text=text, transform=OWN, device="cpu")
            assert isinstance(split.model, ZeroShot)
            assert (split.layer, split.num_classes) == ("1", 3)
    finally:
        sys.modules.pop("own_towers", None)


def test_a_run(quick_run: QuickRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, colour in (("cat", "red"), ("dog", "green"), ("owl", "blue")):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.new("RGB", (SIDE, SIDE), colour).save(tmp_path / "images" / name / "0.png")
    text = saved(tmp_path / "my text.npz", text=random_text(), names=["owl", "cat", "dog"])
    other = saved(tmp_path / "other.npz", text=random_text(seed=1), names=["owl", "cat", "dog"])
    moved = Path(shutil.copy(text, tmp_path / "moved.npz"))
    options = [*OPTIONS, "data=folder", f"data.root={tmp_path / 'images'}", "target=label", "method=[gradcam]"]
    options += ["metric=[drop]", "output=null"]
    monkeypatch.chdir(tmp_path)

    def run(file: Path, *more: str) -> Any:
        return quick_run(Path(), *options, f"model.text='{file}'", *more)

    first = run(text)
    rows = first.rows.set_index("image_id")
    assert dict(rows["label"]) == {"cat/0": 1, "dog/0": 2, "owl/0": 0}  # by the file's names
    assert first.errors == 0
    assert rows["drop"].between(0, 1).all()
    assert run(moved).path == first.path
    assert run(other).path != first.path
    with pytest.raises(CamsbenchError, match="weight_hash"):
        run(other, f"output='{first.path}'")

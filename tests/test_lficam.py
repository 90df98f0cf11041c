"""LFI-CAM: its formula by hand, its training on real digits beside real photographs, its script, its contract."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import torchvision
from conftest import Tiny
from contract import METHODS, TRAINED
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image
from torch import Tensor, nn

import camsbench
from camsbench import CamsbenchError
from camsbench.core import scoring
from camsbench.core.passes import MicroBatch
from camsbench.core.preprocess import Preprocess
from camsbench.methods.lficam import LFICAM
from camsbench.models.lficam import LFINetwork, around, restore, train_epoch
from camsbench.models.lficam_fin import FeatureImportance, Form
from camsbench.models.split import TorchSplit, cut
from camsbench.models.weights import weight_hash

SCRIPT = Path(__file__).parent.parent / "scripts" / "train_lficam.py"
CPU = torch.device("cpu")
SIDE = 24  # of a half


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_lficam", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_untrained_importance_of_equal_channels_gives_their_mean(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """A FIN whose last batch norm is 0 weighs both channels 1/2: the map is [[0.5,2],[1.5,3]], N of it
    [[0,0.6],[0.4,1]], and the attended means are a0 = 4.1, a1 = 1.8 with logits (a0 − a1, a0/2 + 2·a1)."""
    network = around(tiny).eval()
    last = network.importance.layers[-2]
    assert isinstance(last, nn.BatchNorm2d)
    nn.init.zeros_(last.weight)
    A = tiny.features(tiny_x)
    torch.testing.assert_close(network.saliency(tiny_x, A)[0].detach(), torch.tensor([[0.5, 2], [1.5, 3]]))
    torch.testing.assert_close(network(tiny_x).detach(), torch.tensor([[2.3, 5.65]]))


def test_the_importance_sees_features_times_the_grey_image() -> None:
    torch.manual_seed(0)
    network = LFINetwork(nn.Identity(), nn.Identity(), 4).eval()
    x, A = torch.randn(2, 3, 6, 6), torch.rand(2, 4, 3, 3)
    low, high = A.amin((2, 3), keepdim=True), A.amax((2, 3), keepdim=True)
    grey = torch.nn.functional.interpolate(x.mean(1, keepdim=True), (3, 3), mode="bilinear", align_corners=False)
    weight = network.importance((A - low) / (high - low) * grey)
    torch.testing.assert_close(weight.sum(1), torch.ones(2))
    assert weight.std() > 0
    expected = torch.einsum("bk,bkhw->bhw", weight, A).relu()
    torch.testing.assert_close(network.saliency(x, A), expected)


def test_importance_of_two_channels() -> None:
    weight = FeatureImportance(2).eval()(torch.rand(3, 2, 5, 5))
    assert weight.shape == (3, 2)
    assert (weight > 0).all()


def authors_fin(middle: int, relus: str, names: str, K: int = 8) -> tuple[nn.Sequential, dict[str, Tensor]]:
    """A FIN as the authors' code builds it, with statistics of its own, and its state dict under their names."""
    widths, layers = [K, K, middle, K, K], []
    for i in range(4):
        layers += [nn.Conv2d(widths[i], widths[i + 1], 3, padding=1, bias=False), nn.BatchNorm2d(widths[i + 1])]
        layers += [nn.ReLU()] if relus == "all" or i % 2 else []
    fin = nn.Sequential(*layers)
    for _ in range(3):
        fin(torch.randn(8, K, 5, 5))
    state = fin.state_dict()
    if names == "attention":  # CIFAR: one Sequential
        return fin.eval(), dict(state)
    said: dict[str, Tensor] = {}
    for name, value in state.items():  # ImageNet: att_conv1, att_bn1, att_conv2 …; PyTorch 0.4.0 counts no batches
        place, _, kind = name.partition(".")
        number = 1 + sum(isinstance(layer, nn.Conv2d) for layer in fin[: int(place)])
        isconv = isinstance(fin[int(place)], nn.Conv2d)
        if kind != "num_batches_tracked":
            said[f"att_conv{number}.{kind}" if isconv else f"att_bn{number - 1}.{kind}"] = value
    return fin.eval(), said


@pytest.mark.parametrize(
    ("middle", "relus", "names", "given"),
    [
        (8, "all", "att", "all"),  # ImageNet at the head
        (8, "pairs", "att", "pairs"),  # ImageNet between March and June 2021
        (4, "pairs", "att", None),  # ImageNet in March 2021
        (8, "pairs", "attention", None),  # CIFAR at the head
        (4, "pairs", "attention", None),
        (8, "all", "attention", None),  # ours
    ],
)
def test_every_form_of_the_authors_network_is_loaded(middle: int, relus: str, names: str, given: str | None) -> None:
    torch.manual_seed(0)
    theirs, state = authors_fin(middle, relus, names)
    ours = FeatureImportance.of(state, given)
    assert ours.form == Form(8, middle, relus)
    features = torch.randn(3, 8, 5, 5)
    torch.testing.assert_close(ours(features), theirs(features).mean((2, 3)).softmax(1))


def test_a_form_that_the_tensors_do_not_tell_is_asked_for() -> None:
    _, state = authors_fin(8, "all", "att")
    with pytest.raises(CamsbenchError, match=r"its tensors do not tell: give recipe\.relus: all or pairs"):
        FeatureImportance.of(state)
    _, halved = authors_fin(4, "pairs", "attention")
    with pytest.raises(CamsbenchError, match="relus=all: the Feature Importance Network's layers say pairs"):
        FeatureImportance.of(halved, "all")
    _, other = authors_fin(2, "pairs", "attention")
    with pytest.raises(CamsbenchError, match="has convolutions of 8×8×3×3, 2×8×3×3, 8×2×3×3, 8×8×3×3: four of 3×3"):
        FeatureImportance.of(other)
    with pytest.raises(CamsbenchError, match="must stand the weight, bias, mean and variance of its BatchNorm"):
        FeatureImportance.of({name: value for name, value in halved.items() if "bias" not in name})
    with pytest.raises(CamsbenchError, match="has no convolution"):
        FeatureImportance.of({})


@pytest.mark.parametrize(("middle", "relus"), [(256, "pairs"), (512, "all")])
def test_a_checkpoint_of_either_width_comes_back(trained: Path, tmp_path: Path, middle: int, relus: str) -> None:
    """A ResNet-18's FIN has K = 512; checkpoints of 0.1.0 have K/2 in the middle."""
    saved = torch.load(trained, weights_only=True)
    fin, state = authors_fin(middle, relus, "att", 512)
    rest = {name: value for name, value in saved["state_dict"].items() if not name.startswith("importance.")}
    changed = {
        "recipe": {**saved["recipe"], "relus": relus},
        "state_dict": {**rest, **{f"importance.{name}": value for name, value in state.items()}},
    }
    torch.save(changed, tmp_path / "other.pth")
    network, _, _ = restore(tmp_path / "other.pth", CPU)
    assert network.importance.form == Form(512, middle, relus)
    features = torch.randn(2, 512, 2, 2)
    torch.testing.assert_close(network.importance(features), fin(features).mean((2, 3)).softmax(1))
    if middle == 512:
        changed["recipe"]["relus"] = None
        torch.save(changed, tmp_path / "unsaid.pth")
        with pytest.raises(CamsbenchError, match=r"method.lficam.checkpoint=.*unsaid.pth: the authors' ImageNet"):
            restore(tmp_path / "unsaid.pth", CPU)


def composites(seed: int, n: int, *, held_out: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Images [n,3,24,48]: a real handwritten digit of class 0 to 3 in one half, a crop of a real photograph in the
    other; the labels; and which half holds the digit. Held-out images take other digits."""
    random = np.random.default_rng(seed)
    digits = load_digits()
    known = np.flatnonzero(digits.target < 4)
    known = known[len(known) // 2 :] if held_out else known[: len(known) // 2]
    photo = load_sample_image("china.jpg").mean(2) / 255
    chosen = random.choice(known, n)
    side = random.integers(2, size=n)
    rows = []
    for digit, where in zip(chosen, side, strict=True):
        top, left = (random.integers(length - SIDE) for length in photo.shape)
        crop = photo[top : top + SIDE, left : left + SIDE]
        drawn = np.kron(digits.images[digit] / 16, np.ones((3, 3)))
        rows.append(np.concatenate([crop, drawn] if where else [drawn, crop], axis=1))
    x = torch.from_numpy(np.stack(rows)).float()[:, None].expand(-1, 3, -1, -1).contiguous()
    return (x - 0.5) / 0.5, torch.from_numpy(digits.target[chosen]), torch.from_numpy(side)


def convolution(before: int, after: int, stride: int) -> list[nn.Module]:
    kernel = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
    return [kernel, nn.BatchNorm2d(after), nn.ReLU()]


def mass_on_the_digit(network: LFINetwork, x: Tensor, side: Tensor) -> Tensor:
    with torch.no_grad():
        maps = network.saliency(x, network.features(x))
    left = maps[:, :, : maps.shape[2] // 2].sum((1, 2)) / maps.sum((1, 2))
    return torch.where(side == 0, left, 1 - left)


def test_training_lowers_the_loss_and_the_map_goes_to_the_digit() -> None:
    torch.manual_seed(0)
    body = [*convolution(3, 16, 1), *convolution(16, 32, 2), *convolution(32, 32, 2)]
    model = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4)).eval()
    split = cut(model, "8", Preprocess(resize=SIDE, crop=SIDE, interpolation="bilinear", mean=[0.5] * 3, std=[0.5] * 3))
    network = around(split).eval()
    x, label, _ = composites(0, 512, held_out=False)
    new_x, new_label, new_side = composites(1, 256, held_out=True)
    importance = [parameter.clone() for parameter in network.importance.parameters()]
    before = mass_on_the_digit(network, new_x, new_side)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    losses = []
    for epoch in range(4):
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(epoch)).split(32)
        loss, _ = train_epoch(network, ((x[rows], label[rows]) for rows in order), optimiser)
        losses.append(loss)
    after = mass_on_the_digit(network, new_x, new_side)
    assert losses[-1] < losses[0] / 4
    assert (network(new_x).argmax(1) == new_label).float().mean() > 0.8
    assert before.mean() < 0.6 < 0.7 < after.mean()
    assert (after > 0.5).float().mean() > 0.95
    moved = [
        float((new - old).detach().abs().max())
        for new, old in zip(network.importance.parameters(), importance, strict=True)
    ]
    assert min(moved) > 0  # gradients reach the importance network through the attention


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of real digits, two classes in train/ and val/."""
    root = tmp_path_factory.mktemp("digits")
    digits = load_digits()
    for name, part in (("train", slice(0, 6)), ("val", slice(6, 8))):
        for digit in (0, 1):
            (root / name / str(digit)).mkdir(parents=True)
            for i in np.flatnonzero(digits.target == digit)[part]:
                pixels = (np.kron(digits.images[i], np.ones((8, 8))) * 15).astype(np.uint8)
                Image.fromarray(pixels).save(root / name / str(digit) / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def trained(script: ModuleType, folder: Path) -> Path:
    """A checkpoint of the training script: ResNet-18, one epoch on 64x64 pixels."""
    out = folder / "lficam.pth"
    options = [
        "--batch-size",
        "4",
        "--size",
        "64",
        "--lr",
        "0.01",
        "--epochs",
        "1",
        "--workers",
        "0",
        "--device",
        "cpu",
    ]
    script.main(["--data", str(folder), "--out", str(out), "--backbone-out", str(folder / "backbone.pth"), *options])
    return out


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    x, _, _ = composites(2, 3, held_out=True)
    return torch.nn.functional.interpolate(x, (64, 64), mode="area")


def test_the_script_says_how_it_went(script: ModuleType, folder: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    given = ["--data", str(folder), "--size", "64", "--epochs", "1", "--workers", "0", "--device", "cpu", "--freeze"]
    outs = [tmp_path / name for name in ("a.pth", "b.pth")]
    for out in outs:
        script.main([*given, "--arch", "squeezenet1_1", "--layer", "features.12", "--seed", "3", "--out", str(out)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("epoch 1/1 loss ")
    assert "validation top-1" in lines[0]
    first, second = (torch.load(out, weights_only=True)["state_dict"] for out in outs)
    assert all(torch.equal(first[key], second[key]) for key in first)  # the seed settles everything
    with pytest.raises(CamsbenchError, match="folder of images a class"):
        script.main(["--data", str(folder / "nowhere"), "--out", str(outs[0])])
    with pytest.raises(SystemExit, match="0"):
        script.main(["--help"])
    assert "--freeze" in capsys.readouterr().out


def test_a_checkpoint_comes_back_whole(trained: Path, pictures: Tensor) -> None:
    network, recipe, split = restore(trained, CPU)
    assert (recipe.name, recipe.layer, recipe.num_classes) == ("resnet18", "layer4", 2)
    assert restore(trained, CPU)[0] is network
    torch.testing.assert_close(split.logits(pictures), network(pictures))
    A = network.features(pictures)
    attended = split.features(pictures)
    assert (attended >= A - 1e-5).all()
    assert (attended <= 2 * A + 1e-5).all()
    assert (attended - A).abs().max() > 0.1


def test_the_method_is_a_true_batch_and_leaves_nothing_behind(trained: Path, pictures: Tensor) -> None:
    network, _, split = restore(trained, CPU)
    x, weights = pictures.clone(), weight_hash(network)
    method = LFICAM(str(trained))
    together = camsbench.explain(method, split, pictures, [0, 1, 0])
    assert together.shape == (3, 1, 64, 64)
    assert together.amin((1, 2, 3)).tolist() == [0, 0, 0]
    assert together.amax((1, 2, 3)).tolist() == [1, 1, 1]
    with torch.no_grad():
        raw = network.saliency(pictures, network.features(pictures))
    torch.testing.assert_close(method(split, scoring.forward(split, pictures, None, (0, 0, 0))), raw)
    for size in (1, 2):
        again = camsbench.explain(method, replace(split, micro_batch=MicroBatch(size)), pictures, [0, 1, 0])
        torch.testing.assert_close(again, together, rtol=0, atol=2e-5)
    alone = camsbench.explain(method, split, pictures[2:], 0)
    torch.testing.assert_close(alone, together[2:], rtol=0, atol=2e-5)
    assert torch.equal(pictures, x)
    assert weight_hash(network) == weights
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_the_trained_network_is_scored_and_explained_like_any_other(trained: Path, pictures: Tensor) -> None:
    _, _, split = restore(trained, CPU)
    for method in (LFICAM(str(trained)), "gradcam", "reciprocam"):
        rows = camsbench.evaluate(method, split, pictures, metrics=["drop", "complexity"])
        assert rows["probability"].tolist() == pytest.approx(
            split.logits(pictures).softmax(1).amax(1).tolist(), abs=1e-5
        )


def test_on_the_plain_backbone_its_own_activations_are_weighed(trained: Path, pictures: Tensor) -> None:
    network, recipe, _ = restore(trained, CPU)
    model = torchvision.models.get_model("resnet18", num_classes=2)
    model.load_state_dict(torch.load(trained.parent / "backbone.pth", weights_only=True))
    split = cut(model.eval(), "layer4", Preprocess(**recipe.transform), name="resnet18", micro_batch=MicroBatch(2))
    forward = scoring.forward(split, pictures, None, (0, 0, 0))
    with torch.no_grad():
        expected = network.saliency(pictures, network.features(pictures))
    torch.testing.assert_close(LFICAM(str(trained))(split, forward), expected, rtol=1e-4, atol=1e-5)


def test_what_is_wrong_is_said(trained: Path, tiny: TorchSplit, tiny_x: Tensor, tmp_path: Path) -> None:
    assert "lficam" in TRAINED
    assert "lficam" not in METHODS
    with pytest.raises(CamsbenchError, match=r"give method.lficam.checkpoint=FILE; python scripts/train_lficam.py"):
        camsbench.explain("lficam", tiny, tiny_x)
    with pytest.raises(CamsbenchError, match="there is no such file"):
        camsbench.explain(LFICAM(str(tmp_path / "none.pth")), tiny, tiny_x)
    (tmp_path / "junk.pth").write_bytes(b"no network")
    with pytest.raises(CamsbenchError, match="is no LFI-CAM checkpoint"):
        camsbench.explain(LFICAM(str(tmp_path / "junk.pth")), tiny, tiny_x)
    with pytest.raises(CamsbenchError, match="is of resnet18 at layer 'layer4', not of tiny at layer 'relu'"):
        camsbench.explain(LFICAM(str(trained)), tiny, tiny_x)


def test_the_network_keeps_out_of_the_split_s_way() -> None:
    """Around shares parameters, so training changes the backbone; the FIN alone is new."""
    model = Tiny().eval()
    preprocess = Preprocess(resize=2, crop=2, interpolation="bilinear", mean=[0.5] * 3, std=[0.5] * 3)
    network = around(cut(model, "relu", preprocess))
    shared = {id(parameter) for parameter in model.parameters()}
    own = {id(parameter) for parameter in network.parameters()}
    assert shared <= own
    assert own - shared == {id(parameter) for parameter in network.importance.parameters()}

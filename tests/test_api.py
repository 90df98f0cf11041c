"""The three public calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import hydra
import numpy as np
import pytest
import torch
from exact import in_double
from torch import Tensor
from torch.nn import functional as F

import camsbench
from camsbench import CamsbenchError, api, cut
from camsbench.config.paths import CONF
from camsbench.core.types import Forward, Split
from camsbench.metrics.curves import Insertion
from camsbench.models.split import TorchSplit


def test_explain_defaults_to_the_predicted_class(
    lite0: TorchSplit, images: Tensor, full_lite0: TorchSplit, full_images: Tensor
) -> None:
    predicted = lite0.logits(images).argmax(1)
    assert full_lite0.logits(full_images).argmax(1).tolist() == [243, 559, 438, 990, 949]  # their labels
    default = camsbench.explain("gradcam", lite0, images)
    assert torch.equal(default, camsbench.explain("gradcam", lite0, images, predicted))
    other = camsbench.explain("gradcam", lite0, images, 340)
    assert (default - other).abs().amax((1, 2, 3)).min() > 0.1


def test_each_image_alone_gives_the_same_map(vgg16: TorchSplit, images: Tensor) -> None:
    together = camsbench.explain("smoothgradcampp", vgg16, images[:2])
    alone = camsbench.explain("smoothgradcampp", vgg16, images[1:2])
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-3)
    keyed = camsbench.explain("smoothgradcampp", vgg16, images[:2], ids=["a", "b"])
    assert (keyed - together).abs().max() > 1e-3
    reseeded = camsbench.explain("smoothgradcampp", vgg16, images[:2], seed=1)
    assert (reseeded - together).abs().max() > 1e-3


@dataclass(frozen=True)
class NotANumber:
    """A method whose map of the second image is NaN, or infinite where the images are not the ``whole`` ones."""

    whole: Tensor | None = None
    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        maps = forward.A.mean(1)
        if self.whole is None:
            maps[1] = torch.nan
        elif not forward.x.equal(self.whole):
            maps[1] = torch.inf
        return maps


@pytest.mark.parametrize("when_masked", [False, True])
def test_what_is_no_number_gets_no_score(when_masked: bool, lite0: TorchSplit, images: Tensor) -> None:
    method = NotANumber(images[:2] if when_masked else None)
    metrics = ["drop", "increase", "insertion", "coherency", "complexity", "adcc", "pointing", "sparseness", "road"]
    box = [[(0.0, 0.0, 50.0, 50.0)]] * 2
    scores = camsbench.evaluate(method, lite0, images[:2], metrics=metrics, boxes=box)
    columns = scores.drop(columns=["image_id", "target", "probability", "seconds", "degenerate"])
    assert len(columns.columns) > 9
    assert columns.iloc[1].isna().all()
    assert columns.iloc[0].notna().all()
    saliency = camsbench.explain(method, lite0, images[:2])
    assert saliency[0].isfinite().all()
    assert saliency[1].isnan().all() or when_masked


def test_images_that_are_no_numbers_are_refused(lite0: TorchSplit, images: Tensor) -> None:
    bad = images[:3].clone()
    bad[1, 0, 5, 5] = torch.nan
    for call in (camsbench.explain, camsbench.evaluate):
        with pytest.raises(CamsbenchError, match="x holds NaN or infinity in 1 of 3 images, first in 1"):
            call("gradcam", lite0, bad)


@pytest.mark.parametrize(
    "method", ["gradcam", pytest.param("scorecam", marks=pytest.mark.slow), "reciprocam", "deeplift", "lrp"]
)
def test_a_network_in_double_precision(method: str, lite0: TorchSplit, images: Tensor) -> None:
    single = cut(lite0.model, "blocks.2", lite0.preprocess)  # of 40 channels: double precision is slow
    double = in_double(single)
    exact = camsbench.explain(method, double, images[:1])  # images are float32: they follow
    assert exact.dtype == torch.float64
    torch.testing.assert_close(camsbench.explain(method, single, images[:1]).double(), exact, rtol=0, atol=1e-3)
    assert camsbench.evaluate(method, double, images[:1], metrics=["drop", "increase"])["drop"].notna().all()


@pytest.mark.parametrize("protocol", sorted(path.stem for path in (CONF / "protocol").glob("*.yaml")))
def test_every_metric_of_a_network_in_double_precision(protocol: str, tiny: TorchSplit, tiny_x: Tensor) -> None:
    """Its columns are computed in double: they differ from single precision's, by rounding alone."""
    x = F.interpolate(tiny_x, scale_factor=16, mode="bilinear") / 4
    every = {path.stem for path in (CONF / "metric").glob("*.yaml")}
    names = sorted(
        every - {"time", "sanity", "sanity_cascading", "sanity_independent"}
    )  # random weights are others there
    found = [
        camsbench.evaluate("gradcam", split, x, 0, metrics=names, protocol=protocol, boxes=[[[2, 2, 20, 20]]])
        for split in (tiny, in_double(tiny))
    ]
    for column in found[0].select_dtypes("number").columns.drop("seconds"):
        single, double = (np.asarray(rows[column].tolist()) for rows in found)
        np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-4, err_msg=column)  # ros is of 1e8


def test_images_of_numpy_and_classes_by_name(lite0: TorchSplit, images: Tensor) -> None:
    plain = camsbench.explain("gradcam", lite0, images[:2], 340)
    assert camsbench.explain("gradcam", lite0, images[:2].numpy(), "zebra").equal(plain)
    assert camsbench.explain("gradcam", lite0, images[:2], np.array([340, 340])).equal(plain)
    assert camsbench.explain("gradcam", lite0, images[:2], ["zebra", 340]).equal(plain)
    with pytest.raises(CamsbenchError, match="class 'zebr': no class of ImageNet has this name; near are zebra"):
        camsbench.explain("gradcam", lite0, images[:2], "zebr")
    with pytest.raises(CamsbenchError, match="give one class index"):
        camsbench.explain("gradcam", lite0, images[:2], np.array([True, False]))


def test_a_target_made_in_inference_mode(lite0: TorchSplit, images: Tensor) -> None:
    with torch.inference_mode():
        target = lite0.logits(images[:2]).argmax(1)
        made_there = camsbench.load_model("resnet18", weights="random", device="cpu")
    expected = camsbench.explain("gradcam", lite0, images[:2])
    assert torch.equal(camsbench.explain("gradcam", lite0, images[:2], target), expected)
    assert camsbench.explain("gradcam", made_there, images[:1]).shape == (1, 1, 96, 96)


def test_inside_another_hydra_application(lite0: TorchSplit, images: Tensor, tmp_path: Path) -> None:
    (tmp_path / "theirs.yaml").write_text("a: 1\n")
    with hydra.initialize_config_dir(config_dir=str(tmp_path), version_base="1.3"):
        api._compose.cache_clear()
        camsbench.explain("gradcam", lite0, images[:1], protocol="poppi")
        assert hydra.compose("theirs").a == 1  # still theirs


def test_protocols_differ(full_lite0: TorchSplit, full_images: Tensor) -> None:
    rise = camsbench.explain("gradcam", full_lite0, full_images[:1])
    poppi = camsbench.explain("gradcam", full_lite0, full_images[:1], protocol="poppi")
    assert rise.max() == 1
    assert 0.9 < poppi.max() < 1  # min-max before the upsampling


def test_evaluate_gives_a_row_an_image(lite0: TorchSplit, images: Tensor) -> None:
    rows = camsbench.evaluate("reciprocam", lite0, images, metrics=["adcc", "drop", "complexity", "coherency"])
    assert list(rows.columns) == [
        *("image_id", "target", "probability", "adcc", "drop", "complexity", "coherency", "seconds", "degenerate")
    ]
    assert len(rows) == 5
    parts = 1 / rows["coherency"] + 1 / (1 - rows["complexity"]) + 1 / (1 - rows["drop"])
    assert (3 / parts).tolist() == pytest.approx(rows["adcc"].tolist(), abs=1e-5)
    assert rows["probability"].tolist() == pytest.approx(lite0.logits(images).softmax(1).amax(1).tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda s, x: camsbench.explain("gradcm", s, x), "gradcm"),
        (lambda s, x: camsbench.explain("gradcam", s, x[0]), r"\[3, 96, 96\]: give a batch"),
        (lambda s, x: camsbench.explain("gradcam", s, x[:, :1]), r"\[5, 1, 96, 96\]: give a batch"),
        (lambda s, x: camsbench.explain("gradcam", s, x.byte()), r"torch\.uint8 .*: give a batch"),
        (lambda s, x: camsbench.explain("abscam_table2", s, x), "stands for several: give one of gradcam, "),
        (
            lambda s, x: camsbench.evaluate("gradcam", s, x, metrics=[Insertion(10**6)]),
            "the image has only 9216 pixels",
        ),
        (
            lambda s, x: camsbench.load_model("timm/resnet50.foo", weights="random"),
            r"resnet50\.foo: .*; try resnet50\.",
        ),
        (lambda s, x: camsbench.load_model("timm/vit_tiny_patch16_224", weights="random", prefix=3), "no grid of"),
        (lambda s, x: camsbench.explain("gradcam", s, x, [1, 2]), r"one class index an image"),
        (lambda s, x: camsbench.explain("gradcam", s, x, 1000), "outside the network's classes 0 to 999"),
        (lambda s, x: camsbench.explain("gradcam", s, x, ids=["a"]), "ids has 1 entries for 5 images"),
        (lambda s, x: camsbench.load_model("resnet51"), "resnet51"),
        (lambda s, x: camsbench.load_model("timm"), "give the network too"),
        (lambda s, x: camsbench.load_model("timm/resnet5000", weights="random"), "no such network; near:"),
        (lambda s, x: camsbench.load_model("resnet18", weights="nowhere.pth"), "there is no file nowhere.pth"),
        (lambda s, x: camsbench.load_model("resnet18", device="quantum"), "give auto, cpu, cuda"),
        (lambda s, x: camsbench.load_model("resnet18", weights="V9"), "resnet18 has IMAGENET1K_V1"),
    ],
)
def test_wrong_calls_say_what_is_wrong(call, sentence: str, lite0: TorchSplit, images: Tensor) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(CamsbenchError, match=sentence):
        call(lite0, images)


def test_weights_from_a_file(tmp_path: Path, images: Tensor) -> None:
    first = camsbench.load_model("resnet18", weights="random", seed=3, device="cpu")
    torch.save({"state_dict": first.model.state_dict()}, tmp_path / "w.pth")
    again = camsbench.load_model("resnet18", weights=str(tmp_path / "w.pth"), device="cpu")
    assert torch.equal(first.logits(images), again.logits(images))
    with pytest.raises(
        CamsbenchError, match=r"does not fit resnet50 \(size mismatch.*choose the network it was saved from"
    ):
        camsbench.load_model("resnet50", weights=str(tmp_path / "w.pth"), device="cpu")
    (tmp_path / "junk.pth").write_bytes(b"no weights")
    with pytest.raises(CamsbenchError, match="is no readable state dict"):
        camsbench.load_model("resnet18", weights=str(tmp_path / "junk.pth"), device="cpu")


def test_precision_is_for_the_passes_of_copies(images: Tensor) -> None:
    low = camsbench.load_model(precision="bf16", device="cpu")
    exact = camsbench.load_model(device="cpu")
    maps = [camsbench.explain("gradcam", split, images[:1]) for split in (low, exact)]
    assert torch.equal(*maps)
    assert low.for_copies.logits(images[:1]).sub(exact.logits(images[:1])).abs().max() > 1e-4
    with pytest.raises(CamsbenchError, match=r"runtime\.precision=fp8"):
        camsbench.load_model(precision="fp8")
    with pytest.raises(CamsbenchError, match=r"compiles by itself"):
        camsbench.load_model(compile=True, backend="onnxruntime")

"""What is asked of the output: every method and metric under every target, and the evidence that a sign decides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from contract import METHODS, contract_method
from pytorch_grad_cam import GradCAM as PeerGradCAM
from pytorch_grad_cam.utils.model_targets import BinaryClassifierOutputTarget, ClassifierOutputTarget
from quick import QuickRun
from torch import Tensor, nn
from torchcam.methods import GradCAM as TorchGradCAM
from torchcam.methods import LayerCAM as TorchLayerCAM

import camsbench
from camsbench import CamsbenchError, cut
from camsbench.config.paths import CONF
from camsbench.core import scoring
from camsbench.core.passes import MicroBatch
from camsbench.core.preprocess import Preprocess
from camsbench.core.targets import Binary, Contrast, Embedding, Label, Region, SoftmaxClass, Target, Value
from camsbench.models.split import TorchSplit

PREPROCESS = Preprocess(resize=32, crop=32, interpolation="bilinear", mean=[0.5] * 3, std=[0.25] * 3)


class Small(nn.Module):
    """A network with a feature map of 6 channels of 8x8, and what is asked for behind it."""

    def __init__(self, outputs: int, dense: bool = False) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 5, stride=2, padding=2), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.mix = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.ReLU())
        self.end = nn.Conv2d(8, outputs, 1) if dense else nn.Sequential(nn.Flatten(), nn.Linear(8 * 64, outputs))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.end(self.mix(self.features(x)))
        return out


REFERENCE = torch.tensor([1.0, -0.5, 0.25, 2.0, -1.0])
LEFT = torch.zeros(8, 8, dtype=torch.bool)
LEFT[:, :4] = True
ASKED: dict[str, tuple[int, Target]] = {
    "softmax": (5, SoftmaxClass()),
    "labels": (5, Label()),
    "one label": (1, Label()),
    "binary": (1, Binary()),
    "value": (2, Value()),
    "contrast": (5, Contrast(3)),
    "embedding": (5, Embedding(REFERENCE)),
    "region": (4, Region(LEFT)),
}
INDEX = {"binary": [0, 1], "value": [1, 0], "one label": [0, 0], "embedding": [0, 0]}  # the others: [2, 1]


def small(name: str) -> TorchSplit:
    outputs, asked = ASKED[name]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = Small(outputs, dense=name == "region").eval()
    return cut(model, "features", PREPROCESS, asked=asked, micro_batch=MicroBatch(16))


@pytest.fixture(scope="module", params=ASKED)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def split(name: str) -> TorchSplit:
    return small(name)


@pytest.fixture(scope="module")
def x() -> Tensor:
    noise = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    return nn.functional.interpolate(noise, size=(32, 32), mode="bicubic")


POOLED = {"cam"}  # for a head of an average pool and a linear layer


@pytest.mark.parametrize("method", [method for method in METHODS if method not in POOLED])
def test_every_method_under_every_target(method: str, name: str, split: TorchSplit, x: Tensor) -> None:
    """Finite, in range, and the map of an image alone; or refused by the target's name."""
    explainer, index = contract_method(method), INDEX.get(name, [2, 1])
    lacking = explainer.needs & {"classes", "confidence"} - split.asked.provides
    if lacking:
        with pytest.raises(CamsbenchError, match=f"needs .* which {type(split.asked).__name__} does not have"):
            camsbench.explain(explainer, split, x, index)
        return
    both = camsbench.explain(explainer, split, x, index, ids=["a", "b"])
    assert both.shape == (2, 1, 32, 32)
    assert both.isfinite().all()
    assert both.min() >= 0
    assert both.max() <= 1
    alone = camsbench.explain(explainer, split, x[1:], index[1:], ids=["b"])
    torch.testing.assert_close(both[1:], alone, rtol=0, atol=2e-2)


METRICS = sorted(
    path.stem
    for path in (CONF / "metric").glob("*.yaml")
    if "defaults:" not in path.read_text() and path.stem != "time"
)


OF_CONFIDENCE = {"drop", "increase", "average_gain", "arcc", "insertion", "deletion", "mas", "irof", "adcc", "road"} | {
    "saliency_metric"
}


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_under_every_target(metric: str, name: str, split: TorchSplit, x: Tensor) -> None:
    index, boxes = INDEX.get(name, [2, 1]), [[(4, 4, 20, 20)]] * 2
    without = "confidence" not in split.asked.provides
    if without and metric in OF_CONFIDENCE:
        with pytest.raises(CamsbenchError, match=rf"metric={metric} needs a confidence in \[0,1\], which"):
            camsbench.evaluate("gradcam", split, x, index, metrics=[metric], boxes=boxes)
        return
    scores = camsbench.evaluate("gradcam", split, x, index, metrics=[metric], boxes=boxes)
    measured = scores.drop(columns=["image_id", "seconds", "degenerate"])
    measured = measured[
        [column for column in measured if "ssim" not in str(column) and "hog" not in str(column)]
    ]  # small
    degenerate = scores["degenerate"].to_numpy()
    assert measured[~degenerate].notna().all(axis=None)
    if not without:
        assert scores["probability"].between(0, 1).all()


def test_confidences_and_scores_are_what_they_say(x: Tensor) -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5]])
    one, index = logits[:, :1], torch.tensor([0])
    two = torch.tensor([1])
    for asked, output, at, score, confidence in (
        (SoftmaxClass(), logits, two, -1.0, logits.softmax(1)[0, 1]),
        (Label(), logits, two, -1.0, torch.tensor(-1.0).sigmoid()),
        (Binary(), one, two, 2.0, torch.tensor(2.0).sigmoid()),
        (Binary(), one, index, -2.0, torch.tensor(-2.0).sigmoid()),
        (Contrast(2), logits, index, 1.5, logits[:, [0, 2]].softmax(1)[0, 0]),
    ):
        assert float(asked.score(output, at)) == pytest.approx(score)
        assert float(asked.confidence(output, at)) == pytest.approx(float(confidence))
        assert float(asked.log_confidence(output, at)) == pytest.approx(float(confidence.log()))
    assert Binary().predict(torch.tensor([[0.5], [-0.5]])).tolist() == [1, 0]
    assert Contrast(0).predict(logits).tolist() == [2]
    assert float(Embedding(torch.tensor([2.0, -1.0, 0.5])).score(logits, index)) == pytest.approx(1)
    dense = torch.arange(8.0).view(1, 2, 2, 2)
    half = Region(torch.tensor([[True, False], [False, False]]))
    assert half.score(dense, index).tolist() == [0]
    assert half.confidence(dense, two).tolist() == pytest.approx([float(torch.tensor(4.0).sigmoid())])


class RedAgainstGreen(nn.Module):
    """One logit: how much red there is, less how much green."""

    def __init__(self) -> None:
        super().__init__()
        self.colours = nn.Conv2d(3, 2, 1, bias=False)
        self.relu = nn.ReLU()
        self.end = nn.Linear(2, 1, bias=False)
        with torch.no_grad():
            self.colours.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0]]).view(2, 3, 1, 1))
            self.end.weight.copy_(torch.tensor([[4.0, -4.0]]))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.end(self.relu(self.colours(x)).mean((2, 3)))
        return out


@pytest.mark.parametrize(
    "method",
    [
        *("gradcam", "gradcampp", "layercam", "hirescam", "scorecam", "ablationcam", "reciprocam", "occlusion"),
        *("cam", "abscam_group32"),
    ],
)
def test_the_map_of_class_0_is_not_that_of_class_1(method: str) -> None:
    """grad-cam#428: without the sign of the one logit both would be on the red side."""
    split = cut(RedAgainstGreen().eval(), "relu", PREPROCESS, asked=Binary())
    x = torch.zeros(1, 3, 32, 32)
    x[:, 0, :, :16], x[:, 1, :, 16:] = 1, 1
    red = camsbench.explain(contract_method(method), split, x, 1)
    green = camsbench.explain(contract_method(method), split, x, 0)
    if method == "abscam_group32":  # absolute gradients cannot tell the classes apart by weight, scores do
        assert (red - green).abs().max() > 0.1
        return
    assert red[..., :16].mean() > 2 * red[..., 16:].mean()
    assert green[..., 16:].mean() > 2 * green[..., :16].mean()
    scores = camsbench.evaluate(contract_method(method), split, x, 1, metrics=["insertion", "deletion"])
    assert float(scores["insertion"][0]) > float(scores["deletion"][0])


@pytest.mark.parametrize(
    ("name", "index", "peer"),
    [
        ("softmax", 2, lambda: ClassifierOutputTarget(2)),
        ("labels", 2, lambda: ClassifierOutputTarget(2)),
        ("binary", 1, lambda: BinaryClassifierOutputTarget(1)),
        ("binary", 0, lambda: BinaryClassifierOutputTarget(0)),
        ("contrast", 2, lambda: lambda output: output[2] - output[3]),
        ("embedding", 0, lambda: lambda output: torch.cosine_similarity(output, REFERENCE, dim=0)),
        ("region", 2, lambda: lambda output: output[2][LEFT].mean()),
    ],
)
def test_targets_are_those_of_grad_cam(name: str, index: int, peer: Callable[[], object], x: Tensor) -> None:
    split = small(name)
    with PeerGradCAM(split.model, [split.model.features]) as cam:
        theirs = torch.as_tensor(cam(x.clone(), targets=[peer()] * 2))
    ours = camsbench.explain("gradcam", split, x, index)[:, 0]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["labels", "contrast", "embedding", "region"])
@pytest.mark.parametrize(("method", "peer"), [("gradcam", TorchGradCAM), ("layercam", TorchLayerCAM)])
def test_targets_are_those_of_torchcam(name: str, method: str, peer: type, x: Tensor) -> None:
    asks: dict[str, Callable[[Tensor], Tensor]] = {
        "labels": lambda output: output[2],
        "contrast": lambda output: output[2] - output[3],
        "embedding": lambda output: torch.cosine_similarity(output, REFERENCE, dim=0),
        "region": lambda output: output[2][LEFT].mean(),
    }
    split = small(name)
    for image in x:
        with peer(split.model, target_layer="features", input_shape=(3, 32, 32)) as cam:
            scores = split.model(image[None].clone())
            (theirs,) = cam(scores=scores, targets=asks[name], normalized=False)
        raw = make_raw(method, split, image[None], 0 if name == "embedding" else 2)
        torch.testing.assert_close(raw, theirs.detach(), rtol=1e-4, atol=1e-6)


def make_raw(method: str, split: TorchSplit, x: Tensor, index: int) -> Tensor:
    """The map before it is normalised."""
    explainer = contract_method(method)
    with torch.inference_mode(mode=False):
        return explainer(split, scoring.forward(split, x, torch.tensor([index]), (0,))).detach()


def test_what_cannot_be_asked_is_refused() -> None:
    model = Small(5).eval()
    for asked, says in (
        (Binary(), "binary is one logit"),
        (Contrast(7), "class 7 to compare with is none of them"),
        (Embedding(torch.ones(3)), r"the reference has the shape \[3\]"),
        (Region(), "choose a segmentation network"),
    ):
        with pytest.raises(CamsbenchError, match=says):
            cut(model, "features", PREPROCESS, asked=asked)
    with pytest.raises(CamsbenchError, match=r"give a mask \[8, 8\]"):
        cut(Small(5, dense=True).eval(), "features", PREPROCESS, asked=Region(torch.ones(2, 2, dtype=torch.bool)))
    with pytest.raises(CamsbenchError, match=r"say what it is with model\.output=binary"):
        cut(Small(1).eval(), "features", PREPROCESS)


def test_a_run_in_contrast_to_a_class(quick_run: QuickRun, tmp_path: Path, lite0: TorchSplit, images: Tensor) -> None:
    chosen = ["metric=[drop]", "method=[gradcam,reciprocam]", "data.limit=2", "target=label"]
    rows = quick_run(tmp_path / "run", *chosen, "contrast=zebra").rows
    with torch.no_grad():  # folded, as in the run
        logits = lite0.logits(images[:2])
    labels = torch.tensor(rows["label"][:2].to_numpy())
    margin = logits.gather(1, labels[:, None]).squeeze(1) - logits[:, 340]
    assert rows["probability"][:2].tolist() == pytest.approx(margin.sigmoid().tolist(), abs=1e-5)
    with pytest.raises(CamsbenchError, match=r"contrast was 340 and is None|contrast was zebra and is None"):
        quick_run(tmp_path / "run", *chosen)
    for wrong, says in (
        (["contrast=zebr"], "contrast=zebr: class 'zebr': no class of ImageNet"),
        (["contrast=1000"], "class 1000 to compare with is none of them"),
        (["contrast=zebra", "model.output=binary"], "model.output=binary has no second class"),
        (["model.output=binary"], "binary is one logit"),
        (["model.output=logits"], "model.output=logits: choose one of softmax, labels, binary, value"),
        (["model.output=value"], r"metric=drop needs a confidence in \[0,1\]"),
    ):
        with pytest.raises(CamsbenchError, match=says):
            quick_run(tmp_path / "wrong", *chosen, *wrong)


@pytest.mark.slow
def test_a_backend_without_gradients_asks_the_same() -> None:
    there = camsbench.load_model("efficientnet_lite0", device="cpu", backend="onnxruntime")
    here = camsbench.load_model("efficientnet_lite0", device="cpu")
    x = torch.nn.functional.interpolate(torch.randn(1, 3, 9, 9, generator=torch.Generator().manual_seed(0)), (224, 224))
    for asked in (Contrast(340), Label()):
        ours = camsbench.evaluate("reciprocam", here.asking(asked), x, "zebra" if asked == Label() else 243)
        theirs = camsbench.evaluate("reciprocam", there.asking(asked), x, "zebra" if asked == Label() else 243)
        for column in ("probability", "drop", "insertion", "coherency"):
            assert float(theirs[column][0]) == pytest.approx(float(ours[column][0]), abs=1e-3)

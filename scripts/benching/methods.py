"""Methods against the packages that have them, on the embedded network."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytorch_grad_cam as pgc
import torch
from captum import attr
from torch import Tensor
from torchcam import methods as torchcam

import camsbench
from benching.elsewhere import as_it_comes
from benching.peers import LAYER, by_captum, by_grad_cam, by_torchcam, for_captum
from benching.subjects import BACKENDS, Bench, network, on, pictures, targets
from benching.timing import Contender, Row, Work, measure

BATCH = 16
SAME = "camsbench, torch"  # ours of the group: what maps are compared with
DEFAULT = "a process of its own, whose allocator returns freed memory, as it does by default"
SHALLOW = "blocks.0.0.bn2"  # 16 channels: what costs 35 passes a channel ends within minutes there


def ours(
    method: str | Any,
    backend: str,
    x: Tensor,
    target: list[int],
    twin: str | Work | None = None,
    layer: str | None = None,
) -> Contender:
    """camsbench as its user calls it: from normalised images to saliencies at the image's size, min-maxed."""
    split = on(backend, layer)
    images = x.contiguous(memory_format=split.memory_format)
    work = partial(camsbench.explain, method, split, images, target)
    return Contender(f"camsbench, {backend}", work, split, twin)


def preset(name: str, x: Tensor, target: list[int]) -> Work:
    """Maps of the preset that reads a method as a peer does."""
    return partial(camsbench.explain, name, network(), x, target)


def bare(backend: str, x: Tensor) -> Contender:
    """The same split's logits of the same batch, and nothing else."""
    split = on(backend)
    images = x.contiguous(memory_format=split.memory_format)

    def work() -> None:
        with torch.no_grad():
            for chunk in images.split(split.micro_batch.size):
                split.logits(chunk)

    return Contender(f"bare forward, {backend}", work, split)


def torchcam_of(kind: Any, x: Tensor, target: list[int], twin: str | Work, **options: Any) -> Contender:
    work = partial(by_torchcam, kind, network().model, x, target, **options)
    return Contender("torchcam", work, network(), twin)


def grad_cam_of(kind: Any, x: Tensor, target: list[int], twin: str | Work, **options: Any) -> Contender:
    work = partial(by_grad_cam, kind, network().model, x, target, **options)
    return Contender("grad-cam", work, network(), twin)


def scorecam(bench: Bench, peer: str) -> list[Row]:
    """Score-CAM of one image, 1280 channels; each contender weighs channels as the peer does."""
    x, target, name = pictures(1), targets(1), f"scorecam_{peer.replace('-', '')}"
    layer = SHALLOW if bench.smoke else LAYER
    for backend in BACKENDS:  # compile, and fill the caches, without minutes of warming up
        on(backend, layer).logits(x.expand(16, -1, -1, -1))
        on(backend, layer).logits(x)
    with as_it_comes("methods.peer_scorecam", peer, layer) as seconds:
        contenders = [
            *(ours(name, backend, x, target, SAME, layer) for backend in BACKENDS),
            Contender(peer, peer_scorecam(peer, layer), network(), SAME),
            Contender(f"{peer}, as it comes", lambda: None, seconds=seconds, note=DEFAULT),
        ]
        return measure(f"scorecam-{peer}", "Score-CAM", 1, contenders, bench.times(5), bench.budget, warm=False)


def peer_scorecam(peer: str, layer: str) -> Work:
    """A peer's Score-CAM of the first image."""
    by, kind = (by_torchcam, torchcam.ScoreCAM) if peer == "torchcam" else (by_grad_cam, pgc.ScoreCAM)
    return partial(by, kind, network().model, pictures(1), targets(1), layer=layer)


def gradients(bench: Bench) -> list[Row]:
    """Methods of one gradient through the head, and ReciproCAM, against the bare forward pass of the same batch."""
    n = 2 if bench.smoke else BATCH
    x, target = pictures(n), targets(n)

    def captum_grad_cam() -> Contender:
        model = for_captum(network().model)
        peer = attr.LayerGradCam(model, model.get_submodule("bn2"))
        reduce: Callable[[Tensor], Tensor] = lambda maps: maps[:, 0]  # noqa: E731
        work = partial(by_captum, peer, x, target, reduce, relu_attributions=True)
        return Contender("captum", work, model, SAME)

    rivals: dict[str, list[Contender]] = {
        "gradcam": [
            torchcam_of(torchcam.GradCAM, x, target, SAME),
            grad_cam_of(pgc.GradCAM, x, target, SAME),
            captum_grad_cam(),
        ],
        "gradcampp": [
            torchcam_of(torchcam.GradCAMpp, x, target, preset("gradcampp_torchcam", x, target)),
            grad_cam_of(pgc.GradCAMPlusPlus, x, target, preset("gradcampp_gradcam", x, target)),
        ],
        "xgradcam": [torchcam_of(torchcam.XGradCAM, x, target, SAME), grad_cam_of(pgc.XGradCAM, x, target, SAME)],
        "abscam_init": [],
        "reciprocam": [],
    }
    rows = []
    for method, theirs in rivals.items():
        contenders = [bare("torch", x), ours(method, "torch", x, target), *theirs]
        rows += measure("gradients", method, n, contenders, bench.times(15), bench.budget / len(rivals))
    return rows


def others(bench: Bench) -> list[Row]:
    """The other methods that torchcam or grad-cam has too, with a pass or a few."""
    n = 2 if bench.smoke else 4
    x, target = pictures(n), targets(n)
    trainable = copy.deepcopy(network().model).requires_grad_()

    def of_trainable(kind: Any) -> Contender:  # what fails on frozen weights
        return Contender("grad-cam", partial(by_grad_cam, kind, trainable, x, target), trainable)

    theirs: dict[str, list[Contender]] = {
        "cam": [torchcam_of(torchcam.CAM, x, target, SAME, fc_layer="classifier")],
        "layercam": [torchcam_of(torchcam.LayerCAM, x, target, SAME), grad_cam_of(pgc.LayerCAM, x, target, SAME)],
        "hirescam": [grad_cam_of(pgc.HiResCAM, x, target, SAME)],
        "gradcam_elementwise": [grad_cam_of(pgc.GradCAMElementWise, x, target, SAME)],
        "finercam": [grad_cam_of(pgc.FinerCAM, x, target, SAME)],
        "eigencam": [grad_cam_of(pgc.EigenCAM, x, target, SAME)],
        "eigengradcam": [grad_cam_of(pgc.EigenGradCAM, x, target, SAME)],
        "fem": [grad_cam_of(pgc.FEM, x, target, SAME)],
        "kpcacam": [grad_cam_of(pgc.KPCA_CAM, x, target, SAME)],
        "shapleycam": [of_trainable(pgc.ShapleyCAM)],
        "fullgrad": [of_trainable(pgc.FullGrad)],
        "smoothgradcampp_torchcam": [torchcam_of(torchcam.SmoothGradCAMpp, x, target, SAME)],
    }
    if bench.smoke:
        theirs = {name: theirs[name] for name in ("layercam", "hirescam")}
    rows = []
    for method, peers in theirs.items():
        contenders = [ours(method, "torch", x, target), *peers]
        rows += measure("others", method, n, contenders, bench.times(15), bench.budget / len(theirs))
    return rows


def pixelwise(bench: Bench) -> list[Row]:
    """Methods that captum has too, whose maps are of the image's size."""
    from camsbench.methods.deconvolution import Deconvolution
    from camsbench.methods.guided_backprop import GuidedBackprop
    from camsbench.methods.integrated_gradients import IntegratedGradients
    from camsbench.methods.occlusion import Occlusion
    from camsbench.methods.smoothgrad import SmoothGrad

    x, target, steps = pictures(1), targets(1), 4 if bench.smoke else 16
    model = for_captum(network().model)
    window, stride = (112, 112) if bench.smoke else (32, 16)
    fixed = {"sliding_window_shapes": (3, window, window), "strides": (3, stride, stride), "perturbations_per_eval": 16}
    noisy = {"nt_samples": steps, "nt_samples_batch_size": 16, "stdevs": 0.15, "abs": False}
    probability = attr.Occlusion(lambda image: model(image).softmax(1))
    every: list[tuple[str, Any, Any, dict[str, Any]]] = [
        ("integrated_gradients", IntegratedGradients(steps), attr.IntegratedGradients(model), {"n_steps": steps}),
        ("deconvolution", Deconvolution("abs_sum"), attr.Deconvolution(model), {}),
        ("guided_backprop", GuidedBackprop("abs_sum"), attr.GuidedBackprop(model), {}),
        ("occlusion", Occlusion(window, stride), probability, fixed),
        ("smoothgrad", SmoothGrad(n=steps), attr.NoiseTunnel(attr.Saliency(model)), noisy),
    ]
    reduce: dict[str, Callable[[Tensor], Tensor]] = {"occlusion": lambda maps: maps[:, 0]}
    rows = []
    for name, method, peer, options in every:
        twin = None if name == "smoothgrad" else SAME  # noise of its own
        note = "passes ReLU6 the plain gradient" if name in ("deconvolution", "guided_backprop") else ""
        how = reduce.get(name, lambda maps: maps.abs().sum(1))
        theirs = Contender("captum", partial(by_captum, peer, x, target, how, **options), model, twin, note=note)
        contenders = [ours(method, "torch", x, target), theirs]
        rows += measure("pixelwise", name, 1, contenders, bench.times(5), bench.budget / len(every))
    return rows


def channelwise(bench: Bench) -> list[Row]:
    """Methods of many passes a channel: Ablation-CAM at the last layer; SS-CAM and IS-CAM early, at 16 channels."""
    from camsbench.methods.iscam import ISCAM
    from camsbench.methods.sscam import SSCAM

    x, target = pictures(1), targets(1)
    n = 1 if bench.smoke else 4

    groups: dict[str, list[Contender]] = {
        f"sscam, {SHALLOW}, n={n}": [
            ours(SSCAM(n=n), "torch", x, target, layer=SHALLOW),
            torchcam_of(torchcam.SSCAM, x, target, "", layer=SHALLOW, num_samples=n),
        ],
        f"iscam, {SHALLOW}, n={n}": [
            ours(ISCAM(n=n), "torch", x, target, layer=SHALLOW),
            torchcam_of(torchcam.ISCAM, x, target, "", layer=SHALLOW, num_samples=n),
        ],
        "ablationcam": [
            ours("ablationcam", "torch", x, target),
            grad_cam_of(pgc.AblationCAM, x, target, SAME),
        ],
    }
    if bench.smoke:
        del groups["ablationcam"]
    rows = []
    for group, contenders in groups.items():
        rows += measure("channelwise", group, 1, contenders, bench.times(5), bench.budget / len(groups), warm=False)
    return rows

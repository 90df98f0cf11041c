"""Metrics that pass many perturbed copies an image, against the packages that have them: the same maps and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from captum.metrics import infidelity, sensitivity_max
from pytorch_grad_cam.metrics.road import ROADCombined
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget
from torch import Tensor

from benching.metrics import base, given, values
from benching.peers import by_captum, for_captum
from benching.subjects import Bench, network, on, pictures, targets
from benching.timing import Contender, Row, measure
from camsbench.core.explained import explain
from camsbench.core.saliency import SaliencyRule
from camsbench.methods.gradcam import GradCAM
from camsbench.metrics.infidelity import Infidelity
from camsbench.metrics.road import ROAD
from camsbench.metrics.sensitivity import MaxSensitivity

FIRST = "camsbench, torch"
DRAWS = "draws of its own: the values differ by chance"


def perturbing(bench: Bench) -> list[Row]:
    """ROAD against grad-cam, infidelity and max-sensitivity against captum."""
    n, copies = (1, 2) if bench.smoke else (2, 10)
    percentiles = [60, 90]
    maps, x, target, model = given(n), pictures(n), targets(n), network().model
    captum_model = for_captum(model)
    road = ROAD(percentiles, ties="threshold")

    def ours(metric: Any) -> Contender:
        return Contender(FIRST, lambda: values([metric], "torch", base("torch", n), maps), on("torch"))

    def grad_cam() -> Tensor:
        wanted = [ClassifierOutputSoftmaxTarget(c) for c in target]
        with torch.no_grad():
            return torch.as_tensor(np.asarray(ROADCombined(percentiles)(x, maps.numpy(), wanted, model)))

    def noisy(inputs: Tensor) -> tuple[Tensor, Tensor]:
        noise = 0.2 * torch.randn_like(inputs)
        return noise, inputs - noise

    def captum_infidelity() -> Tensor:
        every = maps[:, None].expand(-1, 3, -1, -1).contiguous()
        with torch.no_grad():
            return infidelity(
                lambda images: model(images).softmax(1),
                noisy,
                x,
                every,
                target=torch.tensor(target),
                n_perturb_samples=copies,
                max_examples_per_batch=16,
                normalize=True,
            )

    def grad_cams() -> Tensor:
        subject = explain(on("torch"), GradCAM(), SaliencyRule(), base("torch", n))
        return MaxSensitivity(n=copies)(subject)["max_sensitivity"]

    def captum_sensitivity() -> Tensor:
        from captum.attr import LayerGradCam

        peer = LayerGradCam(captum_model, captum_model.get_submodule("bn2"))

        def saliency(images: Any) -> tuple[Tensor]:
            batch = images[0] if isinstance(images, tuple) else images
            wanted = [c for c in target for _ in range(len(batch) // n)]
            low = by_captum(peer, batch, wanted, lambda maps: maps[:, :1], relu_attributions=True)
            return (SaliencyRule()(low[:, 0], (224, 224))[0],)

        return sensitivity_max(saliency, x, n_perturb_samples=copies, max_examples_per_batch=16)

    groups = {
        "road": [ours(road), Contender("grad-cam", grad_cam, network(), note=DRAWS)],
        f"infidelity, {copies} copies": [
            ours(Infidelity("gaussian", n=copies)),
            Contender("captum", captum_infidelity, network(), note=DRAWS),
        ],
        f"max-sensitivity of Grad-CAM, {copies} copies": [
            Contender(FIRST, grad_cams, on("torch")),
            Contender("captum", captum_sensitivity, captum_model, note=DRAWS),
        ],
    }
    rows = []
    for group, contenders in groups.items():
        rows += measure("perturbing", group, n, contenders, bench.times(5), bench.budget / len(groups))
    return rows

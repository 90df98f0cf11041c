"""What the contract test knows of single methods: reduced options, tolerances, and where the contract cannot apply."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from camsbench.config.compose import compose_config
from camsbench.config.instantiate import make_methods
from camsbench.config.paths import CONF
from camsbench.core.types import Explainer

TRAINED = {"lficam"}  # they explain with a network that must be trained first: their own tests hold the contract
TRANSFORMERS = [  # for networks of tokens alone
    *("vit_reciprocam", "vit_reciprocam_gaussian", "attention_rollout", "transformer_attribution"),
    *("attention_guided_cam", "legrad", "attnlrp"),
]
METHODS = [
    path.stem
    for path in sorted((CONF / "method").glob("*.yaml"))
    if "defaults:" not in path.read_text() and path.stem not in TRAINED | set(TRANSFORMERS)  # without groups of methods
]
# Variants that pass a copy a channel as their base does, and those that pass several: their contract is a slow test.
SLOW = {"scorecam_gradcam", "scorecam_torchcam", "scorecam_torchcam21", "abscam_chan_norm", "abscam_chan_global"} | {
    *("abscam_scalar", "abscam_refeed", "abscam_table2", "sscam", "iscam"),
}

REDUCED: dict[str, dict[str, Any]] = {  # where the defaults need too many passes for a test
    "extremal_perturbation": {"steps": 4},
    "generative_perturbation": {"patch": 32, "stride": 16},
    "groupcam_v0": {"percentile": 0.0},  # at 70 no group of the contract's first image beats its blurred self
    "integrated_gradients": {"n": 6},
    "iscam": {"n": 2},
    "meaningful_perturbation": {"steps": 4},
    "rise": {"n": 64},
    "smoothgrad": {"n": 6},
    "sscam": {"n": 2},
}

POOLED_HEAD = {"cam"}  # for an average pool and a linear layer only: the contract cuts the network there for them
NO_PASS = {"cam", "eigencam", "kpcacam", "fem", "fakecam", "randomcam"}  # they use what the one forward pass left
CONTROLS = {"fakecam", "randomcam"}  # they do not look at the network
RANDOM_COVERAGE = {"rise"}  # a constant score gives the mean of its masks, which is constant only as n grows

# A gradient at the pixels jumps where some ReLU's input is within rounding of 0, and another batch size rounds
# otherwise; in double precision these methods are exact (test_methods_backprop.py).
HINGED = ["integrated_gradients", "smoothgrad", "deconvolution", "guided_backprop", "fullgrad", "lrp"]
# Smooth Grad-CAM++ divides by 2·mean(g²) + ΣA·mean(g³), which passes near 0 where noise turns a gradient's sign:
# what another micro-batch changes in the last bit of g is magnified there.
TOLERANCE = {
    **dict.fromkeys(HINGED, 1e-2),
    "smoothgradcampp": 1e-3,
    # these sum A·g³ over the map, which is negative more often (their own tests compare with the plain loop)
    "smoothgradcampp_torchcam": 0.1,
    "smoothgradcampp_vendored": 0.1,
    "smoothgradcampp_metrics_evaluator": 0.1,
    "relevancecam": 1e-3,  # its seed sums to 0, so that large relevances cancel
    "relevancecam_code": 1e-3,  # nearly so
    "meaningful_perturbation": 1e-3,  # Adam divides by the gradient's size: rounding grows at every step
    "extremal_perturbation": 1e-3,  # its smooth maximum has kinks
    "gradcampp_metrics_evaluator": 0.1,
    **dict.fromkeys(["vit_reciprocam", "vit_reciprocam_gaussian"], 1e-4),  # its scores are nearly equal logits
    "ablationcam": 1e-4,  # its weights are differences of nearly equal logits
}


@cache
def contract_method(name: str) -> Explainer:
    """The method of ``conf/method/NAME.yaml``, with its ``REDUCED`` options."""
    return replace(make_methods(compose_config([f"method={name}"]))[name], **REDUCED.get(name, {}))  # type: ignore[type-var]

"""What the contract test knows of single methods: reduced options, precision, and where the contract cannot apply."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from camsbench.config.compose import compose_config
from camsbench.config.instantiate import make_methods
from camsbench.config.paths import CONF
from camsbench.core.types import Explainer

TRAINED = {"lficam"}  # they explain with a network that must be trained first: their own tests hold the contract
KNOWING = {"truth", "truth_layer", "mirrored_truth", "distractor"}  # they show what the data say: tests/test_truth.py
TRANSFORMERS = [  # for networks of tokens alone
    *("vit_reciprocam", "vit_reciprocam_gaussian", "attention_rollout", "transformer_attribution"),
    *("attention_guided_cam", "legrad", "attnlrp"),
]
METHODS = [
    path.stem
    for path in sorted((CONF / "method").glob("*.yaml"))
    if "defaults:" not in path.read_text() and path.stem not in {*TRAINED, *KNOWING, *TRANSFORMERS}  # no groups
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
    "smoothgradcampp_vendored": {"n": 5},
    "sscam": {"n": 2},
}

POOLED_HEAD = {"cam"}  # for an average pool and a linear layer only: the contract cuts the network there for them
CONTROLS = {"fakecam", "randomcam", "center_gaussian", "edges"}  # they do not look at the network
NO_PASS = {"cam", "eigencam", "kpcacam", "fem"} | CONTROLS  # they use what the one forward pass left
RANDOM_COVERAGE = {"rise"}  # a constant score gives the mean of its masks, which is constant only as n grows

# What rounding does is magnified where these methods divide by what passes near 0 (Smooth Grad-CAM++, presets of
# Grad-CAM++, RefineCAM of blocks without a ReLU at their end), where a gradient at the pixels jumps as some ReLU's
# input crosses 0, where large relevances cancel, where scores are nearly equal logits, and at every step of an
# optimiser: their contract is kept in double precision.
SENSITIVE = {
    *("integrated_gradients", "smoothgrad", "deconvolution", "guided_backprop", "fullgrad", "lrp"),
    *("smoothgradcampp", "smoothgradcampp_torchcam", "smoothgradcampp_vendored", "smoothgradcampp_metrics_evaluator"),
    *("gradcampp_metrics_evaluator", "relevancecam", "relevancecam_code", "refinecam", "refinecam_gradcam"),
    *("meaningful_perturbation", "extremal_perturbation"),
    *("vit_reciprocam", "vit_reciprocam_gaussian"),
}
TOLERANCE = {"ablationcam": 1e-4}  # its weights are differences of nearly equal logits; a pass a channel is dear


@cache
def contract_method(name: str) -> Explainer:
    """The method of ``conf/method/NAME.yaml``, with its ``REDUCED`` options."""
    return replace(make_methods(compose_config([f"method={name}"]))[name], **REDUCED.get(name, {}))  # type: ignore[type-var]

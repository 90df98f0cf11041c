"""The methods, metrics and saliency rule that a configuration names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from camsbench.config.paths import CONF as CONF
from camsbench.config.plain import plain as plain
from camsbench.config.trust import check_targets
from camsbench.core.columns import all_columns
from camsbench.core.explained import Metric
from camsbench.core.saliency import SaliencyRule
from camsbench.core.targets import Target
from camsbench.core.types import Explainer, Split
from camsbench.errors import CamsbenchError

OF_THE_SPLIT = {"gradient": "a gradient", "modules": "the network's modules"}
OF_THE_TARGET = {"confidence": "a confidence in [0,1]", "classes": "classes beside the one that is asked"}
OF_THE_DATA = frozenset({"boxes", "distractor"})  # needs that no split meets; see check_places


def make_methods(cfg: DictConfig) -> dict[str, Explainer]:
    """The methods of a configuration by name."""
    return _instantiate_group(cfg, "method")


def make_metrics(cfg: DictConfig) -> dict[str, Metric]:
    """The metrics of a configuration by name, each with columns that tables can read."""
    metrics = _instantiate_group(cfg, "metric")
    all_columns(metrics)  # refuses a direction or reduction that there is not
    return metrics


def make_rule(cfg: DictConfig) -> SaliencyRule:
    """The protocol's way from a raw map to a saliency."""
    try:
        return SaliencyRule(**plain(cfg.protocol.saliency))
    except (TypeError, ValueError) as error:
        raise CamsbenchError(f"protocol.saliency: {error}") from error


def read_limits(cfg: DictConfig, methods: Mapping[str, Explainer]) -> dict[str, int]:
    """For each of ``methods`` that has one its limit of images."""
    limits = plain(cfg.limits)
    for name, limit in limits.items():
        if not isinstance(limit, int) or limit < 1:
            raise CamsbenchError(f"limits.{name}={limit}: give a number from 1 up")
        if name not in methods and not (CONF / "method" / f"{name}.yaml").is_file():
            raise CamsbenchError(f"limits.{name}: there is no such method in this run; it has {', '.join(methods)}")
    return {name: limit for name, limit in limits.items() if name in methods}


def check_needs(
    chosen: Mapping[str, Explainer | Metric], provides: frozenset[str], asked: Target, group: str = "method"
) -> None:
    """Refuse methods, or metrics, that ask more than a split, and what is asked of its outputs, provide.

    A metric may say in ``needs`` what it asks. Fused layers (``model.fuse``) provide metrics with nothing: there is
    no one network cut at one layer behind their map.
    """
    for name, one in chosen.items():
        needs: frozenset[str] = getattr(one, "needs", frozenset()) - OF_THE_DATA
        lacking = sorted(needs - provides - asked.provides)
        if not lacking:
            continue
        if of_target := [OF_THE_TARGET[need] for need in lacking if need in OF_THE_TARGET]:
            raise CamsbenchError(
                f"{group}={name} needs {' and '.join(of_target)}, which {type(asked).__name__} does not have: leave it "
                "out, or say with model.output what else the network's outputs are"
            )
        said = " and ".join(OF_THE_SPLIT.get(need, need) for need in lacking)
        raise CamsbenchError(
            f"{group}={name} needs {said}, which this split does not provide: "
            f"use runtime.backend=torch and a network of PyTorch's modules, or another {group}"
        )


def check_methods(methods: Mapping[str, Explainer], splits: Sequence[Split]) -> None:
    """Refuse methods that a network, cut at one of its layers, is not for: those whose ``check`` says so.

    Raises:
        CamsbenchError: the sentence names the method.
    """
    for name, method in methods.items():
        check = getattr(method, "check", None)
        if check is None:
            continue
        for split in splits:
            try:
                with torch.inference_mode(mode=False):  # it may take gradients, whatever the caller's mode
                    check(split)
            except CamsbenchError as error:
                raise CamsbenchError(f"method={name}: {error}") from error


def _instantiate_group(cfg: DictConfig, group: str) -> dict[str, Any]:
    if not cfg.get(group):
        raise CamsbenchError(
            f"{group}: choose at least one, such as {group}=[{'gradcam' if group == 'method' else 'drop'}]"
        )
    made = {}
    for name, node in cfg[group].items():
        settings = plain(node)
        check_targets(group, f"{group}.{name}", settings)
        try:
            made[str(name)] = instantiate(settings)
        except (InstantiationException, TypeError) as error:
            cause = error.__cause__ or error
            raise CamsbenchError(f"{group}.{name}: {cause}") from error
    return made

"""The passes of each method and metric: their own code, run once on one image of a network that only counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from omegaconf import DictConfig

from camsbench.config.instantiate import check_methods, check_needs, make_methods, make_metrics, make_rule, read_limits
from camsbench.core import scoring
from camsbench.core.explained import Metric, explain
from camsbench.core.fusion import MeanOfLayers
from camsbench.core.passes import Passes
from camsbench.core.saliency import SaliencyRule
from camsbench.core.types import Explainer, Split
from camsbench.models.speed import Speed
from camsbench.run.planning import images
from camsbench.run.planning.networks import Networks

BASE = "base pass"
EXPLAIN = "explain"


@dataclass(frozen=True)
class Line:
    """What one part of a run costs: a method's own passes, a metric's, or the base pass that all methods share."""

    cell: str
    network: str
    layer: str
    method: str  # or BASE
    part: str  # BASE, EXPLAIN, or a metric's name
    images: int
    passes: Passes  # of one image
    speed: Speed

    @property
    def total(self) -> Passes:
        """Passes of all images."""
        return self.passes * self.images

    @property
    def hours(self) -> float:
        return self.speed.seconds(self.total) / 3600


def plan(cfg: DictConfig, networks: Networks | None = None, cell: str | None = None) -> list[Line]:
    """The passes of a run, without data, weights or work.

    Each method and metric runs once for one image, without exact short cuts, so that counts are upper bounds. What
    metrics share (the pass of the masked image) is counted with the first that asks.

    Args:
        networks: where networks come from, shared by the plans of several runs; None measures them here.
        cell: the run's name in the lines; None takes network and protocol.

    Raises:
        CamsbenchError: an option is wrong; the sentence names it and the remedy.
    """
    networks = networks or Networks()
    methods, metrics, rule = make_methods(cfg), make_metrics(cfg), make_rule(cfg)
    limits = read_limits(cfg, methods)
    total, _ = images.count(cfg)
    layers = networks.layers(cfg)
    check_methods(methods, networks.cut(cfg))
    if not layers[0].gradients:
        check_needs(methods, frozenset(), layers[0].dry.asked)
        check_needs(metrics, frozenset(), layers[0].dry.asked, "metric")
    if cfg.model.fuse is not None:
        layers = layers[:1]
    lines = []
    for place, layer in enumerate(layers):
        split = layer.dry
        name = cell or f"{split.name}-{cfg.protocol.name}"
        make = partial(Line, f"{name} at {split.layer}" if len(layers) > 1 else name, split.name, split.layer)
        chosen = {method: min(limits.get(method, total), total) for method in methods}
        lines.append(make(BASE, BASE, max(chosen.values()), Passes(features=1, head=1), layer.speed))
        for method, explainer in methods.items():
            for part, passes in _parts(cfg, networks, place, explainer, metrics, rule):
                lines.append(make(method, part, chosen[method], passes, layer.speed))
    return lines


def _parts(
    cfg: DictConfig,
    networks: Networks,
    place: int,
    method: Explainer,
    metrics: Mapping[str, Metric],
    rule: SaliencyRule,
) -> list[tuple[str, Passes]]:
    """The passes of one image for a method and each metric of its map, at one layer.

    What needs the network's modules is counted on the network itself, with random weights, all else on a dry one.
    """
    own = "modules" in method.needs
    inside = {name: metric for name, metric in metrics.items() if own or "modules" in getattr(metric, "needs", ())}
    outside = {name: metric for name, metric in metrics.items() if name not in inside}
    parts = []
    if not own:
        passes = Passes()
        dry = [replace(layer.dry, passes=passes) for layer in networks.layers(cfg)]
        parts += _count(dry, place, _fused(cfg, method, dry, rule), outside, rule)
    if inside or own:
        real = networks.real(cfg)
        found = _count(real, place, _fused(cfg, method, real, rule), inside, rule)
        parts += found if own else found[1:]
    order = [EXPLAIN, *metrics]
    return sorted(parts, key=lambda part: order.index(part[0]))


def _fused(cfg: DictConfig, method: Explainer, splits: Sequence[Split], rule: SaliencyRule) -> Explainer:
    return method if cfg.model.fuse is None else MeanOfLayers(method, tuple(splits), rule)


def _count(
    splits: Sequence[Split],
    place: int,
    method: Explainer,
    metrics: Mapping[str, Metric],
    rule: SaliencyRule,
) -> list[tuple[str, Passes]]:
    split, passes = splits[place], splits[place].passes
    channels, height, width = split.preprocess.shape
    x = torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(0)).to(split.device)
    whole = (0.0, 0.0, float(width), float(height))
    forward = replace(scoring.forward(split, x, None, (0,)), boxes=((whole,),), distractor=x[:, 0])
    before = replace(passes)
    explained = explain(split, method, rule, forward)
    parts = [(EXPLAIN, passes - before)]
    for name, metric in metrics.items():
        before = replace(passes)
        metric(explained)
        parts.append((name, passes - before))
    return parts

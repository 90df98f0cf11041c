"""What a run chose that could as well have been chosen otherwise: settings by name, for each metric."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from omegaconf import OmegaConf

from camsbench.config.instantiate import make_metrics
from camsbench.core.columns import columns_of
from camsbench.report.saved_run import SavedRun
from camsbench.tables.reliability.scores import Scores

SHARED = ("saliency", "mask", "resize", "crop")  # of the protocol; metrics have their own beside


def choices_of(run: SavedRun) -> dict[str, dict[str, str]]:
    """By column of the rows: what the run chose for the methods, the protocol's maps, and the metric that gives it.

    An option of a metric is called METRIC.OPTION, wherever it was said; a protocol's ``protocol.OPTION``.
    """
    config: Any = OmegaConf.to_container(run.config, resolve=True)
    shared = {"target": str(config.get("target")), "contrast": str(config.get("contrast")), "seed": str(run.seed)}
    protocol = {name: config["protocol"][name] for name in SHARED if name in config["protocol"]}
    shared |= dict(_leaves(protocol, "protocol")) | dict(_leaves(config["method"], "method"))
    found: dict[str, dict[str, str]] = {}
    for name, metric in make_metrics(run.config).items():
        own = dict(_leaves(config["metric"][name], name))
        found |= {column.name: shared | own for column in columns_of(metric, name)}
    return found


def setting_choices(chosen: dict[str, dict[str, str]], scores: Scores) -> dict[str, str]:
    """The same of one metric, network, protocol and layer of the run."""
    setting = scores.setting
    own = {"model": setting.model, "model.layer": setting.layer, "protocol": setting.protocol}
    return {**chosen.get(scores.column.name, {}), **own}


def _leaves(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for name, below in node.items():
            yield from _leaves(below, f"{path}.{name}")
    else:
        yield path, str(node)

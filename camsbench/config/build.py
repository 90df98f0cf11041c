"""From a composed configuration to the objects of a run: the only place that instantiates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue

from camsbench.config.job import Job, check_count, check_maps, first_images
from camsbench.config.paths import CONF as CONF
from camsbench.config.runtime import Runtime, prepare
from camsbench.config.trust import check_targets
from camsbench.core.columns import all_columns
from camsbench.core.explained import Metric
from camsbench.core.fusion import MeanOfLayers
from camsbench.core.passes import PassOptions
from camsbench.core.saliency import SaliencyRule
from camsbench.core.types import Explainer
from camsbench.data import boxes
from camsbench.data.checks import check_boxes, check_labels
from camsbench.data.record import Record
from camsbench.data.selection import select
from camsbench.errors import CamsbenchError
from camsbench.models import backends
from camsbench.models.load import load
from camsbench.models.split import TorchSplit
from camsbench.models.weights import ModelSpec
from camsbench.store.environment import follow_moves

SELECTION = ("subset", "draw", "shuffle", "limit", "classes", "per_class")
PLACE = ("root", "layout", "labels", "boxes", "check")
FUSES = (None, "mean")
TARGETS = ("predicted", "label")
NEEDS = {"gradient": "a gradient", "modules": "the network's modules"}
OF_THE_DATA = frozenset({"boxes"})  # needs that no split meets; see check_boxes


def build(cfg: DictConfig, records: list[Record] | None = None) -> Job:
    """Check a configuration and build what it names: cheap checks first, the network last, no image read.

    Args:
        cfg: every choice of the run.
        records: the images that the configuration chooses, where they are known already.

    Raises:
        CamsbenchError: an option, file or network is wrong; the sentence names it and the remedy.
    """
    _refuse_missing(cfg)
    runtime = prepare(cfg.runtime)
    methods = explainers(cfg)
    metrics = measures(cfg)
    limits = limits_of(cfg, methods)
    target = _target(cfg.target)
    if not isinstance(cfg.seed, int):
        raise CamsbenchError(f"seed={cfg.seed}: give a whole number")
    if not isinstance(cfg.gallery, int) or cfg.gallery < 0:
        raise CamsbenchError(f"gallery={cfg.gallery}: give a number of images from 0 up")
    if (asked := cfg.get("report")) is not None:
        check_maps(asked.maps)
    rule = saliency_rule(cfg)
    if records is None:
        records = with_boxes(cfg.data, images_of(cfg.data), metrics)
    if asked is not None and asked.html:
        check_count(first_images(asked.maps, len(records)), asked.maps)
    provided = backends.provides(runtime.backend)
    check_needs(methods, provided)
    check_needs(metrics, provided if cfg.model.fuse is None else frozenset(), "metric")
    splits = backends.on(runtime.backend, networks(cfg, runtime), runtime.cache)
    split = splits[0]
    for metric in metrics.values():
        if hasattr(metric, "labels"):
            metric.labels(split)  # sanity checks: refuses the name of a layer that the network does not have
    if cfg.model.fuse is not None:
        methods = {name: MeanOfLayers(method, tuple(splits), rule) for name, method in methods.items()}
        splits = [replace(split, layer="+".join(s.layer for s in splits))]
    check_labels(records, split.num_classes, split.name)
    if isinstance(target, int) and not 0 <= target < split.num_classes:
        raise CamsbenchError(f"target={target}: {split.name} has classes 0 to {split.num_classes - 1}")
    return Job(
        config=cfg,
        splits=splits,
        records=records,
        methods=methods,
        metrics=metrics,
        limits=limits,
        rule=rule,
        target=target,
        protocol=f"{cfg.protocol.name}@{cfg.protocol.version}",
        seed=cfg.seed,
        gallery=cfg.gallery,
        runtime=runtime,
    )


def explainers(cfg: DictConfig) -> dict[str, Explainer]:
    """The methods of a configuration by name."""
    return _instantiate_group(cfg, "method")


def measures(cfg: DictConfig) -> dict[str, Metric]:
    """The metrics of a configuration by name, each with columns that tables can read."""
    metrics = _instantiate_group(cfg, "metric")
    all_columns(metrics)  # refuses a direction or reduction that there is not
    return metrics


def check_needs(chosen: Mapping[str, Explainer | Metric], provides: frozenset[str], group: str = "method") -> None:
    """Refuse methods, or metrics, that ask more of a split than it provides.

    A metric may say in ``needs`` what it asks. Fused layers (``model.fuse``) provide metrics with nothing: there is
    no one network cut at one layer behind their map.
    """
    for name, one in chosen.items():
        needs: frozenset[str] = getattr(one, "needs", frozenset()) - OF_THE_DATA
        lacking = [NEEDS.get(need, need) for need in sorted(needs - provides)]
        if lacking:
            raise CamsbenchError(
                f"{group}={name} needs {' and '.join(lacking)}, which this split does not provide: "
                f"use runtime.backend=torch, or another {group}"
            )


def load_splits(
    spec: Mapping[str, Any], transform: Mapping[str, Any], options: PassOptions, **where: Any
) -> list[TorchSplit]:
    """A network cut at each of its layers, from its YAML's fields (see ``camsbench.models.load`` for the rest)."""
    unknown = sorted(set(spec) - {f.name for f in fields(ModelSpec)})
    if unknown:
        raise CamsbenchError(f"model.{unknown[0]}: a model's YAML has no such field")
    return load(ModelSpec(**spec), options, transform=transform, **where)


def saliency_rule(cfg: DictConfig) -> SaliencyRule:
    """The protocol's way from a raw map to a saliency."""
    return _make("protocol.saliency", SaliencyRule, cfg.protocol.saliency)


def _refuse_missing(cfg: DictConfig) -> None:
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        remedy = {
            "data.root": "data=ilsvrc2012 needs data.root=DIR, the folder of the validation images",
            "model.name": "model=timm and model=torchvision need model.name=NAME, the network's name",
        }
        raise CamsbenchError(remedy.get(missing[0], f"{missing[0]} is not set; give {missing[0]}=VALUE"))


def _plain(node: Any) -> Any:
    """A configuration node as plain dicts and lists, interpolations resolved, names of earlier versions as of today."""
    try:
        return follow_moves(OmegaConf.to_container(node, resolve=True, throw_on_missing=True))
    except (InterpolationToMissingValueError, MissingMandatoryValue) as error:
        raise CamsbenchError(f"{error.full_key} is not set; give {error.full_key}=VALUE") from error


def _instantiate_group(cfg: DictConfig, group: str) -> dict[str, Any]:
    if not cfg.get(group):
        raise CamsbenchError(
            f"{group}: choose at least one, such as {group}=[{'gradcam' if group == 'method' else 'drop'}]"
        )
    made = {}
    for name, node in cfg[group].items():
        plain = _plain(node)
        check_targets(group, f"{group}.{name}", plain)
        try:
            made[str(name)] = instantiate(plain)
        except (InstantiationException, TypeError) as error:
            cause = error.__cause__ or error
            raise CamsbenchError(f"{group}.{name}: {cause}") from error
    return made


def _make(option: str, kind: Any, node: Any) -> Any:
    try:
        return kind(**_plain(node))
    except (TypeError, ValueError) as error:
        raise CamsbenchError(f"{option}: {error}") from error


def limits_of(cfg: DictConfig, methods: Mapping[str, Explainer]) -> dict[str, int]:
    """For each of ``methods`` that has one its limit of images."""
    limits = _plain(cfg.limits)
    for name, limit in limits.items():
        if not isinstance(limit, int) or limit < 1:
            raise CamsbenchError(f"limits.{name}={limit}: give a number from 1 up")
        if name not in methods and not (CONF / "method" / f"{name}.yaml").is_file():
            raise CamsbenchError(f"limits.{name}: there is no such method in this run; it has {', '.join(methods)}")
    return {name: limit for name, limit in limits.items() if name in methods}


def _target(target: str | int) -> str | int:
    if isinstance(target, int) or target in TARGETS:
        return target
    raise CamsbenchError(f"target={target}: choose predicted, label, or a class index")


def images_of(node: DictConfig) -> list[Record]:
    """The images that ``data`` chooses."""
    options = _plain(node)
    for later in ("boxes", "check"):
        options.pop(later, None)
    selection = {key: options.pop(key, None) for key in SELECTION}
    check_targets("data", "data", options)
    try:
        source = instantiate(options)
    except InstantiationException as error:
        if isinstance(error.__cause__, CamsbenchError):
            raise error.__cause__ from None
        raise CamsbenchError(f"data: {error.__cause__ or error}") from error
    return select(source, **selection)


def with_boxes(node: DictConfig, records: list[Record], metrics: Mapping[str, Metric]) -> list[Record]:
    """The images with the boxes of ``data.boxes``, where a metric asks for any."""
    asking = [name for name, metric in metrics.items() if "boxes" in getattr(metric, "needs", ())]
    if asking and node.get("boxes") and not (node.boxes == "auto" and any(record.boxes for record in records)):
        records = boxes.with_boxes(records, node.root, node.boxes)
    check_boxes(records, asking)
    return records


def networks(cfg: DictConfig, runtime: Runtime) -> list[TorchSplit]:
    """The network of ``model`` under the protocol's preprocessing, one split a layer."""
    protocol = _plain(cfg.protocol)
    changes = {key: protocol[key] for key in ("resize", "crop") if protocol[key] is not None}
    if cfg.model.fuse not in FUSES:
        raise CamsbenchError(f"model.fuse={cfg.model.fuse}: choose mean, or null for a row a layer")
    try:
        return load_splits(
            _plain(cfg.model),
            changes,
            runtime.options,
            device=runtime.device,
            seed=cfg.seed,
            micro_batch=cfg.runtime.micro_batch,
        )
    except (TypeError, ValueError) as error:
        raise CamsbenchError(f"model: {error}") from error

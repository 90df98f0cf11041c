"""From a composed configuration to a run: every option checked, cheap ones first, and the network cut at its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf

from camsbench.config.images import (
    add_boxes,
    find_images,
    label_images,
    name_classes,
    refuse_other_classes,
    select_images,
)
from camsbench.config.instantiate import check_needs, make_methods, make_metrics, make_rule, read_limits
from camsbench.config.job import Job, check_count, check_maps, first_images
from camsbench.config.plain import plain
from camsbench.config.runtime import Runtime, check_runtime
from camsbench.core.fusion import MeanOfLayers
from camsbench.core.passes import PassOptions
from camsbench.core.targets import CLASSES, Contrast, target_of
from camsbench.data.classes import Classes
from camsbench.data.record import Record
from camsbench.errors import CamsbenchError
from camsbench.models import backends
from camsbench.models.load import load_network
from camsbench.models.split import TorchSplit
from camsbench.models.weights import ModelSpec
from camsbench.store.schema import group_column

FUSES = (None, "mean")
TARGETS = ("predicted", "label")


def build(cfg: DictConfig, records: list[Record] | None = None) -> Job:
    """Check a configuration and build what it names: cheap checks first, the network last, no image read.

    Args:
        cfg: every choice of the run.
        records: the images that the configuration chooses, where they are known already.

    Raises:
        CamsbenchError: an option, file or network is wrong; the sentence names it and the remedy.
    """
    _refuse_missing(cfg)
    runtime = check_runtime(cfg.runtime)
    methods, metrics = make_methods(cfg), make_metrics(cfg)
    limits, rule = read_limits(cfg, methods), make_rule(cfg)
    _check_values(cfg)
    found = find_images(cfg.data) if records is None else None
    source: Sequence[Record] = found if found is not None else records or []
    if records is None:
        records = add_boxes(cfg.data, select_images(cfg.data, source), metrics)
    if (by := cfg.get("summary", {}).get("by")) is not None:
        group_column(str(by), {name for record in records for name in record.cells})
    if (asked := cfg.get("report")) is not None and asked.html:
        check_count(first_images(asked.maps, len(records)), asked.maps)
    provided = backends.provides(runtime.backend)
    outputs = target_of(cfg.model.get("output", "softmax"))
    contrast = cfg.get("contrast")
    if contrast is not None and CLASSES not in outputs.provides:
        raise CamsbenchError(f"contrast={contrast}: model.output={cfg.model.output} has no second class: leave it out")
    target = outputs if contrast is None else Contrast(0)  # which class is known when the network is
    check_needs(methods, provided, target)
    check_needs(metrics, provided if cfg.model.fuse is None else frozenset(), target, "metric")
    splits = backends.move_to(runtime.backend, cut_networks(cfg, runtime), runtime.cache)
    splits = name_classes(splits, source)
    if contrast is not None:
        splits = [split.asking(_contrast(cfg, Classes.of(split))) for split in splits]
    for metric in metrics.values():
        if hasattr(metric, "labels"):
            metric.labels(splits[0])  # sanity checks: refuses the name of a layer that the network does not have
    if cfg.model.fuse is not None:
        methods = {name: MeanOfLayers(method, tuple(splits), rule) for name, method in methods.items()}
        splits = [replace(splits[0], layer="+".join(split.layer for split in splits))]
    cfg = _with_class_index(cfg, Classes.of(splits[0]))
    job = Job(cfg, splits, records, source, methods, metrics, limits, rule, runtime)
    if isinstance(job.target, int) and not 0 <= job.target < job.split.num_classes:
        raise CamsbenchError(f"target={job.target}: {job.split.name} has classes 0 to {job.split.num_classes - 1}")
    if found is not None:
        refuse_other_classes(found, cfg.data, job.split)
    labelled, unlabelled = label_images(records, source, job.split, job.target, job.uses_boxes)
    return replace(job, records=labelled, unlabelled=unlabelled)


def _contrast(cfg: DictConfig, classes: Classes) -> Contrast:
    """What is asked in contrast to the class ``contrast``."""
    if type(cfg.contrast) is int:
        return Contrast(cfg.contrast)
    try:
        return Contrast(classes.index(str(cfg.contrast)))
    except CamsbenchError as error:
        raise CamsbenchError(f"contrast={cfg.contrast}: {error}") from error


def _with_class_index(cfg: DictConfig, classes: Classes) -> DictConfig:
    """``target`` as an index where a class is named."""
    target = cfg.target
    if target in TARGETS or type(target) is int:
        return cfg
    try:
        index = classes.index(str(target))
    except CamsbenchError as error:
        raise CamsbenchError(f"target={target}: choose predicted, label, or a class: {error}") from error
    changed = cfg.copy()
    changed.target = index
    return changed


def _check_values(cfg: DictConfig) -> None:
    if not isinstance(cfg.seed, int):
        raise CamsbenchError(f"seed={cfg.seed}: give a whole number")
    if not isinstance(cfg.gallery, int) or cfg.gallery < 0:
        raise CamsbenchError(f"gallery={cfg.gallery}: give a number of images from 0 up")
    if (asked := cfg.get("report")) is not None:
        check_maps(asked.maps)


def load_splits(
    spec: Mapping[str, Any], transform: Mapping[str, Any], options: PassOptions, **where: Any
) -> list[TorchSplit]:
    """A network cut at each of its layers, from its YAML's fields (see ``camsbench.models.load`` for the rest)."""
    return load_network(model_spec(spec), options, transform=transform, **where)


def model_spec(given: Mapping[str, Any]) -> ModelSpec:
    """The fields of a model's YAML; names that Hydra reads as numbers are names."""
    unknown = sorted(set(given) - {f.name for f in fields(ModelSpec)})
    if unknown:
        raise CamsbenchError(f"model.{unknown[0]}: a model's YAML has no such field")
    said = dict(given)
    for key in ("name", "source", "weights", "published"):
        if said.get(key) is not None:
            said[key] = str(said[key])
    said["options"] = said.get("options") or {}
    if not isinstance(said["options"], Mapping):
        raise CamsbenchError(f"model.options={said['options']}: give the constructor's, as ++model.options.NAME=VALUE")
    if said.get("ema") not in (True, False, None):
        raise CamsbenchError(f"model.ema={said['ema']}: give true, false, or null")
    return ModelSpec(**said)


def _refuse_missing(cfg: DictConfig) -> None:
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        remedy = {
            "data.root": "data=ilsvrc2012 needs data.root=DIR, the folder of the validation images",
            "model.name": "model=timm and model=torchvision need model.name=NAME, the network's name",
        }
        raise CamsbenchError(remedy.get(missing[0], f"{missing[0]} is not set; give {missing[0]}=VALUE"))


def cut_networks(cfg: DictConfig, runtime: Runtime) -> list[TorchSplit]:
    """The network of ``model`` under the protocol's preprocessing, one split a layer."""
    protocol = plain(cfg.protocol)
    changes = {key: protocol[key] for key in ("resize", "crop") if protocol[key] is not None}
    if cfg.model.fuse not in FUSES:
        raise CamsbenchError(f"model.fuse={cfg.model.fuse}: choose mean, or null for a row a layer")
    try:
        return load_splits(
            plain(cfg.model),
            changes,
            runtime.options,
            device=runtime.device,
            seed=cfg.seed,
            micro_batch=cfg.runtime.micro_batch,
        )
    except (TypeError, ValueError) as error:
        raise CamsbenchError(f"model: {error}") from error

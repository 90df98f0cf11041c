"""From a composed configuration to a run: every option checked, cheap ones first, and the network cut at its layers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from camsbench.config.images import (
    add_boxes,
    find_images,
    label_images,
    name_classes,
    refuse_other_classes,
    select_images,
)
from camsbench.config.instantiate import check_methods, check_needs, make_methods, make_metrics, make_rule, read_limits
from camsbench.config.job import Job, check_count, check_maps, first_images
from camsbench.config.plain import plain
from camsbench.config.planted import refuse_other_plan
from camsbench.config.runtime import Runtime, check_runtime
from camsbench.config.trust import check_plugin
from camsbench.core.explained import Metric
from camsbench.core.fusion import MeanOfLayers
from camsbench.core.passes import PassOptions
from camsbench.core.targets import CLASSES, Contrast, target_of
from camsbench.core.types import Explainer
from camsbench.data.checks import check_places
from camsbench.data.classes import Classes
from camsbench.data.record import Record
from camsbench.errors import CamsbenchError
from camsbench.models import backends
from camsbench.models.backends.exported import ExportedSplit
from camsbench.models.load import load_network
from camsbench.models.module import BUILT
from camsbench.models.program import is_scripted
from camsbench.models.split import TorchSplit
from camsbench.models.transforms import given_fields
from camsbench.models.weights import ModelSpec
from camsbench.store.schema import group_column

FUSES = (None, "mean")
WITHOUT = {"checkpoint": frozenset({"modules"})}  # what a source's networks do not provide
TARGETS = ("predicted", "label")
ZERO_SHOT = ("timm", "torchvision", "module")  # the sources whose networks may give embeddings


def build(cfg: DictConfig, records: list[Record] | None = None) -> Job:
    """Check a configuration and build what it names: cheap checks first, the network last, no image read.

    Args:
        cfg: every choice of the run.
        records: the images that the configuration chooses, where they are known already.

    Raises:
        CamsbenchError: an option, file or network is wrong; the sentence names it and the remedy.
    """
    _refuse_missing(cfg)
    cfg = _with(cfg, "model.name", network_name(cfg.model))
    runtime = runtime_of(cfg)
    cfg = _with(cfg, "runtime.backend", runtime.backend)  # which may have been chosen
    methods, metrics = make_methods(cfg), make_metrics(cfg)
    chosen: dict[str, Mapping[str, Explainer | Metric]] = {"method": methods, "metric": metrics}
    limits, rule = read_limits(cfg, methods), make_rule(cfg)
    _check_values(cfg)
    refuse_other_plan(cfg)
    found = find_images(cfg.data) if records is None else None
    source: Sequence[Record] = found if found is not None else records or []
    asking = {f"{group}={name}": one for group, made in chosen.items() for name, one in made.items()}
    if records is None:
        records = add_boxes(cfg.data, select_images(cfg.data, source), asking)
    check_places(records, {who: getattr(one, "needs", frozenset()) for who, one in asking.items()})
    if (by := cfg.get("summary", {}).get("by")) is not None:
        group_column(str(by), {name for record in records for name in record.cells})
    if (asked := cfg.get("report")) is not None and asked.html:
        check_count(first_images(asked.maps, len(records)), asked.maps)
    provided = backends.provides(runtime.backend) - WITHOUT.get(cfg.model.source, frozenset())
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
    check_methods(methods, splits)
    for metric in metrics.values():
        if hasattr(metric, "labels"):
            metric.labels(splits[0])  # sanity checks: refuses the name of a layer that the network does not have
    if cfg.model.fuse is not None:
        methods = {name: MeanOfLayers(method, tuple(splits), rule) for name, method in methods.items()}
        splits = [replace(splits[0], layer="+".join(split.layer for split in splits))]
    cfg = _with_class_index(cfg, Classes.of(splits[0]))
    job = Job(cfg, splits, records, source, methods, metrics, limits, rule, runtime)
    _refuse_itself(job)
    if isinstance(job.target, int) and not 0 <= job.target < job.split.num_classes:
        raise CamsbenchError(f"target={job.target}: {job.split.name} has classes 0 to {job.split.num_classes - 1}")
    if found is not None:
        refuse_other_classes(found, cfg.data, job.split)
    labelled, unlabelled = label_images(records, source, job.split, job.target, job.uses_boxes)
    return replace(job, records=labelled, unlabelled=unlabelled)


def _refuse_itself(job: Job) -> None:
    """Refuse a class in contrast to itself, which is 0 whatever the image."""
    asked = job.split.asked
    if isinstance(asked, Contrast) and job.target == asked.other:
        raise CamsbenchError(f"contrast={asked.other}: that is the target itself: give another class")


def _contrast(cfg: DictConfig, classes: Classes) -> Contrast:
    """What is asked in contrast to the class ``contrast``."""
    if type(cfg.contrast) is int:
        classes.refuse_ambiguous(f"contrast={cfg.contrast}")
        return Contrast(cfg.contrast)
    try:
        return Contrast(classes.index(str(cfg.contrast)))
    except CamsbenchError as error:
        raise CamsbenchError(f"contrast={cfg.contrast}: {error}") from error


def _with_class_index(cfg: DictConfig, classes: Classes) -> DictConfig:
    """``target`` as an index where a class is named."""
    target = cfg.target
    if type(target) is int:
        classes.refuse_ambiguous(f"target={target}")
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


def runtime_of(cfg: DictConfig) -> Runtime:
    """``runtime``, checked. A network that exists only as ONNX runs on the backend that ``backends.choose`` names.

    Raises:
        CamsbenchError: as ``check_runtime``.
    """
    backend = backends.choose(cfg.runtime.backend, exported_file(cfg.model) is not None)
    return check_runtime(_with(cfg, "runtime.backend", backend).runtime)


def exported_file(model: Mapping[str, Any]) -> str | None:
    """The file of a network that is passed as ONNX, without gradients: ONNX itself, or TorchScript; else None."""
    if model.get("source") == "onnx":
        return str(model["file"])
    weights = Path(str(model["weights"])).expanduser()
    return str(weights) if model.get("source") == "checkpoint" and is_scripted(weights) else None


def load_splits(
    spec: Mapping[str, Any],
    transform: Mapping[str, Any],
    options: PassOptions,
    *,
    device: torch.device,
    backend: str = "torch",
    cache: Path | None = None,
    seed: int = 0,
    micro_batch: int | str = "auto",
) -> Sequence[TorchSplit | ExportedSplit]:
    """A network cut at each of its layers, from its YAML's fields: in PyTorch, or of a file of ONNX on its backend.

    ``camsbench.models.load`` and ``camsbench.models.backends.onnxfile`` say the rest.
    """
    network, file = model_spec(spec), exported_file(spec)
    if file is not None:
        return backends.load_file(backend, file, network, options, micro_batch, transform, cache)
    return load_network(network, options, transform=transform, device=device, seed=seed, micro_batch=micro_batch)


def model_spec(given: Mapping[str, Any]) -> ModelSpec:
    """The fields of a model's YAML; names that Hydra reads as numbers are names.

    Raises:
        CamsbenchError: a field is none, or of the wrong kind, or names code that nobody allowed.
    """
    unknown = sorted(set(given) - {f.name for f in fields(ModelSpec)})
    if unknown:
        raise CamsbenchError(f"model.{unknown[0]}: a model's YAML has no such field")
    said = {**given, "name": network_name(given), "transform": given_fields(given.get("transform"))}
    said["weights"] = BUILT if said.get("weights") is None else said["weights"]
    for key in ("source", "weights", "published", "classes", "text", "file", "output_name"):
        if said.get(key) is not None:
            said[key] = str(said[key])
    said["options"] = said.get("options") or {}
    if not isinstance(said["options"], Mapping):
        raise CamsbenchError(f"model.options={said['options']}: give the constructor's, as ++model.options.NAME=VALUE")
    for key, choices in (("ema", (True, False, None)), ("strip", (True, False))):
        if said.get(key, False) not in choices:
            raise CamsbenchError(f"model.{key}={said[key]}: give true, false{', or null' * (None in choices)}")
    _check_text(said)
    if said["source"] == "module":
        check_plugin("model.build", str(said.get("build")))
        if said["weights"] == "random":
            raise CamsbenchError("model.weights=random: model.build says itself what it draws; leave model.weights out")
    return ModelSpec(**said)


def _check_text(said: Mapping[str, Any]) -> None:
    """Refuse text embeddings and their scale where they mean nothing."""
    text, scale = said.get("text"), said.get("scale")
    if text is not None and said["source"] not in ZERO_SHOT:
        raise CamsbenchError(
            f"model.text={text}: the file of model={said['source']} must give logits itself: leave the option out, or "
            f"use model={', '.join(ZERO_SHOT[:-1])} or {ZERO_SHOT[-1]}"
        )
    if scale is None:
        return
    if text is None:
        raise CamsbenchError(
            f"model.scale={scale}: it multiplies cosines with text embeddings: give model.text=FILE, or leave it out"
        )
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale < math.inf:
        raise CamsbenchError(f"model.scale={scale}: give a number above 0, or null for what the file says, or 100")


def network_name(model: Mapping[str, Any]) -> str:
    """What rows call a network: its name; without one that of the function that builds it, or of its file."""
    if model.get("name") is not None:
        return str(model["name"])
    if model.get("build"):
        return str(model["build"]).rpartition(":")[2]
    return Path(str(model.get("file") or model.get("weights"))).stem


def _with(cfg: DictConfig, key: str, value: object) -> DictConfig:
    """The configuration with another value at a dotted key."""
    changed = cfg.copy()
    OmegaConf.update(changed, key, value)
    return changed


def _refuse_missing(cfg: DictConfig) -> None:
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        remedy = {
            "data.root": "data=ilsvrc2012 needs data.root=DIR, the folder of the validation images",
            "model.name": "model=timm and model=torchvision need model.name=NAME, the network's name",
            "model.build": "model=module needs model.build=PACKAGE.MODULE:FUNCTION, which returns the network",
            "model.file": "model=onnx needs model.file=PATH, the network's file",
            "model.weights": "model=checkpoint needs model.weights=PATH, of torch.export.save or torch.jit.save",
        }
        raise CamsbenchError(remedy.get(missing[0], f"{missing[0]} is not set; give {missing[0]}=VALUE"))


def cut_networks(cfg: DictConfig, runtime: Runtime) -> Sequence[TorchSplit | ExportedSplit]:
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
            backend=runtime.backend,
            cache=runtime.cache,
            seed=cfg.seed,
            micro_batch=cfg.runtime.micro_batch,
        )
    except (TypeError, ValueError) as error:
        raise CamsbenchError(f"model: {error}") from error

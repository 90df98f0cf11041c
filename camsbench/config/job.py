"""What a run needs, checked and built; what its configuration says of maps and of published accuracy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import yaml
from omegaconf import DictConfig

from camsbench.config.instantiate import plain
from camsbench.config.paths import CONF
from camsbench.config.runtime import Runtime
from camsbench.core.columns import Column, all_columns, merge_columns
from camsbench.core.explained import Metric
from camsbench.core.saliency import SaliencyRule
from camsbench.core.types import Explainer
from camsbench.data.found import LeftOut
from camsbench.data.record import Record
from camsbench.errors import CamsbenchError
from camsbench.models.backends.exported import ExportedSplit
from camsbench.models.published import published
from camsbench.models.split import TorchSplit
from camsbench.models.transforms import given_fields
from camsbench.models.weights import ModelSpec, is_path

MOST = 2000  # images with maps, beyond which a browser does not open the page


@dataclass(frozen=True)
class Job:
    """Everything that a run needs; ``camsbench.config.build`` makes it."""

    config: DictConfig
    splits: Sequence[TorchSplit | ExportedSplit]  # one a layer
    records: list[Record]
    source: Sequence[Record]  # all images of the data, of which ``records`` are chosen
    methods: dict[str, Explainer]
    metrics: dict[str, Metric]
    limits: dict[str, int]
    rule: SaliencyRule
    runtime: Runtime
    unlabelled: tuple[LeftOut, ...] = ()  # of ``source``, what ``target=label`` cannot ask

    @property
    def target(self) -> str | int:
        """``predicted``, ``label`` or a class index."""
        target: str | int = self.config.target
        return target

    @property
    def left_out(self) -> list[str]:
        """A sentence for each kind of file that lies with the images and is not taken."""
        return [each.sentence() for each in (*getattr(self.source, "left_out", ()), *self.unlabelled)]

    @property
    def uses_boxes(self) -> bool:
        """Whether a metric or a method looks at the images' boxes."""
        every = (*self.metrics.values(), *self.methods.values())
        return any("boxes" in getattr(one, "needs", ()) for one in every)

    @property
    def seed(self) -> int:
        return int(self.config.seed)

    @property
    def protocol(self) -> str:
        """NAME@VERSION."""
        return f"{self.config.protocol.name}@{self.config.protocol.version}"

    @property
    def gallery(self) -> int:
        """The first images of the run that its picture shows."""
        return int(self.config.gallery)

    @property
    def split(self) -> TorchSplit | ExportedSplit:
        """The network, whatever the layer."""
        return self.splits[0]

    @property
    def maps_kept(self) -> int:
        """The first images of the run whose maps are saved while it goes on: for the gallery, for the report."""
        asked = self.config.get("report")
        shown = first_images(asked.maps, len(self.records)) if asked is not None else 0
        return max(self.gallery, shown)

    @property
    def columns(self) -> list[Column]:
        """What the metrics declare of their columns, in the order of the configuration."""
        return merge_columns(all_columns(self.metrics))

    @property
    def published_top1(self) -> float | None:
        """See ``published_top1``."""
        return published_top1(self.config)


def published_top1(cfg: DictConfig) -> float | None:
    """The network's published accuracy in percent, where its published weights and preprocessing are used."""
    if cfg.model.top1 is None or cfg.model.source not in ("torchvision", "timm"):
        return None
    weights, changed = str(cfg.model.weights), cfg.protocol.resize is not None
    changed = changed or bool(cfg.model.get("options"))
    own = weights != "random" and not is_path(weights) and not changed and not _prepared_otherwise(cfg)
    return cfg.model.top1 if own else None


def _prepared_otherwise(cfg: DictConfig) -> bool:
    """Whether a field of ``model.transform`` is another than that which belongs to the weights.

    Of a library's weights the library says it; of a package's, the file of ``conf/model`` that names the package.
    """
    model = plain(cfg.model)
    given = given_fields(model.get("transform")) or {}
    if model["weights"] == "package":
        files = (yaml.safe_load(path.read_text()) for path in sorted((CONF / "model").glob("*.yaml")))
        of_package = (file for file in files if file.get("package", {}).get("name") == model["package"]["name"])
        theirs = next((file["transform"] for file in of_package), given)
    else:
        known = {field.name for field in fields(ModelSpec)}
        spec = ModelSpec(**{key: value for key, value in model.items() if key in known and value is not None})
        theirs = published(replace(spec, transform=None, options={})).transform
    return any(json.dumps(value) != json.dumps(theirs.get(key)) for key, value in given.items())


def check_maps(maps: object) -> int | str:
    """A number of first images, ``all``, or ``worst``.

    Raises:
        CamsbenchError: it is none of these.
    """
    if maps in ("all", "worst") or (isinstance(maps, int) and not isinstance(maps, bool) and maps >= 0):
        return maps
    raise CamsbenchError(f"report.maps={maps}: give a number of images from 0 up, all or worst")


def check_count(images: int, maps: int | str) -> None:
    """Refuse more images with maps than a page can hold.

    Raises:
        CamsbenchError: they are too many.
    """
    if images > MOST:
        raise CamsbenchError(
            f"report.maps={maps}: the maps of {images:,} images make a page that no browser opens; give a number up to "
            f"{MOST}, or worst"
        )


def first_images(maps: int | str, images: int) -> int:
    """How many of a run's first images that is; none for ``worst``, which is known at the run's end only."""
    return images if maps == "all" else min(maps, images) if isinstance(maps, int) else 0

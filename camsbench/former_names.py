"""Modules that plug-ins of 0.1.0 import, by the names that its reference gave: found where they lie now."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

FORMER = {
    "camsbench.backends": "camsbench.models.backends",
    "camsbench.boxes": "camsbench.core.boxes",
    "camsbench.classnames": "camsbench.data.classes",
    "camsbench.draws": "camsbench.data.draws",
    "camsbench.explained": "camsbench.core.explained",
    "camsbench.fusion": "camsbench.core.fusion",
    "camsbench.heads": "camsbench.core.heads",
    "camsbench.maps": "camsbench.core.saliency",
    "camsbench.masking": "camsbench.core.explained",
    "camsbench.microbatch": "camsbench.core.passes",
    "camsbench.noise": "camsbench.core.noise",
    "camsbench.preprocess": "camsbench.core.preprocess",
    "camsbench.record": "camsbench.data.record",
    "camsbench.scoring": "camsbench.core.scoring",
    "camsbench.sources": "camsbench.data.imagenet",
    "camsbench.split": "camsbench.models.split",
    "camsbench.spread": "camsbench.tables.spread",
    "camsbench.types": "camsbench.core.types",
}


class FormerNames(MetaPathFinder, Loader):
    """Imports the module of today for a former name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in FORMER else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(FORMER[spec.name])
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state  # its own again; it has been executed already


def install() -> None:
    """Let former names be imported."""
    sys.meta_path.append(FormerNames())

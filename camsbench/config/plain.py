"""Configuration nodes as plain Python."""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue

from camsbench.errors import CamsbenchError
from camsbench.store.environment import follow_moves


def plain(node: Any) -> Any:
    """A configuration node as plain dicts and lists, interpolations resolved, names of earlier versions as of today."""
    try:
        return follow_moves(OmegaConf.to_container(node, resolve=True, throw_on_missing=True))
    except (InterpolationToMissingValueError, MissingMandatoryValue) as error:
        raise CamsbenchError(f"{error.full_key} is not set; give {error.full_key}=VALUE") from error

"""Planted pictures and planted networks go together: what is known of one is known of the other alone."""

from __future__ import annotations

from omegaconf import DictConfig

from camsbench.config.plain import plain
from camsbench.errors import CamsbenchError

SOURCE = "camsbench.data.planted.planted"


def refuse_other_plan(cfg: DictConfig) -> None:
    """Refuse planted pictures for a network that was not made for them, or that sees them resized.

    Raises:
        CamsbenchError: task, side, network or protocol do not fit.
    """
    data, model, protocol = plain(cfg.data), plain(cfg.model), plain(cfg.protocol)
    if data.get("_target_") != SOURCE:
        return
    if model.get("source") != "planted":
        raise CamsbenchError(
            "data=planted: what is evidence in these pictures is known of model=planted alone: use it, or other images"
        )
    for key in ("task", "side"):
        made, asked = data.get(key), (model.get("options") or {}).get(key)
        if made != asked:
            raise CamsbenchError(
                f"data.{key}={made} and model.options.{key}={asked}: the network must be made for the pictures: give "
                f"data.{key} alone, which the network follows"
            )
    side = data.get("side")
    for key in ("resize", "crop"):
        changed = protocol.get(key) or (model.get("transform") or {}).get(key)
        if changed not in (None, side, [side, side]):
            raise CamsbenchError(
                f"protocol.{key}={changed}: planted pictures are seen as they are made, {side} pixels a side: give "
                "protocol.resize=null protocol.crop=null"
            )

"""Dotted names that lie elsewhere now than when a run was written: ``_target_`` of its configuration and identity."""

from __future__ import annotations

from typing import Any

MOVED = {
    "camsbench.sources.ilsvrc2012": "camsbench.data.imagenet.ilsvrc2012",
    "camsbench.inpaint.TeleaInpainter": "camsbench.methods.inpaint.TeleaInpainter",
}


def follow_moves(node: Any) -> Any:
    """A plain node (dicts, lists, values) with each name as it is called now."""
    if isinstance(node, dict):
        return {key: follow_moves(value) for key, value in node.items()}
    if isinstance(node, list):
        return [follow_moves(value) for value in node]
    return MOVED.get(node, node) if isinstance(node, str) else node

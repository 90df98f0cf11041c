"""``environment.json``: what makes a run the run that it is, and the sessions that worked on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camsbench.errors import CamsbenchError
from camsbench.files import write_text

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


class Environment:
    """The file of a run folder; several sessions write it, each in a moment alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._session = 0

    @property
    def exists(self) -> bool:
        return self.path.is_file()

    def refuse_mixing(self, identity: Mapping[str, Any]) -> None:
        """Refuse a session whose settings are not those of the run.

        Raises:
            CamsbenchError: the first settings that differ, and the remedy.
        """
        if not self.exists:
            return
        old = follow_moves(self._read()["identity"])
        changed = [key for key in old.keys() | identity.keys() if old.get(key) != identity.get(key)]
        changed.sort(key=lambda key: (key.count("."), key))  # the general before the particular
        if changed:
            said = ", ".join(f"{key} was {old.get(key)} and is {identity.get(key)}" for key in changed[:3])
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            raise CamsbenchError(
                f"{self.path.parent} holds a run with other settings ({said}{more}): choose another folder with "
                "output=, or the old settings to go on"
            )

    def begin(self, identity: Mapping[str, Any], session: Mapping[str, Any]) -> None:
        """Add this session."""
        sessions = [*(self._read()["sessions"] if self.exists else []), dict(session)]
        self._session = len(sessions) - 1
        self._write({"identity": dict(identity), "sessions": sessions})

    def account(self, cost: Mapping[str, Any]) -> None:
        """Add to this session what it cost."""
        content = self._read()
        content["sessions"][self._session]["account"] = dict(cost)
        self._write(content)

    def _read(self) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self.path.read_text())
        except ValueError as error:
            raise CamsbenchError(f"{self.path} is no JSON ({error}): choose another folder with output=") from error
        return content

    def _write(self, content: Mapping[str, Any]) -> None:
        write_text(self.path, json.dumps(content, indent=2) + "\n")

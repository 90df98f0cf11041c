"""``environment.json``: what makes a run the run that it is, and the sessions that worked on it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from camsbench.data.fingerprint import changed
from camsbench.data.record import Record
from camsbench.errors import CamsbenchError
from camsbench.files import write_text

MOVED = {
    "camsbench.sources.ilsvrc2012": "camsbench.data.imagenet.ilsvrc2012",
    "camsbench.inpaint.TeleaInpainter": "camsbench.methods.inpaint.TeleaInpainter",
}


CODE = "code."  # the part of an identity that says what plug-ins are
log = logging.getLogger(__name__)


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
        unknown = {key for key in identity if key.startswith(CODE) and key not in old}  # 0.1.0 did not note it
        differing = [key for key in (old.keys() | identity.keys()) - unknown if old.get(key) != identity.get(key)]
        differing.sort(key=lambda key: (key.count("."), key))  # the general before the particular
        if differing:
            said = ", ".join(_changed(key, old, identity) for key in differing[:3])
            more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
            raise CamsbenchError(
                f"{self.path.parent} holds a run with other settings ({said}{more}): choose another folder with "
                "output=, or the old settings to go on"
            )
        if unknown:
            log.warning("%s does not say what code its plug-ins had: it is taken to be that of now", self.path.parent)

    def changed_images(self, source: Sequence[Record], known: Mapping[str, str]) -> list[str]:
        """The ids of the images that the run looked at whose content is another now, of all images of its data."""
        if not self.exists:
            return []
        before: dict[str, str] | None = self._read().get("images")
        if before is None:  # 0.1.0 did not note it
            log.warning("%s does not say what its images were: they are taken to be those of now", self.path.parent)
            return []
        return changed(before, source, known)

    def shares_no_image(self, source: Sequence[Record]) -> bool:
        """Whether all images that the run looked at are gone, and others are there."""
        before = (self._read().get("images") or {}) if self.exists else {}
        return bool(before) and bool(source) and before.keys().isdisjoint(record.image_id for record in source)

    def begin(self, identity: Mapping[str, Any], session: Mapping[str, Any], images: Mapping[str, str]) -> None:
        """Add this session, and the hashes of some of its images."""
        old = self._read() if self.exists else {"sessions": [], "images": {}}
        sessions = [*old["sessions"], dict(session)]
        self._session = len(sessions) - 1
        known = {**old.get("images", {}), **images}
        self._write({"identity": dict(identity), "images": known, "sessions": sessions})

    def account(self, cost: Mapping[str, Any]) -> None:
        """Add to this session what it cost."""
        content = self._read()
        content["sessions"][self._session]["account"] = dict(cost)
        self._write(content)

    def code_changes(self) -> list[str]:
        """A sentence for each choice that sessions of this run made with different code of camsbench's own."""
        sessions = self._read()["sessions"]
        own = sessions.pop(self._session)
        said: dict[str, list[str]] = {}
        for option, now in own.get("code", {}).items():
            for session in sessions:
                before = session.get("code", {option: "not noted"}).get(option, now)
                if before != now and session["camsbench"] not in said.setdefault(option, []):
                    said[option].append(session["camsbench"])
        return [
            f"{option}: camsbench's own code changed since rows of this run were made (by camsbench {', '.join(old)}), "
            "so that they may differ from those of now: run it anew in another folder with output= to be sure"
            for option, old in said.items()
            if old
        ]

    def _read(self) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self.path.read_text())
        except ValueError as error:
            raise CamsbenchError(f"{self.path} is no JSON ({error}): choose another folder with output=") from error
        return content

    def _write(self, content: Mapping[str, Any]) -> None:
        write_text(self.path, json.dumps(content, indent=2) + "\n")


def _changed(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    means = ", its source: the plug-in was edited" if key.startswith(CODE) else ""
    return f"{key} was {old.get(key)} and is {new.get(key)}{means}"

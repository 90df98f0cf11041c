"""Numbers of many images in a page: typed arrays, one after another, compressed and as text."""

from __future__ import annotations

import base64
import gzip

import numpy as np

FORMS = {"float32": "f32", "int32": "i32", "uint8": "u8"}
LEVEL = 6  # of gzip: a higher one takes longer and saves two percent

Place = tuple[int, int, str]  # offset and length in bytes, and what lies there: f32, i32, u8 or text


class Packer:
    """Collects arrays; equal ones are kept once.

    Floats keep 15 of their 23 bits behind the point (relative rounding below 2e-5): a report shows four digits, and
    what is left compresses to three quarters.
    """

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._places: dict[tuple[str, bytes], Place] = {}
        self._size = 0

    def add(self, values: np.ndarray) -> Place:
        """An array: floats become f32, booleans u8, other whole numbers i32."""
        if values.dtype.kind == "f":
            return self._add(_round(values.astype(np.float32)).tobytes(), "f32")
        kept = values.astype(np.uint8 if values.dtype.kind == "b" or values.dtype == np.uint8 else np.int32)
        return self._add(kept.tobytes(), FORMS[kept.dtype.name])

    def text(self, lines: list[str]) -> Place:
        """Lines of text (none of which has a line's end in it)."""
        return self._add("\n".join(line.replace("\n", " ") for line in lines).encode(), "text")

    def base64(self) -> str:
        """All of it: gzip, as base64."""
        return base64.b64encode(gzip.compress(b"".join(self._chunks), LEVEL, mtime=0)).decode()

    def _add(self, content: bytes, form: str) -> Place:
        known = self._places.get((form, content))
        if known is not None:
            return known
        place = (self._size, len(content), form)
        padding = b"\0" * (-len(content) % 4)  # typed arrays begin at multiples of 4
        self._chunks.append(content + padding)
        self._size += len(content) + len(padding)
        self._places[form, content] = place
        return place


def _round(values: np.ndarray) -> np.ndarray:
    """float32 with its last 8 bits rounded away."""
    bits = values.view(np.uint32)
    return ((bits + np.uint32(0x80)) & np.uint32(0xFFFFFF00)).view(np.float32)

"""Pictures with planted evidence, made from a seed when they are read: no download, no files."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any, Literal

import numpy as np
from PIL import Image

from camsbench.core.noise import stream_seeds
from camsbench.core.planted import EVIDENCE, GRID, Task, task_of
from camsbench.data.record import Record
from camsbench.data.scene_draws import draw_scene
from camsbench.data.scenes import Scene, shares
from camsbench.errors import CamsbenchError

COARSE, FINE = 40, 24  # how far the noise of a cell and of its eighths goes around the middle grey, in 8 bits
SIDES = (56, 112, 168, 224)


def planted(name: str = "planted", task: str = "patch", count: int = 20, seed: int = 0, side: int = 56) -> list[Record]:
    """Pictures whose evidence is known, for ``model=planted``: labels, truth, distractor and the truth's mask.

    Picture ``i`` is of class ``i`` modulo 3, and follows from the seed, the task and its id alone.

    Args:
        task: ``cells``, ``patch``, ``two_objects``, ``shares``, ``distractor`` or ``background``
            (``camsbench.core.planted``).
        count: number of pictures.
        seed: of everything random in them.
        side: in pixels, 56, 112, 168 or 224: a grid of 7×7 cells.

    Raises:
        CamsbenchError: there is no such task, or a number is none of these.
    """
    chosen = task_of(task)
    if type(count) is not int or count < 1:
        raise CamsbenchError(f"data.count={count}: give a number of pictures from 1 up")
    if type(seed) is not int:
        raise CamsbenchError(f"data.seed={seed}: give a whole number")
    if side not in SIDES:
        raise CamsbenchError(f"data.side={side}: choose {', '.join(map(str, SIDES))}")
    pictures = [PlantedPicture(f"{task}_{i:04d}", chosen, i % len(EVIDENCE), seed, side) for i in range(count)]
    return [
        Record(
            each.image_id,
            each,
            each.label,
            mask=PlantedMask(each),
            truth=PlantedMap(each, "truth"),
            distractor=PlantedMap(each, "distractor"),
        )
        for each in pictures
    ]


@dataclass(frozen=True)
class PlantedPicture:
    """A picture that is made when it is read (see ``planted``)."""

    image_id: str
    task: Task
    label: int
    seed: int
    side: int

    def __str__(self) -> str:
        return f"planted {self.image_id} of seed {self.seed}, {self.side} pixels"

    @property
    def name(self) -> str:
        return f"{self.image_id}.png"

    @cached_property
    def scene(self) -> Scene:
        """What it shows, the same for any side."""
        return draw_scene(self.task, self.label, self._random("scene"))

    def pixels(self, scene: Scene | None = None) -> np.ndarray:
        """The picture, uint8 [side,side,3]; of another scene with the same noise where one is given."""
        return (scene or self.scene).paint(self._texture())

    def open(self, mode: Literal["rb"] = "rb") -> IO[Any]:
        """Its bytes, a PNG."""
        file = io.BytesIO()
        Image.fromarray(self.pixels()).save(file, "PNG")
        file.seek(0)
        return file

    def _texture(self) -> np.ndarray:
        """Grey noise in cells and in their eighths, int [side,side], around the middle."""
        random, found = self._random("texture"), np.full((self.side, self.side), 128)
        for reach, blocks in ((COARSE, GRID), (FINE, 8 * GRID)):
            noise = random.randint(-reach, reach + 1, (blocks, blocks))
            found += np.kron(noise, np.ones((self.side // blocks,) * 2, dtype=noise.dtype))
        return found

    def _random(self, what: str) -> np.random.RandomState:
        return np.random.RandomState(stream_seeds(self.seed, [f"{self.image_id}/{what}"])[0] % 2**32)


@dataclass(frozen=True)
class PlantedMap:
    """The truth of a planted picture, or its distractor, as shares that sum to 1."""

    picture: PlantedPicture
    kind: Literal["truth", "distractor"]

    def pixels(self, width: int, height: int) -> np.ndarray:
        """Float [height,width]; raises ``ValueError`` where the picture is of another size."""
        side = self.picture.side
        if (width, height) != (side, side):
            raise ValueError(f"it is of {side}x{side} pixels, and the picture of {width}x{height}")
        scene = self.picture.scene
        return scene.truth(side) if self.kind == "truth" else shares(scene.distractor, side)


@dataclass(frozen=True)
class PlantedMask:
    """The pixels of a planted picture's evidence."""

    picture: PlantedPicture

    def __str__(self) -> str:
        return f"evidence of {self.picture}"

    def pixels(self, width: int, height: int) -> np.ndarray:
        """Bool [height,width]."""
        return PlantedMap(self.picture, "truth").pixels(width, height) > 0

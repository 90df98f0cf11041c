"""What is there and not used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from camsbench.core.types import About, Forward, Split
from camsbench.errors import CamsbenchError


@dataclass(frozen=True)
class Distractor:
    """A plausible map that is wrong: what a picture shows and the network does not use (Yang and Kim 2019, BAM).

    Of ``data=planted`` that is the unused object, the whole object in place of the part that decides, the object of
    another class, the evidence with its shares exchanged, or what speaks against the class, by the task.

    Returns:
        Raw map [B,H,W]; NaN for an image of which nobody says one.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"distractor"})
    about: ClassVar[About] = About("Distractor", "Yang and Kim", 2019, "control")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        if forward.distractor is None:
            raise CamsbenchError("nobody says what these images show that is not used: use data=planted")
        return forward.distractor.to(forward.x)

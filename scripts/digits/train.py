"""Write pictures and their tables, and train a network for each of three questions.

PYTHONPATH=scripts python -m digits.train --output results/digits

labels.csv, labels.pth: which digits are there (several labels); either.csv, either.pth: a 3 or an 8 (one logit);
sum.csv, sum.pth: their sum (a value).
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from digits.network import MEAN, STD, Network
from digits.pictures import EITHER, Painter, Picture
from digits.transformer import transformer

BATCH = 64
BOX = ("xmin", "ymin", "xmax", "ymax")
ASKED = {"labels": 10, "either": 1, "sum": 1}  # the questions, and the outputs of their networks


NETWORKS: dict[str, Callable[[int], nn.Module]] = {"network": Network, "transformer": transformer}
RATES = {"network": 0.01, "transformer": 0.003}  # of learning, at their highest
LARGEST = {"network": math.inf, "transformer": 1.0}  # length of a step's gradient
CLASSES = {"labels": [str(digit) for digit in range(10)], "either": [f"a {digit}" for digit in EITHER]}


class Heads(nn.Module):
    """One trunk for the three questions: trained together, it takes a third of the time."""

    def __init__(self, network: str) -> None:
        super().__init__()
        self.trunk = NETWORKS[network](sum(ASKED.values()))

    def forward(self, x: Tensor) -> list[Tensor]:
        return list(self.trunk(x).split(list(ASKED.values()), 1))

    def save(self, folder: Path) -> None:
        """A checkpoint a question."""
        state = self.trunk.state_dict()
        parts = {name: state[f"head.{name}"].split(list(ASKED.values())) for name in ("weight", "bias")}
        for place, name in enumerate(ASKED):
            own = {**state, **{f"head.{key}": part[place].clone() for key, part in parts.items()}}
            torch.save({"state_dict": own, "classes": CLASSES.get(name, [])}, folder / f"{name}.pth")


def answers(pictures: Sequence[Picture]) -> list[Tensor]:
    """What the three questions ask of each picture: [B,10] of 0 and 1, [B,1] of 0 and 1, [B,1]."""
    there = torch.zeros(len(pictures), 10)
    for i, picture in enumerate(pictures):
        there[i, [digit.value for digit in picture.digits]] = 1
    return [there, there[:, [EITHER[1]]], (there @ torch.arange(10.0))[:, None]]


def pixels_of(pictures: Sequence[Picture]) -> Tensor:
    """Normalised [B,1,H,W]."""
    return (torch.stack([picture.pixels for picture in pictures])[:, None] - MEAN) / STD


def train(pictures: Sequence[Picture], epochs: int, seed: int, network: str = "network") -> Heads:
    """The networks after so many rounds over the pictures."""
    torch.manual_seed(seed)
    heads = Heads(network)
    x, asked = pixels_of(pictures), answers(pictures)
    steps = epochs * len(list(_batches(len(x))))
    optimizer = torch.optim.AdamW(heads.parameters(), weight_decay=0.01)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATES[network], steps)
    for epoch in range(epochs):
        total, begun = 0.0, time.perf_counter()
        for chosen in _batches(len(x)):
            labels, either, value = heads(x[chosen])
            loss = F.binary_cross_entropy_with_logits(labels, asked[0][chosen]) * 2
            loss = loss + F.binary_cross_entropy_with_logits(either, asked[1][chosen])
            loss = loss + F.smooth_l1_loss(value, asked[2][chosen]) / 4
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(heads.parameters(), LARGEST[network])
            optimizer.step()
            rate.step()
            total += float(loss.detach()) * len(chosen)
        print(
            f"epoch {epoch + 1:>2} of {epochs}: loss {total / len(x):.3f}, {time.perf_counter() - begun:.1f} s",
            flush=True,
        )
    return heads.eval()


@torch.inference_mode()
def judge(heads: Heads, pictures: Sequence[Picture]) -> str:
    """How well the networks answer, in a sentence."""
    labels, either, value = heads(pixels_of(pictures))
    asked = answers(pictures)
    right = ((labels > 0) == asked[0].bool()).float().mean()
    told = ((either > 0) == asked[1].bool()).float().mean()
    off = (value - asked[2]).abs().mean()
    return f"labels {100 * right:.1f} % right, 3 or 8 {100 * told:.1f} % right, sum off by {off:.2f} on average"


def write(pictures: Sequence[Picture], folder: Path) -> None:
    """The pictures, and a table a question."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    tables: dict[str, list[dict[str, object]]] = {name: [] for name in ASKED}
    for number, picture in enumerate(pictures):
        path = f"pictures/{number:04d}.png"
        Image.fromarray((picture.pixels * 255).round().byte().numpy()).save(folder / path)
        made = {"path": path, "texture": picture.texture, "ink": picture.ink}
        for digit in picture.digits:
            place = dict(zip(BOX, digit.box, strict=True))
            tables["labels"].append({**made, "label": digit.value, **place})
            tables["sum"].append({**made, "value": sum(each.value for each in picture.digits), **place})
            if digit.value in EITHER:
                tables["either"].append({**made, "label": EITHER.index(digit.value), **place})
    for name, rows in tables.items():
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def _batches(count: int) -> Iterator[Tensor]:
    yield from torch.randperm(count).split(BATCH)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("results/digits"))
    parser.add_argument("--training", type=int, default=4000, help="pictures to train on (default: %(default)s)")
    parser.add_argument("--measured", type=int, default=100, help="pictures to write (default: %(default)s)")
    parser.add_argument("--network", choices=list(NETWORKS), default="network", help="(default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=24, help="(default: %(default)s)")
    args = parser.parse_args()
    training = Painter(seed=0, training=True)
    heads = train([training.paint() for _ in range(args.training)], args.epochs, seed=0, network=args.network)
    others = Painter(seed=1, training=False)
    measured = [others.paint() for _ in range(args.measured)]
    write(measured, args.output)
    heads.save(args.output)
    print(f"On {len(measured)} pictures of digits that training did not see: {judge(heads, measured)}.")
    print(f"Pictures, tables and networks: {args.output}")


if __name__ == "__main__":
    main()

"""Write the table of methods: category, paper, year, needs, and the passes that each costs, counted on a real network.

python scripts/methods.py [--output results/methods.md]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import timm
import torch

import camsbench
from camsbench.config.compose import compose_config
from camsbench.config.instantiate import check_methods, make_methods
from camsbench.config.paths import CONF
from camsbench.core import scoring
from camsbench.core.noise import stream_seeds
from camsbench.core.passes import count_passes
from camsbench.core.preprocess import Preprocess
from camsbench.core.types import Explainer, Forward
from camsbench.data.embedded import samples
from camsbench.data.loader import read
from camsbench.errors import CamsbenchError
from camsbench.models.split import TorchSplit

SIDE = 96
HEADER = ("method", "title", "category", "paper", "needs", "forward", "head", "backward", "plain", "settings")


def main() -> None:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, default=Path("results/methods.md"))
    args = parser.parse_args()
    whole = camsbench.load_model()
    small = replace(whole.preprocess, resize=SIDE, crop=SIDE)  # fewer pixels, the same passes
    split = camsbench.cut(whole.model, whole.layer, small, name=whole.name)
    picture = read(samples()[0], split.preprocess).pixels
    assert picture is not None
    x = split.preprocess.normalise(picture[None].to(split.device))
    seeds, whole_image = stream_seeds(0, ["imagenet_00_243"]), (0.0, 0.0, float(SIDE), float(SIDE))
    known = replace(scoring.forward(split, x, None, seeds), boxes=((whole_image,),), distractor=x[:, 0])  # of controls
    forward, tokens = known, transformer(small)
    other = scoring.forward(tokens, x, None, seeds)
    names = [path.stem for path in sorted((CONF / "method").glob("*.yaml")) if is_method(path)]
    lines = [line(name, *((tokens, other) if refuses(name, split) else (split, forward))) for name in names]
    table = render([HEADER, *lines])
    channels, height, width = forward.A.shape[1:]
    note = (
        f"Passes an image of {SIDE}×{SIDE} pixels on {split.name} at {split.layer} ({channels} channels of "
        f"{height}×{width}, {split.num_classes} classes), beside the one base pass; `head` counts passes of the head "
        "alone. Exact short cuts spare what is between these and `plain`, the plain loop's (F forward, B backward): "
        "constant channels, identical masked images, closed forms of this head. Methods for transformers are counted "
        f"on a ViT-Ti/16 of that size at {tokens.layer}. Written by `make methods`."
    )
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(f"# Methods\n\n{note}\n\n{table}\n")
    print(table)


def transformer(preprocess: Preprocess) -> TorchSplit:
    """A ViT-Ti/16 with random weights, for methods that no convolutional network is for."""
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", img_size=SIDE).eval().requires_grad_(False)
    return camsbench.cut(model, None, preprocess, name="vit_tiny_patch16")


def refuses(name: str, split: TorchSplit) -> bool:
    """Whether a method says that it is not for a network."""
    try:
        check_methods(make_methods(compose_config([f"method={name}"])), [split])
    except CamsbenchError:
        return True
    return False


def is_method(path: Path) -> bool:
    """Whether a YAML describes one method and no group of them."""
    return "defaults:" not in path.read_text()


def line(name: str, split: TorchSplit, forward: Forward) -> tuple[str, ...]:
    """One line of the table."""
    try:
        method = make_methods(compose_config([f"method={name}"]))[name]
    except CamsbenchError as error:
        return (name, *("–",) * (len(HEADER) - 2), str(error))
    about = getattr(method, "about", None)
    head = (name, about.title, about.category, f"{about.authors} {about.year}") if about else (name, "–", "–", "–")
    return (*head, ", ".join(sorted(method.needs)) or "none", *cost(method, split, forward), settings(method))


def cost(method: Explainer, split: TorchSplit, forward: Forward) -> tuple[str, str, str, str]:
    """Forward, head-only and backward passes of one image, and all of them without the exact short cuts."""
    with count_passes(split) as passes, torch.inference_mode(mode=False):
        method(split, forward)
    with count_passes(split) as plain, torch.inference_mode(mode=False):
        method(split.plain, forward)
    kinds = {"F": plain.forward, "head": plain.head_only, "B": plain.backward}
    said = " + ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    return str(passes.forward), str(passes.head_only), str(passes.backward), said or "0"


def settings(method: Explainer) -> str:
    """The options of a method as they stand in its YAML."""
    return ", ".join(f"{key}={value}" for key, value in vars(method).items()) or "–"


def render(lines: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    first, *rest = ("| " + " | ".join(cells) + " |" for cells in lines)
    return "\n".join([first, "|" + "---|" * len(lines[0]), *rest])


if __name__ == "__main__":
    main()

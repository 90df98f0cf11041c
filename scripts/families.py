"""Every family of networks on tokens by every method for them, with all default metrics, to results/families.md."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import timm
import torch
from methods import render

import camsbench
from camsbench.config.compose import compose_config
from camsbench.config.families import FAMILIES, NONE
from camsbench.config.instantiate import make_metrics
from camsbench.data.embedded import samples
from camsbench.data.loader import read
from camsbench.errors import CamsbenchError
from camsbench.models.split import TorchSplit

METHODS = (
    *("gradcam", "reciprocam", "vit_reciprocam", "vit_reciprocam_gaussian", "attention_rollout"),
    *("transformer_attribution", "attention_guided_cam", "legrad", "attnlrp"),
)


def main(given: list[str] | None = None) -> int:
    """Run them, print the table and write it; 1 where a network is not cut as the list of families says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", nargs="*", help="some of them, by their networks' names")
    parser.add_argument("--output", type=Path, default=Path("results/families.md"))
    args = parser.parse_args(given)
    chosen = [each for each in FAMILIES if not args.families or each[1] in args.families]
    lines, wrong, reasons = [], 0, dict[str, int]()
    for family, name, layer, _ in chosen:
        start = time.perf_counter()
        split = load(name)
        wrong += split.layer != layer
        x = picture(split)
        cells = [cell(method, split, x, reasons) for method in METHODS]
        shape = "×".join(map(str, split.features(x).shape[1:]))
        lines.append((family, name, split.layer, shape, *cells, metrics(split, x, reasons)))
        print(*lines[-1], f"{time.perf_counter() - start:.0f} s", flush=True)
    table = render([("family", "network", "layer", "K×h×w", *METHODS, "default metrics"), *lines])
    notes = "\n".join(f"{number}. {reason}" for reason, number in reasons.items())
    refused = "\n".join(f"- {family} ({name}): {why}." for family, name, why in NONE)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(
        "# Families of networks on tokens\n\n"
        "One image, random weights, no option but the network's name (and ten classes for DINO, SigLIP and EVA, whose "
        "published weights have no classifier); `✓` a finite map (or a number for each of the "
        "default metrics, in 14 steps, of Grad-CAM's map), a number the sentence below that refuses it before any "
        "work. Why each is cut where it is: `python -m camsbench.ls models`. Written by `make families`.\n\n"
        f"{table}\n\n{notes}\n\nNot cut:\n\n{refused}\n"
    )
    return int(wrong > 0)


def load(name: str) -> TorchSplit:
    """A family's network with random weights; where its published ones have no classifier, with one of ten classes."""
    if "/" in name:
        return camsbench.load_model(name, weights="random", device="cpu")
    features = timm.get_pretrained_cfg(name).num_classes == 0
    options = {"num_classes": 10} if features else None
    return camsbench.load_model(f"timm/{name}", weights="random", device="cpu", options=options)


def picture(split: TorchSplit) -> torch.Tensor:
    """A normalised image [1,3,H,W] as the network expects it."""
    pixels = read(samples()[0], split.preprocess).pixels
    assert pixels is not None
    return split.preprocess.normalise(pixels[None])


def cell(method: str, split: TorchSplit, x: torch.Tensor, reasons: dict[str, int]) -> str:
    """``✓``, or the number of the sentence that refuses the method."""
    try:
        saliency = camsbench.explain(method, split, x)
    except CamsbenchError as error:
        said = str(error).replace(split.name, "the network").replace(f" at layer '{split.layer}'", "")
        return number(said.removeprefix(f"method={method}: "), reasons)
    return "✓" if saliency.isfinite().all() else "not finite"


def metrics(split: TorchSplit, x: torch.Tensor, reasons: dict[str, int]) -> str:
    """``✓`` where every default metric gives a number."""
    chosen = make_metrics(compose_config(["protocol.insertion.steps=14", "protocol.deletion.steps=14"]))
    try:
        row = camsbench.evaluate("gradcam", split, x, metrics=list(chosen.values()))
    except CamsbenchError as error:
        return number(str(error), reasons)
    empty = [name for name in row.columns if row[name].isna().any()]
    return "✓" if not empty else f"no {', '.join(empty)}"


def number(reason: str, reasons: dict[str, int]) -> str:
    """The reason's number, a new one where it is new."""
    return str(reasons.setdefault(reason, len(reasons) + 1))


if __name__ == "__main__":
    sys.exit(main())

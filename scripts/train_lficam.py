"""Train an LFI-CAM network (Lee et al. 2021) around a torchvision or timm backbone, on a folder of images.

    python scripts/train_lficam.py --data DIR --arch resnet18 --out lficam.pth

and in Python, for the trained network itself,

    network, recipe, split = camsbench.models.lficam.restore(Path("lficam.pth"), device)
    camsbench.evaluate(camsbench.methods.lficam.LFICAM("lficam.pth"), split, x)

With ImageNet's 1000 classes the backbone also fits the command line (its rows score it without the attention):

    python -m camsbench model=resnet18 model.weights=BACKBONE_OUT method=lficam method.lficam.checkpoint=lficam.pth

DIR holds one folder of images a class, or train/ and val/ with such folders. The defaults are the authors' (SGD 0.1,
momentum 0.9, weight decay 1e-4, a tenth of the rate at half and at three quarters of the epochs).
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from camsbench.core.preprocess import Preprocess
from camsbench.errors import CamsbenchError
from camsbench.models.backends import choose_device
from camsbench.models.lficam import LFINetwork, Recipe, build, save, train_epoch
from camsbench.models.weights import ModelSpec, state_dict


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of images, a folder a class")
    parser.add_argument("--out", type=Path, required=True, help="the checkpoint to write, after every epoch")
    parser.add_argument("--backbone-out", type=Path, help="also write the backbone's own weights, for model.weights=")
    parser.add_argument("--arch", default="resnet18", help="the backbone's name (default: %(default)s)")
    parser.add_argument("--source", default="torchvision", choices=("torchvision", "timm"), help="its library")
    parser.add_argument("--layer", default="layer4", help="target layer (default: %(default)s)")
    parser.add_argument("--weights", default="random", help="of the backbone: random, a published name, or a path")
    parser.add_argument("--freeze", action="store_true", help="train the feature importance network alone")
    parser.add_argument("--epochs", type=int, default=90)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--lr", type=float, default=0.1, help="SGD's learning rate (default: %(default)s)")
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--weight-decay", type=float, default=1e-4)
    parser.add_argument(
        "--size", type=int, default=224, help="side of the training crop, pixels (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and crops (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1")
    parser.add_argument("--workers", type=int, default=4, help="processes that read images (default: %(default)s)")
    return parser.parse_args(given)


def folders(data: Path, preprocess: Preprocess, size: int) -> tuple[ImageFolder, ImageFolder | None]:
    """Training images, cropped and mirrored at random, and validation images as a run of camsbench sees them."""
    normalise = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(preprocess.mean, preprocess.std)]
    random_crop = [v2.RGB(), v2.RandomResizedCrop(size), v2.RandomHorizontalFlip(), v2.PILToTensor(), *normalise]
    centre = [preprocess.pixels, *normalise]
    train = data / "train" if (data / "train").is_dir() else data
    try:
        seen = ImageFolder(train, v2.Compose(random_crop))
        held_out = ImageFolder(data / "val", v2.Compose(centre)) if (data / "val").is_dir() else None
    except FileNotFoundError as error:
        raise CamsbenchError(f"--data {data}: {error}; give a folder that holds a folder of images a class") from error
    if held_out is not None and held_out.classes != seen.classes:
        raise CamsbenchError(f"--data {data}: train/ and val/ hold other classes; give both the same folders")
    return seen, held_out


def fill_backbone(split_model: torch.nn.Module, arguments: argparse.Namespace) -> None:
    """Published or saved weights, less the tensors that another number of classes makes another shape."""
    own = split_model.state_dict()
    state = state_dict(ModelSpec(arguments.arch, arguments.source, arguments.weights))
    fitting = {key: value for key, value in state.items() if key in own and value.shape == own[key].shape}
    if not fitting:
        raise CamsbenchError(f"--weights {arguments.weights}: nothing in it fits {arguments.arch}; give its weights")
    split_model.load_state_dict(fitting, strict=False)
    new = sorted(set(own) - set(fitting))
    print(f"weights: {len(fitting)} tensors loaded" + (f", new: {', '.join(new[:4])}" if new else ""))


def on(device: torch.device, loader: DataLoader[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    for x, label in loader:
        yield x.to(device, non_blocking=True), label.to(device, non_blocking=True)


@torch.no_grad()
def accuracy(network: LFINetwork, batches: Iterator[tuple[Tensor, Tensor]]) -> float:
    hits = [(network(x).argmax(1) == label).float() for x, label in batches]
    return float(torch.cat(hits).mean())


def main(given: list[str] | None = None) -> None:
    args = arguments(given)
    random.seed(args.seed)
    torch.manual_seed(args.seed)
    device = choose_device(args.device)
    side = args.size
    transform = {
        "resize": round(side * 256 / 224),
        "crop": side,
        "interpolation": "bilinear",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    seen, held_out = folders(args.data, Preprocess(**transform), side)
    recipe = Recipe(args.arch, args.source, args.layer, len(seen.classes), transform)
    network, split = build(recipe, device, args.seed)
    if args.weights != "random":
        fill_backbone(split.model, args)
    trained = network.importance if args.freeze else network
    network.requires_grad_(False)
    trained.requires_grad_(True)
    optimiser = torch.optim.SGD(
        trained.parameters(), lr=args.lr, momentum=args.momentum, weight_decay=args.weight_decay
    )
    milestones = [args.epochs // 2, args.epochs * 3 // 4]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, milestones, gamma=0.1)
    options = {"batch_size": args.batch_size, "num_workers": args.workers, "pin_memory": device.type == "cuda"}
    order = torch.Generator().manual_seed(args.seed)
    train = DataLoader(seen, shuffle=True, drop_last=len(seen) > args.batch_size, generator=order, **options)
    val = DataLoader(held_out, **options) if held_out is not None else None
    for epoch in range(1, args.epochs + 1):
        loss, top1 = train_epoch(network, on(device, train), optimiser, frozen=args.freeze)
        schedule.step()
        line = f"epoch {epoch}/{args.epochs} loss {loss:.4f} top-1 {100 * top1:.1f} %"
        if val is not None:
            line += f" validation top-1 {100 * accuracy(network, on(device, val)):.1f} %"
        print(line, flush=True)
        save(args.out, network, recipe)
        if args.backbone_out:
            torch.save(split.model.state_dict(), args.backbone_out)


if __name__ == "__main__":
    try:
        main()
    except CamsbenchError as error:
        print(error, file=sys.stderr)
        sys.exit(1)

"""Say what images lie somewhere, in which layout, and whether their labels are in order.

python -m camsbench.check /data/imagenet/val
python -m camsbench.check /data/ILSVRC2012_img_val.tar --labels /data/ILSVRC2012_devkit_t12.tar.gz --model resnet50
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

from camsbench.config.build import cut_networks, runtime_of
from camsbench.config.job import published_top1
from camsbench.config.suggest import compose_or_suggest
from camsbench.data import imagenet
from camsbench.data.checks import agreement, check_imagenet, check_labels
from camsbench.data.classes import Classes
from camsbench.data.found import FoundImages
from camsbench.data.layouts import LAYOUTS
from camsbench.errors import CamsbenchError

ROWS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was found; 1 where it cannot be used, with one sentence."""
    parser = argparse.ArgumentParser(
        prog="python -m camsbench.check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", help="a folder, a .tar, or a URL, as data.root")
    parser.add_argument("--layout", default="auto", help=f"auto, or one of {', '.join(LAYOUTS)}")
    parser.add_argument("--labels", help="the file of the labels, where they do not lie beside the images")
    parser.add_argument("--model", default="efficientnet_lite0", help="the network that judges (default: %(default)s)")
    parser.add_argument("--weights", help="its weights, as model.weights")
    parser.add_argument("--images", type=int, default=200, help="how many it judges; 0: none (default: %(default)s)")
    args = parser.parse_args(arguments)
    try:
        found = imagenet.find(args.path, args.layout, args.labels)
        print(describe(found), flush=True)
        if args.images < 1:
            return 0
        given = [f"model={args.model}", *([f"model.weights='{args.weights}'"] if args.weights else [])]
        cfg = compose_or_suggest(given)
        split = cut_networks(cfg, runtime_of(cfg))[0]
        check_imagenet(f"{imagenet.__name__}.ilsvrc2012", split.num_classes, split.name)
        check_labels(found.records, split.num_classes, split.name)
        judged = agreement(split, found.records, args.images, published_top1(cfg))
    except CamsbenchError as error:
        print(f"camsbench.check: {error}", file=sys.stderr)
        return 1
    print(f"{split.name}: {judged.sentence()}")
    return 1 if judged.wrong else 0


def describe(found: FoundImages) -> str:
    """Layout, counts and the first rows."""
    classes = Counter(record.label for record in found.records)
    least, most = min(classes.values()), max(classes.values())
    each = f"{least} a class" if least == most else f"{least} to {most} a class"
    boxes = sum(len(record.boxes) for record in found.records)
    lines = [
        f"layout: {found.layout}, labels from {found.labels}",
        f"where: {found.where}",
        f"images: {len(found.records):,} of {len(classes):,} classes, {each}"
        + (f", {boxes:,} boxes with the labels" if boxes else ""),
        *(ignored.sentence() for ignored in found.left_out),
        *(f"  {one.image_id}  {one.label:>3}  {Classes().name(one.label)}" for one in found.records[:ROWS]),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

"""Write a network's two parts, features and head, as ONNX or OpenVINO files for a program that deploys them.

python scripts/export.py MODEL [--weights W] [--layer LAYER] [--format onnx|openvino] --output DIR
"""

from __future__ import annotations

import argparse
import shutil
import sys
from math import prod
from pathlib import Path

import camsbench
from camsbench import CamsbenchError
from camsbench.models import backends
from camsbench.models.backends.export import Export, noise
from camsbench.models.split import TorchSplit

BACKENDS = {"onnx": "onnxruntime", "openvino": "openvino"}


def main(given: list[str] | None = None) -> int:
    """Export, and print what was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a file of conf/model, timm/NAME or torchvision/NAME")
    parser.add_argument("--weights", help="a published name, a path, or random; without it, the model's own")
    parser.add_argument("--layer", help="target layer; without it, the model's own")
    parser.add_argument("--format", choices=list(BACKENDS), default="onnx")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args(given)
    try:
        backend = BACKENDS[args.format]
        backends.choose_place(backend, "cpu")
        split = camsbench.load_model(args.model, args.weights, args.layer, device="cpu")
        backends.move_to(backend, [split])  # which compares them with PyTorch
        export = Export.of(split)
        args.output.mkdir(parents=True, exist_ok=True)
        files = [write(source, args.output, args.format) for source in (export.features(), export.head())]
    except (CamsbenchError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(note(split, files))
    return 0


def write(source: Path, folder: Path, form: str) -> Path:
    """One part in the folder, float32."""
    path = folder / source.name
    if form == "onnx":
        return Path(shutil.copyfile(source, path))
    import openvino

    path = path.with_suffix(".xml")
    openvino.save_model(openvino.Core().read_model(source), path, compress_to_fp16=False)
    return path


def note(split: TorchSplit, files: list[Path]) -> str:
    """What the files take and give."""
    pre = split.preprocess
    parts = [list(part.shape[1:]) for part in split.parts(noise(1, pre))]
    channels, height, width = parts[0]
    image, A = f"[batch,{','.join(map(str, pre.shape))}]", f"[batch,{channels},{height},{width}]"
    if len(parts) > 1:
        A = f"[batch,{sum(map(prod, parts))}], a row of {A[7:-1]} and then of what passes beside, {parts[1:]}"
    return (
        f"{split.name} cut at layer '{split.layer}', weights {split.weight_hash}, float32, any batch size:\n"
        f"  {files[0]}: images x {image} -> activations y {A}\n"
        f"  {files[1]}: activations x {A} -> logits y [batch,{split.num_classes}]\n"
        f"Images: resize {pre.resize} ({pre.interpolation}), centre crop {pre.crop}, pixels in [0,1], RGB,\n"
        f"  minus mean {list(pre.mean)}, divided by std {list(pre.std)}.\n"
        f"ReciproCAM: the head's logits of {height * width} copies of y, each with one cell kept; softmax, min-max.\n"
        "Both were compared with PyTorch: largest difference below 1e-4 of the largest value."
    )


if __name__ == "__main__":
    sys.exit(main())

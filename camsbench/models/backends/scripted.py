"""A network of TorchScript, written as ONNX: torch.fx cannot trace it, so that it runs without gradients."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from camsbench.core.preprocess import Preprocess
from camsbench.errors import CamsbenchError
from camsbench.models.backends.export import noise

ANY = {0: "batch"}


def as_onnx(scripted: Path, preprocess: Preprocess, what: str, path: Path) -> None:
    """Write the network of the file ``scripted`` to ``path``.

    Raises:
        CamsbenchError: it cannot be read, is in training mode, or PyTorch cannot write it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of TorchScript and its exporter, that there are newer ones
            model = torch.jit.load(str(scripted), map_location="cpu")
            if model.training:
                raise CamsbenchError(f"{what} is in training mode: save it again after model.eval()")
            torch.onnx.export(
                model,
                (noise(2, preprocess),),
                str(path),
                dynamo=False,
                input_names=["x"],
                output_names=["y"],
                dynamic_axes={"x": ANY, "y": ANY},
            )
    except CamsbenchError:
        raise
    except Exception as error:  # TorchScript and the exporter raise many kinds
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        raise CamsbenchError(
            f"{what} is of TorchScript, which this PyTorch cannot write as ONNX ({said}): save it with "
            "torch.export.save, or as ONNX for model=onnx"
        ) from error

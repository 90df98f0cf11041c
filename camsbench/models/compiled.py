"""How perturbed copies are passed: in another precision, and compiled for one shape.

Copies are nearly all of a run's passes; the few others, those of the images themselves and of the masked images, stay
in fp32, and so do activations and gradients: of a map that needs no copies only the curves move. The copies' scores
are float32 behind the network. Weights and BatchNorm's statistics stay float32 too (autocast), so that a weight that
changes needs no second copy; each micro-batch pays a cast of them.

What bf16 changes (5 images, EfficientNet-Lite0, 56 steps; the largest difference of an image, and that of the means):
insertion 0.019 and 0.003, deletion 0.008 and 0.002, and for Group-CAM, whose map is made of copies, drop 0.011 and
0.001, coherency 0.006 and 0.002, ADCC 0.010 and 0.002. Grad-CAM's and ReciproCAM's other metrics do not move.
OpenVINO keeps what lies between the layers in bf16, too: probabilities of 16 images move by 0.06 at most, where
autocast moves them by 0.02.
"""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from camsbench.errors import CamsbenchError

Part = Callable[..., Tensor | tuple[Tensor, ...]]
OFF = 0.1  # of the largest number: as far as a compiled part may be from itself, in any precision


class OneShape(nn.Module):
    """A part of a network that only ever sees batches of ``size``: shorter ones are filled up with zeros.

    So one shape is compiled, and recorded as one CUDA graph. What the filling gives is dropped. The first batch is
    passed as it is, too: code that PyTorch's cache holds from another processor has given other numbers.

    Args:
        run: the compiled part.
        plain: the same, as it is.
    """

    def __init__(self, run: Part, plain: Part) -> None:
        super().__init__()
        self.run = run
        self.plain = plain
        self.size = 1
        self.checked = False

    def forward(self, *given: Tensor) -> Tensor | tuple[Tensor, ...]:
        count = len(given[0])
        filled = [self._filled(x) for x in given]
        out = self.run(*filled)
        if not self.checked:
            refuse_other_numbers(out, self.plain(*filled))
            self.checked = True
        if isinstance(out, Tensor):
            return out[:count].clone()  # a CUDA graph writes its next result to the same place
        return tuple(part[:count].clone() for part in out)

    def _filled(self, x: Tensor) -> Tensor:
        count = len(x)
        if count == self.size:
            return x
        filled = torch.empty_like(x[:1].expand(self.size, *[-1] * (x.ndim - 1)), memory_format=layout(x))
        filled[:count], filled[count:] = x, 0
        return filled


def refuse_other_numbers(out: Tensor | tuple[Tensor, ...], plain: Tensor | tuple[Tensor, ...]) -> None:
    """Refuse compiled code whose result is not the network's.

    Raises:
        CamsbenchError: it is not.
    """
    for one, other in zip(*([each] if isinstance(each, Tensor) else each for each in (out, plain)), strict=True):
        mine, own = (each.float().nan_to_num() for each in (one, other))
        off, most = float((mine - own).abs().max()), float(own.abs().max())
        if not off <= OFF * most:
            raise CamsbenchError(
                f"runtime.compile=true: compiled, the network gives other numbers (by {off:.2g} where the largest is "
                f"{most:.2g}); PyTorch's cache may be another processor's: name an empty folder as "
                "TORCHINDUCTOR_CACHE_DIR, or leave runtime.compile out"
            )


def layout(x: Tensor) -> torch.memory_format:
    """The memory layout of images, of activations [B,K,h,w] and of what passes beside them."""
    return (
        torch.channels_last
        if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
        else torch.contiguous_format
    )


_known: WeakKeyDictionary[nn.Module, OneShape] = WeakKeyDictionary()


def compile_part(part: nn.Module, size: int) -> OneShape:
    """``part`` compiled for batches of ``size`` images; as CUDA graphs on CUDA. Made once a part."""
    if part not in _known:
        on_cuda = any(p.is_cuda for p in part.parameters())
        mode = "reduce-overhead" if on_cuda else "default"
        _known[part] = OneShape(torch.compile(part.forward, dynamic=False, mode=mode), part.forward)
    _known[part].size = size
    return _known[part]

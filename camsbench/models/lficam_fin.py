"""LFI-CAM's Feature Importance Network, in each form that its authors' code has had since March 2021."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from camsbench.errors import CamsbenchError, check_choices

RELUS = ("all", "pairs")  # behind each BatchNorm; behind the second and the fourth
PLACES: dict[tuple[int, ...], str] = {  # where the convolutions stand in a list of layers: where the ReLUs do
    (0, 3, 6, 9): "all",
    (0, 2, 5, 7): "pairs",
}
UNCOUNTED = "num_batches_tracked"  # PyTorch 0.4.0, which the authors used, has no such tensor


@dataclass(frozen=True)
class Form:
    """A form of the network: four 3×3 convolutions of K, ``middle``, K and K channels, and where its ReLUs stand.

    The authors' code (TrustworthyAI-kr/LFI-CAM): all networks at its head have K, K, K, K, the ImageNet one with a ReLU
    behind each BatchNorm (since 5 June 2021), those of CIFAR with two; nine commits of March 2021 have K, K/2, K, K and
    two ReLUs. No checkpoint was published.
    """

    channels: int  # K
    middle: int
    relus: str = "all"

    def __post_init__(self) -> None:
        check_choices(self, relus=RELUS)

    @classmethod
    def of(cls, state: Mapping[str, Tensor], relus: str | None = None) -> Form:
        """The form of a state dict, of ours or of the authors' (``attention.N.…``, ``att_convN.…``).

        Widths are read off the convolutions. Where the ReLUs stand shows in the numbers of a list's layers, since a
        ReLU takes one. The authors' ImageNet network names its layers instead: K/2 there comes with two ReLUs only; of
        K, K, K, K there are both forms, whose tensors are alike, so that ``relus`` must say which.

        Raises:
            CamsbenchError: these are not four 3×3 convolutions of such widths, or ``relus`` is needed or contradicted.
        """
        kernels = {name: value.shape for name, value in state.items() if value.ndim == 4}
        shapes = list(kernels.values())
        if not shapes:
            raise CamsbenchError("the Feature Importance Network has no convolution")
        channels, middle = shapes[0][1], shapes[min(1, len(shapes) - 1)][0]
        expected = [(channels, channels), (middle, channels), (channels, middle), (channels, channels)]
        if [tuple(s) for s in shapes] != [(*e, 3, 3) for e in expected] or middle not in (channels, channels // 2):
            found = ", ".join("×".join(map(str, s)) for s in shapes)
            raise CamsbenchError(
                f"the Feature Importance Network has convolutions of {found}: four of 3×3 with K, K or K/2, K and K "
                "channels can be loaded"
            )
        numbers = [re.search(r"(?:^|\.)(\d+)\.weight$", name) for name in kernels]
        places = tuple(int(number[1]) for number in numbers if number)
        seen = PLACES.get(places) if places else "pairs" if middle != channels else None
        if places and seen is None:
            raise CamsbenchError(
                f"the Feature Importance Network's convolutions stand at {places}: its form is unknown"
            )
        if seen and relus not in (None, seen):
            raise CamsbenchError(f"relus={relus}: the Feature Importance Network's layers say {seen}")
        if not (seen or relus):
            raise CamsbenchError(
                "the authors' ImageNet network of K, K, K, K channels has a ReLU behind each BatchNorm since June 2021 "
                "and behind the second and fourth before, and its tensors do not tell: give recipe.relus: all or pairs"
            )
        return cls(channels, middle, seen or str(relus))


class FeatureImportance(nn.Module):
    """The Feature Importance Network: weights [B,K], positive and of sum 1, of features [B,K,h,w].

    Four 3×3 convolutions, an average pool and a softmax. New networks have the form of the authors' ImageNet network.
    """

    def __init__(self, channels: int, form: Form | None = None) -> None:
        super().__init__()
        self.form = form or Form(channels, channels)
        widths = [channels, channels, self.form.middle, channels, channels]
        layers: list[nn.Module] = []
        for i in range(4):
            layers += [nn.Conv2d(widths[i], widths[i + 1], 3, padding=1, bias=False), nn.BatchNorm2d(widths[i + 1])]
            layers += [nn.ReLU()] if i % 2 or self.form.relus == "all" else []
        self.layers = nn.Sequential(*layers)

    @classmethod
    def of(cls, state: Mapping[str, Tensor], relus: str | None = None) -> FeatureImportance:
        """The network of a state dict in any form that ``Form.of`` knows, in evaluation mode.

        Raises:
            CamsbenchError: as ``Form.of``, or BatchNorms are missing.
        """
        form = Form.of(state, relus)
        network = cls(form.channels, form)
        own = network.state_dict()
        names = [name for name in own if not name.endswith(UNCOUNTED)]
        values = [value for name, value in state.items() if not name.endswith(UNCOUNTED)]
        if [v.shape for v in values] != [own[name].shape for name in names]:
            raise CamsbenchError(
                "behind each convolution of the Feature Importance Network must stand the weight, bias, mean and "
                "variance of its BatchNorm"
            )
        network.load_state_dict({**own, **dict(zip(names, values, strict=True))})
        return network.eval()

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features).mean((2, 3)).softmax(1)

"""The LFI-CAM network: a classifier whose Feature Importance Network weighs the channels of its target layer.

Lee et al. 2021 (LFI-CAM). The map is not computed about the network afterwards: it is part of its forward pass, and is
learnt with it. ``scripts/train_lficam.py`` trains one; ``camsbench.methods.lficam`` reads its map.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from camsbench.core.preprocess import Preprocess
from camsbench.core.saliency import normalise
from camsbench.errors import CamsbenchError
from camsbench.models.lficam_fin import FeatureImportance
from camsbench.models.split import TorchSplit, cut

FIN = "importance."  # before the names of its tensors
HOW_TO_TRAIN = (
    "python scripts/train_lficam.py --data DIR --arch resnet18 --out FILE trains one on a folder of images "
    "(--help lists its options)"
)


class LFINetwork(nn.Module):
    """A classifier cut at a layer, with attention in between: logits = head((1 + M) ⊙ A), M = N(ReLU(Σ_k w_k A_k)).

    The importance w = FIN(N(A_k) ⊙ grey(x)), with the image's mean over its channels at the size of A and N the min-max
    of a map. The authors' code exists in versions that part: here, as in one of them, M is min-maxed for each image
    and gradients flow through it; others min-max over the whole batch and detach M, so that the FIN learns nothing.
    A constant channel becomes 0 here; there it becomes 1 where it is not 0.

    Args:
        features: images [B,3,H,W] to activations A [B,K,h,w].
        head: activations to logits [B,C].
        channels: K.
    """

    def __init__(self, features: nn.Module, head: nn.Module, channels: int) -> None:
        super().__init__()
        self.features, self.head = features, head
        self.importance = FeatureImportance(channels)

    def saliency(self, x: Tensor, A: Tensor) -> Tensor:
        """The raw map ReLU(Σ_k w_k A_k) [B,h,w] of normalised images ``x`` and their activations ``A``."""
        grey = F.interpolate(x.mean(1, keepdim=True), A.shape[2:], mode="bilinear", align_corners=False)
        weight = self.importance(normalise(A)[0] * grey)
        return (weight[:, :, None, None] * A).sum(1).relu()

    def attended(self, x: Tensor) -> Tensor:
        """Activations after attention, (1 + M) ⊙ A [B,K,h,w]."""
        A = self.features(x)
        return (1 + normalise(self.saliency(x, A)[:, None])[0]) * A

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attended(x))


@dataclass(frozen=True)
class Recipe:
    """What a checkpoint says of its network, enough to build it again."""

    name: str  # the backbone, as its library calls it
    source: str  # torchvision or timm
    layer: str
    num_classes: int
    transform: dict[str, Any]  # the fields of Preprocess
    relus: str | None = None  # of the FIN, where its tensors do not tell (``lficam_fin.Form.of``)


def around(split: TorchSplit) -> LFINetwork:
    """An LFI-CAM network around the backbone of ``split``, sharing its parameters, with a new FIN.

    The split's graphs were traced in evaluation mode: dropout and batch norm follow ``train()``, but the few
    operations that read the mode while traced (stochastic depth) stay off.
    """
    if split.layout is not None and split.layout.kind != "map":
        raise CamsbenchError(f"{split.name} at layer '{split.layer}': LFI-CAM is for convolutional networks")
    device = next(split.model.parameters()).device
    with torch.no_grad():
        channels = split.features(torch.zeros(1, *split.preprocess.shape, device=device)).shape[1]
    return LFINetwork(split.features_graph, split.head_graph, channels).to(device)


def build(recipe: Recipe, device: torch.device, seed: int = 0) -> tuple[LFINetwork, TorchSplit]:
    """The network of a recipe with random weights, and the split of its backbone, whose parameters it shares.

    Raises:
        CamsbenchError: no such backbone or layer.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            if recipe.source == "timm":
                model = timm.create_model(recipe.name, pretrained=False, num_classes=recipe.num_classes)
            else:
                model = torchvision.models.get_model(recipe.name, weights=None, num_classes=recipe.num_classes)
        except (ValueError, RuntimeError) as error:  # the libraries' sentences name the network
            raise CamsbenchError(f"no backbone '{recipe.name}' in {recipe.source}: {error}") from error
        split = cut(model.eval().to(device), recipe.layer, Preprocess(**recipe.transform), name=recipe.name)
        return around(split), split


def save(path: Path, network: LFINetwork, recipe: Recipe) -> None:
    """Write a checkpoint that ``restore`` and ``method.lficam.checkpoint`` read."""
    torch.save({"recipe": asdict(recipe), "state_dict": network.state_dict()}, path)


def restore(path: Path, device: torch.device) -> tuple[LFINetwork, Recipe, TorchSplit]:
    """A trained network in evaluation mode, its recipe, and the split at its attended activations (1 + M) ⊙ A.

    The split is the LFI-CAM network itself, so that any method explains it and any metric scores it. The Feature
    Importance Network may be of any form, and under the authors' names (``camsbench.models.lficam_fin.Form.of``).

    Raises:
        CamsbenchError: the file is not there, is no checkpoint of ``save``, or its FIN's form is unknown.
    """
    if not path.is_file():
        raise CamsbenchError(f"method.lficam.checkpoint={path}: there is no such file; {HOW_TO_TRAIN}")
    return _restore(path.resolve(), device, path.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _restore(path: Path, device: torch.device, written: int) -> tuple[LFINetwork, Recipe, TorchSplit]:
    try:
        saved = torch.load(path, map_location=device, weights_only=True)
        recipe = Recipe(**saved["recipe"])
        network, backbone = build(recipe, device)
        rest = dict(saved["state_dict"])
        fin = {name.removeprefix(FIN): rest.pop(name) for name in list(rest) if name.startswith(FIN)}
        network.importance = FeatureImportance.of(fin, recipe.relus).to(device)
        network.load_state_dict(rest | {FIN + name: value for name, value in network.importance.state_dict().items()})
    except CamsbenchError as error:
        raise CamsbenchError(f"method.lficam.checkpoint={path}: {error}") from error
    except Exception as error:  # unpickling and loading raise many kinds
        raise CamsbenchError(
            f"method.lficam.checkpoint={path} is no LFI-CAM checkpoint ({type(error).__name__}); {HOW_TO_TRAIN}"
        ) from error
    network.requires_grad_(False).eval()
    return network, recipe, replace(backbone, model=network, features_graph=_Attended(network))


class _Attended(nn.Module):
    """The part of an LFI-CAM network before its head."""

    def __init__(self, network: LFINetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network.attended(x)


def train_epoch(
    network: LFINetwork,
    batches: Iterable[tuple[Tensor, Tensor]],
    optimiser: torch.optim.Optimizer,
    *,
    frozen: bool = False,
) -> tuple[float, float]:
    """One pass over batches of (images, labels) on the network's device: mean cross entropy, and accuracy.

    ``frozen`` leaves the backbone's batch norms in evaluation mode, as for a backbone that is not trained.
    """
    loss_sum = hits = count = 0.0
    (network.importance if frozen else network).train()
    for x, label in batches:
        logits = network(x)
        loss = F.cross_entropy(logits, label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss_sum += loss.item() * len(x)
        hits += float((logits.argmax(1) == label).sum())
        count += len(x)
    network.eval()
    return loss_sum / count, hits / count

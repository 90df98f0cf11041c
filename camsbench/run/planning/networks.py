"""The networks of a plan, each built once with random weights: neither passes nor speed depend on the weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from camsbench.config.build import cut_networks, model_spec, runtime_of
from camsbench.config.plain import plain
from camsbench.core.passes import Rehearsal
from camsbench.errors import CamsbenchError
from camsbench.models.backends.exported import ExportedSplit
from camsbench.models.dry import DrySplit
from camsbench.models.published import published
from camsbench.models.speed import ALL, NONE, Speed, time_by_kind, time_repeats
from camsbench.models.split import TorchSplit

Network = TorchSplit | ExportedSplit
IMAGES = {"cpu": 2, "cuda": 64}  # a CPU's convolutions hardly grow faster beyond
SECONDS = 0.5  # how long each kind of pass is repeated, once at least


@dataclass(frozen=True)
class Layer:
    """A network cut at a layer: its shapes and its speed."""

    dry: DrySplit
    speed: Speed
    gradients: bool = True  # whether it gives any


class Networks:
    """Networks by their configuration; only the last one is kept in memory.

    Args:
        rates: passes of the whole network a second by the network's name, or under ``""`` for all others; a network
            that has none is measured on this machine.
    """

    def __init__(self, rates: Mapping[str, float] | None = None) -> None:
        self.rates = dict(rates or {})
        for name, rate in self.rates.items():
            if not rate > 0:
                raise CamsbenchError(f"--rate {name}{'=' if name else ''}{rate:g}: give passes a second, above 0")
        self._layers: dict[str, list[Layer]] = {}
        self._loaded: tuple[str, list[Network], list[Network]] = ("", [], [])

    def layers(self, cfg: DictConfig) -> list[Layer]:
        """Shapes and speed of a configuration's network at each of its layers."""
        key = _key(cfg)
        if key not in self._layers:
            self._layers[key] = [self._layer(split) for split in self.cut(cfg)]
        return self._layers[key]

    def real(self, cfg: DictConfig) -> list[Network]:
        """The network itself at each of its layers, without short cuts, its loops of copies rehearsed."""
        self.cut(cfg)
        return self._loaded[2]

    def check_names(self) -> None:
        """Refuse rates of networks that the plan has not met."""
        met = {layer.dry.name for layers in self._layers.values() for layer in layers}
        unknown = sorted(set(self.rates) - met - {""})
        if unknown:
            raise CamsbenchError(
                f"--rate {unknown[0]}=…: the plan has no such network; it has {', '.join(sorted(met))}"
            )

    def _layer(self, split: Network) -> Layer:
        rate = self.rates.get(split.name, self.rates.get(""))
        x, parts = sample_images(split)
        speed = measure_speed(split, x, parts) if rate is None else scale_speed(split, x, parts, rate)
        return Layer(DrySplit.of(split, parts[0]), speed, "gradient" in split.provides)

    def cut(self, cfg: DictConfig) -> list[Network]:
        """The network as it is passed, at each of its layers."""
        key = _key(cfg)
        if self._loaded[0] != key:
            self._loaded = ("", [], [])  # two large networks need not fit at once
            splits = list(cut_networks(_drawn(cfg), runtime_of(cfg)))
            budget = Rehearsal()
            self._loaded = (key, splits, [replace(split, micro_batch=budget).plain for split in splits])
        return self._loaded[1]


def _drawn(cfg: DictConfig) -> DictConfig:
    """With random weights, where the network is known without its file."""
    spec = model_spec(plain(cfg.model))
    if spec.source not in ("torchvision", "timm"):
        return cfg
    found = published(spec)  # which says the size of the images
    named = {"published": found.name} if found.name is not None else {}
    drawn = OmegaConf.merge(cfg, {"model": {"weights": "random", **named}})
    assert isinstance(drawn, DictConfig)
    return drawn


def _key(cfg: DictConfig) -> str:
    """What decides a network's shapes and speed; two protocols that crop alike share them."""
    model = OmegaConf.to_container(cfg.model, resolve=True)
    return json.dumps([model, cfg.protocol.crop, cfg.runtime.micro_batch, cfg.runtime.device], sort_keys=True)


def measure_speed(split: Network, x: Tensor, parts: tuple[Tensor, ...]) -> Speed:
    """The speed of a network here, on images ``x`` [B,3,H,W] and their ``Split.parts``."""
    times = -(-split.micro_batch.size // len(x))  # VGG's head reads 400 MB of weights a micro-batch
    parts = tuple(part.repeat(times, *[1] * (part.ndim - 1)) for part in parts)
    passes = ALL if "gradient" in split.provides else NONE
    return time_by_kind(lambda work, n: _repeat(work, split.device) / n, split, x, parts, passes)


def scale_speed(split: Network, x: Tensor, parts: tuple[Tensor, ...], rate: float) -> Speed:
    """The speed of a network that passes ``rate`` images a second, on whatever machine.

    Its head and its gradients take their share of the multiplications, counted without doing them; without PyTorch,
    their share of the time here.
    """
    if not isinstance(split, TorchSplit):
        here = measure_speed(split, x, parts)
        return Speed(*(value * here.forward_rate / rate for value in vars(here).values()))
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        faked = tuple(map(fake.from_tensor, parts))
        flops = time_by_kind(lambda work, n: _flops(work) / n, split, fake.from_tensor(x), faked)
    per_flop = 1 / rate / (flops.features + flops.head)
    return Speed(*(value * per_flop for value in vars(flops).values()))


def sample_images(split: Network) -> tuple[Tensor, tuple[Tensor, ...]]:
    """A few noise images [B,C,H,W], and their ``Split.parts``; this pass warms up, too."""
    images = min(split.micro_batch.size, IMAGES.get(split.device.type, 8))
    noise = torch.randn(images, *split.preprocess.shape, generator=torch.Generator().manual_seed(0))
    x = noise.to(split.device, memory_format=torch.channels_last)
    with torch.no_grad():
        return x, split.parts(x)


def _flops(work: Callable[[], Any]) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def _repeat(work: Callable[[], Any], device: torch.device) -> float:
    """Seconds of the fastest of several repeats."""
    return min(time_repeats(work, device, None, SECONDS))

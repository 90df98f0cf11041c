"""Controls beside any methods: what a metric says of a map that explains nothing."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf, open_dict

from camsbench.config import CONF

CONTROLS = ("fakecam", "randomcam")


def with_controls(cfg: DictConfig) -> DictConfig:
    """A configuration with FakeCAM and the random map after its methods; methods that it has stay as they are."""
    copy = cfg.copy()
    with open_dict(copy):
        for name in CONTROLS:
            if name not in copy.method:
                copy.method = OmegaConf.merge(copy.method, OmegaConf.load(CONF / "method" / f"{name}.yaml"))
    return copy

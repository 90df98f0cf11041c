"""Controls beside any methods: what a metric says of a map that explains nothing."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from camsbench.config import CONF

CONTROLS = ("fakecam", "randomcam")


def with_controls(cfg: DictConfig) -> DictConfig:
    """A configuration with FakeCAM and the random map after its methods; methods that it has stay as they are."""
    methods = OmegaConf.create({"method": OmegaConf.to_container(cfg.method) if cfg.method else {}})
    for name in CONTROLS:
        methods.method.setdefault(name, OmegaConf.load(CONF / "method" / f"{name}.yaml")[name])
    copy = cfg.copy()
    copy._set_flag("struct", False)
    copy.method = methods.method
    OmegaConf.set_struct(copy, OmegaConf.is_struct(cfg))
    return copy

"""A small vision transformer of grey pictures: 8 x 8 patches and a class token, four blocks.

As camsbench builds it: model=module model.build=digits.transformer:build ++model.options.outputs=10
"""

from __future__ import annotations

import timm
from torch import nn

from digits.network import TRANSFORM
from digits.pictures import SIDE


def transformer(outputs: int) -> nn.Module:
    """Pictures [B,1,64,64] to outputs [B,C]."""
    made: nn.Module = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=SIDE,
        patch_size=8,
        in_chans=1,
        depth=4,
        embed_dim=64,
        num_heads=4,
        mlp_ratio=2,
        num_classes=outputs,
    )
    return made


def build(outputs: int) -> tuple[nn.Module, dict[str, object]]:
    """The network, and how it expects its pictures."""
    return transformer(outputs), TRANSFORM

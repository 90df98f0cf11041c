"""A small vision transformer of grey pictures: convolutions to 8 x 8 patches, a class token, two blocks.

As camsbench builds it: model=module model.build=digits.transformer:build ++model.options.outputs=10
"""

from __future__ import annotations

import timm
from torch import nn

from digits.network import TRANSFORM, block
from digits.pictures import SIDE

CHANNELS = 96


def transformer(outputs: int) -> nn.Module:
    """Pictures [B,1,64,64] to outputs [B,C]."""
    made = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=SIDE,
        patch_size=8,
        in_chans=1,
        depth=2,
        embed_dim=CHANNELS,
        num_heads=4,
        mlp_ratio=2,
        num_classes=outputs,
    )
    steps = [*block(1, 16, 2), *block(16, 32, 2), *block(32, 64, 1), *block(64, CHANNELS, 2)]
    made.patch_embed.proj = nn.Sequential(*steps)  # four thousand pictures teach patches of bare pixels little
    return made


def build(outputs: int) -> tuple[nn.Module, dict[str, object]]:
    """The network, and how it expects its pictures."""
    return transformer(outputs), TRANSFORM

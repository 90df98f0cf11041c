"""Planted vision transformers: two blocks' MLPs detect, the last block's attention takes the mean over all tokens.

Attention is uniform (queries and keys are 0), and blocks between do nothing. A LayerNorm divides by a token's spread,
which would make an answer depend on what else is there. So each token has two channels of ±1000, each other channel has
its negative beside it, and each norm gives ±1000 the weight 0: its mean is 0, its spread that of ±1000 but for some
millionths, and what it lets pass is what there was. GELU is a ReLU for what is multiplied by 1000 before.
"""

from __future__ import annotations

import timm
import torch
from timm.layers import Mlp
from torch import Tensor, nn

from camsbench.core.planted import CLASSES, Task
from camsbench.models.planted.detectors import CHANNELS, colour_weights, head_weights, opponent_weights, zeroed

STEADY, GAIN = 1000.0, 1000.0
PATCH = 16
# A token's channels: what the patch embedding sees, opponents, colours, and the mean of colours; then ±STEADY.
SEEN, OPPONENT, COLOUR, READ = (slice(2 * CHANNELS * n, 2 * CHANNELS * n + CHANNELS) for n in range(4))
LAST = 8 * CHANNELS


def vit_tiny(task: Task, side: int) -> nn.Module:
    """timm's ViT-Ti/16 for a task."""
    return _planted("vit_tiny_patch16_224", task, side)


def vit_base(task: Task, side: int) -> nn.Module:
    """timm's ViT-B/16 for a task."""
    return _planted("vit_base_patch16_224", task, side)


@torch.no_grad()
def _planted(name: str, task: Task, side: int) -> nn.Module:
    model = timm.create_model(name, img_size=side, num_classes=len(CLASSES))
    zeroed(model)
    width = model.embed_dim
    for norm in (module for module in model.modules() if isinstance(module, nn.LayerNorm)):
        norm.weight.fill_(STEADY * (2 / width) ** 0.5)
        norm.weight[LAST : LAST + 2] = 0
    steady = torch.tensor([STEADY, -STEADY])
    model.cls_token[..., LAST : LAST + 2] = steady
    model.patch_embed.proj.bias[LAST : LAST + 2] = steady
    seeing = opponent_weights()[:, :, None, None].expand(-1, -1, PATCH, PATCH) / PATCH**2
    model.patch_embed.proj.weight[SEEN], model.patch_embed.proj.weight[_negative(SEEN)] = seeing, -seeing
    _rectify(model.blocks[0].mlp, torch.eye(CHANNELS), SEEN, OPPONENT)
    _rectify(model.blocks[1].mlp, colour_weights(), OPPONENT, COLOUR)
    attention = model.blocks[-1].attn
    attention.qkv.weight[2 * width :][COLOUR, COLOUR] = torch.eye(CHANNELS)  # the values
    _write(attention.proj, torch.eye(CHANNELS), READ, COLOUR)
    tokens = (side // PATCH) ** 2
    weights = head_weights(task, side, whole=False)[:, :, 0, 0]
    model.head.weight[:, READ] = weights * (tokens + 1) / (tokens / 49)
    return model


def _negative(channels: slice) -> slice:
    """Where the negatives of channels lie."""
    return slice(channels.start + CHANNELS, channels.stop + CHANNELS)


def _write(layer: nn.Linear, weights: Tensor, into: slice, out_of: slice) -> None:
    """Let a layer write channels, and their negatives."""
    layer.weight[into, out_of], layer.weight[_negative(into), out_of] = weights, -weights


def _rectify(mlp: Mlp, weights: Tensor, out_of: slice, into: slice) -> None:
    """Let an MLP add the positive parts of weighted channels to the stream."""
    hidden = slice(0, CHANNELS)
    mlp.fc1.weight[hidden, out_of] = GAIN * weights
    _write(mlp.fc2, torch.eye(CHANNELS) / GAIN, into, hidden)

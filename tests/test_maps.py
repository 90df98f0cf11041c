"""Resizing, normalising, and maps without a range."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from camsbench.core.saliency import SaliencyRule, normalise


def test_min_max_has_no_epsilon() -> None:
    maps = 0.37 + 1e-4 * torch.tensor([[[0.0, 0.5], [0.25, 1.0]]])  # ReciproCAM's softmax range
    unit, flat = normalise(maps)
    assert unit.flatten().tolist() == pytest.approx([0, 0.5, 0.25, 1], abs=1e-3)
    assert unit.max() == 1
    assert flat.tolist() == [False]


def test_maps_without_a_range_become_zeros_and_are_flagged() -> None:
    maps = torch.stack([torch.full((2, 2), 3.0), torch.tensor([[0.0, 1], [float("nan"), 2]]), torch.eye(2)])
    maps = torch.cat([maps, torch.tensor([[[0.0, float("inf")], [1, 2]]])])
    unit, flat = normalise(maps)
    assert flat.tolist() == [True, True, False, True]
    assert unit[flat].abs().max() == 0
    assert torch.equal(unit[2], torch.eye(2))


def test_the_order_of_upsampling_and_normalising() -> None:
    raw = torch.rand(2, 7, 7, generator=torch.Generator().manual_seed(0)) + 1

    def minmax(m: torch.Tensor) -> torch.Tensor:
        low, high = m.amin((1, 2, 3), keepdim=True), m.amax((1, 2, 3), keepdim=True)
        return (m - low) / (high - low)

    def up(m: torch.Tensor, mode: str = "bilinear") -> torch.Tensor:
        return F.interpolate(m, (224, 224), mode=mode, align_corners=False)

    first, _ = SaliencyRule("upsample_then_normalise")(raw, (224, 224))
    torch.testing.assert_close(first, minmax(up(raw[:, None])))
    second, _ = SaliencyRule("normalise_then_upsample")(raw, (224, 224))
    torch.testing.assert_close(second, up(minmax(raw[:, None])))
    assert (first - second).abs().max() > 1e-3
    unclamped, _ = SaliencyRule("normalise_then_upsample", "bicubic")(raw, (224, 224))
    torch.testing.assert_close(unclamped, up(minmax(raw[:, None]), "bicubic"))
    assert unclamped.max() > 1 or unclamped.min() < 0


@pytest.mark.parametrize("order", ["upsample_then_normalise", "normalise_then_upsample"])
def test_interpolation_s_rounding_is_no_saliency(order: str) -> None:
    raw = torch.full((1, 7, 7), 0.0320586)  # bilinear interpolation of it varies in the last bit
    saliency, degenerate = SaliencyRule(order)(raw, (224, 224))
    assert degenerate.tolist() == [True]
    assert saliency.abs().max() == 0


def test_wrong_names() -> None:
    with pytest.raises(ValueError, match=r"order is 'both'.*upsample_then_normalise"):
        SaliencyRule("both")
    with pytest.raises(ValueError, match=r"interpolation is 'nearest'"):
        SaliencyRule(interpolation="nearest")

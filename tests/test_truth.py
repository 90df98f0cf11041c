"""The ideal map and other controls, and the rank correlation with the truth."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

import camsbench
from camsbench import CamsbenchError
from camsbench.core import scoring
from camsbench.core.explained import Explained, explain
from camsbench.core.saliency import SaliencyRule
from camsbench.core.truth import truth_of
from camsbench.core.types import Forward
from camsbench.methods.center_gaussian import CenterGaussian
from camsbench.methods.distractor import Distractor
from camsbench.methods.edges import Edges
from camsbench.methods.gradcam import GradCAM
from camsbench.methods.other_class import OtherClass
from camsbench.methods.truth import Truth
from camsbench.metrics.truth_correlation import TruthCorrelation, ranks
from camsbench.models.split import TorchSplit


def passed(split: TorchSplit, x: Tensor) -> Forward:
    return scoring.forward(split, x, None, (0,) * len(x))


@pytest.fixture
def wide(tiny: TorchSplit) -> Forward:
    """Three images of 2 rows and 4 columns."""
    return passed(tiny, torch.arange(72.0).view(3, 3, 2, 4) / 72)


SHARES = torch.tensor([[0.0, 0.3, 0, 0], [0, 0, 0.7, 0]])


def test_truth_is_shares_where_they_are_known_and_the_object_elsewhere(wide: Forward) -> None:
    """Image 0 has shares; 1 a box of columns 1 and 2 in row 0 and a mask of the lower left pixel; 2 has nothing."""
    truth = torch.stack([SHARES, *torch.full((2, 2, 4), torch.nan)])
    masks = torch.zeros(3, 2, 4, dtype=torch.bool)
    masks[1, 1, 0] = True
    known = replace(wide, truth=truth, masks=masks, boxes=((), ((1.0, 0.0, 3.0, 1.0),), ()))
    found = truth_of(known)
    assert torch.equal(found[0], SHARES)
    assert torch.equal(found[1], torch.tensor([[0.0, 1, 1, 0], [1, 0, 0, 0]]))
    assert found[2].isnan().all()
    with pytest.raises(CamsbenchError, match="the truth of these images is not known"):
        truth_of(wide)


def test_what_is_known_goes_with_the_images(wide: Forward) -> None:
    truth = torch.stack([SHARES, 2 * SHARES, 3 * SHARES])
    known = replace(wide, truth=truth, distractor=-truth, boxes=((), ((0.0, 0.0, 1.0, 1.0),), ()))
    chosen = known.select([2, 1])
    assert chosen.truth is not None
    assert chosen.distractor is not None
    assert torch.equal(chosen.truth, truth[[2, 1]])
    assert torch.equal(chosen.distractor, -truth[[2, 1]])
    again = wide.knowing(known)
    assert again.truth is truth
    assert again.boxes == known.boxes
    assert known.knowing(wide).truth is None


def test_maps_of_the_truth_by_hand(tiny: TorchSplit, wide: Forward) -> None:
    """A layer of 1×2 cells, each of 2×2 pixels: (0 + 0.3 + 0 + 0)/4 and (0 + 0 + 0.7 + 0)/4."""
    known = replace(wide, truth=SHARES.expand(3, 2, 4), A=wide.A[:, :, :1, :2])
    assert torch.equal(Truth()(tiny, known)[0], SHARES)
    assert torch.equal(Truth(mirrored=True)(tiny, known)[0], SHARES[:, [3, 2, 1, 0]])
    torch.testing.assert_close(Truth(at="layer")(tiny, known)[1], torch.tensor([[0.075, 0.175]]))
    with pytest.raises(ValueError, match="at is 'cell'"):
        Truth(at="cell")


def test_a_distractor_must_be_said(tiny: TorchSplit, wide: Forward) -> None:
    assert torch.equal(Distractor()(tiny, replace(wide, distractor=SHARES.expand(3, 2, 4)))[2], SHARES)
    with pytest.raises(CamsbenchError, match="nobody says what these images show that is not used"):
        Distractor()(tiny, wide)


def test_the_centred_gaussian_by_hand(tiny: TorchSplit, wide: Forward) -> None:
    """Pixel centres lie at ±1/4 of the height, ±1/8 and ±3/8 of the width; σ is 1/4 of each: exp(−½) down the sides,
    exp(−⅛) and exp(−9/8) across."""
    down = torch.full((2, 1), -0.5).exp()
    across = torch.tensor([-1.125, -0.125, -0.125, -1.125]).exp()
    torch.testing.assert_close(CenterGaussian()(tiny, wide)[2], down * across)
    with pytest.raises(ValueError, match="sigma is 0"):
        CenterGaussian(sigma=0)


def test_edges_by_hand(tiny: TorchSplit, wide: Forward) -> None:
    """A step of 1 between columns 1 and 2, alike in all rows and colours: (1 + 2 + 1)·1 at both its columns."""
    x = torch.tensor([0.0, 0, 1, 1]).expand(3, 3, 2, 4)
    torch.testing.assert_close(Edges()(tiny, replace(wide, x=x))[0], torch.tensor([[0.0, 4, 4, 0]]).expand(2, 4))
    torch.testing.assert_close(  # and of a step down
        Edges()(tiny, replace(wide, x=x.transpose(2, 3).contiguous()))[0],
        torch.tensor([0.0, 4, 4, 0])[:, None].expand(4, 2),
    )


def test_another_class_is_grad_cam_of_the_lowest_logit(lite0: TorchSplit, images: Tensor) -> None:
    forward = passed(lite0, images[:2])
    lowest = replace(forward, target=forward.logits.argmin(1))
    assert torch.equal(OtherClass()(lite0, forward), GradCAM()(lite0, lowest))
    assert not torch.equal(OtherClass()(lite0, forward), GradCAM()(lite0, forward))


def explained(split: TorchSplit, forward: Forward, raw: Tensor) -> Explained:
    made = explain(split, GradCAM(), SaliencyRule(), forward)
    return replace(made, raw=raw)


def test_truth_correlation_by_hand(tiny: TorchSplit, wide: Forward) -> None:
    """Truth 0, 0.3, 0.7, 0 has the ranks 1.5, 3, 4, 1.5 (a mean of 2.5; deviations −1, 0.5, 1.5, −1, squares 4.5).

    A map 0, 9, 5, 0 has 1.5, 4, 3, 1.5: products 1 + 0.75 + 0.75 + 1 = 3.5, and 3.5/4.5 = 7/9. A map −1, 0.001, 0, −2
    is 2, 4, 3, 1 without ties; but 0.001 and 0 lie within 1/255 of its range: 2, 3.5, 3.5, 1 (deviations −½, 1, 1,
    −3/2, squares 4.5): products ½ + ½ + 3/2 + 3/2 = 4, 8/9.
    """
    line = torch.tensor([[0.0, 0.3, 0.7, 0]])
    raw = torch.tensor([[[0.0, 9, 5, 0]], [[-1.0, 0.001, 0, -2]], [[1.0, 1, 1, 1]]])
    known = replace(wide, A=torch.zeros(3, 2, 1, 4), truth=line.repeat(2, 1).expand(3, 2, 4))
    found = TruthCorrelation()(explained(tiny, known, raw))["truth_correlation"]
    torch.testing.assert_close(found[:2], torch.tensor([7 / 9, 8 / 9]))
    assert found[2].isnan()  # a constant map ranks nothing


def test_truth_correlation_of_maps_of_other_sizes_and_unknown_truth(tiny: TorchSplit, wide: Forward) -> None:
    known = replace(wide, A=torch.zeros(3, 2, 1, 4), truth=SHARES.expand(3, 2, 4).clone())
    known.truth[2] = torch.nan  # type: ignore[index]
    found = TruthCorrelation()(explained(tiny, known, SHARES.expand(3, 2, 4)))["truth_correlation"]
    torch.testing.assert_close(found[:2], torch.ones(2))
    assert found[2].isnan()


def test_ranks_are_scipy_s() -> None:
    random = torch.Generator().manual_seed(0)
    a, b = (torch.randint(0, 9, (5, 33), generator=random).float() for _ in range(2))
    centred = [ranks(each) - ranks(each).mean(1, keepdim=True) for each in (a, b)]
    found = (centred[0] * centred[1]).sum(1) / (centred[0].norm(dim=1) * centred[1].norm(dim=1))
    expected = [spearmanr(one, other).statistic for one, other in zip(a.numpy(), b.numpy(), strict=True)]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


def test_a_public_call_with_truth(lite0: TorchSplit, images: Tensor) -> None:
    truth = torch.zeros(2, 96, 96)
    truth[:, 32:64, :32] = 1 / 1024
    rows = camsbench.evaluate("truth", lite0, images[:2], metrics=["truth_correlation"], truth=truth)
    assert rows["truth_correlation"].tolist() == [1, 1]
    boxes = [[(0.0, 32.0, 32.0, 64.0)]] * 2
    rows = camsbench.evaluate(
        "mirrored_truth", lite0, images[:2], metrics=["truth_correlation", "energy_pointing"], boxes=boxes
    )
    assert rows["truth_correlation"].tolist() == pytest.approx([-1 / 8] * 2)  # 9 cells, one each
    assert rows["energy_pointing"].tolist() == [0, 0]
    with pytest.raises(CamsbenchError, match=r"truth is torch.int64 \[2, 96, 96\]: give float \[2, 96, 96\]"):
        camsbench.evaluate("truth", lite0, images[:2], metrics=["truth_correlation"], truth=truth.long())
    with pytest.raises(CamsbenchError, match="the truth of these images is not known"):
        camsbench.explain("truth", lite0, images[:2])

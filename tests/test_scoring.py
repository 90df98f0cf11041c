"""The one micro-batch loop against the plain loop, and what happens when memory runs out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from exact import EXACT, in_double
from torch import Tensor

from camsbench import CamsbenchError
from camsbench.core.explained import explain, measure
from camsbench.core.passes import MicroBatch, in_micro_batches
from camsbench.core.saliency import SaliencyRule
from camsbench.core.scoring import forward, head_gradient, score_features, score_inputs
from camsbench.methods.rise import RISE
from camsbench.metrics.adcc import Coherency
from camsbench.metrics.curves import Insertion
from camsbench.metrics.drop import Drop
from camsbench.metrics.infidelity import Infidelity
from camsbench.models.split import TorchSplit


def sized(split: TorchSplit, size: int) -> TorchSplit:
    return replace(split, micro_batch=MicroBatch(size))


@pytest.mark.parametrize("size", [1, 7, 64])
def test_scores_equal_the_plain_loop_for_any_micro_batch(lite0: TorchSplit, images: Tensor, size: int) -> None:
    x, target = images[:2], torch.tensor([243, 559])
    factors = torch.linspace(0.2, 1, 5)
    keep = torch.tensor([[True, False, True, True, True], [True, True, True, False, True]])
    got = score_inputs(sized(lite0, size), lambda i, n: x[i] * factors[n, None, None, None], len(factors), target, keep)
    for i in range(2):
        for n in range(5):
            with torch.no_grad():
                plain = lite0.model(x[i : i + 1] * factors[n]).softmax(1)[0, target[i]] if keep[i, n] else 0.0
            assert got[i, n] == pytest.approx(float(plain), abs=1e-5)


def test_scores_of_features_equal_the_plain_loop(vgg16: TorchSplit, images: Tensor) -> None:
    base = forward(vgg16, images[:2], None, (0, 0))
    got = score_features(sized(vgg16, 3), base, lambda i, n: base.A[i] * n[:, None, None, None], 4, probability=False)
    for n in range(4):
        with torch.no_grad():
            plain = vgg16.head(base.A * n).gather(1, base.target[:, None]).squeeze(1)
        torch.testing.assert_close(got[:, n], plain, rtol=1e-4, atol=1e-5)


def test_scores_keep_the_precision_of_the_network(exact_lite0: TorchSplit, images: Tensor) -> None:
    """Double stays double, all the way to a protocol's columns; rows that were never scored are 0 in it, too."""
    exact = replace(exact_lite0, micro_batch=MicroBatch(3))
    x = images[:2].double()
    base = forward(exact, x, None, (0, 0))
    keep = torch.tensor([[True, False, True], [False, True, True]])
    got = score_inputs(exact, lambda i, n: x[i] / (1 + n[:, None, None, None]), 3, base.target, keep)
    assert got.dtype == torch.float64
    for i, n in keep.nonzero().tolist():
        with torch.no_grad():
            plain = exact.model(x[i : i + 1] / (1 + n)).softmax(1)[0, base.target[i]]
        assert float(got[i, n]) == pytest.approx(float(plain), rel=1e-12)
    explained = explain(exact, RISE(n=4), SaliencyRule(), base)
    assert explained.saliency.dtype == torch.float64
    columns, _ = measure([Drop(), Insertion(steps=4), Coherency(resolution="map"), Infidelity(n=3)], explained)
    assert all(values.isfinite().all() for values in columns.values())


def test_no_copy_that_is_left_out_is_passed(tiny: TorchSplit, tiny_x: Tensor) -> None:
    made: list[int] = []

    def perturb(image: Tensor, copy: Tensor) -> Tensor:
        made.extend(copy.tolist())
        return tiny_x[image]

    keep = torch.tensor([[False, True, False, True]])
    score_inputs(tiny, perturb, 4, torch.tensor([0]), keep)
    assert made == [1, 3]
    assert score_inputs(tiny, perturb, 4, torch.tensor([0]), keep & False).tolist() == [[0, 0, 0, 0]]


def test_plain_passes_every_copy_and_gives_the_same_scores(tiny: TorchSplit, tiny_x: Tensor) -> None:
    made: list[int] = []

    def perturb(image: Tensor, copy: Tensor) -> Tensor:
        made.extend(copy.tolist())
        return tiny_x[image] * copy[:, None, None, None]

    keep, target = torch.tensor([[False, True, False, True]]), torch.tensor([0])
    quick = score_inputs(tiny, perturb, 4, target, keep)
    made.clear()
    assert torch.equal(score_inputs(tiny.plain, perturb, 4, target, keep), quick)
    assert made == [0, 1, 2, 3]
    given = replace(forward(tiny, tiny_x, None, (0,)), target=target)
    assert score_features(tiny.plain, given, lambda i, n: given.A[i], 4, keep=keep)[0, [0, 2]].tolist() == [0, 0]


def test_micro_batches_are_full_across_images(tiny: TorchSplit, tiny_x: Tensor) -> None:
    sizes: list[int] = []

    def perturb(image: Tensor, copy: Tensor) -> Tensor:
        sizes.append(len(image))
        return tiny_x.expand(3, -1, -1, -1)[image]

    score_inputs(sized(tiny, 4), perturb, 3, torch.zeros(3, dtype=torch.long))
    assert sizes == [4, 4, 1]


def test_running_out_of_memory_halves_the_micro_batch_and_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    budget = MicroBatch(16)

    def work(chunk: slice) -> Tensor:
        if chunk.stop - chunk.start > 5:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return torch.arange(chunk.start, chunk.stop)

    assert in_micro_batches(budget, 21, work).tolist() == list(range(21))
    assert budget.size == 4
    assert caplog.messages[-1] == "memory ran out: going on with micro-batches of 4"


def test_real_exhaustion_of_host_memory_is_recognised() -> None:
    budget = MicroBatch(8)

    def work(chunk: slice) -> Tensor:
        rows = chunk.stop - chunk.start
        torch.empty(2**60 if rows > 2 else 1, dtype=torch.uint8)
        return torch.ones(rows)

    assert in_micro_batches(budget, 8, work).sum() == 8
    assert budget.size == 2


def test_not_even_one_copy_fits() -> None:
    def work(chunk: slice) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(CamsbenchError, match=r"runtime\.micro_batch=1"):
        in_micro_batches(MicroBatch(4), 4, work)


def test_other_errors_are_not_swallowed() -> None:
    def work(chunk: slice) -> Tensor:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        in_micro_batches(MicroBatch(4), 4, work)


def test_head_gradient_equals_autograd_of_the_whole_head(exact_lite0: TorchSplit, images: Tensor) -> None:
    split = in_double(exact_lite0, "blocks.3.0.bn2")  # a head that is no average pool and a linear layer
    base = forward(split, images[:3].double(), None, (0, 0, 0))
    leaf = base.A.clone().requires_grad_()
    split.head(leaf).gather(1, base.target[:, None]).sum().backward()
    assert leaf.grad is not None
    got = head_gradient(sized(split, 2), base)
    torch.testing.assert_close(got, leaf.grad, rtol=0, atol=EXACT * float(leaf.grad.abs().max()))
    assert not got.requires_grad
    assert base.A.grad is None

"""Consistency under noise (MetaQuantus): its arithmetic by hand, noisy networks, and a real run measured again."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from quick import QuickRun
from torch import Tensor

from camsbench import CamsbenchError
from camsbench.models.noisy import noisy
from camsbench.models.split import TorchSplit
from camsbench.models.weights import weight_hash
from camsbench.reliability import main
from camsbench.report.saved_run import SavedRun
from camsbench.run.perturbed import consistencies, passes_needed
from camsbench.tables.reliability.consistency import Perturbed, consistency

Values = list[list[float]]


def perturbed(before: Values, *under: Values, kept: list[list[bool]]) -> Perturbed:
    return Perturbed(np.array(before), np.array(under), np.array(kept))


def test_consistency_by_hand() -> None:
    """Two methods on three images, one draw. Minor noise: nothing moves (p = 1), and on one image of three the methods
    exchange their ranks: 4 of 6 stay. Disruptive noise, where higher is better: 5 of 6 values fall, of which the third
    image's two do not count, as its prediction stayed: 3 of 4 are worse."""
    before: Values = [[5, 6, 7], [1, 2, 3]]
    minor = perturbed(before, [[5, 6, 3], [1, 2, 7]], kept=[[True] * 3])
    disruptive = perturbed(before, [[4, 5, 6], [0, 9, 1]], kept=[[True, True, False]])
    found = consistency(minor, disruptive, "higher")
    assert found.iec_nr == pytest.approx(4 / 6)
    assert found.iec_ar == pytest.approx(3 / 4)
    assert (found.minor, found.disruptive) == (3, 2)
    lower = consistency(minor, disruptive, "lower")
    assert lower.iec_ar == pytest.approx(1 / 4)
    assert (lower.iec_nr, lower.iac_nr, lower.iac_ar) == (found.iec_nr, found.iac_nr, found.iac_ar)
    still = consistency(perturbed(before, before, kept=[[True] * 3]), disruptive, "higher")
    assert (still.iac_nr, still.iec_nr) == (1, 1)
    assert found.mean == pytest.approx((found.iac_nr + found.iac_ar + found.iec_nr + found.iec_ar) / 4)


def test_values_that_are_no_numbers_do_not_count() -> None:
    before: Values = [[5, np.nan, 7], [1, 2, 3]]
    nobody = perturbed(before, before, kept=[[False] * 3])
    found = consistency(perturbed(before, before, kept=[[True] * 3]), nobody, "higher")
    assert found.iec_nr == 1
    assert np.isnan([found.iac_ar, found.iec_ar, found.mean]).all()


def test_a_noisy_network_is_a_copy(lite0: TorchSplit, images: Tensor) -> None:
    """Of the right spread, drawn by name and seed, whole in graph and module; the original keeps its weights."""
    own = weight_hash(lite0.model)
    made, again, other = noisy(lite0, 0.01, 0), noisy(lite0, 0.01, 0), noisy(lite0, 0.01, 1)
    assert weight_hash(lite0.model) == own
    assert weight_hash(made.model) == weight_hash(again.model) != weight_hash(other.model)
    pairs = zip(made.model.parameters(), lite0.model.parameters(), strict=True)
    factors = torch.cat([(new / old)[old != 0] for new, old in pairs])
    assert factors.mean() == pytest.approx(1, abs=1e-4)
    assert factors.std() == pytest.approx(0.01, rel=0.01)
    with torch.no_grad():
        torch.testing.assert_close(made.logits(images[:2]), made.model(images[:2]), rtol=0, atol=1e-4)
        assert (made.logits(images[:2]) - lite0.logits(images[:2])).abs().max() > 1e-2


@pytest.mark.slow
def test_a_run_measured_again_under_noise(
    quick_run: QuickRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Minor noise moves no prediction and hardly an order; complexity does not see noise on the input at all."""
    chosen = ["method=[gradcam,reciprocam,fakecam]", "metric=[drop,insertion,complexity]", "data.limit=4"]
    quick_run(tmp_path / "run", *chosen)
    job = SavedRun.load(tmp_path / "run").job
    assert "4 images, 1 draws of each noise" in passes_needed(job, 20, 1)
    found = {(where, column.name): one for (where, column), one in consistencies(job, 20, 1).items()}
    assert set(found) == set(product(("input", "weights"), ("drop", "insertion", "complexity")))
    assert all(one.minor == 4 for one in found.values())
    assert found["input", "complexity"].iac_nr == found["input", "complexity"].iec_nr == 1
    assert found["input", "complexity"].iec_ar == 0
    assert found["input", "insertion"].iec_ar == 1
    assert main([str(tmp_path / "run"), "--consistency", "1", "--images", "2"]) == 0
    said = capsys.readouterr()
    assert "2 images" in said.err
    assert "Consistency under noise" in (tmp_path / "run" / "metrics.md").read_text()
    one = SavedRun.load(quick_run(tmp_path / "one", "data.limit=1", "metric=[drop]").path)
    with pytest.raises(CamsbenchError, match="two methods"):
        consistencies(one.job, 1, 1)
    assert main([str(tmp_path / "one")]) == 1
    assert "two methods to order" in capsys.readouterr().err

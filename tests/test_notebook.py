"""The notebook of the documentation runs to its end, and gives what is committed."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "docs" / "three_lines.ipynb"


def outputs(notebook: Any) -> list[dict[str, Any]]:
    """What the code cells say and show, in their order."""
    return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]


def numbers(notebook: Any) -> list[float]:
    """Those of the table that it ends with."""
    text = outputs(notebook)[-1]["data"]["text/plain"]
    return [float(number) for number in re.findall(r"\d+\.\d+", "".join(text))]


@pytest.mark.slow
def test_the_notebook_runs_to_its_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for variable in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):  # not the user's kernels and settings
        monkeypatch.setenv(variable, str(tmp_path))
    committed = json.loads(NOTEBOOK.read_text())
    ran = importlib.import_module("notebook").executed()
    assert [cell.execution_count for cell in ran.cells if cell.cell_type == "code"] == [1, 2, 3, 4]
    assert [output["output_type"] for output in outputs(ran)] == ["stream", "display_data", "execute_result"]
    assert outputs(ran)[0]["text"] == "(512, 512)\n"
    assert len(outputs(ran)[1]["data"]["image/jpeg"]) > 20_000
    assert len(numbers(ran)) == 3 * 5
    assert numbers(ran) == pytest.approx(numbers(committed), abs=0.002)  # other processors round otherwise


def test_what_is_committed_is_small_and_of_no_machine() -> None:
    text = NOTEBOOK.read_text()
    assert len(text) < 150_000
    assert not re.search(r"site-packages|/home/|/root/|/tmp/", text)
    assert all(output["output_type"] != "error" for output in outputs(json.loads(text)))

"""Execute docs/three_lines.ipynb and write it with its outputs: python scripts/notebook.py"""

from __future__ import annotations

import argparse
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "docs" / "three_lines.ipynb"


def executed(path: Path = NOTEBOOK, seconds: int = 300) -> nbformat.NotebookNode:
    """The notebook, run from its first cell to its last in a fresh kernel, without what this machine alone says.

    Raises:
        CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=seconds, kernel_name="python3").execute(cwd=str(path.parent))
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when each cell ran
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def main() -> None:
    """Write it anew."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    nbformat.write(executed(), NOTEBOOK)


if __name__ == "__main__":
    main()

"""camsbench: the benchmark for class activation maps."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from camsbench import former_names

if TYPE_CHECKING:
    from camsbench.api import evaluate, explain, load_model
    from camsbench.errors import CamsbenchError
    from camsbench.models.split import cut

__version__ = "0.2.0.dev0"
__all__ = ["CamsbenchError", "__version__", "cut", "evaluate", "explain", "load_model"]

former_names.install()
HOMES = {
    "CamsbenchError": "camsbench.errors",
    "cut": "camsbench.models.split",
    "evaluate": "camsbench.api",
    "explain": "camsbench.api",
    "load_model": "camsbench.api",
}


def __getattr__(name: str) -> Any:
    """Imported when they are asked for: PyTorch takes seconds, which ``--help`` can do without."""
    if name in HOMES:
        globals()[name] = found = getattr(import_module(HOMES[name]), name)
        return found
    raise AttributeError(f"module 'camsbench' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""camsbench: the benchmark for class activation maps."""

from camsbench.api import evaluate, explain, load_model
from camsbench.errors import CamsbenchError
from camsbench.split import cut

__version__ = "0.1.0"
__all__ = ["CamsbenchError", "__version__", "cut", "evaluate", "explain", "load_model"]

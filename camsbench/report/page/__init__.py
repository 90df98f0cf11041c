"""One HTML file of a run, or of several: tables, charts and images, whole in itself."""

from camsbench.report.page.source import EXPERIMENT, Experiment, Found, Source, find
from camsbench.report.page.write import write

__all__ = ["EXPERIMENT", "Experiment", "Found", "Source", "find", "write"]

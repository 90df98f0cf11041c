"""One HTML file of a run, or of several: tables, charts and images, whole in itself."""

from camsbench.report.page.input import EXPERIMENT, Experiment, ReportInput, find
from camsbench.report.page.write import write

__all__ = ["EXPERIMENT", "Experiment", "ReportInput", "find", "write"]

"""Rows to tables: the only room where anything is averaged, compared with a paper, or tested."""

from camsbench.tables.paper import Comparison, compare
from camsbench.tables.summary import markdown, summarise

__all__ = ["Comparison", "compare", "markdown", "summarise"]

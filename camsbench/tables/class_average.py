"""The mean of the classes' own means, as the pointing game reports it."""

from __future__ import annotations

import pandas as pd


def class_average(rows: pd.DataFrame, column: str) -> float:
    """Mean over classes of each class's mean of ``column`` (TorchRay's accuracy), over the rows where it is defined.

    ``rows`` are those of one method; a class is their ``label``, since boxes are those of the labelled object. Classes
    without a defined value are left out, where TorchRay, whose data sets have none, would count them 0. NaN when no
    row has a value.
    """
    known = rows[rows[column].notna()]
    return float(known.groupby("label")[column].mean().mean())

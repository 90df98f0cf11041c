"""Which metric can be trusted: how well its images agree, how far its ranking generalises, and what it is sure of.

A metric's values of the same images under the same methods are a matrix [n,m] (``scores``); everything here is computed
from such matrices, and each number has a percentile interval of resampled images.
"""

"""Measures of an explanation, one file each; ``conf/metric/*.yaml`` names them."""

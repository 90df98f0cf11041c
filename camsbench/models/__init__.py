"""Networks cut in two at a layer: built, weighted, folded, compiled, exported; their passes counted and timed."""

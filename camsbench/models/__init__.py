"""Networks cut in two at a layer: built, weighted, folded, compiled, exported, randomised, timed."""

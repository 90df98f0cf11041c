"""What each number of the page says, in a sentence, and where it comes from."""

from __future__ import annotations

MEANINGS = {
    "α": "Krippendorff's α, ordinal, of the images as raters of the methods: 1 where every image orders them alike, "
    "0 by chance (Tomsett et al. 2020). The interval is a jackknife over images.",
    "G(n)": "The share of the variance of means over n images that is the methods' own, not the images' "
    "(generalisability theory, Cronbach et al. 1972): near 1 another n images give the same order.",
    "ties": "The share of pairs of methods that an image gives the very same value, on which it says nothing.",
    "τ with others": "The mean of Kendall's τ-b between this metric's order of the methods by their means and each "
    "other metric's, from −1 to 1; its bounds count each pair that one of the two cannot tell apart as agreeing, and "
    "as disagreeing.",
    "beats": "How often an image's map of a method is preferred to that of a control, which explains nothing, ties "
    "half (AUROC): 50 % is a coin's, below it the metric rewards saying nothing (Poppi et al. 2021).",
    "P(best)": "The share of resampled sets of images in which the method has the best mean.",
    "ranks": "Between which ranks the method lies, all methods at once at 95 %: behind those that are surely better, "
    "before those that are surely worse (Mogstad et al. 2024; paired t-tests, Bonferroni).",
    "mean rank": "The mean over images of its rank on an image. Friedman's test asks whether any method differs; where "
    "one does, two methods whose mean ranks lie nearer than the critical difference are not told apart (Nemenyi; "
    "Demšar 2006), and bear a letter in common.",
    "moves": "Kendall's τ between the orders of the methods in two settings that differ in this choice alone, over all "
    "such pairs (a multiverse, Steegen et al. 2016); reversed: pairs of methods that one setting surely orders one way "
    "and the other surely the other way.",
}

"""Doing a run: what is left, who does it, rows out of images, what it cost; and planning it beforehand."""

"""Side by side with other people's packages: the sections of ``scripts/bench.py``."""

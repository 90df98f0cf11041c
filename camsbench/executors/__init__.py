"""Who does the blocks of a run: this process, several here, or actors of a Ray cluster."""

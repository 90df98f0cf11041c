"""A run on disk: rows, curves and maps in whole files, what made them, and who works on which share."""

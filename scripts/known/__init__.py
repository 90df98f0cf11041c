"""What the known answers show of methods."""

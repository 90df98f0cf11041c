"""What a run would cost, counted and timed before any work."""

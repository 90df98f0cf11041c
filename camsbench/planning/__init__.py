"""What a run will cost, before any work: passes of each method and metric, and hours at this machine's speed."""

"""Networks whose evidence is known by construction."""

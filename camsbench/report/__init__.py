"""What people look at: saved maps, the gallery."""

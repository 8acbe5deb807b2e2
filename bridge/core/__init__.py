"""Values without I/O that every package speaks in."""

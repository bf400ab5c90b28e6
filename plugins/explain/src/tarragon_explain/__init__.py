"""Which selection option takes a path, or leaves it out, and why."""

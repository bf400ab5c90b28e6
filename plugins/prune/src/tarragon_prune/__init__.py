"""Command prune: retention by policy."""

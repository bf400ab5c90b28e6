"""Tarragon: encrypted incremental backups, and the framework they are made of."""

__version__ = "0.1.0"

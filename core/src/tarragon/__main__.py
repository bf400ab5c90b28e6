"""``python -m tarragon``."""

from tarragon.cli.main import script

script()

"""The command ``duplicity``: Tarragon for programs and scripts that call duplicity.

Nothing is here but the name: duplicity's words alone are actions, and it ends with duplicity's exit statuses.
"""

from __future__ import annotations

from tarragon.cli.main import main as _main


def main() -> int:
    """Run the command line of this process as duplicity would; the exit status."""
    return _main(prog="duplicity", compat=True)

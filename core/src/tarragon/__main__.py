"""``python -m tarragon``."""

from tarragon.cli.main import main

raise SystemExit(main())

"""The servers of tarragon-s3's tests, for those of what extends it."""

from __future__ import annotations

import sys
from pathlib import Path

# pytest's importlib mode leaves the folder of a test out of sys.path.
sys.path.insert(0, str(Path(__file__).parents[3] / "plugins" / "s3" / "tests"))
sys.path.insert(0, str(Path(__file__).parents[3] / "tests" / "servers"))
sys.path.insert(0, str(Path(__file__).parents[3] / "tests" / "judge"))

from s3_fixtures import bucket, ministack, moto, no_machine_role, radosgw, rclone, seaweedfs

__all__ = ["bucket", "ministack", "moto", "no_machine_role", "radosgw", "rclone", "seaweedfs"]

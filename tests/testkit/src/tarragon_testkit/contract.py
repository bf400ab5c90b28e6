"""The backend contract, whole: what a store must do with objects, and how its driver behaves."""

from __future__ import annotations

from .conduct import CONDUCT
from .harness import Contract
from .objects import OBJECTS

BACKEND = Contract([*OBJECTS.checks, *CONDUCT.checks])

"""What a wrapper owes to the backend inside."""

import shutil

import pytest
from tarragon_testkit import WrapperContract

pytestmark = pytest.mark.skipif(shutil.which("par2") is None, reason="the program par2 is not installed")

HIDDEN = "a name that ends in .par2 is a recovery file's, hidden as in duplicity"


class TestPar2(WrapperContract):
    prefix = "par2"
    options = {"par2_options": (), "par2_redundancy": 10, "par2_volumes": 1, "file_prefix": ""}
    many = 12  # each costs a run of par2
    examples = 2
    known_failures = {
        "names_that_duplicity_makes_come_back": HIDDEN,
        "a_prefix_narrows_the_listing": HIDDEN,
    }

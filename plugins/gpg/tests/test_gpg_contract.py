"""The promises of a cipher, with gpg: symmetric, to a key, and signed."""

from __future__ import annotations

import pytest
from gpg_keyring import PUBLIC, SIGNED, SYMMETRIC
from tarragon_gpg.make import make
from tarragon_testkit import CipherContract


class TestSymmetric(CipherContract):
    mode = SYMMETRIC

    @pytest.fixture(autouse=True)
    def _keys(self, keyring):
        self.keyring = keyring

    def cipher(self, context):
        return make(self.keyring.context(**self.mode))


class TestToAKey(TestSymmetric):
    mode = PUBLIC


class TestSigned(TestSymmetric):
    mode = SIGNED

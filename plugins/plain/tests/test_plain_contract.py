from tarragon_testkit import CipherContract, CompressorContract


class TestNoCompression(CompressorContract):
    name = "none"


class TestNoEncryption(CipherContract):
    name = "none"

from tarragon_testkit import CompressorContract


class TestGzip(CompressorContract):
    name = "gzip"

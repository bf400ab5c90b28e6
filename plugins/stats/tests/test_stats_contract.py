"""The promises of statistics sinks."""

from __future__ import annotations

from tarragon_testkit import SinkContract


class TestText(SinkContract):
    name = "text"


class TestJson(SinkContract):
    name = "jsonstat"


class TestProgress(SinkContract):
    name = "progress"

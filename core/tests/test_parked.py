"""Streams that are parked give the same bytes, and few of them are open (R62)."""

from __future__ import annotations

import io
import os
import random

import pytest
from tarragon.parked import Lot
from tarragon.temp import TempFolder


@pytest.mark.requirement("R62")
def test_many_streams_are_read_side_by_side_with_few_files_open(tmp_path):
    contents = [random.Random(number).randbytes(number * 331) for number in range(100)]
    with TempFolder(tmp_path) as temp:
        before = len(os.listdir("/proc/self/fd"))
        lot = Lot(temp)
        sources = [io.BytesIO(content) for content in contents]
        streams = [lot.park(source) for source in sources]
        assert all(source.closed for source in sources)
        found = [b""] * len(streams)
        choices = random.Random(1)
        left = list(range(len(streams)))
        while left:
            number = choices.choice(left)
            data = streams[number].read(1000)
            found[number] += data
            if not data:
                left.remove(number)
                streams[number].close()
            assert len(os.listdir("/proc/self/fd")) <= before + 20
        assert contents == found
        assert (["lock"], before) == (os.listdir(temp.place), len(os.listdir("/proc/self/fd")))


def test_closing_twice_is_no_error_and_an_unread_stream_leaves_nothing(tmp_path):
    with TempFolder(tmp_path) as temp:
        stream = Lot(temp).park(io.BytesIO(b"x"))
        stream.close()
        stream.close()
        assert os.listdir(temp.place) == ["lock"]

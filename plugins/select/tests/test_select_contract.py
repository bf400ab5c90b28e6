"""The promises of filters, for every selection option that makes one."""

from __future__ import annotations

from tarragon_testkit import FilterContract


class TestInclude(FilterContract):
    option = "include"
    argument = "**/b.txt"


class TestExclude(FilterContract):
    option = "exclude"
    argument = "**.txt"


class TestIncludeRegexp(FilterContract):
    option = "include-regexp"
    argument = "b"


class TestExcludeRegexp(FilterContract):
    option = "exclude-regexp"
    argument = "b[.]txt$"


class TestExcludeDeviceFiles(FilterContract):
    option = "exclude-device-files"


class TestExcludeOlderThan(FilterContract):
    option = "exclude-older-than"
    argument = "1700000000"


class TestExcludeOtherFilesystems(FilterContract):
    option = "exclude-other-filesystems"


class TestExcludeIfPresent(FilterContract):
    option = "exclude-if-present"
    argument = ".nobackup"
    looks_at_disk = True

"""One parser for every URL: what it lets through is what drivers see (R30)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tarragon.api.errors import BadURL
from tarragon.api.url import is_url, parse_url, scheme_of, split_scheme

SCHEMES = {"file", "s3", "boto3+s3", "ftp", "lftp+ftp", "sftp"}
WRAPPERS = {"par2", "gio"}


def parsed(raw):
    return parse_url(raw, SCHEMES, WRAPPERS)


@pytest.mark.parametrize(
    ("raw", "fields"),
    [
        ("file:///a/b", {"scheme": "file", "host": None, "path": "/a/b", "user": None}),
        ("file://a/b", {"host": "a", "path": "/b", "rest": "a/b"}),
        ("FTP://Host/p", {"scheme": "ftp", "host": "Host"}),
        ("ftp://u:p@h:21/x%20y", {"user": "u", "host": "h", "port": 21, "path": "/x y"}),
        ("ftp://u%40corp@h/", {"user": "u@corp", "host": "h"}),
        ("ftp://a@b@h/", {"user": "a@b", "host": "h"}),
        ("sftp://[::1]:22/p", {"host": "::1", "port": 22}),
        ("sftp://[fe80::1]/p", {"host": "fe80::1", "port": None}),
        ("rsync://h::module/p", {"host": "h::module", "port": None, "path": "/p"}),
        ("s3://bucket/prefix?region=x&a=%0a", {"host": "bucket", "path": "/prefix", "query": "region=x&a=%0a"}),
        ("file:///%FF", {"path": "/\udcff"}),
        ("file:///ü", {"path": "/ü"}),
    ],
)
def test_the_parts_of_a_url(raw, fields):
    found = parsed(raw)
    assert fields == {name: getattr(found, name) for name in fields}


@pytest.mark.parametrize(
    ("word", "wrappers", "scheme"),
    [
        ("ftp", (), "ftp"),
        ("lftp+ftp", (), "lftp+ftp"),
        ("par2+lftp+ftp", ("par2",), "lftp+ftp"),
        ("par2+gio+boto3+s3", ("par2", "gio"), "boto3+s3"),
        ("par2+unknown", ("par2",), "unknown"),
        ("unknown+ftp", (), "unknown+ftp"),
        ("par2", (), "par2"),
    ],
)
def test_the_longest_scheme_wins_then_prefixes_are_cut_off(word, wrappers, scheme):
    assert (wrappers, scheme) == split_scheme(word, SCHEMES, WRAPPERS)


def test_a_url_is_unwrapped_one_prefix_at_a_time():
    url = parsed("par2+gio+ftp://h/p")
    assert (url.unwrapped().wrappers, url.unwrapped().raw) == (("gio",), "gio+ftp://h/p")
    assert url.unwrapped().unwrapped().raw == "ftp://h/p"


@pytest.mark.requirement("R30")
@pytest.mark.parametrize(
    "raw",
    [
        "ssh://-oProxyCommand=x/", "ssh://%2doProxyCommand=x/", "ssh://-u@h/", "ssh://%2Du@h/", "ssh://[-x]/",
        "ssh://u:p@-h/", "ssh://u@%2Dh:22/", "ssh://-h::module/",
        "ftp://h/%0d%0aDELE%20x", "ftp://h%0a/x", "ftp://u%00@h/", "ftp://u:%0d@h/", "ftp://h/\nx", "ftp://h/\x7f",
        "ftp://h/\x00", "ftp://h/%7f", "ftp://h/%1b",
        "/a/path", "a", "", "://x", "s 3://x", "s-3://x",
    ],
)  # fmt: skip
def test_what_could_be_taken_for_an_option_or_a_second_line_is_refused(raw):
    with pytest.raises(BadURL):
        parsed(raw)


@pytest.mark.requirement("R30")
@pytest.mark.parametrize(
    "raw",
    ["sftp://[::1/x", "sftp://[::1", "sftp://u:p@[::1:22/x", "sftp://[]/x", "sftp://[::1]22/x", "sftp://[[::1]]/x"],
)
def test_a_host_that_opens_a_bracket_closes_it(raw):
    with pytest.raises(BadURL) as caught:
        parsed(raw)
    assert "bracket" in str(caught.value)
    assert "[fe80::1]:22" in caught.value.hint


@pytest.mark.requirement("R31")
@pytest.mark.parametrize(
    "raw",
    [
        "ftp://u:canary@h/p", "par2+ftp://u:canary@h:21/p?q=1", "ftp://u:can%61ry@h/", "ftp://a@b:canary@h/p",
        "ftp://:canary@h/", "ftp://u:canary@h?x@y/", "ftp://u:canary:with:colons@h/",
    ],
)  # fmt: skip
def test_the_password_does_not_show(raw):
    url = parsed(raw)
    shown = f"{url} {url!r} {url.password} {url.password!r}"
    assert "canary" not in shown
    assert "can%61ry" not in shown
    assert "canary" in url.password.reveal()


parts = st.text(st.sampled_from("aZ0-_.~%:@/?[]+é\udcff%2f%41") | st.characters(), max_size=12)


@pytest.mark.requirement("R30")
@settings(max_examples=1000, deadline=None)
@given(st.sampled_from(["ftp", "par2+file", "s3", "x+y"]), parts, parts, parts)
def test_any_url_is_read_or_refused_and_its_print_is_read_as_the_same_place(scheme, user, host, path):
    for raw in (f"{scheme}://{user}@{host}/{path}", f"{scheme}://{host}{path}"):
        try:
            url = parsed(raw)
        except BadURL:
            continue
        for text in (url.host or "", url.user or "", url.path):
            assert not any(ord(letter) < 32 or ord(letter) == 127 for letter in text)
        assert not (url.host or "").startswith("-")
        assert not (url.user or "").startswith("-")
        again = parsed(str(url))
        same = ("scheme", "wrappers", "user", "host", "port", "path", "query")
        assert [getattr(url, name) for name in same] == [getattr(again, name) for name in same]
        assert str(url) == str(again)
        assert url.port is None or 0 <= url.port < 65536


@pytest.mark.parametrize(
    ("word", "answer"),
    [("file:///x", True), ("a+b://", True), ("x", False), ("/x://y", False), ("a\nb://c", False), ("C:\\x", False)],
)
def test_a_word_is_a_url_when_it_has_a_scheme(word, answer):
    assert answer == is_url(word)


def test_the_scheme_is_told_in_lower_case():
    assert scheme_of("PAR2+S3://x") == "par2+s3"

"""``--copy-links``: what links lead to is stored, and verify compares with the same."""

from __future__ import annotations

from sites import Site


def test_what_links_lead_to_is_stored_and_compared(site: Site) -> None:
    (site.place / "real").write_bytes(b"data")
    (site.source / "link").symlink_to("../real")
    assert site.backup("full", "--copy-links").status == 0
    answer = site.run("verify", "--compare-data", "--copy-links", site.url, site.source)
    assert answer.status == 0, answer
    assert site.restore().status == 0
    assert not (site.out / "link").is_symlink()
    assert (site.out / "link").read_bytes() == b"data"
    (site.place / "real").write_bytes(b"Data")
    answer = site.run("verify", "--compare-data", "--copy-links", site.url, site.source)
    assert answer.status == 1, answer

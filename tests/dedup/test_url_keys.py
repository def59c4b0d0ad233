"""Which addresses mean one page."""

from __future__ import annotations

import pyarrow as pa
import pytest

from corpusmill.dedup.url_keys import normalised_url, url_keys


@pytest.mark.parametrize(
    "other",
    [
        "https://example.org/a/Page?b=2&a=1",
        "http://www.example.org:80/a/Page?a=1&b=2#part",
        "HTTP://EXAMPLE.ORG/a/Page?utm_source=feed&a=1&b=2",
        "http://example.org/a/Page/?a=1&b=2",
    ],
)
def test_one_page_has_one_address(other: str):
    assert normalised_url(other) == normalised_url("http://example.org/a/Page?a=1&b=2")


@pytest.mark.parametrize(
    "other", ["http://example.org/a/page", "http://m.example.org/a/Page", "http://example.org/a/Page?a=1"]
)
def test_what_a_server_may_tell_apart_is_apart(other: str):
    assert normalised_url(other) != normalised_url("http://example.org/a/Page")


def test_keys_are_equal_where_addresses_are_and_null_without_one():
    first, second = url_keys(pa.array(["http://a.org/x", "https://a.org/x/", None, "", "not a url", "http://a.org/y"]))
    assert first.is_null().to_pylist() == second.is_null().to_pylist() == [False, False, True, True, False, False]
    assert first[0] == first[1]
    assert len({x for x in first.to_pylist() if x is not None}) == 3

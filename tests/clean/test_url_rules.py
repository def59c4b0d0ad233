"""Rules on the address: whole words of the decoded URL, hosts with their subdomains."""

from __future__ import annotations

import pytest

from corpusmill.clean.url_rules import UrlFilter

FILTER = UrlFilter(banned_hosts=("Bad.example", ".worse.example"), banned_words=("casino", "SEX", "porn"))


@pytest.mark.parametrize(
    ("url", "host", "verdict"),
    [
        ("https://a.example/BEST-CASINO", "a.example", ("banned_word", "casino")),
        ("https://a.example/best_casino_bonus", "a.example", ("banned_word", "casino")),
        ("https://a.example/?q=free%20casino", "a.example", ("banned_word", "casino")),
        ("https://a.example/%63%61%73%69%6E%6F/", "a.example", ("banned_word", "casino")),
        ("https://casino.a.example/", "casino.a.example", ("banned_word", "casino")),
        ("https://a.example/porn-and-casino", "a.example", ("banned_word", "casino")),
        ("https://a.example/essex/sussex", "a.example", None),
        ("https://www.essex.example/", "www.essex.example", None),
        ("https://a.example/casinos", "a.example", None),
        ("https://a.example/sex", "a.example", ("banned_word", "sex")),
        ("https://bad.example/x", "bad.example", ("banned_host", "bad.example")),
        ("https://www.BAD.example/x", "www.BAD.example", ("banned_host", "bad.example")),
        ("https://a.b.worse.example/x", "a.b.worse.example", ("banned_host", "worse.example")),
        ("https://notbad.example/x", "notbad.example", None),
        ("https://bad.example.org/x", "bad.example.org", None),
        ("https://bad.example/casino", "bad.example", ("banned_host", "bad.example")),
        ("https://a.example/%FF%FE", "a.example", None),
        (None, None, None),
        ("", "", None),
    ],
)
def test_an_address_is_judged_by_whole_words_and_by_host(url: str | None, host: str | None, verdict):
    assert FILTER.judge(url, host) == verdict


def test_a_host_written_with_its_root_dot_is_the_same_host():
    assert FILTER.judge("https://bad.example./x", "bad.example.") == ("banned_host", "bad.example")


def test_no_rules_ban_nothing():
    assert UrlFilter().judge("https://porn.example/casino", "porn.example") is None

"""Rules on the address: whole words of the decoded URL, hosts with their subdomains, parts of words, lists."""

from __future__ import annotations

import inspect

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.clean.page_text import Extractor
from corpusmill.clean.url_address import address_of, host_name
from corpusmill.clean.url_rules import UrlFilter
from corpusmill.clean.word_automaton import words_of
from corpusmill.errors import InputError
from corpusmill.recipe import Url

FILTER = UrlFilter(
    banned_hosts=("Bad.example", ".worse.example", "*.worst.example", "tld"),
    banned_words=("casino", "SEX", "porn", "free spins", "порно"),
    soft_words=("nude", "escort", "hot nights"),
    banned_subwords=("xvideos", "jail bait"),
    allowed_hosts=("health.bad.example", "encyclopedia.example"),
)


@pytest.mark.parametrize(
    ("url", "verdict"),
    [
        # whole words, whatever their case and however they are written
        ("https://a.example/BEST-CASINO", ("banned_word", "casino")),
        ("https://a.example/best_casino_bonus", ("banned_word", "casino")),
        ("https://a.example/?q=free%20casino", ("banned_word", "casino")),
        ("https://a.example?q=casino", ("banned_word", "casino")),
        ("https://a.example/#casino", ("banned_word", "casino")),
        ("https://a.example/%63%61%73%69%6E%6F/", ("banned_word", "casino")),
        ("https://casino.a.example/", ("banned_word", "casino")),
        ("https://a.example/porn-and-casino", ("banned_word", "casino")),
        ("https://a.example/%D0%9F%D0%9E%D0%A0%D0%9D%D0%9E", ("banned_word", "порно")),
        ("https://порно.example/", ("banned_word", "порно")),
        ("https://xn--m1abbbg.example/", ("banned_word", "порно")),
        ("https://a.example/essex/sussex", None),
        ("https://www.essex.example/", None),
        ("https://a.example/casinos", None),
        ("https://a.example/sex", ("banned_word", "sex")),
        # words in a row
        ("https://a.example/100-free_SPINS", ("banned_word", "free spins")),
        ("https://a.example/free/spins", ("banned_word", "free spins")),
        ("https://a.example/spins-free", None),
        ("https://a.example/free-of-spins", None),
        ("https://a.example/freespins", None),
        # hosts with what is under them
        ("https://bad.example/x", ("banned_host", "bad.example")),
        ("https://www.BAD.example/x", ("banned_host", "bad.example")),
        ("https://user:secret@bad.example:8080/x", ("banned_host", "bad.example")),
        ("https://bad.example./x", ("banned_host", "bad.example")),
        ("https://bad%2Eexample/x", ("banned_host", "bad.example")),
        ("//bad.example/x", ("banned_host", "bad.example")),
        ("bad.example/x", ("banned_host", "bad.example")),
        ("https://a.b.worse.example/x", ("banned_host", "worse.example")),
        ("https://a.worst.example/x", ("banned_host", "worst.example")),
        ("https://any.tld/x", ("banned_host", "tld")),
        ("https://notbad.example/x", None),
        ("https://bad.example.org/x", None),
        ("https://a.example/bad.example", None),
        ("https://a.example?bad.example", None),
        ("https://bad.example/casino", ("banned_host", "bad.example")),
        # more than one soft word
        ("https://a.example/nude", None),
        ("https://a.example/nude-nude", None),
        ("https://a.example/nude/Escort", ("soft_words", "escort, nude")),
        ("https://nude.example/hot-nights", ("soft_words", "hot nights, nude")),
        ("https://a.example/nude/escort/porn", ("banned_word", "porn")),
        # parts of words
        ("https://myxvideos4u.example/", ("banned_subword", "xvideos")),
        ("https://a.example/x-vid/eos", ("banned_subword", "xvideos")),
        ("https://a.example/JAILBAITS", ("banned_subword", "jail bait")),
        ("https://x.example/videos", None),
        # exceptions
        ("https://health.bad.example/sex", None),
        ("https://en.encyclopedia.example/xvideos/nude/escort", None),
        ("https://otherencyclopedia.example/sex", ("banned_word", "sex")),
        # what is no address
        ("https://a.example/%FF%FE", None),
        ("http://[broken/x", None),
        ("https://a.example/\ud800casino", ("banned_word", "casino")),
        (None, None),
        ("", None),
        ("   ", None),
    ],
)
def test_an_address_is_judged(url: str | None, verdict: tuple[str, str] | None):
    assert FILTER.find(url) == verdict
    assert FILTER.judge(url) == (verdict[0] if verdict else None)


def test_the_scheme_is_no_part_of_the_words():
    """As datatrove has it, https://exvideos.example holds "sexvideo"."""
    strict = UrlFilter(banned_words=("https", "http"), banned_subwords=("sex video",))
    assert strict.judge("https://exvideos.example/") is None
    assert strict.judge("https://a.example/sex-videos") == "banned_subword"


def test_a_batch_is_judged_as_one_by_one():
    urls = [
        None,
        "https://bad.example/",
        "https://a.example/",
        "",
        "https://a.example/sex",
        "https://health.bad.example/",
    ]
    reasons = FILTER.judge_batch(urls)
    assert reasons.type == pa.string()
    assert reasons.to_pylist() == [FILTER.judge(u) for u in urls]
    assert FILTER.judge_batch(pa.array(urls, pa.string())) == reasons
    assert FILTER.judge_batch([]).to_pylist() == []


def test_no_rules_ban_nothing():
    assert UrlFilter().judge("https://porn.example/casino") is None


@pytest.mark.parametrize(("most", "reason"), [(0, "soft_words"), (1, "soft_words"), (2, None)])
def test_more_soft_words_can_be_let_through(most: int, reason: str | None):
    judge = UrlFilter(soft_words=["a", "b"], max_soft_words=most).judge
    assert judge("https://x.example/a/b") == reason


@pytest.mark.parametrize("kind", ["banned_words", "soft_words", "banned_subwords"])
def test_an_entry_that_could_never_be_found_is_refused(kind: str):
    with pytest.raises(InputError, match=rf"{kind}: '!\?' has no letter"):
        UrlFilter(**{kind: ["fine", "!?"]})


@pytest.mark.parametrize("host", ["", "a/b", "two words", "..."])
def test_a_host_that_is_none_is_refused(host: str):
    with pytest.raises(InputError, match="expected a host"):
        UrlFilter(banned_hosts=[host])


@pytest.mark.parametrize(
    ("url", "host", "location"),
    [
        ("HTTP://WWW.A.example:80/X/?Q=1#frag", "www.a.example", "a.example/x/?q=1"),
        ("a.example/x/", "a.example", "a.example/x"),
        ("http://a@b@c.example", "c.example", "c.example"),
        ("http://münchen.example/ö", "xn--mnchen-3ya.example", "xn--mnchen-3ya.example/ö"),
        ("http://[2001:db8::1]:80/x", "[2001:db8::1]", "[2001:db8::1]/x"),
        ("mailto:someone", "mailto:someone", "mailto:someone"),
        (r"http://a.example\@b.example/", "a.example", r"a.example\@b.example"),
        ("http://" + "ö" * 70 + ".example/", "ö" * 70 + ".example", "ö" * 70 + ".example"),
    ],
)
def test_a_url_is_taken_apart(url: str, host: str, location: str):
    assert address_of(url)[:2] == (host, location)


def test_case_and_spelling_beyond_ascii_hide_no_word():
    judge = UrlFilter(banned_words=["straße", "café", "casino"]).judge
    for path in ("STRASSE", "STRA%C3%9FE", "caf%C3%A9", "cafe%CC%81", "CAFÉ", "ｃａｓｉｎｏ", "ca%C5%BFino"):
        assert judge(f"https://a.example/{path}") == "banned_word", path
    assert judge("https://a.example/cafe") is None


WORDS = st.lists((st.text("abé1", min_size=1, max_size=3) | st.text(max_size=3)).filter(lambda w: words_of(w).strip()),
    max_size=6)  # fmt: skip
TEXTS = st.lists(st.text("abé1 -./", max_size=24) | st.text(max_size=12), max_size=8)


@settings(max_examples=300, deadline=None)
@given(texts=TEXTS, banned=WORDS, soft=WORDS, parts=WORDS)
def test_words_are_found_as_by_looking_for_each(texts: list[str], banned: list[str], soft: list[str], parts: list[str]):
    judge = UrlFilter(banned_words=banned, soft_words=soft, banned_subwords=parts)
    urls = [f"https://x/{t}" for t in texts]
    for url, finding in zip(urls, judge.find_batch(urls), strict=True):
        text = words_of(address_of(url).text)
        expected = None
        banned, soft, parts = ([words_of(w) for w in kind] for kind in (banned, soft, parts))
        if any(w in text for w in banned):
            expected = "banned_word"
        elif sum(w in text for w in set(soft)) > 1:
            expected = "soft_words"
        elif any(w.replace(" ", "") in text.replace(" ", "") for w in parts):
            expected = "banned_subword"
        assert (finding.reason if finding else None) == expected


LABEL = st.text("ab", min_size=1, max_size=2) | st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=3)
LABELS = st.lists(LABEL, min_size=1, max_size=4).map(".".join).filter(host_name)


@settings(max_examples=300, deadline=None)
@given(hosts=st.lists(LABELS, max_size=8), banned=st.lists(LABELS, max_size=6), allowed=st.lists(LABELS, max_size=2))
def test_hosts_are_found_as_by_comparing_their_ends(hosts: list[str], banned: list[str], allowed: list[str]):
    def under(host: str, entries: list[str]) -> list[str]:
        names = map(host_name, entries)
        return [e for e in names if f".{host_name(host)}".endswith(f".{e}")]

    judge = UrlFilter(banned_hosts=banned, allowed_hosts=allowed)
    urls = [f"https://{h}/" for h in hosts]
    for host, finding in zip(hosts, judge.find_batch(urls), strict=True):
        found = [] if under(host, allowed) else under(host, banned)
        assert (finding.found if finding else None) == (max(found, key=len) if found else None)


def test_every_key_of_the_recipe_is_a_setting_of_the_filter():
    assert set(inspect.signature(UrlFilter).parameters) == set(Url.model_fields)
    assert UrlFilter(**Url(banned_words=("sex",)).model_dump()).judge("https://a.example/sex") == "banned_word"


def test_a_banned_page_is_not_decoded_and_says_what_was_found():
    page = Extractor(urls=FILTER).extract(b"<p>text", "https://www.bad.example/", "www.bad.example")
    assert (page.drop_reason, page.drop_detail, page.charset) == ("banned_host", "bad.example", None)
    given = Extractor(urls=FILTER).accept("some text", "https://a.example/nude/escort")
    assert (given.drop_reason, given.drop_detail) == ("soft_words", "escort, nude")

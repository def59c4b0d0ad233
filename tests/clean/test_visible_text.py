"""The visible text of a page in one pass: what a parser would show, and on tag soup never a crash."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from html.entities import name2codepoint
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.clean import visible_text as module
from corpusmill.clean.visible_text import visible_text

ROOT = Path(__file__).resolve().parents[2]
BREAKING = set(module._BREAKING.split())
HIDDEN = set(module._HIDDEN.split())
BLANK = re.compile(r"[\x00-\x20\xa0]+")


def blocks_of(html: str | bytes) -> list[str]:
    return visible_text(html.encode() if isinstance(html, str) else html).text().split("\n")[:-1]


@pytest.mark.parametrize(
    ("html", "blocks"),
    [
        ("", []),
        ("plain", ["plain"]),
        ("<p>one<p>two", ["one", "two"]),
        ("a<b>b</b><i>c</i> d", ["abc d"]),
        ("  a \n\t b  ", ["a b"]),
        # comments
        ("a<!-- <p> > b -->c", ["ac"]),
        ("a<!-->b<!--->c", ["abc"]),
        ("a<!-- never closed <p>b", ["a"]),
        ("a<!doctype html>b<?php echo 1 ?>c", ["abc"]),
        # raw text
        ("a<script>if (a < b) '<p>x'</script>b", ["a b"]),
        ("a<SCRIPT type='x>y'>no</ScRiPt >b", ["a b"]),
        ("a<style>p > a</style>b", ["a b"]),
        ("a<script>never closed <p>b", ["a"]),
        # what is hidden where it is closed
        ("<title>no</title>yes", ["yes"]),
        ("<title>never closed<p>b", ["never closed", "b"]),
        ("a<svg/>b<svg><text>no</text></svg>c", ["a b c"]),
        ("a<select><option>no</select>b<textarea><p>no</textarea>c", ["a b c"]),
        # attributes
        ('<a title="x > y" href=z>b</a>', ["b"]),
        ("<p title='a \"> b'>c", ["c"]),
        ('<p title="never closed>b<p>c', ["b", "c"]),
        ("<p it's=1>b", ["b"]),
        # character references
        ("&lt;p&gt; &amp;&quot;&#39;&apos;", ["<p> &\"''"]),
        ("caf&eacute; &#233; &#xE9; &#XE9 &mdash;&hellip;&euro;&rsquo;", ["café é é é —…€’"]),
        ("a&nbsp;b&#160; &#xa0;c&#0;d&#xD800;e&#99999999;f", ["a b c d e f"]),
        ("&#146;&#128;&#129;", ["’€\ufffd"]),
        ("&#x1F600;&#x10FFFF;", ["😀\U0010ffff"]),
        ("a & b &unknown; &amp &; &#; &#x;", ["a & b &unknown; &amp &; &#; &#x;"]),
        # signs that open nothing
        ("a < b <3 c<", ["a < b <3 c<"]),
        ("a</>b</ p>c</3>d", ["abcd"]),
        ("a<p", ["a"]),
        ("a</", ["a</"]),
    ],
)
def test_what_a_reader_sees(html: str, blocks: list[str]):
    assert blocks_of(html) == blocks


class Oracle(HTMLParser):
    """The same by the standard library's parser, for pages without mistakes."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks, self.hidden, self.open, self.num_tags, self.deepest = [""], 0, 0, 0, 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.num_tags += 1
        self.open += tag not in module._MAY_STAY_OPEN
        self.deepest = max(self.deepest, self.open)
        self.tag(tag)
        self.hidden += tag in HIDDEN or tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self.open -= tag not in module._MAY_STAY_OPEN
        self.hidden -= tag in HIDDEN or tag in ("script", "style")
        self.tag(tag)

    def tag(self, tag: str) -> None:
        if tag in BREAKING:
            self.blocks.append("")
        elif tag in HIDDEN or tag in ("script", "style"):
            self.blocks[-1] += " "

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.blocks[-1] += data

    def found(self) -> list[str]:
        return [b for b in (BLANK.sub(" ", block).strip(" ") for block in self.blocks) if b]


LETTERS = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="<>&"), min_size=1, max_size=8)
# the standard library's parser leaves out what is no character for ever
CODES = st.integers(32, 0x2FFFF).filter(
    lambda c: not (0x7F <= c < 0xA0 or 0xD800 <= c < 0xE000 or 0xFDD0 <= c < 0xFDF0 or c & 0xFFFE == 0xFFFE)
)
REFERENCES = st.one_of(
    st.sampled_from(sorted(name2codepoint)).map(lambda n: f"&{n};"),
    CODES.map(lambda c: f"&#{c};"),
    CODES.map(lambda c: f"&#x{c:X};"),
)
ATTRIBUTES = st.sampled_from(["", ' class="a > b"', " id=x", " title='<p>'", ' data-x="it\'s" hidden', "\n alt = 'a'"])
LEAVES = st.one_of(
    LETTERS,
    REFERENCES,
    st.sampled_from([" ", "\n", "\t\r\n ", "<br>", "<img alt='x'>", "<hr/>", "<!-- a <p> > -->", "<!doctype html>"]),
    st.builds("<{0}>var a = '<p>' && 1 > 0;</{0}>".format, st.sampled_from(["script", "style"])),
    st.builds("<{0}>hidden {1}</{0}>".format, st.sampled_from(sorted(HIDDEN)), LETTERS),
)
CLOSED = ["p", "div", "li", "td", "section", "b", "span", "a", "em", "my-element", "h1", "table"]
PAGES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6).map("".join),
        st.builds("<{0}{1}>{2}</{0}>".format, st.sampled_from(CLOSED), ATTRIBUTES, inner),
    ),
    max_leaves=25,
)


@given(html=PAGES)
@settings(max_examples=400, deadline=None)
def test_well_formed_pages_read_as_by_a_parser(html: str):
    oracle = Oracle()
    oracle.feed(html)
    oracle.close()
    seen = visible_text(html.encode())
    assert seen.text().split("\n")[:-1] == oracle.found()
    assert (seen.tags, seen.depth) == (oracle.num_tags, oracle.deepest)


SOUP = [
    "<", ">", "</", "/>", "<!", "<!--", "-->", "<!-->", "<?", "&", "&#", "&#x", ";", "&amp", "&nbsp;", "&#1114111;",
    "'", '"', "=", "='", '="', " ", "\n", "a", "é", "水", "😀", "<p", "<p>", "</p>", "<a>", "<a", "</a>", "<script",
    "</script", "<title>", "</title", "<svg/>", "<svg>", "</svg>", "<textarea>", "<select", "<br/>", "<b>", "&#x80;",
    "<script>", "&#65536;", "&Alpha;", "<div class='", '<div id="x">', "&thetasym;", "\0", "<style>", "</style>",
    "&#x7ff;", "&#x800;", "<x:y>", "</ p>",
]  # fmt: skip


def check_shape(html: bytes) -> None:
    """Blocks lie side by side in the text, each with its line feed, none empty; links are a part of their block."""
    seen = visible_text(html)
    text = seen.data.tobytes()
    at = 0
    for start, end, links in seen.blocks.tolist():
        assert (start, text[end : end + 1]) == (at, b"\n")
        assert 0 <= links <= end - start > 0
        block = text[start:end]
        assert b"\n" not in block
        assert b"  " not in block
        assert block == block.strip(b" ")
        at = end + 1
    assert at == len(text) <= len(html) + 1
    assert 0 <= seen.depth <= seen.tags <= html.count(b"<")
    try:
        html.decode()
    except UnicodeDecodeError:
        return
    text.decode()
    for size in (0, 1, 7, 1000):
        sample = seen.sample(size).tobytes()
        assert len(sample) <= size
        assert sample.decode("utf-8", "ignore").encode() in (sample, *(sample[:-n] for n in (1, 2, 3)))


@given(
    html=st.one_of(
        st.binary(max_size=200), st.lists(st.sampled_from(SOUP), max_size=30).map(lambda s: "".join(s).encode())
    )
)
@settings(max_examples=500, deadline=None)
def test_tag_soup_gives_well_formed_blocks(html: bytes):
    check_shape(html)


def test_the_kernel_stays_within_its_arrays(tmp_path: Path):
    """In a process of its own with bounds checked: every fragment in every place, and at the page's end."""
    code = (
        "import random, sys\n"
        "from tests.clean.test_visible_text import SOUP, check_shape\n"
        "draw = random.Random(1)\n"
        "for a in SOUP:\n"
        "    check_shape(a.encode())\n"
        "    for b in SOUP:\n"
        "        check_shape((a + b).encode())\n"
        "        check_shape((a + b + 'x').encode()[:-2])\n"
        "for _ in range(4000):\n"
        "    check_shape(''.join(draw.choices(SOUP, k=draw.randrange(40))).encode())\n"
        "    check_shape(draw.randbytes(draw.randrange(60)))\n"
        "print('within')\n"
    )
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert ended.stdout == "within\n", ended.stderr[-2000:]


def test_pages_of_many_short_blocks_and_of_long_characters_have_room():
    for unit in ("<p>x", "x<p>", "<p>", "x", "&#65536;", "&lt;", "&Mu;", "<b> x", "x ", "< ", "</a>x", "<a>x<p>"):
        check_shape((unit * 1000).encode())


@pytest.mark.parametrize(
    "unit", ["<map>", "<script", '<a =">"=', "<svg><object>", "<!", "<?", "</", "&#", "<p a='", "<title>", "<a", "<!--"]
)
def test_hostile_pages_cost_no_more_than_their_length(unit: str):
    """Minutes, were each fragment looked for to the page's end: it is megabytes away."""
    visible_text(b"warm")
    began = time.process_time()
    visible_text((unit * (3_000_000 // len(unit)) + '<a ="').encode())
    assert time.process_time() - began < 2.0


def test_depth_counts_what_must_be_closed_and_tags_what_is_opened():
    assert visible_text(b"<div>" * 5 + b"</div>" * 5)[2:] == (5, 5)
    assert visible_text(b"<p><li><td><br><img><input>")[2:] == (6, 0)
    assert visible_text(b"<x-a><font><div></div></font><b/>")[2:] == (4, 3)
    assert visible_text(b"</div></div><div>")[2:] == (1, 1)


def test_links_are_counted_in_the_block_they_are_in():
    seen = visible_text(b"<p>to <a href=x>the mill</a> by<p><a>all <b>of</b> it</a><p><a>one<p>two</a> three")
    assert [int(b[2]) for b in seen.blocks] == [len(" the mill"), len("all of it"), len("one"), len("two")]


def test_the_sample_is_prose_where_there_is_enough_of_it():
    menu = "<li><a href=x>" + "menu of many words that are links to other pages, which is no prose at all" + "</a>"
    prose = "<p>" + "The miller carries the corn to the wheel by the river every morning before the market. " * 2
    seen = visible_text((menu * 20 + prose * 3 + "<p>short" + menu).encode())
    sample = seen.sample(2000).tobytes().decode()
    assert ("menu" in sample, "short" in sample, sample.count("miller")) == (False, False, 6)
    assert len(seen.sample(100)) == 100
    little = visible_text((menu * 2 + "<p>short").encode())
    assert little.sample(2000).tobytes() == little.data.tobytes()
    assert visible_text(b"").sample(2000).tolist() == []


def test_bytes_that_are_no_utf8_go_through():
    assert visible_text(b"<p>\xff\xfe caf\xe9").data.tobytes() == b"\xff\xfe caf\xe9\n"
    assert isinstance(visible_text(b"x").data, np.ndarray)

"""The engine `blocks`: a page scanned into blocks, each judged by a small model."""

from __future__ import annotations

import html as stdlib_html
import re
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpusmill.clean.block_extractor import block_model, choose, main_text
from corpusmill.clean.block_features import COLUMNS, features
from corpusmill.clean.html_names import TAGS
from corpusmill.clean.html_scan import scan
from corpusmill.clean.page_text import Extractor
from corpusmill.errors import InputError

_PIECES = """
<p> </p> <div class='article-body'> </div> <a href=x> </a> <li> <ul> </ul> <td> <tr> <table> </table> <br> <br/>
<script> </script> <style> <svg> </svg> <svg/> <!-- --> <!--> <!doctype <? < <> </> </p <p <h1> </h1> <title>
</title> <pre> </pre> <custom-tag> </custom-tag> <p/> <template> </template> <nav> <article> <a\thref='x
<div\tid="y <p\tstyle=display:none> &amp; &#65; &#xD800; &#0; &notit; &AElig &# & word Wort, 漢字。 ไทย \x00 = ' "
"""
PIECES = st.sampled_from(re.split("[ \n]+", _PIECES.strip()))


def blocks_of(page: str) -> list[str]:
    found = scan(page.encode())
    text = found.text.tobytes()
    return [text[i:j].decode() for i, j in zip(found.start, found.end, strict=True)]


@pytest.mark.parametrize(
    ("page", "blocks"),
    [
        ("<p>one<p>two", ["one", "two"]),
        ("<p>a <b>bold</b>er\n  word</p>", ["a bolder word"]),
        ("<div>head<p>para</div>tail", ["head", "para", "tail"]),
        ("<ul><li>1<li>2<ul><li>3</ul></ul>", ["1", "2", "3"]),
        ("<table><tr><td>a<td>b<tr><td>c</table>", ["a", "b", "c"]),
        ("one<br>two<br/>three", ["one\ntwo\nthree"]),
        ("<script>if (1 < 2) '</p>'</script>x<style>p{}</style>", ["x"]),
        ("<script>never closed <p>text", []),
        ("<svg>never closed <p>text", ["never closed", "text"]),
        ("<!-- a <p>comment</p> -->x<!-->y", ["xy"]),
        ("a<!-- never closed> b", ["a b"]),
        ("<title>T</title><noscript>off</noscript><p>x", ["x"]),
        ("<p title='a > b'>x</p>", ["x"]),
        ('<p title="never closed>x</p>', ["x"]),
        ("a &lt; b &amp;&nbsp;c &eacute; &eacute &#8211; &#x2014; &#150;", ["a < b & c é é – — –"]),
        ("?a=1&in=2&nosuch;&#xD800;&#;", ["?a=1&in=2&nosuch;�&#;"]),
        ("soft&shy;hy\u00adphen 1 < 2 </ 3>", ["softhyphen 1 < 2"]),
        ("<pre>a\r\n  b\tc </pre>", ["a\n  b\tc"]),
        ("", []),
    ],
)
def test_a_block_is_the_text_between_two_block_level_tags(page: str, blocks: list[str]):
    assert blocks_of(page) == blocks


def test_links_are_measured_in_bytes_of_their_text():
    found = scan(b"<p>see <a href=x>this page</a> and <a>that</a><p><a href=y>all</a>")
    assert found.link_bytes.tolist() == [9, 3]
    assert found.links.tolist() == [1, 1]


def test_each_block_knows_the_element_that_holds_it():
    found = scan(b"<article><h1>t</h1><div><p>x</p></div></article><footer>y</footer>")
    assert [TAGS[found.el_tag[e]] for e in found.element] == ["h1", "p", "footer"]
    article = [TAGS[t] for t in found.el_tag].index("article")
    assert found.el_block[article].tolist() == [0, 2]


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join), st.lists(PIECES, max_size=40).map(" ".join)))
@example("<" * 100)
@example("<p" + " a" * 5000)
@example("<div>" * 2000 + "deep" + "</div>" * 2000)
@example("&" * 100 + "#" * 100)
@example("\ud800<p>lone surrogate")
def test_any_string_gives_text_that_can_be_stored_and_the_same_twice(page: str):
    text = main_text(page)
    assert text.encode("utf-8").decode("utf-8") == text
    assert "\x00" not in text
    assert main_text(page) == text


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=60).map(" ".join))
@example("<p><a href=x>all of the block</a></p>")
@example("<a <p> --> </a>")
def test_the_tree_above_the_blocks_holds_together(page: str):
    found = scan(page.encode("utf-8", "replace"))
    blocks = len(found.start)
    assert (found.el_parent[1:] < np.arange(1, len(found.el_tag))).all()
    for block, element in enumerate(found.element):
        first, end = found.el_block[element]
        assert first <= block < end
    for element, parent in enumerate(found.el_parent):
        assert found.el_block[parent][0] <= found.el_block[element][0] <= found.el_block[element][1]
        assert found.el_block[element][1] <= found.el_block[parent][1] <= blocks
    assert (found.start < found.end).all()
    assert (found.end[:-1] <= found.start[1:]).all()
    assert ((found.link_bytes >= 0) & (found.link_bytes <= found.end - found.start)).all()
    matrix = features(found, page.encode(), block_model().names)
    assert matrix.shape == (blocks, COLUMNS)
    assert np.isfinite(matrix).all()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("abc <>&'\"é漢.,", min_size=1, max_size=12), min_size=1, max_size=8))
def test_escaped_text_between_tags_comes_back_as_it_was(lines: list[str]):
    page = "".join(f"<p class=x>{stdlib_html.escape(line)}</p>" for line in lines)
    want = [" ".join(line.split()) for line in lines]
    assert blocks_of(page) == [line for line in want if line]


def test_time_grows_with_the_page_not_with_its_square():
    """What never ends (comments, quotes, elements) is searched for once."""
    for piece in ("<!--", '<p a="', "<svg>", "<b>", "<a href=x>", "<td>", "</p>"):
        spent = []
        for size in (20_000, 160_000):
            page = (piece * (size // len(piece))).encode()
            begin = time.process_time()
            scan(page)
            spent.append(time.process_time() - begin)
        assert spent[1] < 40 * spent[0] + 0.05, piece


def test_the_kept_blocks_have_the_greatest_expected_f1():
    """Against all subsets, on pages small enough."""
    from itertools import product

    generator = np.random.default_rng(3)
    for _ in range(30):
        likely, words = generator.random(7).round(3), generator.integers(1, 40, 7).astype(float)

        def expected(keep: np.ndarray, likely: np.ndarray = likely, words: np.ndarray = words) -> float:
            return 2 * (words * likely)[keep].sum() / (words[keep].sum() + (words * likely).sum())

        every = [np.array(bits, bool) for bits in product([0, 1], repeat=7) if any(bits)]
        assert expected(choose(likely, words, floor=0)) == pytest.approx(max(map(expected, every)))


def test_an_article_is_told_from_its_menu_and_footer():
    story = "The committee met on Tuesday, and after a long debate it agreed to build the bridge. " * 3
    page = (
        "<body><nav><ul>" + "<li><a href=/x>Section</a>" * 12 + "</ul></nav>"
        "<article class='article-body'><h1>Bridge agreed</h1>" + f"<p>{story}</p>" * 5 + "</article>"
        "<div class='related-links'>" + "<a href=/y>Another story of today</a><br>" * 9 + "</div>"
        "<footer class=footer><p>Copyright 2020. All rights reserved.</p></footer>"
    )
    text = main_text(page)
    assert text.count("agreed to build the bridge") == 15
    assert "Section" not in text
    assert "Another story" not in text
    assert "Copyright" not in text


def test_the_engine_is_chosen_in_the_recipe_and_named_in_the_row():
    page = Extractor("blocks").extract(b"<title>T</title><p>A page of one sentence, which is its text.</p>")
    assert (page.extractor, page.text) == ("blocks", "A page of one sentence, which is its text.")
    empty = Extractor("blocks").extract(b"<img src=x>")
    assert (empty.drop_reason, empty.drop_detail) == ("no_text", "blocks")


def test_a_model_for_other_features_is_refused():
    from corpusmill.clean.block_extractor import BlockModel

    with pytest.raises(InputError, match="train it again"):
        BlockModel.read('{"features": ["words"]}')


def test_the_model_is_small():
    from corpusmill.clean import block_extractor

    assert Path(block_extractor.__file__).with_name("block_model.json").stat().st_size < 500_000


@pytest.fixture(scope="module")
def articles(data_folder: Path) -> list[tuple[str, str]]:
    import gzip
    import json

    folder = data_folder / "extraction/article-extraction-benchmark"
    gold = json.loads((folder / "ground-truth.json").read_text())
    return [
        (gzip.decompress((folder / f"html/{key}.html.gz").read_bytes()).decode("utf-8", "replace"), page["articleBody"])
        for key, page in sorted(gold.items())
    ]


def test_on_news_articles_quality_stays_above_its_floor(articles: list[tuple[str, str]]):
    """4-gram precision and recall as the benchmark's README defines them. The floor may rise."""
    from collections import Counter
    from statistics import mean

    def grams(text: str) -> Counter[tuple[str, ...]]:
        words = re.findall(r"\w+", text)
        return Counter(zip(*(words[i:] for i in range(4)), strict=False)) if len(words) > 3 else Counter([tuple(words)])

    precision, recall = [], []
    for page, body in articles:
        want, found = grams(body), grams(main_text(page))
        shared = (want & found).total()
        precision.append(shared / found.total())
        recall.append(shared / want.total())
    p, r = mean(precision), mean(recall)
    assert 2 * p * r / (p + r) >= 0.955

"""A line goes where enough documents of its host, or of the corpus, have it; what is left reads on without it."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text_runs import cuts_of, left_of

from corpusmill.dedup.line_kernels import find_units
from corpusmill.engines import make_engine
from corpusmill.errors import InputError
from corpusmill.recipe import parse_recipe


def normal(unit: str) -> str:
    """CCNet's normal form, slowly."""
    found = []
    for c in unit:
        kind, lower = unicodedata.category(c), c.lower() if len(c.lower()) == 1 else c
        if c.isspace():
            found.append(" ")
        elif kind[0] in "LMNS" or ord(c) >= 0x20000:
            found.append("0" if kind == "Nd" else lower)
    return re.sub(" +", " ", "".join(found)).strip(" ")


def units_of(text: str, paragraphs: bool = False) -> list[tuple[int, int, str]]:
    """(start, end in characters, normal form) of lines, or of runs of lines that are not blank."""
    found: list[tuple[int, int]] = []
    at, open_unit = 0, False
    for line in text.split("\n"):
        bare = line.rstrip("".join(map(chr, range(33))))
        if bare and paragraphs and open_unit:
            found[-1] = (found[-1][0], at + len(bare))
        elif bare:
            found.append((at, at + len(bare)))
        open_unit = bool(bare)
        at += len(line) + 1
    return [(a, b, normal(text[a:b])) for a, b in found]


def slow_cut(text: str, go: list[bool], paragraphs: bool = False) -> str:
    """A text without the units that go."""
    units = units_of(text, paragraphs)
    if units and all(go):
        return ""
    last = max((i for i, g in enumerate(go) if not g), default=-1)
    gone: set[int] = set()
    for i, ((a, b, _), g) in enumerate(zip(units, go, strict=True)):
        if g and i < last:
            gone |= set(range(a, units[i + 1][0]))
        elif g:
            gone |= set(range(units[i - 1][1], b))
    return "".join(c for i, c in enumerate(text) if i not in gone)


def slow_left(texts: list[str], hosts: list[str], lines: dict[str, Any]) -> list[str]:
    """What the settings leave of each text, by dictionaries."""
    paragraphs, least_chars = lines.get("unit") == "paragraph", lines.get("min_chars", 5)
    units = [units_of(t, paragraphs) for t in texts]
    go = [[False] * len(u) for u in units]
    for by_host in (True, False):
        least = lines.get("min_host_documents", 5) if by_host else lines.get("min_corpus_documents", 0)
        having: dict[Any, set[int]] = defaultdict(set)
        first: dict[Any, tuple[int, int]] = {}
        for d, found in enumerate(units):
            for i, (_, _, said) in enumerate(found):
                having[hosts[d] if by_host else "", said].add(d)
                first.setdefault((hosts[d] if by_host else "", said), (d, i))
        for d, found in enumerate(units):
            for i, (_, _, said) in enumerate(found):
                key = (hosts[d] if by_host else "", said)
                often = least and len(having[key]) >= least and len(said.replace(" ", "")) >= least_chars
                if by_host:
                    often = often and hosts[d] and len(having[key]) >= lines["min_host_share"] * hosts.count(hosts[d])
                kept = lines.get("keep") == "first" and first[key] == (d, i)
                go[d][i] |= bool(often) and not kept
    return [slow_cut(t, g, paragraphs) for t, g in zip(texts, go, strict=True)]


@given(
    st.lists(
        st.text(st.sampled_from("aB é٣7中.,-\t \n\r\u00a0𠀀̈"), max_size=40) | st.text(st.characters(codec="utf-8")),
        max_size=5,
    ),
    st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_units_are_those_of_a_slow_reading_and_say_the_same_where_their_normal_forms_do(texts, paragraphs):
    found = find_units(pa.array(texts, pa.large_string()), paragraphs)
    slow = [(d, *u) for d, t in enumerate(texts) for u in units_of(t, paragraphs)]
    starts = [(d, len(texts[d][:a].encode()), len(texts[d][:b].encode())) for d, a, b, _ in slow]
    assert list(zip(*(c.tolist() for c in found[:3]), strict=True)) == starts
    assert found.chars.tolist() == [len(said.replace(" ", "")) for *_, said in slow]
    for i, one in enumerate(slow):
        for j, other in enumerate(slow):
            assert (found.key[i] == found.key[j]) == (one[3] == other[3])


LINES = st.sampled_from(["Menu", "MENU!", "page 1", "Page 22", "", " ", "ab", "text é", "中文中文中", "…", "last  one"])
TEXTS = st.lists(LINES, max_size=7).map("\n".join)


@given(
    st.lists(st.tuples(TEXTS, st.sampled_from(["a", "b", ""])), max_size=10),
    st.fixed_dictionaries(
        {
            "unit": st.sampled_from(["line", "paragraph"]),
            "min_chars": st.sampled_from([1, 3]),
            "min_host_documents": st.sampled_from([0, 2, 3]),
            "min_host_share": st.sampled_from([0.0, 0.4]),
            "min_corpus_documents": st.sampled_from([2, 4]),
            "keep": st.sampled_from(["none", "first"]),
        }
    ),
    st.sampled_from([1, 2, 7]),
)
@settings(max_examples=40, deadline=None)
def test_what_is_left_is_what_dictionaries_leave_in_any_number_of_parts(documents, lines, parts):
    texts, hosts = [t for t, _ in documents], [h for _, h in documents]
    with TemporaryDirectory() as run:
        cuts, counts = cuts_of(Path(run), {"lines": lines}, texts, hosts, parts)
    left = left_of(texts, cuts)
    assert left == slow_left(texts, hosts, lines)
    assert counts["cut_bytes_in_all"] == sum(len(t.encode()) for t in texts) - sum(len(t.encode()) for t in left)
    assert counts["cut_bytes"] == {f"frequent_{lines['unit']}": counts["cut_bytes_in_all"]}
    assert counts["cut_documents"] == len({d for d, *_ in cuts})
    assert counts["emptied_documents"] == sum(bool(t) and not one for t, one in zip(texts, left, strict=True))


def test_the_menu_of_a_host_goes_and_the_same_words_elsewhere_stay(tmp_path: Path):
    texts = [
        f"Home | News\n\nStory number {w} of the day.\nShare this" for w in ("one", "two", "three", "four", "five")
    ]
    cuts, counts = cuts_of(tmp_path, {"lines": {}}, [*texts, "Home | News\nElsewhere"], ["h"] * 5 + ["g"])
    assert left_of(texts, cuts)[0] == "Story number one of the day."
    assert {why for *_, why in cuts} == {"frequent_line"}
    assert {d for d, *_ in cuts} == {0, 1, 2, 3, 4}
    assert counts["cut_spans"] == {"frequent_line": 10}


def test_a_share_is_exact_at_its_bound(tmp_path: Path):
    texts = ["a heading here\nx"] * 3 + ["y"] * 27
    for share, cut in ((0.1, 3), (0.100001, 0)):
        lines = {"min_host_documents": 3, "min_host_share": share}
        assert len(cuts_of(tmp_path / str(share), {"lines": lines}, texts, ["h"] * 30)[0]) == cut


def test_a_refrain_counts_once_for_its_document(tmp_path: Path):
    texts = ["la la la la\n" * 50, "la la la la\nanother"]
    cuts, _ = cuts_of(tmp_path, {"lines": {"min_corpus_documents": 3}}, texts)
    assert cuts == []


def test_removed_documents_take_no_part(tmp_path: Path):
    texts = ["same line here\na", "same line here\nb", "same line here\nc"]
    lines = {"min_corpus_documents": 2, "keep": "first"}
    cuts, _ = cuts_of(tmp_path, {"lines": lines}, texts, gone=frozenset({0}))
    assert [(d, a, b) for d, a, b, _ in cuts] == [(2, 0, 15)]


def test_a_document_of_boilerplate_alone_is_emptied_and_counted(tmp_path: Path):
    texts = ["\n accept cookies \n\n", "accept cookies"]
    cuts, counts = cuts_of(tmp_path, {"lines": {"min_corpus_documents": 2}}, texts)
    assert left_of(texts, cuts) == ["", ""]
    assert counts["emptied_documents"] == 2


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_both_engines_cut_the_same_in_any_number_of_parts(java: str, tmp_path: Path, parts: int, texts_of_hosts):
    texts, hosts = texts_of_hosts
    lines = {"min_host_documents": 2, "min_host_share": 0.5, "min_corpus_documents": 6, "keep": "first", "min_chars": 1}
    local = cuts_of(tmp_path / "local", {"lines": lines}, texts, hosts, parts)
    engine = make_engine("spark", 2)
    spark = cuts_of(tmp_path / "spark", {"lines": lines}, texts, hosts, parts, engine=engine)
    assert spark == local
    assert left_of(texts, local[0]) == slow_left(texts, hosts, lines)
    assert len(local[0]) > 20


@pytest.fixture
def texts_of_hosts() -> tuple[list[str], list[str]]:
    words = ["menu", "about us", "page 1 of 9", "news", "contact"]
    texts = ["\n".join(f"{words[(i * j) % 5]}" for j in range(1, 4)) + f"\nown text {'x' * i}" for i in range(24)]
    return texts, [f"h{i % 3}" for i in range(24)]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ({"min_host_documents": 0}, "both min_host_documents and min_corpus_documents are 0"),
        ({"min_corpus_documents": 1}, "the least is 2"),
        ({"min_hosts": 3}, "dedup.lines.min_hosts: no such key; "),
    ],
)
def test_settings_that_mean_nothing_are_refused(lines: dict[str, Any], sentence: str):
    with pytest.raises(InputError, match=re.escape(sentence)):
        parse_recipe({"dedup": {"lines": lines}})

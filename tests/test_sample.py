"""The synthetic web keeps its promises: whole, readable, deterministic, and as its truth file says."""

from __future__ import annotations

import dataclasses
import html
import io
import itertools
import json
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from corpusmill.errors import InputError
from corpusmill.sample import KINDS, SampleSummary, write_sample

ArchiveIterator = pytest.importorskip("fastwarc.warc").ArchiveIterator
WarcRecordType = pytest.importorskip("fastwarc.warc").WarcRecordType

PAGES, SEED = 400, 7
ARTICLE_KINDS = ("article", "exact_duplicate", "near_duplicate")
LONE_CHARACTERS = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3040-\u30ff"


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> SampleSummary:
    return write_sample(str(tmp_path_factory.mktemp("sample") / "web.warc.gz"), pages=PAGES, seed=SEED)


@pytest.fixture(scope="module")
def archive(summary: SampleSummary) -> bytes:
    return Path(summary.path).read_bytes()


@pytest.fixture(scope="module")
def truth(summary: SampleSummary) -> list[dict[str, Any]]:
    lines = Path(summary.truth_path).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def bodies(archive: bytes) -> dict[str, bytes]:
    records = ArchiveIterator(io.BytesIO(archive), record_types=WarcRecordType.response)
    return {record.headers["WARC-Record-ID"]: record.reader.read() for record in records}


def slow_jaccard(left: str, right: str) -> float:
    """Written apart from the code under test: lists and loops, 5-word shingles, a CJK character being a word."""

    def shingles(text: str) -> list[str]:
        spaced = re.sub(f"([{LONE_CHARACTERS}])", r" \1 ", text.lower())
        words = re.findall(r"\w+", spaced)
        found: list[str] = []
        for start in range(len(words) - 4):
            found.append(" ".join(words[start : start + 5]))
        return found

    ours, theirs = frozenset(shingles(left)), frozenset(shingles(right))
    both = sum(1 for shingle in ours if shingle in theirs)
    return both / (len(ours) + len(theirs) - both)


def test_the_same_seed_writes_the_same_bytes(summary, archive, tmp_path):
    again = write_sample(str(tmp_path / "other-name.warc.gz"), pages=PAGES, seed=SEED)
    assert Path(again.path).read_bytes() == archive
    assert Path(again.truth_path).read_bytes() == Path(summary.truth_path).read_bytes()


def test_another_seed_writes_another_web(archive, tmp_path):
    other = write_sample(str(tmp_path / "web.warc.gz"), pages=PAGES, seed=SEED + 1)
    assert Path(other.path).read_bytes() != archive
    assert other.by_kind.keys() == dict.fromkeys(KINDS).keys()


def test_the_summary_counts_what_was_written(summary, archive, truth):
    kinds = [row["kind"] for row in truth]
    assert (summary.pages, summary.bytes, len(truth)) == (PAGES, len(archive), PAGES)
    assert summary.by_kind == {kind: kinds.count(kind) for kind in KINDS}
    assert summary.articles == sum(row["cluster"] is not None for row in truth)
    assert summary.records == sum(1 for _ in ArchiveIterator(io.BytesIO(archive)))


def test_only_the_two_files_are_left(summary):
    assert sorted(path.name for path in Path(summary.path).parent.iterdir()) == ["web.truth.jsonl", "web.warc.gz"]


def test_every_kind_of_page_is_there(summary):
    assert {kind: count for kind, count in summary.by_kind.items() if count == 0} == {}


def test_every_language_and_declaration_is_there(truth):
    assert {row["language"] for row in truth} == {"en", "de", "fr", "es", "ru", "zh", "ja", "ar", None}
    assert {row["charset_declared"] for row in truth} == {"header", "meta", "http-equiv", "bom", "none"}


def test_urls_and_record_ids_are_unique(truth):
    assert len({row["url"] for row in truth}) == len({row["warc_record_id"] for row in truth}) == PAGES


def test_fastwarc_reads_it_with_every_digest_right(archive, truth):
    records = list(ArchiveIterator(io.BytesIO(archive), verify_digests=True, strict_mode=True, parse_http=False))
    assert records[0].record_type == WarcRecordType.warcinfo
    ids = [record.headers["WARC-Record-ID"] for record in records if record.record_type == WarcRecordType.response]
    assert ids == [row["warc_record_id"] for row in truth]


def test_fastwarc_finds_payload_and_block_digests_right_record_by_record(archive):
    verdicts = set()
    for record in ArchiveIterator(io.BytesIO(archive), parse_http=False, record_types=WarcRecordType.response):
        verdicts.add(record.verify_block_digest(consume=False))
        record.parse_http()
        verdicts.add(record.verify_payload_digest(consume=True))
    assert verdicts == {True}


def test_warcio_reads_it_with_every_digest_right(archive, truth):
    reader = pytest.importorskip("warcio.archiveiterator").ArchiveIterator(io.BytesIO(archive), check_digests="raise")
    rows = {row["warc_record_id"]: row for row in truth}
    seen = 0
    for record in reader:
        body = record.content_stream().read()
        if record.rec_type == "response":
            row = rows[record.rec_headers.get_header("WARC-Record-ID")]
            assert record.http_headers.get_statuscode() == str(row["status"])
            assert record.http_headers.get_header("Content-Length") == str(len(body))
            seen += 1
    assert seen == PAGES


def test_offset_and_length_in_the_truth_lead_to_the_record(archive, truth):
    for row in truth:
        member = archive[row["offset"] : row["offset"] + row["length"]]
        (record,) = list(ArchiveIterator(io.BytesIO(member)))
        found = (record.headers["WARC-Record-ID"], record.headers["WARC-Target-URI"], record.http_headers.status_code)
        assert found == (row["warc_record_id"], row["url"], row["status"])


def test_the_stated_charset_decodes_the_page_to_the_first_sentence(truth, bodies):
    checked = [row for row in truth if row["text"] and row["kind"] != "spam"]
    for row in checked:
        page = html.unescape(bodies[row["warc_record_id"]].decode(row["charset"]))
        assert row["text"].split("\n")[0] in page
        assert page.startswith("\ufeff") == (row["charset_declared"] == "bom")
    assert len(checked) > PAGES // 2


def test_a_page_declares_its_charset_where_the_truth_says(truth, bodies):
    pages = [row for row in truth if row["kind"] == "article"]
    for row in pages:
        head = bodies[row["warc_record_id"]].split(b"</head>")[0].split(b"</HEAD>")[0].decode("latin-1")
        name = row["charset"]
        found = {
            "header": row["content_type"] == f"text/html; charset={name.upper()}",
            "meta": f'<meta charset="{name}">' in head,
            "http-equiv": f'content="text/html; charset={name}"' in head,
        }
        assert [place for place, there in found.items() if there] == [
            place for place in found if place == row["charset_declared"]
        ]


def test_near_duplicates_are_as_similar_as_the_truth_says(truth):
    originals = {row["cluster"]: row for row in truth if row["kind"] == "article"}
    copies = [row for row in truth if row["kind"] == "near_duplicate"]
    for row in copies:
        similarity = slow_jaccard(originals[row["cluster"]]["text"], row["text"])
        assert similarity == pytest.approx(row["jaccard"], abs=1e-12)
        assert 0.8 <= similarity < 1.0


def test_exact_duplicates_have_their_originals_text_on_another_url(truth):
    originals = {row["cluster"]: row for row in truth if row["kind"] == "article"}
    for row in truth:
        if row["kind"] == "exact_duplicate":
            original = originals[row["cluster"]]
            assert (row["text"], row["jaccard"]) == (original["text"], 1.0)
            assert row["url"] != original["url"]


def test_pages_that_are_not_planted_duplicates_share_little(truth):
    rows = [row for row in truth if row["text"] and row["kind"] not in ("exact_duplicate", "near_duplicate")]
    by_language = defaultdict(list)
    for row in rows:
        by_language[row["language"]].append(row["text"])
    # every pair outside English; in English, of which there are too many, neighbours up to ten apart
    near = [pair for code, texts in by_language.items() if code != "en" for pair in itertools.combinations(texts, 2)]
    english = by_language["en"]
    near += [(english[i], english[j]) for i in range(len(english)) for j in range(i + 1, min(i + 11, len(english)))]
    assert max(_quick_jaccard(left, right) for left, right in near) < 0.2


def _quick_jaccard(left: str, right: str) -> float:
    ours, theirs = _shingles(left), _shingles(right)
    return len(ours & theirs) / max(1, len(ours | theirs))


@cache
def _shingles(text: str) -> frozenset[str]:
    words = re.findall(rf"[{LONE_CHARACTERS}]|[^\W{LONE_CHARACTERS}]+", text.lower())
    return frozenset(" ".join(words[i : i + 5]) for i in range(len(words) - 4))


def test_a_language_identifier_names_the_language_of_the_articles(truth):
    detect_fast = pytest.importorskip("resiliparse.parse.lang").detect_fast
    rows = [row for row in truth if row["kind"] in ARTICLE_KINDS]
    right = sum(detect_fast(row["text"])[0] == row["language"] for row in rows)
    assert right / len(rows) >= 0.95


def test_english_articles_look_like_prose_to_gophers_rules(truth):
    stop_words = {"the", "be", "to", "of", "and", "that", "have", "with"}
    for row in truth:
        if row["language"] == "en" and row["kind"] == "article":
            words = row["text"].split()
            assert 120 <= len(words) <= 900
            assert 3 <= sum(map(len, words)) / len(words) <= 10
            assert len(stop_words & set(row["text"].lower().split())) >= 2
            assert sum(any(c.isalpha() for c in word) for word in words) / len(words) > 0.8


def test_short_pages_have_fewer_than_fifty_words(truth):
    assert max(len(row["text"].split()) for row in truth if row["kind"] == "short") < 50


def test_hostile_pages_carry_script_as_text_only(truth, bodies):
    for row in truth:
        if row["kind"] == "hostile":
            page = bodies[row["warc_record_id"]].decode(row["charset"])
            assert "<script>alert(1)</script>" in row["title"]
            assert "</script><img src=x onerror=alert(1)>" in row["text"]
            assert "<script>alert" not in page
            assert "<img src=x" not in page


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pages": 19}, "pages is 19, expected at least 20"),
        ({"hosts": 3}, "hosts is 3, expected at least 12"),
        ({"name": "web.txt"}, "web.txt does not end in .warc.gz"),
        ({"name": "missing/web.warc.gz"}, "missing is not an existing folder"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(tmp_path, changes, sentence):
    arguments = {"pages": 20, "seed": 0, **changes}
    path = tmp_path / str(arguments.pop("name", "web.warc.gz"))
    with pytest.raises(InputError, match=re.escape(sentence)):
        write_sample(str(path), **arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_half_way_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("corpusmill.sample._write", fail)
    with pytest.raises(OSError, match="disk full"):
        write_sample(str(tmp_path / "web.warc.gz"), pages=20)
    assert list(tmp_path.iterdir()) == []


def test_the_summary_cannot_be_changed(summary):
    with pytest.raises(dataclasses.FrozenInstanceError):
        summary.pages = 0

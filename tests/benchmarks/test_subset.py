"""A part of an archive: every k-th page, evenly, marked as HTML; a whole archive loses nothing."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from small_warcs import by_record, http, page, record

from benchmarks.subset import PAYLOAD_TYPE, evenly, identified, subset
from corpusmill.ingest import Tally, read_pages

RECORDS = [
    record(0, b"software: test", kind="warcinfo", content_type="application/warc-fields"),
    *(page(n) for n in range(1, 11)),
    record(11, http(b"", status="302 Found")),
]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "web.warc.gz"
    path.write_bytes(by_record(RECORDS))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "part").mkdir()
    return tmp_path / "part"


def pages_of(path: Path) -> list[tuple[str, bytes]]:
    """(address, body) of the pages that are HTML."""
    with path.open("rb") as f:
        rows = [row for batch in read_pages(f, path.name, Tally()) for row in batch.to_pylist()]
    return [(row["url"], row["body"]) for row in rows if row["drop_reason"] is None]


def test_pages_are_spread_evenly_over_the_archive(archive: Path, folder: Path):
    part = subset(archive, 5, folder)
    assert pages_of(part.path) == pages_of(archive)[::2]
    assert (part.pages, part.records) == (5, 5)
    assert part.html_bytes == sum(len(body) for _, body in pages_of(part.path))


@pytest.mark.parametrize("count", [0, 10, 99])
def test_the_whole_keeps_every_record_in_order(archive: Path, folder: Path, count: int):
    part = subset(archive, count, folder)
    without_mark = gzip.decompress(part.path.read_bytes()).replace(b"\r\n" + PAYLOAD_TYPE + b": text/html", b"")
    assert without_mark == b"".join(RECORDS)
    assert (part.pages, part.records) == (10, 12)


def test_pages_are_marked_as_common_crawl_marks_them_and_nothing_else_is(archive: Path, folder: Path):
    whole = gzip.decompress(subset(archive, 0, folder).path.read_bytes())
    assert whole.count(PAYLOAD_TYPE + b": text/html\r\n") == 10
    assert PAYLOAD_TYPE not in whole[: len(RECORDS[0])]


def test_as_it_is_copies_byte_for_byte(archive: Path, folder: Path):
    assert subset(archive, 0, folder, as_it_is=True).path.read_bytes() == archive.read_bytes()


def test_a_page_that_is_marked_stays_as_it_is():
    member = by_record([record(1, http(b"<p>x</p>"), headers={PAYLOAD_TYPE.decode().lower(): "text/html"})])
    assert identified(member) == member


def test_evenly_takes_all_where_there_are_no_more():
    assert evenly([1, 2, 3], 3) == evenly([1, 2, 3], 7) == [1, 2, 3]
    assert evenly(list(range(9)), 3) == [0, 3, 6]

"""ARC files, versions 1 and 2, as the Internet Archive wrote them before WARC; and LZ4."""

from __future__ import annotations

import gzip
import io
from datetime import UTC, datetime
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from small_warcs import html_of, http, page

from corpusmill.ingest.plain_records import Member
from corpusmill.ingest.warc_members import read_member, walk
from corpusmill.ingest.warc_pages import Tally, read_pages

FIELDS = b"URL IP-address Archive-date Content-type Archive-length\n"


def first(fields: bytes = FIELDS, version: bytes = b"1 0 Some Archive\n") -> bytes:
    block = version + fields
    return b"filedesc://a.arc 0.0.0.0 20040712071242 text/plain %d\n" % len(block) + block + b"\n"


def arc(number: int, block: bytes, *, url: str | None = None, content_type: str = "text/html") -> bytes:
    url = url or f"http://site-{number}.example/page"
    return f"{url} 127.0.0.1 20040712071244 {content_type} {len(block)}\n".encode() + block + b"\n"


def arc_2(number: int, block: bytes) -> bytes:
    line = f"http://site-{number}.example/page 127.0.0.1 20040712071244 text/html 200 ABC - 1234 a.arc {len(block)}\n"
    return line.encode() + block + b"\n"


RECORDS = [first(), *(arc(i, http(html_of(i))) for i in range(12))]
RECORDS_2 = [
    first(
        b"URL IP-address Archive-date Content-type Result-code Checksum Location Offset Filename Archive-length\n",
        b"2 0 Some Archive\n",
    ),
    *(arc_2(i, http(html_of(i))) for i in range(12)),
]
FORMS = {
    "plain": b"".join,
    "gzip": lambda records: b"".join(gzip.compress(r) for r in records),
    "whole gzip": lambda records: gzip.compress(b"".join(records)),
    "zstd": lambda records: b"".join(zstandard.compress(r) for r in records),
}


def members(data: bytes) -> list[Member]:
    return list(walk(io.BytesIO(data), "a.arc", 1_000_000))


def rows_of(data: bytes, tally: Tally | None = None) -> list[dict[str, Any]]:
    return [r for b in read_pages(io.BytesIO(data), "a.arc", tally or Tally()) for r in b.to_pylist()]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("records", [RECORDS, RECORDS_2], ids=["version 1", "version 2"])
def test_each_record_has_its_place_and_is_found_again(form: str, records: list[bytes]):
    data = FORMS[form](records)
    found = members(data)
    assert [m.data for m in found] == records
    again = [read_member(io.BytesIO(data), m.offset, m.length, m.offset_kind) for m in found]
    assert again == records


@pytest.mark.parametrize("records", [RECORDS, RECORDS_2], ids=["version 1", "version 2"])
def test_a_page_says_where_and_when_it_was_found(records: list[bytes]):
    tally = Tally()
    rows = rows_of(b"".join(records), tally)
    start = len(records[0]) + len(records[1])
    expected = {
        "id": f"a.arc:{start}",
        "url": "http://site-1.example/page",
        "host": "site-1.example",
        "fetched_at": datetime(2004, 7, 12, 7, 12, 44, tzinfo=UTC),
        "status": 200,
        "content_type": "text/html",
        "body": html_of(1),
        "warc_offset": start,
    }
    assert {name: rows[1][name] for name in expected} == expected
    assert (len(rows), tally.not_response) == (12, {"warcinfo": 1})
    assert tally.bytes == sum(map(len, records))


@pytest.mark.parametrize(
    ("record", "reason", "detail"),
    [
        (arc(1, b"20040712 1.2.3.4", url="dns:a.b", content_type="text/dns"), "not_http", "text/dns"),
        (arc(1, http(b"", status="404 No")), "http_status", "404"),
        (arc(1, http(b"x", content_type="image/png"), content_type="image/png"), "not_html", "image/png"),
        (arc(1, http(html_of(1)), content_type=""), None, None),
        (arc(1, http(html_of(1)), content_type="text/html; charset=x"), None, None),
        (arc(1, http(html_of(1)), url="http://a.b/a b?c=d e"), None, None),
        (arc(1, http(html_of(1)), url="http://a.b/ 1.2.3.4 20010101000000 text/html 5"), None, None),
    ],
)
def test_each_record_is_a_page_or_has_its_reason(record: bytes, reason: str | None, detail: str | None):
    (row,) = rows_of(first() + record)
    assert (row["drop_reason"], row["drop_detail"]) == (reason, detail)


def test_no_line_break_need_stand_between_records():
    records = [r[:-1] for r in RECORDS]
    assert [m.data for m in members(b"".join(records))] == records


@settings(max_examples=100, deadline=None)
@given(at=st.integers(0, 6000), length=st.integers(1, 200), junk=st.binary(max_size=100))
def test_damage_costs_the_records_it_hit(at: int, length: int, junk: bytes):
    data = b"".join(RECORDS)
    broken = data[:at] + junk + data[at + length :]
    read = {m.data.rstrip() for m in members(broken) if m.damage is None}
    ends = [sum(map(len, RECORDS[: i + 1])) for i in range(len(RECORDS))]
    whole = [r for r, end in zip(RECORDS, ends, strict=True) if end <= at or end - len(r) >= at + length]
    assert [r for r in whole if r.rstrip() not in read] == []


def test_an_lz4_archive_is_read_as_a_whole_and_says_where_it_was_cut():
    from fastwarc.stream_io import Lz4Writer

    records = [page(i) for i in range(200)]
    packed = io.BytesIO()
    writer = Lz4Writer(packed)
    for r in records:
        writer.write(r)
    writer.close()
    data = packed.getvalue()
    found = members(data)
    assert [m.data for m in found] == records
    m = found[77]
    assert read_member(io.BytesIO(data), m.offset, m.length, m.offset_kind) == records[77]
    cut = members(data[: len(data) // 2])
    assert [m.data for m in cut if m.damage is None] == records[: len(cut) - 1]
    assert cut[-1].damage is not None

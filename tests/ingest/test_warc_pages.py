"""Records to pages: what is a page, what its bytes are, and why the others are none."""

from __future__ import annotations

import gzip
import io
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_warcs import by_record, html_of, http, page, record, truth_of

from corpusmill.errors import InputError
from corpusmill.ingest.page_sources import open_source
from corpusmill.ingest.warc_pages import Tally, host_of, read_pages
from corpusmill.mill import open_mill
from corpusmill.recipe import Ingest, load_recipe
from corpusmill.schemas import PAGES

HTML = b"<html><body>" + b"the quick brown fox " * 50 + b"</body></html>"


def rows_of(*records: bytes, **options: Any) -> list[dict[str, Any]]:
    batches = read_pages(io.BytesIO(by_record(records)), "a.warc.gz", Tally(), **options)
    return [row for batch in batches for row in batch.to_pylist()]


def chunked(body: bytes, size: int = 100) -> bytes:
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(f"{len(p):x}\r\n".encode() + p + b"\r\n" for p in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "headers"),
    [
        (HTML, []),
        (HTML, [f"Content-Length: {len(HTML)}"]),
        (chunked(HTML), ["Transfer-Encoding: chunked"]),
        (gzip.compress(HTML), ["Content-Encoding: gzip"]),
        (zlib.compress(HTML), ["Content-Encoding: deflate"]),
        (chunked(gzip.compress(HTML)), ["Transfer-Encoding: chunked", "Content-Encoding: gzip"]),
    ],
    ids=["plain", "with a length", "chunked", "gzip", "deflate", "chunked gzip"],
)
def test_a_body_is_what_the_server_meant(sent: bytes, headers: list[str]):
    (row,) = rows_of(page(1, sent, more=headers))
    assert (row["drop_reason"], row["body"]) == (None, HTML)


def test_a_body_that_crawlers_decoded_but_left_labelled_is_taken_as_it_is():
    (row,) = rows_of(page(1, HTML, more=["Transfer-Encoding: chunked"]))
    assert (row["drop_reason"], row["body"]) == (None, HTML)


@pytest.mark.parametrize(
    ("block", "reason", "detail"),
    [
        (http(HTML, status="404 Not Found"), "http_status", "404"),
        (http(b"", status="301 Moved"), "http_status", "301"),
        (http(HTML, content_type="application/pdf"), "not_html", "application/pdf"),
        (http(HTML, content_type="TEXT/PLAIN; charset=utf-8"), "not_html", "text/plain"),
        (http(b"\x89PNG", content_type=None), "not_html", "no content type, and it does not begin like HTML"),
        (http(b""), "empty_body", ""),
        (http(b" \r\n\t "), "empty_body", ""),
        (http(HTML), None, None),
        (http(HTML, content_type="Text/HTML;charset=utf-8"), None, None),
        (http(HTML, content_type="application/xhtml+xml"), None, None),
        (http(b"\xef\xbb\xbf\n<!DOCTYPE html><p>x", content_type=None), None, None),
    ],
)
def test_each_response_that_is_no_page_has_its_reason(block: bytes, reason: str | None, detail: str | None):
    (row,) = rows_of(record(1, block))
    assert (row["drop_reason"], row["drop_detail"]) == (reason, detail)
    assert row["drop_stage"] == (None if reason is None else "ingest")


def test_a_page_whose_rest_lies_in_other_segments_is_not_whole():
    (row,) = rows_of(record(1, http(HTML), headers={"WARC-Segment-Number": "1"}))
    assert (row["drop_reason"], row["drop_detail"]) == ("truncated_record", "the first of several segments")


def test_a_response_of_another_protocol_is_a_row():
    (row,) = rows_of(record(1, b"\x00\x01 answer", kind="response", content_type="text/dns"))
    assert (row["drop_reason"], row["drop_detail"]) == ("not_http", "text/dns")


def test_other_records_are_counted_by_kind_and_are_no_rows():
    kinds = ("warcinfo", "request", "metadata", "revisit", "resource", "continuation", "odd", "request")
    tally = Tally()
    data = by_record([record(i, b"x: y\r\n", kind=k, content_type="text/plain") for i, k in enumerate(kinds)])
    assert list(read_pages(io.BytesIO(data), "a", tally)) == []
    assert tally.not_response == {
        "warcinfo": 1, "request": 2, "metadata": 1, "revisit": 1, "resource": 1, "continuation": 1, "unknown": 1,
    }  # fmt: skip
    assert (tally.records, tally.bytes, sum(tally.not_response_bytes.values())) == (8, len(data), len(data))


def test_a_page_says_where_and_when_it_was_found():
    headers = {
        "WARC-Date": "2024-02-01T12:34:56Z",
        "WARC-Payload-Digest": "sha1:ABC",
        "WARC-Target-URI": "<http://A.b/>",
    }
    (row,) = rows_of(record(7, http(HTML, content_type="text/html; charset=ISO-8859-1"), headers=headers))
    found = {n: row[n] for n in ("id", "url", "host", "payload_digest", "fetched_at", "status", "http_charset")}
    assert found == {
        "id": "urn:uuid:00000000-0000-0000-0000-000000000007",
        "url": "http://A.b/",
        "host": "a.b",
        "payload_digest": "sha1:ABC",
        "fetched_at": datetime(2024, 2, 1, 12, 34, 56, tzinfo=UTC),
        "status": 200,
        "http_charset": "iso-8859-1",
    }


@pytest.mark.parametrize(
    ("sent", "url"),
    [
        ("<http://a.b/>", "http://a.b/"),
        ("http://a.b/x>", "http://a.b/x>"),
        ("<http://a.b/x", "<http://a.b/x"),
        ("http://a.b/a b", "http://a.b/a b"),
        ("<>", None),
    ],
)
def test_only_a_pair_of_brackets_is_taken_off_a_url(sent: str, url: str | None):
    (row,) = rows_of(record(1, http(HTML), headers={"WARC-Target-URI": sent}))
    assert row["url"] == url


TEXT = "Erste Zeile\nçà et là 漢字\n"


def test_a_record_of_a_wet_file_is_a_page_that_is_text_already():
    (row, other) = rows_of(record(3, TEXT.encode(), kind="conversion", content_type="text/plain"), page(4))
    assert (row["text"], row["body"], row["content_type"], row["drop_reason"]) == (TEXT, None, "text/plain", None)
    assert row["url"] == "https://site-3.example/page"
    assert (other["text"], other["body"]) == (None, html_of(4))


@pytest.mark.parametrize(
    ("block", "content_type", "reason"),
    [
        (b" \n", "text/plain", "empty_body"),
        (b"x" * 2000, "text/plain", "too_large"),
        (b"%PDF", "application/pdf", "not_html"),
    ],
)
def test_a_conversion_that_is_no_page_has_its_reason(block: bytes, content_type: str, reason: str):
    (row,) = rows_of(record(3, block, kind="conversion", content_type=content_type), max_page_bytes=1000)
    assert (row["drop_reason"], row["text"]) == (reason, None)


def test_a_record_without_an_id_is_named_by_its_place():
    rows = rows_of(page(1), record(2, http(HTML), headers={"WARC-Record-ID": ""}))
    assert [r["id"] for r in rows][1] == f"a.warc.gz:{rows[1]['warc_offset']}"


@pytest.mark.parametrize("date", ["yesterday", "2024-13-45T00:00:00Z", "0001-01-01T00:00:00+14:00", ""])
def test_a_date_that_is_none_costs_the_date_and_not_the_page(date: str):
    (row,) = rows_of(record(1, http(HTML), headers={"WARC-Date": date}))
    assert (row["drop_reason"], row["fetched_at"]) == (None, None)


@settings(max_examples=300, deadline=None)
@given(edits=st.lists(st.tuples(st.integers(9, 10_000), st.integers(0, 255)), min_size=1, max_size=5))
def test_no_byte_in_a_header_stops_the_reading(edits: list[tuple[int, int]]):
    broken = bytearray(page(1, HTML, more=["Server: x", "Content-Language: en"]))
    for at, value in edits:
        broken[9 + at % 500] = value
    data = by_record([page(0), bytes(broken), page(2)])
    tally = Tally()
    rows = [r for b in read_pages(io.BytesIO(data), "a.warc.gz", tally) for r in b.to_pylist()]
    assert [r["url"] for r in (rows[0], rows[-1])] == ["https://site-0.example/page", "https://site-2.example/page"]
    assert (tally.records, tally.bytes) == (len(rows) + sum(tally.not_response.values()), len(data))


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://www.Example.com:8080/a", "www.example.com"),
        ("http://[::1]/x", "::1"),
        ("http://[broken/x", None),
        ("mailto:a@b.c", None),
        ("", None),
    ],
)
def test_a_host_is_that_of_the_url_or_none(url: str, host: str | None):
    assert host_of(url) == host


def test_batches_are_closed_by_pages_or_by_bytes():
    data = by_record([page(i) for i in range(10)])
    size = len(html_of(0))

    def sizes(**options: int) -> list[int]:
        return [b.num_rows for b in read_pages(io.BytesIO(data), "a", Tally(), **options)]

    assert sizes(batch_pages=4) == [4, 4, 2]
    assert sizes(batch_bytes=1) == [1] * 10
    assert sum(sizes(batch_bytes=3 * size)) == 10


def test_the_sample_is_read_as_its_truth_says(web: Path):
    tally = Tally()
    with web.open("rb") as f:
        rows = [r for b in read_pages(f, web.name, tally) for r in b.to_pylist()]
    truth = truth_of(web)
    assert [(f"<{r['id']}>", r["url"], r["warc_offset"], r["warc_length"]) for r in rows] == [
        (t["warc_record_id"], t["url"], t["offset"], t["length"]) for t in truth
    ]
    expected = {"redirect": "http_status", "error_404": "http_status", "not_html": "not_html", "empty": "empty_body"}
    assert [r["drop_reason"] for r in rows] == [expected.get(t["kind"]) for t in truth]
    assert tally.bytes == web.stat().st_size
    assert tally.records == len(rows) + sum(tally.not_response.values())


def test_pages_kept_as_parquet_are_the_pages_of_the_archive(web: Path, tmp_path: Path):
    with open_mill(str(tmp_path / "run"), load_recipe("sample"), inputs=[str(web)], workers=1) as mill:
        totals = mill.run("ingest")
    read, again = Tally(), Tally()
    with web.open("rb") as f:
        straight = [r for b in read_pages(f, str(web), read) for r in b.to_pylist()]
    part = str(tmp_path / "run" / "pages" / "part-00000.parquet")
    with open_source(part, Ingest(), again) as source:
        assert [r for b in source.pages for r in b.to_pylist()] == straight
    assert (
        totals["records"]
        == read.records
        == totals["pages"] + sum(n for kind in ("not_response", "dropped") for n in totals[kind].values())
    )
    assert again.records == len(straight)


def test_a_parquet_file_without_pages_or_texts_is_refused_by_column(tmp_path: Path):
    import pyarrow as pa

    table = pa.table(
        {n: pa.nulls(0, t) for n, t in zip(PAGES.names, PAGES.types, strict=True) if n not in ("body", "text")}
    )
    pq.write_table(table, tmp_path / "x.parquet")
    (tmp_path / "y.parquet").write_bytes(b"no parquet at all")
    with (
        pytest.raises(InputError, match="has no column 'text'; it has id, url, host"),
        open_source(str(tmp_path / "x.parquet"), Ingest(), Tally()) as source,
    ):
        list(source.pages)
    with (
        pytest.raises(InputError, match="is not a Parquet file"),
        open_source(str(tmp_path / "y.parquet"), Ingest(), Tally()) as source,
    ):
        list(source.pages)

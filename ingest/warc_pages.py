"""Records to pages: which records are pages at all, in batches, with every record accounted for."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any, Literal
from urllib.parse import urlsplit

import pyarrow as pa
from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from corpusmill.ingest.warc_members import Member, walk
from corpusmill.schemas import PAGES

HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_TYPE_NAMES = {  # keyed by int: the enum itself cannot be hashed
    int(WarcRecordType.warcinfo): "warcinfo",
    int(WarcRecordType.resource): "resource",
    int(WarcRecordType.request): "request",
    int(WarcRecordType.metadata): "metadata",
    int(WarcRecordType.revisit): "revisit",
    int(WarcRecordType.conversion): "conversion",
    int(WarcRecordType.continuation): "continuation",
}
_HTML_STARTS = (b"<!doctype html", b"<html", b"<head", b"<body", b"<?xml")


@dataclass
class Tally:
    """What was read from one input. Pages are counted further on; what is no response is counted here."""

    records: int = 0
    bytes: int = 0
    not_response: Counter[str] = field(default_factory=Counter)
    not_response_bytes: Counter[str] = field(default_factory=Counter)


def read_pages(
    stream: IO[bytes],
    name: str,
    tally: Tally,
    *,
    max_page_bytes: int = 10_000_000,
    batch_pages: int = 256,
    batch_bytes: int = 16_000_000,
) -> Iterator[pa.RecordBatch]:
    """Yield the responses of a WARC as batches of PAGES; rows that cannot be pages carry their `drop_reason` already.

    Reads the file once. Memory is one batch: at most `batch_pages` rows or `batch_bytes` of bodies, plus one page.
    """
    members = walk(stream, name, max_page_bytes)
    return pages_of(members, name, max_page_bytes, tally, batch_pages=batch_pages, batch_bytes=batch_bytes)


def pages_of(
    members: Iterable[Member],
    name: str,
    max_page_bytes: int,
    tally: Tally | None = None,
    *,
    batch_pages: int = 256,
    batch_bytes: int = 16_000_000,
) -> Iterator[pa.RecordBatch]:
    """As `read_pages`, from records that have been read already."""
    tally = tally or Tally()
    rows: list[dict[str, Any]] = []
    size = 0
    for member in members:
        tally.records += 1
        tally.bytes += member.length
        row = _page(member, name, tally, max_page_bytes)
        if row is None:
            continue
        rows.append(row)
        size += len(row["body"] or b"")
        if len(rows) >= batch_pages or size >= batch_bytes:
            yield pa.RecordBatch.from_pylist(rows, schema=PAGES)
            rows, size = [], 0
    if rows:
        yield pa.RecordBatch.from_pylist(rows, schema=PAGES)


def parse_record(data: bytes, auto_decode: Literal["all", "none"] = "all") -> WarcRecord | None:
    """The record in `data`, its HTTP message parsed and decoded, or None if there is none to be found."""
    try:
        records = ArchiveIterator(io.BytesIO(data), parse_http=True, auto_decode=auto_decode, quirks_mode=True)
        return next(iter(records), None)
    except (OSError, ValueError):
        return None


def host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None  # "http://[broken": kept as a row, without a host


def _page(member: Member, name: str, tally: Tally, max_page_bytes: int) -> dict[str, Any] | None:
    """A row for a response, or None for any other record, which is counted in `tally`."""
    row: dict[str, Any] = dict.fromkeys(PAGES.names)
    row |= {"id": f"{name}:{member.offset}", "warc_file": name, "warc_offset": member.offset}
    row |= {"offset_kind": member.offset_kind, "warc_length": member.length}
    if member.damage is not None:
        truncated = member.damage == "the file ends inside this record"
        return _drop(row, "truncated_record" if truncated else "damaged_record", member.damage)
    record = parse_record(member.data)
    if record is None:
        return _drop(row, "damaged_record", "its WARC or HTTP header cannot be parsed")
    if record.record_type != WarcRecordType.response:
        kind = _TYPE_NAMES.get(int(record.record_type), "unknown")
        tally.not_response[kind] += 1
        tally.not_response_bytes[kind] += member.length
        return None
    return _response(row, record, member, max_page_bytes)


def _response(row: dict[str, Any], record: WarcRecord, member: Member, max_page_bytes: int) -> dict[str, Any]:
    headers = record.headers
    url = (headers.get("WARC-Target-URI") or "").strip("<>") or None
    row["url"], row["host"] = url, host_of(url) if url else None
    row["id"] = (headers.get("WARC-Record-ID") or "").strip("<>") or row["id"]
    row["payload_digest"] = headers.get("WARC-Payload-Digest")
    row["fetched_at"] = _when(headers.get("WARC-Date"))
    if record.http_headers is None:
        return _drop(row, "not_http", headers.get("Content-Type") or "")
    status = record.http_headers.status_code
    row["status"] = status if status is not None and 0 <= status < 1000 else None
    row["content_type"] = (record.http_content_type or "").lower() or None
    row["http_charset"] = record.http_charset
    if row["status"] != 200:
        return _drop(row, "http_status", str(status))
    if row["content_type"] is not None and row["content_type"] not in HTML_TYPES:
        return _drop(row, "not_html", row["content_type"])
    if member.cut_short:
        return _drop(row, "too_large", f"more than {max_page_bytes} bytes")
    return _with_body(row, record, member, max_page_bytes)


def _with_body(row: dict[str, Any], record: WarcRecord, member: Member, max_page_bytes: int) -> dict[str, Any]:
    expected = record.content_length
    try:
        body = record.reader.read()
    except (OSError, ValueError) as e:
        # crawlers that decode a body often leave the label on it
        plain = parse_record(member.data, "none")
        body = plain.reader.read() if plain is not None else b""
        if not _begins_like_html(body):
            return _drop(row, "undecodable_body", str(e))
    if len(body) < expected and record.http_headers.get("Content-Encoding") is None and not _chunked(record):
        return _drop(row, "truncated_record", f"{len(body)} of {expected} bytes")
    if not body.strip():
        return _drop(row, "empty_body", "")
    if len(body) > max_page_bytes:
        return _drop(row, "too_large", f"{len(body)} bytes")
    if row["content_type"] is None and not _begins_like_html(body):
        return _drop(row, "not_html", "no content type, and it does not begin like HTML")
    return row | {"body": body}


def _begins_like_html(body: bytes) -> bool:
    return body[:2048].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_HTML_STARTS)


def _chunked(record: WarcRecord) -> bool:
    return "chunked" in (record.http_headers.get("Transfer-Encoding") or "").lower()


def _drop(row: dict[str, Any], reason: str, detail: str) -> dict[str, Any]:
    return row | {"drop_reason": reason, "drop_detail": detail, "drop_stage": "ingest"}


def _when(value: str | None) -> datetime | None:
    try:
        when = datetime.fromisoformat(value) if value else None
        return when.replace(tzinfo=when.tzinfo or UTC).astimezone(UTC) if when is not None else None
    except (ValueError, OverflowError):  # no date, or one whose offset leaves the years 1 to 9999
        return None

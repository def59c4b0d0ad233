"""Records to pages: which records are pages at all, in batches, with every record accounted for."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any
from urllib.parse import urlsplit

import pyarrow as pa

from corpusmill.ingest.byte_window import CUT_OFF, Damage
from corpusmill.ingest.http_bodies import TooLarge, decoded, read_message
from corpusmill.ingest.plain_records import Member
from corpusmill.ingest.record_heads import RecordHead, read_head
from corpusmill.ingest.warc_members import NoArchiveError, walk
from corpusmill.schemas import PAGES

HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_OTHER_KINDS = frozenset({"warcinfo", "resource", "request", "metadata", "revisit", "continuation"})
_HTML_STARTS = (b"<!doctype html", b"<html", b"<head", b"<body", b"<?xml")


@dataclass
class Tally:
    """What was read from one input. Pages are counted further on; what is no response is counted here.

    `not_response_bytes` also has the bytes that belong to no record: "zstd_dictionary", "padding".
    """

    records: int = 0
    bytes: int = 0
    not_response: Counter[str] = field(default_factory=Counter)
    not_response_bytes: Counter[str] = field(default_factory=Counter)
    cut_by_crawler: Counter[str] = field(default_factory=Counter)
    """Pages that the crawler did not take to their end, by its WARC-Truncated: length, time, disconnect."""


def read_pages(
    stream: IO[bytes],
    name: str,
    tally: Tally,
    *,
    max_page_bytes: int = 10_000_000,
    batch_pages: int = 256,
    batch_bytes: int = 16_000_000,
    alone: bool = True,
) -> Iterator[pa.RecordBatch]:
    """Yield the responses of a WARC or ARC, and the texts of a WET, as batches of PAGES.

    A file without a single record raises NoArchiveError; among others, not `alone`, it is one damaged record.

    Rows that cannot be pages carry their `drop_reason` already. Reads the file once. Memory is one batch: at most
    `batch_pages` rows or `batch_bytes` of bodies, plus one page.
    """
    members = walk(stream, name, max_page_bytes)
    if not alone:
        members = _or_damage(members, stream)
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
        tally.bytes += member.length
        if member.filler is not None:
            tally.not_response_bytes[member.filler] += member.length
            continue
        tally.records += 1
        row = _page(member, name, tally, max_page_bytes)
        if row is None:
            continue
        rows.append(row)
        size += len(row.get("body") or row.get("text") or b"")
        if len(rows) >= batch_pages or size >= batch_bytes:
            yield pa.RecordBatch.from_pylist(rows, schema=PAGES)
            rows, size = [], 0
    if rows:
        yield pa.RecordBatch.from_pylist(rows, schema=PAGES)


def _or_damage(members: Iterable[Member], stream: IO[bytes]) -> Iterator[Member]:
    """A mistaken name among thousands must not end a job of days."""
    try:
        yield from members
    except NoArchiveError as e:
        yield Member(0, stream.seek(0, io.SEEK_END), b"", str(e))


def host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None  # "http://[broken": kept as a row, without a host


def _page(member: Member, name: str, tally: Tally, max_page_bytes: int) -> dict[str, Any] | None:
    """A row for a response or a text, or None for any other record, which is counted in `tally`."""
    _, _, inner = member.offset_kind.partition("+")
    row: dict[str, Any] = {
        "id": f"{name}:{member.offset}+{inner}" if inner else f"{name}:{member.offset}",
        "warc_file": name,
        "warc_offset": member.offset,
        "offset_kind": member.offset_kind,
        "warc_length": member.length,
    }
    if member.damage is not None:
        reason = "truncated_record" if member.damage == CUT_OFF else "damaged_record"
        return _drop(row, reason, member.damage)
    head = read_head(member.data)
    if head is None:
        return _drop(row, "damaged_record", "its header cannot be parsed")
    if head.kind not in ("response", "conversion"):
        kind = head.kind if head.kind in _OTHER_KINDS else "unknown"
        tally.not_response[kind] += 1
        tally.not_response_bytes[kind] += member.length
        return None
    row["url"], row["host"] = head.url, host_of(head.url) if head.url else None
    row["id"] = head.record_id or row["id"]
    row["payload_digest"] = head.payload_digest
    row["fetched_at"] = head.fetched_at
    row = (_response if head.kind == "response" else _text)(row, head, member, max_page_bytes)
    if head.truncated and "drop_reason" not in row:
        tally.cut_by_crawler[head.truncated.lower()] += 1
    return row


def _response(row: dict[str, Any], head: RecordHead, member: Member, max_page_bytes: int) -> dict[str, Any]:
    block = member.data[head.start : head.start + head.length]
    message = read_message(block)
    if message is None:
        begins = "" if not block or not _says_http(head) else f", but it begins with {block[:20]!r}"
        return _drop(row, "not_http", head.content_type + begins)
    row["status"] = message.status
    row["content_type"] = message.content_type
    row["http_charset"] = message.charset
    if message.status != 200:
        return _drop(row, "http_status", str(message.status))
    if message.content_type is not None and message.content_type not in HTML_TYPES:
        return _drop(row, "not_html", message.content_type)
    if member.cut_short:
        return _drop(row, "too_large", f"more than {max_page_bytes} bytes")
    if len(block) < head.length:
        return _drop(row, "truncated_record", f"{len(block)} of {head.length} bytes")
    if head.segment is not None:
        return _drop(row, "truncated_record", "the first of several segments")
    try:
        body = decoded(block[message.start :], message, max_page_bytes)
    except TooLarge:
        return _drop(row, "too_large", f"more than {max_page_bytes} bytes")
    except Damage as e:
        return _drop(row, "undecodable_body", str(e))
    if body.cut and not head.truncated:
        return _drop(row, "undecodable_body", body.cut)
    if not body.data.strip():
        return _drop(row, "empty_body", "")
    if message.content_type is None and not _begins_like_html(body.data):
        return _drop(row, "not_html", "no content type, and it does not begin like HTML")
    row["body"] = body.data
    return row


def _text(row: dict[str, Any], head: RecordHead, member: Member, max_page_bytes: int) -> dict[str, Any]:
    """A record of a WET file: text that Common Crawl drew from a page, in UTF-8."""
    row["content_type"] = head.content_type.partition(";")[0].strip().lower() or None
    if row["content_type"] != "text/plain":
        return _drop(row, "not_html", head.content_type or "a conversion without a content type")
    raw = member.data[head.start : head.start + head.length]
    if member.cut_short or head.length > max_page_bytes:
        return _drop(row, "too_large", f"{head.length} bytes")
    if len(raw) < head.length:
        return _drop(row, "truncated_record", f"{len(raw)} of {head.length} bytes")
    if not raw.strip():
        return _drop(row, "empty_body", "")
    row["text"] = raw.decode("utf-8", "replace")
    return row


def _says_http(head: RecordHead) -> bool:
    return head.content_type.lower().startswith("application/http")


def _begins_like_html(body: bytes) -> bool:
    return body[:2048].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_HTML_STARTS)


def _drop(row: dict[str, Any], reason: str, detail: str) -> dict[str, Any]:
    return row | {"drop_reason": reason, "drop_detail": detail, "drop_stage": "ingest"}

"""WARC/1.0 records in gzip members of their own, as Common Crawl writes them.

The records are the same bytes on every machine. So are the compressed ones, wherever zlib makes the same choices
(zlib-ng, which a few distributions put in its place, compresses otherwise).
"""

from __future__ import annotations

import base64
import hashlib
import random
import struct
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from corpusmill.sample.pages import Page
from corpusmill.sample.vocabulary import seeded

GZIP_LEVEL = 6
START = datetime(2024, 2, 1, tzinfo=UTC)
SECONDS_PER_PAGE = 3

# Written by hand: no time, and no operating system (zlib would name this one).
_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "sample.corpusmill.example")
_REASONS = {200: "OK", 301: "Moved Permanently", 302: "Found", 404: "Not Found"}
_WARCINFO = (
    "isPartOf: CORPUSMILL-SAMPLE\r\ndescription: a small synthetic web\r\nformat: WARC File Format 1.0\r\n"
    "conformsTo: https://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.0/\r\n"
)


@dataclass(frozen=True, slots=True)
class Record:
    """A finished gzip member."""

    record_type: str
    record_id: str
    member: bytes


class Archivist:
    """Turns pages into records. Ids and dates come from the seed and the page's number, never from a clock."""

    def __init__(self, seed: int, file_name: str) -> None:
        self._seed, self._file_name = seed, file_name
        self._info_id = self._id("warcinfo", 0)

    def warcinfo(self) -> Record:
        """The record that opens the file."""
        headers = {"WARC-Filename": self._file_name, "Content-Type": "application/warc-fields"}
        return _record("warcinfo", self._info_id, START, headers, _WARCINFO.encode())

    def records(self, page: Page) -> Iterator[Record]:
        """A request for most pages, the response, and metadata for some."""
        rng = seeded(self._seed, "warc", page.number)
        date = START + timedelta(seconds=page.number * SECONDS_PER_PAGE + rng.randrange(SECONDS_PER_PAGE))
        ids = {kind: self._id(kind, page.number) for kind in ("request", "response", "metadata")}
        common = {"WARC-Target-URI": page.url, "WARC-Warcinfo-ID": f"<{self._info_id}>"}
        address = {"WARC-IP-Address": page.host.ip}
        if rng.random() < 0.9:
            kind = {"Content-Type": "application/http; msgtype=request"}
            link = {"WARC-Concurrent-To": f"<{ids['response']}>"}
            yield _record("request", ids["request"], date, {**kind, **common, **address, **link}, _request(page))
        yield _response(page, ids["response"], date, {**common, **address}, rng)
        if rng.random() < 0.4:
            headers = {"Content-Type": "application/warc-fields", **common, "WARC-Refers-To": f"<{ids['response']}>"}
            block = f"fetchTimeMs: {rng.randint(20, 900)}\r\ncharset-detected: {page.host.charset}\r\n".encode()
            yield _record("metadata", ids["metadata"], date, headers, block)

    def _id(self, kind: str, number: int) -> str:
        return f"urn:uuid:{uuid.uuid5(_NAMESPACE, f'{self._seed}/{kind}/{number}')}"


def content_type(page: Page) -> str | None:
    """The Content-Type that the server sends, with the charset where it is declared there."""
    if page.content_type == "text/html" and page.host.declared == "header":
        return f"text/html; charset={page.host.charset.upper()}"
    return page.content_type


def _request(page: Page) -> bytes:
    parts = urlsplit(page.url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = (f"GET {target} HTTP/1.1", f"Host: {page.host_name}", "User-Agent: samplebot/1.0", "Accept: text/html")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _response(page: Page, record_id: str, date: datetime, common: dict[str, str], rng: random.Random) -> Record:
    headers = {
        "Content-Type": "application/http; msgtype=response",
        **common,
        "WARC-Payload-Digest": _digest(page.body),
    }
    if page.truncated:
        headers["WARC-Truncated"] = "length"
    return _record("response", record_id, date, headers, _http_head(page, date, rng) + page.body)


def _http_head(page: Page, date: datetime, rng: random.Random) -> bytes:
    lines = [
        f"HTTP/1.1 {page.status} {_REASONS[page.status]}",
        f"Server: {page.host.server}",
        f"Date: {date:%a, %d %b %Y %H:%M:%S} GMT",
    ]
    declared = content_type(page)
    if declared is not None:
        lines.append(f"Content-Type: {declared}")
    if page.location is not None:
        lines.append(f"Location: {page.location}")
    if rng.random() < 0.5:
        lines.append(f"Cache-Control: max-age={rng.choice((0, 60, 3600))}")
    if rng.random() < 0.3:
        # Common Crawl renames what no longer holds for the stored, decoded body
        lines.append("X-Crawl-Transfer-Encoding: chunked")
    lines.append(f"Content-Length: {len(page.body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _record(record_type: str, record_id: str, date: datetime, headers: dict[str, str], block: bytes) -> Record:
    fields = {
        "WARC-Type": record_type,
        "WARC-Record-ID": f"<{record_id}>",
        "WARC-Date": f"{date:%Y-%m-%dT%H:%M:%SZ}",
        **headers,
        "WARC-Block-Digest": _digest(block),
        "Content-Length": str(len(block)),
    }
    head = "WARC/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
    return Record(record_type, f"<{record_id}>", _member(head.encode() + block + b"\r\n\r\n"))


def _digest(data: bytes) -> str:
    return "sha1:" + base64.b32encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()


def _member(data: bytes) -> bytes:
    deflate = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    tail = struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
    return _GZIP_HEAD + deflate.compress(data) + deflate.flush() + tail

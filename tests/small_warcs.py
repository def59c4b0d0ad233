"""Small WARC files by hand, byte for byte: records, gzip members, and the HTTP messages inside them."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from corpusmill.sample import truth_path_of

CRLF = b"\r\n"


def record(
    number: int,
    block: bytes,
    *,
    kind: str = "response",
    content_type: str = "application/http; msgtype=response",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """One uncompressed WARC record. `headers` replace or, where the value is empty, remove the usual ones."""
    fields = {
        "WARC-Type": kind,
        "WARC-Record-ID": f"<urn:uuid:00000000-0000-0000-0000-{number:012d}>",
        "WARC-Target-URI": f"https://site-{number}.example/page",
        "WARC-Date": "2024-02-01T00:00:00Z",
        "Content-Type": content_type,
        "Content-Length": str(len(block)),
        **(headers or {}),
    }
    head = b"".join(f"{k}: {v}".encode() + CRLF for k, v in fields.items() if v)
    return b"WARC/1.0" + CRLF + head + CRLF + block + CRLF + CRLF


def http(
    body: bytes, *, status: str = "200 OK", content_type: str | None = "text/html", more: Sequence[str] = ()
) -> bytes:
    """An HTTP response as a server sends it."""
    lines = [f"HTTP/1.1 {status}"]
    if content_type is not None:
        lines.append(f"Content-Type: {content_type}")
    return "\r\n".join([*lines, *more]).encode() + CRLF + CRLF + body


def page(number: int, body: bytes | None = None, **message: Any) -> bytes:
    """A response record with an HTML page of its own, long enough to be damaged in the middle."""
    return record(number, http(html_of(number) if body is None else body, **message))


def html_of(number: int) -> bytes:
    words = " ".join(f"{random.Random(f'{number}/{i}').getrandbits(40):x}" for i in range(40))
    return f"<html><title>{number}</title><body><p>page {number}: {words}</p></body></html>".encode()


def by_record(records: Sequence[bytes]) -> bytes:
    """Each record in a gzip member of its own, as Common Crawl writes them."""
    return b"".join(gzip.compress(r, mtime=0) for r in records)


def whole(records: Sequence[bytes]) -> bytes:
    """All records in one gzip member, as `gzip file.warc` writes them."""
    return gzip.compress(b"".join(records), mtime=0)


def truth_of(archive: Path) -> list[dict[str, Any]]:
    """What is true of each response of a sample archive, in order."""
    return [json.loads(line) for line in Path(truth_path_of(str(archive))).read_text(encoding="utf-8").splitlines()]

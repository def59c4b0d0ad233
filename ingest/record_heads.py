"""What a record's header says: the fields of a WARC record, or the one line of an ARC record, under one name each."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from corpusmill.ingest.record_frames import frame_of

_ARC_2 = re.compile(r"(.*) (\S+) (\d{8,20}) (\S*) (\S+) (\S+) (\S+) (\S+) (\S+) (-?\w+)")
_ARC_1 = re.compile(r"(.*) (\S+) (\d{8,20}) (.*?) ?(-|-?\w+)")
_DIGESTS = frozenset({"sha1", "sha256", "md5"})
_HTTP_SCHEMES = ("http:", "https:")
_ARC_KINDS = {"filedesc": "warcinfo", "metadata": "metadata"}  # netarchivesuite keeps its logs in ARC files


@dataclass(frozen=True, slots=True)
class RecordHead:
    """`kind` is the WARC-Type, lower case. An ARC record is a "response", its first one "warcinfo".

    The block is `data[start:start + length]`, or what there is of it.
    """

    kind: str
    start: int
    length: int
    record_id: str | None = None
    url: str | None = None
    fetched_at: datetime | None = None
    content_type: str = ""
    payload_digest: str | None = None
    truncated: str | None = None  # why the crawler stopped: length, time, disconnect, unspecified
    segment: str | None = None  # its number, where a record was cut in several


def read_head(data: bytes) -> RecordHead | None:
    """The header of the record that `data` begins with; None if it cannot be read."""
    frame = frame_of(data)
    if frame is None or frame.body is None:
        return None
    if frame.kind == "arc":
        return _arc_head(data, frame.head, frame.body)
    fields = read_fields(data[: frame.head])
    return RecordHead(
        kind=fields.get("warc-type", "").lower(),
        start=frame.head,
        length=frame.body,
        record_id=_unbracketed(fields.get("warc-record-id")),
        url=_unbracketed(fields.get("warc-target-uri")),
        fetched_at=_when(fields.get("warc-date")),
        content_type=fields.get("content-type", ""),
        payload_digest=fields.get("warc-payload-digest"),
        truncated=fields.get("warc-truncated"),
        segment=fields.get("warc-segment-number"),
    )


def block_digest_holds(data: bytes) -> bool | None:
    """Whether the block is the one that WARC-Block-Digest says; None where it says nothing that we can check."""
    frame = frame_of(data)
    if frame is None or frame.kind == "arc" or len(data) < frame.size:
        return None
    algorithm, _, said = read_fields(data[: frame.head]).get("warc-block-digest", "").partition(":")
    if algorithm.lower() not in _DIGESTS:
        return None
    found = hashlib.new(algorithm.lower(), data[frame.head : frame.size], usedforsecurity=False).digest()
    return said.upper() in (base64.b32encode(found).decode(), found.hex().upper())


def read_fields(head: bytes) -> dict[str, str]:
    """Named fields below a first line, keys in lower case; the first of several equal ones.

    UTF-8, else Latin-1, which takes any byte. A line that begins with white space goes on with the one before.
    """
    fields: dict[str, str] = {}
    key = ""
    for line in as_text(head).split("\n")[1:]:
        if line[:1] in (" ", "\t"):
            if key and line.strip():
                fields[key] += " " + line.strip()
            continue
        name, colon, value = line.partition(":")
        if not colon:
            key = ""
            continue
        key = name.strip().lower()
        if key in fields:
            key = ""
        else:
            fields[key] = value.strip()
    return fields


def as_text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _arc_head(data: bytes, start: int, length: int) -> RecordHead | None:
    line = as_text(data[:start]).rstrip("\r\n")
    found = _ARC_2.fullmatch(line) or _ARC_1.fullmatch(line)
    if found is None:
        return None
    url = found[1]
    return RecordHead(
        kind=_ARC_KINDS.get(url.partition(":")[0], "response"),
        start=start,
        length=length,
        url=url or None,
        fetched_at=_when_arc(found[3]),
        content_type="application/http" if url.lower().startswith(_HTTP_SCHEMES) else found[4],
    )


def _unbracketed(value: str | None) -> str | None:
    """Without the angle brackets around it; wget wrote URLs so, too. One alone belongs to the value."""
    if value and value[0] == "<" and value[-1] == ">":
        value = value[1:-1]
    return value or None


def _when(value: str | None) -> datetime | None:
    try:
        when = datetime.fromisoformat(value) if value else None
        return when.replace(tzinfo=when.tzinfo or UTC).astimezone(UTC) if when is not None else None
    except (ValueError, OverflowError):  # no date, or one whose offset leaves the years 1 to 9999
        return None


def _when_arc(digits: str) -> datetime | None:
    try:
        return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC) if len(digits) == 14 else None
    except ValueError:
        return None

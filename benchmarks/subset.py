"""A part of an archive: every k-th page, for peers that take minutes for the whole, as Common Crawl marks it.

Common Crawl writes WARC-Identified-Payload-Type into every response. The sample archive lacks it, and without it
datatrove asks libmagic, which takes a fifth of these pages for something else than HTML. So pages get it, unless they
have it; all else is copied byte for byte.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from corpusmill.ingest import Tally, read_pages

T = TypeVar("T")
PAYLOAD_TYPE = b"WARC-Identified-Payload-Type"
_GZIP = 31
"""zlib's window bits for a gzip member."""


@dataclass(frozen=True, slots=True)
class Subset:
    path: Path
    pages: int
    """HTML pages with status 200 and a body. The whole archive has other records besides."""
    records: int
    html_bytes: int

    def __str__(self) -> str:
        others = self.records - self.pages
        more = f" and {others:,} other records" if others else ""
        return f"{self.pages:,} HTML pages ({self.html_bytes / 1e6:.1f} MB){more} of {self.path.name}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the member of a page lies in its archive, bytes, and the length of its HTML."""

    start: int
    length: int
    html_bytes: int


def subset(archive: Path, count: int, folder: Path, *, as_it_is: bool = False) -> Subset:
    """`count` pages, evenly spread, in an archive of the same name in `folder`; all its records where `count` is 0 or
    it has no more pages. Needs an archive with a gzip member for each record, as Common Crawl writes them."""
    tally = Tally()
    with archive.open("rb") as f:
        places = list(_pages(f, archive.name, tally))
    whole = not count or count >= len(places)
    chosen = places if whole else evenly(places, count)
    path = folder / archive.name
    with archive.open("rb") as source, path.open("wb") as target:
        for place in chosen:
            if whole:
                target.write(source.read(place.start - source.tell()))
            source.seek(place.start)
            member = source.read(place.length)
            target.write(member if as_it_is else identified(member))
        if whole:
            target.write(source.read())
    return Subset(path, len(chosen), tally.records if whole else count, sum(p.html_bytes for p in chosen))


def evenly(items: list[T], count: int) -> list[T]:
    """`count` of the items, spread over all of them; all where there are no more."""
    return [items[i * len(items) // count] for i in range(count)] if len(items) > count else items


def identified(member: bytes) -> bytes:
    """The member with its payload said to be HTML, as Common Crawl says it."""
    record = zlib.decompress(member, _GZIP)
    head, blank, rest = record.partition(b"\r\n\r\n")
    if PAYLOAD_TYPE.lower() in head.lower():
        return member
    packer = zlib.compressobj(wbits=_GZIP)
    return packer.compress(head + b"\r\n" + PAYLOAD_TYPE + b": text/html" + blank + rest) + packer.flush()


def _pages(stream: IO[bytes], name: str, tally: Tally) -> Iterator[Place]:
    for batch in read_pages(stream, name, tally):
        for row in batch.select(["warc_offset", "warc_length", "offset_kind", "body", "drop_reason"]).to_pylist():
            if row["drop_reason"] is None:
                assert row["offset_kind"] == "member", f"{name}: its records cannot be cut out ({row['offset_kind']})"
                yield Place(row["warc_offset"], row["warc_length"], len(row["body"]))

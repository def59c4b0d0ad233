"""A row of compressed members, a record in each: walked one by one, and found again after damage.

After a damaged member the next one is looked for from the byte after its beginning, since nothing that it says of its
own length can be believed. What cannot be told apart is an archive inside an archive: where a damaged member held whole
members of its own, they are found, too.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from corpusmill.ingest.byte_window import CutOff, Damage, Inflated, Window
from corpusmill.ingest.plain_records import BEGINNING, Member, walk_plain
from corpusmill.ingest.record_frames import HEADER_ROOM, begins_record, breaks_at, frame_of

_BRIEF = 256  # tells most that only look like a member
_PROBE = 1 << 17  # a gzip header with extra fields and a name, or a zstd block, and then some


class Codec(Protocol):
    """A way to compress records one by one."""

    name: str
    magic: bytes
    ways: tuple[str, ...]
    """Ways to inflate one member, to be tried in this order."""

    def pieces(self, window: Window, way: str = "") -> Iterator[bytes]: ...
    def filler(self, window: Window) -> tuple[str, int] | None: ...
    def checked(self, head: bytes) -> bool: ...


def walk_members(window: Window, codec: Codec, limit: int) -> Iterator[Member]:
    while window.peek(1):
        offset = window.position
        filler = filler_at(window, codec)
        if filler is not None and not _hides_a_record(window, codec, offset, filler[1]):
            window.seek(offset)
            window.advance(filler[1])
            yield Member(offset, filler[1], b"", filler=filler[0])
            continue
        window.seek(offset)
        found = inflate(window, codec, limit)
        if not found.size and found.damage is None:
            yield Member(offset, window.position - offset, b"", filler="padding")
            continue
        damage = found.damage
        if damage is None and not begins_record(found.data[:BEGINNING]):
            damage = f"no WARC record in this {codec.name} member"
        elif damage is None and not _proven(window, codec, offset, found):
            damage = f"{codec.name}: this member does not end where its record does"
        if damage is not None:
            window.seek(offset + 1)
            seek_member(window, codec)
            yield Member(offset, window.position - offset, b"", damage)
        else:
            yield from _records(offset, window.position - offset, found, limit)


def _records(offset: int, length: int, found: Found, limit: int) -> Iterator[Member]:
    """The record in a member; or several, which is against the standard, but seen. The first one has the length."""
    data = found.data
    if found.size > limit or not _holds_several(data):
        yield Member(offset, length, data, cut_short=found.size > limit)
        return
    for record in walk_plain(Window(io.BytesIO(data)), "member", limit):
        place = record.offset
        kind = f"member+{place}" if place else "member"
        yield Member(offset, 0 if place else length, record.data, record.damage, record.cut_short, kind)


def inflate(window: Window, codec: Codec, limit: int) -> Found:
    """Inflate the member here, keeping `limit` bytes of it, and leave the window behind it."""
    start = window.position
    first: Found | None = None
    for way in codec.ways:
        window.seek(start)
        kept: list[bytes] = []
        size, damage = 0, None
        try:
            for piece in codec.pieces(window, way):
                if size < limit:
                    kept.append(piece[: limit - size] if size + len(piece) > limit else piece)
                size += len(piece)
        except Damage as e:
            damage = str(e)
        found = Found(b"".join(kept), size, damage)
        if damage is None and (way == codec.ways[-1] or begins_record(found.data[:BEGINNING])):
            return found
        first = first or found
    assert first is not None
    return first


def _proven(window: Window, codec: Codec, offset: int, found: Found) -> bool:
    """Whether the member that ends at the window's position can be believed to end there.

    A CRC or checksum proves it. Without one a damaged length can make it swallow its successors, or end too soon, and
    still look whole: then its record does not end where it says, and what was swallowed, or left, can be seen.
    """
    end = window.position
    window.seek(offset)
    checked = codec.checked(window.peek(18))
    window.seek(end)
    if checked or _is_one_whole_record(found):
        return True
    following = window.peek(len(codec.magic))
    ends = not following or following == codec.magic or filler_at(window, codec) is not None
    proven = ends and not _hides_a_record(window, codec, offset, end - offset)
    window.seek(end)
    return proven


def _is_one_whole_record(found: Found) -> bool:
    frame = frame_of(found.data)
    if frame is None or frame.body is None:
        return False
    return frame.size <= found.size and not found.data[frame.size :].strip(b"\r\n")


def _hides_a_record(window: Window, codec: Codec, offset: int, length: int) -> bool:
    """Whether a whole member with a record begins in these bytes, their own beginning apart."""
    window.seek(offset + 1)
    while window.seek_next(codec.magic, offset + length):
        here = window.position
        inner = inflate(window, codec, BEGINNING)
        if inner.damage is None and begins_record(inner.data):
            return True
        window.seek(here + 1)
    return False


def seek_member(window: Window, codec: Codec) -> bool:
    """Move to the next member that begins with a record, whole or not; False, and to the end, if there is none.

    One that is not whole is a damaged record of its own, and swallows nothing: its successor is sought from the byte
    after its beginning.
    """
    while window.seek_next(codec.magic):
        if _begins_member(window, codec):
            return True
        window.advance(1)
    return False


def seek_whole_member(window: Window, codec: Codec) -> bool:
    """Move to the next member that is whole and begins with a record; False, and to the end, if there is none."""
    while seek_member(window, codec):
        here = window.position
        if inflate(window, codec, BEGINNING).damage is None:
            window.seek(here)
            return True
        window.seek(here + 1)
    return False


def _begins_member(window: Window, codec: Codec) -> bool:
    for way in codec.ways:
        found = _probe(window.peek(_BRIEF), codec, way)
        if found == "yes" or (found == "perhaps" and _probe(window.peek(_PROBE), codec, way) == "yes"):
            return True
    return False


def _probe(data: bytes, codec: Codec, way: str) -> Literal["yes", "no", "perhaps"]:
    """Whether a member that begins with a record begins `data`; "perhaps" where `data` does not say."""
    beginning = b""
    try:
        for piece in codec.pieces(Window(io.BytesIO(data)), way):
            beginning += piece[:BEGINNING]
            if len(beginning) >= BEGINNING:
                break
    except CutOff:
        return "yes" if begins_record(beginning) else "perhaps"
    except Damage:
        pass
    return "yes" if begins_record(beginning) else "no"


def filler_at(window: Window, codec: Codec) -> tuple[str, int] | None:
    """(kind, length) of what lies here and is no record by right; the position stays.

    Beside the codec's own: zero bytes or line breaks, as tapes and careless concatenation leave them.
    """
    filler = codec.filler(window)
    if filler is not None or window.peek(1) not in (b"\0", b"\r", b"\n"):
        return filler
    start = window.position
    while (chunk := bytes(window.chunk(1 << 16))) and not chunk.strip(b"\0\r\n"):
        window.advance(len(chunk))
    window.advance(len(chunk) - len(chunk.lstrip(b"\0\r\n")))
    length = window.position - start
    following = window.peek(len(codec.magic))
    window.seek(start)
    return ("padding", length) if not following or following == codec.magic else None


def form(window: Window, codec: Codec) -> Literal["members", "whole", "foreign"]:
    """Whether the archive is compressed by record ("members") or as a "whole"; "foreign" if its beginning holds none.

    As a whole: its first member holds several records, or ends inside one that the next member goes on with.
    """
    while filler := filler_at(window, codec):
        window.advance(filler[1])
    inflated = Inflated(lambda: member_pieces(window, codec))
    inner = Window(inflated)
    beginning = inner.peek(BEGINNING)
    if inflated.damage is None and not begins_record(beginning):
        return "foreign"
    frame = frame_of(inner.peek(HEADER_ROOM))
    if frame is None or frame.body is None:
        return "members"
    complete = inner.advance(frame.size) == frame.size
    inner.advance(breaks_at(inner))
    if complete:
        return "whole" if begins_record(inner.peek(BEGINNING)) else "members"
    if inflated.damage is not None or not window.peek(1):
        return "members"
    following = inflate(window, codec, BEGINNING)
    return "whole" if following.damage is None and following.size and not begins_record(following.data) else "members"


def member_pieces(window: Window, codec: Codec) -> Iterator[bytes]:
    """What the member here holds, in the first way that begins with a record, or the first way of all."""
    start = window.position
    chosen = codec.ways[0]
    for way in codec.ways if len(codec.ways) > 1 else ():
        window.seek(start)
        try:
            beginning = next(codec.pieces(window, way), b"")
        except Damage:
            continue
        if begins_record(beginning[:BEGINNING]):
            chosen = way
            break
    window.seek(start)
    yield from codec.pieces(window, chosen)


def _holds_several(data: bytes) -> bool:
    if data.startswith(b"WARC/") and data.find(b"WARC/", 5) < 0:  # the usual case, without looking at its header
        return False
    frame = frame_of(data)
    if frame is None or frame.body is None:
        return False
    return begins_record(data[frame.size : frame.size + BEGINNING].lstrip(b"\r\n"))


@dataclass(frozen=True, slots=True)
class Found:
    """What a member holds, its beginning when it is longer than asked for."""

    data: bytes
    size: int
    damage: str | None

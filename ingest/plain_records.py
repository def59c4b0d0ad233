"""Records of an archive that is not compressed, or no longer; after damage the next plausible header is sought."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from corpusmill.ingest.byte_window import CUT_OFF, ENDS_HERE, CutOff, Window
from corpusmill.ingest.record_frames import Frame, breaks_at, frame_at, seek_record, surely_begins_record
from corpusmill.ingest.record_heads import block_digest_holds

BEGINNING = 1024
"""So many bytes do to know a record by its beginning."""
_ALL = 1 << 60


@dataclass(frozen=True, slots=True)
class Member:
    """One record as it lies in the file, or what lies between two.

    `data` is the uncompressed record; only its beginning when `cut_short` (larger than asked for). `damage` says why
    there is none. `length` runs to the start of the next record, so that lengths add up to the size of the file.
    `filler` names bytes that hold no record by right: a dictionary, padding.

    `offset_kind` says what `offset` counts: bytes of the file ("member"), bytes of what the file holds once inflated
    ("uncompressed"), or, where several records share a member, the member's place in the file with the record's own
    in its content ("member+5120").
    """

    offset: int
    length: int
    data: bytes
    damage: str | None = None
    cut_short: bool = False
    offset_kind: str = "member"
    filler: str | None = None


def walk_plain(window: Window, kind: str, limit: int, flaw: str | None = None) -> Iterator[Member]:
    """Every record of the stream, and every stretch of it that is none. Memory is one record, at most `limit` of it.

    `flaw` is what is known to be wrong somewhere in the stream. It ends at the first record that shows it, by a length
    that does not fit, or by a digest where others hold: what is inflated after damage may look whole, and be wrong.
    """
    digests_hold = False
    while window.peek(1):
        start = window.position
        data, damage, cut_short = _record(window, limit)
        if flaw == ENDS_HERE and damage == CUT_OFF:
            break
        if flaw and flaw != ENDS_HERE:
            holds = None if damage or cut_short else block_digest_holds(data)
            if damage or (digests_hold and holds is False):
                break
            digests_hold |= holds is True
        yield Member(start, window.position - start, b"" if damage else data, damage, cut_short, kind)
    else:
        start = window.position
    if flaw:
        window.advance(_ALL)
        yield Member(start, window.position - start, b"", f"unreadable from here on: {flaw}", offset_kind=kind)


def _record(window: Window, limit: int) -> tuple[bytes, str | None, bool]:
    """(data, damage, whether it was cut short) of what begins here; leaves the window at the next record."""
    start = window.position
    try:
        frame = frame_at(window)
    except CutOff:
        return _damaged(window, start + 1, CUT_OFF, None)
    if frame is None:
        return _damaged(window, start + 1, "no record header where one is expected", None)
    if frame.body is None:
        return _damaged(window, start + 1, "its header has no readable length", None)
    complete, clean = _step_over(window, frame, limit)
    if clean:
        return _taken(window, start, start + frame.size, limit), None, frame.size > limit
    end = start + frame.size if complete else None
    window.seek(start + frame.head)
    if seek_record(window, end):
        return b"", f"its length of {frame.body:,} bytes runs into the next record", False
    if not complete:
        return b"", CUT_OFF, False
    # what follows belongs to no record: its length is too small, or there is damage after it
    return _taken(window, start, start + frame.size, limit), None, frame.size > limit


def _taken(window: Window, start: int, end: int, limit: int) -> bytes:
    """The record's bytes, with the line breaks after it; leaves the window behind them."""
    window.seek(end)
    window.advance(breaks_at(window))
    end = window.position
    window.seek(start)
    data = window.peek(min(end - start, limit))
    window.seek(end)
    return data


def _step_over(window: Window, frame: Frame, limit: int) -> tuple[bool, bool]:
    """Step behind the record; (whether all of it is there, whether a record or the end follows)."""
    if frame.size <= limit:
        window.peek(frame.size + 2 * BEGINNING)  # all that is looked at, so that going back reads nothing again
    complete = window.advance(frame.size) == frame.size
    window.advance(breaks_at(window))
    following = window.peek(BEGINNING)
    return complete, complete and (not following or surely_begins_record(following))


def _damaged(window: Window, start: int, why: str, stop: int | None) -> tuple[bytes, str | None, bool]:
    window.seek(start)
    seek_record(window, stop)
    return b"", why, False

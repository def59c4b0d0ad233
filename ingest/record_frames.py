"""Where a record begins and how long it is: WARC (ISO 28500:2017) and ARC (Internet Archive, versions 1 and 2).

A WARC record begins with a version line and named fields up to an empty line, an ARC record with one line:

    URL IP-address date content-type length                                                     version 1
    URL IP-address date content-type result checksum location offset filename length            version 2

Both then hold as many bytes as they say, and a line break or two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from corpusmill.ingest.byte_window import CutOff, Window

HEADER_ROOM = 1 << 20
"""The longest header that is believed. Some hold a URL of 100 kB."""

_FIRST_LOOK = 2048
_FIRST_SEARCH = 1 << 14
_WARC_START = b"WARC/"
_WARC_SOUGHT = re.compile(rb"WARC/[0-9]\.[0-9]+[ \t]*\r?\n")
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"\ncontent-length[ \t]*:[ \t]*([0-9]{1,18})[ \t]*\r?\n", re.IGNORECASE)
_TYPE = re.compile(rb"\nwarc-type[ \t]*:", re.IGNORECASE)
_ARC_SCHEME = rb"(?:https?|ftps?|dns|filedesc|metadata|whois|screenshot|gopher|urn|x-[a-z]+):"
_ARC_LINE = re.compile(rb"([a-zA-Z][a-zA-Z0-9+.-]*:[^\n]*) (\S+) ([0-9]{8,20}) ([^\n]*?) ?(-|-?\w+)\r?\n")
_ARC_KNOWN = re.compile(_ARC_SCHEME)
_ARC_SOUGHT = re.compile(_ARC_SCHEME + rb"[^\n]{0,65536}? \S+ [0-9]{14} [^\n]{0,1024}? [0-9]{1,12}\r?\n")
_BREAKS = b"\r\n"


@dataclass(frozen=True, slots=True)
class Frame:
    """A record's outline: `head` bytes of header, `body` bytes after it, or None where the length cannot be read."""

    kind: Literal["warc", "arc"]
    head: int
    body: int | None

    @property
    def size(self) -> int:
        return self.head + (self.body or 0)


def frame_at(window: Window) -> Frame | None:
    """The record that begins at the window's position; None if none does. Raises CutOff inside its header.

    The length of a header in which another one begins is not to be read: it is the other one's.
    """
    look = _FIRST_LOOK
    while True:
        data = window.peek(look)
        if not begins_record(data):
            return None
        frame = frame_of(data)
        if frame is not None:
            another = _WARC_SOUGHT.search(data, len(_WARC_START), frame.head) if frame.kind == "warc" else None
            return Frame("warc", 0, None) if another and _plausible(data, another.start()) else frame
        if len(data) < look:
            raise CutOff
        if look >= HEADER_ROOM:
            return Frame("warc" if data.startswith(_WARC_START) else "arc", 0, None)
        look *= 8


def frame_of(data: bytes) -> Frame | None:
    """The record that begins `data`; None if its header is not all there."""
    if data.startswith(_WARC_START):
        end = _BLANK_LINE.search(data)
        if end is None:
            return None
        length = _LENGTH.search(data, 0, end.start() + 2)
        return Frame("warc", end.end(), int(length[1]) if length else None)
    line = _ARC_LINE.match(data)
    if line is None:
        return None
    return Frame("arc", line.end(), int(line[5]) if line[5].isdigit() else None)


def begins_record(data: bytes) -> bool:
    """Whether `data` begins like a record. A first look of some hundred bytes must do for an ARC."""
    if data.startswith(_WARC_START):
        return True
    head = data[:16].partition(b":")
    if not head[1] or not head[0].replace(b"-", b"").isalnum():
        return False
    return _ARC_LINE.match(data) is not None or (b"\n" not in data and len(data) > 16)


def surely_begins_record(data: bytes) -> bool:
    """As `begins_record`, but an ARC's URL must have a scheme that is known: "ttp:" is one cut into."""
    return data.startswith(_WARC_START) or (begins_record(data) and _ARC_KNOWN.match(data) is not None)


def breaks_at(window: Window) -> int:
    """How many bytes of line breaks lie at the window's position."""
    look = 8
    while True:
        data = window.peek(look)
        count = len(data) - len(data.lstrip(_BREAKS))
        if count < look or look >= HEADER_ROOM:
            return count
        look *= 16


def seek_record(window: Window, stop: int | None = None) -> bool:
    """Move to the next plausible record that begins before `stop`, else there, or to the end of the stream.

    Plausible is a WARC version line with, among the fields below it, a type and a length, or a whole ARC line. No line
    break need stand before it: that byte belongs to the damage.
    """
    look = _FIRST_SEARCH
    while stop is None or window.position < stop:
        data = window.peek(look)
        if not data:
            return False
        start, at_end, unsure = window.position, len(data) < look, False
        for at in _candidates(data):
            if stop is not None and start + at >= stop:
                break
            if _plausible(data, at):
                window.seek(start + at)
                return True
            if not at_end and look < HEADER_ROOM and _BLANK_LINE.search(data, at) is None:
                unsure = True  # its header may be longer than what is in view
                break
        if at_end:
            window.seek(start + len(data) if stop is None else min(stop, start + len(data)))
            return False
        if not unsure:
            window.seek(start + look // 2)
        look = min(8 * look, HEADER_ROOM)
    window.seek(stop)
    return False


def _candidates(data: bytes) -> list[int]:
    found = [m.start() for m in _WARC_SOUGHT.finditer(data)]
    if b"http" in data or b"filedesc:" in data:
        found += [m.start() for m in _ARC_SOUGHT.finditer(data)]
    return sorted(found)


def _plausible(data: bytes, at: int) -> bool:
    if not data.startswith(_WARC_START, at):
        return True
    end = _BLANK_LINE.search(data, at)
    if end is None:
        return False
    return all(field.search(data, at, end.start() + 2) is not None for field in (_LENGTH, _TYPE))

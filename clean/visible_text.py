"""The visible text of a page without building its tree: what the cheap tests before extraction look at.

One pass of a numba kernel over the bytes, several hundred MB a second; a parser and its walk take five times as long.
It follows the HTML standard's tokenizer (13.2.5) where that matters to text: comments, quoted attributes, raw text
elements, character references. It is no extractor: menus and footers are in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from html.entities import html5, name2codepoint
from typing import NamedTuple

import numpy as np
from numba import njit

_BREAKING = (
    "address article aside blockquote body br caption center dd details dialog dir div dl dt fieldset figcaption "
    "figure footer form frameset h1 h2 h3 h4 h5 h6 head header hr html legend li link main menu nav ol optgroup "
    "option p pre section summary table tbody td tfoot th thead tr ul"
)
_RAW = "script style"
"""Their text runs to the closing tag, or to the end of the page."""
_HIDDEN = "title noscript template svg select button textarea iframe object canvas audio video map"
"""Left out where they are closed; unclosed ones hide nothing."""
_VOID = "area base col embed img input meta param source track wbr"
_MAY_STAY_OPEN = frozenset(
    f"a {_RAW} {_VOID} br hr link body html head p li dd dt td th tr tbody thead tfoot option optgroup".split()
)
_OTHER, _BREAKS, _IS_RAW, _IS_HIDDEN, _LINK = 0, 1, 2, 3, 4
_PROSE_BYTES = 80
_PROSE_ENOUGH = 200


class VisibleText(NamedTuple):
    """`data` uint8; `blocks` int64 [n, 3]: start, end, bytes inside links. `tags`, `depth`: the work it makes."""

    data: np.ndarray
    blocks: np.ndarray
    tags: int
    """Opening tags: about the number of elements."""
    depth: int
    """Most elements open at once, counting those that cannot be left open."""

    def text(self) -> str:
        """One block a line."""
        return self.data.tobytes().decode("utf-8", "replace")

    def sample(self, max_bytes: int) -> np.ndarray:
        """The first `max_bytes` of its prose (blocks of some length, not mostly links); of all, if there is little."""
        lengths = self.blocks[:, 1] - self.blocks[:, 0]
        prose = (lengths >= _PROSE_BYTES) & (self.blocks[:, 2] * 2 < lengths)
        if lengths[prose].sum() < _PROSE_ENOUGH:
            return self.data[:max_bytes]
        out = np.full(max_bytes, 32, np.uint8)
        return out[: gather(self.data, self.blocks[prose], out)]


def visible_text(html: bytes) -> VisibleText:
    """Text of a page given as UTF-8. Bytes that are not UTF-8 go through as they are."""
    data = np.frombuffer(html, np.uint8)
    out = np.empty(len(data) + 1, np.uint8)
    blocks = np.empty((len(data) // 4 + 1, 3), np.int64)
    size, count, tags, depth = scan(data, _tags(), _entities(), out, blocks)
    return VisibleText(out[:size], blocks[:count], tags, depth)


@lru_cache(maxsize=1)
def _tags() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An open-addressed table of tag names: their hashes, what each does to text, whether it must be closed."""
    kinds = {
        name: kind
        for listed, kind in (
            (_BREAKING, _BREAKS),
            (_RAW, _IS_RAW),
            (_HIDDEN, _IS_HIDDEN),
            ("a", _LINK),
            (_VOID, _OTHER),
        )
        for name in listed.split()
    }
    names, values = _table(512, kinds)
    closes = np.ones(512, np.bool_)  # an element that is not known must be closed
    closes[np.isin(names, [_fnv(name) for name in _MAY_STAY_OPEN])] = False
    return names, values.astype(np.uint8), closes


@lru_cache(maxsize=1)
def _entities() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The named characters of HTML 4 as a table of the same kind; what browsers make of &#128; to &#159;."""
    names, values = _table(1024, {name: ord(html5[f"{name};"]) for name in (*name2codepoint, "apos")})
    legacy = [ord(bytes([b]).decode("cp1252", "replace")) for b in range(128, 160)]
    return names, values, np.array(legacy, np.int64)


def _table(size: int, values: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    keys, found = np.zeros(size, np.uint64), np.zeros(size, np.int64)
    for name, value in values.items():
        key = _fnv(name)
        slot = key & (size - 1)
        while keys[slot]:
            slot = (slot + 1) & (size - 1)
        keys[slot], found[slot] = key, value
    return keys, found


def _fnv(name: str) -> int:
    value = 0xCBF29CE484222325
    for char in name.encode():
        value = ((value ^ char) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


@njit(cache=True, nogil=True)
def gather(data, blocks, out):  # type: ignore[no-untyped-def]
    """Copy blocks into `out`, a blank between two, until it is full; the bytes used."""
    at = 0
    for b in range(blocks.shape[0]):
        for p in range(blocks[b, 0], blocks[b, 1]):
            if at == out.shape[0]:
                return at
            out[at] = data[p]
            at += 1
        if at < out.shape[0]:
            out[at] = 32
            at += 1
    return at


@njit(cache=True, nogil=True)
def _after_close(data, p, name_start, name_end):  # type: ignore[no-untyped-def]
    """Position of the `<` of the closing tag of that name at or after `p`, or -1."""
    size = name_end - name_start
    end = data.shape[0] - size - 1
    while p < end:
        if data[p] == 60 and data[p + 1] == 47:
            same = True
            for i in range(size):
                if (data[p + 2 + i] | 32) != (data[name_start + i] | 32):
                    same = False
                    break
            if same:
                return p
        p += 1
    return -1


@njit(cache=True, nogil=True)
def _reference(data, p, entities, out, at):  # type: ignore[no-untyped-def]
    """Write the character that the reference at `p` (an ampersand) stands for; (position after it, bytes in `out`).

    Never more bytes than are read. Names need their semicolon; what is no character of a text becomes a blank.
    """
    names, values, legacy = entities
    end = min(data.shape[0], p + 12)
    q = p + 1
    value = 0
    if q < end and data[q] == 35:
        q += 1
        hexadecimal = q < end and (data[q] | 32) == 120
        if hexadecimal:
            q += 1
        first = q
        while q < end:
            c = data[q]
            if 48 <= c <= 57:
                digit = c - 48
            elif hexadecimal and 97 <= (c | 32) <= 102:
                digit = (c | 32) - 87
            else:
                break
            value = value * (16 if hexadecimal else 10) + digit
            q += 1
        if q == first:
            out[at] = 38
            return p + 1, at + 1
        if q < data.shape[0] and data[q] == 59:
            q += 1
        if 128 <= value < 160:
            value = legacy[value - 128]
    else:
        h = np.uint64(0xCBF29CE484222325)
        while q < end and (97 <= (data[q] | 32) <= 122 or 48 <= data[q] <= 57):
            h = (h ^ np.uint64(data[q])) * np.uint64(0x100000001B3)
            q += 1
        slot = h & np.uint64(1023)
        while names[slot] != 0 and names[slot] != h:
            slot = (slot + np.uint64(1)) & np.uint64(1023)
        if names[slot] == 0 or q >= data.shape[0] or data[q] != 59:
            out[at] = 38
            return p + 1, at + 1
        value = values[slot]
        q += 1
    if value == 160 or value < 32 or value > 0x10FFFF or 0xD800 <= value <= 0xDFFF:
        out[at] = 32
        return q, at + 1
    if value < 0x80:
        out[at] = value
        return q, at + 1
    if value < 0x800:
        out[at] = 0xC0 | (value >> 6)
        out[at + 1] = 0x80 | (value & 0x3F)
        return q, at + 2
    if value < 0x10000:
        out[at] = 0xE0 | (value >> 12)
        out[at + 1] = 0x80 | ((value >> 6) & 0x3F)
        out[at + 2] = 0x80 | (value & 0x3F)
        return q, at + 3
    out[at] = 0xF0 | (value >> 18)
    out[at + 1] = 0x80 | ((value >> 12) & 0x3F)
    out[at + 2] = 0x80 | ((value >> 6) & 0x3F)
    out[at + 3] = 0x80 | (value & 0x3F)
    return q, at + 4


@njit(cache=True, nogil=True)
def scan(data, tags, entities, out, blocks):  # type: ignore[no-untyped-def]
    """Fill `out` and `blocks`; (bytes used, blocks used, tags, depth). A line feed follows each block.

    Its time is linear in the page: what was once looked for in vain to the page's end is not looked for again.
    """
    names, kinds, closes = tags
    n = data.shape[0]
    p = at = count = 0
    num_tags = depth = deepest = 0
    start = 0
    links = 0
    link_from = -1  # where in `out` the open link began
    blank = False
    never_closed = np.zeros(names.shape[0], np.bool_)
    quotes_count = True  # until a quote is found that is never closed
    while p <= n:
        c = data[p] if p < n else np.uint8(0)
        breaks = p == n
        if p < n and c == 60 and p + 1 < n:
            second = data[p + 1]
            if second == 33 or second == 63:  # <! and <?
                if p + 3 < n and data[p + 2] == 45 and data[p + 3] == 45:
                    q = p + 2  # <!--> and <!---> are whole comments
                    while q + 2 < n and not (data[q] == 45 and data[q + 1] == 45 and data[q + 2] == 62):
                        q += 1
                    p = q + 3 if q + 2 < n else n
                else:
                    q = p + 2
                    while q < n and data[q] != 62:
                        q += 1
                    p = q + 1
                p = min(p, n)
                continue
            closing = second == 47 and p + 2 < n
            name_at = p + 2 if closing else p + 1
            if closing and not 97 <= (data[name_at] | 32) <= 122:  # </ and no name: hidden up to the next >
                q = name_at
                while q < n and data[q] != 62:
                    q += 1
                p = min(q + 1, n)
                continue
            if name_at < n and 97 <= (data[name_at] | 32) <= 122:
                q = name_at
                h = np.uint64(0xCBF29CE484222325)
                while q < n and data[q] > 32 and data[q] != 62 and data[q] != 47:
                    letter = data[q]
                    if 65 <= letter <= 90:
                        letter |= 32
                    h = (h ^ np.uint64(letter)) * np.uint64(0x100000001B3)
                    q += 1
                name_end = q
                quote = np.uint8(0)
                after_equals = False
                while q < n:  # to the end of the tag; a quoted value may hold >
                    d = data[q]
                    if quote:
                        if d == quote:
                            quote = np.uint8(0)
                    elif d == 62:
                        break
                    elif after_equals and quotes_count and (d == 34 or d == 39):
                        quote = d
                    if d == 61:
                        after_equals = True
                    elif d > 32:
                        after_equals = False
                    q += 1
                slot = h & np.uint64(511)
                while names[slot] != 0 and names[slot] != h:
                    slot = (slot + np.uint64(1)) & np.uint64(511)
                kind = kinds[slot]
                if q >= n and quote:  # it would swallow the page
                    quotes_count = False
                    q = name_end
                    while q < n and data[q] != 62:
                        q += 1
                after = min(q + 1, n)
                whole = data[q - 1] == 47  # <svg/>
                if closing:
                    depth -= 1 if depth > 0 and closes[slot] else 0
                else:
                    num_tags += 1
                    if closes[slot] and not whole:
                        depth += 1
                        deepest = max(deepest, depth)
                if kind == 4:
                    if closing:
                        if link_from >= 0:
                            links += at - max(link_from, start)
                        link_from = -1
                    elif link_from < 0:
                        link_from = at
                elif (kind == 2 or (kind == 3 and not whole)) and not closing and not never_closed[slot]:
                    found = _after_close(data, after, name_at, name_end)
                    if found >= 0:
                        after = found
                    else:
                        never_closed[slot] = True
                        after = n if kind == 2 else after
                breaks = kind == 1
                if not breaks and kind != 0:
                    blank = blank or kind != 4
                p = after
                if not breaks:
                    continue
                p -= 1  # the step below
        if breaks:
            if link_from >= 0:
                links += at - max(link_from, start)
                link_from = at + 1
            if at > start:
                blocks[count, 0], blocks[count, 1], blocks[count, 2] = start, at, links
                count += 1
                out[at] = 10
                at += 1
                start = at
            links = 0
            blank = False
            if link_from >= 0:
                link_from = at
            p += 1
            continue
        if c <= 32:
            blank = True
            p += 1
            continue
        if blank and at > start:
            out[at] = 32
            at += 1
        blank = False
        if c == 38:
            p, at = _reference(data, p, entities, out, at)
            if out[at - 1] == 32:
                at -= 1
                if at > start and out[at - 1] == 32:  # the blank that was there before
                    at -= 1
                blank = True
        else:
            out[at] = c
            at += 1
            p += 1
    return at, count, num_tags, deepest

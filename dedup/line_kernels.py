"""Lines and paragraphs of texts, each with a hash of what it says, over Arrow buffers.

What it says is CCNet's normal form (Wenzek et al. 2020, section 3.1): lower case, every digit 0, no punctuation and no
control characters; besides, white space within is one blank and none at the ends. Letters, marks, numbers and symbols
stay. So "Page 3 of 10" and "PAGE 4 of 12." are one line.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit

from corpusmill.columns import text_buffers

_TABLE_SIZE = 0x20000
_LEFT_OUT, _WHITE = 0, 1


class Units(NamedTuple):
    """Lines or paragraphs that say something or not, in order; int64 [n] each. Blank lines are in no unit."""

    text: np.ndarray  # which text of the batch
    start: np.ndarray  # bytes from the text's start, of the line's first byte
    end: np.ndarray  # after its last byte that is not white
    key: np.ndarray
    chars: np.ndarray  # of the normal form, blanks not counted


def find_units(texts: pa.Array, paragraphs: bool) -> Units:
    """The units of a batch of texts: lines, or runs of lines without a blank one between them."""
    offsets, data = text_buffers(texts)
    most = int(np.count_nonzero(data[offsets[0] : offsets[-1]] == 10)) + len(offsets) - 1
    columns = [np.empty(most, np.int64) for _ in Units._fields]
    key = columns[3].view(np.uint64)
    found = _units(offsets, data, line_table(), paragraphs, columns[0], columns[1], columns[2], key, columns[4])
    return Units(*(c[:found] for c in columns))


def unit_spans(units: Units, cut: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(start, end) in bytes, int64 [n], of what goes with each unit that is cut (bool [n]): its line end too.

    A unit goes with all that follows, up to the next one, so that no empty line is left. At the end of a text it goes
    with what stands before it instead, so that the text ends as it did. If all units go, so does the whole text.
    `sizes` are the texts' lengths in bytes. Spans of one text do not overlap.
    """
    start, end = units.start.copy(), units.end.copy()
    _extend(units.text, units.start, units.end, cut, sizes, start, end)
    return start[cut], end[cut]


@lru_cache(maxsize=1)
def line_table() -> np.ndarray:
    """For each code point below U+20000: 0 if left out, 1 if white space, else its normal form, uint32."""
    table = np.zeros(_TABLE_SIZE, np.uint32)
    for point in range(_TABLE_SIZE):
        char = chr(point)
        kind = unicodedata.category(char)
        lower = char.lower()
        if char.isspace():
            table[point] = _WHITE
        elif kind == "Nd":
            table[point] = ord("0")
        elif kind[0] in "LMNS":
            table[point] = ord(lower) if len(lower) == 1 else point
    return table


@njit(cache=True, nogil=True)
def _units(offsets, data, table, paragraphs, text, start, end, key, chars):  # type: ignore[no-untyped-def]
    """Fill the columns; how many units there are."""
    found = 0
    for d in range(offsets.shape[0] - 1):
        base, size = offsets[d], offsets[d + 1] - offsets[d]
        at = np.int64(0)
        in_paragraph = False
        while at < size:
            stop = at
            last = at  # after the last byte that is not white
            while stop < size and data[base + stop] != 10:
                stop += 1
                if data[base + stop - 1] > 32:
                    last = stop
            if last == at:
                in_paragraph = False
            elif paragraphs and in_paragraph:
                end[found - 1] = last
            else:
                text[found], start[found], end[found] = d, at, last
                found += 1
                in_paragraph = True
            at = stop + 1
    for i in range(found):
        base = offsets[text[i]]
        key[i], chars[i] = _normal_hash(data, base + start[i], base + end[i], table)
    return found


@njit(cache=True, nogil=True)
def _normal_hash(data, p, end, table):  # type: ignore[no-untyped-def]
    """(64-bit hash of the normal form of data[p:end], its characters but for blanks)."""
    value = np.uint64(0xCBF29CE484222325)
    chars = 0
    blank = False
    while p < end:
        lead = data[p]
        point, size = np.int64(lead), 1
        if lead >= 0xF0:
            point = (np.int64(lead & 0x07) << 18) | (np.int64(data[p + 1] & 0x3F) << 12)
            point |= (np.int64(data[p + 2] & 0x3F) << 6) | np.int64(data[p + 3] & 0x3F)
            size = 4
        elif lead >= 0xE0:
            point = (np.int64(lead & 0x0F) << 12) | (np.int64(data[p + 1] & 0x3F) << 6) | np.int64(data[p + 2] & 0x3F)
            size = 3
        elif lead >= 0xC0:
            point, size = (np.int64(lead & 0x1F) << 6) | np.int64(data[p + 1] & 0x3F), 2
        p += size
        normal = table[point] if point < table.shape[0] else np.uint32(point)
        if normal == 0:
            continue
        if normal == 1:
            blank = chars > 0
            continue
        if blank:
            value = _taken(value, np.uint64(32))
            blank = False
        value = _taken(value, np.uint64(normal))
        chars += 1
    return value ^ (value >> np.uint64(32)), chars


@njit(cache=True, nogil=True, inline="always")
def _taken(value, point):  # type: ignore[no-untyped-def]
    """FNV-1a over code points, with a shift so that high bits reach low ones."""
    value = (value ^ point) * np.uint64(0x9E3779B97F4A7C15)
    return value ^ (value >> np.uint64(29))


@njit(cache=True, nogil=True)
def _extend(text, unit_start, unit_end, cut, sizes, start, end):  # type: ignore[no-untyped-def]
    """Widen the spans of cut units, a text at a time."""
    first = 0
    while first < text.shape[0]:
        after = first + 1
        while after < text.shape[0] and text[after] == text[first]:
            after += 1
        tail = after  # from here on all units of the text are cut
        while tail > first and cut[tail - 1]:
            tail -= 1
        for i in range(first, tail):
            end[i] = unit_start[i + 1] if i + 1 < after else unit_end[i]
        for i in range(max(tail, first + 1), after):
            start[i] = unit_end[i - 1]
        if tail == first:
            start[first], end[after - 1] = 0, sizes[text[first]]
        first = after

"""Words, windows of words and their minimizers, over Arrow buffers.

A word is a run of letters, digits and marks, compared in lower case; in scripts that write no spaces (Han, kana, Thai,
Lao, Khmer, Burmese) every letter with its marks is a word. Punctuation and white space are not compared: a page's
layout changes where its words do not.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit

_TABLE_SIZE = 0x20000
_MARK, _ALONE = 1 << 29, 1 << 30
_NO_SPACES = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3021, 0x3029),
    (0x3040, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0xFF66, 0xFF9F),
)  # fmt: skip


class Words(NamedTuple):
    """The words of a batch of texts: those of text i are offsets[i]:offsets[i + 1]."""

    offsets: np.ndarray  # int64 [texts + 1]
    start: np.ndarray  # int64 [words], bytes from the text's start
    end: np.ndarray  # int64 [words]
    hash: np.ndarray  # uint64 [words], below 2**61 - 1


def find_words(offsets: np.ndarray, data: np.ndarray) -> Words:
    """Cut texts (int64 [n + 1] offsets into UTF-8 bytes) into words. Memory is 24 bytes for each two bytes of text."""
    most = (int(offsets[-1] - offsets[0]) + len(offsets)) // 2 + 1
    start, end, hashes = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.uint64)
    words = np.zeros(len(offsets), np.int64)
    _words(offsets, data, word_table(), words, start, end, hashes)
    return Words(words, start[: words[-1]], end[: words[-1]], hashes[: words[-1]])


def window_keys(words: Words, size: int) -> np.ndarray:
    """A key for each word, int64 [words]: of the window of `size` words that it begins, 0 where the text ends before.

    A polynomial in a fixed number, modulo 2**61 - 1 (Karp and Rabin 1987): two windows that differ have one key with
    probability under size / 2**61.
    """
    keys = np.zeros(len(words.hash), np.uint64)
    _roll(words.offsets, words.hash, size, keys)
    return keys.view(np.int64)


def minimizers(words: Words, keys: np.ndarray, count: int) -> np.ndarray:
    """For each word the place of the least key, the first among equals, of `count` windows from its own on; int64.

    Which of the windows that is depends on their words alone (Schleimer et al. 2003, winnowing). -1 near a text's end.
    """
    places = np.full(len(keys), -1, np.int64)
    _least(words.offsets, keys.view(np.uint64), count, places)
    return places


def cut_words(
    words: Words, size: int, found: np.ndarray, first: np.ndarray, address: np.ndarray, kept: np.ndarray
) -> np.ndarray:
    """Which words lie in a window that occurred before, bool [words].

    `found` int64 [words] is the place of each window's key among the repeated ones, -1 if it is not there; `first`
    int64 [keys] the address of the key's first occurrence; `kept` int64 [keys] is -1 and is given the place of the
    first occurrence in its text. Of a window that overlaps its own first occurrence, only what lies beyond that is cut.
    """
    depth = np.zeros(len(found) + 1, np.int32)
    _cover(words.offsets, size, found, first, address, kept, depth)
    return np.cumsum(depth[:-1]) > 0


def word_spans(
    words: Words, cut: np.ndarray, offsets: np.ndarray, data: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(text, start, end), int64 each, of the runs of cut words, with the punctuation that stands at them alone.

    After a run goes what stands there up to the next white space, that included; before it, what no white space parts
    from it. Never a byte of a word that stays. At a text's end the white space before the run goes.
    """
    most = len(cut) // 2 + len(offsets)
    columns = [np.empty(most, np.int64) for _ in range(3)]
    found = _runs(words.offsets, words.start, words.end, cut, offsets, data, *columns)
    return columns[0][:found], columns[1][:found], columns[2][:found]


@lru_cache(maxsize=1)
def word_table() -> np.ndarray:
    """For each code point below U+20000: 0 where it ends a word, else its lower case, with flags for marks and letters
    that are words by themselves; uint32."""
    table = np.zeros(_TABLE_SIZE, np.uint32)
    for point in range(_TABLE_SIZE):
        char = chr(point)
        kind = unicodedata.category(char)[0]
        if kind in "LMN":
            lower = char.lower()
            alone = kind != "M" and any(low <= point <= high for low, high in _NO_SPACES)
            table[point] = (ord(lower) if len(lower) == 1 else point) | alone * _ALONE | (kind == "M") * _MARK
    return table


@njit(cache=True, nogil=True)
def _words(offsets, data, table, words, start, end, hashes):  # type: ignore[no-untyped-def]
    """Fill the columns of Words."""
    n = np.int64(0)
    for d in range(offsets.shape[0] - 1):
        base, stop = offsets[d], offsets[d + 1]
        p = base
        open_word, alone = False, False
        value = np.uint64(0)
        while p < stop:
            lead = data[p]
            point = np.int64(lead)
            size = 1
            if lead >= 0xF0:
                point = (np.int64(lead & 0x07) << 18) | (np.int64(data[p + 1] & 0x3F) << 12)
                point |= (np.int64(data[p + 2] & 0x3F) << 6) | np.int64(data[p + 3] & 0x3F)
                size = 4
            elif lead >= 0xE0:
                point = (np.int64(lead & 0x0F) << 12) | (np.int64(data[p + 1] & 0x3F) << 6)
                point |= np.int64(data[p + 2] & 0x3F)
                size = 3
            elif lead >= 0xC0:
                point = (np.int64(lead & 0x1F) << 6) | np.int64(data[p + 1] & 0x3F)
                size = 2
            folded = np.int64(table[point]) if point < table.shape[0] else point | (1 << 30)
            is_mark, is_alone = (folded >> 29) & 1 == 1, (folded >> 30) & 1 == 1
            ends = folded == 0 or is_alone or (alone and not is_mark)
            if open_word and ends:
                hashes[n] = _closed(value)
                end[n] = p - base
                n += 1
                open_word = False
            if folded != 0:
                if not open_word:
                    start[n] = p - base
                    value = np.uint64(0xCBF29CE484222325)
                    open_word, alone = True, is_alone
                value = (value ^ np.uint64(folded & 0x1FFFFF)) * np.uint64(0x9E3779B97F4A7C15)
                value ^= value >> np.uint64(29)
            p += size
        if open_word:
            hashes[n] = _closed(value)
            end[n] = stop - base
            n += 1
        words[d + 1] = n


@njit(cache=True, nogil=True, inline="always")
def _closed(value):  # type: ignore[no-untyped-def]
    """A word's hash, from 1 to 2**61 - 2."""
    value *= np.uint64(0xD6E8FEB86659FD93)
    value ^= value >> np.uint64(32)
    return value % np.uint64(2305843009213693950) + np.uint64(1)


@njit(cache=True, nogil=True)
def _roll(offsets, hashes, size, keys):  # type: ignore[no-untyped-def]
    base = np.uint64(0x1D8AF066D4B5C1F3 % 2305843009213693951)
    top = np.uint64(1)
    for _ in range(size):
        top = _times(top, base)
    prime = np.uint64(2305843009213693951)
    for d in range(offsets.shape[0] - 1):
        value = np.uint64(0)
        first = offsets[d]
        for i in range(first, offsets[d + 1]):
            value = _reduced(_times(value, base) + hashes[i])
            if i - first >= size:
                value = _reduced(value + prime - _times(hashes[i - size], top))
            if i - first >= size - 1:
                mixed = (value + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
                mixed ^= mixed >> np.uint64(32)
                keys[i - size + 1] = max(mixed * np.uint64(0xD6E8FEB86659FD93), np.uint64(1))  # 0 means none


@njit(cache=True, nogil=True, inline="always")
def _reduced(value):  # type: ignore[no-untyped-def]
    """Modulo 2**61 - 1, of what is under twice that."""
    prime = np.uint64(2305843009213693951)
    return value - prime if value >= prime else value


@njit(cache=True, nogil=True, inline="always")
def _times(a, b):  # type: ignore[no-untyped-def]
    """a * b modulo 2**61 - 1, for both below it, from halves of 31 bits: no product leaves 64 bits."""
    prime, low31, low30 = np.uint64(2305843009213693951), np.uint64(0x7FFFFFFF), np.uint64(0x3FFFFFFF)
    a1, a0, b1, b0 = a >> np.uint64(31), a & low31, b >> np.uint64(31), b & low31
    middle = a0 * b1 + a1 * b0
    total = a1 * b1 * np.uint64(2) + (middle >> np.uint64(30)) + ((middle & low30) << np.uint64(31)) + a0 * b0
    total = (total & prime) + (total >> np.uint64(61))
    return total - prime if total >= prime else total


@njit(cache=True, nogil=True)
def _least(offsets, keys, count, places):  # type: ignore[no-untyped-def]
    for d in range(offsets.shape[0] - 1):
        stop = offsets[d + 1]
        while stop > offsets[d] and keys[stop - 1] == 0:  # too near the text's end to begin a window
            stop -= 1
        least = -1
        for i in range(offsets[d], stop - count + 1):
            if least < i:
                least = i
                for j in range(i + 1, i + count):
                    if keys[j] < keys[least]:
                        least = j
            elif keys[i + count - 1] < keys[least]:
                least = i + count - 1
            places[i] = least


@njit(cache=True, nogil=True)
def _cover(offsets, size, found, first, address, kept, depth):  # type: ignore[no-untyped-def]
    """Add, to `depth`, 1 where a stretch of cut words begins and -1 after its end."""
    for d in range(offsets.shape[0] - 1):
        for i in range(offsets[d], offsets[d + 1] - size + 1):
            key = found[i]
            if key < 0:
                continue
            begin = i
            if first[key] == address[d]:
                place = i - offsets[d]
                if kept[key] < 0:
                    kept[key] = place
                    continue
                begin = max(i, offsets[d] + kept[key] + size)
            depth[begin] += 1
            depth[i + size] -= 1


@njit(cache=True, nogil=True)
def _runs(words, start, end, cut, offsets, data, text, first, last):  # type: ignore[no-untyped-def]
    """Fill (text, first, last) with the runs of cut words; how many."""
    found = 0
    for d in range(words.shape[0] - 1):
        base, size = offsets[d], offsets[d + 1] - offsets[d]
        i = words[d]
        while i < words[d + 1]:
            if not cut[i]:
                i += 1
                continue
            before = end[i - 1] if i > words[d] else np.int64(0)
            at = start[i]
            while i < words[d + 1] and cut[i]:
                i += 1
            after = start[i] if i < words[d + 1] else size
            low = at
            while low > before and data[base + low - 1] > 32:
                low -= 1
            if low > before or before == 0:  # else it hangs together with the word before, which stays
                at = low
            high = end[i - 1]
            while high < after and data[base + high] > 32:
                high += 1
            while high < after and data[base + high] <= 32:
                high += 1
            if high == size:
                while at > before and data[base + at - 1] <= 32:
                    at -= 1
            text[found], first[found], last[found] = d, at, high
            found += 1
    return found

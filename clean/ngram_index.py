"""Word n-grams of texts as 64-bit keys, and the places where a text has one of a given set: the kernels.

A word is a run of letters, digits and vowel signs in lower case, without accents; punctuation, symbols and blanks part
words ("don't" is two). A Chinese or Japanese character is a word. This is GPT-3's normalisation (Brown et al. 2020,
appendix C) with datatrove's treatment of accents; digits stay as they are.
Two different n-grams share a key with a probability of 2**-64: with a million n-grams in an index, one false match in
about 2 * 10**13 words.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import numpy as np
from numba import njit

_SKIP = -1  # accents and soft hyphens: part of no word, and parting none
_ALONE = 1 << 24  # a character that is a word of its own
_PARTS_WORDS = 0x200B  # zero width space: a format character, but it stands for a blank


def normal_words(text: str) -> list[str]:
    """The words of a text as they are compared."""
    table = fold_table()
    words: list[str] = []
    open_word = False
    for char in text:
        point = ord(char)
        folded = int(table[point]) if point < len(table) else point | _ALONE
        if folded == _SKIP:
            continue
        if folded & _ALONE or folded == 0:
            if folded:
                words.append(chr(folded & ~_ALONE))
            open_word = False
            continue
        if open_word:
            words[-1] += chr(folded)
        else:
            words.append(chr(folded))
        open_word = True
    return words


@lru_cache(maxsize=1)
def fold_table() -> np.ndarray:
    """int32 [0x20000]: what a code point becomes; 0 parts words. All above are CJK ideographs or rare."""
    table = np.zeros(0x20000, np.int32)
    for point in range(0x20000):
        if not 0xD800 <= point <= 0xDFFF:
            table[point] = _fold(point)
    return table


def _fold(point: int) -> int:
    char = chr(point)
    kind = unicodedata.category(char)
    if kind in ("Mn", "Me") or (kind == "Cf" and point != _PARTS_WORDS):
        return _SKIP
    plain = unicodedata.normalize("NFKC", char)
    lower = (plain if len(plain) == 1 else char).lower()
    apart = unicodedata.normalize("NFD", lower)
    base = apart[0] if all(unicodedata.category(c) == "Mn" for c in apart[1:]) else lower[0]
    if unicodedata.category(base)[0] not in "LN" and unicodedata.category(base) != "Mc":
        return 0
    return ord(base) | (_ALONE if _is_cjk(ord(base)) else 0)


def _is_cjk(point: int) -> bool:
    return (
        0x3040 <= point <= 0x30FF or 0x3400 <= point <= 0x4DBF or 0x4E00 <= point <= 0x9FFF or 0xF900 <= point <= 0xFAFF
    )


@njit(cache=True, nogil=True, inline="always")
def _decode_utf8(data, p):  # type: ignore[no-untyped-def]
    """(code point, bytes) at `p` of valid UTF-8."""
    lead = data[p]
    if lead < 0x80:
        return np.int64(lead), 1
    if lead < 0xE0:
        return (np.int64(lead & 0x1F) << 6) | np.int64(data[p + 1] & 0x3F), 2
    if lead < 0xF0:
        return (np.int64(lead & 0x0F) << 12) | (np.int64(data[p + 1] & 0x3F) << 6) | np.int64(data[p + 2] & 0x3F), 3
    high = (np.int64(lead & 0x07) << 18) | (np.int64(data[p + 1] & 0x3F) << 12)
    return high | (np.int64(data[p + 2] & 0x3F) << 6) | np.int64(data[p + 3] & 0x3F), 4


@njit(cache=True, nogil=True, inline="always")
def _mix(x):  # type: ignore[no-untyped-def]
    """The finaliser of MurmurHash3: every bit of the input moves every bit of the output."""
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return x ^ (x >> np.uint64(33))


@njit(cache=True, nogil=True)
def _split(data, p, end, fold, hashes, starts, ends):  # type: ignore[no-untyped-def]
    """Hash and byte span of each word of one text into the scratch arrays; the number of words."""
    count = 0
    inside = False
    value = np.uint64(0)
    while p < end:
        point, size = _decode_utf8(data, p)
        folded = np.int64(fold[point]) if point < fold.shape[0] else point | np.int64(1 << 24)
        if folded == -1:
            p += size
            continue
        if folded == 0 or folded >= (1 << 24):
            if inside:
                hashes[count] = _mix(value)
                count += 1
                inside = False
            if folded != 0:
                starts[count], ends[count] = p, p + size
                hashes[count] = _mix(np.uint64(folded))
                count += 1
        else:
            if not inside:
                inside = True
                starts[count] = p
                value = np.uint64(0xCBF29CE484222325)
            value = (value ^ np.uint64(folded)) * np.uint64(0x100000001B3)
            ends[count] = p + size
        p += size
    if inside:
        hashes[count] = _mix(value)
        count += 1
    return count


@njit(cache=True, nogil=True, inline="always")
def _window(hashes, first, length):  # type: ignore[no-untyped-def]
    """Polynomial of `length` word hashes modulo 2**64, that of `find_keys` when it rolls."""
    value = np.uint64(0)
    for i in range(first, first + length):
        value = value * np.uint64(0x9E3779B97F4A7C15) + hashes[i]
    return value


@njit(cache=True, nogil=True)
def collect_keys(offsets, data, fold, ngram, min_words, keys, begins, owners, lengths):  # type: ignore[no-untyped-def]
    """Keys of all n-grams of each text; of a text that is shorter, the key of the whole, from `min_words` words on.

    Fills `keys` uint64, `begins` uint64 (key of their first `min_words` words), `owners` int64 (the text) and
    `lengths` int64 (words), which must hold a place for every byte; returns how many were filled.
    """
    longest = 1
    for d in range(offsets.shape[0] - 1):
        longest = max(longest, offsets[d + 1] - offsets[d] + 1)
    hashes, starts, ends = np.empty(longest, np.uint64), np.empty(longest, np.int64), np.empty(longest, np.int64)
    filled = 0
    for d in range(offsets.shape[0] - 1):
        count = _split(data, offsets[d], offsets[d + 1], fold, hashes, starts, ends)
        length = min(count, ngram)
        if length < min_words:
            continue
        for first in range(count - length + 1):
            keys[filled] = _mix(_window(hashes, first, length) + np.uint64(length)) | np.uint64(1)
            begins[filled] = _mix(_window(hashes, first, min_words))
            owners[filled], lengths[filled] = d, length
            filled += 1
    return filled


@njit(cache=True, nogil=True)
def fill_table(keys, table):  # type: ignore[no-untyped-def]
    """Put unique odd keys into an open-addressed table of zeros, whose size is a power of two."""
    mask = np.uint64(table.shape[0] - 1)
    for i in range(keys.shape[0]):
        slot = (keys[i] >> np.uint64(20)) & mask
        while table[slot] != 0:
            slot = (slot + np.uint64(1)) & mask
        table[slot] = keys[i]


@njit(cache=True, nogil=True)
def fill_bits(begins, bits):  # type: ignore[no-untyped-def]
    """Set one bit of uint64 `bits` (a power of two of them) for each key."""
    mask = np.uint64(bits.shape[0] * 64 - 1)
    for i in range(begins.shape[0]):
        bit = begins[i] & mask
        bits[bit >> np.uint64(6)] |= np.uint64(1) << (bit & np.uint64(63))


@njit(cache=True, nogil=True)
def find_keys(offsets, data, fold, min_words, lengths, bits, table, out, found):  # type: ignore[no-untyped-def]
    """Every window of each text that is in the table: (text, first byte, end byte, words) into `out` int64 [:, 4].

    All windows begin with `min_words` words, so one look at `bits` spares nearly every place the looks at the table.
    `found` uint64 takes the keys. Returns the number of matches; what exceeds the room is counted and not written.
    """
    base = np.uint64(0x9E3779B97F4A7C15)
    leaving = np.uint64(1)
    for _ in range(min_words):
        leaving *= base
    mask, bit_mask = np.uint64(table.shape[0] - 1), np.uint64(bits.shape[0] * 64 - 1)
    longest = 1
    for d in range(offsets.shape[0] - 1):
        longest = max(longest, offsets[d + 1] - offsets[d] + 1)
    hashes, starts, ends = np.empty(longest, np.uint64), np.empty(longest, np.int64), np.empty(longest, np.int64)
    matches = 0
    for d in range(offsets.shape[0] - 1):
        count = _split(data, offsets[d], offsets[d + 1], fold, hashes, starts, ends)
        value = np.uint64(0)
        for last in range(count):
            value = value * base + hashes[last]
            if last >= min_words:
                value -= hashes[last - min_words] * leaving
            first = last - min_words + 1
            if first < 0:
                continue
            bit = _mix(value) & bit_mask
            if (bits[bit >> np.uint64(6)] >> (bit & np.uint64(63))) & np.uint64(1) == 0:
                continue
            for k in range(lengths.shape[0]):
                length = lengths[k]
                if first + length > count:
                    continue
                key = _mix(_window(hashes, first, length) + np.uint64(length)) | np.uint64(1)
                slot = (key >> np.uint64(20)) & mask
                while table[slot] != 0 and table[slot] != key:
                    slot = (slot + np.uint64(1)) & mask
                if table[slot] == key:
                    if matches < out.shape[0]:
                        out[matches, 0], out[matches, 1] = d, starts[first]
                        out[matches, 2], out[matches, 3] = ends[first + length - 1], length
                        found[matches] = key
                    matches += 1
    return matches

"""Documents made of a pool's sentences, and edited copies of them: numba, no Python object per document.

A base document is a function of (seed, base) alone, a copy one of (seed, base, kind, document): so a copy can be
written in another part than its original with nothing kept in memory. Random numbers are SplitMix64 of a counter.
"""

from __future__ import annotations

import numpy as np
from numba import njit

MIN_DOCUMENT_WORDS, MAX_DOCUMENT_WORDS = 150, 800
ORIGINAL, EXACT, PUNCTUATION, EDITED, EXTENDED = 0, 1, 2, 3, 4
"""What is done to a base: nothing, nothing, case and punctuation, words at a rate, boilerplate before or after."""
_LONGEST_SENTENCE = 60  # words; documents begin to close this many before the maximum
_BOILERPLATES = 50


@njit(cache=True, nogil=True)
def write_documents(numbers, bases, edits, rates, seed, offsets, data, words, word_offsets, word_data, starts, out):  # type: ignore[no-untyped-def]
    """Write the texts of a batch into `out` uint8 (at least `room` bytes) and their bounds into `starts` int64 [n + 1].

    numbers, bases int64 [n]; edits int8 [n] (ORIGINAL ...); rates float64 [n], share of words that EDITED touches.
    """
    scratch = np.empty(MAX_DOCUMENT_WORDS * 200, np.uint8)  # sentences of 6 words and 1,000 bytes, at worst
    at = 0
    starts[0] = 0
    for d in range(numbers.shape[0]):
        length = _base(np.uint64(bases[d]), seed, offsets, data, words, scratch)
        key = _mix(_mix(seed ^ np.uint64(0xD0C5)) ^ np.uint64(numbers[d]))
        if edits[d] == PUNCTUATION:
            at = _punctuated(scratch, length, key, out, at)
        elif edits[d] == EDITED:
            at = _edited(scratch, length, key, rates[d], word_offsets, word_data, out, at)
        elif edits[d] == EXTENDED:
            at = _extended(scratch, length, key, seed, offsets, data, out, at)
        else:
            out[at : at + length] = scratch[:length]
            at += length
        starts[d + 1] = at


@njit(cache=True, nogil=True)
def room(bases, seed, offsets, words):  # type: ignore[no-untyped-def]
    """Bytes that the texts of these bases need at most, however they are edited."""
    total = 0
    for d in range(bases.shape[0]):
        total += _base_bytes(np.uint64(bases[d]), seed, offsets, words) * 2 + MAX_DOCUMENT_WORDS * 14 + 20_000
    return total


@njit(cache=True, nogil=True)
def _base(base, seed, offsets, data, words, scratch):  # type: ignore[no-untyped-def]
    """Write base number `base` into scratch; its length. Blanks between sentences, a new line after every 5th."""
    key = _mix(seed ^ _mix(base))
    target = _target(key)
    count, at, i = 0, 0, 0
    while count < target:
        s = _draw(key, i, words.shape[0])
        if at > 0:
            scratch[at] = 10 if i % 5 == 0 else 32
            at += 1
        for p in range(offsets[s], offsets[s + 1]):
            scratch[at] = data[p]
            at += 1
        count += words[s]
        i += 1
    return at


@njit(cache=True, nogil=True)
def _base_bytes(base, seed, offsets, words):  # type: ignore[no-untyped-def]
    key = _mix(seed ^ _mix(base))
    target = _target(key)
    count, size, i = 0, 0, 0
    while count < target:
        s = _draw(key, i, words.shape[0])
        size += offsets[s + 1] - offsets[s] + 1
        count += words[s]
        i += 1
    return size


@njit(cache=True, nogil=True)
def _punctuated(text, length, key, out, at):  # type: ignore[no-untyped-def]
    """One word in eight in capitals, one in eight with punctuation at its end taken away or put there."""
    start, i = 0, 0
    while start < length:
        end = _word_end(text, start, length)
        choice = _draw(key, i, 8)
        for p in range(start, end):
            byte = text[p]
            out[at] = byte - 32 if choice == 0 and 97 <= byte <= 122 else byte
            at += 1
        if choice == 1:
            last = out[at - 1]
            if last == 44 or last == 46 or last == 59 or last == 58 or last == 33 or last == 63:
                at -= 1
            else:
                out[at] = 44
                at += 1
        if end < length:
            out[at] = text[end]
            at += 1
        start, i = end + 1, i + 1
    return at


@njit(cache=True, nogil=True)
def _edited(text, length, key, rate, word_offsets, word_data, out, at):  # type: ignore[no-untyped-def]
    """Words replaced (3 in 5 edits), left out (1 in 5), or followed by another (1 in 5), at the rate."""
    vocabulary = word_offsets.shape[0] - 1
    bound = np.int64(rate * 1_000_000)
    start, i = 0, 0
    while start < length:
        end = _word_end(text, start, length)
        kind = -1
        if _draw(key, 3 * i, 1_000_000) < bound:
            kind = _draw(key, 3 * i + 1, 5)
        if kind <= -1 or kind == 4:
            for p in range(start, end):
                out[at] = text[p]
                at += 1
        if kind == 4:
            out[at] = 32
            at += 1
        if 0 <= kind <= 2 or kind == 4:
            w = _draw(key, 3 * i + 2, vocabulary)
            for p in range(word_offsets[w], word_offsets[w + 1]):
                out[at] = word_data[p]
                at += 1
        if end < length and kind != 3:
            out[at] = text[end]
            at += 1
        start, i = end + 1, i + 1
    return at


@njit(cache=True, nogil=True)
def _extended(text, length, key, seed, offsets, data, out, at):  # type: ignore[no-untyped-def]
    """One of 50 boilerplates (1 to 3 sentences, the same for all documents) before the text or after it."""
    which = _draw(key, 0, _BOILERPLATES)
    before = _draw(key, 1, 2) == 0
    plate = _mix(_mix(seed ^ np.uint64(0xB011)) ^ np.uint64(which))
    if not before:
        out[at : at + length] = text[:length]
        at += length
        out[at] = 10
        at += 1
    for i in range(1 + _draw(plate, 0, 3)):
        s = _draw(plate, 1 + i, offsets.shape[0] - 1)
        if i > 0:
            out[at] = 32
            at += 1
        for p in range(offsets[s], offsets[s + 1]):
            out[at] = data[p]
            at += 1
    if before:
        out[at] = 10
        at += 1
        out[at : at + length] = text[:length]
        at += length
    return at


@njit(cache=True, nogil=True, inline="always")
def _word_end(text, start, length):  # type: ignore[no-untyped-def]
    end = start
    while end < length and text[end] != 32 and text[end] != 10:
        end += 1
    return end


@njit(cache=True, nogil=True, inline="always")
def _target(key):  # type: ignore[no-untyped-def]
    span = MAX_DOCUMENT_WORDS - _LONGEST_SENTENCE - MIN_DOCUMENT_WORDS + 1
    return MIN_DOCUMENT_WORDS + _draw(key, -1, span)


@njit(cache=True, nogil=True, inline="always")
def _draw(key, i, bound):  # type: ignore[no-untyped-def]
    """Number i of the sequence `key`, 0 <= it < bound, int64."""
    return np.int64((_mix(key + np.uint64(i + 2) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(11)) % np.uint64(bound))


@njit(cache=True, nogil=True, inline="always")
def _mix(z):  # type: ignore[no-untyped-def]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))

"""The kernels of MinHash: a text becomes words or characters, those become shingles, and these minima or a set.

All in one file, since a cached kernel does not see that one it calls in another file has changed. All arithmetic is of
unsigned integers that wrap, so the answer is the same on every processor. Every step is linear in the text.

The encoding that everything hashes: the UTF-8 of a folded word and the byte 0xFF, which no UTF-8 has, filled up with
zeros to a multiple of 8 bytes, as little-endian 64-bit chunks. Different sequences of words are different sequences of
chunks. Eight letters of ASCII are one chunk by a few operations on a register; other characters go through the table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

from corpusmill.dedup.character_folding import EXPAND, LENGTH_SHIFT, LONE, SKIP, TABLE_SIZE

_0, _1, _2, _3, _4, _6, _7, _8 = (np.uint64(x) for x in (0, 1, 2, 3, 4, 6, 7, 8))
_12, _16, _18, _24, _29, _32, _64 = (np.uint64(x) for x in (12, 16, 18, 24, 29, 32, 64))
_TAIL, _80 = np.uint64(0x3F), np.uint64(0x80)
_END = np.uint64(0xFF)
_HIGH_BITS = np.uint64(0x8080808080808080)
_CASE_BITS, _LOW_BITS = np.uint64(0x2020202020202020), np.uint64(0x7F7F7F7F7F7F7F7F)
# added to a byte of 7 bits, these carry into its high bit from "a", beyond "z", from "0" and beyond "9" on
_FROM_A, _PAST_Z = np.uint64(0x1F1F1F1F1F1F1F1F), np.uint64(0x0505050505050505)
_FROM_0, _PAST_9 = np.uint64(0x5050505050505050), np.uint64(0x4646464646464646)

# odd constants: of SplitMix64 and MurmurHash3's finaliser, of xxHash (XXH64), and of wyhash
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_WORD, _SHINGLE, _COUNT = (np.uint64(x) for x in (0xFF51AFD7ED558CCD, 0x9E3779B97F4A7C15, 0xC4CEB9FE1A85EC53))
_LOW, _HIGH = np.uint64(0x9E3779B185EBCA87), np.uint64(0xC2B2AE3D27D4EB4F)
_LOW_START, _HIGH_START = np.uint64(0xA0761D6478BD642F), np.uint64(0xE7037ED1A0B428DB)

_LENGTH_SHIFT, _CODE_MASK = np.uint64(LENGTH_SHIFT), np.uint64(0xFFFFFFFF)
_LONE, _SKIP, _EXPAND, _TABLE_SIZE = np.uint64(LONE), np.uint64(SKIP), np.uint64(EXPAND), np.uint64(TABLE_SIZE)
_BLANK = np.uint64(0xFF20)
BLOCK = 4096
"""Shingles whose minima are taken at a time: 16 KB, which stay in the first-level cache for all hash functions."""


@njit(cache=True, nogil=True)
def sign_texts(offsets, data, table, by_chars, size, multipliers, addends, signatures, digests):  # type: ignore[no-untyped-def]
    """Fill `signatures`, uint32 [texts, hashes], and `digests`, int64 [texts, 2] (with no rows: not wanted).

    Shingles are of `size` words or, with `by_chars`, characters. Memory: 12 bytes for each byte of the longest text, of
    which pages are touched only as far as it has words.
    """
    longest = _longest(offsets)
    keys, shingles = np.empty(longest + 1, np.uint64), np.empty(longest + 1, np.uint32)
    for d in range(offsets.shape[0] - 1):
        start, end = np.uint64(offsets[d]), np.uint64(offsets[d + 1])
        count = 0
        if not by_chars or digests.shape[0] > 0:
            count, low, high = fold_words(data, start, end, table, keys)
            if digests.shape[0] > 0:
                digests[d, 0], digests[d, 1] = np.int64(low), np.int64(high)
        if by_chars:
            count = fold_chars(data, start, end, table, keys)
        count = shingle_keys(keys, count, size)
        for i in range(count):
            shingles[i] = np.uint32(keys[i] >> _32)
        take_minima(shingles, count, multipliers, addends, signatures[d])


@njit(cache=True, nogil=True)
def jaccard_of_pairs(left_offsets, left, right_offsets, right, table, by_chars, size, out):  # type: ignore[no-untyped-def]
    """Fill `out`, float64 [pairs], with shared over all shingles; 0 where neither text has one.

    A set is a table with linear probing, at most half full. Its slots are marked with the pair, so that nothing is
    cleared between pairs.
    """
    longest = _longest(left_offsets) + _longest(right_offsets) + 2
    ours, theirs = np.empty(longest, np.uint64), np.empty(longest, np.uint64)
    slots = np.uint64(2)
    while slots < np.uint64(2 * longest):
        slots <<= _1
    held, marks = np.empty(slots, np.uint64), np.zeros(slots, np.int64)
    for d in range(left_offsets.shape[0] - 1):
        count = _keys_of(left, left_offsets[d], left_offsets[d + 1], table, by_chars, size, ours)
        others = _keys_of(right, right_offsets[d], right_offsets[d + 1], table, by_chars, size, theirs)
        slots = np.uint64(2)
        while slots < np.uint64(2 * (count + others)):
            slots <<= _1
        mark = 3 * d + 1  # of a shingle on the left alone; + 1: on both sides; + 2: on the right alone
        alone = both = 0
        for i in range(count):
            at = _slot(held, marks, slots - _1, ours[i], mark)
            if marks[at] < mark:
                held[at], marks[at] = ours[i], mark
                alone += 1
        for i in range(others):
            at = _slot(held, marks, slots - _1, theirs[i], mark)
            if marks[at] < mark:
                held[at], marks[at] = theirs[i], mark + 2
                alone += 1
            elif marks[at] == mark:
                marks[at] = mark + 1
                both += 1
        out[d] = both / alone if alone else 0.0


@njit(cache=True, nogil=True)
def fold_words(data, start, end, table, words):  # type: ignore[no-untyped-def]
    """(number of words, and the two halves of the digest of their sequence); the words' hashes go to `words`, uint64.

    Both halves are 0 where there is no word.
    """
    low, high = _LOW_START, _HIGH_START
    word = chunk = filled = _0  # of the word that is open: its full chunks; the next, and its bits
    opened = False  # it has a full chunk
    count = 0
    p = start
    while p < end:
        if filled == _0 and data[p] < 0x80:
            text = _eight_bytes(data, p, end)
            ends = _no_letters(text)
            if ends == _0:
                mixed = _mix(text | _CASE_BITS)
                word, low, high, opened = _absorb(word, mixed), _absorb_low(low, mixed), _absorb_high(high, mixed), True
                p += _8
                continue
            first = ends & (~ends + _1)
            zeros = _trailing_zeros(ends)  # type: ignore[call-arg, var-annotated]
            p += zeros >> _3
            filled = zeros - _7
            chunk = (text | _CASE_BITS) & ((first >> _7) - _1)
            if text & first == _0:  # ASCII; any other character goes through the table
                p += _1
                if filled > _0 or opened:
                    mixed = _mix(chunk | _END << filled)
                    words[count] = word ^ mixed
                    low, high, count = _absorb_low(low, mixed), _absorb_high(high, mixed), count + 1
                    word, filled, opened = _0, _0, False
                chunk = _0
                continue
        entry, length = _next_entry(data, p, table)
        p += length
        if entry == _SKIP:
            continue
        at, parts = _0, _1
        if entry & _EXPAND:
            at, parts = entry & _CODE_MASK, (entry >> _LENGTH_SHIFT) & _7
            entry = table[at]
        while parts > _0:
            if (filled > _0 or opened) and (entry & _LONE or entry == _0):
                mixed = _mix(chunk | _END << filled)
                words[count] = word ^ mixed
                low, high, count = _absorb_low(low, mixed), _absorb_high(high, mixed), count + 1
                word, chunk, filled, opened = _0, _0, _0, False
            if entry & _LONE:
                mixed = _mix(entry & _CODE_MASK | _END << _bits(entry))
                words[count] = mixed
                low, high, count = _absorb_low(low, mixed), _absorb_high(high, mixed), count + 1
            elif entry != _0:
                chunk |= (entry & _CODE_MASK) << filled
                filled += _bits(entry)
                if filled >= _64:
                    mixed = _mix(chunk)
                    word, low, high = _absorb(word, mixed), _absorb_low(low, mixed), _absorb_high(high, mixed)
                    filled, opened = filled - _64, True
                    chunk = (entry & _CODE_MASK) >> (_bits(entry) - filled)
            parts -= _1
            if parts > _0:
                at += _1
                entry = table[at]
    if filled > _0 or opened:
        mixed = _mix(chunk | _END << filled)
        words[count] = word ^ mixed
        low, high, count = _absorb_low(low, mixed), _absorb_high(high, mixed), count + 1
    if count == 0:
        return count, _0, _0
    return count, _mix(low), _mix(high)


@njit(cache=True, nogil=True)
def fold_chars(data, start, end, table, units):  # type: ignore[no-untyped-def]
    """Number of folded characters, one blank between words counted; their hashes go to `units`, uint64."""
    count = 0
    blank = False
    p = start
    while p < end:
        entry, length = _next_entry(data, p, table)
        p += length
        if entry == _SKIP:
            continue
        at, parts = _0, _1
        if entry & _EXPAND:
            at, parts = entry & _CODE_MASK, (entry >> _LENGTH_SHIFT) & _7
            entry = table[at]
        while parts > _0:
            if entry == _0:
                blank = count > 0
            else:
                if blank:
                    units[count] = _mix(_BLANK)
                    count, blank = count + 1, False
                units[count] = _mix(entry & _CODE_MASK | _END << _bits(entry))
                count += 1
            parts -= _1
            if parts > _0:
                at += _1
                entry = table[at]
    return count


@njit(cache=True, nogil=True)
def shingle_keys(keys, count, size):  # type: ignore[no-untyped-def]
    """Hashes of words become hashes of shingles, in place; their number. Fewer words than `size` are one shingle.

    A shingle is the polynomial of its hashes in an odd constant, rolled over the text, plus its length, mixed.
    """
    if count == 0:
        return 0
    span = min(count, size)
    length, oldest, key = np.uint64(span) * _COUNT, _1, _0
    for i in range(span - 1):
        key = key * _SHINGLE + keys[i]
        oldest *= _SHINGLE
    for i in range(span - 1, count):
        key = key * _SHINGLE + keys[i]
        first = i - span + 1
        gone = keys[first] * oldest
        keys[first] = _mix(key + length)
        key -= gone
    return count - span + 1


@njit(cache=True, nogil=True)
def take_minima(shingles, count, multipliers, addends, row):  # type: ignore[no-untyped-def]
    """Multiply-add hashing of every shingle by every function; the least of each goes to `row`, uint32 [hashes].

    The inner loop is over shingles, so that LLVM keeps a function's minima in vector registers.
    """
    row[:] = np.uint32(0xFFFFFFFF)
    for start in range(0, count, BLOCK):
        block = shingles[start : min(start + BLOCK, count)]
        for k in range(row.shape[0]):
            least, multiplier, addend = row[k], multipliers[k], addends[k]
            for i in range(block.shape[0]):
                least = min(least, np.uint32(block[i] * multiplier + addend))
            row[k] = least


@njit(cache=True, nogil=True)
def _next_entry(data, p, table):  # type: ignore[no-untyped-def]
    """(entry of the character that begins at p, its length in bytes), both uint64."""
    lead = np.uint64(data[p])
    if lead < np.uint64(0x80):
        return table[lead], _1
    second = np.uint64(data[p + _1]) & _TAIL
    if lead < np.uint64(0xE0):
        return table[(lead & np.uint64(0x1F)) << _6 | second], _2
    third = np.uint64(data[p + _2]) & _TAIL
    if lead < np.uint64(0xF0):
        return table[(lead & np.uint64(0x0F)) << _12 | second << _6 | third], _3
    fourth = np.uint64(data[p + _3]) & _TAIL
    point = (lead & _7) << _18 | second << _12 | third << _6 | fourth
    if point < _TABLE_SIZE:
        return table[point], _4
    if point < np.uint64(0x40000):
        code = lead | (second | _80) << _8 | (third | _80) << _16 | (fourth | _80) << _24
        return code | _4 << _LENGTH_SHIFT | _LONE, _4
    if np.uint64(0xE0000) <= point < np.uint64(0xE1000):  # tags and variation selectors
        return _SKIP, _4
    return _0, _4


@njit(cache=True, nogil=True)
def _eight_bytes(data, p, end):  # type: ignore[no-untyped-def]
    """The text from p on, its first byte lowest, with zeros from `end` on."""
    if p + _8 <= end:
        return _load(data, p)  # type: ignore[call-arg]
    text = _0
    for i in range(end - p):
        text |= np.uint64(data[p + np.uint64(i)]) << np.uint64(8 * i)
    return text


@njit(cache=True, nogil=True)
def _no_letters(text):  # type: ignore[no-untyped-def]
    """The high bit of each byte that is no letter and no digit of ASCII."""
    cased = (text | _CASE_BITS) & _LOW_BITS
    letters = (cased + _FROM_A) & ~(cased + _PAST_Z)
    plain = text & _LOW_BITS
    digits = (plain + _FROM_0) & ~(plain + _PAST_9)
    return ~((letters | digits) & ~text) & _HIGH_BITS


@njit(cache=True, nogil=True)
def _bits(entry):  # type: ignore[no-untyped-def]
    return ((entry >> _LENGTH_SHIFT) & _7) << _3


@njit(cache=True, nogil=True)
def _mix(x):  # type: ignore[no-untyped-def]
    """A bijection of 64 bits in which every bit depends on all (as SplitMix64's)."""
    x = (x ^ (x >> _32)) * _MIX_1
    x = (x ^ (x >> _29)) * _MIX_2
    return x ^ (x >> _32)


@njit(cache=True, nogil=True)
def _absorb(state, mixed):  # type: ignore[no-untyped-def]
    state = (state ^ mixed) * _WORD
    return state ^ (state >> _32)


@njit(cache=True, nogil=True)
def _absorb_low(state, mixed):  # type: ignore[no-untyped-def]
    state = (state ^ mixed) * _LOW
    return state ^ (state >> _32)


@njit(cache=True, nogil=True)
def _absorb_high(state, mixed):  # type: ignore[no-untyped-def]
    state = (state + mixed) * _HIGH
    return state ^ (state >> _29)


@njit(cache=True, nogil=True)
def _keys_of(data, start, end, table, by_chars, size, keys):  # type: ignore[no-untyped-def]
    """Number of shingles of a text, their 64-bit hashes going to `keys`."""
    if by_chars:
        return shingle_keys(keys, fold_chars(data, np.uint64(start), np.uint64(end), table, keys), size)
    return shingle_keys(keys, fold_words(data, np.uint64(start), np.uint64(end), table, keys)[0], size)


@njit(cache=True, nogil=True)
def _slot(held, marks, mask, key, mark):  # type: ignore[no-untyped-def]
    """Where `key` is in the set of this mark, or the free slot where it goes."""
    at = key & mask
    while marks[at] >= mark and held[at] != key:
        at = (at + _1) & mask
    return at


@njit(cache=True, nogil=True)
def _longest(offsets):  # type: ignore[no-untyped-def]
    found = np.int64(0)
    for d in range(offsets.shape[0] - 1):
        found = max(found, offsets[d + 1] - offsets[d])
    return found


@intrinsic
def _load(typing: Any, data: types.Array, p: types.Integer) -> Any:
    """data[p : p + 8] as a little-endian integer, in one load wherever it begins."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(data)(context, builder, arguments[0])
        at = builder.gep(array.data, [arguments[1]])
        loaded = builder.load(builder.bitcast(at, ir.IntType(64).as_pointer()))
        loaded.align = 1
        return loaded

    return types.uint64(data, p), build


@intrinsic
def _trailing_zeros(typing: Any, x: types.Integer) -> Any:
    """Zeros below the lowest set bit of an integer that has one."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(x), build

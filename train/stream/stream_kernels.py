"""Kernels of the stream, in one file: numba's cache does not notice edits of a helper that lives elsewhere.

Shards and packing indices are mapped files. The kernels get tables of their addresses, since a batch touches as many
files as it has rows, and handing each array over from Python would cost more than reading it.

A segment is what a batch has of one document in one row: int64 columns SLOT (which shard; -1: padding), DOCUMENT (row
in the shard), TOKEN (of its first label, within the shard), COUNT (places in the batch), OUT (its first place in the
batch, flat), MIDDLE (1: its middle is to be filled in, with three sentinels more than it has tokens).

As an input, a document is an end-of-text token and its tokens but for the last, which is an end-of-text token too; as
labels, it is its tokens. So input k of a segment is the token before label k.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import carray, njit, types  # type: ignore[attr-defined]
from numba.extending import intrinsic

IGNORED = -100
"""The label that torch's cross_entropy leaves out by default."""

SLOT, DOCUMENT, TOKEN, COUNT, OUT, MIDDLE = range(6)
_COLUMNS = 6
_SENTINELS = 3

_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


@intrinsic
def _pointer(typing: Any, address: types.Integer) -> Any:
    """An address as a pointer, for carray."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(address), build


@njit(cache=True, nogil=True)
def _array(address, size, dtype):  # type: ignore[no-untyped-def]
    """What lies at an address, as an array."""
    return carray(_pointer(address), size, dtype)  # type: ignore[call-arg]


@njit(cache=True, nogil=True)
def chunk_segments(rows, out_rows, length, line, table):  # type: ignore[no-untyped-def]
    """Segments of rows of a line of tokens that is repeated for ever: row r is tokens [r * length, (r + 1) * length).

    `line` is (borders int64[places + 1], slots int64[places]); `table` is (addresses of the shards' offsets, their
    numbers of documents), 0 where a shard is not mapped. Returns (segments, slots to map first); where there are any
    of the latter, the segments are incomplete.
    """
    borders, slots = line
    offsets_at, documents = table
    found, size = np.empty((64 + 8 * len(rows), _COLUMNS), np.int64), 0
    missing, missed = np.empty(len(rows) + 64, np.int64), 0
    total = borders[-1]
    for i in range(len(rows)):
        position, out, left = (rows[i] * length) % total, out_rows[i] * length, np.int64(length)
        place = _last_at_or_below(borders, position)
        while left > 0:
            slot = slots[place]
            start = position - borders[place]
            stop = min(borders[place + 1] - borders[place], start + left)
            if documents[slot] == 0:
                if missed == len(missing):
                    missing = _grown(missing)
                missing[missed] = slot
                missed += 1
                out += stop - start
            else:
                offsets = _array(offsets_at[slot], documents[slot] + 1, np.int64)
                document = _last_at_or_below(offsets, start)
                at = start
                while at < stop:
                    end = min(offsets[document + 1], stop)
                    if end > at:
                        if size == len(found):
                            found = _grown_rows(found)
                        _put(found, size, slot, document, at, end - at, out, 0)
                        size += 1
                    out += end - at
                    at = end
                    document += 1
            left -= stop - start
            place += 1
            if place == len(slots):
                place = 0
            position = borders[place]
    return found[:size], missing[:missed]


@njit(cache=True, nogil=True)
def packed_segments(rows, out_rows, length, line, blocks, table, keys, middles):  # type: ignore[no-untyped-def]
    """Segments of rows that were packed by best fit; what is left of a row is padding.

    `line` and `table` as above. `blocks` is (first row of each block and the number of rows, int64[blocks + 1]; first
    place of each block; addresses of its rows' offsets (int64) and of its pieces' first tokens within the block
    (uint32), 0 where they are not mapped). `keys` (uint64) tell shards apart, `middles` is the share of documents whose
    middle is filled in, of 2**64. Returns (segments, slots to map first, blocks to map first).
    """
    borders, slots = line
    first_rows, first_places, offsets_at, starts_at = blocks
    shard_offsets_at, documents = table
    found, size = np.empty((64 + 8 * len(rows), _COLUMNS), np.int64), 0
    missing, missed = np.empty(len(rows) + 64, np.int64), 0
    unread, unread_count = np.empty(len(rows), np.int64), 0
    for i in range(len(rows)):
        block = _last_at_or_below(first_rows, rows[i])
        if starts_at[block] == 0:
            unread[unread_count] = block
            unread_count += 1
            continue
        row, count = rows[i] - first_rows[block], first_rows[block + 1] - first_rows[block]
        row_offsets = _array(offsets_at[block], count + 1, np.int64)
        starts = _array(starts_at[block], row_offsets[count], np.uint32)
        out, end = out_rows[i] * length, (out_rows[i] + 1) * length
        for k in range(row_offsets[row], row_offsets[row + 1]):
            position = borders[first_places[block]] + np.int64(starts[k])
            place = _last_at_or_below(borders, position)
            slot = slots[place]
            if documents[slot] == 0:
                if missed == len(missing):
                    missing = _grown(missing)
                missing[missed] = slot
                missed += 1
                continue
            offsets = _array(shard_offsets_at[slot], documents[slot] + 1, np.int64)
            start = position - borders[place]
            document = _last_at_or_below(offsets, start)
            rest = offsets[document + 1] - start
            middle = np.int64(0)
            if start == offsets[document] and has_middle(keys[slot], document, rest, length, middles):
                middle = np.int64(1)
            here = min(rest, np.int64(length)) + _SENTINELS * middle
            if size == len(found):
                found = _grown_rows(found)
            _put(found, size, slot, document, start, here, out, middle)
            size += 1
            out += here
        if out < end:
            if size == len(found):
                found = _grown_rows(found)
            _put(found, size, -1, -1, 0, end - out, out, 0)
            size += 1
    return found[:size], missing[:missed], unread[:unread_count]


@njit(cache=True, nogil=True)
def cut_segments(segments, length):  # type: ignore[no-untyped-def]
    """Segments cut where a row of `length` ends, for shorter rows than those they were made for."""
    found, size = np.empty((2 * len(segments) + 64, _COLUMNS), np.int64), 0
    for i in range(len(segments)):
        out, left, token = segments[i, OUT], segments[i, COUNT], segments[i, TOKEN]
        while left > 0:
            count = min(left, length - out % length)
            if size == len(found):
                found = _grown_rows(found)
            _put(found, size, segments[i, SLOT], segments[i, DOCUMENT], token, count, out, segments[i, MIDDLE])
            size += 1
            out += count
            left -= count
            if segments[i, MIDDLE] == 0:  # else its tokens are not in order: each part is of all of it
                token += count
    return found[:size]


@njit(cache=True, nogil=True)
def restart_positions(segments, positions):  # type: ignore[no-untyped-def]
    """Count positions (flat) from 0 in each segment."""
    for i in range(len(segments)):
        for k in range(segments[i, COUNT]):
            positions[segments[i, OUT] + k] = k


@njit(cache=True, nogil=True)
def unchecked_blocks(segments, block_bytes, width, token_bytes, checked_at):  # type: ignore[no-untyped-def]
    """Blocks that segments read and that were never compared with their checksums: int64[n, 2] of (slot, block).

    `width` is a token's bytes, `token_bytes` where the tokens begin in each file, `checked_at` the addresses of uint8
    arrays, one byte to a block.
    """
    found, size = np.empty((64, 2), np.int64), 0
    for i in range(len(segments)):
        slot = segments[i, SLOT]
        if slot < 0:
            continue
        first = token_bytes[slot] + max(segments[i, TOKEN] - 1, 0) * width
        tokens = segments[i, COUNT] - _SENTINELS * segments[i, MIDDLE]
        last = token_bytes[slot] + (segments[i, TOKEN] + tokens) * width - 1
        checked = _array(checked_at[slot], last // block_bytes + 1, np.uint8)
        for block in range(first // block_bytes, last // block_bytes + 1):
            if checked[block] == 0:
                if size == len(found):
                    found = _grown_rows(found)
                found[size, 0] = slot
                found[size, 1] = block
                size += 1
    return found[:size]


@njit(cache=True, nogil=True)
def fill(segments, tokens_at, offsets_at, like, end_of_text, out, middles):  # type: ignore[no-untyped-def]
    """Write what segments say to `out`: flat int64 arrays (input ids, labels, positions).

    `tokens_at` and `offsets_at` are the shards' addresses, `like` an array of the tokens' type. A document of nothing
    but end-of-text tokens (an empty one, or one that was forgotten) has no labels. `middles` is (sentinels int64[3]:
    prefix, middle, suffix; the units' numbers, int64; places in a unit; a key; the share of suffix-first order of
    2**64), for segments whose middle is filled in.
    """
    for i in range(len(segments)):
        slot, at, count = segments[i, SLOT], segments[i, OUT], segments[i, COUNT]
        # slices, and loops as long as they are: so compilers see that no index is negative, and take eight at a time
        ids, labels, positions = out[0][at : at + count], out[1][at : at + count], out[2][at : at + count]
        for k in range(len(positions)):
            positions[k] = k
        if slot < 0:
            ids[:] = end_of_text
            labels[:] = IGNORED
            continue
        offsets = _array(offsets_at[slot], segments[i, DOCUMENT] + 2, np.int64)
        first, last = offsets[segments[i, DOCUMENT]], offsets[segments[i, DOCUMENT] + 1]
        tokens = _array(tokens_at[slot], last, like.dtype)
        start = segments[i, TOKEN]
        ids[0] = np.int64(end_of_text) if start == first else np.int64(tokens[start - 1])
        if tokens[first] == end_of_text and _is_blank(tokens, first, last, end_of_text):
            ids[:] = end_of_text
            labels[:] = IGNORED
        elif segments[i, MIDDLE] == 0:
            after, source = ids[1:], tokens[start : start + count]
            for k in range(len(after)):
                after[k] = source[k]
            for k in range(len(labels)):
                labels[k] = source[k]
        else:
            _fill_middle(tokens, start, last - 1, ids, middles, at)
            for k in range(count - 1):
                labels[k] = ids[k + 1]
            labels[count - 1] = tokens[last - 1]


@njit(cache=True, nogil=True)
def _fill_middle(tokens, start, stop, ids, middles, at):  # type: ignore[no-untyped-def]
    """Inputs of a document that is cut in three at two of its token borders, drawn for the unit it stands in.

    Prefix, suffix, middle, or suffix first with the prefix joined to the middle (Bavarian et al. 2022, "Efficient
    training of language models to fill in the middle", section 3, PSM and SPM variant 2).
    """
    sentinels, units, length, key, suffix_first = middles
    drawn = _mixed(np.uint64(units[at // length]) ^ _mixed(np.uint64(start) ^ key))
    size = np.uint64(stop - start + 1)
    one, two = np.int64(_mixed(drawn) % size), np.int64(_mixed(drawn + _MIX_1) % size)
    left, right = start + min(one, two), start + max(one, two)
    n = np.int64(1)
    ids[n] = sentinels[0]
    n += 1
    if _mixed(drawn + _MIX_2) < suffix_first:
        ids[n] = sentinels[2]
        n = _copied(tokens, right, stop, ids, n + 1)
        ids[n] = sentinels[1]
        _copied(tokens, start, right, ids, n + 1)
    else:
        n = _copied(tokens, start, left, ids, n)
        ids[n] = sentinels[2]
        n = _copied(tokens, right, stop, ids, n + 1)
        ids[n] = sentinels[1]
        _copied(tokens, left, right, ids, n + 1)


@njit(cache=True, nogil=True)
def _copied(tokens, start, stop, ids, n):  # type: ignore[no-untyped-def]
    for k in range(start, stop):
        ids[n] = tokens[k]
        n += 1
    return n


@njit(cache=True, nogil=True)
def best_fit(sizes, capacity):  # type: ignore[no-untyped-def]
    """Pack items of 1 to `capacity` into as few rows as best fit decreasing finds.

    Each item, largest first, goes where it leaves the least room, else into a new row. Returns (the first item of each
    row and the number of items, int64[rows + 1]; the items of the rows, one after another, int64[items]).
    """
    order = _by_size(sizes, capacity)
    words = capacity // 64 + 1
    has_row = np.zeros(words, np.uint64)  # bit s: some row has room for exactly s
    newest = np.full(capacity + 1, -1, np.int64)  # of the rows with room s
    older = np.empty(len(sizes), np.int64)
    row_of = np.empty(len(sizes), np.int64)
    rows = 0
    for i in order:
        size = sizes[i]
        room = _first_set(has_row, size)
        if room < 0:
            row, room = rows, np.int64(capacity)
            rows += 1
        else:
            row = newest[room]
            newest[room] = older[row]
            if newest[room] < 0:
                has_row[room >> 6] &= ~(np.uint64(1) << np.uint64(room & 63))
        row_of[i] = row
        left = room - size
        if left > 0:
            older[row] = newest[left]
            newest[left] = row
            has_row[left >> 6] |= np.uint64(1) << np.uint64(left & 63)
    offsets = np.zeros(rows + 1, np.int64)
    for i in range(len(sizes)):
        offsets[row_of[i] + 1] += 1
    for row in range(rows):
        offsets[row + 1] += offsets[row]
    items, free = np.empty(len(sizes), np.int64), offsets[:-1].copy()
    for i in order:
        items[free[row_of[i]]] = i
        free[row_of[i]] += 1
    return offsets, items


@njit(cache=True, nogil=True)
def pieces(offsets, length, key, middles):  # type: ignore[no-untyped-def]
    """What of a shard is packed as one: a document, or of one longer than a row its parts. (first tokens, sizes).

    A document whose middle is to be filled in takes three places more than it has tokens.
    """
    count = 0
    for d in range(len(offsets) - 1):
        count += -(-(offsets[d + 1] - offsets[d]) // length)
    starts, sizes, n = np.empty(count, np.int64), np.empty(count, np.int64), 0
    for d in range(len(offsets) - 1):
        tokens = offsets[d + 1] - offsets[d]
        for start in range(0, tokens, length):
            starts[n] = offsets[d] + start
            sizes[n] = min(tokens - start, length)
            if has_middle(key, d, tokens, length, middles):
                sizes[n] += _SENTINELS
            n += 1
    return starts, sizes


@njit(cache=True, nogil=True)
def has_middle(key, document, tokens, length, middles):  # type: ignore[no-untyped-def]
    """Whether a document is among the share `middles` (of 2**64) whose middle is filled in: drawn, and fits a row."""
    return middles > 0 and tokens + _SENTINELS <= length and _mixed(key ^ _mixed(np.uint64(document))) < middles


@njit(cache=True, nogil=True)
def _by_size(sizes, largest):  # type: ignore[no-untyped-def]
    """Indices, larger sizes first, equal ones in order."""
    starts = np.zeros(largest + 2, np.int64)
    for size in sizes:
        starts[largest - size + 1] += 1
    for k in range(largest + 1):
        starts[k + 1] += starts[k]
    order = np.empty(len(sizes), np.int64)
    for i in range(len(sizes)):
        k = largest - sizes[i]
        order[starts[k]] = i
        starts[k] += 1
    return order


@njit(cache=True, nogil=True)
def _first_set(words, start):  # type: ignore[no-untyped-def]
    """The first bit that is set, from `start` on; -1: none."""
    at = start >> 6
    word = words[at] & ~((np.uint64(1) << np.uint64(start & 63)) - np.uint64(1))
    while word == 0:
        at += 1
        if at == len(words):
            return np.int64(-1)
        word = words[at]
    bit = np.int64(0)
    while (word >> np.uint64(bit)) & np.uint64(1) == 0:
        bit += 1
    return np.int64(at * 64 + bit)


@njit(cache=True, nogil=True)
def _last_at_or_below(sorted_values, value):  # type: ignore[no-untyped-def]
    """The last index whose value is not above; equal values: the last of them. The last value of all is a border."""
    low, high = np.int64(0), np.int64(len(sorted_values) - 1)
    while high - low > 1:
        middle = (low + high) >> 1
        if sorted_values[middle] <= value:
            low = middle
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _is_blank(tokens, first, last, end_of_text):  # type: ignore[no-untyped-def]
    k = first
    while k < last and tokens[k] == end_of_text:
        k += 1
    return k == last


@njit(cache=True, nogil=True)
def _mixed(x):  # type: ignore[no-untyped-def]
    """splitmix64's last steps (Steele, Lea and Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))


@njit(cache=True, nogil=True)
def _put(found, i, slot, document, token, count, out, middle):  # type: ignore[no-untyped-def]
    found[i, SLOT] = slot
    found[i, DOCUMENT] = document
    found[i, TOKEN] = token
    found[i, COUNT] = count
    found[i, OUT] = out
    found[i, MIDDLE] = middle


@njit(cache=True, nogil=True)
def _grown(values):  # type: ignore[no-untyped-def]
    larger = np.empty(2 * len(values), np.int64)
    larger[: len(values)] = values
    return larger


@njit(cache=True, nogil=True)
def _grown_rows(values):  # type: ignore[no-untyped-def]
    larger = np.empty((2 * len(values), values.shape[1]), np.int64)
    larger[: len(values)] = values
    return larger

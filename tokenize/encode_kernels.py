"""Byte-level BPE over Arrow buffers: pre-tokenisers as state machines over UTF-8, merges from a hash table, a cache of
pre-tokens. In one file: numba's cache does not notice edits of a helper that lives elsewhere.

Each `_gpt2`, `_cl100k` ... below says where the pre-token that begins at a place ends, as the regular expression above
it would: the first alternative that matches, each as greedy as backtracking leaves it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

LETTER, NUMBER, WHITE, MARK, UPPER, LOWER, SIGN, IDEOGRAPH, OTHER = (np.uint16(1 << i) for i in range(9))
PLAIN, PLAIN_SIGN, KANA, KANA_SIGN = (np.uint16(1 << i) for i in range(9, 13))
"""What a code point is: \\p{L}, \\p{N}, \\s, \\p{M}, o200k's two halves of a word, \\p{P} or \\p{S}, DeepSeek's
ideographs (and kana); none of the first three; letters or marks, and signs, that are no ideographs, and that are."""
BYTES = np.uint64(0x110000)
"""Where `classes` go on with those of single bytes, none for a byte of a longer character."""

GPT2, CL100K, O200K, DEEPSEEK = range(4)

KEY_BYTES, SLOT_WORDS, SLOT_TOKENS = 16, 4, 3
"""A slot of the cache has 16 bytes of pre-token, how many they are, and at most three tokens: two to a cache line."""
LONG_KEY_WORDS, LONG_SLOT_WORDS = 6, 16
LONG_KEY_BYTES, LONG_SLOT_TOKENS = 8 * LONG_KEY_WORDS, 2 * (LONG_SLOT_WORDS - LONG_KEY_WORDS - 1)
"""Of the second cache, for what does not fit there: runs of ideographs, long words, words of many tokens."""

WHOLE_IDS = 13
"""Where `bpe` has the ids of the tokens that are taken whole."""
BY_PARTS, PARTED_BYTES = 0xE0, 8
"""Pre-tokens of so many bytes that begin with a character of three or more are encoded part by part."""

NO_RANK = np.int32(2**31 - 1)
MOST_PLACES = 255
"""Longer pre-tokens are merged by a heap: scanning all ranks for the least costs their square."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_RANK_BITS = np.uint64(22)
_RANK_MASK = np.uint64((1 << 22) - 1)
MOST_IDS, MOST_MERGES = 1 << 21, (1 << 22) - 2
_ALL = np.uint64(2**64 - 1)
_EACH = np.uint64(0x0101010101010101)


@njit(cache=True, nogil=True)
def encode(offsets, data, family, rules, classes, bpe, cache, long_cache, bounds, ids, ends):  # type: ignore[no-untyped-def]
    """Ids of every text, one after the other, into `ids` (uint32, with room for two more than bytes); their number.

    `ends[i]` is where text i ends in `ids`. `data` goes on for KEY_BYTES after the last text, and `bounds` has room for
    one more than the bytes of the longest. `rules` are (digits of a number at most, whether the long s is an s, whether
    a pre-token that is a token is taken whole and some are that merges do not make).

    A text is cut first and looked up then: so the processor looks up several pre-tokens at once.
    """
    at = 0
    for text in range(len(offsets) - 1):
        count = split(data, offsets[text], offsets[text + 1], family, rules, classes, bounds)
        place = offsets[text]
        for i in range(count):
            after = bounds[np.uint64(i)]
            size = after - place
            if data[np.uint64(place)] >= BY_PARTS and size >= PARTED_BYTES:
                at += _by_parts(data, place, after, rules, bpe, cache, long_cache, ids, at)
            else:
                found = _known(data, place, size, cache, ids, at) if size <= KEY_BYTES else -1
                at += found if found >= 0 else _found(data, place, after, rules, bpe, cache, long_cache, ids, at)
            place = after
        ends[text] = at
    return at


@njit(cache=True, nogil=True)
def split(data, start, end, family, rules, classes, bounds):  # type: ignore[no-untyped-def]
    """Where each pre-token of one text ends, into `bounds`; how many there are."""
    if family == GPT2:
        return _split_gpt2(data, start, end, rules, classes, bounds)
    if family == CL100K:
        return _split_cl100k(data, start, end, rules, classes, bounds)
    if family == O200K:
        return _split_o200k(data, start, end, rules, classes, bounds)
    return _split_deepseek(data, start, end, rules, classes, bounds)


@njit(cache=True, nogil=True, forceinline=True)
def _found(data, place, after, rules, bpe, cache, long_cache, ids, at):  # type: ignore[no-untyped-def]
    """The tokens of a pre-token that the first cache has not: from the second, or computed and kept."""
    size = after - place
    if size <= LONG_KEY_BYTES:
        count = _known_long(data, place, size, long_cache, ids, at)
        if count >= 0:
            return count
    count = 0
    if rules[2]:
        whole = _whole(data, place, after, bpe)
        if whole >= 0:
            ids[at], count = whole, 1
    if count == 0:
        count = _computed(data, place, after, bpe, ids, at)
    if size <= KEY_BYTES and count <= SLOT_TOKENS:
        _remember(data, place, size, cache, ids, at, count)
    elif size <= LONG_KEY_BYTES and count <= LONG_SLOT_TOKENS:
        _remember_long(data, place, size, long_cache, ids, at, count)
    return count


@njit(cache=True, nogil=True, forceinline=True)
def _by_parts(data, place, after, rules, bpe, cache, long_cache, ids, at):  # type: ignore[no-untyped-def]
    """The tokens of a run of ideographs and the like, cut where no merge joins two characters: mostly into one each.

    What lies on one side of such a place has no say in what is merged on the other.
    """
    if rules[2]:
        whole = _whole(data, place, after, bpe)
        if whole >= 0:
            ids[at] = whole
            return 1
    apart, characters, joined = bpe[6], bpe[7], bpe[10]
    began = at
    point, width = _point(data, place)
    while place < after:
        alone, first, end = width < 4, np.uint64(point), place + width
        while end < after:
            following, width = _point(data, end)
            free = apart[data[np.uint64(end - 1)], data[np.uint64(end)]] and not _may_join(point, following, joined)
            point = following
            if free:
                break
            alone = False
            end += width
        if alone:
            for k in range(3):
                ids[at + k] = characters[first, np.uint64(k + 1)]
            at += np.int64(characters[first, np.uint64(0)])
        elif rules[2] and _whole(data, place, end, bpe) >= 0:
            at += _computed(data, place, end, bpe, ids, at)
        else:
            size = end - place
            found = _known(data, place, size, cache, ids, at) if size <= KEY_BYTES else -1
            at += found if found >= 0 else _found(data, place, end, rules, bpe, cache, long_cache, ids, at)
        place = end
    return at - began


# ----------------------------------------------------------------------------------------------------- pre-tokenisers


@njit(cache=True, nogil=True, forceinline=True)
def _point(data, place):  # type: ignore[no-untyped-def]
    """(code point, bytes) at a place."""
    at = np.uint64(place)
    first = np.int64(data[at])
    if first < 0x80:
        return first, 1
    second = np.int64(data[at + np.uint64(1)] & 0x3F)
    if first < 0xE0:
        return (first & 0x1F) << 6 | second, 2
    third = np.int64(data[at + np.uint64(2)] & 0x3F)
    if first < 0xF0:
        return (first & 0x0F) << 12 | second << 6 | third, 3
    return (first & 0x07) << 18 | second << 12 | third << 6 | np.int64(data[at + np.uint64(3)] & 0x3F), 4


@njit(cache=True, nogil=True, forceinline=True)
def _kind(classes, point):  # type: ignore[no-untyped-def]
    return classes[np.uint64(point)]


@njit(cache=True, nogil=True, forceinline=True)
def _while_any(data, place, end, classes, wanted):  # type: ignore[no-untyped-def]
    """The end of a run of characters that are any of `wanted`."""
    while place < end:
        first = data[np.uint64(place)]
        if classes[BYTES + np.uint64(first)] & wanted:
            place += 1
        elif first < 0x80:
            break
        else:
            point, size = _point(data, place)
            if not _kind(classes, point) & wanted:
                break
            place += size
    return place


@njit(cache=True, nogil=True, forceinline=True)
def _while_letters(data, place, end, classes):  # type: ignore[no-untyped-def]
    """The end of a run of letters, those of ASCII eight at a time: the highest bit of a byte of `a` is set if it is at
    least "a", of `b` if it is beyond "z"."""
    while place < end:
        word = _eight_bytes(data, place)
        lower = (word | _EACH * np.uint64(0x20)) & (_EACH * np.uint64(0x7F))
        a, b = lower + _EACH * np.uint64(0x80 - 0x61), lower + _EACH * np.uint64(0x80 - 0x7B)
        others = ~(a & ~b & ~word) & (_EACH * np.uint64(0x80))
        if others == 0:
            place += 8
            continue
        first = (others & (~others + np.uint64(1))) >> np.uint64(7)
        place += np.int64(first * np.uint64(0x0001020304050607) >> np.uint64(56))
        if place >= end or data[np.uint64(place)] < 0x80:
            break
        point, size = _point(data, place)
        if not _kind(classes, point) & LETTER:
            break
        place += size
        while place < end and data[np.uint64(place)] >= 0xC0:  # a text in another script goes on in it
            point, size = _point(data, place)
            if not _kind(classes, point) & LETTER:
                return place
            place += size
    return min(place, end)


@njit(cache=True, nogil=True, forceinline=True)
def _numbers(data, place, end, classes, most):  # type: ignore[no-untyped-def]
    """The end of a run of at most `most` numbers."""
    while place < end and most > 0:
        point, size = _point(data, place)
        if not _kind(classes, point) & NUMBER:
            break
        place += size
        most -= 1
    return place


@njit(cache=True, nogil=True, forceinline=True)
def _line_ends(data, place, end):  # type: ignore[no-untyped-def]
    while place < end and (data[place] == 10 or data[place] == 13):
        place += 1
    return place


@njit(cache=True, nogil=True, forceinline=True)
def _blank(data, place, end, classes):  # type: ignore[no-untyped-def]
    r"""`\s+(?!\S)|\s+`: a run of white space, without its last character if something follows."""
    last, after, count = place, place, 0
    while after < end:
        point, size = _point(data, after)
        if not _kind(classes, point) & WHITE:
            break
        last = after
        after += size
        count += 1
    return last if after < end and count > 1 else after


@njit(cache=True, nogil=True, forceinline=True)
def _blank_lines(data, place, end, classes):  # type: ignore[no-untyped-def]
    r"""`\s*[\r\n]+|\s+(?!\S)|\s+`: up to the last line end of a run of white space, or as `_blank`."""
    line, last, after, count = -1, place, place, 0
    while after < end:
        point, size = _point(data, after)
        if not _kind(classes, point) & WHITE:
            break
        last = after
        after += size
        count += 1
        if point == 10 or point == 13:
            line = after
    if line >= 0:
        return line
    return last if after < end and count > 1 else after


@njit(cache=True, nogil=True, forceinline=True)
def _contraction(data, place, end, either_case, long_s):  # type: ignore[no-untyped-def]
    """The end of an English contraction ('s 't 'm 'd 're 've 'll) at a place, or the place if there is none."""
    if place + 1 >= end or data[place] != 39:
        return place
    fold = 32 if either_case else 0
    one = data[place + 1] | fold
    if one == 115 or one == 116 or one == 109 or one == 100:
        return place + 2
    if place + 2 >= end:
        return place
    if long_s and data[place + 1] == 0xC5 and data[place + 2] == 0xBF:
        return place + 3
    two = data[place + 2] | fold
    if (one == 114 and two == 101) or (one == 118 and two == 101) or (one == 108 and two == 108):
        return place + 3
    return place


@njit(cache=True, nogil=True)
def _split_gpt2(data, place, end, rules, classes, bounds):  # type: ignore[no-untyped-def]
    count = 0
    while place < end:
        place = _gpt2(data, place, end, classes)
        bounds[np.uint64(count)] = place
        count += 1
    return count


@njit(cache=True, nogil=True, forceinline=True)
def _gpt2(data, place, end, classes):  # type: ignore[no-untyped-def]
    r"""`'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`"""
    first = data[np.uint64(place)]
    if first == 39:
        after = _contraction(data, place, end, False, False)
        if after > place:
            return after
    start = place + 1 if first == 32 and place + 1 < end else place
    point, size = _point(data, start)
    kind = _kind(classes, point)
    if kind & LETTER:
        return _while_letters(data, start + size, end, classes)
    if not kind & WHITE:
        return _while_any(data, start + size, end, classes, kind & (NUMBER | OTHER))
    return _blank(data, place, end, classes)


@njit(cache=True, nogil=True)
def _split_cl100k(data, place, end, rules, classes, bounds):  # type: ignore[no-untyped-def]
    count = 0
    while place < end:
        place = _cl100k(data, place, end, rules, classes)
        bounds[np.uint64(count)] = place
        count += 1
    return count


@njit(cache=True, nogil=True, forceinline=True)
def _cl100k(data, place, end, rules, classes):  # type: ignore[no-untyped-def]
    r"""`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|
    \s+(?!\S)|\s+`, also of Llama 3, and with one number to a pre-token of Qwen 2."""
    first = data[np.uint64(place)]
    if first == 39:
        after = _contraction(data, place, end, True, rules[1])
        if after > place:
            return after
    point, size = _point(data, place)
    kind = _kind(classes, point)
    if kind & LETTER:
        return _while_letters(data, place + size, end, classes)
    if kind & NUMBER:
        return _numbers(data, place, end, classes, rules[0])
    following = place + size
    if first != 10 and first != 13 and following < end:
        next_point, next_size = _point(data, following)
        if _kind(classes, next_point) & LETTER:
            return _while_letters(data, following + next_size, end, classes)
        if first == 32 and _kind(classes, next_point) & OTHER:
            return _line_ends(data, _while_any(data, following + next_size, end, classes, OTHER), end)
    if not kind & WHITE:
        return _line_ends(data, _while_any(data, following, end, classes, OTHER), end)
    return _blank_lines(data, place, end, classes)


@njit(cache=True, nogil=True, forceinline=True)
def _lower_ending(data, place, end, classes):  # type: ignore[no-untyped-def]
    """The end of `[UPPER]*[LOWER]+` at a place, or -1."""
    after, last_lower = place, -1
    while after < end:
        point, size = _point(data, after)
        if not _kind(classes, point) & UPPER:
            break
        after += size
        if _kind(classes, point) & LOWER:
            last_lower = after
    lower = _while_any(data, after, end, classes, LOWER)
    return lower if lower > after else last_lower


@njit(cache=True, nogil=True)
def _split_o200k(data, place, end, rules, classes, bounds):  # type: ignore[no-untyped-def]
    count = 0
    while place < end:
        place = _o200k(data, place, end, rules, classes)
        bounds[np.uint64(count)] = place
        count += 1
    return count


@njit(cache=True, nogil=True, forceinline=True)
def _o200k(data, place, end, rules, classes):  # type: ignore[no-untyped-def]
    r"""`[^\r\n\p{L}\p{N}]?[UPPER]*[LOWER]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[UPPER]+[LOWER]*(?i:'s ...)?|
    \p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`"""
    point, size = _point(data, place)
    kind = _kind(classes, point)
    following = place + size
    prefix = point != 10 and point != 13 and not kind & (LETTER | NUMBER)
    after = -1
    if prefix and following < end:
        after = _lower_ending(data, following, end, classes)
    if after < 0 and kind & (UPPER | LOWER):
        after = _lower_ending(data, place, end, classes)
    if after < 0:
        start = following if prefix else place
        upper = _while_any(data, start, end, classes, UPPER)
        if upper == start and prefix:
            start = place
            upper = _while_any(data, start, end, classes, UPPER)
        if upper > start:
            after = _while_any(data, upper, end, classes, LOWER)
    if after >= 0:
        return _contraction(data, after, end, True, rules[1])
    if kind & NUMBER:
        return _numbers(data, place, end, classes, rules[0])
    start = place
    if point == 32 and following < end:
        next_point, _ = _point(data, following)
        if _kind(classes, next_point) & OTHER:
            start = following
    signs = _while_any(data, start, end, classes, OTHER)
    if signs > start:
        while signs < end and (data[signs] == 10 or data[signs] == 13 or data[signs] == 47):
            signs += 1
        return signs
    return _blank_lines(data, place, end, classes)


@njit(cache=True, nogil=True)
def _split_deepseek(data, place, end, rules, classes, bounds):  # type: ignore[no-untyped-def]
    count = 0
    while place < end:
        place = _deepseek(data, place, end, classes)
        bounds[np.uint64(count)] = place
        count += 1
    return count


@njit(cache=True, nogil=True, forceinline=True)
def _deepseek(data, place, end, classes):  # type: ignore[no-untyped-def]
    r"""`\p{N}{1,3}`, then `[一-龥぀-ゟ゠-ヿ]+`, then in each piece
    `[!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`.
    What nothing matches stays together."""
    point, size = _point(data, place)
    kind = _kind(classes, point)
    if kind & NUMBER:
        return _numbers(data, place, end, classes, 3)
    inside = kind & IDEOGRAPH
    after = place
    while after < end:
        matched = _deepseek_match(data, after, end, classes, inside)
        if matched > after:
            return matched if after == place else after
        point, size = _point(data, after)
        if _kind(classes, point) & NUMBER or _kind(classes, point) & IDEOGRAPH != inside:
            return after
        after += size
    return end


@njit(cache=True, nogil=True, forceinline=True)
def _deepseek_match(data, place, end, classes, inside):  # type: ignore[no-untyped-def]
    """The end of what the third expression matches at a place of a piece of ideographs or of none; else the place."""
    point, size = _point(data, place)
    kind, following = _kind(classes, point), place + size
    if kind & NUMBER or kind & IDEOGRAPH != inside:
        return place
    if point < 0x80 and kind & SIGN and following < end and _is_ascii_letter(data[following]):
        after = following
        while after < end and _is_ascii_letter(data[after]):
            after += 1
        return after
    words = KANA if inside else PLAIN
    if point != 10 and point != 13 and not kind & (LETTER | SIGN):
        after = _while_any(data, following, end, classes, words)
        if after > following:
            return after
    if kind & words:
        return _while_any(data, following, end, classes, words)
    if inside:
        return _while_any(data, place, end, classes, KANA_SIGN)
    start = following if point == 32 else place
    after = _while_any(data, start, end, classes, PLAIN_SIGN)
    if after > start:
        return _line_ends(data, after, end)
    if not kind & WHITE:
        return place
    after = _while_any(data, place, end, classes, WHITE)
    if after < end and _kind(classes, _point(data, after)[0]) & (NUMBER | IDEOGRAPH):
        return _blank_lines(data, place, after, classes)
    return _blank_lines(data, place, end, classes)


@njit(cache=True, nogil=True, forceinline=True)
def _is_ascii_letter(byte):  # type: ignore[no-untyped-def]
    lower = byte | 32
    return 97 <= lower <= 122


# -------------------------------------------------------------------------------------------------------------- cache


@njit(cache=True, nogil=True, forceinline=True)
def _eight_bytes(data, place):  # type: ignore[no-untyped-def]
    """Little-endian. One load, once LLVM has seen it: the index is unsigned, so no byte's place needs a look."""
    at = np.uint64(place)
    word = np.uint64(data[at])
    for i in range(1, 8):
        word |= np.uint64(data[at + np.uint64(i)]) << np.uint64(8 * i)
    return word


@njit(cache=True, nogil=True, forceinline=True)
def _key_word(data, place, size):  # type: ignore[no-untyped-def]
    """The next `size` bytes, eight at most, the rest zero. `size` is at least 1."""
    return _eight_bytes(data, place) & _ALL >> np.uint64(max(64 - 8 * size, 0))


@njit(cache=True, nogil=True, forceinline=True)
def _key(data, place, size):  # type: ignore[no-untyped-def]
    two = _key_word(data, place + 8, size - 8) if size > 8 else np.uint64(0)
    return _key_word(data, place, size), two


@njit(cache=True, nogil=True, forceinline=True)
def _slot(one, two, size, cache):  # type: ignore[no-untyped-def]
    """Where a key is, if it is there or in the slot beside it."""
    mixed = (one ^ np.uint64(size)) * _GOLDEN ^ two * _MIX_1
    mixed = (mixed ^ mixed >> np.uint64(32)) * _GOLDEN
    return (mixed >> np.uint64(20)) & np.uint64(len(cache) - 1)


@njit(cache=True, nogil=True, forceinline=True)
def _known(data, place, size, cache, ids, at):  # type: ignore[no-untyped-def]
    """Put the tokens of a pre-token of the cache at `ids[at]`; how many, or -1. `size` is at most KEY_BYTES.

    A key is compared whole, so that no two hashes that are equal can change an id.
    """
    one, two = _key(data, place, size)
    slot = _slot(one, two, size, cache)
    for _ in range(2):
        meta = cache[slot, 2]
        if cache[slot, 0] == one and cache[slot, 1] == two and meta & np.uint64(0xFF) == np.uint64(size):
            count = np.int64(meta >> np.uint64(8) & np.uint64(0xFF))
            ids[at] = np.uint32(meta >> np.uint64(32))
            if count > 1:
                more = cache[slot, 3]
                ids[at + 1] = np.uint32(more & np.uint64(0xFFFFFFFF))
                if count > 2:
                    ids[at + 2] = np.uint32(more >> np.uint64(32))
            return count
        slot ^= np.uint64(1)
    return -1


@njit(cache=True, nogil=True, forceinline=True)
def _remember(data, place, size, cache, ids, at, count):  # type: ignore[no-untyped-def]
    """The tokens at `ids[at]` of a pre-token into the cache, in a free slot of two, else in that of the other."""
    one, two = _key(data, place, size)
    slot = _slot(one, two, size, cache)
    if cache[slot, 2] != 0 and (cache[slot ^ np.uint64(1), 2] == 0 or one & np.uint64(1)):
        slot ^= np.uint64(1)
    cache[slot, 0], cache[slot, 1] = one, two
    cache[slot, 2] = np.uint64(ids[at]) << np.uint64(32) | np.uint64(count) << np.uint64(8) | np.uint64(size)
    second = np.uint64(ids[at + 1]) if count > 1 else np.uint64(0)
    third = np.uint64(ids[at + 2]) if count > 2 else np.uint64(0)
    cache[slot, 3] = third << np.uint64(32) | second


@njit(cache=True, nogil=True, forceinline=True)
def _long_slot(data, place, size, cache):  # type: ignore[no-untyped-def]
    mixed = np.uint64(size)
    for i in range(0, size, 8):
        mixed = (mixed ^ _key_word(data, place + i, size - i)) * _GOLDEN
        mixed ^= mixed >> np.uint64(32)
    return mixed & np.uint64(len(cache) - 1)


@njit(cache=True, nogil=True, forceinline=True)
def _known_long(data, place, size, cache, ids, at):  # type: ignore[no-untyped-def]
    """As `_known`, of the second cache."""
    slot = _long_slot(data, place, size, cache)
    meta = cache[slot, LONG_KEY_WORDS]
    if meta & np.uint64(0xFFFFFFFF) != np.uint64(size):
        return -1
    for i in range(0, size, 8):
        if cache[slot, i // 8] != _key_word(data, place + i, size - i):
            return -1
    count = np.int64(meta >> np.uint64(32))
    for k in range(count):
        pair = cache[slot, LONG_KEY_WORDS + 1 + k // 2] >> np.uint64(32 * (k & 1))
        ids[at + k] = np.uint32(pair & np.uint64(0xFFFFFFFF))
    return count


@njit(cache=True, nogil=True, forceinline=True)
def _remember_long(data, place, size, cache, ids, at, count):  # type: ignore[no-untyped-def]
    """As `_remember`, in place of what was there."""
    slot = _long_slot(data, place, size, cache)
    for i in range(0, size, 8):
        cache[slot, i // 8] = _key_word(data, place + i, size - i)
    cache[slot, LONG_KEY_WORDS] = np.uint64(count) << np.uint64(32) | np.uint64(size)
    for k in range(0, count, 2):
        high = np.uint64(ids[at + k + 1]) if k + 1 < count else np.uint64(0)
        cache[slot, LONG_KEY_WORDS + 1 + k // 2] = high << np.uint64(32) | np.uint64(ids[at + k])


# -------------------------------------------------------------------------------------------------------------- merges


@njit(cache=True, nogil=True)
def fill_pairs(left, right, pairs):  # type: ignore[no-untyped-def]
    """Hash table of pairs of ids to their rank, that is, their place in the list; of equal pairs the last counts.

    An entry is left (21 bits), right (21) and rank + 1 (22), so that one look answers; 0 is a free place.
    """
    mask = np.uint64(len(pairs) - 1)
    for i in range(len(left)):
        key = _pair(left[i], right[i])
        slot = _pair_hash(key) & mask
        while pairs[slot] != 0 and pairs[slot] >> _RANK_BITS != key:
            slot = (slot + np.uint64(1)) & mask
        pairs[slot] = key << _RANK_BITS | np.uint64(i + 1)


@njit(cache=True, nogil=True, forceinline=True)
def _pair(left, right):  # type: ignore[no-untyped-def]
    return np.uint64(left) << np.uint64(21) | np.uint64(right)


@njit(cache=True, nogil=True, forceinline=True)
def _pair_hash(key):  # type: ignore[no-untyped-def]
    key *= _GOLDEN
    return key ^ key >> np.uint64(32)


@njit(cache=True, nogil=True, forceinline=True)
def _rank(left, right, pairs):  # type: ignore[no-untyped-def]
    """The rank of merging two ids, or NO_RANK."""
    key, mask = _pair(left, right), np.uint64(len(pairs) - 1)
    slot = _pair_hash(key) & mask
    while True:
        entry = pairs[slot]
        if entry >> _RANK_BITS == key and entry != 0:
            return np.int32(entry & _RANK_MASK) - np.int32(1)
        if entry == 0:
            return NO_RANK
        slot = (slot + np.uint64(1)) & mask


@njit(cache=True, nogil=True, forceinline=True)
def _computed(data, place, after, bpe, ids, at):  # type: ignore[no-untyped-def]
    if after - place > MOST_PLACES:
        return _merged_by_heap(data, place, after, bpe, ids, at)
    lead = data[place + 1] if data[place] == 32 and after - place > 1 else data[place]
    if lead < 0x80:
        return _merged(bpe, _begin_with_bytes(data, place, after, bpe, 0), ids, at)
    return _merged(bpe, _begin_with_characters(data, place, after, bpe), ids, at)


@njit(cache=True, nogil=True)
def fill_joined(left, right, joined):  # type: ignore[no-untyped-def]
    """A bit of `joined` for each pair of code points, by its hash: two that a merge joins are never told apart."""
    for i in range(len(left)):
        bit = _pair_bit(left[i], right[i], joined)
        joined[bit >> np.uint64(6)] |= np.uint64(1) << (bit & np.uint64(63))


@njit(cache=True, nogil=True, forceinline=True)
def _pair_bit(left, right, joined):  # type: ignore[no-untyped-def]
    return _pair_hash(_pair(left, right)) & np.uint64(64 * len(joined) - 1)


@njit(cache=True, nogil=True, forceinline=True)
def _may_join(left, right, joined):  # type: ignore[no-untyped-def]
    bit = _pair_bit(left, right, joined)
    return joined[bit >> np.uint64(6)] >> (bit & np.uint64(63)) & np.uint64(1)


@njit(cache=True, nogil=True, forceinline=True)
def _packed(rank, where):  # type: ignore[no-untyped-def]
    """A rank and its place as one number, so that the least of them is the leftmost pair of least rank."""
    return NO_RANK if rank == NO_RANK else np.int32(rank << 8 | where)


@njit(cache=True, nogil=True, forceinline=True)
def _begin_with_bytes(data, place, after, bpe, count):  # type: ignore[no-untyped-def]
    """A token for each byte, from `count` on, and the ranks of their pairs; how many tokens there are then."""
    byte_ids, byte_ranks, tokens, ranks = bpe[2], bpe[3], bpe[4], bpe[5]
    for i in range(place, after):
        tokens[count] = byte_ids[data[i]]
        ranks[count] = _packed(byte_ranks[data[i], data[i + 1]], count) if i + 1 < after else NO_RANK
        count += 1
    return count


@njit(cache=True, nogil=True, forceinline=True)
def _begin_with_characters(data, place, after, bpe):  # type: ignore[no-untyped-def]
    """The tokens of each character by itself, where no merge joins a part of it to a neighbour; else its bytes.

    A merge with a neighbour needs the whole character then, so what happens within it comes first in any order that the
    ranks ask for.
    """
    pairs, tokens, ranks, apart, characters = bpe[0], bpe[4], bpe[5], bpe[6], bpe[7]
    count = 0
    while place < after:
        point, size = _point(data, place)
        end = place + size
        alone = (count == 0 or apart[data[place - 1], data[place]]) and (
            end == after or apart[data[end - 1], data[end]]
        )
        first = count
        if alone and size < 4:
            for k in range(characters[point, 0]):
                tokens[count] = characters[point, k + 1]
                ranks[count] = NO_RANK
                count += 1
        else:
            count = _begin_with_bytes(data, place, end, bpe, count)
        if first > 0:
            ranks[first - 1] = _packed(_rank(tokens[first - 1], tokens[first], pairs), first - 1)
        place = end
    return count


@njit(cache=True, nogil=True, forceinline=True)
def _merged(bpe, size, ids, at):  # type: ignore[no-untyped-def]
    """The leftmost pair of least rank is merged until none is left. Tokens keep their places: the dead have no rank."""
    pairs, merged, tokens, ranks, previous, following = bpe[0], bpe[1], bpe[4], bpe[5], bpe[8], bpe[9]
    for i in range(size):
        previous[i], following[i] = i - 1, i + 1
    while True:
        best = NO_RANK
        for i in range(size):
            best = min(best, ranks[i])
        if best == NO_RANK:
            break
        left = np.uint64(best & 0xFF)
        right = np.uint64(following[left])
        after = following[right]
        token = merged[np.uint64(best >> 8)]
        tokens[left], ranks[right], following[left] = token, NO_RANK, after
        if after < size:
            previous[np.uint64(after)] = left
            ranks[left] = _packed(_rank(token, tokens[np.uint64(after)], pairs), np.int64(left))
        else:
            ranks[left] = NO_RANK
        if left > 0:
            before = np.uint64(previous[left])
            ranks[before] = _packed(_rank(tokens[before], token, pairs), np.int64(before))
    count, i = 0, 0
    while i < size:
        ids[at + count] = tokens[i]
        count += 1
        i = np.int64(following[i])  # type: ignore[assignment]
    return count


@njit(cache=True, nogil=True)
def fill_characters(bpe):  # type: ignore[no-untyped-def]
    """(how many, tokens) of every character of at most three bytes by itself."""
    characters = bpe[7]
    data, ids = np.zeros(3, np.uint8), np.empty(4, np.uint32)
    for point in range(0x10000):
        if point < 0x80:
            data[0], size = point, 1
        elif point < 0x800:
            data[0], data[1], size = 0xC0 | point >> 6, 0x80 | (point & 0x3F), 2
        else:
            data[0], data[1], data[2] = 0xE0 | point >> 12, 0x80 | (point >> 6 & 0x3F), 0x80 | (point & 0x3F)
            size = 3
        count = _merged(bpe, _begin_with_bytes(data, 0, size, bpe, 0), ids, 0)
        characters[point, 0] = count
        for k in range(count):
            characters[point, k + 1] = ids[k]


@njit(cache=True, nogil=True)
def _merged_by_heap(data, place, after, bpe, ids, at):  # type: ignore[no-untyped-def]
    """The same for a long pre-token, in n log n: a heap of (rank, place), whose stale entries are passed over."""
    pairs, merged, byte_ids = bpe[0], bpe[1], bpe[2]
    size = after - place
    token = np.empty(size, np.uint32)
    previous, following = np.empty(size, np.int32), np.empty(size, np.int32)
    heap, length = np.empty(3 * size, np.int64), 0
    for i in range(size):
        token[i] = byte_ids[data[place + i]]
        previous[i], following[i] = i - 1, i + 1
    for i in range(size - 1):
        rank = _rank(token[i], token[i + 1], pairs)
        if rank != NO_RANK:
            length = _push(heap, length, np.int64(rank) << 32 | i)
    while length:
        top = heap[0]
        length = _pop(heap, length)
        rank, left = np.int32(top >> 32), np.int64(top & 0xFFFFFFFF)
        right = np.int64(following[left])
        if right >= size or previous[left] == -2 or _rank(token[left], token[right], pairs) != rank:
            continue
        token[left] = merged[rank]
        following[left] = following[right]
        previous[right] = -2
        if following[left] < size:
            previous[following[left]] = left
            rank = _rank(token[left], token[following[left]], pairs)
            if rank != NO_RANK:
                length = _push(heap, length, np.int64(rank) << 32 | left)
        if previous[left] >= 0:
            before = np.int64(previous[left])
            rank = _rank(token[before], token[left], pairs)
            if rank != NO_RANK:
                length = _push(heap, length, np.int64(rank) << 32 | before)
    count, i = 0, 0
    while i < size:
        ids[at + count] = token[i]
        count += 1
        i = following[i]
    return count


@njit(cache=True, nogil=True)
def _push(heap, length, value):  # type: ignore[no-untyped-def]
    child = length
    while child > 0:
        parent = (child - 1) // 2
        if heap[parent] <= value:
            break
        heap[child] = heap[parent]
        child = parent
    heap[child] = value
    return length + 1


@njit(cache=True, nogil=True)
def _pop(heap, length):  # type: ignore[no-untyped-def]
    length -= 1
    value, parent = heap[length], 0
    while 2 * parent + 1 < length:
        child = 2 * parent + 1
        if child + 1 < length and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= value:
            break
        heap[parent] = heap[child]
        parent = child
    heap[parent] = value
    return length


# ---------------------------------------------------------------------------------------------------------- vocabulary


@njit(cache=True, nogil=True)
def fill_whole(offsets, data, ids, slots):  # type: ignore[no-untyped-def]
    """Hash table of tokens' bytes to their number in `ids`, -1 where a slot is free."""
    for i in range(len(ids)):
        slot = _bytes_hash(data, offsets[i], offsets[i + 1]) & (len(slots) - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (len(slots) - 1)
        slots[slot] = i


@njit(cache=True, nogil=True)
def merged_whole(offsets, data, ids, bpe, reached):  # type: ignore[no-untyped-def]
    """Which tokens the merges make of their own bytes. `data` goes on for 8 bytes after the last."""
    longest = 1
    for i in range(len(ids)):
        longest = max(longest, offsets[i + 1] - offsets[i])
    found = np.empty(longest + 3, np.uint32)
    for i in range(len(ids)):
        count = _computed(data, offsets[i], offsets[i + 1], bpe, found, 0) if offsets[i + 1] > offsets[i] else 0
        reached[i] = count == 1 and found[0] == ids[i]


@njit(cache=True, nogil=True)
def _whole(data, place, after, bpe):  # type: ignore[no-untyped-def]
    """The id of the token that a pre-token is, if it is one that no merges make; else -1."""
    offsets, tokens, ids, slots = bpe[11], bpe[12], bpe[WHOLE_IDS], bpe[14]
    size = after - place
    slot = _bytes_hash(data, place, after) & (len(slots) - 1)
    while slots[slot] >= 0:
        start, end = offsets[slots[slot]], offsets[slots[slot] + 1]
        if end - start == size:
            same = True
            for i in range(size):
                if tokens[start + i] != data[place + i]:
                    same = False
                    break
            if same:
                return np.int64(ids[slots[slot]])
        slot = (slot + 1) & (len(slots) - 1)
    return np.int64(-1)


@njit(cache=True, nogil=True)
def _bytes_hash(data, start, end):  # type: ignore[no-untyped-def]
    state = np.uint64(0xCBF29CE484222325)
    for i in range(start, end):
        state = (state ^ np.uint64(data[i])) * np.uint64(0x100000001B3)
    return np.int64((state ^ state >> np.uint64(32)) & np.uint64(0x7FFFFFFFFFFFFFFF))


@njit(cache=True, nogil=True)
def may_change(offsets, data, unsure, found):  # type: ignore[no-untyped-def]
    """Which texts have a code point for which `unsure` is set. No code point below U+0300 is."""
    for text in range(len(offsets) - 1):
        place, end = offsets[text], offsets[text + 1]
        found[text] = False
        while place < end:
            if data[place] < 0xCC:
                place += 1 if data[place] < 0xC0 else 2
                continue
            point, size = _point(data, place)
            if unsure[point]:
                found[text] = True
                break
            place += size

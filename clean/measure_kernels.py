"""The kernels that count: a text becomes code points, those become words and lines, and these are counted.

All in one file, since a cached kernel does not see that one it calls in another file has changed. Every step is linear
in the text: a text of one repeated word takes no longer a character than prose.

`text[i]` is a code point with its class bits (character_classes) above it: bits << 32 | point. A span [lo, hi) is of
code points. `words[i]` is FROM, TO, MARKS (the classes met in it, with ALL_PUNCT, WORD and CHUNK) and HASH of a word.
Few and wide arrays, because a call that is not inlined hands over seven numbers for each.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from corpusmill.clean.character_classes import (
    ALL_PUNCT,
    ALPHA,
    BEYOND_IDEOGRAPH,
    BEYOND_OTHER,
    BREAK,
    CHUNK,
    CURLY,
    CURRENCY,
    DECIMAL,
    DIGIT,
    DOT_BEFORE,
    DOTS,
    ICON,
    IDEOGRAPH,
    INFIX,
    LABEL,
    LETTER,
    LINE,
    LOWER,
    MARK,
    PREFIX,
    PUNCT,
    QUOTE,
    SPACE,
    SQUARE,
    STOP,
    SUFFIX,
    SYMBOL,
    TABLE_SIZE,
    TELLING,
    TERMINAL,
    UNSPACED,
    UPPER,
    WORD,
)

SHORT_LINE_CHARS = 30
LONG_WORD_CHARS = 1000
MIN_LINE_WORDS = 3
IDEOGRAPHS_A_WORD = 2
UNSPACED_A_WORD = 4

SEED = np.int64(0x4BF29CE484222325)
PRIME = np.int64(0x100000001B3)
MIXER = np.int64(0x7F51AFD7ED558CCD)
GAP = np.int64(0x1E3779B97F4A7C15)
POINT = 0x1FFFFF

EM, MS = (ord("e") << 8 | ord("m")), (ord("m") << 8 | ord("s"))

FROM, TO, MARKS, HASH = range(4)
KEY, MARK_VALUE = range(2)
"""Columns of the hash table: what is looked up, and generation << 32 | value. An older generation is an empty slot."""
LIST_SLOTS = 8192
"""Slots of `lists`, the open-addressed table of exceptions and units: a hash and a value each; then a filter."""
FILTER_AT = 2 * LIST_SLOTS
FILTER_BITS = 1 << 15
UNIT_SALT = np.int64(0x5555555555555555)
"""Keeps units apart from exceptions in one table."""
LONGEST_EXCEPTION = 12
ROOMY_SLOTS = 1 << 16
LONG_WAY = BREAK | IDEOGRAPH | UNSPACED
ADDENDS_A_FLUSH = 1000
"""A counter of ten bits holds 1,023."""

COUNTS: tuple[str, ...] = tuple(
    """
    chars words non_symbol_words non_symbol_word_chars alpha_words stop_words hashes ellipses lines bullet_lines
    ellipsis_lines terminal_lines short_lines duplicate_lines line_chars duplicate_line_chars all_lines newlines
    raw_lines duplicate_raw_lines duplicate_raw_line_chars paragraphs duplicate_paragraphs duplicate_paragraph_chars
    top_2_gram_chars top_3_gram_chars top_4_gram_chars duplicate_5_gram_chars duplicate_6_gram_chars
    duplicate_7_gram_chars duplicate_8_gram_chars duplicate_9_gram_chars duplicate_10_gram_chars sentences
    c4_sentences c4_lorem_ipsum_line c4_curly_bracket_line c4_closed_sentences c4_closed_lorem_ipsum_line
    c4_closed_curly_bracket_line alnum_chars digit_chars upper_chars space_chars parenthesis_chars url_chars
    longest_word_chars longest_line_chars
    """.split()  # noqa: SIM905  48 strings in quotes are no easier to read
)
"""The columns of the kernel's answer, in its order; each by its name in capitals."""
(
    CHARS,
    WORDS,
    NON_SYMBOL_WORDS,
    NON_SYMBOL_WORD_CHARS,
    ALPHA_WORDS,
    STOP_WORDS,
    HASHES,
    ELLIPSES,
    LINES,
    BULLET_LINES,
    ELLIPSIS_LINES,
    TERMINAL_LINES,
    SHORT_LINES,
    DUPLICATE_LINES,
    LINE_CHARS,
    DUPLICATE_LINE_CHARS,
    ALL_LINES,
    NEWLINES,
    RAW_LINES,
    DUPLICATE_RAW_LINES,
    DUPLICATE_RAW_LINE_CHARS,
    PARAGRAPHS,
    DUPLICATE_PARAGRAPHS,
    DUPLICATE_PARAGRAPH_CHARS,
    TOP_2_GRAM_CHARS,
    TOP_3_GRAM_CHARS,
    TOP_4_GRAM_CHARS,
    DUPLICATE_5_GRAM_CHARS,
    DUPLICATE_6_GRAM_CHARS,
    DUPLICATE_7_GRAM_CHARS,
    DUPLICATE_8_GRAM_CHARS,
    DUPLICATE_9_GRAM_CHARS,
    DUPLICATE_10_GRAM_CHARS,
    SENTENCES,
    C4_SENTENCES,
    C4_LOREM_IPSUM_LINE,
    C4_CURLY_BRACKET_LINE,
    C4_CLOSED_SENTENCES,
    C4_CLOSED_LOREM_IPSUM_LINE,
    C4_CLOSED_CURLY_BRACKET_LINE,
    ALNUM_CHARS,
    DIGIT_CHARS,
    UPPER_CHARS,
    SPACE_CHARS,
    PARENTHESIS_CHARS,
    URL_CHARS,
    LONGEST_WORD_CHARS,
    LONGEST_LINE_CHARS,
) = range(len(COUNTS))


@njit(cache=True, nogil=True)
def count_texts(offsets, data, classes, addends, lists, stop_words, out):  # type: ignore[no-untyped-def]
    """Fill `out` [texts, len(COUNTS)] int32 from texts `data[offsets[i]:offsets[i+1]]`, UTF-8.

    `lists` are exceptions and units (text_measures makes them), `stop_words` hashes. Scratch is made once, for the
    longest text; memory that no text touches costs nothing.
    """
    longest = 0
    for d in range(offsets.shape[0] - 1):
        longest = max(longest, offsets[d + 1] - offsets[d])
    size = _mask_for(longest + 2) + 1
    text = np.empty(2 * longest + 8, np.int64)  # the second half is for lines without their citations
    words = np.empty((2 * longest + 8, 4), np.int64)
    breaks = np.empty(longest + 2, np.int32)
    suffixes = np.empty(longest + 2, np.int32)
    table = np.zeros((size, 2), np.int64)
    names = np.empty((5, longest + 2), np.int32)
    keys = np.empty(longest + 2, np.int64)
    tally = np.zeros(8, np.int64)
    generation = 0
    for d in range(offsets.shape[0] - 1):
        tally[:] = 0
        row = out[d]
        if generation > 2_000_000_000:
            table[:, MARK_VALUE] = 0
            generation = 0
        n = _decode(data, offsets[d], offsets[d + 1], classes, addends, text, row)
        num_words, num_breaks = _split(text, 0, n, lists, words, breaks, suffixes, 0, tally)
        row[CHARS] = n
        row[ELLIPSES], row[URL_CHARS], row[LONGEST_WORD_CHARS] = tally[0], tally[1], tally[2]
        _count_words(words, num_words, row)
        generation = _count_lines(text, n, words, num_words, breaks, num_breaks, table, generation, lists, suffixes,
                                  tally[2] > LONG_WORD_CHARS, row)  # fmt: skip
        generation = _count_repeats(words, num_words, table, generation, names, keys, stop_words, row)


@njit(cache=True, nogil=True)
def _count_words(words, num_words, row):  # type: ignore[no-untyped-def]
    plain = plain_chars = alpha = 0
    for i in range(num_words):
        marks = words[i, MARKS]
        is_word = (marks & WORD) != 0
        plain += is_word
        plain_chars += (words[i, TO] - words[i, FROM]) * is_word
        alpha += (marks & LETTER) != 0
    row[WORDS], row[NON_SYMBOL_WORDS], row[NON_SYMBOL_WORD_CHARS], row[ALPHA_WORDS] = (
        num_words,
        plain,
        plain_chars,
        alpha,
    )


@njit(cache=True, nogil=True)
def _decode(data, p, end, classes, addends, text, row):  # type: ignore[no-untyped-def]
    """Code points and class bits of valid UTF-8, and the counts of single characters; returns how many points."""
    n = 0
    alnum = digits = upper = spaces = parens = hash_marks = 0
    while p < end:
        total = 0
        stop = n + ADDENDS_A_FLUSH
        while p < end and n < stop:
            lead = np.int64(data[p])
            if lead < 0x80:
                point = lead
                p += 1
            elif lead < 0xE0:
                point = (lead & 0x1F) << 6 | np.int64(data[p + 1] & 0x3F)
                p += 2
            elif lead < 0xF0:
                point = (lead & 0x0F) << 12 | np.int64(data[p + 1] & 0x3F) << 6 | np.int64(data[p + 2] & 0x3F)
                p += 3
            else:
                point = (lead & 0x07) << 18 | np.int64(data[p + 1] & 0x3F) << 12
                point |= np.int64(data[p + 2] & 0x3F) << 6 | np.int64(data[p + 3] & 0x3F)
                p += 4
            if point < TABLE_SIZE:
                text[n] = classes[point]
                total += addends[point]
            elif point < 0x40000:
                text[n] = BEYOND_IDEOGRAPH << 32 | point
                total += 1
            else:
                text[n] = BEYOND_OTHER << 32 | point
            n += 1
        alnum += total & 1023
        digits += (total >> 10) & 1023
        upper += (total >> 20) & 1023
        spaces += (total >> 30) & 1023
        parens += (total >> 40) & 1023
        hash_marks += total >> 50
    row[ALNUM_CHARS], row[DIGIT_CHARS], row[UPPER_CHARS] = alnum, digits, upper
    row[SPACE_CHARS], row[PARENTHESIS_CHARS], row[HASHES] = spaces, parens, hash_marks
    return n


@njit(cache=True, nogil=True)
def _mix(h):  # type: ignore[no-untyped-def]
    h ^= h >> np.int64(32)
    h *= MIXER
    return h ^ (h >> np.int64(29))


@njit(cache=True, nogil=True)
def _hash(text, lo, hi):  # type: ignore[no-untyped-def]
    h = SEED
    for i in range(lo, hi):
        h = (h ^ (text[i] & POINT)) * PRIME
    return _mix(h)


@njit(cache=True, nogil=True)
def hash_of(points):  # type: ignore[no-untyped-def]
    """The hash of a word by its code points, int64, for the tables that are made in Python."""
    return _hash(points, 0, points.shape[0])


# words ---------------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _split(text, lo, hi, lists, words, breaks, suffixes, n, tally):  # type: ignore[no-untyped-def]
    """Append the words of [lo, hi) at `n`; returns (n, line breaks written).

    A chunk is what stands between blanks. Most are letters, or letters and one sign; the others take the long way.
    tally: 0 ellipses, 1 characters of addresses, 2 longest stretch.
    """
    num_breaks = 0
    longest = tally[2]
    i = lo
    while i < hi:
        c = text[i]
        b = c >> 32
        if (b & SPACE) != 0:
            if (b & LINE) != 0:
                breaks[num_breaks] = i
                num_breaks += 1
            i += 1
            continue
        first = i
        met = met_before = 0  # before the last character
        common = common_before = -1
        h = h_before = SEED
        while (b & SPACE) == 0:
            met_before, common_before, h_before = met, common, h
            met |= b
            common &= b
            h = (h ^ (c & POINT)) * PRIME
            i += 1
            if i == hi:
                break
            c = text[i]
            b = c >> 32
        size = i - first
        longest = max(longest, size if (met & (IDEOGRAPH | UNSPACED)) == 0 else _longest_stretch(text, first, i))
        before = n
        h = _mix(h)
        plain = (met & LONG_WAY) == 0 and (met & (DIGIT | ALPHA)) != (DIGIT | ALPHA)
        if plain and (size > LONGEST_EXCEPTION or _listed(lists, h) == 0):
            n = _write(words, n, first, i, met, common, h)
        elif size == 1:
            n = _write(words, n, first, i, met, common, h)
            tally[0] += (text[first] & POINT) == 0x2026
        elif (
            (met_before & LONG_WAY) == 0
            and (met_before & (DIGIT | ALPHA)) != (DIGIT | ALPHA)
            and _is_plain_suffix(text, first, i)
            and (size > LONGEST_EXCEPTION + 1
                 or (_listed(lists, h) == 0 and _listed(lists, _mix(h_before)) == 0))
        ):  # fmt: skip
            n = _write(words, n, first, i - 1, met_before, common_before, _mix(h_before))
            n = _put(text, i - 1, i, words, n)
            tally[0] += (text[i - 1] & POINT) == 0x2026
        else:
            if (met & DOTS) != 0:
                tally[0] += _ellipses(text, first, i)
            n = _split_chunk(text, first, i, met, lists, words, suffixes, n, tally)
            if n - before > 1:
                n = _merge(text, lists, words, before, n)
        words[before, MARKS] |= CHUNK
    tally[2] = longest
    return n, num_breaks


@njit(cache=True, nogil=True)
def _write(words, n, lo, hi, met, common, h):  # type: ignore[no-untyped-def]
    if hi - lo > 1:
        met &= ~STOP  # only a word that is nothing else ends a sentence
    words[n, FROM] = lo
    words[n, TO] = hi
    words[n, MARKS] = met | (WORD if (common & SYMBOL) == 0 else 0) | (ALL_PUNCT if (common & PUNCT) != 0 else 0)
    words[n, HASH] = h
    return n + 1


@njit(cache=True, nogil=True)
def _is_plain_suffix(text, lo, hi):  # type: ignore[no-untyped-def]
    """Whether the last sign of letters or of digits and one sign is a word of its own."""
    c = text[hi - 1]
    if (c & POINT) != 46:
        return ((c >> 32) & SUFFIX) != 0
    previous = text[hi - 2] >> 32
    if (previous & DOT_BEFORE) != 0:
        return True
    return hi - 3 >= lo and (previous & UPPER) != 0 and ((text[hi - 3] >> 32) & UPPER) != 0


@njit(cache=True, nogil=True)
def _ellipses(text, lo, hi):  # type: ignore[no-untyped-def]
    found = dots = 0
    for i in range(lo, hi):
        if (text[i] & POINT) == 46:
            dots += 1
            if dots == 3:
                found += 1
                dots = 0
        else:
            dots = 0
            if (text[i] & POINT) == 0x2026:
                found += 1
    return found


@njit(cache=True, nogil=True)
def _may_be_listed(lists, h):  # type: ignore[no-untyped-def]
    """False for nearly all that are not in the table, after one look at four kilobytes of bits."""
    return (lists[FILTER_AT + ((h & (FILTER_BITS - 1)) >> 6)] >> (h & 63)) & 1 != 0


@njit(cache=True, nogil=True)
def _listed(lists, h):  # type: ignore[no-untyped-def]
    """An exception's value, or 0: lengths of up to three words, a byte each, and into how many the rules would cut."""
    if not _may_be_listed(lists, h):
        return 0
    slot = h & (LIST_SLOTS - 1)
    while lists[2 * slot] != 0:
        if lists[2 * slot] == h:
            return lists[2 * slot + 1]
        slot = (slot + 1) & (LIST_SLOTS - 1)
    return 0


@njit(cache=True, nogil=True)
def _find(text, lo, hi, lists):  # type: ignore[no-untyped-def]
    if hi - lo > LONGEST_EXCEPTION:
        return 0
    return _listed(lists, _hash(text, lo, hi))


@njit(cache=True, nogil=True)
def _put(text, lo, hi, words, n):  # type: ignore[no-untyped-def]
    """Append the word [lo, hi)."""
    met = 0
    common = -1
    h = SEED
    for i in range(lo, hi):
        met |= text[i] >> 32
        common &= text[i] >> 32
        h = (h ^ (text[i] & POINT)) * PRIME
    return _write(words, n, lo, hi, met, common, _mix(h))


@njit(cache=True, nogil=True)
def _emit(text, lo, hi, words, n):  # type: ignore[no-untyped-def]
    """Append the word [lo, hi); what is written without blanks is cut further."""
    _put(text, lo, hi, words, n)
    if (words[n, MARKS] & (IDEOGRAPH | UNSPACED)) == 0 or hi - lo == 1:
        return n + 1
    i = lo
    while i < hi:
        first = i
        kind = (text[i] >> 32) & (IDEOGRAPH | UNSPACED)
        i += 1
        if kind != 0:
            most = IDEOGRAPHS_A_WORD if kind == IDEOGRAPH else UNSPACED_A_WORD
            while i < hi and (((text[i] >> 32) & MARK) != 0 or (i - first < most and ((text[i] >> 32) & kind) != 0)):
                i += 1
        elif not _stands_alone((text[first] & POINT), (text[first] >> 32)):
            while (
                i < hi
                and ((text[i] >> 32) & (IDEOGRAPH | UNSPACED)) == 0
                and not _stands_alone((text[i] & POINT), (text[i] >> 32))
            ):
                i += 1
        n = _put(text, first, i, words, n)
    return n


@njit(cache=True, nogil=True)
def _stands_alone(point, bit):  # type: ignore[no-untyped-def]
    """Punctuation of a script without blanks, which has none around it either."""
    return point >= 0x2E80 and (bit & (PUNCT | STOP)) != 0


@njit(cache=True, nogil=True)
def _emit_pieces(text, lo, pieces, words, n):  # type: ignore[no-untyped-def]
    pieces &= 0xFFFFFF
    while pieces > 0:
        n = _put(text, lo, lo + (pieces & 255), words, n)
        lo += pieces & 255
        pieces >>= 8
    return n


@njit(cache=True, nogil=True)
def _split_chunk(text, lo, hi, met, lists, words, suffixes, n, tally):  # type: ignore[no-untyped-def]
    """spaCy's loop: strip prefixes and suffixes while there are any, then an exception, an address or infixes."""
    outer = hi
    num_suffixes = 0
    last = -1
    while lo < hi and hi - lo != last:
        if _find(text, lo, hi, lists) != 0:
            break
        last = hi - lo
        pre = _prefix(text, lo, hi)
        if pre != 0 and lo + pre < hi and _find(text, lo + pre, hi, lists) != 0:
            n = _emit(text, lo, lo + pre, words, n)
            lo += pre
            break
        suf = _suffix(text, lo + pre, hi, met, lists)
        if suf != 0 and lo < hi - suf and _find(text, lo, hi - suf, lists) != 0:
            hi -= suf
            suffixes[num_suffixes] = hi
            num_suffixes += 1
            break
        if pre != 0:
            n = _emit(text, lo, lo + pre, words, n)
            lo += pre
        if suf != 0:
            hi -= suf
            suffixes[num_suffixes] = hi
            num_suffixes += 1
    if lo < hi:
        found = _find(text, lo, hi, lists)
        if found != 0:
            n = _emit_pieces(text, lo, found, words, n)
        elif (met & DOTS) != 0 and _is_address(text, lo, hi):
            n = _emit(text, lo, hi, words, n)
            tally[1] += hi - lo
        else:
            n = _cut_infixes(text, lo, hi, words, n)
    for s in range(num_suffixes - 1, -1, -1):
        end = suffixes[s - 1] if s > 0 else outer
        n = _emit(text, suffixes[s], end, words, n)
    return n


@njit(cache=True, nogil=True)
def _prefix(text, lo, hi):  # type: ignore[no-untyped-def]
    if ((text[lo] >> 32) & PREFIX) != 0:
        return 1
    c = text[lo] & POINT
    if c == 46:
        i = lo + 1
        while i < hi and (text[i] & POINT) == 46:
            i += 1
        return i - lo if i - lo > 1 else 0
    if c == 43:
        return 0 if lo + 1 < hi and ((text[lo + 1] >> 32) & DIGIT) != 0 else 1
    if (c == 67 or c == 65) and lo + 1 < hi and (text[lo + 1] & POINT) == 36:  # C$, A$
        return 2
    if c == 85 and lo + 2 < hi and (text[lo + 1] & POINT) == 83 and (text[lo + 2] & POINT) == 36:  # US$
        return 3
    return 0


@njit(cache=True, nogil=True)
def _suffix(text, lo, hi, met, lists):  # type: ignore[no-untyped-def]
    """The longest suffix of [lo, hi)."""
    if lo >= hi:
        return 0
    c = text[hi - 1] & POINT
    b = text[hi - 1] >> 32
    previous = (text[hi - 2] >> 32) if hi - 2 >= lo else 0
    if c == 46:
        i = hi - 1
        while i > lo and (text[i - 1] & POINT) == 46:
            i -= 1
        if hi - i > 1:
            return hi - i
        if (previous & DOT_BEFORE) != 0:
            return 1
        if hi - 3 >= lo and (previous & UPPER) != 0 and ((text[hi - 3] >> 32) & UPPER) != 0:
            return 1
        if hi - 3 >= lo and (text[hi - 3] & POINT) == 0xB0 and ((text[hi - 2] & POINT) | 32) in (99, 102, 107):
            return 1
        return 0
    best = 0
    if (b & SUFFIX) != 0:
        best = 2 if c == 0x2026 and hi - 2 >= lo and (text[hi - 2] & POINT) == 0x2026 else 1
    elif (c == 115 or c == 83) and hi - 2 >= lo and ((text[hi - 2] & POINT) == 39 or (text[hi - 2] & POINT) == 0x2019):
        best = 2
    if (met & DIGIT) == 0 or (b & DIGIT) != 0:
        return best
    if (previous & DIGIT) != 0 and (c == 43 or (b & CURRENCY) != 0):
        best = max(best, 1)
    k = 1
    while k <= 5 and hi - 1 - k >= lo and ((text[hi - 1 - k] >> 32) & DIGIT) == 0:
        k += 1
    if k <= 5 and hi - 1 - k >= lo and k > best:
        if c == 36 and ((k == 2 and (text[hi - 2] & POINT) in (65, 67)) or
                        (k == 3 and (text[hi - 2] & POINT) == 83 and (text[hi - 3] & POINT) == 85)):  # fmt: skip
            return k
        if _listed(lists, _hash(text, hi - k, hi) ^ UNIT_SALT) != 0:
            return k
    return best


@njit(cache=True, nogil=True)
def _cut_infixes(text, lo, hi, words, n):  # type: ignore[no-untyped-def]
    start = i = lo
    while i < hi:
        length = _infix(text, lo, i, hi) if ((text[i] >> 32) & INFIX) != 0 else 0
        if length == 0:
            i += 1
            continue
        if i > lo:
            if i > start:
                n = _emit(text, start, i, words, n)
            n = _emit(text, i, i + length, words, n)
            start = i + length
        i += length
    if start < hi:
        n = _emit(text, start, hi, words, n)
    return n


@njit(cache=True, nogil=True)
def _infix(text, lo, i, hi):  # type: ignore[no-untyped-def]
    """Length of the infix at `i`, or 0."""
    c = text[i] & POINT
    if c == 0x2026 or ((text[i] >> 32) & ICON) != 0:
        return 1
    previous = (text[i - 1] >> 32) if i > lo else 0
    following = (text[i + 1] >> 32) if i + 1 < hi else 0
    if c == 46:
        j = i + 1
        while j < hi and (text[j] & POINT) == 46:
            j += 1
        if j - i > 1:
            return j - i
        return 1 if (previous & (LOWER | QUOTE)) != 0 and (following & (UPPER | QUOTE)) != 0 else 0
    if (previous & DIGIT) != 0 and (c == 43 or c == 45 or c == 42 or c == 94):
        signed = i + 1 < hi and (text[i + 1] & POINT) == 45
        if (following & DIGIT) != 0 or signed:
            return 1
    if c == 44:
        return 1 if (previous & ALPHA) != 0 and (following & ALPHA) != 0 else 0
    if (previous & (ALPHA | DIGIT)) == 0:
        return 0
    if c == 58 or c == 60 or c == 61 or c == 62 or c == 47 or c == 0x2013 or c == 126:
        return 1 if (following & ALPHA) != 0 else 0
    if c == 45 or c == 0x2014:  # - -- --- — ——
        most = 3 if c == 45 else 2
        for length in range(1, most + 1):
            if i + length < hi and ((text[i + length] >> 32) & ALPHA) != 0:
                return length
            if i + length >= hi or (text[i + length] & POINT) != c:
                return 0
    return 0


@njit(cache=True, nogil=True)
def _merge(text, lists, words, first, n):  # type: ignore[no-untyped-def]
    """Put words together that the rules would make of an exception, as `)` and `:` of "(this):"; the longest first."""
    i = at = first  # what is kept is moved up as it is read
    while i < n:
        best = i
        found = 0
        j = i + 1
        while j < n and words[j, TO] - words[i, FROM] <= LONGEST_EXCEPTION:
            pieces = _find(text, words[i, FROM], words[j, TO], lists)
            if pieces >> 24 == j + 1 - i:
                best = j
                found = pieces & 0xFFFFFF
            j += 1
        num_pieces = 1 + (found > 0xFF) + (found > 0xFFFF)
        if best == i or num_pieces > best + 1 - i or _longer_follows(text, lists, words, i, best, n):
            words[at] = words[i]
            at += 1
            i += 1
        else:
            at = _emit_pieces(text, words[i, FROM], found, words, at)
            i = best + 1
    return at


@njit(cache=True, nogil=True)
def _longer_follows(text, lists, words, i, best, n):  # type: ignore[no-untyped-def]
    """Whether a longer exception begins inside words i..best."""
    for k in range(i + 1, best + 1):
        j = k + best - i + 1
        while j < n and words[j, TO] - words[k, FROM] <= LONGEST_EXCEPTION:
            if _find(text, words[k, FROM], words[j, TO], lists) >> 24 == j + 1 - k:
                return True
            j += 1
    return False


@njit(cache=True, nogil=True)
def _is_address(text, lo, hi):  # type: ignore[no-untyped-def]
    """[scheme://][user[:password]@]host.tld[:port][/path], or four numbers for the host (spaCy's URL_PATTERN)."""
    if _is_host(text, lo, hi):
        return True
    after_scheme = lo
    i = lo
    while i < hi and (((text[i] >> 32) & (LETTER | DIGIT)) != 0 or (text[i] & POINT) in (95, 43, 45, 46)):
        i += 1
    if (
        i - lo > 1
        and i + 2 < hi
        and (text[i] & POINT) == 58
        and (text[i + 1] & POINT) == 47
        and (text[i + 2] & POINT) == 47
    ):
        after_scheme = i + 3
        if _is_host(text, after_scheme, hi):
            return True
    for i in range(lo + 1, hi - 1):  # noqa: SIM110  numba has no any() over a generator
        if (text[i] & POINT) == 64 and _is_host(text, i + 1, hi):
            return True
    return False


@njit(cache=True, nogil=True)
def _is_host(text, lo, hi):  # type: ignore[no-untyped-def]
    labels = 0
    first = i = lo
    numbers = True
    while True:
        lower = True
        while i < hi and ((text[i] >> 32) & LABEL) != 0:
            lower = lower and ((text[i] >> 32) & LOWER) != 0
            numbers = numbers and ((text[i] >> 32) & DIGIT) != 0
            i += 1
        length = i - first
        if i < hi and (text[i] & POINT) == 46:
            if length < 1 or length > 64 or (text[first] & POINT) in (45, 95) or (text[i - 1] & POINT) in (45, 95):
                return False
            numbers = numbers and length <= 3
            labels += 1
            i += 1
            first = i
            continue
        break
    named = labels > 0 and lower and 2 <= length <= 63
    if not named and not (numbers and labels == 3 and 1 <= length <= 3):
        return False
    if i < hi and (text[i] & POINT) == 58:
        j = i + 1
        while j < hi and ((text[j] >> 32) & DIGIT) != 0:
            j += 1
        if 2 <= j - i - 1 <= 5:
            i = j
    return i == hi or (text[i] & POINT) == 47 or (text[i] & POINT) == 63 or (text[i] & POINT) == 35


# lines ---------------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _count_lines(text, n, words, num_words, breaks, num_breaks, table, generation, lists, suffixes, has_long, row):  # type: ignore[no-untyped-def]
    """Both kinds of lines: between line feeds (FineWeb, Gopher repetition), and str.splitlines (Gopher quality, C4)."""
    generation += 1
    mask = _mask_for(num_breaks + 2)
    row[LINES:ALNUM_CHARS] = 0
    row[LONGEST_LINE_CHARS] = 0
    lo = word = 0
    fed_lo = fed_word = 0  # where the line between line feeds began
    for k in range(num_breaks + 1):
        at = breaks[k] if k < num_breaks else n
        next_word = word
        while next_word < num_words and words[next_word, FROM] < at:
            next_word += 1
        fed = k < num_breaks and (text[at] & POINT) == 10
        ends_crlf = fed and lo == at and at > 0 and (text[at - 1] & POINT) == 13
        if not ends_crlf and (at > lo or k < num_breaks):
            _count_split_line(text, lo, words, num_words, word, next_word, breaks, lists, suffixes, has_long, row)
        if fed or k == num_breaks:
            _count_fed_line(text, fed_lo, at, n, words, fed_word, next_word, table, mask, generation, row)
            row[NEWLINES] += fed
            fed_lo = at + 1
            fed_word = next_word
        lo = at + 1
        word = next_word
    return _count_paragraphs(text, words, num_words, breaks, num_breaks, table, generation, row)


@njit(cache=True, nogil=True)
def _count_fed_line(text, lo, hi, n, words, first, last, table, mask, generation, row):  # type: ignore[no-untyped-def]
    """A line between line feeds. An empty one is a raw line only at the start and the end of the text."""
    if hi == lo:
        if lo == 0 or hi == n:
            row[RAW_LINES] += 1
            row[DUPLICATE_RAW_LINES] += _seen(table, mask, generation, _mix(SEED))
        return
    size = hi - lo
    row[RAW_LINES] += 1
    again = _seen(table, mask, generation, _span_hash(text, lo, hi, words, first, last))
    if again:
        row[DUPLICATE_RAW_LINES] += 1
        row[DUPLICATE_RAW_LINE_CHARS] += size
    if last > first:
        row[LINES] += 1
        row[LINE_CHARS] += size
        row[TERMINAL_LINES] += ((text[hi - 1] >> 32) & TERMINAL) != 0
        row[SHORT_LINES] += size <= SHORT_LINE_CHARS
        row[LONGEST_LINE_CHARS] = max(row[LONGEST_LINE_CHARS], size)
        if again:
            row[DUPLICATE_LINES] += 1
            row[DUPLICATE_LINE_CHARS] += size


@njit(cache=True, nogil=True)
def _count_split_line(text, lo, words, num_words, first, last, breaks, lists, suffixes, has_long, row):  # type: ignore[no-untyped-def]
    """A line of str.splitlines, which begins at `lo`."""
    row[ALL_LINES] += 1
    if first == last:
        return
    start, end = words[first, FROM], words[last - 1, TO]
    opening = text[start] & POINT
    row[BULLET_LINES] += opening == 0x2022 or opening == 45
    row[ELLIPSIS_LINES] += (text[end - 1] & POINT) == 0x2026 or _ends_in_dots(text, lo, end)
    met, chunks, sentences = _read_line(text, words, first, last, end)
    row[SENTENCES] += sentences
    if chunks < MIN_LINE_WORDS or (has_long and _longest_stretch(text, start, end) > LONG_WORD_CHARS):
        return
    if (met & SQUARE) == 0:
        _judge_c4_line(text, start, end, words, first, last, met, sentences, row)
        return
    base = text.shape[0] // 2
    end = base + _without_citations(text, start, end, base)
    last, _ = _split(text, base, end, lists, words, breaks, suffixes, num_words, np.zeros(8, np.int64))
    met, _, sentences = _read_line(text, words, num_words, last, end)
    if end == base:  # it was citations only
        sentences = 0
    _judge_c4_line(text, base, end, words, num_words, last, met, sentences, row)


@njit(cache=True, nogil=True)
def _longest_stretch(text, lo, hi):  # type: ignore[no-untyped-def]
    """Characters in a row that are neither blanks nor of a script that goes without them."""
    longest = size = 0
    for i in range(lo, hi):
        size = 0 if ((text[i] >> 32) & (SPACE | IDEOGRAPH | UNSPACED)) != 0 else size + 1
        longest = max(longest, size)
    return longest


@njit(cache=True, nogil=True)
def _read_line(text, words, first, last, hi):  # type: ignore[no-untyped-def]
    """(marks met in the words, how many begin a chunk or are units of a script without blanks, sentences).

    Sentences are spaCy's sentencizer's: after a stop, the next word that is no punctuation begins one. So do blanks.
    """
    met = chunks = 0
    sentences = 1
    stopped = False
    for i in range(first, last):
        marks = words[i, MARKS]
        met |= marks
        chunks += (marks & (CHUNK | IDEOGRAPH | UNSPACED)) != 0
        if stopped and (
            (marks & (ALL_PUNCT | STOP)) == 0 or _is_word_of_blanks(text, words[i - 1, TO], words[i, FROM])
        ):
            sentences += 1
            stopped = False
        if (marks & STOP) != 0:
            stopped = True
    if stopped and _is_word_of_blanks(text, words[last - 1, TO], hi):
        sentences += 1
    return met, chunks, sentences


@njit(cache=True, nogil=True)
def _is_word_of_blanks(text, lo, hi):  # type: ignore[no-untyped-def]
    """To spaCy all blanks are a word but for one space after a word."""
    return hi - lo > 1 or (hi - lo == 1 and (text[lo] & POINT) != 32)


@njit(cache=True, nogil=True)
def _ends_in_dots(text, lo, hi):  # type: ignore[no-untyped-def]
    if hi - 3 < lo:
        return False
    return (text[hi - 1] & POINT) == 46 and (text[hi - 2] & POINT) == 46 and (text[hi - 3] & POINT) == 46


@njit(cache=True, nogil=True)
def _is_closed(text, lo, hi):  # type: ignore[no-untyped-def]
    """Ends in . ? ! " or ' and not in three dots: what C4 calls a terminal punctuation mark."""
    if hi == lo or _ends_in_dots(text, lo, hi):
        return False
    c = text[hi - 1] & POINT
    return c == 46 or c == 63 or c == 33 or c == 34 or c == 39


@njit(cache=True, nogil=True)
def _without_citations(text, lo, hi, base):  # type: ignore[no-untyped-def]
    """Copy [lo, hi) to `base` without [12], [], [edit] and [citation needed]; returns the length."""
    size = 0
    i = lo
    while i < hi:
        if (text[i] & POINT) == 91:
            j = i + 1
            while j < hi and ((text[j] >> 32) & DECIMAL) != 0:
                j += 1
            if j < hi and (text[j] & POINT) == 93:
                i = j + 1
                continue
            if _reads(text, i, hi, "[edit]", False):
                i += 6
                continue
            if _reads(text, i, hi, "[citation needed]", False):
                i += 17
                continue
            while i < j:  # nothing in here opens a citation
                text[base + size] = text[i]
                size += 1
                i += 1
            continue
        text[base + size] = text[i]
        size += 1
        i += 1
    return size


@njit(cache=True, nogil=True)
def _reads(text, lo, hi, phrase, fold):  # type: ignore[no-untyped-def]
    """Whether `phrase` stands at `lo`; with `fold` in either case (the Kelvin sign is a k, as for str.lower)."""
    if hi - lo < len(phrase):
        return False
    for i in range(len(phrase)):
        c = text[lo + i] & POINT
        if fold:
            c = c + 32 if 65 <= c <= 90 else (107 if c == 0x212A else c)
        if c != ord(phrase[i]):
            return False
    return True


@njit(cache=True, nogil=True)
def _judge_c4_line(text, lo, hi, words, first, last, met, sentences, row):  # type: ignore[no-untyped-def]
    """Count a line of three words or more, none too long: what C4 sees in it, in C4's order."""
    line = row[ALL_LINES]  # from 1
    closed = _is_closed(text, lo, hi)
    told = _phrases(text, lo, hi, words, first, last)
    if (told & 1) != 0:
        if row[C4_LOREM_IPSUM_LINE] == 0:
            row[C4_LOREM_IPSUM_LINE] = line
        if closed and row[C4_CLOSED_LOREM_IPSUM_LINE] == 0:
            row[C4_CLOSED_LOREM_IPSUM_LINE] = line
    if (told & 2) != 0:
        return
    if (met & CURLY) != 0:
        if row[C4_CURLY_BRACKET_LINE] == 0:
            row[C4_CURLY_BRACKET_LINE] = line
        if closed and row[C4_CLOSED_CURLY_BRACKET_LINE] == 0:
            row[C4_CLOSED_CURLY_BRACKET_LINE] = line
    if (told & 4) != 0:
        return
    row[C4_SENTENCES] += sentences
    if closed:
        row[C4_CLOSED_SENTENCES] += sentences


@njit(cache=True, nogil=True)
def _phrases(text, lo, hi, words, first, last):  # type: ignore[no-untyped-def]
    """1: lorem ipsum; 2: javascript; 4: a phrase about terms, privacy or cookies.

    Looked for at their rarest letters (TELLING), and at words that end in em and ms.
    """
    told = 0
    for i in range(first, last):
        start, end = words[i, FROM], words[i, TO]
        ending = (text[max(end - 2, lo)] & POINT | 32) << 8 | (text[end - 1] & POINT | 32)
        if ending in (EM, MS) and end - start >= 5:
            if _reads(text, end - 5, hi, "lorem ipsum", True):
                told |= 1
            elif _reads(text, end - 5, hi, "terms of use", True):
                told |= 4
        if ((words[i, MARKS] & TELLING) != 0) & (end - start >= 6):
            for at in range(start, end):
                if ((text[at] >> 32) & TELLING) != 0:
                    told |= _phrase_at(text, lo, at, hi)
    return told


@njit(cache=True, nogil=True)
def _phrase_at(text, lo, at, hi):  # type: ignore[no-untyped-def]
    """The phrase that the telling letter at `at` is of: Javascript, priVacy, cooKie."""
    c = text[at] & POINT | 32
    if c == 106:
        return 2 if _reads(text, at, hi, "javascript", True) else 0
    if c == 118:
        return 4 if at - 3 >= lo and _reads(text, at - 3, hi, "privacy policy", True) else 0
    at -= 3
    if at < lo or not _reads(text, at, hi, "cookie", True):
        return 0
    if _reads(text, at + 6, hi, " policy", True):
        return 4
    if _reads(text, at + 6, hi, "s", True) and (
        (at - 4 >= lo and _reads(text, at - 4, hi, "use ", True))
        or (at - 5 >= lo and _reads(text, at - 5, hi, "uses ", True))
        or (at - 7 >= lo and _reads(text, at - 7, hi, "use of ", True))
    ):
        return 4
    return 0


@njit(cache=True, nogil=True)
def _count_paragraphs(text, words, num_words, breaks, num_breaks, table, generation, row):  # type: ignore[no-untyped-def]
    """Paragraphs stand between two line feeds or more, the text's own blanks at both ends aside."""
    row[PARAGRAPHS] = 1
    if num_words == 0:
        return generation
    lo, hi = words[0, FROM], words[num_words - 1, TO]
    k = 0
    while k < num_breaks and breaks[k] < lo:
        k += 1
    k = _next_empty_line(text, breaks, k, num_breaks, hi)
    if k == num_breaks:
        return generation
    generation += 1
    mask = _mask_for(num_breaks + 2)
    row[PARAGRAPHS] = 0
    word = 0
    while lo < hi:
        end = breaks[k] if k < num_breaks else hi
        first = word
        while word < num_words and words[word, FROM] < end:
            word += 1
        row[PARAGRAPHS] += 1
        if _seen(table, mask, generation, _span_hash(text, lo, end, words, first, word)):
            row[DUPLICATE_PARAGRAPHS] += 1
            row[DUPLICATE_PARAGRAPH_CHARS] += end - lo
        lo = hi
        if k < num_breaks:
            while breaks[k + 1] == breaks[k] + 1 and (text[breaks[k + 1]] & POINT) == 10:
                k += 1
                if k + 1 == num_breaks:
                    break
            lo = breaks[k] + 1
            k = _next_empty_line(text, breaks, k + 1, num_breaks, hi)
    return generation


@njit(cache=True, nogil=True)
def _next_empty_line(text, breaks, k, num_breaks, hi):  # type: ignore[no-untyped-def]
    """The next line feed with another right after it, before `hi`; num_breaks where there is none."""
    while k + 1 < num_breaks and breaks[k] < hi:
        if breaks[k + 1] == breaks[k] + 1 and (text[breaks[k]] & POINT) == 10 and (text[breaks[k + 1]] & POINT) == 10:
            return k
        k += 1
    return num_breaks


@njit(cache=True, nogil=True)
def _span_hash(text, lo, hi, words, first, last):  # type: ignore[no-untyped-def]
    """Hash of the characters of [lo, hi) from its words first..last and the blanks between them."""
    h = SEED
    at = lo
    for i in range(first, last):
        start = words[i, FROM]
        if start - at == 1 and (text[at] & POINT) == 32:
            h += GAP
        else:
            for j in range(at, start):
                h = (h ^ (text[j] & POINT)) * PRIME + GAP
        h = (h ^ words[i, HASH]) * PRIME
        at = words[i, TO]
    for j in range(at, hi):
        h = (h ^ (text[j] & POINT)) * PRIME + GAP
    return _mix(h)


# what was met before -------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _mask_for(items):  # type: ignore[no-untyped-def]
    """Size less one of a table for so many: a quarter full while that fits a processor's cache, then half."""
    size = 64
    while size < 2 * items or (size < 4 * items and size < ROOMY_SLOTS):
        size *= 2
    return size - 1


@njit(cache=True, nogil=True)
def _seen(table, mask, generation, key):  # type: ignore[no-untyped-def]
    """Whether the key was there; it is now."""
    slot = _slot_of(table, mask, generation, key)
    if table[slot, MARK_VALUE] >> 32 == generation:
        return True
    table[slot, KEY] = key
    table[slot, MARK_VALUE] = generation << 32
    return False


@njit(cache=True, nogil=True)
def _slot_of(table, mask, generation, key):  # type: ignore[no-untyped-def]
    """Where the key is, or the empty slot where it belongs. Keys are mixed."""
    slot = key & mask
    while table[slot, MARK_VALUE] >> 32 == generation and table[slot, KEY] != key:
        slot = (slot + 1) & mask
    return slot


@njit(cache=True, nogil=True)
def _name(table, mask, generation, key, kinds):  # type: ignore[no-untyped-def]
    """The key's number: the one it has, else `kinds`. Written back either way: a branch here would be a coin toss."""
    slot = _slot_of(table, mask, generation, key)
    mark = table[slot, MARK_VALUE]
    name = mark & 0xFFFFFFFF if mark >> 32 == generation else kinds
    table[slot, KEY] = key
    table[slot, MARK_VALUE] = generation << 32 | name
    return name


@njit(cache=True, nogil=True)
def _count_repeats(words, num_words, table, generation, names, keys, stop_words, row):  # type: ignore[no-untyped-def]
    """Characters of the commonest 2-, 3-, 4-gram and of repeated 5- to 10-grams; stop words.

    An n-gram can only be met again where the (n-1)-grams it begins and ends with are. So each order looks at the places
    that the order before left over, and names an n-gram by the names of those two: no text is hashed again.
    """
    generation += 1
    mask = _mask_for(num_words)
    ids, counts, firsts, active, lengths = names[0], names[1], names[2], names[3], names[4]
    kinds = total = 0
    for i in range(num_words):
        lengths[i] = total  # of all words before
        total += words[i, TO] - words[i, FROM]
        c = _name(table, mask, generation, words[i, HASH], kinds)
        counts[c] = 1 if c == kinds else counts[c] + 1
        kinds += c == kinds
        ids[i] = c
    lengths[num_words] = total
    ids[num_words] = -1
    row[STOP_WORDS] = 0
    for s in range(stop_words.shape[0]):
        slot = _slot_of(table, mask, generation, stop_words[s])
        row[STOP_WORDS] += table[slot, MARK_VALUE] >> 32 == generation
    places = 0
    for i in range(num_words):
        again = counts[ids[i]] > 1
        ids[i] = ids[i] if again else -1
        active[places] = i
        places += again
    for n in range(2, min(num_words, 10) + 1):
        places = _pair_up(ids, active, keys, places)
        generation += 1
        mask = _mask_for(places)
        kinds = 0
        for a in range(places):
            c = _name(table, mask, generation, keys[a], kinds)
            counts[c] = 1 if c == kinds else counts[c] + 1
            firsts[c] = active[a] if c == kinds else firsts[c]
            kinds += c == kinds
            ids[active[a]] = c
        if n < 5:
            row[TOP_2_GRAM_CHARS - 2 + n] = _top_chars(counts, firsts, lengths, kinds, n)
        kept = 0
        for a in range(places):
            i = active[a]
            again = counts[ids[i]] > 1
            ids[i] = ids[i] if again else -1
            active[kept] = i
            kept += again
        places = kept
        if n >= 5:
            row[TOP_2_GRAM_CHARS - 2 + n] = _repeated_chars(ids, active, firsts, lengths, places, n)
    return generation


@njit(cache=True, nogil=True)
def _pair_up(ids, active, keys, places):  # type: ignore[no-untyped-def]
    """Keep of the places those whose next word's n-gram is met again as well, each with both names as its key.

    No branch but the loop's: which places stay cannot be foreseen.
    """
    kept = 0
    for a in range(places):
        i = active[a]
        left, right = ids[i], ids[i + 1]
        keys[kept] = _mix(np.int64(left) << 32 | np.int64(right))
        active[kept] = i
        kept += right >= 0
        ids[i] = left if right >= 0 else -1
    return kept


@njit(cache=True, nogil=True)
def _repeated_chars(ids, active, firsts, lengths, places, n):  # type: ignore[no-untyped-def]
    """Characters of the n-grams that are met again, from left to right, none overlapping the one counted before."""
    chars = free = 0
    for a in range(places):
        i = active[a]
        if i >= free:
            c = ids[i]
            if firsts[c] < 0:
                chars += lengths[i + n] - lengths[i]
                free = i + n
            else:
                firsts[c] = -1  # met
    return chars


@njit(cache=True, nogil=True)
def _top_chars(counts, firsts, lengths, kinds, n):  # type: ignore[no-untyped-def]
    """Characters of the commonest n-gram, blanks between its words included; of the first of several."""
    best, at = 1, 0  # where nothing is met twice, the text's first n-gram
    for c in range(kinds):
        if counts[c] > best:
            best, at = counts[c], firsts[c]
    return best * (lengths[at + n] - lengths[at] + n - 1)


@njit(cache=True, nogil=True)
def split_text(data, classes, addends, lists):  # type: ignore[no-untyped-def]
    """Words [n, 4] of one UTF-8 text, as the other kernels see them: for tests, and to look at disagreements."""
    longest = data.shape[0]
    text = np.empty(longest + 1, np.int64)
    words = np.empty((longest + 1, 4), np.int64)
    scratch = np.empty(longest + 2, np.int32)
    n = _decode(data, 0, longest, classes, addends, text, np.zeros(len(COUNTS), np.int32))
    num_words, _ = _split(text, 0, n, lists, words, np.empty(longest + 2, np.int32), scratch, 0, np.zeros(8, np.int64))
    return words[:num_words]

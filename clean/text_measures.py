"""Measures: everything a rule may ask of a text, counted in one pass over the Arrow buffers.

A word is what the published rules' reference implementation (datatrove, spaCy's English tokenizer) counts as one, to a
good approximation made of three rules: a run of letters, digits and marks is a word; a punctuation character is a word
of its own, a run of the same one together; an apostrophe between letters begins a new word (do|n't, it|'s), a full stop
or comma between letters or digits does not end one (example.com, 3.14). A Chinese or Japanese character is a word.

`words` counts all of these; `non_symbol_words` leaves punctuation out. A line is text between line feeds that is more
than blanks.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit

from corpusmill.columns import batch_of, text_buffers
from corpusmill.schemas import MEASURES

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Gopher (Rae et al. 2021, appendix A1.1); compared as written, a text that shouts THE has none."""

SHORT_LINE_CHARS = 30
"""FineWeb (Penedo et al. 2024): a line of at most this many characters is short."""

_ALPHA, _NUMBER, _SPACE, _PUNCTUATION, _CJK, _MARK = 1, 2, 4, 8, 16, 32
_TERMINAL = np.array(sorted(map(ord, ".!?\"'”’…。！？」』”؟۔।")), np.int64)
_COUNTS = tuple(f.name for f in MEASURES if f.type == pa.int32())
_RATIOS = {
    "mean_word_chars": ("non_symbol_word_chars", "non_symbol_words"),
    "hash_ratio": ("hashes", "words"),
    "ellipsis_ratio": ("ellipses", "words"),
    "bullet_line_ratio": ("bullet_lines", "lines"),
    "ellipsis_line_ratio": ("ellipsis_lines", "lines"),
    "alpha_word_ratio": ("alpha_words", "words"),
    "terminal_line_ratio": ("terminal_lines", "lines"),
    "short_line_ratio": ("short_lines", "lines"),
    "duplicate_line_ratio": ("duplicate_lines", "lines"),
    "duplicate_line_char_ratio": ("duplicate_line_chars", "line_chars"),
}


def measure(texts: list[str] | pa.Array) -> pa.StructArray:
    """Measures of each text, a struct of `schemas.MEASURES`; null where the text is null.

    About 100 MB of text a second and core. A ratio with nothing below the line is 0.
    """
    array = batch_of(texts)
    offsets, data = text_buffers(array)
    counts = np.zeros((len(array), len(_COUNTS)), np.int32)
    count_texts(offsets, data, _classes(), _stop_word_hashes(), _TERMINAL, counts)
    columns = {name: counts[:, i] for i, name in enumerate(_COUNTS)}
    for name, (above, below) in _RATIOS.items():
        divisor = columns[below].astype(np.float64)
        columns[name] = np.divide(columns[above], divisor, out=np.zeros(len(array)), where=divisor > 0)
    fields = [pa.array(np.ascontiguousarray(columns[f.name]), f.type) for f in MEASURES]
    mask = array.is_null()
    if isinstance(mask, pa.ChunkedArray):
        mask = mask.combine_chunks()
    return pa.StructArray.from_arrays(fields, fields=list(MEASURES), mask=mask)


@lru_cache(maxsize=1)
def _classes() -> np.ndarray:
    """Class bits of every code point below U+20000; all above are CJK ideographs or rare."""
    table = np.zeros(0x20000, np.uint8)
    for point in range(0x20000):
        char = chr(point)
        kind = unicodedata.category(char)
        bits = _ALPHA * char.isalpha() | _SPACE * char.isspace() | _NUMBER * (kind[0] == "N") | _MARK * (kind[0] == "M")
        table[point] = bits | _PUNCTUATION * _is_punctuation(char, kind) | _CJK * _is_cjk(point)
    return table


def _is_punctuation(char: str, kind: str) -> bool:
    """Signs that spaCy makes words of their own; mod_rewrite and me@example.com stay whole."""
    return (kind[0] == "P" and char not in "_@") or char in "$+<=>^`|~"


def _is_cjk(point: int) -> bool:
    return (
        0x3040 <= point <= 0x30FF or 0x3400 <= point <= 0x4DBF or 0x4E00 <= point <= 0x9FFF or 0xF900 <= point <= 0xFAFF
    )


@lru_cache(maxsize=1)
def _stop_word_hashes() -> np.ndarray:
    hashes = np.zeros(len(STOP_WORDS), np.uint64)
    for i, word in enumerate(STOP_WORDS):
        value = 0xCBF29CE484222325
        for char in word:
            value = ((value ^ ord(char)) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
        hashes[i] = value
    return hashes


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


@njit(cache=True, nogil=True)
def count_texts(offsets, data, classes, stop_hashes, terminal, out):  # type: ignore[no-untyped-def]
    """Fill `out` [texts, counts], columns in the order of the int32 fields of MEASURES.

    A state machine over code points: `kind` is what the current word is made of (0 none, 1 word, 2 punctuation).
    """
    table_size = 1024
    table = np.zeros(table_size, np.uint64)
    stamps = np.zeros(table_size, np.int64)
    for d in range(offsets.shape[0] - 1):
        generation = d + 1
        p, end = offsets[d], offsets[d + 1]
        # lines met so far, as hashes, in an open-addressed table that grows with the text
        while table_size < end - p:  # a line takes two bytes at least, so half stays free
            table_size *= 2
            table = np.zeros(table_size, np.uint64)
            stamps = np.zeros(table_size, np.int64)
        chars = words = symbol_free = symbol_free_chars = alpha_words = hashes = ellipses = 0
        lines = bullets = ellipsis_lines = terminal_lines = short_lines = duplicates = line_total = duplicate_chars = 0
        stop_seen = 0
        kind = 0
        word_chars = 0
        word_alpha = False
        word_hash = np.uint64(0xCBF29CE484222325)
        last = np.int64(0)  # the previous code point
        dots = 0
        line_chars = 0  # up to and with the last character that is no blank
        line_pending = 0  # blanks after it
        line_first = np.int64(0)
        line_last = np.int64(0)
        line_dots = 0
        line_hash = np.uint64(0xCBF29CE484222325)
        while p <= end:
            if p < end:
                point, size = _decode_utf8(data, p)
                bits = classes[point] if point < classes.shape[0] else np.uint8(17)
                chars += 1
            else:
                point, size, bits = np.int64(10), 1, np.uint8(4)  # the end closes a word and a line
            p += size
            is_word = (bits & 35) != 0  # letter, number or mark
            joins: Any = False  # punctuation inside a word, as in example.com and 3.14
            if kind == 1 and (point == 46 or point == 44) and p < end:
                following = data[p]
                digit = 48 <= following <= 57 and 48 <= last <= 57
                letter = point == 46 and (97 <= (following | 32) <= 122) and not (48 <= last <= 57)
                joins = digit or letter
            splits = (point == 39 or point == 0x2019) and kind == 1 and p < end and (97 <= (data[p] | 32) <= 122)
            # does the current word end before this character?
            ends = False
            if kind == 1:
                ends = (bits & 16) != 0 or splits or not (is_word or joins or (bits & 12) == 0)
            elif kind == 2:
                ends = (bits & 8) == 0 or point != last
            if ends:
                words += 1
                if kind == 1:
                    symbol_free += 1
                    symbol_free_chars += word_chars
                    if word_alpha:
                        alpha_words += 1
                    for s in range(stop_hashes.shape[0]):
                        if stop_hashes[s] == word_hash:
                            stop_seen |= 1 << s
                kind = 0
            if (bits & 4) == 0:
                if kind == 0:
                    kind = 2 if ((bits & 8) != 0 and not splits) else 1
                    word_chars = 0
                    word_alpha = False
                    word_hash = np.uint64(0xCBF29CE484222325)
                word_chars += 1
                if (bits & 1) != 0:
                    word_alpha = True
                word_hash = (word_hash ^ np.uint64(point)) * np.uint64(0x100000001B3)
                if (bits & 16) != 0:  # one ideograph, one word
                    words += 1
                    symbol_free += 1
                    symbol_free_chars += 1
                    alpha_words += 1
                    kind = 0
            if point == 35:
                hashes += 1
            dots = dots + 1 if point == 46 else 0
            if point == 0x2026:
                ellipses += 1
            elif dots == 3:
                ellipses += 1
                dots = 0
            # lines
            if point == 10 or point == 13:
                if line_chars > 0:
                    lines += 1
                    line_total += line_chars
                    if line_first == 0x2022 or line_first == 45:
                        bullets += 1
                    if line_last == 0x2026 or line_dots >= 3:
                        ellipsis_lines += 1
                    for t in range(terminal.shape[0]):
                        if terminal[t] == line_last:
                            terminal_lines += 1
                            break
                    if line_chars <= 30:
                        short_lines += 1
                    key = line_hash | np.uint64(1)
                    slot = (key ^ (key >> np.uint64(32))) & np.uint64(table_size - 1)
                    while stamps[slot] == generation and table[slot] != key:
                        slot = (slot + np.uint64(1)) & np.uint64(table_size - 1)
                    if stamps[slot] == generation:
                        duplicates += 1
                        duplicate_chars += line_chars
                    else:
                        stamps[slot] = generation
                        table[slot] = key
                line_chars = line_pending = line_dots = 0
                line_first = line_last = np.int64(0)
                line_hash = np.uint64(0xCBF29CE484222325)
            elif (bits & 4) != 0:
                if line_chars > 0:
                    line_pending += 1
            else:
                if line_chars == 0:
                    line_first = point
                while line_pending > 0:  # blanks count once they turn out to stand inside the line
                    line_hash = (line_hash ^ np.uint64(32)) * np.uint64(0x100000001B3)
                    line_chars += 1
                    line_pending -= 1
                    line_dots = 0
                line_chars += 1
                line_last = point
                line_dots = line_dots + 1 if point == 46 else 0
                line_hash = (line_hash ^ np.uint64(point)) * np.uint64(0x100000001B3)
            last = point
        stops = 0
        for s in range(stop_hashes.shape[0]):
            stops += (stop_seen >> s) & 1
        out[d, 0], out[d, 1], out[d, 2], out[d, 3] = chars, words, symbol_free, symbol_free_chars
        out[d, 4], out[d, 5], out[d, 6], out[d, 7] = alpha_words, stops, hashes, ellipses
        out[d, 8], out[d, 9], out[d, 10], out[d, 11] = lines, bullets, ellipsis_lines, terminal_lines
        out[d, 12], out[d, 13], out[d, 14], out[d, 15] = short_lines, duplicates, line_total, duplicate_chars

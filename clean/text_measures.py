"""Measures: everything a rule may ask of a text, counted in one pass over the Arrow buffers.

A word is what datatrove's filters count as one, which is a token of spaCy's English tokenizer: punctuation is a word of
its own, don't is do and n't, well-known is three, U.S. and example.com are one. Where a script has no blanks between
words, two Chinese or Japanese characters are one, or four Thai, Lao, Burmese or Khmer letters, counted from where the
run begins; marks go with their letter.

`words` counts all of these; `non_symbol_words` leaves punctuation out. `docs/rules.md` says what each measure counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pyarrow as pa

from corpusmill.clean.character_classes import addend_table, class_table, unspaced_character
from corpusmill.clean.english_exceptions import UNITS, exceptions
from corpusmill.columns import batch_of, text_buffers
from corpusmill.schemas import MEASURES

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Gopher (Rae et al. 2021, appendix A1.1); compared as written, a text that shouts THE has none."""

SHORT_LINE_CHARS = 30
"""FineWeb (Penedo et al. 2024): a line of at most this many characters is short."""

_RATIOS = {
    "mean_word_chars": ("non_symbol_word_chars", "non_symbol_words"),
    "hash_ratio": ("hashes", "words"),
    "ellipsis_ratio": ("ellipses", "words"),
    "bullet_line_ratio": ("bullet_lines", "all_lines"),
    "ellipsis_line_ratio": ("ellipsis_lines", "all_lines"),
    "alpha_word_ratio": ("alpha_words", "words"),
    "terminal_line_ratio": ("terminal_lines", "lines"),
    "short_line_ratio": ("short_lines", "lines"),
    "duplicate_line_ratio": ("duplicate_lines", "lines"),
    "duplicate_line_char_ratio": ("duplicate_line_chars", "chars_but_newlines"),
    "newline_ratio": ("newlines", "words"),
    "duplicate_raw_line_ratio": ("duplicate_raw_lines", "raw_lines"),
    "duplicate_raw_line_char_ratio": ("duplicate_raw_line_chars", "chars"),
    "duplicate_paragraph_ratio": ("duplicate_paragraphs", "paragraphs"),
    "duplicate_paragraph_char_ratio": ("duplicate_paragraph_chars", "chars"),
    **{f"top_{n}_gram_char_ratio": (f"top_{n}_gram_chars", "chars") for n in (2, 3, 4)},
    **{f"duplicate_{n}_gram_char_ratio": (f"duplicate_{n}_gram_chars", "chars") for n in range(5, 11)},
    "mean_line_chars": ("line_chars", "lines"),
    "non_alnum_ratio": ("non_alnum_chars", "chars"),
    "digit_ratio": ("digit_chars", "chars"),
    "upper_ratio": ("upper_chars", "chars"),
    "space_ratio": ("space_chars", "chars"),
    "parenthesis_ratio": ("parenthesis_chars", "chars"),
    "url_ratio": ("url_chars", "chars"),
}


def measure(texts: list[str] | pa.Array) -> pa.StructArray:
    """Measures of each text, a struct of `schemas.MEASURES`; null where the text is null.

    About 100 MB of text a second and core. A ratio with nothing below the line is 0.
    """
    array = batch_of(texts)
    columns = _counted(array)
    columns["chars_but_newlines"] = columns["chars"] - columns["newlines"]
    columns["non_alnum_chars"] = columns["chars"] - columns["alnum_chars"]
    for name, (above, below) in _RATIOS.items():
        divisor = columns[below].astype(np.float64)
        columns[name] = np.divide(columns[above], divisor, out=np.zeros(len(array)), where=divisor > 0)
    fields = [pa.array(np.ascontiguousarray(columns[f.name]), f.type) for f in MEASURES]
    mask = array.is_null()
    if isinstance(mask, pa.ChunkedArray):
        mask = mask.combine_chunks()
    return pa.StructArray.from_arrays(fields, fields=list(MEASURES), mask=mask)


def _counted(array: pa.Array) -> dict[str, np.ndarray]:
    """The counts by name, int32 [texts]."""
    from corpusmill.clean.measure_kernels import COUNTS, count_texts

    offsets, data = (_frozen(a) for a in text_buffers(array))
    counts = np.zeros((len(array), len(COUNTS)), np.int32)
    count_texts(offsets, data, class_table(), addend_table(), _lists(), _stop_word_hashes(), counts)
    return {name: counts[:, i] for i, name in enumerate(COUNTS)}


def _frozen(array: np.ndarray) -> np.ndarray:
    """Read-only, as Arrow's buffers mostly are: a writable one would have the kernel compiled once more."""
    view = array.view()
    view.flags.writeable = False
    return view


@lru_cache(maxsize=1)
def _lists() -> np.ndarray:
    """Exceptions and units as the kernel looks them up, int64: (hash, value) pairs in open addressing, then a filter.

    A value holds the lengths of the words, a byte each, and in the fourth byte into how many words the rules alone
    would cut the chunk, where that is more than one.
    """
    from corpusmill.clean.measure_kernels import FILTER_AT, FILTER_BITS, UNIT_SALT

    lists = np.zeros(FILTER_AT + FILTER_BITS // 64, np.int64)
    for unit in UNITS.split():
        _enter(lists, _hash(unit) ^ int(UNIT_SALT), 1)
    by_rule = _split(" ".join(exceptions()), lists)  # words of one chunk after the other
    values = {}
    for chunk, pieces in exceptions().items():
        cut = [next(by_rule)]
        while len("".join(cut)) < len(chunk):
            cut.append(next(by_rule))
        lengths = sum(len(piece) << (8 * i) for i, piece in enumerate(pieces))
        values[_hash(chunk)] = lengths | (len(cut) if len(cut) > 1 else 0) << 24
    for key, value in values.items():
        _enter(lists, key, value)
    return lists


def _enter(lists: np.ndarray, key: int, value: int) -> None:
    from corpusmill.clean.measure_kernels import FILTER_AT, FILTER_BITS, LIST_SLOTS

    slot = key % LIST_SLOTS
    while lists[2 * slot] not in (0, key):
        slot = (slot + 1) % LIST_SLOTS
    lists[2 * slot : 2 * slot + 2] = key, value
    lists.view(np.uint64)[FILTER_AT + key % FILTER_BITS // 64] |= np.uint64(1 << key % 64)


@lru_cache(maxsize=1)
def _stop_word_hashes() -> np.ndarray:
    return np.array([_hash(word) for word in STOP_WORDS], np.int64)


def _hash(word: str) -> int:
    """As the kernel hashes a word."""
    from corpusmill.clean.measure_kernels import hash_of

    return int(hash_of(np.array([ord(c) for c in word], np.int64)))


def words_of(text: str) -> list[str]:
    """The words that the measures of a text are of. For people and tests; one text at a time."""
    return list(_split(text, _lists()))


def written_words(text: str) -> list[str]:
    """What C4 and RefinedWeb count in a line: stretches between blanks, in scripts without blanks their units."""
    if text.isascii() or not unspaced_character().search(text):
        return text.split()
    return [word for stretch in text.split() for word in _units(stretch)]


def _units(stretch: str) -> list[str]:
    """What stands after a unit, as its punctuation, is no word of its own."""
    if not unspaced_character().search(stretch):
        return [stretch]
    return [word for i, word in enumerate(words_of(stretch)) if i == 0 or unspaced_character().search(word)]


def _split(text: str, lists: np.ndarray) -> Iterator[str]:
    from corpusmill.clean.measure_kernels import FROM, TO, split_text

    found = split_text(_frozen(np.frombuffer(text.encode(), np.uint8)), class_table(), addend_table(), lists)
    return (text[a:b] for a, b in found[:, [FROM, TO]].tolist())

"""What each character is to a shingle: part of a word, a word by itself, nothing at all, or the end of a word.

Texts are compared by their folded characters, so that pages which a reader takes for the same are the same to a hash.
A text is decomposed (Unicode's NFD), and of each character in it:

- marks with a combining class (accents, Arabic vowel signs, Thai tone marks) are left out, as datatrove's
  TextNormConfig leaves out marks: so NFC and NFD, and any two canonically equivalent texts, fold alike. Vowel signs
  of Indic and South-East Asian scripts have no such class, and stay;
- format characters (soft hyphen, joiners, marks of direction) and variation selectors are left out, but for the
  zero-width space, which ends a word;
- letters, numbers and the other marks are what words are made of, letters by their simple case folding;
- everything else ends a word.

Numbers stay as they are. datatrove writes each as 0, to catch pages that differ in dates and prices alone; but tables,
laws, results and catalogues differ in nothing else, and the digest of a text would make them exact duplicates.

Scripts that are written without blanks have no words to find, so each of their characters is one (LONE). These are
Unicode's line-breaking classes for that (UAX #14: ID for the East Asian, SA for the South-East Asian scripts). Hangul
has blanks, and is decomposed into its two or three letters; Tibetan ends its syllables with a mark, which makes
them words.

Categories and decompositions are those of the Unicode version that Python was built with
(`unicodedata.unidata_version`): characters that were given out between two versions fold differently under them.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import numpy as np

TABLE_SIZE = 0x30000
"""Code points with an entry of their own. Those beyond are ideographs up to U+3FFFF, and no words above."""

LENGTH_SHIFT = 32
LONE, SKIP, EXPAND = (1 << i for i in range(36, 39))
"""An entry, uint64: UTF-8 of the folded character (its first byte lowest) in the low 32 bits, its length in bytes from
LENGTH_SHIFT, and flags. 0 ends a word. With EXPAND: where its parts are in the table, and for a length their number."""

LONE_RANGES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x3000, 0x312F),  # ideographic numbers and iteration marks, Hiragana, Katakana, Bopomofo
    (0x31A0, 0x31FF),  # Bopomofo and Katakana extensions
    (0x3400, 0x4DBF),  # Han, extension A
    (0x4E00, 0x9FFF),  # Han
    (0xA000, 0xA48F),  # Yi
    (0xA9E0, 0xA9FF),  # Myanmar, extension B
    (0xAA60, 0xAADF),  # Myanmar, extension A; Tai Viet
    (0xF900, 0xFAFF),  # Han, compatibility (most decompose into the others)
    (0xFF66, 0xFF9F),  # Katakana of half width
    (0x11700, 0x1174F),  # Ahom
    (0x16FE0, 0x18DFF),  # Tangut, Khitan, Nüshu and their signs
    (0x1AFF0, 0x1B2FF),  # Kana and Nüshu beyond the first plane
    (0x20000, 0x3FFFF),  # Han, extensions B and on, given out or not
)
"""Scripts whose letters, numbers and marks are words by themselves: first and last code point."""

_IGNORED = {0x034F, 0x180B, 0x180C, 0x180D, 0x180F, *range(0xFE00, 0xFE10)}
_ZERO_WIDTH_SPACE = 0x200B
_IDEOGRAPHIC_PLANES = 0x20000
_COMPATIBILITY = range(0x2F800, 0x2FA20)


@lru_cache(maxsize=1)
def folding_table() -> np.ndarray:
    """An entry for each code point below TABLE_SIZE, then the parts of those that fold to several; uint64."""
    table, parts = np.zeros(TABLE_SIZE, np.uint64), list[int]()
    for point in (*range(_IDEOGRAPHIC_PLANES), *_COMPATIBILITY):
        found = [_entry(c) for c in folded(chr(point))]
        if len(found) > 1:
            table[point] = EXPAND | len(found) << LENGTH_SHIFT | TABLE_SIZE + len(parts)
            parts += found
        else:
            table[point] = found[0] if found else SKIP
    rest = np.setdiff1d(np.arange(_IDEOGRAPHIC_PLANES, TABLE_SIZE), _COMPATIBILITY).astype(np.uint64)
    table[rest.astype(np.int64)] = _four_bytes(rest) | np.uint64(LONE | 4 << LENGTH_SHIFT)
    return np.concatenate([table, np.array(parts, np.uint64)])


def folded(char: str) -> str:
    """What is left of one character: none, one or several, each a letter, a number, a mark, or what ends a word."""
    return "".join(_folded_case(c) for c in unicodedata.normalize("NFD", char) if not _left_out(c))


def _left_out(char: str) -> bool:
    point = ord(char)
    if unicodedata.combining(char) or point in _IGNORED:
        return True
    return unicodedata.category(char) == "Cf" and point != _ZERO_WIDTH_SPACE


def _folded_case(char: str) -> str:
    return next((c for c in (char.casefold(), char.lower()) if len(c) == 1), char)


def _entry(char: str) -> int:
    point = ord(char)
    if unicodedata.category(char)[0] not in "LMN" and point < _IDEOGRAPHIC_PLANES:
        return 0
    encoded = char.encode("utf-8", "surrogatepass")
    return int.from_bytes(encoded, "little") | len(encoded) << LENGTH_SHIFT | LONE * _lone_points()[point]


@lru_cache(maxsize=1)
def _lone_points() -> bytes:
    found = np.zeros(LONE_RANGES[-1][1] + 1, np.uint8)
    for first, last in LONE_RANGES:
        found[first : last + 1] = 1
    return found.tobytes()


def _four_bytes(points: np.ndarray) -> np.ndarray:
    """UTF-8 of code points beyond the first plane, first byte lowest, uint64."""
    found = np.zeros(len(points), np.uint64)
    for i, (shift, lead) in enumerate(((18, 0xF0), (12, 0x80), (6, 0x80), (0, 0x80))):
        bits = (points >> np.uint64(shift)) & np.uint64(0x3F)
        found |= (bits | np.uint64(lead)) << np.uint64(8 * i)
    return found

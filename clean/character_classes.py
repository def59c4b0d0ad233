"""What each character is to the measuring kernel: a table of class bits, and one of counts to add up.

The classes of word splitting are those of spaCy's English tokenizer (spacy/lang/char_classes.py and punctuation.py,
3.8, MIT licence), which datatrove's filters use: the published thresholds were set on words cut that way. They are not
Unicode's: its letters leave out whole scripts, as Armenian and Georgian, and hold all of the CJK punctuation.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import numpy as np

SPACE, ALPHA, LOWER, UPPER, DIGIT, PREFIX, SUFFIX, QUOTE = (1 << i for i in range(8))
DOT_BEFORE, ICON, CURRENCY, INFIX, BREAK, LETTER, SYMBOL, PUNCT = (1 << i for i in range(8, 16))
STOP, TERMINAL, IDEOGRAPH, UNSPACED, LABEL, DECIMAL, LINE, TELLING = (1 << i for i in range(16, 24))
DOTS, SQUARE, CURLY, MARK = (1 << i for i in range(24, 28))
ALL_PUNCT, WORD, CHUNK = (1 << i for i in range(28, 31))
"""Bits of a character; the last three are of a word: all of it punctuation, not all of it symbols, first of its chunk.

ALPHA, LOWER (with LOWER in both, where a script has no case) and UPPER are spaCy's. BREAK marks whatever may make a
chunk more than one word; TELLING the letters by which the phrases of C4 are found; LABEL the characters of a host name.
"""

TABLE_SIZE = 0x20000
"""Code points above are ideographs up to U+3FFFF and nothing in particular from there on."""
BEYOND_IDEOGRAPH = ALPHA | LOWER | UPPER | LETTER | IDEOGRAPH
BEYOND_OTHER = 0

ALNUM_FIELD, DIGIT_FIELD, UPPER_FIELD, SPACE_FIELD, PAREN_FIELD, HASH_FIELD = (10 * i for i in range(6))
"""Shifts of the 10-bit counters in a character's addend: six counts for one addition a character."""

_PUNCTUATION = "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
_QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉\u2329\u232a⟦⟧"
_CURRENCY = "$£€¥฿₽﷼₴" + "".join(map(chr, range(0x20A0, 0x20C0)))
_HYPHENS = "-–—~"
_DOT_BEFORE = _PUNCTUATION + _QUOTES + "%²-+0123456789(?:)|"
STOP_CHARS = (
    "!.?։؟۔܀܁܂߹।॥၊။።፧፨᙮᜵᜶᠃᠉᥄᥅᪨᪩᪪᪫᭚᭛᭞᭟᰻᰼᱾᱿‼‽⁇⁈⁉⸮⸼꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫﹒﹖﹗！．？𐩖𐩗𑁇𑁈𑂾𑂿𑃀𑃁𑅁𑅂𑅃𑇅𑇆𑇍𑇞𑇟𑈸𑈹𑈻𑈼𑊩𑑋𑑌𑗂"
    "𑗃𑗉𑗊𑗋𑗌𑗍𑗎𑗏𑗐𑗑𑗒𑗓𑗔𑗕𑗖𑗗𑙁𑙂𑜼𑜽𑜾𑩂𑩃𑪛𑪜𑱁𑱂𖩮𖩯𖫵𖬷𖬸𖭄𛲟𝪈｡。"
)
"""A word that is one of these ends a sentence (spaCy's sentencizer)."""
TERMINAL_CHARS = STOP_CHARS + (
    "\u061d\u061e\u0837\u0839\u083d\u083e\u1362\u166e\u1735\u17d4\u17d5\u17d6\u17d9\u17da\u1b7d\u1b7e\u2047\u2e53\u2e54"
    "\u0589\u0700\U00010f55\U00010f56\U00010f57\U00010f58\U00010f59\U00010f86\U00010f87\U00010f88\U00010f89\U000111de"
    "\U00011944\U00011946\U00011ef7\U00011ef8\U00011f43\U00011f44\U00016e98"
)
"""A line that ends in one of these is closed (datatrove's TERMINAL_PUNCTUATION, which FineWeb's rule asks for)."""
SYMBOL_CHARS = (
    "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»"
    + "".join(chr(i) for i in (*range(9), 11, 12, *range(13, 32), *range(127, 160)))
    + TERMINAL_CHARS
)
"""A word of these alone is no word to Gopher's counts (datatrove's PUNCTUATION_SET; the full-width 1 is theirs)."""

# spaCy's ALPHA, as [first, last]; those of scripts that it takes for both lower and upper case
_CASED = """41 5A 61 7A C0 D6 D8 F6 F8 1BF 1C4 2AF 386 386 388 38A 38C 38C 38E 38F 391 3A9 3AC 3AF 3B1 3C9 3CC
3CE 400 401 403 40A 40C 40D 410 451 453 45A 45C 45D 490 491 496 497 4A2 4A3 4AE 4AF 4BA 4BB 4D8 4D9
4E8 4E9 1D00 1D25 1D6B 1D77 1D79 1D9A 1E00 1EFF 2C60 2C7B 2C7E 2C7F A722 A76F A771 A787 A78B A78E
A790 A7B9 A7FA A7FA AB30 AB5A AB60 AB64 FF21 FF3A FF41 FF5A"""
_UNCASED = """591 5F4 620 64A 66E 6D5 6E5 6FF 750 77F 8A0 8BD 900 97F 980 9FF B80 BFF C00 CFF D80 DFF 1100 137F
2E80 2FDF 2FF0 30FF 31C0 31EF 3200 4DBF 4E00 9FFF AC00 D7AF F900 FAFF FB1D FBB1 FBD3 FD3D FD50 FDC7
FDF0 FDFB FE30 FE4F FE70 FEFC 1EE00 1EEBB 1F200 1F2FF"""
_IDEOGRAPHS = "3005 3007 3040 30FF 3400 4DBF 4E00 9FFF F900 FAFF"
_UNSPACED = "E00 EFF 1000 109F 1780 17FF"
"""Thai, Lao, Burmese and Khmer write no blanks between words."""


@lru_cache(maxsize=1)
def class_table() -> np.ndarray:
    """Every code point below TABLE_SIZE with its class bits above it, int64: bits << 32 | point."""
    table = np.zeros(TABLE_SIZE, np.int64)
    for point in range(TABLE_SIZE):
        table[point] = _general_bits(chr(point))
    _mark_ranges(table)
    for chars, bit in (
        (_PUNCTUATION + _QUOTES + _CURRENCY + "%=§—–", PREFIX),
        (_PUNCTUATION + _QUOTES + "—–", SUFFIX),
        (_QUOTES, QUOTE),
        (_DOT_BEFORE, DOT_BEFORE),
        (_CURRENCY, CURRENCY),
        (".…+-*^,:<>=/" + _HYPHENS, INFIX),
        ("0123456789", DIGIT),
        (STOP_CHARS, STOP),
        (TERMINAL_CHARS, TERMINAL),
        (SYMBOL_CHARS, SYMBOL),
        ("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029", LINE),
        ("jJkKvV\u212a", TELLING),
        (".…", DOTS),
        ("[", SQUARE),
        ("{", CURLY),
    ):
        table[[ord(c) for c in chars if ord(c) < TABLE_SIZE]] |= bit
    table[(table & LOWER) > 0] |= DOT_BEFORE
    icons = (table & ICON) > 0
    table[icons] |= PREFIX | SUFFIX | INFIX
    table[(table & (PREFIX | SUFFIX | INFIX | CURRENCY)) > 0] |= BREAK
    return table << 32 | np.arange(TABLE_SIZE)


def _general_bits(char: str) -> int:
    kind = unicodedata.category(char)
    bits = SPACE * char.isspace() | LETTER * char.isalpha() | PUNCT * (kind[0] == "P") | MARK * (kind[0] == "M")
    bits |= ICON * (kind == "So")
    latin = "0" <= char <= "9" or "A" <= char <= "Z" or "a" <= char <= "z"
    if latin or "\u00a1" <= char <= "\uffff":
        bits |= LABEL
    return bits | LABEL * (char in "_-") | DECIMAL * char.isdecimal()


def _mark_ranges(table: np.ndarray) -> None:
    for first, last in _ranges(_CASED):
        for point in range(first, last + 1):
            kind = unicodedata.category(chr(point))
            # two that Unicode moved or never gave out: spaCy has them by their neighbours
            table[point] |= ALPHA | LOWER * (kind == "Ll" or point == 0x294) | UPPER * (kind == "Lu" or point == 0x3A2)
    for first, last in _ranges(_UNCASED):
        table[first : last + 1] |= ALPHA | LOWER | UPPER
    for bit, ranges in ((IDEOGRAPH, _IDEOGRAPHS), (UNSPACED, _UNSPACED)):
        for first, last in _ranges(ranges):
            span = table[first : last + 1]
            span[(span & (PUNCT | SPACE)) == 0] |= bit


@lru_cache(maxsize=1)
def unspaced_character() -> re.Pattern[str]:
    """One character of a script that goes without blanks between words."""
    points = np.flatnonzero((class_table() >> 32) & (IDEOGRAPH | UNSPACED))
    runs = np.split(points, np.flatnonzero(np.diff(points) > 1) + 1)
    return re.compile("[" + "".join(f"{chr(r[0])}-{chr(r[-1])}" for r in runs) + "\U00020000-\U0003ffff]")


@lru_cache(maxsize=1)
def addend_table() -> np.ndarray:
    """What a character adds to the six counters, int64."""
    table = np.zeros(TABLE_SIZE, np.int64)
    for point in range(TABLE_SIZE):
        char = chr(point)
        table[point] = (
            char.isalnum() << ALNUM_FIELD
            | char.isdecimal() << DIGIT_FIELD
            | char.isupper() << UPPER_FIELD
            | char.isspace() << SPACE_FIELD
            | (char in "()[]{}") << PAREN_FIELD
            | (char == "#") << HASH_FIELD
        )
    return table


def _ranges(text: str) -> list[tuple[int, int]]:
    points = [int(x, 16) for x in text.split()]
    return list(zip(points[::2], points[1::2], strict=True))

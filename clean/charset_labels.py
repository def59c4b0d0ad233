"""Labels of the WHATWG Encoding standard (section 4.2), and what decodes each of its encodings here."""

from __future__ import annotations

import codecs
from collections.abc import Callable

_TABLE = {
    "utf-8": "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8",
    "ibm866": "866 cp866 csibm866 ibm866",
    "iso-8859-2": "csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2",
    "iso-8859-3": "csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3",
    "iso-8859-4": "csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4",
    "iso-8859-5": "csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 iso_8859-5 iso_8859-5:1988",
    "iso-8859-6": "arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6 iso-8859-6-e "
    "iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987",
    "iso-8859-7": "csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 iso8859-7 iso88597 iso_8859-7 "
    "iso_8859-7:1987 sun_eu_greek",
    "iso-8859-8": "csiso88598e csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-ir-138 iso8859-8 iso88598 "
    "iso_8859-8 iso_8859-8:1988 visual",
    "iso-8859-8-i": "csiso88598i iso-8859-8-i logical",
    "iso-8859-10": "csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6",
    "iso-8859-13": "iso-8859-13 iso8859-13 iso885913",
    "iso-8859-14": "iso-8859-14 iso8859-14 iso885914",
    "iso-8859-15": "csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9",
    "iso-8859-16": "iso-8859-16",
    "koi8-r": "cskoi8r koi koi8 koi8-r koi8_r",
    "koi8-u": "koi8-ru koi8-u",
    "macintosh": "csmacintosh mac macintosh x-mac-roman",
    "windows-874": "dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874",
    "windows-1250": "cp1250 windows-1250 x-cp1250",
    "windows-1251": "cp1251 windows-1251 x-cp1251",
    "windows-1252": "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591 "
    "iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252",
    "windows-1253": "cp1253 windows-1253 x-cp1253",
    "windows-1254": "cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5 latin5 "
    "windows-1254 x-cp1254",
    "windows-1255": "cp1255 windows-1255 x-cp1255",
    "windows-1256": "cp1256 windows-1256 x-cp1256",
    "windows-1257": "cp1257 windows-1257 x-cp1257",
    "windows-1258": "cp1258 windows-1258 x-cp1258",
    "x-mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "gbk": "chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk",
    "gb18030": "gb18030",
    "big5": "big5 big5-hkscs cn-big5 csbig5 x-x-big5",
    "euc-jp": "cseucpkdfmtjapanese euc-jp x-euc-jp",
    "iso-2022-jp": "csiso2022jp iso-2022-jp",
    "shift_jis": "csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis",
    "euc-kr": "cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601 "
    "windows-949",
    "replacement": "csiso2022kr hz-gb-2312 iso-2022-cn iso-2022-cn-ext iso-2022-kr replacement",
    "utf-16be": "unicodefffe utf-16be",
    "utf-16le": "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le",
    "x-user-defined": "x-user-defined",
}
LABELS = {label: name for name, labels in _TABLE.items() for label in labels.split()}
"""All labels of the standard, in lower case, to the name of their encoding."""

_CODECS = {
    "iso-8859-8-i": "iso8859-8",  # its letters are in reading order; the bytes mean the same
    "macintosh": "mac-roman", "x-mac-cyrillic": "mac-cyrillic", "windows-874": "cp874",
    "shift_jis": "cp932", "euc-jp": "euc_jp", "iso-2022-jp": "iso2022_jp_ext", "euc-kr": "cp949",
    "gbk": "gb18030", "big5": "big5hkscs", "utf-16be": "utf-16-be", "utf-16le": "utf-16-le",
}  # fmt: skip
"""Python's codec where the standard means a larger one than Python by the same name, or Python has another name."""
_MULTI_BYTE = {
    "utf-8", "utf-16le", "utf-16be", "gbk", "gb18030", "big5", "euc-jp", "iso-2022-jp", "shift_jis", "euc-kr",
    "replacement",
}  # fmt: skip
_OTHER_LETTERS = {
    "koi8-u": {0xAE: "ў", 0xBE: "Ў"},  # the standard's koi8-u has the Belarusian letters of KOI8-RU
    "windows-1255": {0xCA: "\u05ba"},
}
_PATCHED = "corpusmill.patched"
"""Name of the error handler for what the standard's Asian encodings have, and Python's codecs do not."""


def encoding_of(label: str | None) -> str | None:
    """The standard's name, in lower case, of the encoding that a label means, or None where there is no such label."""
    return LABELS.get(label.strip(" \t\n\f\r").lower()) if label else None


def decoder(encoding: str) -> Callable[[bytes], str]:
    """What makes text of bytes; what the encoding does not have becomes U+FFFD."""
    return _DECODERS[encoding]


def _make(name: str) -> Callable[[bytes], str]:
    if name == "replacement":
        return lambda body: "\ufffd" if body else ""
    if name in _MULTI_BYTE:
        codec = _CODECS.get(name, name)
        errors = _PATCHED if name in ("euc-jp", "iso-2022-jp", "gbk", "gb18030") else "replace"
        return lambda body: body.decode(codec, errors)
    table = _single_byte(name)
    return lambda body: codecs.charmap_decode(body, "replace", table)[0]


def _single_byte(name: str) -> str:
    """256 characters; U+FFFE stands for no character, as `codecs.charmap_decode` has it."""
    if name == "x-user-defined":
        return "".join(map(chr, [*range(0x80), *range(0xF780, 0xF800)]))
    table = [bytes([i]).decode(_CODECS.get(name, name), "replace") for i in range(256)]
    for i in range(0x80, 0xA0):
        if table[i] == "\ufffd":
            table[i] = chr(i)  # the standard: control characters, where Python has nothing
    for i, letter in _OTHER_LETTERS.get(name, {}).items():
        table[i] = letter
    return "".join(table).replace("\ufffd", "\ufffe")


def _patch(error: UnicodeError) -> tuple[str, int]:
    """The euro sign at 0x80 of gbk, and the NEC and IBM rows of jis0208, which Python's EUC-JP lacks."""
    assert isinstance(error, UnicodeDecodeError)
    start, lead = error.start, error.object[error.start]
    if error.encoding == "gb18030":
        return ("€" if lead == 0x80 else "\ufffd"), (start + 1 if lead == 0x80 else error.end)
    high = 0x80 if error.encoding == "euc_jp" else 0
    pair = error.object[start : start + 2]
    if len(pair) == 2 and all(0x21 <= (b ^ high) <= 0x7E for b in pair):
        row, cell = (pair[0] ^ high) - 0x21, (pair[1] ^ high) - 0x21
        letter = _cp932(row, cell)
        if letter:
            return letter, start + 2
    return "\ufffd", error.end


def _cp932(row: int, cell: int) -> str:
    """The character in that row and cell (from 0) of jis0208, by way of Shift_JIS; empty if there is none."""
    lead = row // 2 + (0x81 if row < 62 else 0xC1)
    trail = cell + (0x9F if row % 2 else 0x40 + (cell >= 0x3F))
    return bytes([lead, trail]).decode("cp932", "ignore")


codecs.register_error(_PATCHED, _patch)
_DECODERS = {name: _make(name) for name in _TABLE}

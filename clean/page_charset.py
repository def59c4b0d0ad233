"""Bytes of a page to text, in the order of the WHATWG Encoding and HTML standards: byte order mark, HTTP header,
the page's own declaration, then detection; with two exceptions, each measured (docs/decisions/0010-charset.md).

- Bytes that are UTF-8, with a character beyond ASCII among them (some more where an Asian charset is declared), are
  UTF-8, whatever a header or a meta tag says.
- Bytes that are declared UTF-8 and are not go to detection. Browsers show both kinds broken; we ask the bytes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

from resiliparse.parse.encoding import detect_encoding

from corpusmill.clean.charset_labels import decoder, encoding_of
from corpusmill.clean.prescan import prescan

Decided = Literal["bom", "http", "meta", "bytes", "detected"]
"""By what: a mark, the header, the page, that it is valid UTF-8 against or without a declaration, or statistics."""

_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16le"), (b"\xfe\xff", "utf-16be"))
_DETECT_BYTES = 65_536
_LONGEST_CUT = 3
"""Bytes of a UTF-8 character that lacks its end, at most."""
_MULTI_BYTE = frozenset({"gbk", "gb18030", "big5", "euc-jp", "euc-kr", "shift_jis"})
_NO_ACCIDENT = 6
"""Bytes beyond one a character. A common character of gbk is valid UTF-8 by chance in 18 of 100 cases; six of them,
with none beside them that is not, in 1 of 28,000."""


class Decoded(NamedTuple):
    text: str
    charset: str
    """Name in the Encoding standard, in lower case."""
    decided: Decided


def decode(body: bytes, http_charset: str | None = None) -> tuple[str, str]:
    """(text, charset). Bytes that the charset does not have become U+FFFD."""
    text, charset, _ = decide(body, http_charset)
    return text, charset


def decide(body: bytes, http_charset: str | None = None) -> Decoded:
    """As `decode`, and by what the charset was decided. A UTF-8 page is read once, any other page at most twice."""
    for mark, name in _MARKS:
        if body.startswith(mark):
            return Decoded(decoder(name)(body[len(mark) :]), name, "bom")
    by: Decided = "http"
    declared = _header(http_charset)
    if declared is None:
        by, declared = "meta", prescan(body)
    if declared is not None and not _could_be_utf8(declared):
        return Decoded(decoder(declared)(body), declared, by)
    text = _utf8(body, clipped=declared in (None, "utf-8"))
    if text is None:
        if declared is not None and declared != "utf-8":
            return Decoded(decoder(declared)(body), declared, by)
        detected = _detect(body)
        return Decoded(decoder(detected)(body), detected, "detected")
    if declared == "utf-8" or (declared is not None and text.isascii()):
        return Decoded(text, declared, by)
    if declared in _MULTI_BYTE and len(body) - len(text) < _NO_ACCIDENT:
        return Decoded(decoder(declared)(body), declared, by)
    return Decoded(text, "utf-8", "bytes")


@lru_cache(maxsize=1024)
def _header(label: str | None) -> str | None:
    # quotes and separators are no part of a label, but servers write them
    return encoding_of(label.strip(" \t\n\f\r\"';,")) if label else None


def _could_be_utf8(declared: str) -> bool:
    """In these, ASCII bytes stand for other characters, so being valid UTF-8 says nothing."""
    return declared not in ("utf-16le", "utf-16be", "iso-2022-jp", "replacement")


def _utf8(body: bytes, *, clipped: bool) -> str | None:
    """The text, if this is UTF-8; the part of a character at the end of a page that may be clipped becomes U+FFFD."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as e:
        if not clipped or e.start < len(body) - _LONGEST_CUT or e.reason != "unexpected end of data":
            return None
        return body.decode("utf-8", "replace")


def _detect(body: bytes) -> str:
    found = encoding_of(detect_encoding(body, max_len=_DETECT_BYTES, html5_compatible=False, from_html_meta=False))
    return found if found is not None and found != "replacement" else "windows-1252"

"""Bytes of a page to text, in the order of the WHATWG Encoding and HTML standards: byte order mark, HTTP header,
meta tag, then detection."""

from __future__ import annotations

import codecs
import re

from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_PRESCAN_BYTES = 1024  # HTML standard, section 13.2.3.2
_META = re.compile(rb"<meta[^>]{0,400}?charset\s*=\s*[\"']?\s*([a-zA-Z0-9_:.\-]{2,40})", re.IGNORECASE)
_DETECT_BYTES = 65_536
_AS_ON_THE_WEB = {
    "shift_jis": "cp932", "euc_kr": "cp949", "gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs",
    "tis-620": "cp874", "iso8859-11": "cp874",
}  # fmt: skip
"""Python's codec to the larger one that the Encoding standard means by the same label."""


def decode(body: bytes, http_charset: str | None = None) -> tuple[str, str]:
    """(text, charset). Bytes that the charset does not have become U+FFFD; the order above decides which it is."""
    for mark, name in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace"), name
    declared = _label(http_charset) or _meta(body)
    if declared is not None and not (declared == "utf-8" and not _is_utf8(body)):
        return body.decode(declared, "replace"), declared
    if _is_utf8(body):
        return body.decode("utf-8", "replace"), "utf-8"
    # Pages that say UTF-8 and are not are common; browsers show them broken, we ask the bytes.
    detected = _as_on_the_web(detect_encoding(body[:_DETECT_BYTES], from_html_meta=False) or "utf-8")
    return bytes_to_str(body, detected), detected


def _label(label: str | None) -> str | None:
    """A codec for a charset label as servers write it, or None if the standard does not know it."""
    if not label:
        return None
    mapped = map_encoding_to_html5(label.strip(" \"';,").lower(), fallback_utf8=False)
    try:
        return _as_on_the_web(mapped) if mapped else None
    except LookupError:
        return None


def _as_on_the_web(label: str) -> str:
    name = codecs.lookup(label).name
    return _AS_ON_THE_WEB.get(name, name)


def _meta(body: bytes) -> str | None:
    found = _META.search(body[:_PRESCAN_BYTES])
    name = _label(found[1].decode("ascii")) if found else None
    # The standard: a page whose meta tag can be read as ASCII is not UTF-16.
    return "utf-8" if name is not None and name.startswith("utf-16") else name


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as e:
        return e.start >= len(body) - 3  # a character cut by the end of a clipped page
    return True

"""What a page says of its charset in its first bytes: the prescan of the HTML standard (13.2.3.2), step by step."""

from __future__ import annotations

import re

from corpusmill.clean.charset_labels import encoding_of

PRESCAN_BYTES = 1024
_SPACE = rb"\t\n\f\r "
_MARKUP = re.compile(rb"<(?:!--|(meta)(?=[" + _SPACE + rb"/])|(/?[a-z])|[!/?])", re.IGNORECASE)
_NAME_ENDS = re.compile(rb"[" + _SPACE + rb">]")
_ATTRIBUTE = re.compile(
    rb"[" + _SPACE + rb"/]*+"
    rb"(?:(>)|([^" + _SPACE + rb"/>][^" + _SPACE + rb"/>=]*+)"
    rb"(?:[" + _SPACE + rb"]*+=[" + _SPACE + rb"]*+"
    rb"(?:\"([^\"]*+)\"|'([^']*+)'|([\"'])|(?=>)|([^" + _SPACE + rb">]*+)))?+)"
)  # fmt: skip
"""Groups: end of the tag, name, value in double quotes, in single quotes, a quote that never closes, bare value."""
_CHARSET = re.compile(
    rb"charset[" + _SPACE + rb"]*=[" + _SPACE + rb"]*(?:\"([^\"]*)\"|'([^']*)'|([\"'])|([^;" + _SPACE + rb"]*))"
)
_XML = re.compile(
    rb"<\?xml(?:(?!encoding)[^>])*+encoding[\x00-\x20]*+=[\x00-\x20]*+(?:\"([^\">\x00-\x20]*)\"|'([^'>\x00-\x20]*)')[^>]*>"
)
_UTF16_XML = {b"<\0?\0x\0": "utf-16le", b"\0<\0?\0x": "utf-16be"}


def prescan(body: bytes) -> str | None:
    """The encoding that the page declares in its first 1024 bytes, or None. Comments do not count."""
    head = body[:PRESCAN_BYTES]
    if head[:6] in _UTF16_XML:
        return _UTF16_XML[head[:6]]
    # most pages end here or a little further on: there is nothing to be found without these words
    if b"charset" in head.lower():
        found = _from_meta(head)
        if found is not None:
            return found
    return _from_xml(head) if head.startswith(b"<?xml") else None


def _from_meta(head: bytes) -> str | None:
    position = 0
    while markup := _MARKUP.search(head, position):
        position = markup.start()
        if markup[1]:
            attributes, position = _attributes(head, markup.end())
            if position < 0:
                return None
            found = _declared(attributes)
            if found is not None:
                return found
        elif markup[2]:
            name_end = _NAME_ENDS.search(head, markup.end())
            if name_end is None:
                return None
            _, position = _attributes(head, name_end.start())
        else:
            # the two dashes of "<!--" may be those of "-->"
            end = head.find(b"-->", position + 2) + 2 if markup[0] == b"<!--" else head.find(b">", position)
            position = end + 1 if end >= 2 else -1
        if position < 0:
            return None
    return None


def _attributes(head: bytes, position: int) -> tuple[dict[bytes, bytes], int]:
    """(attributes of a tag, where it ends); a tag that does not end ends the prescan: -1."""
    found: dict[bytes, bytes] = {}
    while True:
        attribute = _ATTRIBUTE.match(head, position)
        if attribute is None or attribute[5]:
            return found, -1
        position = attribute.end()
        if attribute[1]:
            return found, position
        if position >= len(head):
            return found, -1  # cut, maybe in the middle of a value
        name, value = attribute[2].lower(), attribute[3] or attribute[4] or attribute[6] or b""
        found.setdefault(name, value.lower())


def _declared(attributes: dict[bytes, bytes]) -> str | None:
    encoding, needs_pragma = None, False
    for name, value in attributes.items():
        if name == b"charset":
            # a label that means nothing is none, whatever `content` says
            return _as_ascii(encoding_of(value.decode("latin-1")))
        if name == b"content" and encoding is None:
            encoding = _from_content(value)
            needs_pragma = True
    if needs_pragma and attributes.get(b"http-equiv") != b"content-type":
        return None
    return _as_ascii(encoding)


def _from_content(value: bytes) -> str | None:
    found = _CHARSET.search(value)
    if found is None or found[3]:
        return None
    return encoding_of((found[1] or found[2] or found[4] or b"").decode("latin-1"))


def _from_xml(head: bytes) -> str | None:
    found = _XML.match(head)
    return _as_ascii(encoding_of((found[1] or found[2] or b"").decode("latin-1"))) if found else None


def _as_ascii(encoding: str | None) -> str | None:
    """The standard: a declaration that can be read as ASCII does not stand in UTF-16."""
    if encoding in ("utf-16le", "utf-16be"):
        return "utf-8"
    return "windows-1252" if encoding == "x-user-defined" else encoding

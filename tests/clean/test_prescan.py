"""What a page declares in its first bytes: the prescan of the HTML standard, against the standard's own steps."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpusmill.clean.charset_labels import encoding_of
from corpusmill.clean.prescan import PRESCAN_BYTES, prescan

TURKISH = "windows-1254"


@pytest.mark.parametrize(
    ("page", "encoding"),
    [
        ("<!DOCTYPE HTML>\n<meta charset='ISO-8859-9'>", TURKISH),
        ("<meta charset=ISO-8859-9>", TURKISH),
        ("<meta\ncharset=ISO-8859-9>", TURKISH),
        ("<META/CHARSET=ISO-8859-9>", TURKISH),
        ("<metacharset=ISO-8859-9>", None),
        ('<meta charset="\n ISO-8859-9\n">', TURKISH),
        ("<meta charset=\nISO-8859-9\n>", TURKISH),
        # both parts of the older form are needed, in either order
        ('<meta http-equiv="Content-Type" content="text/html; charset=ISO-8859-9">', TURKISH),
        ('<meta content="text/html; charset=ISO-8859-9" http-equiv="Content-Type">', TURKISH),
        ('<meta content="text/html; CHARSET = &#34;" http-equiv="Content-Type"><meta charset=l5>', TURKISH),
        ("<meta http-equiv=Content-Type content='x; charset=\"l5\"; y'>", TURKISH),
        ("<meta http-equiv=Content-Type content='charset charset=l5'>", TURKISH),
        ("<meta http-equiv=Content-Type content='charset=\"l5'>", None),
        ('<meta http-equiv="Content-Style-Type" content="text/html; charset=ISO-8859-9">', None),
        ('<meta content="text/html; charset=ISO-8859-9">', None),
        ('<meta name="description" content="charset=l5"><meta charset="windows-1251">', "windows-1251"),
        # the first one that means something counts
        ('<meta charset="nonsense"><meta charset="l5">', TURKISH),
        ('<meta charset="ISO-8859-1"><meta charset="ISO-8859-9">', "windows-1252"),
        ('<meta charset="l5" charset="l2">', TURKISH),
        # what is no tag does not count
        ("<!-- <meta charset=l2> --><meta charset=l5>", TURKISH),
        ("<!--> <meta charset=l5> -->", TURKISH),
        ("<!-- > <meta charset=l5>", None),
        ('<p title="<meta charset=l2>"><meta charset=l5>', TURKISH),
        ('<p title="x><meta charset=l5>', None),
        ("<?php <meta charset=l2> ?><meta charset=l5>", TURKISH),
        ("<? <meta charset=l2><meta charset=l5>", TURKISH),
        ('<meta " charset=l5>', TURKISH),
        ('<meta test=" charset=l5><p>"</p>', None),
        ('<meta test=x" charset=l5>', TURKISH),
        ('<meta charset="l5>\n<p>"</p>', None),
        ('<meta charset=l5">', None),
        ("<meta charset=l5", None),
        # the standard: no UTF-16 where ASCII can be read, and x-user-defined means something else
        ("<meta charset=utf-16>", "utf-8"),
        ("<meta charset=unicodeFFFE>", "utf-8"),
        ("<meta charset=x-user-defined>", "windows-1252"),
        # an XML declaration stands behind any meta tag
        ('<?xml version="1.0" encoding="iso-8859-9"?><html>', TURKISH),
        ("<?xml version='1.0' encoding = 'utf-16' ?>", "utf-8"),
        ('<?xml version="1.0" encoding="l2"?><meta charset=l5>', TURKISH),
        ('\n<?xml version="1.0" encoding="l2"?>', None),
        ("", None),
        ("charset=l5", None),
    ],
)
def test_a_page_declares_what_the_standard_reads(page: str, encoding: str | None):
    assert prescan(page.encode()) == encoding
    assert _slow(page.encode()) == encoding


def test_utf_16_is_known_by_its_xml_declaration():
    assert prescan('<?xml version="1.0"?>'.encode("utf-16-le")) == "utf-16le"
    assert prescan('<?xml version="1.0"?>'.encode("utf-16-be")) == "utf-16be"


@pytest.mark.parametrize(("before", "encoding"), [(PRESCAN_BYTES - 17, TURKISH), (PRESCAN_BYTES - 16, None)])
def test_a_declaration_must_end_within_the_first_1024_bytes(before: int, encoding: str | None):
    assert prescan(b" " * before + b"<meta charset=l5>") == encoding


PIECES = [
    "<meta", "<META ", "<p", "</a", "<!--", "-->", "--", ">", "/>", "<!doctype", "<?xml ", "<", " ", "\n", "/", "=",
    '"', "'", "charset", "content=", "charset=l5", "charset='l2'", 'content="charset=l5"', "http-equiv=content-type",
    "http-equiv", "utf-16", "x", ";", "encoding='l2'", "é",
]  # fmt: skip


@settings(max_examples=1500, deadline=None)
@example(["<meta", "/", "charset=l5", ">"])
@given(st.lists(st.sampled_from(PIECES), max_size=14))
def test_any_markup_is_read_as_by_the_steps_of_the_standard(pieces: list[str]):
    page = "".join(pieces).encode()
    assert prescan(page) == _slow(page)


class _CutError(Exception):
    """The bytes ran out."""


def _slow(page: bytes) -> str | None:
    """The standard, word by word, a byte at a time."""
    try:
        found = _scan(page[:PRESCAN_BYTES])
    except _CutError:
        found = None
    return found or _xml(page[:PRESCAN_BYTES])


def _at(page: bytes, i: int) -> bytes:
    if i >= len(page):
        raise _CutError
    return page[i : i + 1].lower()


def _scan(page: bytes) -> str | None:
    i = 0
    while i < len(page):
        rest = page[i:].lower()
        if rest.startswith(b"<!--"):
            end = page.find(b"-->", i + 2)
            if end < 0:
                raise _CutError
            i = end + 2
        elif rest[:5] == b"<meta" and rest[5:6] in (b"\t", b"\n", b"\f", b"\r", b" ", b"/"):
            i += 5
            seen: dict[bytes, bytes] = {}
            got_pragma, need_pragma, charset = False, None, ""
            while True:
                name, value, i = _attribute(page, i)
                if not name:
                    break
                if name in seen:
                    continue
                seen[name] = value
                if name == b"http-equiv" and value == b"content-type":
                    got_pragma = True
                elif name == b"content" and charset == "":
                    found = _content(value)
                    if found:
                        charset, need_pragma = found, True
                elif name == b"charset":
                    charset, need_pragma = encoding_of(value.decode("latin-1")) or "failure", False
            if need_pragma is not None and not (need_pragma and not got_pragma) and charset not in ("", "failure"):
                return {"utf-16le": "utf-8", "utf-16be": "utf-8", "x-user-defined": "windows-1252"}.get(
                    charset, charset
                )
        elif rest[:1] == b"<" and rest[1 + rest.startswith(b"</") :][:1].isalpha():
            while _at(page, i) not in (b"\t", b"\n", b"\f", b"\r", b" ", b">"):
                i += 1
            while True:
                name, _, i = _attribute(page, i)
                if not name:
                    break
        elif rest[:2] in (b"<!", b"</", b"<?"):
            while _at(page, i) != b">":
                i += 1
        i += 1
    return None


def _attribute(page: bytes, i: int) -> tuple[bytes, bytes, int]:
    """(name, value, position after it); no name at the end of the tag, where the position is that of ">"."""
    space = (b"\t", b"\n", b"\f", b"\r", b" ")
    while _at(page, i) in (*space, b"/"):
        i += 1
    if _at(page, i) == b">":
        return b"", b"", i
    name, value = b"", b""
    while not (_at(page, i) == b"=" and name):
        if _at(page, i) in space:
            while _at(page, i) in space:
                i += 1
            if _at(page, i) != b"=":
                return name, b"", i
            break
        if _at(page, i) in (b"/", b">"):
            return name, b"", i
        name += _at(page, i)
        i += 1
    i += 1
    while _at(page, i) in space:
        i += 1
    quote = _at(page, i)
    if quote in (b'"', b"'"):
        i += 1
        while _at(page, i) != quote:
            value += _at(page, i)
            i += 1
        _at(page, i + 1)  # the next step reads on
        return name, value, i + 1
    while _at(page, i) not in (*space, b">"):
        value += _at(page, i)
        i += 1
    return name, value, i


def _content(value: bytes) -> str | None:
    i = 0
    while True:
        i = value.find(b"charset", i)
        if i < 0:
            return None
        i += 7
        rest = value[i:].lstrip(b"\t\n\f\r ")
        if rest[:1] == b"=":
            break
    rest = rest[1:].lstrip(b"\t\n\f\r ")
    if rest[:1] in (b'"', b"'"):
        inner, closed, _ = rest[1:].partition(rest[:1])
        return encoding_of(inner.decode("latin-1")) if closed else None
    end = next((k for k in range(len(rest)) if rest[k : k + 1] in b";\t\n\f\r "), len(rest))
    return encoding_of(rest[:end].decode("latin-1"))


def _xml(page: bytes) -> str | None:
    """ "Getting an XML encoding"."""
    if not page.startswith(b"<?xml") or b">" not in page:
        return None
    declaration = page[: page.find(b">")]
    at = declaration.find(b"encoding")
    if at < 0:
        return None
    rest = declaration[at + 8 :].lstrip(bytes(range(0x21)))
    if rest[:1] != b"=":
        return None
    rest = rest[1:].lstrip(bytes(range(0x21)))
    if rest[:1] not in (b'"', b"'"):
        return None
    inner, closed, _ = rest[1:].partition(rest[:1])
    if not closed or any(b <= 0x20 for b in inner):
        return None
    found = encoding_of(inner.decode("latin-1"))
    return "utf-8" if found in ("utf-16le", "utf-16be") else found

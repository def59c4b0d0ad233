"""The charset of a page: byte order mark, header, meta tag, detection, in that order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.clean.page_charset import decode

GERMAN = "Die Straße führt über die Brücke zum Müller, der größten Mühle am Fluß."
RUSSIAN = "Мельница стоит у реки, и мельник каждый день мелет зерно для всей деревни."
JAPANESE = "水車小屋は川のそばにあり、粉屋は毎日村のために小麦を挽いています。"


def meta(label: str) -> str:
    return f'<html><head><meta charset="{label}"></head>'


def equiv(label: str) -> str:
    return f'<html><head><META http-equiv="Content-Type" content="text/html; charset={label}"></head>'


@pytest.mark.parametrize(
    ("body", "header", "text", "charset"),
    [
        # a mark wins over everything
        (b"\xef\xbb\xbf" + GERMAN.encode(), "iso-8859-1", GERMAN, "utf-8"),
        (b"\xff\xfe" + GERMAN.encode("utf-16-le"), "utf-8", GERMAN, "utf-16-le"),
        (b"\xfe\xff" + GERMAN.encode("utf-16-be"), None, GERMAN, "utf-16-be"),
        # then the header, whatever the page says
        ((meta("utf-8") + RUSSIAN).encode("cp1251"), "windows-1251", meta("utf-8") + RUSSIAN, "cp1251"),
        (JAPANESE.encode("shift_jis"), "Shift_JIS", JAPANESE, "cp932"),
        (GERMAN.encode("utf-16-le"), "utf-16le", GERMAN, "utf-16-le"),
        # labels as servers write them
        (GERMAN.encode("cp1252"), '"ISO-8859-1"', GERMAN, "cp1252"),
        (GERMAN.encode("cp1252"), " 'latin1'; ", GERMAN, "cp1252"),
        (GERMAN.encode("cp1252"), "US-ASCII", GERMAN, "cp1252"),
        (GERMAN.encode(), "UTF8", GERMAN, "utf-8"),
        # labels stand for the wider charset that browsers take them for (WHATWG Encoding, section 4.2)
        ("①㈱ 株式会社".encode("cp932"), "Shift_JIS", "①㈱ 株式会社", "cp932"),
        ("똠방각하".encode("cp949"), "euc-kr", "똠방각하", "cp949"),
        ("价格€5，㐀".encode("gb18030"), "gb2312", "价格€5，㐀", "gb18030"),
        ("香港粵語啫".encode("big5hkscs"), "big5", "香港粵語啫", "big5hkscs"),
        ("ก…".encode("cp874"), "tis-620", "ก…", "cp874"),
        # an unknown label is none
        ((meta("windows-1251") + RUSSIAN).encode("cp1251"), "x-nonsense", meta("windows-1251") + RUSSIAN, "cp1251"),
        # then the meta tag, both kinds
        ((meta("iso-8859-1") + GERMAN).encode("cp1252"), None, meta("iso-8859-1") + GERMAN, "cp1252"),
        ((equiv("windows-1251") + RUSSIAN).encode("cp1251"), None, equiv("windows-1251") + RUSSIAN, "cp1251"),
        ((equiv("EUC-JP") + JAPANESE).encode("euc_jp"), None, equiv("EUC-JP") + JAPANESE, "euc_jp"),
        # a meta tag that can be read as ASCII does not stand in UTF-16
        ((meta("utf-16") + GERMAN).encode(), None, meta("utf-16") + GERMAN, "utf-8"),
        # nothing said: UTF-8 where it is, else what the bytes look like
        (GERMAN.encode(), None, GERMAN, "utf-8"),
        (b"", None, "", "utf-8"),
        (b"plain", None, "plain", "utf-8"),
        ((RUSSIAN * 5).encode("cp1251"), None, RUSSIAN * 5, "cp1251"),
        # UTF-8 that is none: the bytes are asked
        ((RUSSIAN * 5).encode("cp1251"), "utf-8", RUSSIAN * 5, "cp1251"),
        ((meta("utf-8") + RUSSIAN * 5).encode("cp1251"), None, meta("utf-8") + RUSSIAN * 5, "cp1251"),
        # UTF-8 whose last character was cut stays UTF-8
        ((GERMAN + "ü").encode()[:-1], "utf-8", GERMAN + "\ufffd", "utf-8"),
    ],
    ids=lambda value: None if value is None or (isinstance(value, str) and value.isascii()) else "",
)
def test_a_page_is_decoded_as_declared_or_else_as_it_looks(body: bytes, header: str | None, text: str, charset: str):
    found, name = decode(body, header)
    assert found == text
    assert _same_codec(name, charset), name


def _same_codec(left: str, right: str) -> bool:
    import codecs

    return codecs.lookup(left).name == codecs.lookup(right).name


def test_bytes_that_a_charset_does_not_have_become_replacement_characters():
    assert decode(b"caf\xe9 \x81", "shift_jis")[0].count("\ufffd") >= 1


LABELS = [
    "", "utf-8", "utf-16", "shift_jis", "iso-2022-jp", "euc-jp", "euc-kr", "gb18030", "gb2312", "big5", "hz-gb-2312",
    "windows-1252", "windows-874", "koi8-u", "macintosh", "x-user-defined", "replacement", "a\0b", "utf-7", "idna",
    "rot13", "base64", "ÿ", "unicode_escape", "undefined", "utf-32", "cp037",
]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=60), header=st.sampled_from(LABELS), label=st.sampled_from(LABELS))
def test_any_bytes_under_any_label_become_text(body: bytes, header: str, label: str):
    text, _ = decode(meta(label).encode() + body, header)
    assert isinstance(text, str)
    assert "<html>" in text or header == "utf-16"


def test_a_meta_tag_after_the_first_1024_bytes_is_not_looked_for():
    body = b"<html>" + b" " * 1024 + meta("windows-1251").encode() + (GERMAN * 3).encode()
    assert decode(body)[1] == "utf-8"

"""The charset of a page: byte order mark, header, meta tag, detection, in that order."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_warcs import http, record

from corpusmill.clean.charset_labels import LABELS as ALL_LABELS
from corpusmill.clean.charset_labels import decoder
from corpusmill.clean.page_charset import decide, decode
from corpusmill.ingest.warc_pages import Tally, read_pages

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
        (b"\xff\xfe" + GERMAN.encode("utf-16-le"), "utf-8", GERMAN, "utf-16le"),
        (b"\xfe\xff" + GERMAN.encode("utf-16-be"), None, GERMAN, "utf-16be"),
        # then the header, whatever the page says
        ((meta("utf-8") + RUSSIAN).encode("cp1251"), "windows-1251", meta("utf-8") + RUSSIAN, "windows-1251"),
        (JAPANESE.encode("shift_jis"), "Shift_JIS", JAPANESE, "shift_jis"),
        (GERMAN.encode("utf-16-le"), "utf-16le", GERMAN, "utf-16le"),
        # labels as servers write them
        (GERMAN.encode("cp1252"), '"ISO-8859-1"', GERMAN, "windows-1252"),
        (GERMAN.encode("cp1252"), " 'latin1'; ", GERMAN, "windows-1252"),
        (GERMAN.encode("cp1252"), "US-ASCII", GERMAN, "windows-1252"),
        (GERMAN.encode(), "UTF8", GERMAN, "utf-8"),
        # labels stand for the wider charset that browsers take them for (WHATWG Encoding, section 4.2)
        ("①㈱ 株式会社".encode("cp932"), "Shift_JIS", "①㈱ 株式会社", "shift_jis"),
        ("똠방각하".encode("cp949"), "euc-kr", "똠방각하", "euc-kr"),
        ("价格€5，㐀".encode("gb18030"), "gb2312", "价格€5，㐀", "gbk"),
        ("香港粵語啫".encode("big5hkscs"), "big5", "香港粵語啫", "big5"),
        ("ก…".encode("cp874"), "tis-620", "ก…", "windows-874"),
        # an unknown label is none
        (
            (meta("windows-1251") + RUSSIAN).encode("cp1251"),
            "x-nonsense",
            meta("windows-1251") + RUSSIAN,
            "windows-1251",
        ),
        # then the meta tag, both kinds
        ((meta("iso-8859-1") + GERMAN).encode("cp1252"), None, meta("iso-8859-1") + GERMAN, "windows-1252"),
        ((equiv("windows-1251") + RUSSIAN).encode("cp1251"), None, equiv("windows-1251") + RUSSIAN, "windows-1251"),
        ((equiv("EUC-JP") + JAPANESE).encode("euc_jp"), None, equiv("EUC-JP") + JAPANESE, "euc-jp"),
        # a meta tag that can be read as ASCII does not stand in UTF-16
        ((meta("utf-16") + GERMAN).encode(), None, meta("utf-16") + GERMAN, "utf-8"),
        # nothing said: UTF-8 where it is, else what the bytes look like
        (GERMAN.encode(), None, GERMAN, "utf-8"),
        (b"", None, "", "utf-8"),
        (b"plain", None, "plain", "utf-8"),
        ((RUSSIAN * 5).encode("cp1251"), None, RUSSIAN * 5, "windows-1251"),
        # UTF-8 that is none: the bytes are asked
        ((RUSSIAN * 5).encode("cp1251"), "utf-8", RUSSIAN * 5, "windows-1251"),
        ((meta("utf-8") + RUSSIAN * 5).encode("cp1251"), None, meta("utf-8") + RUSSIAN * 5, "windows-1251"),
        # bytes that are UTF-8 are UTF-8, whatever is said of them
        ((meta("iso-8859-1") + GERMAN).encode(), None, meta("iso-8859-1") + GERMAN, "utf-8"),
        (RUSSIAN.encode(), "windows-1251", RUSSIAN, "utf-8"),
        (("水" * 6).encode(), "gbk", "水" * 6, "utf-8"),
        # a few characters of an Asian charset may be valid UTF-8 by chance
        ("模".encode("gbk"), "gbk", "模", "gbk"),
        # ASCII is what it is declared
        (b"plain", "iso-8859-1", "plain", "windows-1252"),
        (JAPANESE.encode("iso2022_jp"), "iso-2022-jp", JAPANESE, "iso-2022-jp"),
        # what the standard has, and Python's codecs of that name do not
        (b"\xad\xa1 \xa1\xc1 \xfc\xfc<", "euc-jp", "① 〜 ￤<", "euc-jp"),
        (b"\x1b$B-!\x1b(B", "csISO2022JP", "①", "iso-2022-jp"),
        (b"\x80 5", "gbk", "€ 5", "gbk"),
        (b"\x80\x81", "latin1", "€\x81", "windows-1252"),
        (b"\xca\xd9", "windows-1255", "\u05ba\ufffd", "windows-1255"),
        (b"\xae\xbe", "koi8-u", "ўЎ", "koi8-u"),
        (b"a\xff", "x-user-defined", "a\uf7ff", "x-user-defined"),
        (b"~{VPND~}", "hz-gb-2312", "\ufffd", "replacement"),
        # UTF-8 whose last character was cut stays UTF-8
        ((GERMAN + "ü").encode()[:-1], "utf-8", GERMAN + "\ufffd", "utf-8"),
    ],
    ids=lambda value: None if value is None or (isinstance(value, str) and value.isascii()) else "",
)
def test_a_page_is_decoded_as_declared_or_else_as_it_looks(body: bytes, header: str | None, text: str, charset: str):
    assert decode(body, header) == (text, charset)


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
    replaced = ("hz-gb-2312", "replacement")
    assert "<html>" in text or header in ("utf-16", *replaced) or label in replaced


def test_a_meta_tag_after_the_first_1024_bytes_is_not_looked_for():
    body = b"<html>" + b" " * 1024 + meta("windows-1251").encode() + (GERMAN * 3).encode()
    assert decode(body)[1] == "utf-8"


@pytest.mark.parametrize(
    ("body", "header", "decided"),
    [
        (b"\xef\xbb\xbfa", "latin1", "bom"),
        (b"\xe9", "latin1", "http"),
        (meta("latin1").encode() + b"\xe9", None, "meta"),
        (meta("utf-8").encode(), "nonsense", "meta"),
        (b"a", None, "bytes"),
        ("é".encode(), "latin1", "bytes"),
        (b"\xe9t\xe9", "utf-8", "detected"),
    ],
)
def test_what_decided_is_told(body: bytes, header: str | None, decided: str):
    assert decide(body, header).decided == decided


def test_a_header_may_name_a_charset_by_any_label_of_the_standard():
    """Python has no codec for a third of them: x-sjis, windows-874, koi8-ru."""
    body = b"<html>a page</html>"
    for label, encoding in ALL_LABELS.items():
        archive = io.BytesIO(record(1, http(body, content_type=f"text/html; charset={label}")))
        (batch,) = read_pages(archive, "a.warc", Tally())
        (sent,) = batch.column("http_charset").to_pylist()
        assert decide(body, sent)[1:] == (encoding, "http")


def test_labels_are_those_of_the_standard():
    """As many as the standard has, and as Resiliparse maps them, but for what it says it leaves out or renames."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    assert (len(ALL_LABELS), len(set(ALL_LABELS.values()))) == (228, 40)
    strange = {}
    for label, name in ALL_LABELS.items():
        mapped = map_encoding_to_html5(label, fallback_utf8=False)
        if mapped is None or ALL_LABELS.get(mapped.replace("_", "-"), ALL_LABELS.get(mapped)) != name:
            strange[name] = mapped
    assert strange == {
        "replacement": None, "x-user-defined": None, "x-mac-cyrillic": None, "macintosh": "mac-roman",
        "iso-8859-8-i": "iso8859-8", "utf-16le": "utf-16-le", "utf-16be": "utf-16-be",
        "iso-2022-jp": "iso2022_jp", "iso-8859-16": "iso8859-16",
    }  # fmt: skip


@given(body=st.binary(max_size=200))
def test_every_encoding_makes_text_of_any_bytes(body: bytes):
    for name in set(ALL_LABELS.values()):
        decoder(name)(body).encode("utf-8")


def test_python_letters_that_the_standard_has_too_are_decoded_alike():
    for name, codec in {"shift_jis": "cp932", "euc-jp": "euc_jp", "gbk": "gb18030", "windows-1251": "cp1251"}.items():
        text = JAPANESE + "中" if codec in ("cp932", "euc_jp", "gb18030") else RUSSIAN
        assert decoder(name)(text.encode(codec)) == text

"""Bodies: chunked, encoded, several times over, cut off, mislabelled; what the server meant, or a reason."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import Any

import brotli
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_warcs import by_record, http, page, record

from corpusmill.ingest.byte_window import Damage
from corpusmill.ingest.http_bodies import HttpMessage, TooLarge, decoded, read_message
from corpusmill.ingest.warc_pages import Tally, read_pages

HTML = b"<html><body>" + b"the quick brown fox " * 50 + b"</body></html>"


def raw_deflate(data: bytes) -> bytes:
    squeezer = zlib.compressobj(wbits=-15)
    return squeezer.compress(data) + squeezer.flush()


def chunked(body: bytes, size: int = 100, end: bytes = b"0\r\n\r\n", extension: bytes = b"") -> bytes:
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(f"{len(p):x}".encode() + extension + b"\r\n" + p + b"\r\n" for p in pieces) + end


ENCODERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
}


def rows_of(*records: bytes, tally: Tally | None = None, **options: Any) -> list[dict[str, Any]]:
    batches = read_pages(io.BytesIO(by_record(records)), "a.warc.gz", tally or Tally(), **options)
    return [row for batch in batches for row in batch.to_pylist()]


def body_of(sent: bytes, *headers: str, limit: int = 1_000_000) -> bytes:
    message = read_message(http(sent, more=headers))
    assert message is not None
    return decoded(http(sent, more=headers)[message.start :], message, limit).data


CHUNKS, GZIP = "Transfer-Encoding: chunked", "Content-Encoding: gzip"


@pytest.mark.parametrize(
    ("sent", "headers"),
    [
        *((encode(HTML), [f"Content-Encoding: {name}"]) for name, encode in ENCODERS.items()),
        (raw_deflate(HTML), ["Content-Encoding: deflate"]),
        (gzip.compress(HTML), ["content-encoding:  GZip "]),
        (chunked(HTML), [CHUNKS]),
        (chunked(HTML, extension=b";name=value"), [CHUNKS]),
        (chunked(HTML, extension=b"  "), [CHUNKS]),
        (chunked(HTML, end=b"0\r\nTrailer: x\r\n\r\n"), [CHUNKS]),
        (chunked(HTML, end=b""), [CHUNKS]),
        (chunked(HTML).replace(b"\r\n", b"\n"), [CHUNKS]),
        (chunked(gzip.compress(HTML)), [CHUNKS, GZIP]),
        (gzip.compress(zlib.compress(HTML)), ["Content-Encoding: deflate, gzip"]),
        (brotli.compress(gzip.compress(HTML)), ["Content-Encoding: gzip,br"]),
        (gzip.compress(gzip.compress(HTML)), ["Content-Encoding: gzip, gzip"]),
        (gzip.compress(HTML[:99]) + gzip.compress(HTML[99:]), [GZIP]),
        (zstandard.compress(HTML[:99]) + zstandard.compress(HTML[99:]), ["Content-Encoding: zstd"]),
        (gzip.compress(HTML) + b"\0\0junk", [GZIP]),
        (chunked(gzip.compress(HTML)), ["Transfer-Encoding: gzip, chunked"]),
        (chunked(zlib.compress(gzip.compress(HTML))), ["Transfer-Encoding: deflate, chunked", GZIP]),
        (HTML, ["Transfer-Encoding: buffered"]),
        (HTML, ["Content-Encoding: identity"]),
        (HTML, ["Content-Encoding: UTF-8"]),
        (HTML, ["Content-Encoding:"]),
    ],
)
def test_a_body_is_what_the_server_meant(sent: bytes, headers: list[str]):
    assert body_of(sent, *headers) == HTML


@pytest.mark.parametrize("label", [CHUNKS, *(f"Content-Encoding: {n}" for n in (*ENCODERS, "sdch", "br, gzip"))])
def test_a_label_that_a_crawler_forgot_is_passed_over(label: str):
    assert body_of(HTML, label) == HTML
    assert body_of(b"\n<!-- x -->" + HTML, label) == b"\n<!-- x -->" + HTML


@pytest.mark.parametrize(
    ("sent", "label", "detail"),
    [
        (b"\x1f\x8b\x08" + bytes(50), GZIP, "gzip: "),
        (gzip.compress(HTML)[:-8] + bytes(8), GZIP, "gzip: Error -3 while decompressing data: incorrect data check"),
        (b"\x00\xff" * 50, "Content-Encoding: deflate", "deflate: "),
        (b"\xff" * 50, "Content-Encoding: br", "br: the body cannot be decoded"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 50, "Content-Encoding: zstd", "zstd: "),
        (b"\x00\x01\x02", "Content-Encoding: sdch", "an unknown encoding: sdch"),
        (gzip.compress(HTML)[:-20], GZIP, "gzip: the body ends inside its encoding"),
        (zlib.compress(HTML)[:-8], "Content-Encoding: deflate", "deflate: the body ends inside its encoding"),
        (brotli.compress(HTML)[:-3], "Content-Encoding: br", "br: the body ends inside its encoding"),
        (zstandard.compress(HTML)[:-3], "Content-Encoding: zstd", "zstd: the body ends inside its encoding"),
        (chunked(HTML)[:-300], CHUNKS, "chunked: the body ends inside a chunk"),
        (chunked(HTML, end=b"XYZ\r\n"), CHUNKS, "chunked: no chunk at byte"),
    ],
)
def test_a_body_of_which_nothing_sure_can_be_made_is_dropped_with_the_reason(sent: bytes, label: str, detail: str):
    (row,) = rows_of(page(1, sent, more=[label]))
    assert row["drop_reason"] == "undecodable_body"
    assert row["drop_detail"].startswith(detail)


LONG = b"<html>" + b"".join(b"<p>%d</p>" % (i * 7919) for i in range(3000))


@pytest.mark.parametrize(
    ("sent", "label"),
    [
        (gzip.compress(LONG)[:-2000], GZIP),
        (raw_deflate(LONG)[:-2000], "Content-Encoding: deflate"),
        (brotli.compress(LONG, quality=1)[:-1500], "Content-Encoding: br"),
        (chunked(LONG)[:-2000], CHUNKS),
        (chunked(gzip.compress(LONG))[:-2000], f"{CHUNKS}\r\n{GZIP}"),
    ],
)
def test_of_a_body_that_the_crawler_cut_off_is_kept_what_can_be_decoded(sent: bytes, label: str):
    tally = Tally()
    block = http(sent, more=[label])
    (row,) = rows_of(record(1, block, headers={"WARC-Truncated": "Length"}), tally=tally)
    assert row["drop_reason"] is None
    assert LONG.startswith(row["body"])
    assert len(row["body"]) > len(LONG) // 3
    assert tally.cut_by_crawler == {"length": 1}


@pytest.mark.parametrize("name", ENCODERS)
def test_a_bomb_is_too_large_and_is_not_inflated(name: str):
    bomb = ENCODERS[name](bytes(50_000_000))
    with pytest.raises(TooLarge):
        body_of(ENCODERS[name](bomb), f"Content-Encoding: {name}, {name}", limit=100_000)
    (row,) = rows_of(page(1, bomb, more=[f"Content-Encoding: {name}"]), max_page_bytes=100_000)
    assert (row["drop_reason"], row["body"]) == ("too_large", None)


@pytest.mark.parametrize("name", [None, *ENCODERS])
def test_the_limit_is_inclusive(name: str | None):
    sent, label = (HTML, []) if name is None else (ENCODERS[name](HTML), [f"Content-Encoding: {name}"])
    assert body_of(sent, *label, limit=len(HTML)) == HTML
    with pytest.raises(TooLarge):
        body_of(sent, *label, limit=len(HTML) - 1)


@pytest.mark.parametrize("digest", ["sha1:WRONG", "", "md5:", "sha256:xyz:abc", "nothing", "sha1:" + "A" * 5000])
def test_a_digest_is_passed_on_and_never_trusted(digest: str):
    headers = {"WARC-Payload-Digest": digest, "WARC-Block-Digest": digest}
    (row,) = rows_of(record(1, http(HTML), headers=headers))
    assert (row["drop_reason"], row["body"], row["payload_digest"]) == (None, HTML, digest or None)


@pytest.mark.parametrize(
    ("sent", "charset"),
    [
        ("text/html; charset=UTF-8", "utf-8"),
        ("text/html;charset='shift_jis'", "shift_jis"),
        ('text/html; Charset="cp1252" ; x=y', "cp1252"),
        ("text/html; charset=x-sjis", "x-sjis"),
        ("text/html; charset=x-unknown", "x-unknown"),
        ("text/html; charset=", None),
        ("text/html", None),
    ],
)
def test_a_charset_is_the_label_that_was_sent(sent: str, charset: str | None):
    assert HttpMessage(200, {"content-type": sent}, 0).charset == charset


@pytest.mark.parametrize(
    ("head", "status", "fields"),
    [
        (b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", 200, {"a": "b"}),
        (b"HTTP/2 404\r\nA: b\r\n\r\n", 404, {"a": "b"}),
        (b"HTTP/1.0 200\nA:b\n\n", 200, {"a": "b"}),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\td\r\n\r\n", 200, {"a": "b c d"}),
        (b"HTTP/1.1 200 OK\r\nA: first\r\na: second\r\nno colon\r\n\r\n", 200, {"a": "first"}),
        (b"HTTP/1.1 200 OK\r\nA: caf\xe9\r\n\r\n", 200, {"a": "café"}),
        (b"HTTP/1.1 200 OK\r\nA: caf\xc3\xa9\r\n\r\n", 200, {"a": "café"}),
        (b"HTTP/1.1 OK\r\n\r\n", None, {}),
        (b"HTTP/1.1 200 OK", 200, {}),
    ],
)
def test_a_head_is_read_however_it_is_written(head: bytes, status: int | None, fields: dict[str, str]):
    message = read_message(head + (b"body" if b"\n" in head else b""))
    assert message is not None
    assert (message.status, message.fields, message.start) == (status, fields, len(head))


@settings(max_examples=300, deadline=None)
@given(
    body=st.binary(max_size=300),
    names=st.lists(st.sampled_from([*ENCODERS, "sdch", "identity", ""]), max_size=3),
    in_chunks=st.booleans(),
    encoded=st.booleans(),
    cut=st.integers(0, 40),
)
@example(body=b"5\r\nab", names=["gzip"], in_chunks=True, encoded=False, cut=0)
def test_any_body_under_any_label_is_decoded_or_has_a_reason(
    body: bytes, names: list[str], in_chunks: bool, encoded: bool, cut: int
):
    sent = body
    for name in names if encoded else []:
        sent = ENCODERS.get(name, bytes)(sent)
    sent = chunked(sent, 7) if in_chunks and encoded else sent
    whole = encoded and not cut and "sdch" not in names
    fields = {"content-encoding": ", ".join(names)} | ({"transfer-encoding": "chunked"} if in_chunks else {})
    try:
        found = decoded(sent[: len(sent) - cut], HttpMessage(200, fields, 0), 10_000)
    except Damage:
        assert not whole
    else:
        assert not whole or (found.data, found.cut) == (body, None)

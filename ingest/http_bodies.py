"""HTTP messages as crawlers keep them: the status, a few headers, and the body that the server meant.

Bodies come chunked and encoded, several times over, cut off, or decoded already with the label left on. Nothing is
inflated beyond the size that a page may have.
"""

from __future__ import annotations

import io
import re
import zlib
from dataclasses import dataclass

from corpusmill.ingest.byte_window import CutOff, Damage, Window
from corpusmill.ingest.record_heads import read_fields
from corpusmill.ingest.zstd_frames import MAGIC as ZSTD_MAGIC
from corpusmill.ingest.zstd_frames import ZstdCodec

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"HTTP/[0-9.]{1,4}[ \t]+([0-9]{3})\b")
_CHARSET = re.compile(r"""charset\s*=\s*["']?\s*([^\s"';,]+)""", re.IGNORECASE)
_CHUNK_HEAD = re.compile(rb"[ \t]*([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]{0,4096})?\r?\n")
_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*<[a-zA-Z!?]")
_NO_ENCODINGS = frozenset(
    {"", "identity", "none", "utf-8", "utf8", "binary", "8bit", "7bit", "text/html", "iso-8859-1"}
)
_PACKED = re.compile(r"\b(?:x-)?gzip\b|\bdeflate\b")
"""Transfer codings that pack (RFC 9112, 7.2); of the others only `chunked` changes anything."""
_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class HttpMessage:
    """A response. Its body, as sent, is `data[start:]` of the block."""

    status: int | None
    fields: dict[str, str]
    start: int

    @property
    def content_type(self) -> str | None:
        """The media type, lower case, without parameters."""
        return self.fields.get("content-type", "").partition(";")[0].strip().lower() or None

    @property
    def charset(self) -> str | None:
        """The charset named, lower case; which one it means, if any, the Encoding standard says, not Python."""
        found = _CHARSET.search(self.fields.get("content-type", ""))
        return found[1].lower() if found else None


class TooLarge(Exception):  # noqa: N818 (a reason, as Damage is)
    """The body is larger, once decoded, than asked for."""


@dataclass(frozen=True, slots=True)
class Body:
    """`cut` says where a body ends before its time; what there is of it is in `data`."""

    data: bytes
    cut: str | None = None


def read_message(block: bytes) -> HttpMessage | None:
    """The head of the response in `block`; None if it is no HTTP."""
    if not block.startswith(b"HTTP/"):
        return None
    end = _BLANK_LINE.search(block)
    head = block[: end.start()] if end else block
    status = _STATUS.match(head)
    return HttpMessage(int(status[1]) if status else None, read_fields(head), end.end() if end else len(block))


def decoded(raw: bytes, message: HttpMessage, limit: int) -> Body:
    """The body without its transfer and content encodings.

    A label that the body does not bear out is passed over: crawlers decode and forget it. Raises Damage where nothing
    can be made of the body, TooLarge where it has more than `limit` bytes.
    """
    transfer = message.fields.get("transfer-encoding", "").lower()
    body = _dechunked(raw) if "chunked" in transfer else Body(raw)
    names = [*message.fields.get("content-encoding", "").lower().split(","), *_PACKED.findall(transfer)]
    for name in map(str.strip, reversed(names)):
        if name in _NO_ENCODINGS or not body.data:
            continue
        try:
            step = _decode(body.data, name, limit)
        except Damage:
            if not begins_like_markup(body.data):
                raise
            continue
        body = Body(step.data, body.cut or step.cut)
    if len(body.data) > limit:
        raise TooLarge
    return body


def begins_like_markup(data: bytes) -> bool:
    return _MARKUP.match(data) is not None


def _dechunked(raw: bytes) -> Body:
    """RFC 9112, 7.1. What does not begin with a chunk was put together already, and is taken as it is.

    Missing the last, empty chunk is forgiven, since nothing is missing with it.
    """
    parts: list[bytes] = []
    at = 0
    while at < len(raw):
        head = _CHUNK_HEAD.match(raw, at)
        if head is None:
            if not parts:
                return Body(raw)
            return Body(b"".join(parts), f"chunked: no chunk at byte {at:,} of the body")
        size = int(head[1], 16)
        if size == 0:
            return Body(b"".join(parts))
        start = head.end()
        if start + size > len(raw):
            if not parts and begins_like_markup(raw):
                return Body(raw)
            return Body(b"".join([*parts, raw[start:]]), "chunked: the body ends inside a chunk")
        parts.append(raw[start : start + size])
        at = start + size
        at += 2 if raw.startswith(b"\r\n", at) else raw.startswith(b"\n", at)
    return Body(b"".join(parts))


def _decode(data: bytes, name: str, limit: int) -> Body:
    if name in ("gzip", "x-gzip"):
        return _gunzipped(data, limit) if data.startswith(b"\x1f\x8b") else Body(data)
    if name == "deflate":
        return _undeflated(data, limit)
    if name == "br":
        return _unbrotlied(data, limit)
    if name == "zstd":
        return _unzstded(data, limit) if data.startswith(ZSTD_MAGIC) else Body(data)
    raise Damage(f"an unknown encoding: {name[:40]}")


def _gunzipped(data: bytes, limit: int) -> Body:
    """All members; what follows them is passed over, as browsers do."""
    parts: list[bytes] = []
    while data.startswith(b"\x1f\x8b"):
        inflater = zlib.decompressobj(wbits=31)
        body = _inflated(inflater, data, limit, "gzip")
        parts.append(body.data)
        limit -= len(body.data)
        if body.cut:
            return Body(b"".join(parts), body.cut)
        data = inflater.unused_data
    return Body(b"".join(parts))


def _undeflated(data: bytes, limit: int) -> Body:
    """With the zlib header that the standard asks for, or without, as some servers send it."""
    try:
        return _inflated(zlib.decompressobj(), data, limit, "deflate")
    except Damage:
        return _inflated(zlib.decompressobj(wbits=-15), data, limit, "deflate")


def _inflated(inflater: zlib._Decompress, data: bytes, limit: int, name: str) -> Body:
    try:
        plain = inflater.decompress(data, limit + 1)
    except zlib.error as e:
        raise Damage(f"{name}: {e}") from e
    if len(plain) > limit:
        raise TooLarge
    return Body(plain, None if inflater.eof else f"{name}: the body ends inside its encoding")


def _unbrotlied(data: bytes, limit: int) -> Body:
    import brotli

    inflater = brotli.Decompressor()
    parts: list[bytes] = []
    size = 0
    try:
        piece = inflater.process(data, output_buffer_limit=_PIECE)
        while piece or not (inflater.is_finished() or inflater.can_accept_more_data()):
            parts.append(piece)
            size += len(piece)
            if size > limit:
                raise TooLarge
            piece = b"" if inflater.is_finished() else inflater.process(b"", output_buffer_limit=_PIECE)
    except brotli.error as e:
        raise Damage("br: the body cannot be decoded") from e
    return Body(b"".join(parts), None if inflater.is_finished() else "br: the body ends inside its encoding")


def _unzstded(data: bytes, limit: int) -> Body:
    codec, window = ZstdCodec(), Window(io.BytesIO(data))
    parts: list[bytes] = []
    size = 0
    try:
        while window.peek(4) == ZSTD_MAGIC:
            for piece in codec.pieces(window):
                parts.append(piece)
                size += len(piece)
                if size > limit:
                    raise TooLarge
    except CutOff:
        return Body(b"".join(parts), "zstd: the body ends inside its encoding")
    return Body(b"".join(parts))

"""Zstandard frames (RFC 8878) in a WARC, with or without a dictionary, inflated from a window.

A file may begin with a skippable frame that holds the dictionary of all later frames, itself perhaps compressed ("WARC
files compressed with Zstandard", IIPC, 1.0). Frames are fed block by block: a block holds at most 128 KiB, so neither a
bomb nor a damaged length can take more memory than that at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from corpusmill.ingest.byte_window import CutOff, Damage, Window

if TYPE_CHECKING:
    import zstandard

MAGIC = b"\x28\xb5\x2f\xfd"
DICTIONARY_FRAME = b"\x5d\x2a\x4d\x18"
_SKIPPABLE = b"\x2a\x4d\x18"  # after one byte 0x50 to 0x5F
_FORMATTED_DICTIONARY = b"\x37\xa4\x30\xec"
_MAX_BLOCK = 128 * 1024
_MAX_HEADER = 18
_MAX_DICTIONARY = 64 << 20  # zstd's own trainer makes 110 kB; archives use up to a few MB


@dataclass(frozen=True, slots=True)
class FrameHeader:
    size: int
    dictionary_id: int
    has_checksum: bool


class ZstdCodec:
    name = "zstd"
    magic = MAGIC

    def __init__(self, dictionary: bytes | None = None) -> None:
        import zstandard

        self._error = zstandard.ZstdError
        self._plain = zstandard.ZstdDecompressor()
        self._with_dictionary: zstandard.ZstdDecompressor | None = None
        if dictionary is not None:
            kind = (
                zstandard.DICT_TYPE_FULLDICT
                if dictionary.startswith(_FORMATTED_DICTIONARY)
                else zstandard.DICT_TYPE_RAWCONTENT
            )
            try:
                data = zstandard.ZstdCompressionDict(dictionary, dict_type=kind)
                self._with_dictionary = zstandard.ZstdDecompressor(dict_data=data)
            except (zstandard.ZstdError, MemoryError):
                pass  # each frame that needs it says so
        # a frame need not name its dictionary, so both ways are tried
        self.ways: tuple[str, ...] = ("", "plain") if self._with_dictionary is not None else ("",)

    def pieces(self, window: Window, way: str = "") -> Iterator[bytes]:
        """What the frame at the window's position holds, by block of at most 128 KiB; leaves the window behind it.

        Raises Damage, or CutOff where the stream ends first.
        """
        header = frame_header(window.peek(_MAX_HEADER))
        inflater = self._decompressor(header, way).decompressobj()
        pending, last = window.peek(header.size), False
        window.advance(header.size)
        while not last:
            size, last = _block(window.peek(3))
            tail = 4 if last and header.has_checksum else 0
            block = window.peek(3 + size + tail)
            if len(block) < 3 + size + tail:
                raise CutOff
            window.advance(len(block))
            try:
                yield inflater.decompress(pending + block)
            except self._error as e:
                raise Damage(f"zstd: {_clause(e)}") from e
            pending = b""
        if not inflater.eof:
            raise Damage("zstd: the frame does not end with its last block")

    def filler(self, window: Window) -> tuple[str, int] | None:
        """(kind, length) of a skippable frame here, if it can be believed: it has no checksum of its own."""
        head = window.peek(8)
        if len(head) < 8 or head[1:4] != _SKIPPABLE or not 0x50 <= head[0] <= 0x5F:
            return None
        size = 8 + int.from_bytes(head[4:8], "little")
        here = window.position
        complete = window.advance(size) == size
        following = window.peek(4)
        window.seek(here)
        if not complete or not (not following or following == MAGIC or following[1:] == _SKIPPABLE):
            return None
        return ("zstd_dictionary" if head.startswith(DICTIONARY_FRAME) else "padding"), size

    def checked(self, head: bytes) -> bool:
        """Whether the end of the frame that begins with `head` proves its content."""
        try:
            return frame_header(head).has_checksum
        except Damage:
            return False

    def _decompressor(self, header: FrameHeader, way: str) -> zstandard.ZstdDecompressor:
        if self._with_dictionary is None and header.dictionary_id:
            raise Damage(
                f"zstd: needs dictionary {header.dictionary_id}, which the file does not begin with, or damaged"
            )
        if self._with_dictionary is None or (way == "plain" and not header.dictionary_id):
            return self._plain
        return self._with_dictionary


def codec_of(window: Window) -> ZstdCodec:
    """The codec for the file whose beginning the window shows, with its dictionary if it has one."""
    head = window.peek(8)
    if not head.startswith(DICTIONARY_FRAME) or len(head) < 8:
        return ZstdCodec()
    size = int.from_bytes(head[4:8], "little")
    if size > _MAX_DICTIONARY:
        return ZstdCodec()
    payload = window.peek(8 + size)[8:]
    if payload.startswith(MAGIC):
        try:
            payload = b"".join(_bounded(ZstdCodec().pieces(_window_over(payload))))
        except Damage:
            return ZstdCodec()
    return ZstdCodec(payload)


def frame_header(head: bytes) -> FrameHeader:
    """The header of the frame that begins with `head`, of 18 bytes or all there are (RFC 8878, 3.1.1.1)."""
    if not head.startswith(MAGIC):
        raise CutOff if MAGIC.startswith(head) else Damage("zstd: no frame where one is expected")
    if len(head) < 6:
        raise CutOff
    descriptor = head[4]
    single_segment = bool(descriptor & 0x20)
    if descriptor & 0x08:
        raise Damage("zstd: a reserved bit is set in the frame's header")
    id_size = (0, 1, 2, 4)[descriptor & 3]
    content_size = (1 if single_segment else 0, 2, 4, 8)[descriptor >> 6]
    id_at = 5 + (not single_segment)
    size = id_at + id_size + content_size
    if len(head) < size:
        raise CutOff
    dictionary_id = int.from_bytes(head[id_at : id_at + id_size], "little")
    return FrameHeader(size, dictionary_id, bool(descriptor & 0x04))


def _block(head: bytes) -> tuple[int, bool]:
    """(bytes of the block after its header of three, whether it is the last)."""
    if len(head) < 3:
        raise CutOff
    value = int.from_bytes(head, "little")
    kind, size = (value >> 1) & 3, value >> 3
    if kind == 3 or size > _MAX_BLOCK:
        raise Damage("zstd: a block header is damaged")
    return (1 if kind == 1 else size), bool(value & 1)


def _bounded(pieces: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > _MAX_DICTIONARY:
            raise Damage("zstd: the dictionary is too large")
        yield piece


def _window_over(data: bytes) -> Window:
    import io

    return Window(io.BytesIO(data))


def _clause(error: Exception) -> str:
    """The library's message without its prefix ("zstd decompressor error: ...")."""
    return str(error).rpartition(": ")[2]

"""Damage costs one record: whatever is flipped, cut out or put in, no record whose own bytes are whole is lost."""

from __future__ import annotations

import gzip
import io
import random
from collections.abc import Callable, Sequence

import pytest
import zstandard
from small_warcs import html_of, http, record

from corpusmill.ingest.plain_records import Member
from corpusmill.ingest.warc_members import walk
from corpusmill.ingest.warc_pages import Tally, read_pages

LIMIT = 1_000_000
CASES_PER_FORM = 200


def _records(seed: int, count: int) -> list[bytes]:
    """Pages that compress, and bodies of random bytes, which lie in a member as they are."""
    rng = random.Random(seed)
    bodies = [html_of(i) if rng.random() < 0.6 else rng.randbytes(rng.randrange(1500)) for i in range(count)]
    return [record(i, http(body)) for i, body in enumerate(bodies)]


def _dictionary() -> zstandard.ZstdCompressionDict:
    return zstandard.train_dictionary(4096, [record(i, http(html_of(i))) for i in range(1000, 1400)], level=3)


def _dictionary_frame(payload: bytes) -> bytes:
    return b"\x5d\x2a\x4d\x18" + len(payload).to_bytes(4, "little") + payload


DICTIONARY = _dictionary()
RAW_DICTIONARY = b"".join(record(i, http(html_of(i))) for i in range(1000, 1004))


def _zstd(**options: object) -> Callable[[bytes], bytes]:
    return zstandard.ZstdCompressor(**options).compress  # type: ignore[arg-type]


# name: (what stands before the first record, how a record is compressed)
FORMS: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "gzip": (b"", lambda r: gzip.compress(r, mtime=0)),
    "gzip, stored": (b"", lambda r: gzip.compress(r, 0, mtime=0)),
    "zstd": (b"", _zstd(write_checksum=True)),
    "zstd without checksum": (b"", _zstd(write_checksum=False)),
    "zstd without checksum or size": (b"", _zstd(write_checksum=False, write_content_size=False)),
    "zstd with dictionary": (
        _dictionary_frame(zstandard.compress(DICTIONARY.as_bytes())),
        _zstd(dict_data=DICTIONARY, write_checksum=True),
    ),
    "zstd with plain dictionary, unnamed": (
        _dictionary_frame(DICTIONARY.as_bytes()),
        _zstd(dict_data=DICTIONARY, write_checksum=False, write_dict_id=False),
    ),
    "zstd with raw dictionary": (
        _dictionary_frame(RAW_DICTIONARY),
        _zstd(dict_data=zstandard.ZstdCompressionDict(RAW_DICTIONARY, dict_type=zstandard.DICT_TYPE_RAWCONTENT)),
    ),
    "plain": (b"", bytes),
}


def members(data: bytes, name: str = "test.warc.gz") -> list[Member]:
    return list(walk(io.BytesIO(data), name, LIMIT))


def damaged(rng: random.Random, data: bytes, start: int) -> bytes:
    """One to four injuries behind `start`: flips of bits or stretches, cuts, insertions of noise or of the file."""
    broken = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(start, max(len(broken), start + 1))
        size = rng.choice([1, 1, 2, 8, 64, 700])
        match rng.randrange(7):
            case 0 | 1:
                for i in range(at, min(at + (size if size < 64 else 1), len(broken))):
                    broken[i] ^= 1 << rng.randrange(8)
            case 2:
                broken[at : at + size] = rng.randbytes(len(broken[at : at + size]))
            case 3:
                del broken[at : at + size]
            case 4:
                broken[at:at] = rng.randbytes(size)
            case 5:
                broken[at:at] = broken[max(at - size, start) : at]
            case 6:
                del broken[len(broken) - min(size, len(broken) - start) :]
    return bytes(broken)


def lost(records: Sequence[bytes], compressed: Sequence[bytes], broken: bytes) -> list[int]:
    """Numbers of the records whose bytes are in the file, but which were not read."""
    found = members(broken)
    assert sum(m.length for m in found if not m.offset_kind.startswith("member+")) == len(broken)
    # line breaks behind a record that is not compressed are taken as its own
    read = {m.data.rstrip() for m in found if m.damage is None}
    return [i for i, c in enumerate(compressed) if c in broken and records[i].rstrip() not in read]


@pytest.mark.parametrize("form", FORMS)
def test_no_record_is_lost_whose_bytes_are_whole(form: str):
    head, compress = FORMS[form]
    for seed in range(CASES_PER_FORM):
        rng = random.Random(f"{form}/{seed}")
        records = _records(seed, rng.randrange(2, 8))
        compressed = [compress(r) for r in records]
        broken = damaged(rng, head + b"".join(compressed), len(head))
        if any(c in broken for c in compressed):
            assert lost(records, compressed, broken) == [], (form, seed)


def _frames(records: Sequence[bytes]) -> list[bytes]:
    """Frames of one raw block each, without checksum or size: nothing in them contradicts a wrong length."""
    head = b"\x28\xb5\x2f\xfd" + bytes([0x00, 0x58])  # no single segment, a window of 2 MiB
    return [head + ((len(r) << 3) | 1).to_bytes(3, "little") + r for r in records]


def test_a_block_length_that_takes_in_the_next_frames_swallows_none_of_them():
    records = [record(i, http(random.Random(i).randbytes(300))) for i in range(5)]
    frames = _frames(records)
    taken = len(records[1]) + len(frames[2]) + len(frames[3])
    frames[1] = frames[1][:6] + ((taken << 3) | 1).to_bytes(3, "little") + frames[1][9:]
    found = members(b"".join(frames))
    assert [m.data for m in found if m.damage is None] == [records[0], *records[2:]]
    assert [m.damage for m in found if m.damage] == ["zstd: this member does not end where its record does"]
    assert sum(m.length for m in found) == sum(map(len, frames))


def test_a_block_length_that_ends_too_soon_costs_its_record():
    records = [record(i, http(random.Random(i).randbytes(300))) for i in range(3)]
    frames = _frames(records)
    frames[1] = frames[1][:6] + ((200 << 3) | 1).to_bytes(3, "little") + frames[1][9:]
    assert [m.data for m in members(b"".join(frames))] == [records[0], b"", records[2]]


def test_a_skippable_frame_whose_length_takes_in_records_hides_none_of_them():
    records = [record(i, http(html_of(i))) for i in range(4)]
    frames = [zstandard.compress(r) for r in records]
    skipped = len(frames[1]) + 3
    frames[0] += b"\x50\x2a\x4d\x18" + skipped.to_bytes(4, "little") + b"abc"
    found = members(b"".join(frames))
    assert [m.data for m in found if m.damage is None and m.filler is None] == records


def test_a_member_that_holds_an_archive_is_one_record():
    inner = b"".join(_frames([record(i, b"x") for i in range(9)]))
    outer = [record(1, http(inner, content_type="application/warc")), record(2, http(html_of(2)))]
    for compressed in (_frames(outer), [gzip.compress(r, 0) for r in outer], outer):
        assert [m.data for m in members(b"".join(compressed))] == outer


def test_a_task_survives_whatever_it_reads():
    """Bodies that decode to nothing, headers that say nothing: all rows, and each record has one fate."""
    for seed in range(CASES_PER_FORM):
        rng = random.Random(seed)
        head, compress = FORMS[rng.choice(list(FORMS))]
        records = _records(seed, 4)
        plain = [records[0], *(damaged(rng, r, 0) for r in records[1:])]
        data = damaged(rng, head + b"".join(compress(r) for r in plain), len(head))
        tally = Tally()
        rows = sum(batch.num_rows for batch in read_pages(io.BytesIO(data), "a", tally, alone=False))
        assert tally.bytes == len(data)
        assert tally.records == rows + sum(tally.not_response.values())


@pytest.mark.parametrize("content", [b"hello, I am no archive", gzip.compress(b"hello"), b"\x89PNG\r\n"])
def test_among_others_a_file_without_a_record_is_one_damaged_record(content: bytes):
    tally = Tally()
    (batch,) = read_pages(io.BytesIO(content), "notes.txt", tally, alone=False)
    (row,) = batch.to_pylist()
    assert (row["drop_reason"], row["warc_offset"], row["warc_length"]) == ("damaged_record", 0, len(content))
    assert "notes.txt is not a WARC file" in row["drop_detail"]
    assert (tally.records, tally.bytes) == (1, len(content))

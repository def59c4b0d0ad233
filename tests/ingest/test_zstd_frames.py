"""Zstandard archives: a frame per record, a dictionary before them, or one frame around all."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import pytest
import zstandard
from small_warcs import html_of, http, page, record

from corpusmill.errors import InputError
from corpusmill.ingest.plain_records import Member
from corpusmill.ingest.warc_members import read_member, walk
from corpusmill.ingest.warc_pages import Tally, read_pages

RECORDS = [page(i) for i in range(200)]
DICTIONARY = zstandard.train_dictionary(4096, [page(i) for i in range(1000, 1400)], level=3)
RAW = b"".join(page(i) for i in range(1000, 1004))


def skippable(payload: bytes, magic: int = 0x5D) -> bytes:
    return bytes([magic]) + b"\x2a\x4d\x18" + len(payload).to_bytes(4, "little") + payload


def frames(records: list[bytes], **options: object) -> bytes:
    compressor = zstandard.ZstdCompressor(**options)  # type: ignore[arg-type]
    return b"".join(compressor.compress(r) for r in records)


def members(data: bytes) -> list[Member]:
    return list(walk(io.BytesIO(data), "a.warc.zst", 1_000_000))


FORMS: dict[str, Callable[[list[bytes]], bytes]] = {
    "frames": frames,
    "frames with checksum": lambda r: frames(r, write_checksum=True),
    "frames without size": lambda r: frames(r, write_content_size=False),
    "a dictionary": lambda r: skippable(DICTIONARY.as_bytes()) + frames(r, dict_data=DICTIONARY),
    "a compressed dictionary": lambda r: (
        skippable(zstandard.compress(DICTIONARY.as_bytes())) + frames(r, dict_data=DICTIONARY)
    ),
    "a dictionary, not named in the frames": lambda r: (
        skippable(DICTIONARY.as_bytes()) + frames(r, dict_data=DICTIONARY, write_dict_id=False)
    ),
    "a dictionary that only some frames use": lambda r: (
        skippable(DICTIONARY.as_bytes()) + frames(r[:2], dict_data=DICTIONARY) + frames(r[2:])
    ),
    "a dictionary of plain text": lambda r: (
        skippable(RAW) + frames(r, dict_data=zstandard.ZstdCompressionDict(RAW, dict_type=1))
    ),
    "skippable frames between": lambda r: skippable(b"x" * 9, 0x50).join(frames([one]) for one in r),
    "one frame": lambda r: frames([b"".join(r)]),
    "one frame, with a dictionary": lambda r: (
        skippable(DICTIONARY.as_bytes()) + frames([b"".join(r)], dict_data=DICTIONARY)
    ),
    "frames that end anywhere": lambda r: frames([b"".join(r)[:1000], b"".join(r)[1000:2200], b"".join(r)[2200:]]),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_record_has_its_bytes_and_is_found_again(form: str):
    data = FORMS[form](RECORDS[:6])
    found = [m for m in members(data) if m.filler is None]
    assert [m.data for m in found] == RECORDS[:6]
    assert {m.damage for m in found} == {None}
    again = [read_member(io.BytesIO(data), m.offset, m.length, m.offset_kind) for m in found]
    assert [a.startswith(r) for a, r in zip(again, RECORDS, strict=False)] == [True] * 6


@pytest.mark.parametrize("form", FORMS)
def test_lengths_add_up_to_the_file_or_to_what_it_holds(form: str):
    data = FORMS[form](RECORDS[:6])
    tally = Tally()
    rows = [r for b in read_pages(io.BytesIO(data), "a", tally) for r in b.to_pylist()]
    assert tally.records == len(rows) == 6
    whole = {r["offset_kind"] for r in rows} == {"uncompressed"}
    assert tally.bytes == (sum(map(len, RECORDS[:6])) if whole else len(data))
    assert whole == ("one frame" in form or "anywhere" in form)
    assert ("zstd_dictionary" in tally.not_response_bytes) == ("dictionary" in form and not whole)


def test_64_bytes_flipped_cost_exactly_their_record():
    """The offset says which."""
    compressed = [frames([r], write_checksum=True) for r in RECORDS]
    start = sum(map(len, compressed[:100]))
    at = start + len(compressed[100]) // 2 - 32
    data = b"".join(compressed)
    flipped = data[:at] + bytes(b ^ 0xFF for b in data[at : at + 64]) + data[at + 64 :]
    found = members(flipped)
    assert [m.data for m in found] == [*RECORDS[:100], b"", *RECORDS[101:]]
    (damaged,) = [m for m in found if m.damage is not None]
    assert (damaged.offset, damaged.length) == (start, len(compressed[100]))
    assert sum(m.length for m in found) == len(data)


@pytest.mark.parametrize("left", [1, 4, 7, 40])
def test_a_file_cut_inside_its_last_frame_takes_no_part_of_it(left: int):
    whole = frames(RECORDS[:5])
    found = members(whole + frames([RECORDS[5]])[:left])
    assert [m.data for m in found] == [*RECORDS[:5], b""]
    assert (found[-1].damage, found[-1].offset, found[-1].length) == (
        "the file ends inside this record", len(whole), left,
    )  # fmt: skip


def test_one_frame_that_was_cut_keeps_the_records_before_the_cut_and_says_so():
    data = zstandard.compress(b"".join(page(i, random.Random(i).randbytes(9000)) for i in range(100)))
    found = members(data[: len(data) // 2])
    assert len([m for m in found if m.damage is None]) > 30
    assert found[-1].damage == "unreadable from here on: the file ends here"


def test_damage_in_the_dictionary_is_told_of_each_record_that_needed_it():
    dictionary = skippable(zstandard.compress(DICTIONARY.as_bytes()))
    for at in range(0, len(dictionary), 97):
        broken = dictionary[:at] + bytes([dictionary[at] ^ 0x55]) + dictionary[at + 1 :]
        data = broken + frames(RECORDS[:3], dict_data=DICTIONARY) + frames(RECORDS[3:6])
        tally = Tally()
        rows = [r for b in read_pages(io.BytesIO(data), "a", tally) for r in b.to_pylist()]
        assert [r["url"] for r in rows[-3:]] == [f"https://site-{i}.example/page" for i in (3, 4, 5)]
        assert tally.bytes == len(data)


def test_a_frame_that_inflates_without_end_takes_no_memory():
    import resource

    bomb = frames([record(1, http(b"<html>" + bytes(200_000_000)))], write_checksum=True)
    data = bomb + frames([RECORDS[1]])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = [r for b in read_pages(io.BytesIO(data), "a", Tally()) for r in b.to_pylist()]
    assert [r["drop_reason"] for r in rows] == ["too_large", None]
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 150_000  # kB


def test_what_is_no_archive_is_refused_by_what_it_holds():
    with pytest.raises(InputError, match="it is zstd, but holds b'hello, world'"):
        members(zstandard.compress(b"hello, world"))


def test_html_pages_of_every_form_are_the_same():
    pages = set()
    for form in FORMS.values():
        rows = [r for b in read_pages(io.BytesIO(form(RECORDS[:6])), "a", Tally()) for r in b.to_pylist()]
        pages.add(tuple((r["id"], r["url"], r["body"]) for r in rows))
    assert len(pages) == 1
    assert [body for _, _, body in next(iter(pages))] == [html_of(i) for i in range(6)]

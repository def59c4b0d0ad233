"""Records with their exact places; damage costs the record it hit, and no other."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_warcs import by_record, html_of, http, page, record, whole

from corpusmill.errors import InputError
from corpusmill.ingest.plain_records import Member
from corpusmill.ingest.warc_members import read_member, walk
from corpusmill.ingest.warc_pages import Tally, read_pages
from corpusmill.inputs import Digesting

RECORDS = [page(i) for i in range(200)]
MEMBERS = [gzip.compress(r, mtime=0) for r in RECORDS]
ARCHIVE = b"".join(MEMBERS)
STARTS = [sum(map(len, MEMBERS[:i])) for i in range(len(MEMBERS) + 1)]
LIMIT = 1_000_000


def members(data: bytes, name: str = "test.warc.gz") -> list[Member]:
    return list(walk(io.BytesIO(data), name, LIMIT))


def test_each_record_has_its_place_and_its_bytes():
    found = members(ARCHIVE)
    assert [(m.offset, m.length) for m in found] == [(s, len(m)) for s, m in zip(STARTS, MEMBERS, strict=False)]
    assert [m.data for m in found] == RECORDS
    assert {(m.damage, m.cut_short, m.offset_kind) for m in found} == {(None, False, "member")}


def test_64_bytes_flipped_cost_exactly_their_record():
    at = STARTS[100] + len(MEMBERS[100]) // 2 - 32
    flipped = ARCHIVE[:at] + bytes(b ^ 0xFF for b in ARCHIVE[at : at + 64]) + ARCHIVE[at + 64 :]
    found = members(flipped)
    assert [m.data for m in found] == [*RECORDS[:100], b"", *RECORDS[101:]]
    (damaged,) = [m for m in found if m.damage is not None]
    assert (damaged.offset, damaged.length) == (STARTS[100], len(MEMBERS[100]))


def test_a_damaged_record_is_a_row_that_says_where_it_was():
    at = STARTS[100] + 40
    flipped = ARCHIVE[:at] + bytes(64) + ARCHIVE[at + 64 :]
    tally = Tally()
    rows = [row for batch in read_pages(io.BytesIO(flipped), "a.warc.gz", tally) for row in batch.to_pylist()]
    gone = [row for row in rows if row["drop_reason"] is not None]
    assert [(r["drop_reason"], r["id"], r["warc_offset"]) for r in gone] == [
        ("damaged_record", f"a.warc.gz:{STARTS[100]}", STARTS[100])
    ]
    assert (len(rows), tally.records, tally.bytes) == (200, 200, len(flipped))


@pytest.mark.parametrize("left", [1, 3, 20, 100])
def test_a_file_cut_inside_its_last_record_takes_no_part_of_it(left: int):
    cut = ARCHIVE[: STARTS[199] + left]
    tally = Tally()
    rows = [row for batch in read_pages(io.BytesIO(cut), "a.warc.gz", tally) for row in batch.to_pylist()]
    assert [r["drop_reason"] for r in rows] == [None] * 199 + ["truncated_record"]
    assert (rows[-1]["warc_offset"], rows[-1]["warc_length"], rows[-1]["body"]) == (STARTS[199], left, None)
    assert (tally.records, tally.bytes) == (200, len(cut))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_happens_to_a_file_no_untouched_record_is_lost(data: st.DataObject):
    records, compressed = RECORDS[:24], MEMBERS[:24]
    touched, broken = set(), bytearray()
    # the first member stays whole: a file that no longer begins as gzip is refused, which is another promise
    for i, member in enumerate(compressed):
        damage = "none" if i == 0 else data.draw(st.sampled_from(["none"] * 6 + ["flip", "cut", "insert", "between"]))
        at = data.draw(st.integers(0, len(member) - 1)) if damage in ("flip", "cut", "insert") else 0
        if damage == "flip":
            member = member[:at] + bytes([member[at] ^ data.draw(st.integers(1, 255))]) + member[at + 1 :]
        elif damage == "cut":
            member = member[:at] + member[at + data.draw(st.integers(1, 80)) :]
        elif damage == "insert":
            member = member[:at] + data.draw(st.binary(min_size=1, max_size=80)) + member[at:]
        elif damage == "between":
            member += data.draw(st.binary(min_size=1, max_size=80))
        if damage in ("flip", "cut", "insert"):
            touched.add(i)
        broken += member
    found = members(bytes(broken))
    read = [m.data for m in found if m.damage is None and m.filler is None]
    untouched = [r for i, r in enumerate(records) if i not in touched]
    assert [data for data in read if data in untouched] == untouched
    # a flip in the gzip header's time or system byte harms nothing; anything else that was hit has a damage
    assert set(read) <= set(records)
    assert sum(m.length for m in found) == len(broken)
    assert [m.offset for m in found] == [sum(m.length for m in found[:i]) for i in range(len(found))]


@settings(max_examples=60, deadline=None)
@given(at=st.integers(20, 6000), length=st.integers(1, 200), junk=st.binary(max_size=100))
def test_a_damaged_uncompressed_file_keeps_the_records_before_the_damage(at: int, length: int, junk: bytes):
    records = RECORDS[:8]
    plain = b"".join(records)
    at = min(at, len(plain) - 1)
    broken = plain[:at] + junk + plain[at + length :]
    found = members(broken)
    before = [r for i, r in enumerate(records) if sum(map(len, records[: i + 1])) <= at]
    assert [_message(m.data) for m in found][: len(before)] == [_message(r) for r in before]
    assert sum(m.length for m in found) == len(broken)


def _message(data: bytes) -> bytes:
    return data.partition(b"\r\n\r\n")[2]


def test_whole_file_gzip_and_uncompressed_files_hold_the_same_pages():
    plain = b"".join(RECORDS[:20])
    forms = {"one.warc.gz": by_record(RECORDS[:20]), "two.warc.gz": whole(RECORDS[:20]), "three.warc": plain}
    pages = {}
    for name, data in forms.items():
        rows = [r for b in read_pages(io.BytesIO(data), name, Tally()) for r in b.to_pylist()]
        pages[name] = [(r["id"], r["url"], r["body"], r["drop_reason"]) for r in rows]
    assert pages["one.warc.gz"] == pages["two.warc.gz"] == pages["three.warc"]
    assert len(pages["one.warc.gz"]) == 20


def test_a_record_of_a_file_gzipped_as_a_whole_lies_where_it_lies_uncompressed():
    found = members(whole(RECORDS[:20]))
    starts = [sum(map(len, RECORDS[:i])) for i in range(20)]
    assert {m.offset_kind for m in found} == {"uncompressed"}
    assert [(m.offset, m.length) for m in found] == [(s, len(r)) for s, r in zip(starts, RECORDS, strict=False)]


def test_a_whole_gzip_that_was_cut_keeps_the_records_before_the_cut():
    data = whole(RECORDS)
    found = members(data[: len(data) // 2])
    kept = [m for m in found if m.damage is None]
    assert [_message(m.data) for m in kept] == [_message(r) for r in RECORDS[: len(kept)]]
    assert len(kept) > 50
    assert found[-1].damage is not None


@pytest.mark.parametrize("form", [by_record, whole, b"".join])
def test_a_record_is_found_again_from_its_place(form):
    data = form(RECORDS[:5])
    for member, expected in zip(members(data), RECORDS, strict=False):
        found = read_member(io.BytesIO(data), member.offset, member.length, member.offset_kind)
        assert _message(found) == _message(expected)


def test_no_record_of_a_member_that_holds_several_is_lost():
    data = by_record([RECORDS[0], RECORDS[1] + RECORDS[2], RECORDS[3]])
    tally = Tally()
    rows = [r for b in read_pages(io.BytesIO(data), "a.warc.gz", tally) for r in b.to_pylist()]
    assert [r["url"] for r in rows if r["drop_reason"] is None] == [f"https://site-{i}.example/page" for i in range(4)]
    assert [r["offset_kind"] for r in rows] == ["member", "member", f"member+{len(RECORDS[1])}", "member"]
    again = [read_member(io.BytesIO(data), r["warc_offset"], r["warc_length"], r["offset_kind"]) for r in rows]
    assert [found.startswith(r) for found, r in zip(again, RECORDS, strict=False)] == [True] * 4


@pytest.mark.parametrize("form", [by_record, whole, b"".join])
def test_lines_may_end_with_a_line_feed_alone(form):
    block = b"HTTP/1.1 200 OK\n\n<html>x</html>"
    data = form([record(i, block).replace(b"\r\n", b"\n") for i in range(3)])
    rows = [r for b in read_pages(io.BytesIO(data), "lf.warc", Tally()) for r in b.to_pylist()]
    assert [(r["url"], r["body"]) for r in rows] == [
        (f"https://site-{i}.example/page", b"<html>x</html>") for i in range(3)
    ]


def test_a_record_larger_than_asked_for_is_marked_and_the_next_one_is_read():
    large = page(1, b"<html>" + b"x" * 3_000_000)
    for data in (by_record([large, RECORDS[2]]), large + RECORDS[2]):
        found = members(data)
        assert [m.cut_short for m in found] == [True, False]
        rows = [r for b in read_pages(io.BytesIO(data), "a", Tally(), max_page_bytes=1_000_000) for r in b.to_pylist()]
        assert [r["drop_reason"] for r in rows] == ["too_large", None]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"hello, world", "x.warc is not a WARC file: it begins with b'hell"),
        (b"\x7fELF\x02\x01", "x.warc is not a WARC file: it begins with b'\\x7fELF"),
        (b"filedesc\n", "x.warc is not a WARC file: it begins with b'file"),
        (gzip.compress(b"hello, world"), "x.warc is not a WARC file: it is gzip, but holds b'hello, world'"),
        (gzip.compress(b""), "x.warc is not a WARC file: it is gzip, but holds b''"),
        (b"WARCRAFT", "x.warc is not a WARC file"),
    ],
)
def test_what_is_no_warc_is_refused_by_name_and_first_bytes(data: bytes, sentence: str):
    with pytest.raises(InputError) as caught:
        members(data, "x.warc")
    assert sentence in str(caught.value)


def test_an_empty_file_is_told_as_one_damaged_record_and_stops_nothing():
    assert [(m.length, m.damage) for m in members(b"")] == [(0, "the file is empty")]


@pytest.mark.parametrize("form", [by_record, whole, b"".join])
def test_a_place_that_holds_no_record_is_an_error_in_a_sentence(form):
    data = form(RECORDS[:5])
    kind = members(data)[0].offset_kind
    for offset in (3, len(data) // 2 + 1, 10**9):
        with pytest.raises(InputError, match="no record at "):
            read_member(io.BytesIO(data), offset, 500, kind)


@pytest.mark.parametrize("lead", [b"\0", b"x" * 5000, b"\r\n", MEMBERS[0][1:], b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_damaged_beginning_costs_no_other_record(lead: bytes):
    for form in (by_record, b"".join):
        found = members(lead + form(RECORDS[:5]))
        assert [m.data for m in found] == [b"", *RECORDS[:5]]
        assert (found[0].offset, found[0].length) == (0, len(lead))
        assert found[0].damage is not None


def test_padding_between_members_is_no_record():
    data = MEMBERS[0] + bytes(512) + MEMBERS[1] + b"\r\n" + gzip.compress(b"") + MEMBERS[2] + bytes(100)
    tally = Tally()
    rows = [r for b in read_pages(io.BytesIO(data), "a", tally) for r in b.to_pylist()]
    assert [r["drop_reason"] for r in rows] == [None] * 3
    assert (tally.records, tally.bytes) == (3, len(data))
    assert tally.not_response_bytes == {"padding": len(data) - sum(map(len, MEMBERS[:3]))}


@pytest.mark.parametrize("extra", [5, 40, 2000, 10**6, 10**12])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_length_that_is_too_large_swallows_no_record(extra: int, compressed: bool):
    html = b"<html>x</html>"
    wrong = page(1, html).replace(b"Content-Length: 58", b"Content-Length: %d" % (58 + extra))
    assert wrong != page(1, html)
    records = [RECORDS[0], wrong, *RECORDS[2:9]]
    found = members(gzip.compress(b"".join(records)) if compressed else b"".join(records))
    assert [m.data for m in found] == [RECORDS[0], b"", *RECORDS[2:9]]
    assert found[1].damage == f"its length of {58 + extra:,} bytes runs into the next record"
    assert (found[1].offset, found[1].length) == (len(RECORDS[0]), len(wrong))


def test_a_record_that_holds_an_archive_is_one_record():
    outer = [
        record(1, b"".join(RECORDS[:4]), kind="resource"),
        RECORDS[5],
        record(2, b"".join(RECORDS), kind="resource"),
    ]
    assert [m.data for m in members(b"".join(outer))] == outer
    assert [m.length for m in walk(io.BytesIO(b"".join(outer)), "a", 10)] == [len(r) for r in outer]


def test_a_record_cut_over_two_members_is_read():
    data = b"".join(gzip.compress(p) for p in (RECORDS[0][:300], RECORDS[0][300:] + RECORDS[1], RECORDS[2]))
    assert [m.data for m in members(data)] == RECORDS[:3]


def test_a_whole_gzip_is_lost_from_the_damage_on_and_says_so():
    data = gzip.compress(b"".join(record(i, random.Random(i).randbytes(3000)) for i in range(100)))
    at = len(data) // 2
    found = members(data[:at] + bytes(b ^ 0xFF for b in data[at : at + 64]) + data[at + 64 :])
    assert found[-1].damage is not None
    assert found[-1].damage.startswith("unreadable from here on: gzip: ")
    assert 40 < len([m for m in found if m.damage is None]) < 100
    assert {m.offset_kind for m in found} == {"uncompressed"}


def _digested(number: int) -> bytes:
    block = http(html_of(number))
    digest = base64.b32encode(hashlib.sha1(block, usedforsecurity=False).digest()).decode()
    return record(number, block, headers={"WARC-Block-Digest": f"sha1:{digest}"})


@pytest.mark.parametrize("length", [1, 64])
def test_of_a_damaged_whole_gzip_no_page_is_kept_that_is_not_as_it_was_written(length: int):
    """Inflating finds its way back after most damage, and only the end of the file tells that there was any."""
    records = [_digested(i) for i in range(100)]
    data = whole(records)
    for seed in range(40):
        at = random.Random(seed).randrange(len(data) // 10, len(data) - 100)
        found = members(data[:at] + bytes(b ^ 4 for b in data[at : at + length]) + data[at + length :])
        kept = [m.data for m in found if m.damage is None]
        assert kept == records[: len(kept)]
        assert [m.damage is not None for m in found] == [False] * len(kept) + [True]


def test_digests_that_never_hold_say_nothing_of_the_damage():
    odd = [record(i, http(html_of(i)), headers={"WARC-Block-Digest": "sha1:" + "A" * 32}) for i in range(100)]
    data = whole(odd)
    found = members(data[:-5] + bytes([data[-5] ^ 1]) + data[-4:])  # the CRC: all before it is as it was written
    kept = [m.data for m in found if m.damage is None]
    assert len(kept) > 40
    assert kept == odd[: len(kept)]


def test_a_whole_gzip_that_was_cut_keeps_what_follows_a_wrong_length():
    odd = [b.replace(b"Content-Length: ", b"Content-Length: 1") if i == 1 else b for i, b in enumerate(RECORDS[:9])]
    found = members(whole(odd)[:-20])
    assert [i for i, m in enumerate(found) if m.damage] == [1, 8]


def test_a_file_that_is_read_forth_and_back_has_its_own_checksum():
    at = STARTS[100] + 40
    for data in (ARCHIVE[:at] + bytes(64) + ARCHIVE[at + 64 :], whole(RECORDS), bytes(9) + ARCHIVE):
        stream = Digesting(io.BytesIO(data))
        assert len(list(walk(stream, "a.warc.gz", LIMIT))) >= 200  # type: ignore[arg-type]
        assert stream.finish() == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

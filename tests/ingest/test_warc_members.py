"""Records with their exact places; damage costs the record it hit, and no other."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_warcs import by_record, page, record, whole

from corpusmill.errors import InputError
from corpusmill.ingest.plain_records import Member
from corpusmill.ingest.warc_members import read_member, walk
from corpusmill.ingest.warc_pages import Tally, read_pages

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
    untouched = [r for i, r in enumerate(records) if i not in touched]
    assert [m.data for m in found if m.damage is None and m.data in untouched] == untouched
    # a flip in the gzip header's time or system byte harms nothing; anything else that was hit has a damage
    assert {m.data for m in found if m.damage is None} <= set(records)
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


def test_records_in_zstd_frames_of_their_own_are_read_and_found_again():
    zstandard = pytest.importorskip("zstandard")
    data = b"".join(zstandard.compress(r) for r in RECORDS[:5])
    found = members(data, "a.warc.zst")
    assert [_message(m.data) for m in found] == [_message(r) for r in RECORDS[:5]]
    assert sum(m.length for m in found) == len(data)
    again = [read_member(io.BytesIO(data), m.offset, m.length, m.offset_kind) for m in found]
    assert [_message(m) for m in again] == [_message(r) for r in RECORDS[:5]]


def test_no_record_of_a_member_that_holds_several_is_lost():
    data = by_record([RECORDS[0], RECORDS[1] + RECORDS[2], RECORDS[3]])
    tally = Tally()
    rows = [r for b in read_pages(io.BytesIO(data), "a.warc.gz", tally) for r in b.to_pylist()]
    assert [r["url"] for r in rows if r["drop_reason"] is None] == [f"https://site-{i}.example/page" for i in range(4)]


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
        (b"", "x.warc is empty: expected a WARC file"),
        (b"hello, world", "x.warc is not a WARC file: it begins with b'hell"),
        (b"\x7fELF\x02\x01", "x.warc is not a WARC file: it begins with b'\\x7fELF"),
        (b"filedesc://a.arc 0.0.0.0", "x.warc is not a WARC file: it begins with b'file"),
        (gzip.compress(b"hello, world"), "x.warc is not a WARC file: it is gzip, but holds b'hello, world'"),
        (gzip.compress(b""), "x.warc is not a WARC file: it is gzip, but holds b''"),
        (b"WARCRAFT", "x.warc is not a WARC file"),
    ],
)
def test_what_is_no_warc_is_refused_by_name_and_first_bytes(data: bytes, sentence: str):
    with pytest.raises(InputError) as caught:
        members(data, "x.warc")
    assert sentence in str(caught.value)


# What warcio counts otherwise, and why.
STRANGE = {
    "HTTP204.warc": "a Content-Length that is too small; warcio reads on at the next line, we stop and say so",
    "broken.warc": "a Content-Length that is too small; warcio gives up, we keep what stood before",
    "example-bad-non-chunked.warc.gz": "gzipped as a whole: warcio refuses such files",
    "example-trunc.warc": "bytes that belong to no record are a damaged one here; warcio passes over them",
    "example-wrong-chunks.warc.gz": "a record cut over two members: warcio refuses such files",
}


def test_every_odd_file_is_read_whole_or_refused_in_a_sentence(data_folder: Path):
    from warcio.archiveiterator import ArchiveIterator

    paths = sorted(p for p in (data_folder / "warc" / "edge").rglob("*") if p.is_file())
    assert len(paths) > 100
    counted = {}
    for path in paths:
        data = path.read_bytes()
        try:
            found = members(data, path.name)
        except InputError as e:
            assert str(e).startswith(path.name)  # noqa: PT017 (a refusal is one of two good ends)
            assert path.suffix in (".arc", ".ARC", ".lz4") or path.name.endswith(".arc.gz") or not data
            continue
        whole_file = {m.offset_kind for m in found} == {"uncompressed"}
        size = len(gzip.decompress(data)) if whole_file else len(data)
        assert sum(m.length for m in found) == size, path.name
        if path.name not in STRANGE:
            counted[path.name] = (len(found), sum(1 for _ in ArchiveIterator(io.BytesIO(data))))
    assert {name: pair for name, pair in counted.items() if pair[0] != pair[1]} == {}
    assert len(counted) > 70

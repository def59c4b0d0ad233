"""The odd archives of other projects: each is read without a crash, and what becomes of each record is checked in."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from make_edge_fates import TABLE, edge_files, fates_of_all

from corpusmill.ingest.warc_pages import Tally, read_pages

# What warcio counts otherwise: ours, warcio's, and why.
OTHERWISE = {
    "chatnoir-eu+chatnoir-resiliparse/block-sized-records.warc.lz4": (3, None, "warcio does not read LZ4"),
    "chatnoir-eu+chatnoir-resiliparse/warcfile.warc.lz4": (50, None, "warcio does not read LZ4"),
    "netarchivesuite/2-1-20080601120000-00000-dev.arc": (1, 0, "an empty file: told as damage, not passed over"),
    "netarchivesuite/2-2-20120903165904-00000-kb-test-har-002.kb.dk.warc": (1, 0, "as above"),
    "netarchivesuite/2-metadata-1.arc": (
        19, None, "no line break after its filedesc record: warcio loses the next line, and its way",
    ),
    "netarchivesuite/30-metadata-4.arc": (
        30, 29, "a second filedesc record of length 0: warcio takes the two lines after any filedesc to be its own",
    ),
    "netarchivesuite/42-117-20051212141240-00000-sb-test-har-001.statsbiblioteket.dk.ARC": (
        7, None, "bodies were overwritten with X and fit their lengths no more; warcio stops at the first",
    ),
    "netarchivesuite/42-117-20051212141240-00000-sb-test-har-001.statsbiblioteket.dk.arc": (8, None, "as above"),
    "netarchivesuite/42-117-20051212141240-00001-sb-test-har-001.statsbiblioteket.dk.arc": (8, None, "as above"),
    "netarchivesuite/42-117-20051212141242-00002-sb-test-har-001.statsbiblioteket.dk.arc": (9, None, "as above"),
    "oduwsdl+ipwb/HTTP204.warc": (
        5, 3, "two lengths too small: warcio passes over what is left, we count it as damage, for it may be a record",
    ),
    "oduwsdl+ipwb/broken.warc": (7, None, "the last length is too small: warcio gives up, we keep what stood before"),
    "ukwa+webarchive-discovery/IAH-20080430204825-00000-blackbook-truncated.arc": (
        9, None, "no line break after its filedesc record, as above",
    ),
    "webrecorder+warcio/bad.arc": (
        3, 4, "lengths of -1 and abc: warcio takes them as 0; we pass over to the next line that is whole",
    ),
    "webrecorder+warcio/example-bad-non-chunked.warc.gz": (6, None, "gzipped as a whole: warcio refuses such files"),
    "webrecorder+warcio/example-trunc.warc": (
        5, 4, "six bytes that belong to no record: warcio passes over them, we count them as damage",
    ),
    "webrecorder+warcio/example-wrong-chunks.warc.gz": (2, None, "a record cut over two members: warcio refuses it"),
}  # fmt: skip


@pytest.fixture(scope="module")
def fates(data_folder: Path) -> dict[str, dict[str, int]]:
    return fates_of_all(data_folder)


def test_every_record_of_every_odd_file_has_the_fate_that_is_checked_in(fates: dict[str, dict[str, int]]):
    assert len(fates) > 100
    assert fates == json.loads(TABLE.read_text(encoding="utf-8")), (
        "python -m tests.ingest.make_edge_fates writes it anew"
    )


def test_no_file_is_refused(fates: dict[str, dict[str, int]]):
    assert [name for name, found in fates.items() if any(reason.startswith("refused") for reason in found)] == []


def test_each_file_has_as_many_records_as_warcio_counts_or_there_is_a_reason(
    fates: dict[str, dict[str, int]], data_folder: Path
):
    paths = edge_files(data_folder)
    pairs = {name: (sum(fates[name].values()), _count(path)) for name, path in paths.items()}
    assert {name: pair for name, pair in pairs.items() if pair[0] != pair[1]} == {
        name: (ours, theirs) for name, (ours, theirs, _) in OTHERWISE.items()
    }


def test_every_page_has_the_body_that_warcio_decodes(data_folder: Path):
    compared = 0
    for name, path in edge_files(data_folder).items():
        if name in OTHERWISE or "brotli" in name or not path.stat().st_size:  # warcio crashes on brotli
            continue
        with path.open("rb") as f:
            ours = [r for b in read_pages(f, path.name, Tally()) for r in b.to_pylist()]
        responses = list(_responses(path))
        if len(ours) != len(responses):  # a conversion, or a record cut off
            continue
        for row, (url, body) in zip(ours, responses, strict=True):
            assert row["url"] is None or row["url"].replace(" ", "%20") == url, name
            if row["drop_reason"] is None and row["body"] != body:
                assert (name, row["warc_offset"]) in BODIES_OTHERWISE, (name, row["warc_offset"])
            compared += row["drop_reason"] is None
    assert compared > 200


# Pages whose body warcio decodes otherwise, and why.
BODIES_OTHERWISE: dict[tuple[str, int], str] = {}


def _count(path: Path) -> int | None:
    """warcio's count of records; None where it gives up."""
    from warcio.archiveiterator import ArchiveIterator
    from warcio.exceptions import ArchiveLoadFailed

    logging.getLogger("warcio").setLevel(logging.CRITICAL)
    try:
        with path.open("rb") as f:
            return sum(1 for _ in ArchiveIterator(f, no_record_parse=True))
    except ArchiveLoadFailed:
        return None


def _responses(path: Path) -> Iterator[tuple[str, Any]]:
    from warcio.archiveiterator import ArchiveIterator

    with path.open("rb") as f:
        for r in ArchiveIterator(f, arc2warc=True):
            if r.rec_type == "response":
                yield r.rec_headers.get_header("WARC-Target-URI"), r.content_stream().read()

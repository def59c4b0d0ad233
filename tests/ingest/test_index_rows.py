"""Records fetched by the rows of an index: the same pages as from the whole archives, and every row accounted for."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from range_server import RangeServer, serving
from small_warcs import http, page, record

from corpusmill.errors import InputError
from corpusmill.ingest import Tally, read_pages
from corpusmill.ingest.page_sources import open_source
from corpusmill.inputs import expand
from corpusmill.mill import open_mill
from corpusmill.provenance import document_text, reread
from corpusmill.recipe import Ingest, load_recipe
from corpusmill.storage import Folder

FILES = ("crawl-data/a.warc.gz", "crawl-data/b.warc.gz")
RECORDS = 30


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mirror")
    (folder / "crawl-data").mkdir()
    for k, file in enumerate(FILES):
        # a redirect among them, and a record that is no page at all
        records = [page(100 * k + i) for i in range(RECORDS - 2)]
        records.insert(5, record(90 + k, http(b"", status="302 Found")))
        records.insert(9, record(95 + k, b"GET / HTTP/1.1\r\n\r\n", kind="request"))
        (folder / file).write_bytes(b"".join(gzip.compress(r, mtime=0) for r in records))
    return folder


@pytest.fixture(scope="module")
def rows(mirror: Path) -> list[dict[str, Any]]:
    """The rows of a true index, shuffled: of another order than the archives."""
    found = []
    for file in FILES:
        data, offset = (mirror / file).read_bytes(), 0
        ends = [i for i in range(1, len(data)) if data.startswith(b"\x1f\x8b\x08\x00\x00\x00\x00\x00", i)]
        for i, end in enumerate([*ends, len(data)]):
            row = {"url_surtkey": "x", "url": f"https://{file[11]}-{i}.example/", "content_mime_type": "text/html"}
            place = {"warc_filename": file, "warc_record_offset": offset, "warc_record_length": end - offset}
            found.append(row | place)
            offset = end
    random.Random(1).shuffle(found)
    return found


@pytest.fixture
def server(mirror: Path) -> Iterator[RangeServer]:
    with serving(mirror) as running:
        yield running


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=16)
    elif path.name.endswith(".csv.gz"):
        text = io.StringIO()
        table = csv.DictWriter(text, rows[0])
        table.writeheader()
        table.writerows(rows)
        path.write_bytes(gzip.compress(text.getvalue().encode()))
    else:
        path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(path)


def pages_of_index(name: str, ingest: Ingest) -> tuple[list[dict[str, Any]], Tally]:
    tally, found = Tally(), []
    for part in expand([name], ingest):
        with open_source(part, ingest, tally) as source:
            found += [row for batch in source.pages for row in batch.to_pylist()]
    return found, tally


def pages_of_archives(mirror: Path, base: str) -> tuple[list[dict[str, Any]], Tally]:
    tally, found = Tally(), []
    for file in FILES:
        with (mirror / file).open("rb") as f:
            found += [row for b in read_pages(f, base + file, tally) for row in b.to_pylist()]
    return found, tally


@pytest.mark.parametrize("file", ["index.parquet", "index.csv.gz", "index.jsonl"])
@pytest.mark.parametrize("rows_per_part", [1000, 7])
def test_the_rows_of_an_index_give_the_pages_of_the_archives(
    file: str, rows_per_part: int, mirror: Path, rows: list[dict[str, Any]], tmp_path: Path
):
    ingest = Ingest(crawl_base=f"{mirror}/", rows_per_part=rows_per_part)
    found, tally = pages_of_index(write(tmp_path / file, rows), ingest)
    whole, whole_tally = pages_of_archives(mirror, f"{mirror}/")
    by_place = sorted(found, key=lambda r: (r["warc_file"], r["warc_offset"]))
    assert by_place == whole
    assert (tally.records, tally.bytes, tally.not_response) == (
        whole_tally.records, whole_tally.bytes, whole_tally.not_response,
    )  # fmt: skip


def test_the_answers_of_the_url_index_are_an_index_too(mirror: Path, rows: list[dict[str, Any]], tmp_path: Path):
    short = {"warc_filename": "filename", "warc_record_offset": "offset", "warc_record_length": "length", "url": "url"}
    answers = [{new: str(row[old]) for old, new in short.items()} for row in rows]
    found, _ = pages_of_index(write(tmp_path / "cdx.jsonl", answers), Ingest(crawl_base=str(mirror)))
    assert len(found) == len(pages_of_archives(mirror, "")[0])


def test_neighbouring_records_are_fetched_together(
    server: RangeServer, mirror: Path, rows: list[dict[str, Any]], tmp_path: Path
):
    ingest = Ingest(crawl_base=server.url)
    found, _ = pages_of_index(write(tmp_path / "index.parquet", rows), ingest)
    assert len(found) == 2 * (RECORDS - 1)
    assert [(name, start) for name, start, _ in sorted(server.gets)] == [(f, 0) for f in FILES]


def test_a_part_knows_its_bytes_before_it_is_read(mirror: Path, rows: list[dict[str, Any]], tmp_path: Path):
    name = write(tmp_path / "index.parquet", rows)
    parts = expand([name], Ingest(crawl_base=str(mirror), rows_per_part=25))
    assert list(parts) == [f"{name}#rows={span}" for span in ("0-25", "25-50", "50-60")]
    assert sum(parts.values()) == sum((mirror / f).stat().st_size for f in FILES)


def test_a_row_that_names_no_record_is_one_dropped_row(mirror: Path, rows: list[dict[str, Any]], tmp_path: Path):
    good = min(rows, key=lambda r: (r["warc_filename"], r["warc_record_offset"]))
    length, end = good["warc_record_length"], (mirror / FILES[0]).stat().st_size
    odd = [
        good,
        good,
        good | {"warc_record_offset": 3},
        good | {"warc_record_offset": end + 5},
        good | {"warc_filename": FILES[1], "warc_record_length": length - 20},
        good | {"warc_record_offset": length, "warc_record_length": end - length},
        good | {"warc_record_length": 0},
        good | {"warc_filename": None},
        good | {"warc_record_offset": 1, "warc_record_length": 1 << 40},
    ]
    name = write(tmp_path / "index.parquet", odd)
    found, tally = pages_of_index(name, Ingest(crawl_base=str(mirror)))
    reasons = Counter(r["drop_reason"] for r in found)
    assert reasons == {
        None: 1, "repeated_row": 1, "range_without_record": 4, "bad_index_row": 2, "too_large": 1,
    }  # fmt: skip
    assert tally.records == len(odd)
    assert tally.bytes == sum(r["warc_length"] for r in found)
    details = " ".join(r["drop_detail"] or "" for r in found)
    assert f"{name}:2: {length:,} bytes at 3 of {mirror}/{FILES[0]}: no record begins there" in details
    assert "the archive ends before it" in details
    assert "it holds 29 records" in details


def test_an_archive_that_is_not_there_stops_the_job(server: RangeServer, rows: list[dict[str, Any]], tmp_path: Path):
    name = write(tmp_path / "index.parquet", [rows[0] | {"warc_filename": "crawl-data/none.warc.gz"}])
    for base in (server.url, str(tmp_path)):
        with pytest.raises(InputError, match=r"crawl-data/none\.warc\.gz: there is no such file"):
            pages_of_index(name, Ingest(crawl_base=base))


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("cut.csv.gz", "Compressed file ended before"),
        ("flip.csv.gz", "CRC check failed"),
        ("quote.csv.gz", "field larger than field limit"),
        ("flip.parquet", ""),
    ],
)
def test_an_index_that_is_damaged_is_refused_in_a_sentence(form: str, words: str, tmp_path: Path):
    rng = random.Random(1)
    table = [
        {"warc_filename": f"{rng.random()}", "warc_record_offset": i, "warc_record_length": 9} for i in range(9000)
    ]
    data = bytearray(Path(write(tmp_path / f"whole{form[form.index('.') :]}", table)).read_bytes())
    if form == "cut.csv.gz":
        del data[-100:]
    elif form == "quote.csv.gz":
        data = bytearray(gzip.compress(gzip.decompress(data).replace(b"\n", b'\n"', 1)))
    else:
        at = len(data) - 6 if form == "flip.csv.gz" else len(data) // 3
        data[at : at + 100] = bytes(b ^ 0xFF for b in data[at : at + 100])
    (tmp_path / form).write_bytes(data)
    with pytest.raises(InputError, match=rf"{form} cannot be read to its end: .*{words}.*An index must be whole"):
        expand([str(tmp_path / form)])


def test_an_index_may_begin_with_a_byte_order_mark(tmp_path: Path):
    (tmp_path / "x.csv").write_text("\ufeffwarc_filename,warc_record_offset,warc_record_length\na,0,9\n", "utf-8")
    assert expand([str(tmp_path / "x.csv")]) == {f"{tmp_path}/x.csv#rows=0-1": 9}


@pytest.mark.parametrize(
    ("table", "words"),
    [({"url": ["x"], "warc_filename": ["y"]}, "has no column 'text'"), ({}, "is not a Parquet file")],
)
def test_a_parquet_file_that_is_no_index_is_said_to_be_none(table: dict[str, Any], words: str, tmp_path: Path):
    if table:
        pq.write_table(pa.table(table), tmp_path / "x.parquet")
    else:
        (tmp_path / "x.parquet").write_bytes(b"x")
    with pytest.raises(InputError, match=words):
        pages_of_index(str(tmp_path / "x.parquet"), Ingest())


def test_a_table_as_csv_must_be_an_index(tmp_path: Path):
    (tmp_path / "x.csv").write_text("url,text\na,b\n")
    with pytest.raises(InputError, match=r"an index of records, with columns warc_filename, .*; it has url, text"):
        expand([str(tmp_path / "x.csv")])


def test_documents_of_an_index_are_those_of_the_archive_and_are_found_again(web: Path, tmp_path: Path):
    recipe = load_recipe("sample", [f"ingest.crawl_base={web.parent}/", "ingest.rows_per_part=200"])
    with web.open("rb") as f:
        from corpusmill.ingest.warc_members import walk

        members = [(m.offset, m.length) for m in walk(f, "web", 1 << 30)]
    index = [
        {"warc_filename": web.name, "warc_record_offset": offset, "warc_record_length": length}
        for offset, length in members
    ]
    texts = []
    for i, given in enumerate((write(tmp_path / "index.parquet", index), str(web))):
        with open_mill(str(tmp_path / f"run{i}"), recipe, inputs=[given], workers=1) as mill:
            totals = mill.run("clean")
        assert totals["archive_bytes"]["read"] == web.stat().st_size
        parts = sorted((tmp_path / f"run{i}" / "documents").glob("*.parquet"))
        texts.append([r for p in parts for r in pq.read_table(p).to_pylist()])
    assert texts[0] == texts[1]
    place = texts[0][7]
    run = Folder(str(tmp_path / "run0"))
    assert place["warc_file"] == str(web)
    assert reread(run, place) == document_text(run, 7)

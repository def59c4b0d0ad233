"""Documents that are not WARC: JSON lines, Parquet, Arrow and data set folders give rows, and every line its fate."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.errors import InputError
from corpusmill.ingest import Tally
from corpusmill.ingest.json_lines import lines
from corpusmill.ingest.page_sources import open_source, page_at
from corpusmill.inputs import expand
from corpusmill.recipe import Columns, Ingest

PACKINGS = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}
TEXTS = ["The first text.", "Ein zweiter\nmit zwei Zeilen.", "第三個文本", "x" * 3000]
DOCUMENTS = [
    {"id": f"d{i}", "url": f"https://{i}.example/p", "date": f"2024-02-0{i + 1}T00:00:00Z", "text": text}
    for i, text in enumerate(TEXTS)
]


def rows_of(name: str, ingest: Ingest | None = None) -> tuple[list[dict[str, Any]], Tally]:
    tally, found = Tally(), []
    with open_source(name, ingest or Ingest(), tally) as source:
        found = [row for batch in source.pages for row in batch.to_pylist()]
        source.finish()
    return found, tally


def json_lines(documents: list[Any]) -> bytes:
    return b"".join(json.dumps(d, ensure_ascii=False).encode() + b"\n" for d in documents)


def write(path: Path, documents: list[dict[str, Any]]) -> str:
    """The same documents in the form that the name says."""
    table = pa.Table.from_pylist(documents)
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=3)
    elif path.suffix == ".arrow":
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as out:
            out.write_table(table, max_chunksize=3)
    else:
        path.write_bytes(PACKINGS[path.suffix if path.suffix in PACKINGS else ""](json_lines(documents)))
    return str(path)


@pytest.mark.parametrize("file", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.json.gz", "a.parquet", "a.arrow"])
def test_every_form_gives_the_same_texts_and_each_is_found_again(file: str, tmp_path: Path):
    name = write(tmp_path / file, DOCUMENTS)
    found, tally = rows_of(name)
    wanted = [(d["id"], d["url"], d["url"][8:17], d["text"], d["date"]) for d in DOCUMENTS]
    assert [
        (r["id"], r["url"], r["host"], r["text"], r["fetched_at"].isoformat().replace("+00:00", "Z")) for r in found
    ] == wanted
    assert {r["drop_reason"] for r in found} == {None}
    assert (tally.records, tally.bytes) == (len(found), sum(r["warc_length"] for r in found))
    for row in found:
        again = page_at(name, row, Ingest())
        assert again is not None
        assert again.column("text").to_pylist() == [row["text"]]


@pytest.mark.parametrize(("file", "kind"), [("a.jsonl", "line"), ("a.jsonl.zst", "uncompressed"), ("a.parquet", "row")])
def test_the_place_of_a_text_is_the_byte_of_its_line_or_the_number_of_its_row(file: str, kind: str, tmp_path: Path):
    found, _ = rows_of(write(tmp_path / file, DOCUMENTS))
    whole = json_lines(DOCUMENTS)
    assert {r["offset_kind"] for r in found} == {kind}
    if kind == "row":
        assert [r["warc_offset"] for r in found] == list(range(len(TEXTS)))
    else:
        cut = [whole[r["warc_offset"] : r["warc_offset"] + r["warc_length"]] for r in found]
        assert b"".join(cut) == whole


def test_columns_have_the_names_that_the_recipe_gives_them(tmp_path: Path):
    documents = [{"uid": 7 + i, "meta": {"link": d["url"]}, "content": d["text"]} for i, d in enumerate(DOCUMENTS)]
    ingest = Ingest(columns=Columns(text="content", id="uid", url="meta.link"))
    for file in ("a.jsonl", "a.parquet", "a.arrow"):
        found, _ = rows_of(write(tmp_path / file, documents), ingest)
        assert [(r["id"], r["url"], r["text"]) for r in found] == [
            (str(d["uid"]), d["meta"]["link"], d["content"])  # type: ignore[index]
            for d in documents
        ]


@pytest.mark.parametrize("file", ["a.jsonl", "a.parquet", "a.arrow"])
def test_without_a_text_column_the_columns_that_are_there_are_named(file: str, tmp_path: Path):
    name = write(tmp_path / file, [{"content": "x", "uid": "1"}])
    with pytest.raises(InputError, match=r"has no column 'text'; it has content, uid\. Say which holds the text"):
        rows_of(name)


@pytest.mark.parametrize("file", ["a.parquet", "a.arrow"])
def test_a_text_column_of_numbers_is_refused(file: str, tmp_path: Path):
    with pytest.raises(InputError, match="column 'text' is of type int64; expected a column of strings"):
        rows_of(write(tmp_path / file, [{"text": 1}]))


def test_one_json_array_is_refused_with_what_to_do(tmp_path: Path):
    (tmp_path / "a.json").write_text(json.dumps(DOCUMENTS, indent=1))
    with pytest.raises(InputError, match=r"is one JSON array; expected one object a line. Make it so: jq -c"):
        rows_of(str(tmp_path / "a.json"))


ODD_LINES = [
    (b'{"text": "good"}\n', None),
    (b"{not json}\n", "not_json"),
    (b"\xff\xfe\n", "not_json"),
    (b"[1, 2]\n", "not_json"),
    (b'"text"\n', "not_json"),
    (b"\n", "blank_line"),
    (b'{"id": "x"}\n', "no_text"),
    (b'{"text": null}\n', "no_text"),
    (b'{"text": "  "}\n', "no_text"),
    (b'{"text": 5}\n', "text_not_a_string"),
    (b'{"text": ["a"]}\n', "text_not_a_string"),
    (b"[" * 100_000 + b"\n", "not_json"),
    (b'{"id": ' + b"9" * 5000 + b', "text": "x"}\n', "not_json"),
    (b'{"text": "' + b"y" * 2000 + b'"}\n', "too_large"),
    (b'{"text": "lone \\ud800 surrogate", "id": true, "date": "soon", "url": 3}\n', None),
    (b'{"text": "no end of line"}', None),
]


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_line_that_is_no_document_is_one_dropped_row_with_its_place(packing: str, tmp_path: Path):
    name = str(tmp_path / f"a.jsonl{packing}")
    whole = b"".join(line for line, _ in ODD_LINES)
    Path(name).write_bytes(PACKINGS[packing](whole))
    found, tally = rows_of(name, Ingest(max_page_bytes=1000))
    assert [r["drop_reason"] for r in found] == [reason for _, reason in ODD_LINES]
    assert all(r["drop_detail"].startswith(f"{name}:{n}") for n, r in enumerate(found, 1) if r["drop_reason"])
    assert (tally.records, tally.bytes) == (len(ODD_LINES), len(whole))
    assert [r["text"] for r in found if r["text"]] == ["good", "lone ? surrogate", "no end of line"]


def test_a_null_or_empty_text_of_a_table_is_one_dropped_row(tmp_path: Path):
    table = pa.table({"text": pa.array(["a", None, " ", "b"]).dictionary_encode(), "id": [1, 2, 3, None]})
    pq.write_table(table, tmp_path / "a.parquet")
    found, _ = rows_of(str(tmp_path / "a.parquet"))
    assert [(r["id"][-1], r["text"], r["drop_reason"]) for r in found] == [
        ("1", "a", None), ("2", None, "no_text"), ("3", None, "no_text"), ("3", "b", None),
    ]  # fmt: skip


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_of_a_cut_file_the_lines_before_the_cut_stay_and_the_loss_is_one_row(packing: str, tmp_path: Path):
    documents = [{"text": f"text {i}: " + hex(i**40)} for i in range(20_000)]
    packed = PACKINGS[packing](json_lines(documents))
    (tmp_path / f"a.jsonl{packing}").write_bytes(packed[: len(packed) // 2])
    found, tally = rows_of(str(tmp_path / f"a.jsonl{packing}"))
    kept = [r["text"] for r in found if r["drop_reason"] is None]
    assert kept == [d["text"] for d in documents[: len(kept)]]
    assert len(kept) > 8000
    assert [r["drop_reason"] for r in found[len(kept) :]] == ["damaged_record"]
    assert tally.bytes == sum(r["warc_length"] for r in found)


def test_of_a_damaged_parquet_the_row_group_is_lost_row_by_row(tmp_path: Path):
    documents = [{"text": f"{i} " + "word " * 200} for i in range(9)]
    pq.write_table(pa.Table.from_pylist(documents), tmp_path / "a.parquet", row_group_size=3, use_dictionary=False)
    raw = bytearray((tmp_path / "a.parquet").read_bytes())
    chunk = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(1).column(0)
    raw[chunk.data_page_offset : chunk.data_page_offset + chunk.total_compressed_size] = b"\xff" * (
        chunk.total_compressed_size
    )
    (tmp_path / "a.parquet").write_bytes(raw)
    found, tally = rows_of(str(tmp_path / "a.parquet"))
    assert [r["drop_reason"] for r in found] == [None] * 3 + ["damaged_record"] * 3 + [None] * 3
    assert tally.records == 9


def test_an_arrow_stream_that_ends_early_loses_what_follows_as_one_row(tmp_path: Path):
    name = write(tmp_path / "a.arrow", [{"text": "word " * 200} for _ in range(9)])
    raw = Path(name).read_bytes()
    Path(name).write_bytes(raw[: len(raw) - 1000])
    found, _ = rows_of(name)
    assert [r["drop_reason"] for r in found] == [None] * 6 + ["damaged_record"]


class Drip(io.BytesIO):
    """Gives at most 7 bytes a read, so that lines are met in pieces."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(7)


@given(st.text("ab\n", max_size=100).map(str.encode), st.integers(1, 20))
def test_lines_are_those_of_python_and_the_longest_are_left_out(data: bytes, limit: int):
    found = list(lines(Drip(data), limit))
    whole = data.split(b"\n")
    wanted = [line + b"\n" for line in whole[:-1]] + ([whole[-1]] if whole[-1] else [])
    assert [line.data for line in found] == [w if len(w) <= limit else None for w in wanted]
    assert [line.length for line in found] == [len(w) for w in wanted]
    assert [line.offset for line in found] == [sum(map(len, wanted[:i])) for i in range(len(wanted))]
    assert [line.number for line in found] == list(range(1, len(wanted) + 1))


SAVED = Path(__file__).parent / "saved_dataset"
"""Made by datasets 5.2.0: DatasetDict({"train": ..., "test": ...}).save_to_disk(...), see make_saved_dataset.py."""


def test_a_saved_data_set_is_read_split_by_split_in_its_own_order():
    found = list(expand([str(SAVED)]))
    assert [n.removeprefix(f"{SAVED}/") for n in found] == [
        "test/data-00000-of-00001.arrow",
        "train/data-00000-of-00002.arrow",
        "train/data-00001-of-00002.arrow",
    ]
    assert list(expand([f"{SAVED}/train/"])) == found[1:]
    rows = [r for n in found[1:] for r in rows_of(n)[0]]
    assert [(r["id"], r["text"]) for r in rows] == [
        ("a", "one two"), ("b", "drei vier"), ("c", "五六"), ("d", "sept\nhuit"), ("e", "nueve"),
    ]  # fmt: skip


def test_a_folder_of_data_files_is_a_data_set_and_caches_and_hidden_files_are_none(tmp_path: Path):
    for name in ("data/b.jsonl.zst", "data/a.parquet", ".hidden/x.jsonl", "cache-1.arrow", "dataset_infos.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, DOCUMENTS)
    (tmp_path / "README.md").write_text("x")
    assert list(expand([str(tmp_path)])) == [f"{tmp_path}/data/a.parquet", f"{tmp_path}/data/b.jsonl.zst"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.warc.gz": "", "a.truth.jsonl": ""}, r"is a folder; give the WARC files in it"),
        ({"recipe.json": "{}", "documents/p.parquet": ""}, r"is a run folder: give its documents"),
        (
            {"state.json": '{"_data_files": [{"filename": "x.arrow"}]}'},
            r"x\.arrow is missing; its state",
        ),
        ({"state.json": "{}"}, r"state\.json names no data files"),
        ({"state.json": "{"}, r"state\.json is not JSON"),
        ({"notes.txt": ""}, r"is a folder; give the WARC files in it"),
    ],
)
def test_any_other_folder_is_refused_with_what_to_give(files: dict[str, str], words: str, tmp_path: Path):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=words):
        expand([str(tmp_path)])

"""Documents out and in again: the same texts and ids in every form, whole or not at all."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from corpusmill.document_files import write_dataset
from corpusmill.documents_out import COLUMNS, write_documents
from corpusmill.errors import DamagedError, InputError
from corpusmill.ingest import Tally
from corpusmill.ingest.page_sources import open_source
from corpusmill.inputs import expand
from corpusmill.ledger import StageLedger
from corpusmill.mill import open_mill
from corpusmill.parquet_parts import PartWriter, read_part
from corpusmill.provenance import document_text, fates, reread
from corpusmill.recipe import Ingest, load_recipe
from corpusmill.schemas import CUTS, DOCUMENTS, REMOVED
from corpusmill.storage import Folder

FORMS = ("out.jsonl", "out.jsonl.gz", "out.jsonl.zst", "out.parquet", "out/")


@pytest.fixture(scope="module")
def run(web: Path, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The generated web, cleaned and deduplicated."""
    folder = tmp_path_factory.mktemp("out") / "run"
    with open_mill(str(folder), load_recipe("sample"), inputs=[str(web)], workers=1) as mill:
        mill.run("clean")
        mill.run("dedup")
    return Folder(str(folder))


def documents_of(run: Folder) -> list[dict[str, Any]]:
    return pq.read_table(run.local_path("documents/part-00000.parquet")).to_pylist()


def read_again(name: str) -> list[dict[str, Any]]:
    rows = []
    for part in expand([name]):
        with open_source(part, Ingest(), Tally()) as source:
            rows += [row for batch in source.pages for row in batch.to_pylist()]
    return rows


@pytest.mark.parametrize("form", FORMS)
def test_out_and_in_again_gives_the_same_texts_ids_addresses_and_times(form: str, run: Folder, tmp_path: Path):
    written = write_documents(run, f"{tmp_path}/{form}")
    documents, again = documents_of(run), read_again(f"{tmp_path}/{form}")
    keys = ("id", "url", "host", "fetched_at", "text")
    assert [tuple(r[k] for k in keys) for r in again] == [tuple(r[k] for k in keys) for r in documents]
    assert {r["drop_reason"] for r in again} == {None}
    assert written.rows == len(documents)
    files = list((tmp_path / form).rglob("*")) if form.endswith("/") else [tmp_path / form]
    assert written.bytes == sum(p.stat().st_size for p in files)
    assert {p.name for p in tmp_path.iterdir()} == {form.rstrip("/")}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_documents_are_the_same_bytes(form: str, run: Folder, tmp_path: Path):
    def made(folder: Path) -> dict[str, bytes]:
        write_documents(run, f"{folder}/{form}")
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    assert made(tmp_path / "a") == made(tmp_path / "b")


def test_json_lines_have_the_columns_in_their_order_and_no_nulls(run: Folder, tmp_path: Path):
    write_documents(run, f"{tmp_path}/a.jsonl.gz", columns=("text", "id", "scores", "measures", "fetched_at"))
    lines = gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()).decode().splitlines()
    first, document = json.loads(lines[0]), documents_of(run)[0]
    assert list(first) == ["text", "id", "measures", "fetched_at"]
    assert document["scores"] is None
    assert first["measures"] == document["measures"]
    assert first["fetched_at"] == document["fetched_at"].strftime("%Y-%m-%dT%H:%M:%SZ")
    assert set(COLUMNS) <= set(DOCUMENTS.names)


def test_after_dedup_the_removed_are_gone_and_the_cuts_are_applied(run: Folder, web: Path, tmp_path: Path):
    removed = {r["id"] for b in read_part(run, "removed/part-00000.parquet", REMOVED) for r in b.to_pylist()}
    assert removed
    documents = [d for d in documents_of(run) if d["id"] not in removed]
    write_documents(run, f"{tmp_path}/all.jsonl", after="dedup")
    assert [r["id"] for r in read_again(f"{tmp_path}/all.jsonl")] == [d["id"] for d in documents]
    with open_mill(str(tmp_path / "cut"), load_recipe("sample"), inputs=[str(web)], workers=1) as mill:
        mill.run("clean")
        mill.run("dedup")
    cut = Folder(str(tmp_path / "cut"))
    # a cut as a later stage writes it: the first four bytes of the first document
    with PartWriter(cut.local_path("cuts/part-00000.parquet"), CUTS) as out:
        import pyarrow as pa

        out.write(pa.RecordBatch.from_pylist([{"address": 0, "start": 0, "end": 4, "why": "x"}], schema=CUTS))
    name = "dedup/manifest.json"
    manifest = cut.read_json(name)
    manifest["outputs"]["cuts/part-00000.parquet"]["bytes"] = cut.size("cuts/part-00000.parquet")
    cut.write_json(name, manifest)
    write_documents(cut, f"{tmp_path}/cut.parquet", after="dedup", columns=("text",))
    texts = pq.read_table(tmp_path / "cut.parquet").column("text").to_pylist()
    assert texts == [d["text"][4:] if i == 0 else d["text"] for i, d in enumerate(documents)]


@pytest.mark.parametrize(
    ("to", "options", "words"),
    [
        ("out.csv", {}, r"expected a name ending in \.jsonl, \.jsonl\.gz, \.jsonl\.zst, \.parquet, or in /"),
        ("a.jsonl", {"columns": ["texts"]}, "documents have no column 'texts'; did you mean 'text'"),
        ("a.jsonl", {"after": "dedupe"}, "documents stand after clean or dedup; did you mean 'dedup'"),
        ("there.jsonl", {}, "exists already: give another name"),
    ],
)
def test_what_cannot_be_written_is_said_and_nothing_is_left(
    to: str, options: dict[str, Any], words: str, run: Folder, tmp_path: Path
):
    (tmp_path / "there.jsonl").write_text("mine")
    with pytest.raises(InputError, match=words):
        write_documents(run, f"{tmp_path}/{to}", **options)
    assert [p.name for p in tmp_path.iterdir()] == ["there.jsonl"]
    assert (tmp_path / "there.jsonl").read_text() == "mine"


def test_a_run_that_is_damaged_or_not_that_far_writes_nothing(run: Folder, web: Path, tmp_path: Path):
    with open_mill(str(tmp_path / "run"), load_recipe("sample"), inputs=[str(web)], workers=1) as mill:
        mill.run("clean")
    other = Folder(str(tmp_path / "run"))
    with pytest.raises(InputError, match="has no finished dedup stage yet"):
        write_documents(other, f"{tmp_path}/a.jsonl", after="dedup")
    part = other.local_path("documents/part-00000.parquet")
    raw = bytearray(part.read_bytes())
    raw[1000:3000] = bytes(2000)
    part.write_bytes(raw)
    for form in ("a.jsonl", "b/"):
        with pytest.raises((OSError, DamagedError)):
            write_documents(other, f"{tmp_path}/{form}")
    part.write_bytes(raw[:-9])
    with pytest.raises(DamagedError, match="its manifest says"):
        write_documents(other, f"{tmp_path}/a.jsonl")
    assert {p.name for p in tmp_path.iterdir()} == {"run"}


def test_a_data_set_is_cut_into_files_and_an_empty_one_has_one(run: Folder, tmp_path: Path):
    schema = DOCUMENTS.remove_metadata()
    batches = list(read_part(run, "documents/part-00000.parquet", DOCUMENTS))
    rows = write_dataset(tmp_path / "many", schema, [b.slice(i, 20) for b in batches for i in range(0, 60, 20)], 50_000)
    names = sorted(p.name for p in (tmp_path / "many").glob("*.arrow"))
    assert (rows, names) == (60, [f"data-{i:05d}-of-{len(names):05d}.arrow" for i in range(len(names))])
    assert len(names) > 1
    assert [r["text"] for r in read_again(f"{tmp_path}/many")] == [d["text"] for d in documents_of(run)[:60]]
    assert write_dataset(tmp_path / "none", schema, []) == 0
    assert read_again(f"{tmp_path}/none") == []


def test_documents_that_went_out_flow_through_the_whole_clean_stage_again(run: Folder, tmp_path: Path):
    """Identities hold, every document is asked after by its id, and its line is read again."""
    write_documents(run, f"{tmp_path}/in.jsonl.zst")
    (tmp_path / "odd.jsonl").write_text('{"id": "odd"}\n{"text": "too short"}\nno json\n')
    write_documents(run, f"{tmp_path}/in.parquet", columns=("id", "text"))
    again = Folder(str(tmp_path / "run"))
    inputs = [f"{tmp_path}/{n}" for n in ("in.jsonl.zst", "in.parquet", "odd.jsonl")]
    with open_mill(again.url, load_recipe("sample"), inputs=inputs, workers=1) as mill:
        totals = mill.run("clean")
    documents = documents_of(run)
    assert totals["records"] == 2 * len(documents) + 3
    assert totals["documents"] == 2 * len(documents)
    assert sum(totals["dropped"].values()) == 3
    assert totals["dropped"]["no_text"] == totals["dropped"]["not_json"] == 1
    first, second = (f["address"] for f in fates(again, documents[3]["id"]))
    assert document_text(again, first) == document_text(again, second) == documents[3]["text"]
    for found in fates(again, documents[3]["id"]):
        assert reread(again, found) == documents[3]["text"]
    (odd,) = fates(again, "odd")
    assert (odd["fate"], odd["drop_reason"], odd["drop_stage"]) == ("dropped", "no_text", "ingest")
    assert odd["drop_detail"] == f"{tmp_path}/odd.jsonl:1: 'text' is not there"
    assert StageLedger(again, "clean").record(0) is not None


def test_documents_go_to_an_object_store_and_come_back(run: Folder, monkeypatch: pytest.MonkeyPatch):
    from moto.server import ThreadedMotoServer

    store = ThreadedMotoServer(port=0)
    store.start()
    try:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*store.get_host_and_port()))
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("corpus")
        texts = [d["text"] for d in documents_of(run)]
        for form in ("a.jsonl.gz", "a.parquet", "set/"):
            write_documents(run, f"s3://corpus/x/{form}")
            assert [r["text"] for r in read_again(f"s3://corpus/x/{form}")] == texts
    finally:
        store.stop()
        s3fs.S3FileSystem.clear_instance_cache()


def test_inspect_shows_texts_of_every_form(run: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from rich.console import Console

    from corpusmill.inspection import show

    for form in FORMS:
        write_documents(run, f"{tmp_path}/{form}")
        file = f"{tmp_path}/{form}" + ("data-00000-of-00001.arrow" if form.endswith("/") else "")
        show(Console(soft_wrap=True), file, 1)
        assert documents_of(run)[0]["id"] in capsys.readouterr().out

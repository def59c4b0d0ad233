"""A corpus with planted duplicates as a run folder whose clean stage is finished, its truth beside it.

    FOLDER/run/     documents/part-*.parquet and what the ledger of the clean stage leaves
    FOLDER/truth/   part-*.parquet: for each document its address, base and kind
    FOLDER/plain/   part-*.jsonl: id and text alone, for peers (on request)

Memory is the plan (nine bytes a document) and a row group. The bytes depend on the pool, the number and the seed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.corpus_kernels import room, write_documents
from benchmarks.corpus_plan import Plan, planted
from benchmarks.sentence_pool import Pool
from corpusmill.columns import byte_lengths
from corpusmill.ledger import PartRegistry, StageLedger, part_name
from corpusmill.mill import keep_recipe
from corpusmill.parquet_parts import ROWS_PER_GROUP, PartWriter
from corpusmill.recipe import Recipe, parse_recipe
from corpusmill.schemas import ADDRESS_STRIDE, DOCUMENTS, FORMAT_VERSION, VERSION_KEY
from corpusmill.storage import Folder, digest

PART_DOCUMENTS = 50_000
LEAST_PARTS = 4
"""A small corpus has these at least, so that two workers, or two tasks of a peer, have work alike."""
_VERSION = {VERSION_KEY: str(FORMAT_VERSION).encode()}
TRUTH = pa.schema([("address", pa.int64()), ("base", pa.int64()), ("kind", pa.int8())], metadata=_VERSION)
_FIRST_FETCH = 1_767_225_600_000_000  # 2026-01-01, microseconds


@dataclass(frozen=True)
class Corpus:
    """Where it lies, and how large it is."""

    folder: Path
    documents: int
    parts: int
    text_bytes: int

    @property
    def run(self) -> str:
        return str(self.folder / "run")

    @property
    def plain(self) -> str:
        return str(self.folder / "plain")

    def truth(self) -> pa.Table:
        """All rows of TRUTH, by address."""
        return pa.concat_tables(pq.read_table(self.folder / f"truth/{part_name(p)}.parquet") for p in range(self.parts))

    def __str__(self) -> str:
        return f"{self.documents:,} documents ({self.text_bytes / 1e6:,.0f} MB), 30% of them planted duplicates"


def write_corpus(folder: Path, pool: Pool, documents: int, seed: int = 1, *, plain: bool = False) -> Corpus:
    """Make the corpus. `plain` writes it a second time, for peers."""
    plan = planted(documents, seed)
    size = part_size(documents)
    pieces = [slice(start, min(start + size, documents)) for start in range(0, documents, size)]
    parts = (
        texts_of(pool, plan.at(rows), np.arange(rows.start, rows.stop, dtype=np.int64), seed, batch=ROWS_PER_GROUP)
        for rows in pieces
    )
    text_bytes = 0
    records = []
    writer = RunWriter(Folder(str(folder / "run")), [f"planted:{documents}:{seed}:{p}" for p in range(len(pieces))])
    for part, texts in enumerate(parts):
        with ExitStack() as stack:
            copy = stack.enter_context(_fresh(folder / f"plain/{part_name(part)}.jsonl").open("w")) if plain else None
            path = _fresh(folder / f"truth/{part_name(part)}.parquet")
            truth = stack.enter_context(PartWriter(path, TRUTH))
            records.append(writer.write(part, _tee(texts, part, pieces[part].start, copy)))
            truth.write(_truth(plan.at(pieces[part]), part))
        text_bytes += records[-1]["counts"]["text_bytes"]
    writer.finish(records)
    return Corpus(folder, documents, len(pieces), text_bytes)


def part_size(documents: int) -> int:
    return min(PART_DOCUMENTS, -(-documents // LEAST_PARTS))


def texts_of(pool: Pool, plan: Plan, numbers: np.ndarray, seed: int, batch: int) -> Iterator[pa.Array]:
    """Texts (large_string) of the documents with these numbers, `batch` at a time."""
    for start in range(0, len(numbers), batch):
        rows = slice(start, start + batch)
        chosen = plan.at(rows)
        offsets = np.empty(len(chosen.base) + 1, np.int64)
        out = np.empty(room(chosen.base, np.uint64(seed), pool.offsets, pool.words), np.uint8)
        write_documents(
            numbers[rows], chosen.base, chosen.edit, chosen.rate, np.uint64(seed), *pool, offsets, out
        )  # fmt: skip
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(out[: offsets[-1]].copy())]
        yield pa.LargeStringArray.from_buffers(len(chosen.base), buffers[1], buffers[2])


class RunWriter:
    """Writes a run folder as the clean stage leaves it, from texts alone."""

    def __init__(self, run: Folder, inputs: list[str], recipe: Recipe | None = None) -> None:
        self.run, self.ledger = run, StageLedger(run, "clean")
        keep_recipe(run, recipe or parse_recipe({}))
        entries = PartRegistry(run).register(inputs, dict.fromkeys(inputs, 0))
        self.inputs = {e["input"]: {"part": e["part"], "bytes": e["bytes"]} for e in entries}
        self.names = inputs
        self.settings = {"written_by": "benchmarks"}
        self.ledger.open(self.settings, self.inputs)

    def write(self, part: int, batches: Iterator[pa.RecordBatch]) -> dict[str, Any]:
        """One part, from batches of DOCUMENTS (columns that they lack are null); its record."""
        size = 0
        with self.run.writing(f"documents/{part_name(part)}.parquet") as out, PartWriter(out.path, DOCUMENTS) as rows:
            for batch in batches:
                rows.write(batch)
                size += int(byte_lengths(batch.column("text")).sum())
        counts = {"documents": rows.rows, "records": rows.rows, "text_bytes": size, "dropped": {}, "not_response": {}}
        name = self.names[part]
        return self.ledger.write_record(
            part,
            settings_digest=digest(self.settings),
            inputs={"input": name, "bytes": 0},
            outputs=[out],
            counts=counts,
        )

    def finish(self, records: list[dict[str, Any]]) -> None:
        self.ledger.commit(self.settings, self.inputs, records)


def document_rows(texts: pa.Array, first: int, language: str = "en") -> pa.RecordBatch:
    """Rows of documents from texts; ids and addresses count from `first`."""
    numbers = range(first, first + len(texts))
    hosts = [f"site-{n % 997}.example" for n in numbers]
    columns = {
        "id": pa.array([document_id(n) for n in numbers]),
        "url": pa.array([f"https://{host}/{n}" for host, n in zip(hosts, numbers, strict=True)]),
        "host": pa.array(hosts),
        "fetched_at": pa.array([_FIRST_FETCH + n * 1_000_000 for n in numbers], pa.timestamp("us", tz="UTC")),
        "text": texts,
        "language": pa.array([language] * len(texts)),
    }
    return pa.RecordBatch.from_pydict(columns)


def document_id(number: int) -> str:
    return f"planted-{number:010d}"


def _tee(texts: Iterator[pa.Array], part: int, first: int, copy: IO[str] | None) -> Iterator[pa.RecordBatch]:
    for batch in texts:
        rows = document_rows(batch, first)
        if copy is not None:
            copy.writelines(json.dumps(row) + "\n" for row in rows.select(["id", "text"]).to_pylist())
        first += len(batch)
        yield rows


def _truth(plan: Plan, part: int) -> pa.RecordBatch:
    address = np.arange(len(plan.base), dtype=np.int64) + part * ADDRESS_STRIDE
    return pa.RecordBatch.from_arrays([pa.array(c) for c in (address, *plan)], schema=TRUTH)


def _fresh(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path

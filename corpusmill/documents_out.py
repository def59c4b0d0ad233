"""Documents of a run to the forms that others read: `corpusmill documents RUN --to corpus.jsonl.zst`.

Streaming: memory is a row group. The file or folder appears whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from corpusmill.document_files import write_dataset, write_json_lines, write_parquet
from corpusmill.errors import InputError
from corpusmill.ledger import StageLedger, part_name, verify_outputs
from corpusmill.parquet_parts import read_part
from corpusmill.recipe import nearest
from corpusmill.schemas import DOCUMENTS
from corpusmill.storage import Folder
from corpusmill.whole_folders import place_of, whole_folder

COLUMNS = (
    "id", "url", "fetched_at", "language", "language_score", "title",
    "warc_file", "warc_offset", "offset_kind", "warc_length", "text",
)  # fmt: skip
"""What is written unless said otherwise: enough to find each page again."""
AFTER = ("clean", "dedup")
_JSON_LINES = {".jsonl": "", ".jsonl.gz": "gz", ".jsonl.zst": "zst"}


@dataclass(frozen=True, slots=True)
class Written:
    to: str
    rows: int
    bytes: int


def write_documents(run: Folder, to: str, *, after: str = "clean", columns: Sequence[str] = COLUMNS) -> Written:
    """Write the documents that stand `after` a stage: all that clean kept, or what dedup left of them, cuts applied.

    `to` ends in .jsonl, .jsonl.gz, .jsonl.zst or .parquet; anything else ending in / is a Hugging Face data set.
    """
    schema = _schema(columns)
    folder, file = place_of(to)
    packed = next((kind for end, kind in _JSON_LINES.items() if to.endswith(end)), None)
    if packed is None and not to.endswith((".parquet", "/")):
        forms = ", ".join((*_JSON_LINES, ".parquet"))
        raise InputError(f"--to {to}: expected a name ending in {forms}, or in / for a Hugging Face data set folder")
    if folder.exists(file):
        raise InputError(f"{to} exists already: give another name, or remove it")
    batches = _batches(run, after, schema)
    if to.endswith("/"):
        return _dataset(to, schema, batches)
    with folder.writing(file) as out:
        if packed is None:
            rows = write_parquet(out.path, schema, batches)
        else:
            rows = write_json_lines(out.path, schema, batches, packed)
    return Written(to, rows, out.bytes)


def _schema(columns: Sequence[str]) -> pa.Schema:
    unknown = [c for c in columns if c not in DOCUMENTS.names]
    if unknown or not columns:
        name = unknown[0] if unknown else ""
        raise InputError(f"--columns: documents have no column {name!r}{nearest(name, DOCUMENTS.names)}")
    return pa.schema([DOCUMENTS.field(c) for c in dict.fromkeys(columns)])


def _batches(run: Folder, after: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Batches in part order. Manifests are checked before anything is written."""
    if after not in AFTER:
        raise InputError(f"--after {after}: documents stand after {' or '.join(AFTER)}{nearest(after, AFTER)}")
    cleaned = StageLedger(run, "clean").require_manifest()
    verify_outputs(run, cleaned)
    if after == "clean":
        parts = [read_part(run, f"documents/{part_name(p)}.parquet", DOCUMENTS, schema.names) for p in cleaned["parts"]]
    else:
        from corpusmill.tokenize.survivors import survivors

        verify_outputs(run, _deduplicated(run, cleaned["parts"]))
        parts = [survivors(run, p, tuple(schema.names)) for p in cleaned["parts"]]
    return (batch.select(schema.names).cast(schema) for part in parts for batch in part if batch.num_rows)


def _deduplicated(run: Folder, parts: Sequence[int]) -> dict[str, Any]:
    """The manifest of dedup, if it is of the documents that stand now."""
    cleaned, manifest = StageLedger(run, "clean").require_manifest(), StageLedger(run, "dedup").require_manifest()
    documents = {name: out for name, out in cleaned["outputs"].items() if name.startswith("documents/")}
    read = {name: out for name, out in manifest["inputs"].items() if name.startswith("documents/")}
    if read != documents or not set(parts) <= set(manifest["parts"]):
        raise InputError(f"{run.url}: the documents have changed since they were deduplicated: run `corpusmill dedup`")
    return manifest


def _dataset(to: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Written:
    with whole_folder(to, last="state.json") as made:
        rows = write_dataset(made.local_path(), schema, batches)
        size = sum(path.stat().st_size for path in made.local_path().iterdir())
    return Written(to, rows, size)

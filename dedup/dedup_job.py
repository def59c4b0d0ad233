"""The dedup stage: signatures per part, candidate pairs by SQL, verification, clusters, `removed` rows per part.

Text is read once, never rewritten: dedup says which rows go and why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, cast

import numpy as np
import pyarrow as pa

from corpusmill.columns import byte_lengths
from corpusmill.context import RunContext, run_parts
from corpusmill.dedup.clusters import Members, Pairs, removed_rows, similarities
from corpusmill.dedup.minhash_signatures import MinHash
from corpusmill.engines import Dataset
from corpusmill.ledger import StageLedger, part_name, verify_outputs
from corpusmill.parquet_parts import PartWriter, read_part
from corpusmill.recipe import Dedup
from corpusmill.schemas import ADDRESS_STRIDE, CUTS, DOCUMENTS, FORMAT_VERSION, REMOVED, VERSION_KEY
from corpusmill.storage import Folder, Output, digest

STAGE = "dedup"
_VERSION = {VERSION_KEY: str(FORMAT_VERSION).encode()}
BANDS = pa.schema([("band", pa.int16()), ("key", pa.int64()), ("address", pa.int64())], metadata=_VERSION)
SIGNATURES = pa.schema(
    [
        ("address", pa.int64()),
        ("id", pa.string()),
        ("url", pa.string()),
        ("text_bytes", pa.int64()),
        ("fetched_at", pa.timestamp("us", tz="UTC")),
        ("signature", pa.large_binary()),  # bands * rows little-endian uint32
    ],
    metadata=_VERSION,
)


@dataclass(frozen=True)
class SignTask:
    run: Folder
    part: int
    settings: Dedup
    settings_digest: str
    inputs: Mapping[str, Any]


def run_stage(context: RunContext) -> dict[str, Any]:
    """Deduplicate the documents of the run; its totals. Signs only parts that are new."""
    run, settings = context.folder, context.recipe.dedup.model_dump(mode="json")
    cleaned = StageLedger(run, "clean").require_manifest()
    verify_outputs(run, cleaned)
    inputs = {name: out for name, out in cleaned["outputs"].items() if name.startswith("documents/")}
    ledger = StageLedger(run, STAGE)
    run.require_space(cleaned["counts"]["documents"] * 1000 + 10_000_000, STAGE)
    with context.watch.stage(STAGE) as progress:
        if ledger.open(settings, inputs, STAGE in context.start_over):
            progress.begin(len(cleaned["parts"]), "parts", done=len(cleaned["parts"]))
            return cast(dict[str, Any], ledger.require_manifest()["counts"])
        tasks = plan(run, context.recipe.dedup, cleaned)
        records = run_parts(context, ledger, digest(settings), sign_part, tasks, progress)
        removed = _removed(context, records)
        outputs = _write_removed(run, removed, [r["part"] for r in records])
        counts = _counts(records, removed, cleaned)
        manifest = ledger.commit(settings, inputs, records, outputs=outputs, counts=counts)
    return cast(dict[str, Any], manifest["counts"])


def plan(run: Folder, settings: Dedup, cleaned: Mapping[str, Any]) -> list[SignTask]:
    """One task per part of documents."""
    chosen = digest(settings.model_dump(mode="json"))
    names = {part: f"documents/{part_name(part)}.parquet" for part in cleaned["parts"]}
    return [SignTask(run, part, settings, chosen, {name: cleaned["outputs"][name]}) for part, name in names.items()]


def sign_part(task: SignTask) -> dict[str, Any]:
    """Write signatures and bands of one part of documents; its record. Memory is one row group."""
    name = part_name(task.part)
    settings = task.settings
    minhash = MinHash(settings.shingle, settings.shingle_size, settings.bands, settings.rows, settings.seed)
    run, row = task.run, 0
    with (
        run.writing(f"dedup/signatures/{name}.parquet") as signed,
        run.writing(f"dedup/bands/{name}.parquet") as banded,
        PartWriter(signed.path, SIGNATURES) as signatures,
        PartWriter(banded.path, BANDS) as bands,
    ):
        for batch in read_part(run, f"documents/{name}.parquet", DOCUMENTS, ("id", "url", "fetched_at", "text")):
            addresses = np.arange(row, row + batch.num_rows, dtype=np.int64) + task.part * ADDRESS_STRIDE
            row += batch.num_rows
            found = minhash.sign(batch.column("text"))
            signatures.write(_signature_rows(batch, addresses, found))
            bands.write(_band_rows(minhash, addresses, found))
    return StageLedger(run, STAGE).write_record(
        task.part,
        settings_digest=task.settings_digest,
        inputs=task.inputs,
        outputs=[signed, banded],
        counts={"documents": row},
    )


def _signature_rows(batch: pa.RecordBatch, addresses: np.ndarray, found: np.ndarray) -> pa.RecordBatch:
    width = found.shape[1] * 4
    offsets = pa.py_buffer(np.arange(len(found) + 1, dtype=np.int64) * width)
    packed = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(found), [None, offsets, pa.py_buffer(found.astype("<u4").tobytes())]
    )
    columns = [addresses, batch.column("id"), batch.column("url"), byte_lengths(batch.column("text"))]
    arrays = [pa.array(c) if isinstance(c, np.ndarray) else c for c in columns]
    return pa.RecordBatch.from_arrays([*arrays, batch.column("fetched_at"), packed], names=SIGNATURES.names)


def _band_rows(minhash: MinHash, addresses: np.ndarray, found: np.ndarray) -> pa.RecordBatch:
    """Rows sorted by band, as a run over one band reads them."""
    joinable = minhash.has_shingles(found)
    keys, addresses = minhash.band(found[joinable]), addresses[joinable]
    bands = np.repeat(np.arange(minhash.bands, dtype=np.int16), len(addresses))
    arrays = [pa.array(bands), pa.array(keys.T.ravel()), pa.array(np.tile(addresses, minhash.bands))]
    return pa.RecordBatch.from_arrays(arrays, names=BANDS.names)


def _removed(context: RunContext, records: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The rows to remove, sorted by address."""
    run, settings = context.folder, context.recipe.dedup
    names = tuple(f"dedup/bands/{part_name(r['part'])}.parquet" for r in records)
    sql = (resources.files("corpusmill.dedup") / "edges.sql").read_text()
    edges = context.engine.query(sql, {"bands": Dataset(run, names, BANDS)})
    members = _members(run, edges, records, settings.bands * settings.rows)
    pairs: Pairs = similarities(edges, members).at_least(settings.verify)
    return removed_rows(pairs, members, settings.survivor)


def _members(run: Folder, edges: pa.Table, records: Sequence[Mapping[str, Any]], hashes: int) -> Members:
    """What survival and verification need to know of the documents in some pair, and of no other."""
    wanted = np.unique(np.r_[edges.column("root").to_numpy(), edges.column("address").to_numpy()].astype(np.int64))
    tables = [
        batch.filter(pa.array(np.isin(batch.column("address").to_numpy(), wanted)))
        for record in records
        for batch in _signature_batches(run, record["part"])
    ]
    table = pa.Table.from_batches(tables, SIGNATURES).sort_by("address")
    packed = b"".join(table.column("signature").to_pylist())
    return Members(
        address=table.column("address").to_numpy(),
        id=table.column("id").to_numpy(zero_copy_only=False),
        url=table.column("url").to_numpy(zero_copy_only=False),
        text_bytes=table.column("text_bytes").to_numpy(),
        fetched_at=table.column("fetched_at").cast(pa.int64()).fill_null(0).to_numpy(),
        signature=np.frombuffer(packed, "<u4").reshape(-1, hashes),
    )


def _signature_batches(run: Folder, part: int) -> Iterator[pa.RecordBatch]:
    return read_part(run, f"dedup/signatures/{part_name(part)}.parquet", SIGNATURES)


def _write_removed(run: Folder, removed: pa.Table, parts: Sequence[int]) -> list[Output]:
    """One part of `removed` and of `cuts` for each part of `documents`, empty ones too: a missing file is damage."""
    owner = removed.column("address").to_numpy() // ADDRESS_STRIDE
    outputs = []
    for part in parts:
        mine = removed.filter(pa.array(owner == part))
        for kind, schema, table in (("removed", REMOVED, mine), ("cuts", CUTS, CUTS.empty_table())):
            with run.writing(f"{kind}/{part_name(part)}.parquet") as out, PartWriter(out.path, schema) as rows:
                for batch in table.to_batches():
                    rows.write(batch)
            outputs.append(out)
    return outputs


def _counts(records: Sequence[Mapping[str, Any]], removed: pa.Table, cleaned: Mapping[str, Any]) -> dict[str, Any]:
    documents = sum(r["counts"]["documents"] for r in records)
    assert documents == cleaned["counts"]["documents"], f"{documents} documents signed"
    removed_bytes = int(removed.column("text_bytes").to_numpy().sum())
    return {
        "documents": documents,
        "removed": {"near_duplicate": removed.num_rows},
        "clusters": len(np.unique(removed.column("cluster").to_numpy())),
        "removed_bytes": {"near_duplicate": removed_bytes},
        "survivors": documents - removed.num_rows,
    }

"""Documents to signatures, bands and facts: one task per part. Text is read here once, and never rewritten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.columns import byte_lengths
from corpusmill.dedup.dedup_files import BANDS, FACTS, SIGNATURES, STAGE
from corpusmill.dedup.minhash_signatures import MinHash
from corpusmill.dedup.preferences import COLUMNS, preferences
from corpusmill.dedup.url_keys import url_keys
from corpusmill.ledger import StageLedger, part_name
from corpusmill.parquet_parts import PartWriter, read_part
from corpusmill.recipe import Dedup
from corpusmill.schemas import ADDRESS_STRIDE, DOCUMENTS
from corpusmill.storage import Folder, digest

KINDS = ("facts", "signatures", "bands")


@dataclass(frozen=True)
class SignTask:
    run: Folder
    part: int
    settings: Dedup
    settings_digest: str
    inputs: Mapping[str, Any]
    first: int = 0
    """What is added to every address: the crawl's place in an index."""


def plan(run: Folder, settings: Dedup, cleaned: Mapping[str, Any], first: int = 0) -> list[SignTask]:
    """One task per part of documents."""
    chosen = digest(settings.model_dump(mode="json") | {"first": first})
    names = {part: f"documents/{part_name(part)}.parquet" for part in cleaned["parts"]}
    return [
        SignTask(run, part, settings, chosen, {name: cleaned["outputs"][name]}, first) for part, name in names.items()
    ]


def minhash_of(settings: Dedup) -> MinHash:
    return MinHash(settings.shingle, settings.shingle_size, settings.bands, settings.rows, settings.seed)


def sign_part(task: SignTask) -> dict[str, Any]:
    """Write facts, signatures and bands of one part of documents; its record. Memory is one row group."""
    name, run, row = part_name(task.part), task.run, 0
    minhash = minhash_of(task.settings)
    with (
        run.writing(f"dedup/facts/{name}.parquet") as told,
        run.writing(f"dedup/signatures/{name}.parquet") as signed,
        run.writing(f"dedup/bands/{name}.parquet") as banded,
        PartWriter(told.path, FACTS) as facts,
        PartWriter(signed.path, SIGNATURES) as signatures,
        PartWriter(banded.path, BANDS) as bands,
    ):
        for batch in read_part(run, f"documents/{name}.parquet", DOCUMENTS, COLUMNS):
            start = task.first + task.part * ADDRESS_STRIDE + row
            addresses = np.arange(start, start + batch.num_rows, dtype=np.int64)
            row += batch.num_rows
            found, digests = minhash.sign_with_digests(batch.column("text"))
            joinable = minhash.has_shingles(found)
            facts.write(_facts(batch, addresses, digests, joinable, task.settings))
            signatures.write(_signature_rows(addresses, found))
            bands.write(_band_rows(minhash, addresses[joinable], found[joinable]))
    return StageLedger(run, STAGE).write_record(
        task.part,
        settings_digest=task.settings_digest,
        inputs=task.inputs,
        outputs=[told, signed, banded],
        counts={"documents": row},
    )


def _facts(
    batch: pa.RecordBatch, addresses: np.ndarray, digests: np.ndarray, joinable: np.ndarray, settings: Dedup
) -> pa.RecordBatch:
    urls = url_keys(batch.column("url")) if settings.urls else (pa.nulls(batch.num_rows, pa.int64()),) * 2
    columns = {
        "address": pa.array(addresses),
        "id": batch.column("id"),
        "url": batch.column("url"),
        "text_bytes": pa.array(byte_lengths(batch.column("text"))),
        "preference": preferences(batch, settings),
        "digest_a": pa.array(digests[:, 0], mask=~joinable),
        "digest_b": pa.array(digests[:, 1], mask=~joinable),
        "url_a": urls[0],
        "url_b": urls[1],
    }
    return pa.RecordBatch.from_arrays([columns[n] for n in FACTS.names], names=FACTS.names)


def _signature_rows(addresses: np.ndarray, found: np.ndarray) -> pa.RecordBatch:
    width = found.shape[1] * 4
    offsets = pa.py_buffer(np.arange(len(found) + 1, dtype=np.int64) * width)
    packed = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(found), [None, offsets, pa.py_buffer(found.astype("<u4").tobytes())]
    )
    return pa.RecordBatch.from_arrays([pa.array(addresses), packed], names=SIGNATURES.names)


def _band_rows(minhash: MinHash, addresses: np.ndarray, found: np.ndarray) -> pa.RecordBatch:
    """Rows sorted by band, as a run over one band reads them."""
    keys = minhash.band(found)
    bands = np.repeat(np.arange(minhash.bands, dtype=np.int16), len(addresses))
    arrays = [pa.array(bands), pa.array(keys.T.ravel()), pa.array(np.tile(addresses, minhash.bands))]
    return pa.RecordBatch.from_arrays(arrays, names=BANDS.names)

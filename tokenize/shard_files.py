"""Token shards: Arrow IPC, one row per document, memory-mapped by the stream, and a sidecar that says where each came
from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.block_sums import sums_of, write_sums
from corpusmill.columns import with_columns
from corpusmill.parquet_parts import PartWriter
from corpusmill.schemas import FORMAT_VERSION, SHARD_DOCS, shard_schema, token_type_for
from corpusmill.storage import Folder, Output
from corpusmill.tokenize.encoded import Encoded
from corpusmill.tokenize.token_shards import fingerprint_of


def shard_name(number: int, weight: int = 1, source: str = "") -> str:
    """A shard of one source, or of documents that an epoch has several times, says so in its name."""
    return f"shard-{number:05d}" + (f"-{source}" if source else "") + (f"-x{weight}" if weight != 1 else "")


class ShardWriter:
    """Collects one shard in memory (2 or 4 bytes a token) and writes it, if it has any document, with its sidecar."""

    def __init__(self, vocab_size: int, eos_token_id: int, weight: int = 1, source: str = "") -> None:
        self.weight, self.source = weight, source
        self.type = token_type_for(vocab_size)
        self.eos = eos_token_id
        self.lengths: list[np.ndarray] = []
        self.tokens: list[np.ndarray] = []
        self.docs: list[pa.RecordBatch] = []
        self.text_bytes = 0

    def add(self, rows: pa.RecordBatch, encoded: Encoded, text_bytes: np.ndarray) -> None:
        """Add documents: their columns of SHARD_DOCS as far as known, their ids, and the bytes these stand for."""
        closed = encoded.closed(self.eos)
        self.tokens.append(closed.ids.astype(self.type.to_pandas_dtype()))
        self.lengths.append(np.diff(closed.offsets))
        self.text_bytes += int(text_bytes.sum())
        self.docs.append(with_columns(rows, {"text_bytes": pa.array(text_bytes)}))

    @property
    def num_tokens(self) -> int:
        return sum(len(tokens) for tokens in self.tokens)

    @property
    def num_documents(self) -> int:
        return sum(len(lengths) for lengths in self.lengths)

    def write(self, folder: Folder, name: str) -> tuple[list[Output], dict[str, Any]]:
        """(files, entry for the manifest). `name` is the path without suffix, as in shards/shard-00003."""
        offsets = np.concatenate([[0], np.cumsum(np.concatenate(self.lengths))]).astype(np.int64)
        with folder.writing(f"{name}.arrow") as shard:
            values = pa.array(np.concatenate(self.tokens), self.type)
            schema = shard_schema(self.type)
            column = pa.LargeListArray.from_arrays(pa.array(offsets), values, type=schema.field(0).type)
            with pa.OSFile(str(shard.path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
                writer.write_batch(pa.RecordBatch.from_arrays([column], schema=schema))
            block_sums = sums_of(shard.path)
        with folder.writing(f"{name}.sums.npy") as sums:
            write_sums(sums.path, block_sums)
        with folder.writing(f"{name}.docs.parquet") as sidecar, PartWriter(sidecar.path, SHARD_DOCS) as rows:
            at = 0
            for batch in self.docs:
                here = slice(at, at + batch.num_rows)
                counts = {"token_start": offsets[:-1][here], "num_tokens": np.diff(offsets)[here]}
                rows.write(with_columns(batch, {k: pa.array(v) for k, v in counts.items()}))
                at += batch.num_rows
        return [shard, sums, sidecar], self._entry(shard, sums, sidecar)

    def _entry(self, shard: Output, sums: Output, sidecar: Output) -> dict[str, Any]:
        return {
            "name": shard.name.rpartition("/")[2],
            "docs": sidecar.name.rpartition("/")[2],
            "sums": sums.name.rpartition("/")[2],
            "bytes": shard.bytes,
            "num_tokens": self.num_tokens,
            "num_documents": self.num_documents,
            "text_bytes": self.text_bytes,
            "weight": self.weight,
            "sha256": shard.sha256,
            "docs_sha256": sidecar.sha256,
        } | ({"source": self.source} if self.source else {})


def shards_manifest(
    tokenizer: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], inputs: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """What a reader needs to know of a folder of shards. The fingerprint names its contents, in order, as sealed.

    `history` has a line for each version of the folder (see shard_changes), `inputs` the files that its documents are
    from, with their sizes.
    """
    fingerprint = fingerprint_of(tokenizer["sha256"], [dict(e) for e in entries])
    return {
        "format": FORMAT_VERSION,
        "version": 1,
        "fingerprint": fingerprint,
        "history": [{"version": 1, "why": "sealed", "num_shards": len(entries), "fingerprint": fingerprint}],
        "tokenizer": dict(tokenizer),
        "token_type": str(token_type_for(tokenizer["vocab_size"])),
        "num_tokens": sum(e["num_tokens"] for e in entries),
        "tokens_per_epoch": sum(e["num_tokens"] * e.get("weight", 1) for e in entries),
        "num_documents": sum(e["num_documents"] for e in entries),
        "text_bytes": sum(e["text_bytes"] for e in entries),
        "inputs": list(inputs),
        "shards": list(entries),
    }

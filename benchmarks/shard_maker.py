"""Token shards of any size for benchmarks: random tokens in documents whose lengths are as on the web."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from corpusmill.schemas import SHARD_DOCS
from corpusmill.storage import Folder
from corpusmill.tokenize.encoded import Encoded
from corpusmill.tokenize.shard_files import ShardWriter, shard_name, shards_manifest

VOCABULARY, END_OF_TEXT = 50_257, 50_256
TOKENIZER = {
    "sha256": "0" * 64,
    "vocab_size": VOCABULARY,
    "eos_token_id": END_OF_TEXT,
    "eos_token": "<|endoftext|>",
}
_MEDIAN, _SPREAD, _LONGEST = 540, 1.1, 100_000
"""Tokens of a document: log-normal, which FineWeb's lengths are near to (mean about 970)."""


def lengths(rng: np.random.Generator, tokens: int) -> np.ndarray:
    """Of documents that have about so many tokens, the end-of-text tokens included. int64."""
    drawn = np.exp(rng.normal(np.log(_MEDIAN), _SPREAD, size=tokens // 400 + 16))
    sizes = np.clip(drawn.astype(np.int64) + 2, 2, _LONGEST)
    return sizes[np.cumsum(sizes) <= tokens]


def make_shards(folder: Path, shards: int, tokens: int, sources: Iterator[str] | None = None, seed: int = 0) -> Folder:
    """So many shards of about so many tokens each; `sources` names what each is of."""
    rng, entries, made = np.random.default_rng(seed), [], Folder(str(folder))
    for number in range(shards):
        sizes = lengths(rng, tokens) - 1
        source = next(sources) if sources is not None else ""
        writer = ShardWriter(VOCABULARY, END_OF_TEXT, 1, source)
        ids = rng.integers(0, END_OF_TEXT, size=int(sizes.sum()), dtype=np.uint32)
        rows = pa.RecordBatch.from_arrays([pa.nulls(len(sizes), f.type) for f in SHARD_DOCS], schema=SHARD_DOCS)
        writer.add(rows, Encoded(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), ids), sizes * 4)
        _, entry = writer.write(made, shard_name(number, 1, source))
        entries.append(entry)
    made.write_json("manifest.json", shards_manifest(TOKENIZER, entries))
    return made

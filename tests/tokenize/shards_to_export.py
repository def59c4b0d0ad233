"""Small folders of shards for the tests of exports: integers stand in for tokens, 0 ends a document."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from fixtures_shards import END_OF_TEXT, train_tokenizer

from corpusmill.storage import Folder
from corpusmill.tokenize import bpe_tokenizer
from corpusmill.tokenize.encoded import from_lists
from corpusmill.tokenize.shard_files import ShardWriter, shard_name, shards_manifest
from corpusmill.tokenize.token_shards import TokenShards, open_shards

Documents = Sequence[Sequence[int]]
IDENTITY = {"sha256": "0" * 64, "vocab_size": 300, "eos_token_id": 0, "eos_token": END_OF_TEXT}
TEXTS = [
    "the mill by the river grinds the corn of the village",
    "a quick brown fox, and a lazy dog; 3.14 isn't 42",
] * 20


def make_tokenizer(folder: Path) -> Path:
    """A tokenizer folder whose end-of-text token is 0, with some 300 ids."""
    train_tokenizer(folder, TEXTS, 300)
    return folder


def identity_of(tokenizer: Path, scratch: Path) -> dict[str, object]:
    loaded, end = bpe_tokenizer.load(str(tokenizer))
    (file, _) = bpe_tokenizer.save(loaded, Folder(str(scratch)), end)
    return bpe_tokenizer.identify(loaded, file.sha256, end).describe()


def make_shards(
    folder: Path,
    groups: Sequence[Documents | Sequence[np.ndarray]],
    weights: Sequence[int] | None = None,
    identity: dict[str, object] = IDENTITY,
) -> TokenShards:
    """A shard for each group of documents, given without their closing 0, which the writer adds."""
    entries = []
    for number, (group, weight) in enumerate(zip(groups, weights or [1] * len(groups), strict=True)):
        writer = ShardWriter(int(str(identity["vocab_size"])), 0, weight)
        rows = [_row(number, i) for i in range(len(group))]
        sizes = np.array([4 * len(d) for d in group], np.int64)
        writer.add(pa.RecordBatch.from_pylist(rows), from_lists([list(d) for d in group]), sizes)
        entries.append(writer.write(Folder(str(folder)), shard_name(number, weight))[1])
    Folder(str(folder)).write_json("manifest.json", shards_manifest(identity, entries))
    return open_shards(Folder(str(folder)))


def _row(shard: int, i: int) -> dict[str, object]:
    """Where a document came from; every third one has no URL and no language."""
    known = i % 3 != 2
    return {
        "id": f"urn:uuid:{shard}-{i}",
        "url": f"https://ü-{i % 5}.example/{shard}/{i}" if known else None,
        "host": f"ü-{i % 5}.example" if known else None,
        "warc_file": f"crawl-{shard}.warc.gz",
        "warc_offset": 1000 * i,
        "offset_kind": "member",
        "warc_length": 900 + i,
        "language": "en" if known else None,
    }


def documents_of(shards: TokenShards) -> list[list[int]]:
    """All documents, each as it stands in its shard."""
    return [
        shard.tokens[shard.offsets[i] : shard.offsets[i + 1]].tolist()
        for shard in shards.shards
        for i in range(len(shard.offsets) - 1)
    ]


def tokens_of(shards: TokenShards) -> list[int]:
    return [token for document in documents_of(shards) for token in document]

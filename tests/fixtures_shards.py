"""Small run folders with real token shards: a trained byte-level BPE, Arrow files, sidecars and a manifest.

`write_shards` takes token ids (integers stand in for tokens); `make_run` makes a whole run from generated text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.block_sums import sums_of, write_sums
from corpusmill.schemas import ADDRESS_STRIDE, SHARD_DOCS, shard_schema, token_type_for
from corpusmill.storage import Folder, sha256_of
from corpusmill.tokenize.shard_files import shards_manifest

END_OF_TEXT = "<|endoftext|>"
EOS = 0
"""Id of the end-of-text token: the first special token of a trained vocabulary."""

_SUBJECTS = ("the miller", "a river", "the old dog", "my neighbour", "the baker", "a small boat", "the teacher", "rain")
_VERBS = ("carries", "follows", "remembers", "grinds", "paints", "counts", "repairs", "watches", "answers")
_OBJECTS = (
    "the corn",
    "a stone bridge",
    "every letter",
    "the evening light",
    "two loaves",
    "an empty road",
    "the wheel",
)
_PLACES = (
    "by the water",
    "in the morning",
    "under the hill",
    "before the market opens",
    "without a word",
    "every year",
)


def generate_text(rng: np.random.Generator, sentences: int) -> str:
    """English-like sentences; predictable enough for a tiny model to learn something in twenty steps."""
    made = []
    for _ in range(sentences):
        words = (rng.choice(_SUBJECTS), rng.choice(_VERBS), rng.choice(_OBJECTS), rng.choice(_PLACES))
        made.append(" ".join(words).capitalize() + ".")
    return " ".join(made)


def make_run(folder: Path, *, documents: int = 240, shards: int = 3, vocab_size: int = 384, seed: int = 1) -> Folder:
    """A run folder with tokenizer/, shards/ and heldout/, from generated text: the same bytes for the same call."""
    rng = np.random.default_rng(seed)
    texts = [generate_text(rng, int(rng.integers(2, 14))) for _ in range(documents + documents // 10)]
    tokenizer = train_tokenizer(folder / "tokenizer", texts, vocab_size)
    encoded = [[*tokenizer.encode(text).ids, EOS] for text in texts]
    kept, held = encoded[:documents], encoded[documents:]
    identity = {
        "sha256": sha256_of(folder / "tokenizer" / "tokenizer.json"),
        "vocab_size": tokenizer.get_vocab_size(),
        "eos_token_id": EOS,
        "eos_token": END_OF_TEXT,
    }
    per_shard = -(-len(kept) // shards)
    groups = [kept[i : i + per_shard] for i in range(0, len(kept), per_shard)]
    write_shards(folder / "shards", groups, tokenizer=identity)
    write_shards(folder / "heldout", [held], tokenizer=identity, first_part=1000)
    return Folder(str(folder))


def train_tokenizer(folder: Path, texts: Sequence[str], vocab_size: int) -> Any:
    """A complete Hugging Face tokenizer folder with a byte-level BPE."""
    from tokenizers import ByteLevelBPETokenizer

    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(texts, vocab_size=vocab_size, special_tokens=[END_OF_TEXT], show_progress=False)
    folder.mkdir(parents=True, exist_ok=True)
    bpe.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END_OF_TEXT, "bos_token": END_OF_TEXT}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    return bpe


def write_shards(
    folder: Path,
    groups: Sequence[Sequence[Sequence[int]]],
    *,
    tokenizer: dict[str, Any] | None = None,
    first_part: int = 0,
) -> Folder:
    """One shard for each group of documents (lists of token ids, each with its closing end-of-text id)."""
    identity = tokenizer or {"sha256": "0" * 64, "vocab_size": 60_000, "eos_token_id": EOS, "eos_token": END_OF_TEXT}
    folder.mkdir(parents=True, exist_ok=True)
    entries = [_write_shard(folder, i, group, identity, first_part + i) for i, group in enumerate(groups)]
    Folder(str(folder)).write_json("manifest.json", shards_manifest(identity, entries))
    return Folder(str(folder))


def _write_shard(
    folder: Path, index: int, documents: Sequence[Sequence[int]], identity: dict[str, Any], part: int
) -> dict[str, Any]:
    name, docs = f"shard-{index:05d}.arrow", f"shard-{index:05d}.docs.parquet"
    schema = shard_schema(token_type_for(identity["vocab_size"]))
    column = pa.array([list(d) for d in documents], type=schema.field("tokens").type)
    with pa.OSFile(str(folder / name), "wb") as f, pa.ipc.new_file(f, schema) as writer:
        writer.write_batch(pa.record_batch([column], schema=schema))
    write_sums(folder / f"shard-{index:05d}.sums.npy", sums_of(folder / name))
    sidecar = _sidecar(part, [len(d) for d in documents])
    pq.write_table(sidecar, folder / docs)
    return {
        "name": name,
        "docs": docs,
        "sums": f"shard-{index:05d}.sums.npy",
        "bytes": (folder / name).stat().st_size,
        "num_tokens": sum(len(d) for d in documents),
        "num_documents": len(documents),
        "text_bytes": sum(sidecar["text_bytes"].to_pylist()),
        "sha256": sha256_of(folder / name),
        "docs_sha256": sha256_of(folder / docs),
    }


def _sidecar(part: int, lengths: Sequence[int]) -> pa.Table:
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(int)
    rows = [_sidecar_row(part, row, int(starts[row]), length) for row, length in enumerate(lengths)]
    return pa.Table.from_pylist(rows, schema=SHARD_DOCS)


def _sidecar_row(part: int, row: int, start: int, length: int) -> dict[str, Any]:
    host = f"site-{row % 7}.example"
    return {
        "address": part * ADDRESS_STRIDE + row,
        "id": f"urn:uuid:{part:08d}-{row:08d}",
        "url": f"https://{host}/part-{part}/page-{row}",
        "host": host,
        "warc_file": f"crawl-{part:05d}.warc.gz",
        "warc_offset": 1000 * row,
        "offset_kind": "member",
        "warc_length": 900,
        "language": "en",
        "measures": None,
        "text_bytes": 4 * length,
        "token_start": start,
        "num_tokens": length,
    }

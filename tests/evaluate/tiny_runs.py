"""A run folder small enough to see, with real shards, a real tokenizer and the weights of a tiny Llama."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.schemas import SHARD_DOCS, shard_schema
from corpusmill.storage import Folder, digest, sha256_of

END = "<|endoftext|>"


@dataclass
class Row:
    """One document of a shard."""

    tokens: Sequence[int]
    text_bytes: int
    language: str | None = "en"
    host: str | None = "a.example"


def write_shards(folder: Path, shards: Sequence[Sequence[Row]], vocab_size: int, end: int = 0) -> None:
    """A shard folder as the tokenize stage writes it."""
    folder.mkdir(parents=True)
    entries = [_write_shard(folder, i, rows) for i, rows in enumerate(shards)]
    tokenizer = {"sha256": "0" * 64, "vocab_size": vocab_size, "eos_token_id": end, "eos_token": END}
    totals = {k: sum(e[k] for e in entries) for k in ("num_tokens", "num_documents", "text_bytes")}
    manifest = {"format": 1, "tokenizer": tokenizer, "token_type": "uint16", "shards": entries, **totals}
    manifest["fingerprint"] = digest([e["sha256"] for e in entries])
    Folder(str(folder)).write_json("manifest.json", manifest)


def _write_shard(folder: Path, number: int, rows: Sequence[Row]) -> dict[str, Any]:
    name, docs = f"shard-{number:05d}.arrow", f"shard-{number:05d}.docs.parquet"
    schema = shard_schema(pa.uint16())
    column = pa.array([list(r.tokens) for r in rows], type=schema.field("tokens").type)
    with pa.ipc.new_file(str(folder / name), schema) as out:
        out.write_batch(pa.RecordBatch.from_arrays([column], schema=schema))
    values = {
        "host": [r.host for r in rows],
        "language": [r.language for r in rows],
        "text_bytes": [r.text_bytes for r in rows],
        "num_tokens": [len(r.tokens) for r in rows],
    }
    columns = [
        pa.array(values[f.name], f.type) if f.name in values else pa.nulls(len(rows), f.type) for f in SHARD_DOCS
    ]
    pq.write_table(pa.Table.from_arrays(columns, schema=SHARD_DOCS), folder / docs)
    return {
        "name": name,
        "docs": docs,
        "num_documents": len(rows),
        "num_tokens": sum(len(r.tokens) for r in rows),
        "text_bytes": sum(r.text_bytes for r in rows),
        "sha256": sha256_of(folder / name),
        "docs_sha256": sha256_of(folder / docs),
    }


def train_bpe(folder: Path, texts: Sequence[str], vocab_size: int) -> Any:
    """A byte-level BPE as a complete Hugging Face tokenizer folder."""
    from tokenizers import ByteLevelBPETokenizer

    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(texts, vocab_size=vocab_size, special_tokens=[END], show_progress=False)
    folder.mkdir(parents=True)
    bpe.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return bpe


def make_weights(
    vocab_size: int, context: int, seed: int = 0, tied: bool = True
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Configuration and random weights of a Llama of two layers, as `load_weights` gives them."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=context,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        initializer_range=0.3,  # far from uniform, so that a wrong context shows
        tie_word_embeddings=tied,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = LlamaForCausalLM(config)
    values = {k: v for k, v in config.to_dict().items() if k != "_name_or_path"}
    return values, {k: v.clone() for k, v in model.state_dict().items()}


def write_checkpoint(run: Folder, config: dict[str, Any], state: dict[str, Any], step: int) -> None:
    """A complete checkpoint in RUN/train as DeepSpeed without ZeRO leaves it, and the log of its steps."""
    import torch

    folder = run.sub(f"train/checkpoints/step-{step:08d}")
    folder.local_path().mkdir(parents=True)
    name = "mp_rank_00_model_states.pt"
    torch.save({"module": state}, folder.local_path(name))
    described = {"bytes": folder.size(name), "sha256": sha256_of(folder.local_path(name))}
    folder.write_json(
        "complete.json", {"format": 1, "step": step, "ranks": 1, "zero_stage": 0, "files": {name: described}}
    )
    run.write_json("train/model.json", config)
    lines = [json.dumps({"step": i + 1, "loss": 5.0 - i, "tokens": 100}) for i in range(step)]
    run.write_bytes("train/metrics.jsonl", ("\n".join(lines) + "\n").encode())

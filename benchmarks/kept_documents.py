"""What a contender kept, read from the file that it wrote."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


@dataclass(frozen=True)
class Kept:
    """Record id (without its angle brackets) to the number of GPT-2 tokens of its text."""

    tokens: dict[str, int]

    @property
    def documents(self) -> int:
        return len(self.tokens)

    @property
    def all_tokens(self) -> int:
        return sum(self.tokens.values())


def kept_by(output: Path, tokenizer: Path) -> Kept:
    """Documents in a part of ours (.parquet) or in datatrove's JSON Lines (.jsonl.gz)."""
    if output.suffix == ".parquet":
        rows = pq.read_table(output, columns=["id", "text"]).to_pylist()
    elif output.exists():
        with gzip.open(output, "rt", encoding="utf-8") as f:
            rows = [json.loads(line) for line in f]
    else:  # datatrove writes no file where it keeps nothing
        rows = []
    texts = gpt2(tokenizer).encode_ordinary_batch([row["text"] for row in rows], num_threads=1)
    ids = [row["id"].strip("<>") for row in rows]
    assert len(set(ids)) == len(ids), f"{output}: a document is there twice"
    return Kept({i: len(text) for i, text in zip(ids, texts, strict=True)})


@lru_cache(maxsize=1)
def gpt2(folder: Path) -> Any:
    """GPT-2's encoding from its two files."""
    import tiktoken
    from tiktoken.load import data_gym_to_mergeable_bpe_ranks
    from tiktoken_ext.openai_public import r50k_pat_str

    ranks = data_gym_to_mergeable_bpe_ranks(str(folder / "vocab.bpe"), str(folder / "encoder.json"))
    return tiktoken.Encoding("gpt2", pat_str=r50k_pat_str, mergeable_ranks=ranks, special_tokens={})

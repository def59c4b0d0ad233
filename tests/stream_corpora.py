"""Shards whose tokens are all different, so that a batch says by itself where its tokens are from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from fixtures_shards import EOS, write_shards

from corpusmill.storage import Folder
from corpusmill.train.stream.packing import prepare
from corpusmill.train.stream.sample_order import Placed
from corpusmill.train.stream.sources import all_strata
from corpusmill.train.stream.token_stream import Middles, TokenStream, packing_of

IDENTITY = {
    "sha256": "0" * 64,
    "vocab_size": 200_000,
    "eos_token_id": EOS,
    "eos_token": "<|endoftext|>",
    "special_tokens": {"<|fim_prefix|>": 199_997, "<|fim_middle|>": 199_998, "<|fim_suffix|>": 199_999},
}
MIDDLES = Middles(0.5, 0.5, 199_997, 199_998, 199_999)


def distinct_documents(*lengths: int, first: int = 1) -> list[list[int]]:
    """Documents whose tokens are `first`, `first` + 1, ... throughout, but for the closing end-of-text ids."""
    made, following = [], first
    for length in lengths:
        made.append([*range(following, following + length - 1), EOS])
        following += length - 1
    return made


def source(folder: Path, seed: int, *, documents: int, longest: int, shards: int, first: int) -> Folder:
    """A folder of shards of distinct tokens from `first` on."""
    rng = np.random.default_rng(seed)
    made = distinct_documents(*(int(n) for n in rng.integers(2, longest, size=documents)), first=first)
    cuts = sorted(rng.choice(np.arange(1, documents), size=shards - 1, replace=False).tolist())
    groups = [made[a:b] for a, b in zip([0, *cuts], [*cuts, documents], strict=True)]
    return write_shards(folder, groups, tokenizer=IDENTITY)


def words(tokens: np.ndarray) -> np.ndarray:
    """The tokens that are words of a document, sorted."""
    return np.sort(tokens[(tokens != EOS) & (tokens != -100) & (tokens < MIDDLES.prefix_id)])


def all_words(*folders: Folder) -> np.ndarray:
    from corpusmill.tokenize.token_shards import open_shards

    return words(np.concatenate([s.tokens for f in folders for s in open_shards(f).shards]).astype(np.int64))


def open_stream(sources: Any, **settings: Any) -> TokenStream:
    """A stream of sources, their documents packed first if need be."""
    from corpusmill.train.stream.journal import Journal
    from corpusmill.train.stream.sources import CORPUS, Source

    if settings.get("packing") == "best_fit":
        named = {CORPUS: Source(sources)} if isinstance(sources, Folder) else sources
        for shards in all_strata(named, settings.get("journal") or Journal()):
            prepare(shards, packing_of(settings["sequence_length"], settings.get("middles")))
    return TokenStream(sources, **settings)


def arrays(placed: Placed, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(source, row) of each of `count` samples; int64."""
    source, row = np.full(count, -1, np.int64), np.full(count, -1, np.int64)
    for part in placed:
        assert (source[part.samples] == -1).all()
        source[part.samples], row[part.samples] = part.source, part.rows
    assert (source >= 0).all()
    return source, row

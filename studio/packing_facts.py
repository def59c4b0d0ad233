"""How well the training shards fill rows of a sequence length, counted from the lengths of their documents.

Reads one column of each sidecar, a row group at a time; memory is the lengths of a block's documents.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from corpusmill.parquet_parts import read_part
from corpusmill.schemas import SHARD_DOCS
from corpusmill.storage import Folder
from corpusmill.tokenize.token_shards import line_of
from corpusmill.train.stream.packing import block_places
from corpusmill.train.stream.stream_kernels import best_fit, pieces


@dataclass(slots=True)
class Packing:
    """One way to fill the rows of an epoch. A document that an epoch has three times counts as three. Its closing
    end-of-text token belongs to it.

    `pieces` are stretches of one document in one row; `cut` the documents that lie in several rows; `padding` the
    places of rows that hold no token.
    """

    name: str
    rows: int
    padding: int
    pieces: int = 0
    cut: int = 0


@dataclass(slots=True)
class PackingFacts:
    """Of one epoch: its documents, those longer than a row (no packing leaves them whole), and the ways to pack."""

    sequence_length: int
    tokens: int
    documents: int = 0
    longer: int = 0
    packings: list[Packing] = field(default_factory=list)


def packing_facts(run: Folder, sequence_length: int) -> PackingFacts:
    """The rows that RUN/shards make, exactly: by chunks, as strata.py cuts them, and by best fit (packing.py).

    Chunks have no padding: the last row of an epoch goes on with the head of the next.
    """
    entries = run.read_json("shards/manifest.json")["shards"]
    line = line_of(np.array([int(e.get("weight", 1)) for e in entries], np.int64))
    borders = np.concatenate([[0], np.cumsum(np.array([e["num_tokens"] for e in entries], np.int64)[line])])
    tokens = int(borders[-1])
    facts = PackingFacts(sequence_length, tokens)
    chunked, fitted = Packing("chunks", -(-tokens // sequence_length), 0), Packing("best fit", 0, 0)
    first_places = [*block_places(borders), len(line)] if len(line) else []
    for first, last in pairwise(first_places):
        lengths = [_lengths(run, entries[line[place]]["docs"]) for place in range(first, last)]
        for place, here in zip(range(first, last), lengths, strict=True):
            facts.documents += len(here)
            facts.longer += int((here > sequence_length).sum())
            _add_chunked(chunked, here, int(borders[place]), sequence_length)
        _add_fitted(fitted, np.concatenate(lengths), sequence_length)
    fitted.padding = fitted.rows * sequence_length - tokens
    facts.packings += [chunked, fitted]
    return facts


def _lengths(run: Folder, docs: str) -> np.ndarray:
    """Tokens of each document of a shard, in order. int64[documents]."""
    batches = read_part(run, f"shards/{docs}", SHARD_DOCS, ("num_tokens",))
    return np.concatenate([np.zeros(0, np.int64), *(b.column("num_tokens").to_numpy() for b in batches)])


def _add_chunked(packing: Packing, lengths: np.ndarray, start: int, sequence_length: int) -> None:
    """Documents one after the other from token `start` of the line, which is cut every `sequence_length` tokens."""
    ends = start + np.cumsum(lengths)
    pieces = (ends - 1) // sequence_length - (ends - lengths) // sequence_length + 1
    packing.pieces += int(pieces[lengths > 0].sum())
    packing.cut += int((pieces > 1).sum())


def _add_fitted(packing: Packing, lengths: np.ndarray, sequence_length: int) -> None:
    """A block's documents by best fit."""
    _, sizes = pieces(np.concatenate([[0], np.cumsum(lengths)]), sequence_length, np.uint64(0), np.uint64(0))
    offsets, _ = best_fit(sizes, sequence_length)
    packing.rows += len(offsets) - 1
    packing.pieces += len(sizes)
    packing.cut += int((lengths > sequence_length).sum())

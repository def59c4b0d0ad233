"""How well the training shards fill rows of a sequence length, counted from the lengths of their documents.

Reads one column of each sidecar, a row group at a time; memory is the lengths of one shard's documents.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from corpusmill.parquet_parts import read_part
from corpusmill.schemas import SHARD_DOCS
from corpusmill.storage import Folder


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
    """The rows that RUN/shards make, exactly. `concat-and-chunk` is what train/stream.py does."""
    entries = run.read_json("shards/manifest.json")["shards"]
    weights = np.array([int(e.get("weight", 1)) for e in entries], np.int64)
    line = line_of(weights)
    ends = np.cumsum(np.array([e["num_tokens"] for e in entries], np.int64)[line])
    tokens = int(ends[-1]) if len(ends) else 0
    rows = -(-tokens // sequence_length)
    facts = PackingFacts(sequence_length, tokens)
    chunked = Packing("concat-and-chunk", rows, rows * sequence_length - tokens)
    for i, entry in enumerate(entries):
        lengths = _lengths(run, entry["docs"])
        _add_documents(facts, lengths, int(weights[i]))
        for end in ends[line == i].tolist():
            _add_chunked(chunked, lengths, end - int(entry["num_tokens"]), sequence_length)
    facts.packings.append(chunked)
    return facts


def line_of(weights: np.ndarray) -> np.ndarray:
    """The order of shards in an epoch, as train/token_shards.py has it. int64[sum of weights]."""
    shard = np.repeat(np.arange(len(weights)), weights)
    turn = np.arange(len(shard)) - np.repeat(np.cumsum(weights) - weights, weights)
    rank, alike = np.zeros(len(weights)), np.ones(len(weights))
    for weight in np.unique(weights):
        same = np.flatnonzero(weights == weight)
        rank[same], alike[same] = np.arange(len(same)), len(same)
    place = (turn + (rank[shard] + 0.5) / alike[shard]) / weights[shard]
    return shard[np.argsort(place, kind="stable")]


def _lengths(run: Folder, docs: str) -> np.ndarray:
    """Tokens of each document of a shard, in order. int64[documents]."""
    batches = read_part(run, f"shards/{docs}", SHARD_DOCS, ("num_tokens",))
    return np.concatenate([np.zeros(0, np.int64), *(b.column("num_tokens").to_numpy() for b in batches)])


def _add_documents(facts: PackingFacts, lengths: np.ndarray, weight: int) -> None:
    facts.documents += weight * len(lengths)
    facts.longer += weight * int((lengths > facts.sequence_length).sum())


def _add_chunked(packing: Packing, lengths: np.ndarray, start: int, sequence_length: int) -> None:
    """Documents one after the other from token `start` of the line, which is cut every `sequence_length` tokens."""
    ends = start + np.cumsum(lengths)
    pieces = (ends - 1) // sequence_length - (ends - lengths) // sequence_length + 1
    packing.pieces += int(pieces[lengths > 0].sum())
    packing.cut += int((pieces > 1).sum())

"""What token shards are to an exporter: tokens in blocks, documents with where they came from, files to write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from corpusmill.columns import with_columns
from corpusmill.errors import DamagedError, InputError
from corpusmill.parquet_parts import read_part
from corpusmill.schemas import SHARD_DOCS
from corpusmill.storage import Folder, Output
from corpusmill.tokenize.foreign_documents import BLOCK_ROWS, BLOCK_TOKENS, PROVENANCE, TOKEN_TYPES, WEIGHT, cut
from corpusmill.tokenize.token_shards import Shard, TokenShards
from corpusmill.whole_folders import place_of


@dataclass(frozen=True)
class Export:
    """What is written: the shards in `places`, in this order, a shard several times if an epoch has it so."""

    shards: TokenShards
    places: Sequence[Shard]
    with_weights: bool = False
    """Whether a column says how often an epoch has each document."""
    token_type: np.dtype | None = None
    tokens_per_file: int | None = None
    tokenizer_name: str = ""
    advance: Callable[[int], None] = lambda tokens: None

    @property
    def num_tokens(self) -> int:
        return sum(len(s.tokens) for s in self.places)

    @property
    def num_documents(self) -> int:
        return sum(len(s.offsets) - 1 for s in self.places)

    @property
    def spans(self) -> list[Span]:
        return [Span(s, 0, len(s.offsets) - 1) for s in self.places]

    def kind(self, smallest: np.dtype, allowed: Sequence[str] = TOKEN_TYPES) -> np.dtype:
        """The type that tokens are written in. Raises InputError where it cannot hold the vocabulary."""
        kind = self.token_type or smallest
        if kind.name not in allowed:
            raise InputError(f"--token-type {kind.name}: this format has {', '.join(allowed)}")
        if self.shards.vocab_size - 1 > np.iinfo(kind).max:
            raise InputError(
                f"{kind.name} holds ids to {np.iinfo(kind).max:,}, the vocabulary has {self.shards.vocab_size:,}: "
                "give a larger --token-type"
            )
        return kind


class Span(NamedTuple):
    """Documents `start` to `stop` of a shard."""

    shard: Shard
    start: int
    stop: int

    @property
    def num_tokens(self) -> int:
        return int(self.shard.offsets[self.stop] - self.shard.offsets[self.start])


class Described(NamedTuple):
    """Documents with their columns: document i has `tokens[offsets[i]:offsets[i + 1]]`. `tokens` is a view."""

    rows: pa.RecordBatch
    offsets: np.ndarray
    tokens: np.ndarray

    def slice(self, start: int, stop: int) -> Described:
        a, b = self.offsets[start], self.offsets[stop]
        return Described(self.rows.slice(start, stop - start), self.offsets[start : stop + 1] - a, self.tokens[a:b])


def file_to_write(to: str, *suffixes: str) -> tuple[Folder, str]:
    """The folder and the name of files that do not exist yet. Raises InputError where one does."""
    folder, name = place_of(to)
    there = next((name + s for s in suffixes or ("",) if folder.exists(name + s)), None)
    if there is not None:
        raise InputError(f"{folder.url}/{there} exists already: give another --output, or remove it")
    return folder, name


def write_tokens(out: Output, blocks: Iterable[np.ndarray], head: bytes = b"") -> None:
    with out.path.open("wb") as f:
        f.write(head)
        for block in blocks:
            f.write(np.ascontiguousarray(block).data)


def token_blocks(export: Export, spans: Iterable[Span], kind: np.dtype) -> Iterator[np.ndarray]:
    """All tokens in order, in blocks: views of the shards where they have that type already."""
    for shard, first, last in spans:
        start, stop = int(shard.offsets[first]), int(shard.offsets[last])
        for at in range(start, stop, BLOCK_TOKENS):
            block = shard.tokens[at : min(at + BLOCK_TOKENS, stop)]
            export.advance(len(block))
            yield block.astype(kind, copy=False)


def document_ends(spans: Iterable[Span]) -> Iterator[np.ndarray]:
    """For each document the number of tokens up to its end, counted through the spans. Blocks of int64."""
    base = 0
    for span in spans:
        base -= int(span.shard.offsets[span.start])
        for a in range(span.start, span.stop, BLOCK_ROWS):
            yield span.shard.offsets[a + 1 : min(a + BLOCK_ROWS, span.stop) + 1] + base
        base += int(span.shard.offsets[span.stop])


def cut_into_files(spans: Iterable[Span], tokens: int | None) -> Iterator[list[Span]]:
    """Spans in groups of at most so many tokens, cut between documents; a longer document is a group of its own."""
    group: list[Span] = []
    room = tokens or 0
    for shard, start, stop in spans:
        if tokens is None:
            group.append(Span(shard, start, stop))
            continue
        while start < stop:
            border = int(np.searchsorted(shard.offsets, shard.offsets[start] + room, side="right")) - 1
            end = min(max(border, start), stop)
            if end == start and group:
                yield group
                group, room = [], tokens
                continue
            span = Span(shard, start, max(end, start + 1))
            group.append(span)
            room, start = room - span.num_tokens, span.stop
    if group:
        yield group


def described(export: Export, tokens: int = BLOCK_TOKENS) -> Iterator[Described]:
    """All documents with their PROVENANCE (and WEIGHT), some `tokens` or a sidecar's row group at a time."""
    sidecars = {e["name"]: e["docs"] for e in export.shards.manifest["shards"]}
    for shard in export.places:
        name, at = sidecars[shard.name], 0
        for rows in read_part(export.shards.folder, name, SHARD_DOCS, PROVENANCE):
            if export.with_weights:
                rows = with_columns(rows, {WEIGHT: pa.array(np.full(rows.num_rows, shard.weight, np.int64))})
            stop = at + rows.num_rows
            if stop < len(shard.offsets):
                yield from _described(export, Described(rows, shard.offsets[at : stop + 1], shard.tokens), tokens)
            at = stop
        if at != len(shard.offsets) - 1:
            raise DamagedError(
                f"{export.shards.folder.url}/{name} has {at:,} rows, {shard.name} has {len(shard.offsets) - 1:,} "
                "documents. Run the tokenize stage again: it makes what it lacks"
            )


def _described(export: Export, documents: Described, tokens: int) -> Iterator[Described]:
    for a, b in cut(documents.offsets, tokens):
        yield documents.slice(a, b)
        export.advance(int(documents.offsets[b] - documents.offsets[a]))

"""Batches of packed tokens, in an order that is a pure function of (shards, seed, settings, journal).

Sample n is a row of `sequence_length` tokens: the mixture says of which source (sample_order), the source's permutation
which of its rows (source_order), and the stratum which tokens that row has (strata). No list of samples exists, so
opening and resuming take no time at any size, the state is a handful of integers, and the same global batches come out
for any number of ranks, workers and micro-batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from corpusmill.errors import InputError
from corpusmill.storage import Folder
from corpusmill.tokenize.token_shards import TokenShards, read_manifest
from corpusmill.train.stream.buffer_pool import BufferPool
from corpusmill.train.stream.journal import Entry, Journal
from corpusmill.train.stream.packing import Packing, open_index
from corpusmill.train.stream.sample_order import Placed, SampleOrder, Skips, joined
from corpusmill.train.stream.shard_table import ShardTable
from corpusmill.train.stream.source_order import SourceOrder
from corpusmill.train.stream.sources import (
    CORPUS,
    OpenSource,
    Source,
    natural_weights,
    open_added,
    require_one_tokenizer,
    sources_of,
    token_type,
)
from corpusmill.train.stream.strata import ChunkedRows, PackedRows, Rows
from corpusmill.train.stream.stream_kernels import (
    COUNT,
    IGNORED,
    OUT,
    SLOT,
    cut_segments,
    fill,
    restart_positions,
)

if TYPE_CHECKING:
    from corpusmill.train.stream.stream_dataset import StreamDataset

PADDING = -1
"""The document number of places that hold nothing."""

_ORDER = 1
"""Version of the order itself: another one where a change of code would deal other batches."""

_SENTINELS = (
    ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"),
    ("<fim_prefix>", "<fim_middle>", "<fim_suffix>"),
    ("<fim-prefix>", "<fim-middle>", "<fim-suffix>"),
    ("<PRE>", "<MID>", "<SUF>"),
)
"""As Qwen and GPT-4's tokenizers, StarCoder, SantaCoder and Code Llama name them."""

_NO_MIDDLES = np.zeros(3, np.int64), np.zeros(1, np.int64), 1, np.uint64(0), np.uint64(0)


class Middles(NamedTuple):
    """Fill-in-the-middle: the share of documents, the share of these that have the suffix first, the sentinels' ids."""

    rate: float
    suffix_first: float
    prefix_id: int
    middle_id: int
    suffix_id: int


class Batch(NamedTuple):
    """Rows of one global batch. `input_ids`, `labels` and `positions` are int64[rows, length].

    `labels` are the next tokens, -100 where there is none; an end-of-text token opens a document; `positions` restart
    at each document. `segments` (see stream_kernels) say what each stretch of one document is, in order, and `samples`
    (int64) which samples the rows are; a sample is one row, or several where rows are short at first.
    """

    input_ids: np.ndarray
    labels: np.ndarray
    positions: np.ndarray
    segments: np.ndarray
    samples: np.ndarray
    first_row: int

    @property
    def cu_seqlens(self) -> np.ndarray:
        """Where segments begin in the flat batch, and its size: int32[segments + 1], as FlashAttention takes it."""
        borders = np.empty(len(self.segments) + 1, np.int32)
        borders[:-1] = self.segments[:, OUT]
        borders[-1] = self.input_ids.size
        return borders

    @property
    def documents(self) -> np.ndarray:
        """Which segment each place is of, -1 where there is none: int64[rows, length]."""
        numbers = np.where(self.segments[:, SLOT] < 0, PADDING, np.arange(len(self.segments)))
        return np.repeat(numbers, self.segments[:, COUNT]).reshape(self.input_ids.shape)

    @property
    def num_tokens(self) -> int:
        return int(self.segments[self.segments[:, SLOT] >= 0, COUNT].sum())

    @property
    def num_targets(self) -> int:
        return int((self.labels != IGNORED).sum())

    def micro_batches(self, samples: int) -> Iterator[Batch]:
        """This batch, `samples` samples at a time, as views."""
        per_sample = len(self.input_ids) // len(self.samples)
        for start in range(0, len(self.samples), samples):
            rows = slice(start * per_sample, (start + samples) * per_sample)
            length = self.input_ids.shape[1]
            low, high = np.searchsorted(self.segments[:, OUT], [rows.start * length, rows.stop * length])
            segments = self.segments[low:high].copy()
            segments[:, OUT] -= rows.start * length
            ids, labels, positions = self.input_ids[rows], self.labels[rows], self.positions[rows]
            numbers = self.samples[start : start + samples]
            yield Batch(ids, labels, positions, segments, numbers, self.first_row + rows.start)


class TokenStream:
    """The training batches of some shards. Steps count from 1; step k has `batch_size` samples."""

    def __init__(
        self,
        shards: Folder | Mapping[str, Source],
        *,
        seed: int,
        sequence_length: int,
        batch_size: int,
        packing: str = "chunks",
        weights: Mapping[str, float] | None = None,
        lengths: Sequence[tuple[int, int]] = (),
        middles: Middles | None = None,
        journal: Journal | None = None,
    ) -> None:
        """Open the shards; nothing of them is read before it is needed.

        `shards` are one folder or named sources. `weights` of the sources (of one folder: of its shards' `source`) make
        a mixture; without them samples are drawn as tokens are there. `packing` is "chunks" or "best_fit". `lengths`
        are pairs of (from step, length of rows): shorter rows to begin with, that divide `sequence_length`. Raises
        InputError or DamagedError, by name, where something is not what it should be.
        """
        self._arguments = {k: v for k, v in locals().items() if k != "self"}
        self.seed, self.sequence_length, self.batch_size = seed, sequence_length, batch_size
        self.packing, self.middles, self.lengths = packing, middles, _checked_lengths(lengths, sequence_length)
        self.journal = journal or Journal()
        self.next_step = 1
        given = sources_of({CORPUS: shards}, weights) if isinstance(shards, Folder) else shards
        folders = {source.folder.url: source.folder for source in given.values()}  # labels share theirs
        manifests = {url: read_manifest(folder) for url, folder in folders.items()}
        self.sources = {name: OpenSource(name, s, manifests[s.folder.url]) for name, s in given.items()}
        self.pins = {name: source.describe() for name, source in self.sources.items()}
        pinned = {name: replace(source, num_shards=self.sources[name].num_shards) for name, source in given.items()}
        require_one_tokenizer(self.sources)
        self._table, self._pool = ShardTable(token_type(self.manifest)), BufferPool()
        self.weights = dict(weights or natural_weights(self.sources))
        self._arguments |= {"shards": pinned, "weights": self.weights}  # of what it is now, whatever comes to be there
        orders = {name: self._order(name, source.first) for name, source in self.sources.items()}
        self.samples = SampleOrder(orders, self.weights)
        self.skips = Skips(self.journal)
        for entry in self.journal.entries:
            self._apply(entry)

    @property
    def manifest(self) -> dict[str, Any]:
        """Of the first source; its tokenizer is everyone's."""
        return next(iter(self.sources.values())).manifest

    @property
    def eos_token_id(self) -> int:
        return int(self.manifest["tokenizer"]["eos_token_id"])

    @property
    def vocab_size(self) -> int:
        return int(self.manifest["tokenizer"]["vocab_size"])

    def __reduce__(self) -> tuple[Any, ...]:
        """Opened again where it is unpickled, as in a DataLoader's worker."""
        return _reopened, (self._arguments, self.next_step)

    def dataset(self, micro_batch_size: int, rank: int = 0, world_size: int = 1) -> StreamDataset:
        """A rank's micro-batches as a torch IterableDataset."""
        from corpusmill.train.stream.stream_dataset import StreamDataset

        return StreamDataset(self, micro_batch_size, rank, world_size)

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on with the very next batch."""
        return self.state_after(self.next_step - 1)

    def state_after(self, step: int) -> dict[str, Any]:
        """The state after a step: what `state_dict` says when that was the last batch taken."""
        sample = self.first_sample(step + 1)
        return {
            "next_step": step + 1,
            "next_sample": sample,
            "journal": self.journal.digest(sample),
            "versions": {key: manifest.get("version", 1) for key, manifest in self._manifests().items()},
            **self._settings(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken. Raises InputError if it belongs to other shards, settings or journal."""
        for key, value in self._settings().items():
            if state.get(key) != value:
                raise InputError(
                    f"the stream's state was saved with {key} {state.get(key)!r}, this stream has {value!r}: the "
                    f"batches would not be the same. Give it the same {key}, or start again in a new run folder"
                )
        sample = int(state["next_sample"])
        if state["journal"] != self.journal.digest(sample):
            raise InputError(
                f"the journal was changed for samples that were dealt already (before {sample:,}): entries may only be "
                "added, from a sample that is still to come. Put it back as it was"
            )
        self.next_step = int(state["next_step"])

    def with_journal(self, journal: Journal) -> TokenStream:
        """The same stream, going on where this one is by another journal. InputError as `load_state_dict`."""
        stream = TokenStream(**{**self._arguments, "journal": journal})
        stream.load_state_dict(self.state_dict())
        return stream

    def blanked_since(self, versions: Mapping[str, int]) -> list[tuple[str, str, int]]:
        """Documents that were forgotten since a state's `versions`: (folder, as `born` names it, shard's name, row)."""
        return [
            (key, shard, row)
            for key, manifest in self._manifests().items()
            for change in manifest.get("history", [])
            if change["version"] > versions.get(key, 1)
            for shard, rows in change.get("blanked", {}).items()
            for row in rows
        ]

    def _manifests(self) -> dict[str, dict[str, Any]]:
        """Of all folders that shards are read from, by what `born` calls them: those that were replaced, too."""
        strata = [s.rows.shards for order in self.samples.sources.values() for s in order.strata]
        return {born(shards.manifest): shards.manifest for shards in strata}

    def next_batch(self, rank: int = 0, world_size: int = 1) -> Batch:
        """The rank's rows of the next global batch; the state moves on by one step."""
        batch = self.batch(self.next_step, rank, world_size)
        self.next_step += 1
        return batch

    def __iter__(self) -> Iterator[Batch]:
        """Whole global batches, without end: lap follows lap, each in an order of its own."""
        while True:
            yield self.next_batch()

    def batch(self, step: int, rank: int = 0, world_size: int = 1) -> Batch:
        """Rows of global batch `step` that belong to `rank`: contiguous, the same batch for any `world_size`."""
        if self.batch_size % world_size or not 0 <= rank < world_size:
            raise InputError(
                f"a batch of {self.batch_size} cannot be dealt to rank {rank} of {world_size}: train.batch_size must "
                "be a multiple of the number of ranks, and ranks count from 0"
            )
        samples = self.batch_size // world_size
        return self.part(step, rank * samples, samples)

    def part(self, step: int, first: int, samples: int, block: np.ndarray | None = None) -> Batch:
        """Samples `first` .. `first + samples - 1` of global batch `step`, counted within it.

        The arrays are rows of `block`, int64[3, samples * sequence_length], or of one from the stream's pool.
        """
        if step < 1:
            raise InputError(f"step {step} does not exist: steps count from 1")
        runs = list(self.skips.ranges((step - 1) * self.batch_size + first, samples))
        places = [self.samples.place(start, count) for start, count in runs]
        ranges = [np.arange(start, start + count) for start, count in runs]
        placed, numbers = (places[0], ranges[0]) if len(runs) == 1 else (joined(places), np.concatenate(ranges))
        length = self.length_at(step)
        per_sample = self.sequence_length // length
        block = self.buffer(samples * self.sequence_length) if block is None else block
        return self._fill(placed, numbers, length, first * per_sample, block)

    def buffer(self, places: int) -> np.ndarray:
        """int64[3, places], any content; the stream's again once nobody looks at it."""
        return self._pool.take((3, places))

    def length_at(self, step: int) -> int:
        """Tokens in a row of a step's batch."""
        return next((length for since, length in reversed(self.lengths) if since <= step), self.sequence_length)

    def first_sample(self, step: int) -> int:
        """The number of a step's first sample."""
        return self.skips.sample((step - 1) * self.batch_size)

    def step_of(self, sample: int) -> tuple[int, int] | None:
        """(step, place in its global batch) of a sample; None of one that is skipped."""
        dealt = self.skips.dealt(sample)
        return None if dealt is None else (dealt // self.batch_size + 1, dealt % self.batch_size)

    def shard_of(self, slot: int) -> tuple[TokenShards, int]:
        """The shards, and the number among them, that a segment's SLOT means."""
        return self._table.place(slot)

    def _fill(self, placed: Placed, numbers: np.ndarray, length: int, first_row: int, block: np.ndarray) -> Batch:
        segments = self._segments(placed)
        self._table.check(segments)
        arrays = block[0], block[1], block[2]
        slots = self._table.slots
        middles = _NO_MIDDLES if self.middles is None else self._middles(self.middles, numbers)
        fill(segments, slots.tokens_at, slots.offsets_at, self._table.like, self.eos_token_id, arrays, middles)
        if length < self.sequence_length:
            segments = cut_segments(segments, length)
            restart_positions(segments, arrays[2])
        ids, labels, positions = (a.reshape(-1, length) for a in arrays)
        return Batch(ids, labels, positions, segments, numbers, first_row)

    def _segments(self, placed: Placed) -> np.ndarray:
        """Segments of all samples, in order."""
        orders = list(self.samples.sources.values())
        found = [orders[s].strata[i].rows.segments(rows, out) for s, i, rows, out in placed]
        if len(found) == 1:
            return found[0]
        merged = np.concatenate(found)
        return merged[np.argsort(merged[:, OUT])]  # places differ: any order of equal ones is the same

    def _order(self, name: str, shards: TokenShards) -> SourceOrder:
        return SourceOrder(f"{self.seed}:{name}", self._rows(shards))

    def _rows(self, shards: TokenShards) -> Rows:
        if self.packing == "best_fit":
            packing = packing_of(self.sequence_length, self.middles)
            return PackedRows(shards, open_index(shards, packing), self._table)
        if self.packing != "chunks":
            raise InputError(f'train.packing is "{self.packing}"; it may be "chunks" or "best_fit"')
        if self.middles is not None:
            raise InputError(
                'fill-in-the-middle needs whole documents, which train.packing = "best_fit" gives: chunks cut them'
            )
        return ChunkedRows(shards, self.sequence_length, self._table)

    def _apply(self, entry: Entry) -> None:
        for name, num_shards in entry.grow.items():
            if name not in self.sources:
                raise InputError(f"the journal lets {name} grow, but the sources are {', '.join(self.sources)}")
            rows = self._rows(self.sources[name].grown(num_shards))
            self.samples.sources[name].add(self.samples.dealt(name, entry.at), rows)
        for name, added in entry.replace.items():
            if name not in self.sources:
                raise InputError(f"the journal replaces {name}, but the sources are {', '.join(self.sources)}")
            self.sources[name] = open_added(name, added, self.sources[name].label)
            order = self.samples.sources[name]
            order.replace(self.samples.dealt(name, entry.at), self._rows(self.sources[name].first))
        for name, added in entry.add.items():
            if name in self.sources:
                raise InputError(f"the journal adds a source {name}, which is there already")
            self.sources[name] = open_added(name, added)
            self.samples.sources[name] = self._order(name, self.sources[name].first)
        require_one_tokenizer(self.sources)
        if entry.weights:
            self.samples.weigh(entry.at, entry.weights)

    def _settings(self) -> dict[str, Any]:
        return {
            "order": _ORDER,
            "sources": self.pins,
            "weights": self.weights,
            "seed": self.seed,
            "sequence_length": self.sequence_length,
            "batch_size": self.batch_size,
            "packing": self.packing,
            "lengths": [list(pair) for pair in self.lengths],
            "middles": list(self.middles) if self.middles else None,
        }

    def _middles(self, middles: Middles, numbers: np.ndarray) -> tuple[Any, ...]:
        sentinels = np.array([middles.prefix_id, middles.middle_id, middles.suffix_id], np.int64)
        first = np.uint64(min(int(middles.suffix_first * 2**64), 2**64 - 1))
        return sentinels, numbers, self.sequence_length, np.uint64(self.seed % 2**64), first


def _reopened(arguments: dict[str, Any], next_step: int) -> TokenStream:
    stream = TokenStream(**arguments)
    stream.next_step = next_step
    return stream


def born(manifest: Mapping[str, Any]) -> str:
    """What a folder of shards was first sealed with: names it wherever it lies, and whatever became of it."""
    history = manifest.get("history") or [{}]
    return str(history[0].get("fingerprint", manifest["fingerprint"]))


def packing_of(sequence_length: int, middles: Middles | None) -> Packing:
    """The packing whose index a best-fit stream needs."""
    return Packing(sequence_length, middles.rate if middles else 0.0)


def sentinel_ids(tokenizer: Mapping[str, Any]) -> tuple[int, int, int]:
    """Ids of the prefix, middle and suffix sentinels among a tokenizer's special tokens. InputError if it has none."""
    special = tokenizer.get("special_tokens", {})
    for names in _SENTINELS:
        if all(name in special for name in names):
            prefix, middle, suffix = (int(special[name]) for name in names)
            return prefix, middle, suffix
    raise InputError(
        "train.fill_in_the_middle needs a tokenizer with three sentinels; this one has the special tokens "
        f"{', '.join(special) or 'of the end of text only'}. Train one with tokenize.special_tokens = "
        f"{list(_SENTINELS[0])}"
    )


def _checked_lengths(lengths: Sequence[tuple[int, int]], final: int) -> tuple[tuple[int, int], ...]:
    pairs = tuple((int(since), int(length)) for since, length in lengths)
    steps = [since for since, _ in pairs]
    if steps != sorted(set(steps)):
        raise InputError(f"train.lengths must be pairs of (from step, length) whose steps ascend; found {list(pairs)}")
    for _, length in pairs:
        if length < 1 or final % length:
            raise InputError(f"train.lengths: rows of {length} do not divide the sequence length, {final}")
    return pairs

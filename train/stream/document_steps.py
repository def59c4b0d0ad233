"""In which steps a document is trained on: the order of training, backwards. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from corpusmill.tokenize.token_shards import Shard, TokenShards, map_shard
from corpusmill.train.stream.token_stream import TokenStream, born

_TOLD = 1000
"""Documents of which steps are looked up; each takes some milliseconds."""


class Place(NamedTuple):
    """A shard of a stream: name of its source, number of its stratum there, its number in the stratum."""

    source: str
    stratum: int
    shard: int


def places(stream: TokenStream) -> Iterator[tuple[Place, TokenShards]]:
    """Every shard of a stream, and the shards that it is among."""
    for name, order in stream.samples.sources.items():
        for number, stratum in enumerate(order.strata):
            for shard in range(len(stratum.rows.shards.entries)):
                yield Place(name, number, shard), stratum.rows.shards


def shard_at(stream: TokenStream, place: Place) -> Shard:
    shards = stream.samples.sources[place.source].strata[place.stratum].rows.shards
    return map_shard(shards.folder, shards.entries[place.shard])


def samples_of(stream: TokenStream, place: Place, start: int, stop: int, before: int) -> list[int]:
    """Samples before sample `before` that have any of the tokens [start, stop) of a shard. Ascending."""
    order = stream.samples.sources[place.source]
    stratum = order.strata[place.stratum]
    laps = order.lap_of(stream.samples.dealt(place.source, before)) + 1  # that have begun by then
    found: set[int] = set()
    lap = stratum.lap
    while True:
        rows = stratum.rows.holding(place.shard, start, stop, lap - stratum.lap)
        if (
            not len(rows) or rows[0] >= stratum.before(laps) or (stratum.until is not None and lap > stratum.until)
        ):  # a lap's head may lie in the last row of the one before
            break
        for row in rows.tolist():
            number = order.number_of(place.stratum, row)
            sample = None if number is None else stream.samples.sample_of(place.source, number)
            if sample is not None and sample < before:
                found.add(sample)
        lap += 1
    return sorted(found)


def steps_of(
    stream: TokenStream, place: Place, document: int, last_step: int, offsets: np.ndarray
) -> list[tuple[int, int]]:
    """(step, sample within its global batch) up to `last_step` in which a document of a shard is trained on.

    `offsets` are the shard's.
    """
    start, stop = int(offsets[document]), int(offsets[document + 1])
    samples = samples_of(stream, place, start, stop, stream.first_sample(last_step + 1))
    return [found for found in map(stream.step_of, samples) if found is not None]


def changed_samples(stream: TokenStream, versions: Mapping[str, int], last_step: int) -> list[dict[str, Any]]:
    """Documents that were forgotten since a state with these versions, and the steps that have them: dicts of `source`,
    `shard`, `document` (row) and `steps`, pairs of (step, sample within its global batch) up to `last_step`; None where
    more than _TOLD documents were forgotten, for those beyond."""
    named = {(born(shards.manifest), shards.entries[p.shard]["name"]): p for p, shards in places(stream)}
    offsets: dict[Place, np.ndarray] = {}
    found: list[dict[str, Any]] = []
    for folder, shard, document in stream.blanked_since(versions):
        if (place := named.get((folder, shard))) is None:
            continue
        steps = None
        if len(found) < _TOLD:
            offsets = offsets if place in offsets else {place: shard_at(stream, place).offsets}
            steps = steps_of(stream, place, document, last_step, offsets[place])
        found.append({"source": place.source, "shard": shard, "document": document, "steps": steps})
    return found

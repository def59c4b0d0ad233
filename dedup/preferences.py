"""Which document of a cluster stays: a text that sorts first for the one preferred, whatever the policy.

Such a text can be compared by any engine's MIN. It is the policy's number, then the length (longer first), both as
sixteen hex digits that sort as the numbers do, then the id: an address moves with the order of inputs, an id does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.columns import byte_lengths
from corpusmill.errors import InputError
from corpusmill.recipe import Dedup
from corpusmill.schemas import MEASURES

COLUMNS = ("id", "url", "fetched_at", "text", "warc_file", "host", "measures", "scores")
"""What a policy may need of a document."""
AFTER_ALL = "~"
"""Begins the preference of a document that is in no corpus any more: hex digits come before it."""
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def preferences(batch: pa.RecordBatch, settings: Dedup) -> pa.Array:
    """One text for each row of DOCUMENTS. A document that the policy knows nothing of comes last."""
    sizes = -byte_lengths(batch.column("text")).astype(np.float64)
    least_first = {
        "longest": lambda: sizes,
        "earliest": lambda: _fetched(batch, 1),
        "latest": lambda: _fetched(batch, -1),
        "best_score": lambda: -_score(batch, settings.score or ""),
        "preferred_source": lambda: _source(batch, settings.sources),
    }[settings.survivor]()
    keys = _sortable(least_first), _sortable(sizes), batch.column("id")
    return pc.binary_join_element_wise(*keys, "-", null_handling="replace", null_replacement="")


def _fetched(batch: pa.RecordBatch, sign: int) -> np.ndarray:
    """Microseconds since 1970: a double holds them exactly until the year 2255."""
    times = batch.column("fetched_at").cast(pa.int64()).cast(pa.float64(), safe=False)
    values = times.to_numpy(zero_copy_only=False) * sign
    return np.where(np.isnan(values), np.inf, values)


def _score(batch: pa.RecordBatch, name: str) -> np.ndarray:
    """A measure, or a score of a model; -inf where a document has none, so that it comes last."""
    if name in MEASURES.names:
        found = pc.struct_field(batch.column("measures"), name)
    else:
        found = pc.map_lookup(batch.column("scores"), pa.scalar(name), "first")
        if batch.num_rows and found.null_count == batch.num_rows:
            raise InputError(
                f"dedup.score: no document has a measure or score named {name!r}; expected a measure of the text or "
                "the name of one of the recipe's clean.scorers"
            )
    values = found.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.where(np.isnan(values), -np.inf, values)


def _source(batch: pa.RecordBatch, sources: Sequence[str]) -> np.ndarray:
    """The place of the first pattern that the document's file or host matches."""
    seen: dict[tuple[str, str], float] = {}
    places = np.empty(batch.num_rows)
    files, hosts = (batch.column(n).to_pylist() for n in ("warc_file", "host"))
    for i, (file, host) in enumerate(zip(files, hosts, strict=True)):
        key = (file or "", host or "")
        if key not in seen:
            hits = (n for n, pattern in enumerate(sources) if any(fnmatchcase(name, pattern) for name in key))
            seen[key] = float(next(hits, len(sources)))
        places[i] = seen[key]
    return places


def _sortable(values: np.ndarray) -> pa.Array:
    """Doubles as hex digits in their order: the bits, the sign turned, those of negative ones inverted."""
    bits = (values + 0.0).astype(np.float64).view(np.uint64)  # + 0.0: there is one zero
    ordered = np.where(bits >> np.uint64(63) == 1, ~bits, bits | np.uint64(1 << 63))
    raw = ordered.astype(">u8").view(np.uint8).reshape(-1, 8)
    digits = np.empty((len(raw), 16), np.uint8)
    digits[:, 0::2], digits[:, 1::2] = _HEX[raw >> 4], _HEX[raw & 15]
    offsets = pa.py_buffer(np.arange(len(raw) + 1, dtype=np.int32) * 16)
    return pa.StringArray.from_buffers(len(raw), offsets, pa.py_buffer(digits.tobytes()))

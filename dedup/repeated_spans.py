"""Runs of at least `min_words` words that occurred before, wherever they begin (Lee et al. 2021, section 4.1).

Lee et al. sort all suffixes of the corpus. Here every window of `min_words` words has a key, and a run repeats exactly
where its windows do, so counting keys does. Counting all of them would shuffle a row for each word; but two equal
windows have equal minimizers (the least hash of the shorter runs within, Schleimer et al. 2003). So there are two
rounds: minimizers are counted first, about two in `min_words / 2` words, then only windows whose minimizer repeats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.columns import text_buffers
from corpusmill.context import RunContext
from corpusmill.dedup.dedup_files import statement
from corpusmill.dedup.repeated_keys import (
    WORK,
    Files,
    dataset,
    key_file,
    key_rows,
    key_table,
    repeated,
    run_all,
)
from corpusmill.dedup.span_kernels import Words, cut_words, find_words, minimizers, window_keys, word_spans
from corpusmill.dedup.span_rows import Spans, joined
from corpusmill.ledger import part_name
from corpusmill.recipe import RepeatedSpans
from corpusmill.storage import Folder
from corpusmill.surviving_rows import surviving_rows

WINDOWS_PER_PASS = 400_000_000
"""Windows counted at a time, some 10 GB of work files and spill; the text is read once more for each pass."""
_SLICE_BYTES = 4_000_000
"""Text cut into words at a time, 50 MB of arrays."""
_MINIMIZERS, _WINDOWS = f"{WORK}/spans/minimizers", f"{WORK}/spans/windows"


@dataclass(frozen=True)
class SpanTask:
    run: Folder
    part: int
    settings: RepeatedSpans
    minimizers: Files = ()
    """Where the part's repeated minimizers are."""
    turn: int = 0
    passes: int = 1
    """Only windows whose key is `turn` modulo `passes` are written."""


def find_repeated_spans(context: RunContext, parts: Sequence[int], settings: RepeatedSpans) -> dict[int, Files]:
    """Count the windows of all surviving documents; for each part, the files with those of its windows that repeat."""
    run, twice = context.folder, statement("repeated_keys", least=2)
    run_all(context, write_minimizers, [SpanTask(run, p, settings) for p in parts])
    keys = {"keys": dataset(run, _MINIMIZERS, parts)}
    shared = repeated(context, twice, keys, f"{WORK}/spans/repeated-minimizers", parts)
    passes = -(-_windows_at_most(context, keys, settings) // WINDOWS_PER_PASS) or 1
    found: dict[int, Files] = dict.fromkeys(parts, ())
    for turn in range(passes):
        run_all(context, write_windows, [SpanTask(run, p, settings, shared[p], turn, passes) for p in parts])
        prefix = f"{WORK}/spans/repeated-windows-{turn:03d}"
        some = repeated(context, twice, {"keys": dataset(run, _WINDOWS, parts)}, prefix, parts)
        found = {p: found[p] + some[p] for p in parts}
    return found


def write_minimizers(task: SpanTask) -> dict[str, Any]:
    """Write the minimizers of one part's windows, once for each place. Memory is one row group's."""

    def rows(words: Words, address: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        keys, places = _minimizers(words, task.settings)
        chosen = np.unique(places[places >= 0])
        return keys[chosen], np.repeat(address, np.diff(words.offsets))[chosen]

    return _write_keys(task, f"{_MINIMIZERS}/{part_name(task.part)}.parquet", rows)


def write_windows(task: SpanTask) -> dict[str, Any]:
    """Write the keys of one part's windows whose minimizer repeats. Memory is one row group's."""
    shared = key_table(task.run, task.part, task.minimizers)

    def rows(words: Words, address: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        keys, places = _minimizers(words, task.settings)
        chosen = np.flatnonzero(places >= 0)
        chosen = chosen[(shared.find(keys) >= 0)[places[chosen]]]
        windows = window_keys(words, task.settings.min_words)[chosen]
        mine = windows.view(np.uint64) % np.uint64(task.passes) == task.turn
        return windows[mine], np.repeat(address, np.diff(words.offsets))[chosen][mine]

    return _write_keys(task, f"{_WINDOWS}/{part_name(task.part)}.parquet", rows)


class SpanCutter:
    """Finds the spans of a part's repeated windows, a batch at a time, in order."""

    def __init__(self, run: Folder, part: int, settings: RepeatedSpans, files: Files) -> None:
        self.size = settings.min_words
        self.table = key_table(run, part, files)
        self.kept = np.full(len(self.table), -1, np.int64)

    def spans(self, batch: pa.RecordBatch) -> Spans:
        """Spans to cut of a batch with address and text, in order."""
        found = []
        for offsets, data, address in _slices(batch):
            words = find_words(offsets, data)
            place = self.table.find(window_keys(words, self.size))
            cut = cut_words(words, self.size, place, self.table.first_address, address, self.kept)
            text, start, end = word_spans(words, cut, offsets, data)
            found.append(Spans(address[text], start, end))
        return joined(found)


def _minimizers(words: Words, settings: RepeatedSpans) -> tuple[np.ndarray, np.ndarray]:
    """(keys of runs of half a window, for each window the place of the least of those in it)."""
    size = _run_words(settings)
    keys = window_keys(words, size)
    return keys, minimizers(words, keys, settings.min_words - size + 1)


def _run_words(settings: RepeatedSpans) -> int:
    """Words in the runs that minimizers are chosen from: half a window, so few repeat by chance and few are kept."""
    return settings.min_words // 2


def _write_keys(task: SpanTask, name: str, rows: Any) -> dict[str, Any]:
    with key_file(task.run, name) as out:
        for batch in surviving_rows(task.run, task.part, ("text",)):
            found = [rows(find_words(offsets, data), address) for offsets, data, address in _slices(batch)]
            if found:
                key, address = (np.concatenate(c) for c in zip(*found, strict=True))
                out.write_batch(key_rows(task.part, key, address))
    return {"part": task.part}


def _windows_at_most(context: RunContext, keys: Mapping[str, Any], settings: RepeatedSpans) -> int:
    """How many windows the repeated minimizers stand for at most: each is in so many, and the least in fewer."""
    sql = (
        "SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) AS n FROM "
        "(SELECT SUM(occurrences) AS n FROM keys GROUP BY key HAVING SUM(occurrences) >= 2) g"
    )
    repeats = int(context.engine.query(sql, keys).column("n")[0].as_py())
    return repeats * (settings.min_words - _run_words(settings) + 1)


def _slices(batch: pa.RecordBatch) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(offsets, bytes, addresses) of some documents at a time, whose text is of bounded size or a single one."""
    offsets, data = text_buffers(batch.column("text"))
    address = batch.column("address").to_numpy()
    at = 0
    while at < len(address):
        stop = int(np.searchsorted(offsets, offsets[at] + _SLICE_BYTES, side="right")) - 1
        stop = max(stop, at + 1)
        yield offsets[at : stop + 1], data, address[at:stop]
        at = stop

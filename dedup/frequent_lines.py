"""Lines or paragraphs that many documents of a host, or of the corpus, have: which, and where they lie.

After C4 (Raffel et al. 2020, section 2.2, which keeps one of each repeated three-sentence span) and CCNet (Wenzek et
al. 2020, section 3.1, which keeps the first of each paragraph, by a hash of its normal form). Unlike theirs, distinct
documents are counted, so a refrain is no boilerplate, and a host's share decides, so a heading is none either.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from corpusmill.columns import byte_lengths
from corpusmill.context import RunContext
from corpusmill.dedup.dedup_files import statement
from corpusmill.dedup.key_table import KeyTable
from corpusmill.dedup.line_kernels import Units, find_units, unit_spans
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
from corpusmill.dedup.span_rows import Spans
from corpusmill.ledger import part_name
from corpusmill.recipe import FrequentLines
from corpusmill.storage import Folder
from corpusmill.surviving_rows import surviving_rows

HOSTS = pa.schema([("host", pa.int64()), ("documents", pa.int64())])
_IN_HOST, _IN_CORPUS, _HOSTS = f"{WORK}/lines/host", f"{WORK}/lines/corpus", f"{WORK}/lines/hosts"
_MIX_1, _MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)


@dataclass(frozen=True)
class LineTask:
    run: Folder
    part: int
    settings: FrequentLines


@dataclass(frozen=True)
class FrequentFiles:
    """Where a part finds its frequent units, by scope."""

    in_host: Files = ()
    in_corpus: Files = ()


def find_frequent_lines(context: RunContext, parts: Sequence[int], settings: FrequentLines) -> dict[int, FrequentFiles]:
    """Count the units of all surviving documents; for each part, the files with its units that are frequent."""
    run = context.folder
    run_all(context, write_line_keys, [LineTask(run, p, settings) for p in parts])
    in_host: dict[int, Files] = {}
    in_corpus: dict[int, Files] = {}
    if settings.min_host_documents:
        millionths = round(settings.min_host_share * 1_000_000)
        sql = statement("frequent_in_host", least=settings.min_host_documents, millionths=millionths)
        datasets = {"keys": dataset(run, _IN_HOST, parts), "hosts": dataset(run, _HOSTS, parts, HOSTS)}
        in_host = repeated(context, sql, datasets, f"{WORK}/lines/frequent-in-host", parts)
    if settings.min_corpus_documents:
        sql = statement("repeated_keys", least=settings.min_corpus_documents)
        datasets = {"keys": dataset(run, _IN_CORPUS, parts)}
        in_corpus = repeated(context, sql, datasets, f"{WORK}/lines/frequent-in-corpus", parts)
    return {p: FrequentFiles(in_host.get(p, ()), in_corpus.get(p, ())) for p in parts}


def write_line_keys(task: LineTask) -> dict[str, Any]:
    """Write the units of one part: each once in a row group, with how many documents have it. Memory is a row group."""
    run, settings, name = task.run, task.settings, f"{part_name(task.part)}.parquet"
    with ExitStack() as files:
        in_host = files.enter_context(key_file(run, f"{_IN_HOST}/{name}"))
        in_corpus = files.enter_context(key_file(run, f"{_IN_CORPUS}/{name}"))
        hosts = files.enter_context(key_file(run, f"{_HOSTS}/{name}", HOSTS))
        for batch in surviving_rows(run, task.part, ("host", "text")):
            units, host = _units_of(batch, settings), host_keys(batch.column("host"))
            address = batch.column("address").to_numpy()
            if settings.min_corpus_documents:
                in_corpus.write_batch(_document_rows(task.part, units.key, units.text, address))
            if settings.min_host_documents:
                known = host[units.text] != 0
                keys = in_host_keys(host[units.text], units.key)
                rows = _document_rows(task.part, keys[known], units.text[known], address, host)
                in_host.write_batch(rows)
                hosts.write_batch(_host_rows(host))
    return {"part": task.part}


class LineCutter:
    """Finds the spans of a part's frequent units, a batch at a time."""

    def __init__(self, run: Folder, part: int, settings: FrequentLines, files: FrequentFiles) -> None:
        self.settings = settings
        self.in_host = key_table(run, part, files.in_host)
        self.in_corpus = key_table(run, part, files.in_corpus)

    def spans(self, batch: pa.RecordBatch) -> Spans:
        """Spans to cut of a batch with address, host and text, in order."""
        units, address = _units_of(batch, self.settings, all_of_them=True), batch.column("address").to_numpy()
        host = host_keys(batch.column("host"))[units.text]
        cut = self._goes(self.in_corpus, units.key, address[units.text])
        cut |= self._goes(self.in_host, in_host_keys(host, units.key), address[units.text]) & (host != 0)
        cut &= units.chars >= self.settings.min_chars
        start, end = unit_spans(units, cut, byte_lengths(batch.column("text")))
        return Spans(address[units.text[cut]], start, end)

    def _goes(self, table: KeyTable, key: np.ndarray, address: np.ndarray) -> np.ndarray:
        """Which units are in the table, and not the one that is kept."""
        place = table.find(key)
        goes = place >= 0
        if self.settings.keep == "first" and len(table):
            candidates = np.flatnonzero(goes & (table.first_address[place] == address))
            _, first = np.unique(place[candidates], return_index=True)  # all candidates for one key are in one text
            goes[candidates[first]] = False
        return goes


def host_keys(hosts: pa.Array) -> np.ndarray:
    """64-bit hash of each host, int64 [n]; 0 where it is not known, for those are no host together."""
    names = hosts.dictionary_encode()
    hashed = [xxhash.xxh3_64_intdigest(h) if h else 0 for h in names.dictionary.to_pylist()]
    table = np.array([*hashed, 0], np.uint64).view(np.int64)
    return table[names.indices.fill_null(len(hashed)).to_numpy()]


def in_host_keys(host: np.ndarray, key: np.ndarray) -> np.ndarray:
    """64-bit hash of (host, unit), int64 [n]."""
    value = key.view(np.uint64) ^ (host.view(np.uint64) * _MIX_1)
    value ^= value >> np.uint64(32)
    value *= _MIX_2
    return (value ^ (value >> np.uint64(32))).view(np.int64)


def _units_of(batch: pa.RecordBatch, settings: FrequentLines, all_of_them: bool = False) -> Units:
    """Units of a batch; those that are too short are neighbours of others still, and only then asked for."""
    units = find_units(batch.column("text"), settings.unit == "paragraph")
    long_enough = units.chars >= settings.min_chars
    return units if all_of_them else Units(*(c[long_enough] for c in units))


def _document_rows(
    part: int, key: np.ndarray, text: np.ndarray, address: np.ndarray, host: np.ndarray | None = None
) -> pa.RecordBatch:
    """Rows of KEYS that count each document once."""
    order = np.lexsort((text, key))
    key, text = key[order], text[order]
    once = np.r_[True, (key[1:] != key[:-1]) | (text[1:] != text[:-1])] if len(key) else np.zeros(0, bool)
    key, text = key[once], text[once]
    return key_rows(part, key, address[text], None if host is None else host[text])


def _host_rows(host: np.ndarray) -> pa.RecordBatch:
    found, documents = np.unique(host[host != 0], return_counts=True)
    return pa.RecordBatch.from_arrays([pa.array(found, pa.int64()), pa.array(documents, pa.int64())], schema=HOSTS)

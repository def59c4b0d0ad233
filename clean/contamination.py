"""Contamination: texts that contain items of evaluation sets.

An item is found by its n-grams of 13 words (GPT-3: Brown et al. 2020, appendix C); one shorter than that by all of its
words in a row, from `min_words` words on. Each field of an item counts, and all of them joined in their order.

    Decontaminate    a rule: drops what contains one, and says of which set and item
    Contamination    a scorer: counts the n-grams found, in all and by set, and drops nothing
"""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import ConfigDict, Field

from corpusmill.clean.ngram_index import collect_keys, fill_bits, fill_table, find_keys, fold_table, normal_words
from corpusmill.clean.scorers.scorer import Scores, checksum
from corpusmill.clean.text_files import field_texts, read_rows
from corpusmill.columns import batch_of, text_buffers
from corpusmill.errors import InputError

REASON = "contaminated"
_SEPARATOR = " | "
_MATCH = re.compile(r"(?P<set>[\w.-]+): item (?P<item>.*?): '[^']*'(?: \| |\Z)", re.DOTALL)
"""One of a detail: an item may be named anything, words hold no quotation marks."""
_EXCERPT_CHARS = 60
_STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, kw_only=True)
class EvaluationSet:
    """One set: a file (or a glob of files) and the fields of its rows that hold text."""

    path: str
    fields: tuple[str, ...] = ("text",)
    id: str | None = None
    """The field that names an item; without it items are numbered from 1, as the rows of the file."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


class Match(NamedTuple):
    """The first n-gram of an evaluation set in a text, and how many there are."""

    set: str
    item: str
    words: str
    ngrams: int

    def __str__(self) -> str:
        return f"{self.set}: item {self.item}: '{_shortened(self.words)}'"


@dataclass(frozen=True, kw_only=True)
class _EvaluationSets:
    sets: dict[str, EvaluationSet]
    ngram: Annotated[int, Field(ge=2, le=64)] = 13
    min_words: Annotated[int, Field(ge=2)] = 8
    """Items with fewer words cannot be told from common phrases, and are not looked for."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    def check(self) -> None:
        """Raise InputError if a set cannot be read, or no item of it is long enough to be found."""
        if not self.sets:
            raise InputError('sets: expected at least one set: [clean.rules.sets.NAME] path = "...", fields = [...]')
        for name, one in self.sets.items():
            if not re.fullmatch(r"[\w.-]+", name):
                raise InputError(f"sets: {name!r}: a set's name has letters, digits, '.', '_' and '-' only")
            if not _files(one.path):
                raise InputError(f"sets.{name}.path: there is no file {one.path}")
        try:
            items = self.index().items
        except InputError as e:
            raise InputError(f"sets: {e}") from e
        for name, (_, indexed) in items.items():
            if not indexed:
                raise InputError(
                    f"sets.{name}: no field of any item has {min(self.min_words, self.ngram)} words; "
                    "check fields, or lower min_words"
                )

    def identity(self) -> dict[str, Any]:
        """Settings, with the names and checksums of the files instead of their paths."""
        sets = {
            name: {"fields": one.fields, "id": one.id, "files": {p.name: checksum(p) for p in _files(one.path)}}
            for name, one in self.sets.items()
        }
        return asdict(self) | {"sets": sets}

    def index(self) -> NgramIndex:
        files = [[(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in _files(s.path)] for s in self.sets.values()]
        return _built(json.dumps([asdict(self)["sets"], self.ngram, self.min_words, files]))

    def find_batch(self, texts: list[str] | pa.Array) -> list[list[Match]]:
        """For each text the evaluation sets that it contains an item of, in the order of the recipe."""
        return self.index().find(batch_of(texts))


@dataclass(frozen=True, kw_only=True)
class Decontaminate(_EvaluationSets):
    """Drop texts that contain an item of an evaluation set. About 90 MB of text a second and core."""

    reason: ClassVar[str] = REASON

    def judge_rows(self, batch: pa.RecordBatch) -> pa.StructArray:
        """(reason, detail) of each row; the detail names set, item and n-gram, one of each set."""
        details = [_SEPARATOR.join(map(str, found)) or None for found in self.find_batch(batch.column("text"))]
        reasons = pa.array([REASON if d is not None else None for d in details], pa.string())
        return pa.StructArray.from_arrays([reasons, pa.array(details, pa.string())], names=["reason", "detail"])

    def judge_batch(self, texts: list[str] | pa.Array) -> pa.StringArray:
        return pa.array([REASON if found else None for found in self.find_batch(texts)], pa.string())

    def judge(self, text: str) -> str | None:
        reason: str | None = self.judge_batch([text])[0].as_py()
        return reason


@dataclass(frozen=True, kw_only=True)
class Contamination(_EvaluationSets):
    """Count n-grams found: in all, and by set where there are any (`contamination.gsm8k-test`). Drops nothing."""

    rows: Literal["kept", "all"] = "kept"

    def score_batch(self, texts: pa.Array, languages: pa.Array | None = None) -> Scores:
        scores = {"": np.zeros(len(texts))} | {name: np.full(len(texts), np.nan) for name in self.sets}
        for i, found in enumerate(self.find_batch(texts)):
            for match in found:
                scores[match.set][i] = match.ngrams
                scores[""][i] += match.ngrams
        return scores


def matches_in_detail(detail: str) -> Iterator[tuple[str, str]]:
    """(set, item) of each match that a `drop_detail` of Decontaminate names."""
    for found in _MATCH.finditer(detail):
        yield found["set"], found["item"]


class NgramIndex:
    """The n-grams of evaluation sets as sorted 64-bit keys, with the items each came from."""

    def __init__(self, sets: dict[str, EvaluationSet], ngram: int, min_words: int) -> None:
        self.names = list(sets)
        self.items: dict[str, tuple[int, int]] = {}
        """Set to (its items, those of them long enough to be found)."""
        units: list[str] = []  # what is indexed: the fields of the items, and the fields joined
        owners: list[int] = []
        self.item_ids: list[tuple[int, str]] = []  # (set, item) by number
        for number, one in enumerate(sets.values()):
            for item, texts in _items(one):
                joined = [" ".join(texts)] if len(texts) > 1 else []
                units += texts + joined
                owners += [len(self.item_ids)] * (len(texts) + len(joined))
                self.item_ids.append((number, item))
        self._fill(units, np.array(owners, np.int64), ngram, min_words)

    def _fill(self, units: list[str], owners: np.ndarray, ngram: int, min_words: int) -> None:
        offsets, data = text_buffers(pa.array(units, pa.large_string()))
        room = int(offsets[-1] - offsets[0]) + 1
        keys, begins = np.zeros(room, np.uint64), np.zeros(room, np.uint64)
        unit, lengths = np.zeros(room, np.int64), np.zeros(room, np.int64)
        self.least = min(min_words, ngram)
        filled = collect_keys(offsets, data, fold_table(), ngram, self.least, keys, begins, unit, lengths)
        keys, begins, unit, lengths = keys[:filled], begins[:filled], unit[:filled], lengths[:filled]
        self.bits = np.zeros(max(1, 1 << (16 * filled // 64).bit_length()), np.uint64)
        fill_bits(begins, self.bits)
        self.lengths = np.unique(lengths)
        # stable: of the items that share an n-gram the first in recipe order is named
        order = np.argsort(keys, kind="stable")
        keys, items = keys[order], owners[unit[order]] if filled else np.zeros(0, np.int64)
        self.keys, first = np.unique(keys, return_index=True)
        self._from = np.append(first, len(keys))
        self._items = items
        self.table = np.zeros(1 << max(4, (2 * len(self.keys)).bit_length()), np.uint64)
        fill_table(self.keys, self.table)
        found = np.zeros(len(self.item_ids), bool)
        found[items] = True
        number = np.array([n for n, _ in self.item_ids], np.int64)
        for n, name in enumerate(self.names):
            self.items[name] = (int((number == n).sum()), int(found[number == n].sum()))

    def find(self, texts: pa.Array) -> list[list[Match]]:
        """Matches of each text, by set in recipe order: the earliest n-gram, and the number of all."""
        offsets, data = text_buffers(texts)
        room = 1024
        while True:
            spots, keys = np.zeros((room, 4), np.int64), np.zeros(room, np.uint64)
            index = (self.least, self.lengths, self.bits, self.table)
            count = find_keys(offsets, data, fold_table(), *index, spots, keys)
            if count <= room:
                break
            room = count
        found: list[dict[int, Match]] = [{} for _ in range(len(texts))]
        spots, keys = spots[:count], keys[:count]
        for row in np.lexsort((-spots[:, 3], spots[:, 1], spots[:, 0])).tolist():
            text, start, end, _ = spots[row].tolist()
            words = bytes(data[start:end]).decode()
            for number, item in self._owners(keys[row]):
                first = found[text].get(number)
                found[text][number] = (
                    first._replace(ngrams=first.ngrams + 1) if first else Match(self.names[number], item, words, 1)
                )
        return [[by_set[n] for n in sorted(by_set)] for by_set in found]

    def _owners(self, key: np.uint64) -> list[tuple[int, str]]:
        """Of each set that has this n-gram, the first item."""
        at = int(np.searchsorted(self.keys, key))
        owners: dict[int, str] = {}
        for item in self._items[self._from[at] : self._from[at + 1]].tolist():
            owners.setdefault(*self.item_ids[item])
        return list(owners.items())


@lru_cache(maxsize=4)
def _built(described: str) -> NgramIndex:
    """Built once per process: some seconds for a hundred thousand items."""
    sets, ngram, min_words, _ = json.loads(described)
    return NgramIndex({name: EvaluationSet(**one) for name, one in sets.items()}, ngram, min_words)


def _files(path: str) -> list[Path]:
    if Path(path).is_file():
        return [Path(path)]
    return [Path(p) for p in sorted(glob.glob(path)) if Path(p).is_file()]  # noqa: PTH207 (patterns may be absolute)


def _items(one: EvaluationSet) -> Iterator[tuple[str, list[str]]]:
    """(name of the item, its texts)."""
    files = _files(one.path)
    for file in files:
        before = f"{file.stem} " if len(files) > 1 else ""
        for number, row in enumerate(read_rows(file), 1):
            where = f"{file}: item {number}"
            named = field_texts(row, [one.id], where) if one.id else []
            yield before + (named[0] if named else str(number)), field_texts(row, one.fields, where)


def _shortened(text: str) -> str:
    words = ""
    for word in normal_words(text):
        if len(words) + len(word) >= _EXCERPT_CHARS:
            return words.strip() + "..."
        words += word if ord(word[0]) >= 0x3040 else f" {word}"
    return words.strip()

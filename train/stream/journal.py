"""What is to change in a stream while it is read: RUN/train/journal.jsonl, one entry to a line.

An entry holds from a sample that was not dealt yet. So weights may change, sources and shards may be added, and bad
samples may be left out, and the stream stays a pure function: of its settings and this file.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from corpusmill.errors import CorpusmillError, DamagedError, InputError
from corpusmill.storage import Folder, digest

if TYPE_CHECKING:
    from corpusmill.train.stream.token_stream import TokenStream

JOURNAL = "journal.jsonl"
REFUSED = "journal-refused.jsonl"
LOCK = ".journal.lock"


class AddedSource(BaseModel):
    """A source that was not there before: a folder of shards, and what it held then."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    shards: str
    num_shards: Annotated[int, Field(gt=0)]
    fingerprint: str


class Entry(BaseModel):
    """From sample `at` on (counted from 0 through all epochs, skipped ones included).

    `weights` of all sources replace those before; `add` are sources, each of which needs a weight; `grow` says how many
    of its manifest's shards a source has from here; `replace` gives a source other shards (the same without blank
    documents) from its next lap on; `skip` is a range of samples, [first, stop), that are not trained on. `why` is for
    people.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    at: Annotated[int, Field(ge=0)]
    weights: dict[str, float] | None = None
    add: dict[str, AddedSource] = {}
    grow: dict[str, Annotated[int, Field(gt=0)]] = {}
    replace: dict[str, AddedSource] = {}
    skip: tuple[int, int] | None = None
    why: str = ""

    @model_validator(mode="after")
    def _says_something(self) -> Entry:
        if not (self.weights or self.add or self.grow or self.replace or self.skip):
            raise ValueError("an entry says weights, add, grow, replace or skip")
        if self.skip and not self.at <= self.skip[0] < self.skip[1]:
            raise ValueError(f"a range to skip begins at its entry's sample or later and is not empty: {self.skip}")
        if self.add and not self.weights:
            raise ValueError("an added source needs weights, of it and all others")
        return self

    def describe(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_defaults=True)


class Journal:
    """Entries in order of `at`."""

    def __init__(self, entries: Iterable[Entry | Mapping[str, Any]] = ()) -> None:
        found = [e if isinstance(e, Entry) else parse_entry(e, "an entry") for e in entries]
        self.entries: Sequence[Entry] = tuple(sorted(found, key=lambda e: e.at))

    def before(self, sample: int) -> list[Entry]:
        """Entries that samples before `sample` depend on."""
        return [e for e in self.entries if e.at < sample]

    def digest(self, sample: int) -> str:
        """Names what was so for the samples before `sample`."""
        return digest([_deciding(e.describe()) for e in self.before(sample)])

    def skipped(self) -> list[tuple[int, int]]:
        """Disjoint ranges of samples, ascending."""
        merged: list[tuple[int, int]] = []
        for first, stop in sorted(e.skip for e in self.entries if e.skip):
            if merged and first <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(stop, merged[-1][1])
            else:
                merged.append((first, stop))
        return merged


class JournalWatch:
    """Says whether a training's journal was written since it was last looked at."""

    def __init__(self, train: Folder) -> None:
        self._train = train
        self._seen = self._now()

    def changed(self) -> bool:
        return self._now() != self._seen

    def read(self, stream: TokenStream) -> tuple[list[dict[str, Any]], str]:
        """(its entries, why `stream` cannot go on with them: "" if it can).

        If it cannot, the journal is again the stream's own, and what was in it is in REFUSED: a restart must find what
        the training was read by.
        """
        with _locked(self._train):
            try:
                journal = read_journal(self._train)
                stream.with_journal(journal)
            except CorpusmillError as e:
                self._train.write_bytes(REFUSED, self._train.read_bytes(JOURNAL))
                self._train.write_bytes(JOURNAL, b"".join(map(_line, stream.journal.entries)))
                return [], str(e)
            finally:
                self._seen = self._now()
        return [e.describe() for e in journal.entries], ""

    def _now(self) -> tuple[int, int]:
        """Of the file, in nanoseconds and bytes; (0, 0) if there is none."""
        try:
            found = self._train.local_path(JOURNAL).stat()
        except FileNotFoundError:
            return 0, 0
        return found.st_mtime_ns, found.st_size


def read_journal(train: Folder) -> Journal:
    """The journal of a training folder; empty if there is none."""
    if not train.exists(JOURNAL):
        return Journal()
    try:
        lines = train.read_bytes(JOURNAL).decode().splitlines()
    except (UnicodeDecodeError, OSError) as e:
        raise DamagedError(f"{train.url}/{JOURNAL} cannot be read ({e}): it was changed by hand. Put it back") from e
    entries = []
    for number, line in enumerate(lines, 1):
        where = f"{train.url}/{JOURNAL}, line {number}"
        try:
            value = json.loads(line)
        except ValueError as e:
            raise DamagedError(f"{where} is not JSON ({e}): it was changed by hand. Mend it or take it out") from e
        entries.append(parse_entry(value, where))
    return Journal(entries)


def parse_entry(value: Any, where: str) -> Entry:
    try:
        return Entry.model_validate(value)
    except ValidationError as e:
        first = e.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise InputError(f"{where}: {key + ': ' if key else ''}{first['msg'].removeprefix('Value error, ')}") from e


@contextmanager
def appending(train: Folder) -> Iterator[Callable[[Entry], None]]:
    """Gives a function that puts an entry at the end; nobody else writes the journal until the block ends.

    The file is replaced whole, so a reader never sees half a line.
    """
    with _locked(train):

        def append(entry: Entry) -> None:
            before = train.read_bytes(JOURNAL) if train.exists(JOURNAL) else b""
            train.write_bytes(JOURNAL, before + _line(entry))

        yield append


@contextmanager
def _locked(train: Folder) -> Iterator[None]:
    train.local_path().mkdir(parents=True, exist_ok=True)
    with train.local_path(LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _line(entry: Entry) -> bytes:
    return json.dumps(entry.describe(), sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _deciding(described: dict[str, Any]) -> dict[str, Any]:
    """What of an entry decides the order: not where its shards lie, nor what people say of it."""
    told = {kind: {n: {**v, "shards": ""} for n, v in described.get(kind, {}).items()} for kind in ("add", "replace")}
    return {**described, **told, "why": ""}

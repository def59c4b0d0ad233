"""Crawls by name, lists of a crawl's files, and some files out of many, spread evenly.

Common Crawl publishes for each crawl a list of paths by kind, crawl-data/<crawl>/<kind>.paths.gz below
https://data.commoncrawl.org/; paths in it are relative to the same address.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import xxhash

from corpusmill.errors import InputError
from corpusmill.inputs import read_lines

KINDS = ("warc", "wet")
_CRAWL = re.compile(r"(CC-MAIN-\d{4}-[\d-]+|CC-NEWS-\d{4}-\d{2})(?::(\w+))?")
_CHOICE = re.compile(r"(.+)\?((?:\w+=[^=&,/]*)(?:[&,]\w+=[^=&,/]*)*)")
_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of many files are read: `?files=100`, `?share=0.01`, with `seed=7` others as many."""

    files: int | None = None
    share: float | None = None
    seed: int = 0

    @classmethod
    def split(cls, pattern: str) -> tuple[str, Choice]:
        """(what stands before the choice, the choice). A `?` that names no choice is left alone: it is a glob's."""
        found = _CHOICE.fullmatch(pattern)
        if found is None:
            return pattern, cls()
        pairs = [pair.split("=") for pair in re.split("[&,]", found[2])]
        if not {key for key, _ in pairs} & {"files", "share", "seed"} and not is_crawl(found[1]):
            return pattern, cls()  # https://host/get?name=a
        return found[1], cls(**dict(_setting(pattern, key, value) for key, value in pairs))  # type: ignore[arg-type]

    def of(self, names: Sequence[str]) -> list[str]:
        """The chosen of `names`, in their order. Fewer are always among more, so a run can grow by a larger number."""
        names = list(dict.fromkeys(names))
        wanted = len(names) if self.files is None else self.files
        if self.share is not None:
            wanted = min(wanted, max(1, round(self.share * len(names))))
        return [names[i] for i in spread(len(names), wanted, self.seed)]


def spread(total: int, wanted: int, seed: int = 0) -> list[int]:
    """`wanted` of the numbers below `total`, sorted, spread evenly; those for fewer are among those for more.

    Steps of the golden ratio around a circle: whatever their number, neighbours are at most 2.6 mean gaps apart
    (the three-gap theorem: Swierczkowski 1958), so `total` places are full after some 2.6 * `total` steps.
    """
    if wanted >= total:
        return list(range(total))
    at = xxhash.xxh3_64_intdigest(str(seed))
    places: set[int] = set()
    while len(places) < wanted:
        places.add(at * total >> 64)
        at = (at + _GOLDEN) & 0xFFFFFFFFFFFFFFFF
    return sorted(places)


def is_crawl(source: str) -> bool:
    return _CRAWL.fullmatch(source) is not None


def is_paths_list(source: str) -> bool:
    return source.endswith((".paths", ".paths.gz"))


def files_of_crawl(source: str, base: str) -> list[str]:
    """Addresses of a crawl's files: `CC-MAIN-2026-04` its WARC files, `CC-MAIN-2026-04:wet` its texts."""
    found = _CRAWL.fullmatch(source)
    assert found is not None
    crawl, kind = found[1], found[2] or "warc"
    if Path(source).exists():
        raise InputError(
            f"{source} is a folder here and the name of a crawl: for the folder write ./{source}/*.warc.gz, "
            f"for the crawl {crawl}:{kind}"
        )
    if kind not in KINDS:
        raise InputError(f"{source}: a crawl has no files of the kind {kind!r} to read; expected {' or '.join(KINDS)}")
    folder = re.sub(r"CC-NEWS-(\d{4})-(\d{2})", r"CC-NEWS/\1/\2", crawl)
    listed = joined(base, f"crawl-data/{folder}/{kind}.paths.gz")
    try:
        return files_of_list(listed, base)
    except InputError as e:
        raise InputError(
            f"there is no crawl {crawl} with {kind} files: {e}. Names of crawls are listed at "
            "https://index.commoncrawl.org/; another source is set by ingest.crawl_base"
        ) from e


def files_of_list(name: str, base: str) -> list[str]:
    """Addresses of the files in a list. What the list's own address has before `crawl-data/` is their base, too."""
    before, found, _ = name.partition("crawl-data/")
    lines = read_lines(name)
    if not lines:
        raise InputError(f"{name}: the list is empty")
    return [joined(before if found and "://" in name else base, line) for line in lines]


def joined(base: str, path: str) -> str:
    """The address of `path`, which may be one already."""
    return path if "://" in path or path.startswith("/") else f"{base.rstrip('/')}/{path}"


def _setting(pattern: str, key: str, value: str) -> tuple[str, int | float]:
    if key in ("files", "seed") and value.isdigit() and (key == "seed" or int(value)):
        return key, int(value)
    if key == "share" and re.fullmatch(r"0?\.\d+|[01](\.0*)?", value) and 0 < float(value) <= 1:
        return key, float(value)
    raise InputError(
        f"{pattern}: {key}={value} is no choice of files; expected files=100, share=0.01 (above 0, at most 1) or "
        "seed=7, several joined by a comma"
    )

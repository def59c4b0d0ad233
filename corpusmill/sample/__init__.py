"""A small synthetic web in WARC form, with the truth beside it; tests and the demo live on it.

Everything is invented here: hosts under .example, people, places. The same arguments write the same bytes.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from corpusmill.errors import InputError
from corpusmill.sample.archive import Archivist, content_type
from corpusmill.sample.hosts import MIN_HOSTS, hosts_for
from corpusmill.sample.pages import SHARES, Page, Web

__all__ = ["KINDS", "SampleSummary", "truth_path_of", "write_sample"]

KINDS = tuple(SHARES)
MIN_PAGES = 20
_ENDING = ".warc.gz"


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """What was written. `records` counts all WARC records, `pages` the responses, `articles` those with a cluster."""

    path: str
    truth_path: str
    records: int
    pages: int
    articles: int
    by_kind: dict[str, int]
    bytes: int


def write_sample(path: str, *, pages: int = 2000, seed: int = 0, hosts: int | None = None) -> SampleSummary:
    """Write `path` (.warc.gz) with `pages` responses, and the truth (one JSON object for each) beside it.

    Both files appear whole or not at all, and are byte-equal for equal arguments. Memory does not grow with `pages`.
    """
    hosts = hosts_for(pages) if hosts is None else hosts
    _check(path, pages, hosts)
    truth_path = truth_path_of(path)
    temporary = [_temporary(name) for name in (path, truth_path)]
    try:
        with temporary[0].open("wb") as archive, temporary[1].open("wb") as truth:
            # the name stays out of the bytes: the same web under another name is the same file
            counts, records = _write(archive, truth, Web(pages, hosts, seed), Archivist(seed, f"sample{_ENDING}"))
            for stream in (archive, truth):
                stream.flush()
                os.fsync(stream.fileno())
        size = temporary[0].stat().st_size
        temporary[1].replace(truth_path)
        temporary[0].replace(path)
    finally:
        for leftover in temporary:
            leftover.unlink(missing_ok=True)
    articles = sum(counts[kind] for kind in ("article", "exact_duplicate", "near_duplicate"))
    by_kind = {kind: counts[kind] for kind in KINDS}
    return SampleSummary(path, truth_path, records, pages, articles, by_kind, size)


def truth_path_of(path: str) -> str:
    """Where the truth of the archive at `path` stands."""
    return path.removesuffix(_ENDING) + ".truth.jsonl"


def _check(path: str, pages: int, hosts: int) -> None:
    if pages < MIN_PAGES:
        raise InputError(f"sample: pages is {pages}, expected at least {MIN_PAGES}: ask for more, as in --pages 200")
    if hosts < MIN_HOSTS:
        raise InputError(f"sample: hosts is {hosts}, expected at least {MIN_HOSTS}, so that every language has one")
    if not path.endswith(_ENDING):
        raise InputError(f"sample: {path} does not end in {_ENDING}: give a name like web{_ENDING}")
    folder = Path(path).parent
    if not folder.is_dir():
        raise InputError(f"sample: {folder} is not an existing folder: create it, or write somewhere else")


def _temporary(path: str) -> Path:
    target = Path(path)
    return target.with_name(f".{target.name}.{os.getpid()}.tmp")


def _write(archive: IO[bytes], truth: IO[bytes], web: Web, archivist: Archivist) -> tuple[Counter[str], int]:
    counts: Counter[str] = Counter()
    offset = archive.write(archivist.warcinfo().member)
    records = 1
    for page in web.pages():
        counts[page.kind] += 1
        for record in archivist.records(page):
            if record.record_type == "response":
                row = _truth(page, record.record_id, offset, len(record.member))
                truth.write(json.dumps(row, sort_keys=True, ensure_ascii=False).encode() + b"\n")
            offset += archive.write(record.member)
            records += 1
    return counts, records


def _truth(page: Page, record_id: str, offset: int, length: int) -> dict[str, object]:
    return {
        "url": page.url,
        "host": page.host_name,
        "warc_record_id": record_id,
        "offset": offset,
        "length": length,
        "kind": page.kind,
        "detail": page.detail,
        "language": page.host.language.code if page.readable else None,
        "charset": page.host.charset if page.readable else None,
        "charset_declared": page.host.declared,
        "status": page.status,
        "content_type": content_type(page),
        "title": page.title,
        "text": page.text,
        "cluster": None if page.cluster is None else f"article-{page.cluster}",
        "jaccard": page.jaccard,
    }

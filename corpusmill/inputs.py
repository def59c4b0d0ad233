"""Input files: paths, globs, folders of data sets and fsspec URLs, lists of them (`@paths.txt`), and crawls by name.

crawl/*.warc.gz    s3://bucket/crawl/*.warc.gz    https://host/a.warc.gz    corpus/*.jsonl.zst    hf-folder/
@paths.txt                        a list, one a line (.gz too)
warc.paths.gz                     a list of Common Crawl's: its lines lie below `ingest.crawl_base`
CC-MAIN-2026-04, CC-MAIN-2026-04:wet         a crawl, by name
CC-MAIN-2026-04?files=100, ...?share=0.01,seed=7     some files of any of these, spread evenly
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Sequence
from functools import partial
from typing import IO

from corpusmill.errors import InputError
from corpusmill.recipe import Ingest
from corpusmill.remote_files import (
    ATTEMPTS,
    BLOCK_BYTES,
    at_once,
    filesystem_of,
    is_remote,
    local_size,
    open_local,
    open_remote,
    size_of,
)

_CHUNK = 1 << 20
_FIRST_ATTEMPTS = 4
"""While a command starts, a person waits: 3.5 s until an address that does not answer is said to be one."""


def expand(patterns: Iterable[str], settings: Ingest | None = None) -> dict[str, int]:
    """Each input's name to its size in bytes, sorted by name; a file named twice is read once.

    Raises InputError for a pattern that matches nothing.
    """
    from corpusmill.ingest.crawl_lists import Choice

    settings = settings or Ingest()
    names: dict[str, None] = {}
    for pattern in patterns:
        if not pattern:
            raise InputError(
                "an input is empty text: expected a file, a pattern, a list or a crawl. Is a variable unset?"
            )
        source, choice = Choice.split(pattern)
        names |= dict.fromkeys(choice.of(_named(source, settings)))
    if not names:
        raise InputError("no input: give one or more WARC files, for example --input crawl/*.warc.gz")
    here = [n for n in names if "://" not in n]
    away = [n for n in names if "://" in n]
    described = [*map(partial(_parts, settings=settings), here), *at_once(partial(_parts, settings=settings), away)]
    return dict(sorted(part for parts in described for part in parts.items()))


def open_input(name: str, block_bytes: int = BLOCK_BYTES, attempts: int = ATTEMPTS) -> IO[bytes]:
    """A seekable stream over one file. A remote one is read in blocks, and asked again where the network fails."""
    fs, path = filesystem_of(name)
    return open_remote(name, block_bytes, attempts) if is_remote(fs) else open_local(fs, path, name)


def read_lines(name: str) -> list[str]:
    """The lines of a list, .gz too; empty ones and comments (#) are left out."""
    with open_input(name, attempts=_FIRST_ATTEMPTS) as f:
        raw = f.read()
    try:
        text = (gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as e:
        raise InputError(f"{name} is not a list of files, one a line: {e}") from e
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


class Digesting:
    """A readable, seekable stream that knows the SHA-256 of the file once all of it has been read."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._hash = hashlib.sha256()
        self._hashed = 0

    def read(self, size: int = -1) -> bytes:
        at = self._raw.tell()
        data = self._raw.read(size)
        fresh = self._hashed - at
        if 0 <= fresh < len(data):
            self._hash.update(data[fresh:] if fresh else data)
            self._hashed += len(data) - fresh
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    @property
    def closed(self) -> bool:
        return self._raw.closed

    def close(self) -> None:
        """Left open: Arrow closes what it read from, and there is a checksum to come."""

    def finish(self) -> dict[str, int | str]:
        """Read what was skipped; the size and checksum of the whole file."""
        self._raw.seek(self._hashed)
        while self.read(_CHUNK):
            pass
        return {"bytes": self._hashed, "sha256": self._hash.hexdigest()}


def _named(source: str, settings: Ingest) -> Sequence[str]:
    """The files that a pattern without its choice stands for."""
    from corpusmill.ingest import crawl_lists

    if source.startswith("@"):
        return [name for line in read_lines(source[1:]) for name in _matches(line)]
    if crawl_lists.is_crawl(source):
        return crawl_lists.files_of_crawl(source, settings.crawl_base)
    if crawl_lists.is_paths_list(source):
        return crawl_lists.files_of_list(source, settings.crawl_base)
    return _matches(source)


def _matches(name: str) -> Sequence[str]:
    """The files of a glob, of a folder that is a data set, or the one file of this name (not looked for yet)."""
    fs, path = filesystem_of(name)
    is_pattern = any(c in path for c in ("*[" if name.startswith("http") else "*?["))
    if is_pattern and (is_remote(fs) or not fs.isfile(path)):  # a file may have brackets in its name
        paths = sorted(p for p in fs.glob(path) if fs.isfile(p))
        if not paths:
            raise InputError(f"{name}: no file matches this pattern")
        prefix = name.partition("://")[0] + "://" if "://" in name else ""
        # keep names as the user gave them: a relative pattern gives relative names
        cut = len(path) - len(name) if not prefix and not name.startswith("/") and path.endswith(name) else 0
        return [p if "://" in p else prefix + p[cut:] for p in paths]
    if fs.isdir(path) and (not is_remote(fs) or name.endswith("/")):
        from corpusmill.ingest.dataset_folders import files_of_folder

        return files_of_folder(name)
    return [name]


def _parts(name: str, settings: Ingest) -> dict[str, int]:
    """The parts that one file is read in, with their sizes: rows of an index are split, all else is one part."""
    from corpusmill.ingest.page_sources import index_parts

    fs, path = filesystem_of(name)
    if is_remote(fs):
        size = size_of(name, _FIRST_ATTEMPTS)
    elif fs.isdir(path):
        raise InputError(f"{name} is a folder; give the WARC files in it, for example {name.rstrip('/')}/*.warc.gz")
    else:
        size = local_size(fs, path, name)
    return index_parts(name, settings.rows_per_part) or {name: size}

"""Input files: paths, globs and fsspec URLs, and lists of them (`@paths.txt`, one a line, .gz too)."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Sequence
from typing import IO

import fsspec

from corpusmill.errors import InputError

_CHUNK = 1 << 20


def expand(patterns: Iterable[str]) -> dict[str, int]:
    """Each input's name to its size in bytes, sorted by name; a file named twice is read once.

    Raises InputError for a pattern that matches nothing.
    """
    found: dict[str, int] = {}
    for pattern in patterns:
        for name in _listed(pattern) if pattern.startswith("@") else [pattern]:
            found |= _matches(name)
    if not found:
        raise InputError("no input: give one or more WARC files, for example --input crawl/*.warc.gz")
    return dict(sorted(found.items()))


def open_input(name: str) -> IO[bytes]:
    try:
        fs, path = fsspec.url_to_fs(name)
        handle: IO[bytes] = fs.open(path, "rb")
    except FileNotFoundError as e:
        raise InputError(f"{name}: there is no such file") from e
    except (PermissionError, IsADirectoryError) as e:
        raise InputError(f"{name} cannot be read: {e.strerror or e}") from e
    return handle


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

    def finish(self) -> dict[str, int | str]:
        """Read what was skipped; the size and checksum of the whole file."""
        self._raw.seek(self._hashed)
        while self.read(_CHUNK):
            pass
        return {"bytes": self._hashed, "sha256": self._hash.hexdigest()}


def _listed(pattern: str) -> Sequence[str]:
    with open_input(pattern[1:]) as f:
        raw = f.read()
    text = gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw
    return [line.strip() for line in text.decode("utf-8").splitlines() if line.strip() and not line.startswith("#")]


def _matches(name: str) -> dict[str, int]:
    try:
        fs, path = fsspec.url_to_fs(name)
    except (ValueError, ImportError) as e:
        raise InputError(f"{name}: cannot be opened: {e}") from e
    if any(c in path for c in "*?["):
        paths = sorted(p for p in fs.glob(path) if fs.isfile(p))
        if not paths:
            raise InputError(f"{name}: no file matches this pattern")
        prefix = name.partition("://")[0] + "://" if "://" in name else ""
        # keep names as the user gave them: a relative pattern gives relative names
        cut = len(path) - len(name) if not prefix and not name.startswith("/") and path.endswith(name) else 0
        return {prefix + p[cut:]: int(fs.size(p)) for p in paths}
    if not fs.exists(path):
        raise InputError(f"{name}: there is no such file")
    if fs.isdir(path):
        raise InputError(f"{name} is a folder; give the WARC files in it, for example {name.rstrip('/')}/*.warc.gz")
    return {name: int(fs.size(path))}

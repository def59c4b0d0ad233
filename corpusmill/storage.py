"""Files of a run, wherever they are: a local folder, memory:// or an object store, all through fsspec.

Every file appears whole or not at all. It is written under a temporary local name, closed, flushed to the disk,
checksummed, and only then given its name: by a rename on a local disk, by one upload on an object store (whose objects
appear when the upload completes).
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import fsspec

from corpusmill.errors import DamagedError, InputError, StorageError

TEMPORARY_SUFFIX = ".tmp"
_CHUNK = 1 << 20


@dataclass(slots=True)
class Output:
    """A file being written: fill `path`; once the `writing` block ends well, size and checksum are known."""

    name: str
    path: Path
    bytes: int = -1
    sha256: str = ""

    def describe(self) -> dict[str, Any]:
        return {"bytes": self.bytes, "sha256": self.sha256}


@dataclass(frozen=True)
class Folder:
    """A folder named by a path or an fsspec URL. Holds no connection, so it can be sent to any worker."""

    url: str
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.url:  # an unset variable of the shell; it would be the current folder
            raise InputError("a folder's name is empty; give a path or a URL, or . for the current folder")

    @cached_property
    def _resolved(self) -> tuple[fsspec.AbstractFileSystem, str]:
        try:
            fs, path = fsspec.url_to_fs(self.url, **self.options)
        except (ValueError, ImportError) as e:
            raise InputError(f"{self.url}: cannot be opened as a folder: {e}") from e
        return fs, path.rstrip("/")

    def __reduce__(self) -> tuple[Any, ...]:
        return Folder, (self.url, self.options)

    @property
    def fs(self) -> fsspec.AbstractFileSystem:
        return self._resolved[0]

    @property
    def root(self) -> str:
        """The path inside the file system (absolute where it is local)."""
        return self._resolved[1]

    @property
    def is_local(self) -> bool:
        protocol = self.fs.protocol
        return "file" in ((protocol,) if isinstance(protocol, str) else protocol)

    def at(self, name: str) -> str:
        return f"{self.root}/{name}" if name else self.root

    def sub(self, name: str) -> Folder:
        return Folder(f"{self.url.rstrip('/')}/{name}", self.options)

    def local_path(self, name: str = "") -> Path:
        """The path on this machine's disk; an error where the folder is elsewhere."""
        if not self.is_local:
            raise InputError(f"{self.url}: this step needs a folder on a local disk; give it a local --output")
        return Path(self.at(name))

    def exists(self, name: str = "") -> bool:
        return bool(self.fs.exists(self.at(name)))

    def size(self, name: str) -> int | None:
        """Size in bytes, or None if there is no such file."""
        try:
            self.fs.invalidate_cache(self.at(name).rpartition("/")[0])
            return int(self.fs.info(self.at(name))["size"])
        except FileNotFoundError:
            return None

    def names(self, pattern: str) -> list[str]:
        """Names below this folder that match a glob, sorted. Temporary files are not listed."""
        self.fs.invalidate_cache()
        found = (str(p) for p in self.fs.glob(f"{glob.escape(self.root)}/{pattern}"))
        return sorted(n for n in (p.removeprefix(self.root).lstrip("/") for p in found) if not _temporary(n))

    def open(self, name: str) -> IO[bytes]:
        try:
            handle: IO[bytes] = self.fs.open(self.at(name), "rb")
        except FileNotFoundError as e:
            raise DamagedError(f"{self.url}/{name} is missing; the run needs it. Run the stage that writes it") from e
        return handle

    def read_bytes(self, name: str) -> bytes:
        with self.open(name) as f:
            return f.read()

    def read_json(self, name: str) -> Any:
        raw = self.read_bytes(name)
        try:
            return json.loads(raw)
        except ValueError as e:
            raise DamagedError(
                f"{self.url}/{name} is not JSON ({e}): it was changed by hand or by a failing disk. Remove it and rerun"
            ) from e

    def write_json(self, name: str, value: Any) -> None:
        self.write_bytes(name, canonical_json(value))

    def write_bytes(self, name: str, data: bytes) -> None:
        with self.writing(name) as out:
            out.path.write_bytes(data)

    @contextmanager
    def writing(self, name: str) -> Iterator[Output]:
        """Write one file: `with folder.writing("a/b") as out: fill(out.path)`. It is named if the block succeeds."""
        with _said_plainly(self, name):
            out = Output(name, self._temporary_path(name))
        try:
            with _said_plainly(self, name):
                yield out
                out.bytes, out.sha256 = _seal(out.path)
                self._publish(out)
        finally:
            out.path.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Remove a file or a folder with all below it; nothing happens if it is not there.

        A task that Spark has given up may still be writing below it: the removal is tried again.
        """
        for pause in (0.1, 0.5, 2.0, 5.0):
            try:
                if self.exists(name):
                    self.fs.rm(self.at(name), recursive=True)
                return
            except OSError as e:
                if e.errno not in (errno.ENOTEMPTY, errno.ENOENT):
                    raise
            time.sleep(pause)
        self.fs.rm(self.at(name), recursive=True)

    def remove_temporary(self) -> None:
        """Remove what a killed writer left. Only the owner of the folder may call this."""
        if self.is_local and Path(self.root).is_dir():
            for path in Path(self.root).rglob(f".*{TEMPORARY_SUFFIX}"):
                path.unlink(missing_ok=True)

    def free_bytes(self) -> int | None:
        """Free space in bytes, or None where that means nothing (object stores, memory)."""
        if not self.is_local:
            return None
        path = Path(self.root)
        while not path.exists():
            path = path.parent
        return shutil.disk_usage(path).free

    def require_space(self, needed: int, what: str) -> None:
        """Refuse to start `what` when the disk has less than `needed` bytes free."""
        free = self.free_bytes()
        if free is not None and free < needed:
            raise StorageError(
                f"{self.url} has {_mb(free)} free; {what} is expected to need about {_mb(needed)}. "
                "Free some space or choose another --output; what is already done is kept"
            )

    def _temporary_path(self, name: str) -> Path:
        if not self.is_local:
            return Path(tempfile.gettempdir()) / f"corpusmill-{uuid.uuid4().hex}{TEMPORARY_SUFFIX}"
        target = Path(self.at(name))
        target.parent.mkdir(parents=True, exist_ok=True)
        return target.with_name(f".{target.name}.{uuid.uuid4().hex}{TEMPORARY_SUFFIX}")

    def _publish(self, out: Output) -> None:
        if self.is_local:
            out.path.replace(self.at(out.name))
            _sync_folder(Path(self.at(out.name)).parent)
        else:
            self.fs.makedirs(self.at(out.name).rpartition("/")[0], exist_ok=True)
            self.fs.put_file(str(out.path), self.at(out.name))


def canonical_json(value: Any) -> bytes:
    """JSON whose bytes depend on the value alone: sorted keys, one form of white space."""
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def digest(value: Any) -> str:
    """SHA-256 of a JSON value, in hex."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def sha256_of(path: str | Path) -> str:
    with Path(path).open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _seal(path: Path) -> tuple[int, str]:
    with path.open("rb+") as f:
        os.fsync(f.fileno())
        checksum = hashlib.file_digest(f, "sha256").hexdigest()
        return f.tell(), checksum


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _temporary(name: str) -> bool:
    return name.endswith(TEMPORARY_SUFFIX)


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size < 1e10 else f"{size / 1e9:,.1f} GB"


@contextmanager
def _said_plainly(folder: Folder, name: str) -> Iterator[None]:
    """Turn the operating system's answer into a sentence."""
    try:
        yield
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(
                f"{folder.url}/{name}: the disk is full. Nothing half-written is left; free some space and run the "
                "same command again: it goes on where it stopped"
            ) from e
        if e.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StorageError(f"{folder.url}/{name} cannot be written ({e.strerror}): choose another --output") from e
        if e.errno == errno.ENOTDIR:
            raise StorageError(f"{folder.url}: a file stands where a folder is needed: choose another --output") from e
        raise

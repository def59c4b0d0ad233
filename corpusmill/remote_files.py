"""Files behind a network: read by ranges in large blocks, tried again while the trouble may pass, else one sentence."""

from __future__ import annotations

import asyncio
import errno
import io
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import IO, Any, TypeVar

import fsspec
from fsspec.asyn import sync

from corpusmill.errors import CorpusmillError, InputError, StorageError, require_extra
from corpusmill.version import __version__

BLOCK_BYTES = 8 << 20
"""What one request asks for. Common Crawl advises few and large requests."""
ATTEMPTS = 8
_FIRST_WAIT_SECONDS = 0.5  # doubled each time, up to the next: a minute in all
_LONGEST_WAIT_SECONDS = 30.0
_SILENCE_SECONDS = 60.0
"""A server that sends nothing for so long is asked again."""
_AT_ONCE = 32
_PASSING_STATUS = frozenset({408, 425, 429})  # and all from 500 on
_PASSING_ERRNO = frozenset({errno.EIO, errno.EBUSY, errno.EAGAIN, errno.ETIMEDOUT, errno.ECONNRESET, errno.EPIPE})
_EXTRAS = {"http": ("http", "aiohttp"), "https": ("http", "aiohttp"), "s3": ("s3", "s3fs")}

T = TypeVar("T")


def filesystem_of(name: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """(file system, path in it) of a path or URL."""
    protocol = name.partition("://")[0] if "://" in name else ""
    if protocol in _EXTRAS:
        extra, module = _EXTRAS[protocol]
        require_extra(f"reading {protocol}:// files", extra, module)
    try:
        fs, path = fsspec.url_to_fs(name, **(_http_options() if protocol in ("http", "https") else {}))
    except (ValueError, ImportError, OSError) as e:  # OSError: some, as ftp, connect at once
        raise InputError(f"{name}: cannot be opened: {e}") from e
    return fs, path


def is_remote(fs: fsspec.AbstractFileSystem) -> bool:
    """Whether requests go over a network that fsspec speaks asynchronously (http, s3, gcs, abfs ...)."""
    return bool(getattr(fs, "async_impl", False))


def open_local(fs: fsspec.AbstractFileSystem, path: str, name: str) -> IO[bytes]:
    """A stream over a file that needs no network. Raises InputError if it is not there, or no file."""
    local_size(fs, path, name)
    with _in_sentences(name):
        handle: IO[bytes] = fs.open(path, "rb")
    return handle


def local_size(fs: fsspec.AbstractFileSystem, path: str, name: str) -> int:
    """Size in bytes of a file that needs no network. Raises InputError if it is not there, or can be read only once."""
    with _in_sentences(name):
        found = fs.info(path)
    if found["type"] == "other":  # to open a pipe is to wait for whoever writes it
        raise InputError(f"{name} is a pipe or a device; expected a file. Write what comes out of it to one")
    return int(found["size"])


@contextmanager
def _in_sentences(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as e:
        raise InputError(f"{name}: there is no such file") from e
    except (PermissionError, IsADirectoryError) as e:
        raise InputError(f"{name} cannot be read: {e.strerror or e}") from e


def open_remote(name: str, block_bytes: int = BLOCK_BYTES, attempts: int = ATTEMPTS) -> IO[bytes]:
    """A seekable stream over a remote file; memory is one block. Raises InputError if it is not there."""
    return io.BufferedReader(_RangeReader(name, attempts), block_bytes)


def read_range(name: str, start: int, end: int, attempts: int = ATTEMPTS) -> bytes:
    """Bytes [start, end) of a remote or local file; fewer where the file ends before."""
    fs, path = filesystem_of(name)
    if not is_remote(fs):
        with open_local(fs, path, name) as f:
            f.seek(start)
            return f.read(end - start)
    found = _asked_again(partial(_cat, fs, path, start, end), name, attempts)
    if len(found) > end - start:
        raise InputError(
            f"{name}: its server does not serve byte ranges ({end - start:,} bytes asked, {len(found):,} came): "
            "download the file and give its path"
        )
    return found


def size_of(name: str, attempts: int = ATTEMPTS) -> int:
    """Size of a remote file in bytes."""
    fs, path = filesystem_of(name)
    size = _asked_again(partial(_size, fs, path), name, attempts)
    if size is None:
        raise InputError(f"{name}: its server does not say how large it is: download the file and give its path")
    return size


def at_once(function: Callable[[str], T], names: Iterable[str]) -> list[T]:
    """`function` of each name, in order, with many requests under way at the same time."""
    names = list(names)
    if len(names) < 2:
        return [function(n) for n in names]
    with ThreadPoolExecutor(min(_AT_ONCE, len(names))) as pool:
        futures = [pool.submit(function, n) for n in names]
        try:
            return [f.result() for f in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _RangeReader(io.RawIOBase):
    """A remote file as Python's raw stream; each `readinto` is one request."""

    def __init__(self, name: str, attempts: int) -> None:
        self.name, self.attempts = name, attempts
        self._size = size_of(name, attempts)
        self._at = 0

    def readinto(self, buffer: Any) -> int:
        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        data = read_range(self.name, self._at, end, self.attempts)
        if len(data) < end - self._at:
            raise StorageError(
                f"{self.name} ended at {self._at + len(data):,}; it had {self._size:,} bytes when it was opened. "
                "It is being changed: run the same command again when it stands"
            )
        buffer[: len(data)] = data
        self._at = end
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


def _size(fs: fsspec.AbstractFileSystem, path: str) -> int | None:
    if "http" in fs.protocol:
        found: int | None = sync(fs.loop, _http_size, fs, path)
        return found
    size = fs.info(path).get("size")
    return None if size is None else int(size)


async def _http_size(fs: Any, url: str) -> int | None:
    """fsspec's own question takes every failure for a missing file, and no length of a file labelled as gzip."""
    session = await fs.set_session()
    async with session.head(fs.encode_url(url), allow_redirects=True, **fs.kwargs) as answer:
        if answer.ok and "Content-Length" in answer.headers:
            return int(answer.headers["Content-Length"])
        if not answer.ok and answer.status not in (403, 405, 501):  # some servers answer no HEAD
            answer.raise_for_status()
    options = fs.kwargs | {"headers": fs.kwargs.get("headers", {}) | {"Range": "bytes=0-0"}}
    async with session.get(fs.encode_url(url), **options) as answer:
        answer.raise_for_status()
        whole = "Content-Length" if answer.status == 200 else "Content-Range"
        size = answer.headers.get(whole, "").rpartition("/")[2]
        return int(size) if size.isdigit() else None


def _cat(fs: fsspec.AbstractFileSystem, path: str, start: int, end: int) -> bytes:
    try:
        data: bytes = fs.cat_file(path, start=start, end=end)
    except Exception as e:
        if _status(e) == 416 or getattr(e, "errno", None) == errno.EINVAL:  # the file ends before `start`
            return b""
        raise
    return data


def _asked_again(ask: Callable[[], T], name: str, attempts: int = ATTEMPTS) -> T:
    wait = _FIRST_WAIT_SECONDS
    for left in reversed(range(attempts)):
        try:
            return ask()
        except CorpusmillError:
            raise
        except Exception as e:
            if not left or not _may_pass(e):
                raise _sentence(name, e, attempts) from e
        time.sleep(wait)
        wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
    raise AssertionError("attempts is at least 1")


def _may_pass(e: Exception) -> bool:
    """Whether the same request may well succeed a little later."""
    status = _status(e)
    if status is not None:
        return status >= 500 or status in _PASSING_STATUS
    if isinstance(e, (FileNotFoundError, PermissionError, IsADirectoryError)):
        return False
    if isinstance(e, (TimeoutError, asyncio.TimeoutError, ConnectionError)):
        return True
    package = type(e).__module__.partition(".")[0]
    if package == "botocore":
        return "Credentials" not in type(e).__name__ and type(e).__name__ != "ClientError"
    return package == "aiohttp" or (isinstance(e, OSError) and e.errno in _PASSING_ERRNO)


def _sentence(name: str, e: Exception, attempts: int) -> CorpusmillError:
    status = _status(e)
    if isinstance(e, FileNotFoundError) or status in (404, 410):
        return InputError(f"{name}: there is no such file")
    if isinstance(e, PermissionError) or status in (401, 403):
        return InputError(f"{name}: access was refused ({e}). Check the address, and the credentials if it needs any")
    if "Credentials" in type(e).__name__:
        return InputError(f"{name}: no AWS credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if _may_pass(e):
        return StorageError(
            f"{name} cannot be reached: {str(e) or type(e).__name__}, also when asked {attempts} times. "
            "Check the network and run the same command again: what is finished is kept"
        )
    return InputError(f"{name} cannot be read: {type(e).__name__}: {e}")


def _status(e: Exception) -> int | None:
    status = getattr(e, "status", None)
    return status if isinstance(status, int) else None


def _http_options() -> dict[str, Any]:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_SILENCE_SECONDS, sock_read=_SILENCE_SECONDS)
    headers = {"Accept-Encoding": "identity", "User-Agent": f"corpusmill/{__version__}"}
    # a server that labels x.warc.gz with Content-Encoding: gzip must not have it unpacked on the way
    return {"headers": headers, "client_kwargs": {"timeout": timeout, "auto_decompress": False}}

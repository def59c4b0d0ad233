"""Block lists of hosts and addresses in UT1 form, as sorted 64-bit keys that are mapped from a cache file.

A list is read once per machine (4.5 million hosts in seconds) and then mapped, so a worker that starts costs nothing,
and all workers share one copy: 8 bytes an entry. Keys can collide: a host or parent domain that is not listed is taken
for one that is with probability entries / 2^64, which for 4.5 million entries is one in 4 million million look-ups.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path, PurePath

import numpy as np
import pyarrow as pa

from corpusmill.clean.languages import cache_folder
from corpusmill.clean.url_address import address_of
from corpusmill.clean.url_kernels import address_keys, host_keys, line_keys
from corpusmill.columns import text_buffers
from corpusmill.errors import InputError
from corpusmill.storage import sha256_of

DATATROVE = "datatrove"
"""Stands for the lists that an installed datatrove carries: UT1 as FineWeb used it, and its words."""
_FORMAT = 1
"""To be raised when the same list would make other keys."""
_KINDS = ("domains", "urls")
_DATATROVE_WORDS = {
    "words": "banned_words.txt", "soft_words": "soft_banned_words.txt", "subwords": "banned_subwords.txt",
}  # fmt: skip


@dataclass(frozen=True)
class UrlList:
    """One list. Arrays hold sorted keys, uint64."""

    under: np.ndarray
    """Hosts that are listed with everything under them."""
    exact: np.ndarray
    """Hosts under which others have their sites (private suffixes such as dynu.net): listed for themselves alone."""
    address_hosts: np.ndarray
    addresses: np.ndarray
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Kind (words, soft_words, subwords) to entries; datatrove's lists have some."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what the list says, however and wherever it is stored."""
        whole = hashlib.sha256(repr(sorted(self.words.items())).encode())
        for keys in (self.under, self.exact, self.address_hosts, self.addresses):
            whole.update(len(keys).to_bytes(8, "little") + np.ascontiguousarray(keys).tobytes())
        return whole.hexdigest()


def lists_digest(names: Sequence[str]) -> list[str]:
    """What stands for the lists in the settings of a run."""
    return [load_list(name).digest for name in names]


def load_list(name: str) -> UrlList:
    """The list of that name: "datatrove", a folder that holds files named domains and urls (at any depth, .gz or not),
    one such file, or a tar of them (.tar, .tar.gz, .tgz)."""
    return _load(name, str(cache_folder()))


@lru_cache(maxsize=16)
def _load(name: str, cache: str) -> UrlList:
    words: dict[str, tuple[str, ...]] = {}
    if name == DATATROVE:
        assets = _datatrove_assets()
        files = sorted(assets.glob("url_filterblacklists*.tar.gz"))
        words = {kind: _word_list(assets / file) for kind, file in _DATATROVE_WORDS.items()}
    else:
        files = _files(name)
    under, exact, address_hosts, addresses = _mapped(files, Path(cache) / "url-lists")
    return UrlList(under, exact, address_hosts, addresses, words)


def _mapped(files: Sequence[Path], folder: Path) -> list[np.ndarray]:
    """The four arrays, from the cache if these very files were read before."""
    sources = [f"{PurePath(f).name}:{sha256_of(f)}" for f in files]
    # its version stands for the suffix list in it, which takes 0.2 s to read
    key = hashlib.sha256(repr([_FORMAT, sources, version("tldextract")]).encode()).hexdigest()
    path = folder / f"{key}.npy"
    if not path.is_file():
        arrays = _compile(_contents(files))
        packed = np.concatenate([np.array([len(a) for a in arrays], np.uint64), *arrays])
        try:
            _save(packed, path)
        except OSError:
            return _unpack(packed)  # a cache that cannot be written costs time, nothing else
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        return _unpack(mapped.view(np.ndarray))  # kernels take a plain array faster
    except (OSError, ValueError) as e:
        raise InputError(f"{path} cannot be read ({e}): remove it, and it is made again") from e


def _unpack(packed: np.ndarray) -> list[np.ndarray]:
    ends = np.cumsum([4, *packed[:4]]).astype(np.int64)
    if len(packed) != ends[-1]:
        raise ValueError(f"{len(packed)} keys where {ends[-1]} were announced")
    return [packed[start:end] for start, end in pairwise(ends)]


def _save(packed: np.ndarray, path: Path) -> None:
    """Whole or not at all, whoever else writes the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.tmp")
    try:
        with partial.open("wb") as f:
            np.save(f, packed)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _compile(contents: Iterator[tuple[str, bytes]]) -> list[np.ndarray]:
    """(under, exact, address_hosts, addresses)."""
    hosts, addresses = [np.empty(0, np.uint64)], []
    for kind, data in contents:
        if kind == "domains":
            data = data if data.isascii() else _in_ascii(data)
            hosts.append(line_keys(np.frombuffer(data, np.uint8)))
        else:
            addresses += [address_of(line).location for line in _lines(data)]
    listed = _distinct(np.concatenate(hosts))
    shared = np.isin(listed, keys_of_hosts(sorted(private_suffixes())), kind="sort")
    listed_addresses = _distinct(address_keys(*text_buffers(pa.array(addresses, pa.large_string()))))
    owners = keys_of_hosts(sorted({a.partition("/")[0].partition("?")[0] for a in addresses}))
    return [listed[~shared], listed[shared], owners, listed_addresses]


def _distinct(keys: np.ndarray) -> np.ndarray:
    """Sorted. `np.unique` takes seven times as long for some millions."""
    ordered = np.sort(keys)
    return ordered[np.r_[True, ordered[1:] != ordered[:-1]]] if len(ordered) else ordered


def keys_of_hosts(hosts: Sequence[str]) -> np.ndarray:
    """Sorted keys, uint64."""
    return _distinct(host_keys(*text_buffers(pa.array(hosts, pa.large_string()))))


@lru_cache(maxsize=1)
def private_suffixes() -> frozenset[str]:
    """Suffixes under which anybody may register a site, in the public suffix list that tldextract carries."""
    from tldextract import TLDExtract

    every = TLDExtract(suffix_list_urls=(), cache_dir=None, include_psl_private_domains=True).tlds
    return frozenset(every) - frozenset(TLDExtract(suffix_list_urls=(), cache_dir=None).tlds)


def _contents(files: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    """(kind, content) of each list in the files."""
    for file in files:
        try:
            if ".tar" in file.suffixes or file.suffix == ".tgz":
                with tarfile.open(file) as tar:
                    for member in sorted(tar.getmembers(), key=lambda m: m.name):
                        kind = _kind(PurePath(member.name))
                        content = tar.extractfile(member) if kind else None
                        if kind and content is not None:
                            yield kind, _plain(member.name, content.read())
            else:
                kind = _kind(file)
                assert kind, file
                yield kind, _plain(file.name, file.read_bytes())
        except (OSError, EOFError, tarfile.TarError) as e:
            raise InputError(f"the URL list {file} cannot be read: {e}") from e


def _plain(name: str, data: bytes) -> bytes:
    return gzip.GzipFile(fileobj=io.BytesIO(data)).read() if name.endswith(".gz") else data


def _kind(path: PurePath) -> str | None:
    name = path.name.removesuffix(".gz").removesuffix(".txt")
    return name if name in _KINDS else None


def _files(name: str) -> list[Path]:
    path = Path(name)
    if path.is_file() and (_kind(path) or ".tar" in path.suffixes or path.suffix == ".tgz"):
        return [path]
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.is_file() and _kind(p))
        if found:
            return found
        raise InputError(f"clean.url.lists: {name} holds no file named domains or urls (.gz or not), as UT1 lists do")
    raise InputError(
        f'clean.url.lists: found {name!r}; expected "{DATATROVE}", a folder of UT1 lists, a file named domains or '
        "urls, or a tar of them"
    )


def _datatrove_assets() -> Path:
    spec = importlib.util.find_spec(DATATROVE)  # finds it without importing it
    folder = Path(spec.origin).parent / "assets" if spec is not None and spec.origin else None
    if folder is None or not any(folder.glob("url_filterblacklists*.tar.gz")):
        raise InputError(
            'clean.url.lists: "datatrove" means the lists of an installed datatrove, and there is none: '
            "`pip install corpusmill[datatrove]`, or name a folder of UT1 lists"
        )
    return folder


def _word_list(path: Path) -> tuple[str, ...]:
    return tuple(_lines(path.read_bytes()))


def _lines(data: bytes) -> list[str]:
    stripped = (line.strip() for line in data.decode("utf-8", "replace").splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


def _in_ascii(data: bytes) -> bytes:
    """Host names beyond ASCII as the DNS knows them."""
    return "\n".join(address_of(line).host or line for line in _lines(data)).encode()

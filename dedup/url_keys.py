"""Addresses that mean one page: normalised, and hashed to 128 bits."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import xxhash


def normalised_url(url: str) -> str:
    """The address without scheme, `www.`, fragment, tracking parameters (courlan's list) and a slash at the path's end;
    host in lower case, query in order. What no server tells apart, and no more: paths keep their case."""
    from courlan import normalize_url

    address = normalize_url(url.partition("#")[0]).partition("://")[2] or url
    path, mark, query = address.removeprefix("www.").partition("?")
    return path.rstrip("/") + mark + query


def url_keys(urls: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Two int64 columns; null where there is no address."""
    halves = np.zeros((len(urls), 2), np.int64)
    missing = np.zeros(len(urls), bool)
    for i, url in enumerate(urls.to_pylist()):
        if not url:
            missing[i] = True
            continue
        halves[i] = np.frombuffer(xxhash.xxh3_128_digest(normalised_url(url).encode("utf-8", "replace")), "<i8")
    first, second = (pa.array(halves[:, i], mask=missing) for i in (0, 1))
    return first, second

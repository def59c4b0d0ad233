"""The files of the dedup stage: what is kept of each document, and what stands between its statements."""

from __future__ import annotations

from importlib import resources

import pyarrow as pa

from corpusmill.schemas import FORMAT_VERSION, VERSION_KEY

STAGE = "dedup"
WORK = "dedup/work"
"""Files between two statements; gone when the stage is done."""

_VERSION = {VERSION_KEY: str(FORMAT_VERSION).encode()}

BANDS = pa.schema([("band", pa.int16()), ("key", pa.int64()), ("address", pa.int64())], metadata=_VERSION)
"""A row for each document and band, sorted by band within a row group. The key is a hash of band and rows."""

FACTS = pa.schema(
    [
        ("address", pa.int64()),
        ("id", pa.string()),
        ("url", pa.string()),
        ("text_bytes", pa.int64()),
        ("preference", pa.string()),  # of a cluster the document with the least stays
        ("digest_a", pa.int64()),  # 128 bits of the words; null where there are none
        ("digest_b", pa.int64()),
        ("url_a", pa.int64()),  # 128 bits of the normalised address, where asked for
        ("url_b", pa.int64()),
    ],
    metadata=_VERSION,
)

SIGNATURES = pa.schema(
    [("address", pa.int64()), ("signature", pa.large_binary())],  # bands * rows little-endian uint32
    metadata=_VERSION,
)

EDGES = pa.schema([("address", pa.int64()), ("root", pa.int64())])
"""A document and one of smaller address."""

BUCKETS = pa.schema([("key", pa.int64()), ("address", pa.int64()), ("root", pa.int64())])

PAIRS = pa.schema(
    [("root", pa.int64()), ("address", pa.int64()), ("similarity", pa.float64()), ("why", pa.string())],
)

CHOSEN = pa.schema([("root", pa.int64()), ("address", pa.int64()), ("why", pa.string())])
"""Pairs whose texts are compared."""

WANTED = pa.schema([("address", pa.int64())], metadata=_VERSION)

TEXTS = pa.schema([("address", pa.int64()), ("text", pa.large_string())])

LABELS = pa.schema([("address", pa.int64()), ("cluster", pa.int64())])

STAYS = pa.schema([("cluster", pa.int64()), ("representative", pa.int64())])


def statement(name: str, **values: object) -> str:
    """The SQL of `dedup/sql/NAME.sql`, numbers and names filled in."""
    text = (resources.files("corpusmill.dedup") / "sql" / f"{name}.sql").read_text(encoding="utf-8")
    return text.format(**values) if values else text

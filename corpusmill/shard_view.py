"""A token shard, shown: its documents, where they came from, and where their tokens begin and end.

A shard is mapped, and only the tokens that are shown are touched; of its sidecar, the row groups that they are in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.cells import cell_len
from rich.console import Console
from tokenizers import Tokenizer

from corpusmill.errors import DamagedError, InputError
from corpusmill.parquet_parts import damage_named
from corpusmill.schemas import SHARD_DOCS
from corpusmill.storage import Folder, sha256_of
from corpusmill.studio.plain_text import plain
from corpusmill.token_pieces import Pieces, in_a_row, pieces_by, with_ids

HEAD_TOKENS, TAIL_TOKENS = 240, 60
"""Shown of a document that has more than both."""
_COLUMNS = [n for n in SHARD_DOCS.names if n != "measures"]
_AS_IT_IS: dict[str, Any] = {"markup": False, "highlight": False, "emoji": False}


@dataclass(frozen=True, slots=True)
class ShardQuery:
    """What to show of a shard: from document number `document` on, those of `url` (or record id) if it is given."""

    document: int = 0
    url: str | None = None
    ids: bool = False
    tokenizer: str | None = None


@dataclass(frozen=True, slots=True)
class MappedShard:
    """Views of the file: `tokens` uint16 or uint32, `offsets` int64 [documents + 1]."""

    tokens: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def ids(self, document: int) -> np.ndarray:
        return self.tokens[int(self.offsets[document]) : int(self.offsets[document + 1])]


def open_shard(path: str) -> MappedShard:
    """Map a shard. Raises InputError for another Arrow file, DamagedError for a cut one."""
    with damage_named(path):
        reader = pa.ipc.open_file(pa.memory_map(path, "r"))
        if not _is_shard(reader.schema):
            columns = ", ".join(f"{f.name} ({f.type})" for f in reader.schema) or "none"
            raise InputError(
                f"{path} is an Arrow file, but no token shard: a shard has one column, tokens (large_list of uint16 or "
                f"uint32), this file has {columns}"
            )
        if reader.num_record_batches != 1:
            raise DamagedError(f"{path} has {reader.num_record_batches} record batches; a shard has one. Make it again")
        column = reader.get_batch(0).column(0)
    return MappedShard(column.values.to_numpy(zero_copy_only=True), column.offsets.to_numpy(zero_copy_only=True))


def _is_shard(schema: pa.Schema) -> bool:
    kind = schema.field(0).type if schema.names == ["tokens"] else pa.null()
    return pa.types.is_large_list(kind) and kind.value_type in (pa.uint16(), pa.uint32())


class Sidecar:
    """Where a shard's documents came from. Reads the row groups that it is asked about."""

    def __init__(self, folder: Folder, name: str) -> None:
        self.name = f"{folder.url}/{name}"
        with damage_named(self.name):
            self._file = pq.ParquetFile(folder.local_path(name))
        groups = (self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups))
        self._starts = np.cumsum([0, *groups])
        self._group = lru_cache(maxsize=1)(self._read)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def row(self, document: int) -> dict[str, Any]:
        group = int(np.searchsorted(self._starts, document, side="right")) - 1
        at = document - int(self._starts[group])
        row: dict[str, Any] = self._group(group).slice(at, 1).to_pylist()[0]
        return row

    def numbers_of(self, url: str) -> Iterator[int]:
        """Documents with this URL or record id. Reads those two columns."""
        for group, start in enumerate(self._starts[:-1].tolist()):
            with damage_named(self.name):
                rows = self._file.read_row_group(group, columns=["url", "id"])
            same = pc.or_kleene(pc.equal(rows["url"], url), pc.equal(rows["id"], url))
            yield from (start + np.flatnonzero(same.fill_null(False).to_numpy())).tolist()

    def _read(self, group: int) -> pa.Table:
        with damage_named(self.name):
            return self._file.read_row_group(group, columns=_COLUMNS)


def show_shard(console: Console, file: Folder, rows: int, query: ShardQuery) -> None:
    """Print `rows` documents of a shard, its tokenizer and sidecar beside it if they are there."""
    path = file.local_path()
    shard, folder = open_shard(str(path)), Folder(str(path.parent))
    sidecar = _sidecar(folder, f"{path.stem}.docs.parquet", shard)
    numbers = _chosen(file.url, shard, sidecar, query)
    manifest = folder.read_json("manifest.json") if folder.exists("manifest.json") else {}
    identity = manifest.get("tokenizer") or {}
    entry: Mapping[str, Any] = next((e for e in manifest.get("shards", []) if e.get("name") == path.name), {})
    also = "".join(f", {key} {entry[key]}" for key in ("weight", "source") if entry.get(key, 1) != 1)
    total, kind = int(shard.offsets[-1]) - int(shard.offsets[0]), shard.tokens.dtype
    console.print(f"{file.url}: {len(shard):,} documents, {total:,} tokens ({kind}){also}", style="bold", **_AS_IT_IS)
    tokenizer = _tokenizer(console, folder, query.tokenizer, identity.get("sha256"))
    pieces = pieces_by(tokenizer, identity.get("eos_token_id"))
    for number in numbers[:rows]:
        _show_document(console, number, shard, sidecar, pieces, query.ids)
    if len(numbers) > rows:
        console.print(f"{len(numbers) - rows:,} more; go on with --document {numbers[rows]}", style="dim", **_AS_IT_IS)


def _sidecar(folder: Folder, name: str, shard: MappedShard) -> Sidecar | None:
    if not folder.exists(name):
        return None
    sidecar = Sidecar(folder, name)
    if len(sidecar) != len(shard):
        raise DamagedError(
            f"{folder.url}/{name} has {len(sidecar):,} rows, its shard {len(shard):,} documents: one of them was "
            "changed. Run the stage that writes them again"
        )
    return sidecar


def _chosen(path: str, shard: MappedShard, sidecar: Sidecar | None, query: ShardQuery) -> Sequence[int]:
    """Numbers of all documents that the query is about."""
    if query.document >= max(len(shard), 1):
        raise InputError(f"{path}: there is no document {query.document}; it has {len(shard):,}, counted from 0")
    if query.url is None:
        return range(query.document, len(shard))
    if sidecar is None:
        raise InputError(f"{path}: --url needs its .docs.parquet beside it, which says where documents came from")
    found = [n for n in sidecar.numbers_of(query.url) if n >= query.document]
    if not found:
        raise InputError(f"{path}: no document from {query.document:,} on has the URL or record id {query.url}")
    return found


def _tokenizer(console: Console, folder: Folder, given: str | None, expected: str | None) -> Tokenizer | None:
    """That of the run, or the one given; a line where there is none, or another than made the shard."""
    stands = str(folder.local_path().parent / "tokenizer")
    if given is None and not Folder(stands).exists("tokenizer.json"):
        console.print("Token ids, since no tokenizer is at ../tokenizer; give one with --tokenizer", **_AS_IT_IS)
        return None
    from corpusmill.tokenize.tokenizer_files import read_tokenizer  # loads numba, which not every look needs

    try:
        tokenizer = read_tokenizer(given or stands)
    except InputError as e:
        raise InputError(str(e).replace("tokenize.tokenizer:", "--tokenizer:")) from e
    found = {hashlib.sha256(tokenizer.to_str(pretty=True).encode()).hexdigest()}  # as a run keeps one that is given
    file = Folder(given or stands).local_path()
    found |= {sha256_of(f) for f in (file, file / "tokenizer.json") if f.is_file()}
    if expected is not None and expected not in found:
        console.print(
            f"The shard was made with tokenizer {expected[:12]}, this one is {min(found)[:12]}: texts may be wrong",
            style="bold",
            **_AS_IT_IS,
        )
    return tokenizer


def _show_document(
    console: Console, number: int, shard: MappedShard, sidecar: Sidecar | None, pieces: Pieces, with_numbers: bool
) -> None:
    ids = shard.ids(number)
    row = sidecar.row(number) if sidecar is not None else {}
    size = f", {row['text_bytes']:,} bytes" if row.get("text_bytes") is not None else ""
    title = f"\u2500\u2500 document {number}: {row.get('language') or 'language unknown'}, {len(ids):,} tokens{size} "
    console.print()
    console.print(title + "\u2500" * max(0, console.width - cell_len(title)), style="cyan", **_AS_IT_IS)
    if row:
        console.print(plain(row["url"] or "(no URL)"), style="bold", **_AS_IT_IS)
        offset = "?" if row["warc_offset"] is None else f"{row['warc_offset']:,}"
        place = f"{row['warc_file']} at {offset} ({row['offset_kind']})"
        console.print(plain(f"{place}, id {row['id']}"), style="dim", **_AS_IT_IS)
    cut = max(0, len(ids) - HEAD_TOKENS - TAIL_TOKENS)
    if cut:
        _show_tokens(console, ids[:HEAD_TOKENS], 0, pieces, with_numbers)
        console.print(f"\u2026 {cut:,} tokens not shown \u2026", style="dim", **_AS_IT_IS)
        _show_tokens(console, ids[-TAIL_TOKENS:], len(ids) - TAIL_TOKENS, pieces, with_numbers)
    else:
        _show_tokens(console, ids, 0, pieces, with_numbers)


def _show_tokens(console: Console, ids: np.ndarray, first: int, pieces: Pieces, with_numbers: bool) -> None:
    coloured = console.is_terminal and console.color_system is not None and not console.no_color
    tokens = [pieces(i) for i in ids.tolist()]
    if with_numbers:
        console.print(with_ids(tokens, ids.tolist(), coloured, console.width, first))
    else:
        console.print(in_a_row(tokens, coloured, first))

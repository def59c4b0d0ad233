"""Token shards to the formats of other loaders: the table of formats, and `corpusmill shards export`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from corpusmill.errors import InputError
from corpusmill.progress import StageProgress
from corpusmill.recipe import nearest
from corpusmill.storage import Folder, Output
from corpusmill.tokenize import (
    dataset_token_files,
    datatrove_files,
    flat_token_files,
    mds_files,
    mds_samples,
    megatron_files,
)
from corpusmill.tokenize.foreign_documents import TOKEN_TYPES, Opened, ReadSettings
from corpusmill.tokenize.shard_exports import Export
from corpusmill.tokenize.token_shards import MANIFEST, Shard, TokenShards, open_shards
from corpusmill.whole_folders import place_of

WEIGHTS = ("repeat", "once", "column")


@dataclass(frozen=True)
class Format:
    """`write` is given what to write and where, `read` where and how; `columns` says that documents keep theirs."""

    what: str
    write: Callable[[Export, str], list[Output]]
    read: Callable[[str, ReadSettings], Opened]
    columns: bool = False
    cut: bool = False  # whether tokens_per_file means something


FORMATS = {
    "megatron": Format("Megatron's .bin and .idx", megatron_files.write, megatron_files.read),
    "mds": Format("MosaicML Streaming's folder", mds_files.write, mds_samples.read, columns=True),
    "datatrove": Format("datatrove's .ds", datatrove_files.write, datatrove_files.read, cut=True),
    "nanogpt": Format("nanoGPT's .bin", flat_token_files.write_plain, flat_token_files.read_plain),
    "llmc": Format("llm.c's .bin", flat_token_files.write_headed, flat_token_files.read_headed, cut=True),
    "hf": Format("Hugging Face's data set", dataset_token_files.write, dataset_token_files.read, columns=True),
}


@dataclass(frozen=True)
class Exported:
    """What was written. Documents and tokens count as often as they are in the files."""

    files: Sequence[str]
    documents: int
    tokens: int
    bytes: int


def export_shards(
    source: Folder,
    to: str,
    name: str,
    progress: StageProgress,
    *,
    weights: str | None = None,
    token_type: str | None = None,
    tokens_per_file: int | None = None,
    tokenizer_name: str | None = None,
) -> Exported:
    """Write the shards of a run, or of a folder of shards, in the format of this name. Memory: some megabytes.

    `weights` says what becomes of documents that an epoch has several times: `repeat` them, each `once`, or a `column`
    of numbers. Raises InputError where the format cannot hold what is asked for; then nothing is written.
    """
    chosen = format_named(name, "--to")
    folder = shards_at(source)
    shards = open_shards(folder)
    if tokens_per_file is not None and not chosen.cut:
        raise InputError(f"--tokens-per-file: {name} has all tokens in one place; datatrove and llmc have files to cut")
    export = Export(
        shards,
        _places(shards, weights, name),
        weights == "column",
        dtype_named(token_type),
        tokens_per_file,
        tokenizer_name or _tokenizer_beside(folder, shards),
        progress.advance,
    )
    place_of(to)[0].require_space(export.num_tokens * shards.shards[0].tokens.itemsize, "the export")
    progress.begin(export.num_tokens, "tokens")
    files = chosen.write(export, to)
    return Exported([f.name for f in files], export.num_documents, export.num_tokens, sum(f.bytes for f in files))


def format_named(name: str, option: str) -> Format:
    if name not in FORMATS:
        raise InputError(f"{option} {name}: expected one of {', '.join(FORMATS)}{nearest(name, list(FORMATS))}")
    return FORMATS[name]


def dtype_named(name: str | None) -> np.dtype | None:
    if name is not None and name not in TOKEN_TYPES:
        raise InputError(f"--token-type {name}: expected one of {', '.join(TOKEN_TYPES)}{nearest(name, TOKEN_TYPES)}")
    return None if name is None else np.dtype(name)


def shards_at(source: Folder) -> Folder:
    """The folder itself if it has a manifest of shards, else the shards of the run."""
    return source if source.exists(MANIFEST) else source.sub("shards")


def _places(shards: TokenShards, weights: str | None, name: str) -> list[Shard]:
    if weights not in (None, *WEIGHTS):
        raise InputError(f"--weights {weights}: expected one of {', '.join(WEIGHTS)}{nearest(weights or '', WEIGHTS)}")
    if weights == "column" and not FORMATS[name].columns:
        able = ", ".join(n for n, f in FORMATS.items() if f.columns)
        raise InputError(f"--weights column: {name} has no columns; {able} have")
    weighted = [s for s in shards.shards if s.weight != 1]
    if weighted and weights is None:
        once = sum(len(s.tokens) for s in shards.shards)
        told = ", --weights column besides says how often" if FORMATS[name].columns else ""
        raise InputError(
            f"{shards.folder.url}: an epoch has the documents of {weighted[0].name} {weighted[0].weight} times. Say "
            f"what becomes of that: --weights repeat writes them as often ({shards.num_tokens:,} tokens in all), "
            f"--weights once writes each once ({once:,}){told}"
        )
    return [shards.shards[i] for i in shards.line] if weights == "repeat" else list(shards.shards)


def _tokenizer_beside(shards: Folder, opened: TokenShards) -> str:
    """What formats that name the tokenizer call it: where it is, or its checksum."""
    run = shards.url.rstrip("/").rpartition("/")[0] or "."
    beside = (f"{shards.url.rstrip('/')}/tokenizer", f"{run}/tokenizer")
    found = next((f for f in beside if Folder(f).exists("tokenizer.json")), None)
    return f"{found}/tokenizer.json" if found else f"sha256:{opened.manifest['tokenizer']['sha256']}"

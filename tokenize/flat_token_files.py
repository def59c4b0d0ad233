"""Token files without documents: nanoGPT's and llm.c's.

nanoGPT's `train.bin` is tokens and nothing else (uint16; data/openwebtext/prepare.py), each document ended by the
end-of-text token. llm.c's and modded-nanogpt's files begin with 256 int32: magic, version, number of tokens
(dev/data/data_common.py), and the end-of-text token opens each document (dev/data/fineweb.py); the files of a folder
are one stream, cut every so many tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from corpusmill.errors import InputError
from corpusmill.storage import Output
from corpusmill.tokenize.foreign_documents import (
    Opened,
    ReadSettings,
    cut_at_ends,
    files_at,
    in_blocks,
    mapped,
    smallest_type,
)
from corpusmill.tokenize.shard_exports import Export, file_to_write, token_blocks, write_tokens
from corpusmill.whole_folders import whole_folder

HEADS = {"uint16": (20240520, 1), "uint32": (20240801, 7)}
"""Magic and version by the tokens' type: GPT-2's and Llama 3's."""
TOKENS_PER_FILE = 100_000_000
"""As in the files that modded-nanogpt trains on; llm.c allows any number below 2**31."""
_HEAD_NUMBERS = 256
_MOST_TOKENS = (1 << 31) - 1


def write_plain(export: Export, to: str) -> list[Output]:
    """One file: all tokens, each document closed by the end-of-text token."""
    folder, name = file_to_write(to)
    kind = export.kind(smallest_type(export.shards.vocab_size))
    with folder.writing(name) as out:
        write_tokens(out, token_blocks(export, export.spans, kind))
    return [out]


def write_headed(export: Export, to: str) -> list[Output]:
    """A folder of files with heads: each document opened by the end-of-text token, the files cut anywhere."""
    kind = export.kind(smallest_type(export.shards.vocab_size), tuple(HEADS))
    size = export.tokens_per_file or TOKENS_PER_FILE
    if size > _MOST_TOKENS:
        raise InputError(f"--tokens-per-file {size:,}: a file's head counts up to {_MOST_TOKENS:,} tokens")
    left, outputs = export.num_tokens, list[Output]()
    blocks = _opened(export, kind)
    block = np.empty(0, kind)
    with whole_folder(to) as folder:
        while left:
            count = min(size, left)
            with folder.writing(f"tokens_{len(outputs):06d}.bin") as out, out.path.open("wb") as f:
                f.write(_head(kind, count))
                left -= count
                while count:
                    block = block if len(block) else next(blocks)
                    f.write(block[:count].data)
                    block, count = block[count:], count - min(count, len(block))
            outputs.append(out)
    return outputs


def _opened(export: Export, kind: np.dtype) -> Iterator[np.ndarray]:
    """The stream with each document's end-of-text token before it instead of after it."""
    yield np.array([export.shards.eos_token_id], kind)
    left = export.num_tokens - 1  # the last token closes the last document
    for block in token_blocks(export, export.spans, kind):
        yield block[:left]
        left -= len(block)


def _head(kind: np.dtype, tokens: int) -> bytes:
    head = np.zeros(_HEAD_NUMBERS, np.int32)
    head[:3] = *HEADS[kind.name], tokens
    return head.tobytes()


def read_plain(path: str, settings: ReadSettings) -> Opened:
    """The documents of a file, or of each *.bin of a folder."""
    files = files_at(path, ".bin", "a file of tokens, or a folder with *.bin")
    kind = settings.kind()
    for file in files:
        if _head_of(file)[:2] in HEADS.values():
            raise InputError(f"{file} begins with llm.c's head: read it with --from llmc")
    found = [(file, mapped(file, kind)) for file in files]
    return _opened_files(found, settings, joined=False)


def read_headed(path: str, settings: ReadSettings) -> Opened:
    """The documents of a file, or of all *.bin of a folder, in the order of their names, as one stream."""
    files = files_at(path, ".bin", "a file with llm.c's head, or a folder with such *.bin")
    return _opened_files([(file, _tokens_of(file)) for file in files], settings, joined=True)


def _tokens_of(file: Path) -> np.ndarray:
    head = _head_of(file)
    kind = next((np.dtype(name) for name, known in HEADS.items() if head[:2] == known), None)
    if kind is None:
        expected = " or ".join(f"{magic}, version {version}" for magic, version in HEADS.values())
        raise InputError(f"{file} begins with the numbers {', '.join(map(str, head[:2]))}; expected magic {expected}")
    size, expected_size = file.stat().st_size, 4 * _HEAD_NUMBERS + head[2] * kind.itemsize
    if size != expected_size:
        raise InputError(
            f"{file} has {size:,} bytes, its head says {head[2]:,} tokens, which need {expected_size:,}: it is cut"
        )
    return mapped(file, kind, 4 * _HEAD_NUMBERS)


def _head_of(file: Path) -> tuple[int, ...]:
    with file.open("rb") as f:
        raw = f.read(12)
    return tuple(np.frombuffer(raw[: len(raw) // 4 * 4], np.int32).tolist()) if len(raw) == 12 else ()


def _opened_files(files: list[tuple[Path, np.ndarray]], settings: ReadSettings, joined: bool) -> Opened:
    pieces = ((str(file), block) for file, tokens in files for block in in_blocks(tokens, settings.batch_tokens))
    return Opened(sum(len(t) for _, t in files), "tokens", cut_at_ends(pieces, settings.end, joined))

"""datatrove's token files, as its DocumentTokenizer writes them: NAME.ds, NAME.ds.index and NAME.ds.metadata.

The .ds is tokens and nothing else (uint16, or uint32 for vocabularies above 65,536), each document ended by the
end-of-text token. The index has the end of each document, in tokens (uint64). The metadata are three lines: the
tokenizer's name, `|` and the bytes of a token; the number of tokens; the same for people. From
datatrove/pipeline/tokens/tokenizer.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corpusmill.errors import InputError
from corpusmill.storage import Output
from corpusmill.tokenize.foreign_documents import (
    BLOCK_ROWS,
    ForeignBatch,
    Opened,
    ReadSettings,
    cut_at_ends,
    documents_at,
    files_at,
    in_blocks,
    mapped,
    smallest_type,
)
from corpusmill.tokenize.shard_exports import Export, cut_into_files, document_ends, token_blocks, write_tokens
from corpusmill.whole_folders import whole_folder

_NAME = "{:05d}_unshuffled.ds"
_PREFIXES = "kMGTPEZYRQ"
_SIZES: dict[str, np.dtype] = {"2": np.dtype(np.uint16), "4": np.dtype(np.uint32)}


def write(export: Export, to: str) -> list[Output]:
    """A folder of files, cut between documents at `tokens_per_file`; without it all is one file."""
    kind = export.kind(smallest_type(export.shards.vocab_size), ("uint16", "uint32"))
    outputs = []
    with whole_folder(to) as folder:
        for number, spans in enumerate(cut_into_files(export.spans, export.tokens_per_file)):
            name, count = _NAME.format(number), sum(span.num_tokens for span in spans)
            with folder.writing(name) as tokens:
                write_tokens(tokens, token_blocks(export, spans, kind))
            with folder.writing(f"{name}.index") as index:
                write_tokens(index, (ends.astype(np.uint64) for ends in document_ends(spans)))
            with folder.writing(f"{name}.metadata") as metadata:
                lines = (f"{export.tokenizer_name}|{kind.itemsize}", str(count), for_people(count))
                metadata.path.write_text("\n".join(lines), encoding="utf-8")
            outputs += [tokens, index, metadata]
    return outputs


def for_people(count: int) -> str:
    """A number of tokens in three digits: 1.23 MT. As humanize.metric(count, unit="T") of version 4.16 has it."""
    exponent = math.floor(math.log10(count)) if count else 0
    value = count / 10 ** (exponent // 3 * 3)
    digits = 2 - exponent % 3
    if round(value, digits) >= 10 ** (exponent % 3 + 1):  # 999.9 k is 1.00 M
        value /= 1000 if exponent % 3 == 2 else 1
        exponent += 1
        digits = 2 - exponent % 3
    prefix = _PREFIXES[exponent // 3 - 1] if exponent >= 3 else ""
    return f"{value:.{digits}f} {prefix}T"


def read(path: str, settings: ReadSettings) -> Opened:
    """The documents of a file or of all *.ds of a folder. Without an index they are cut at the end-of-text token."""
    files = [_File.open(p, settings) for p in files_at(path, ".ds", "a .ds, or a folder with *.ds")]
    losses = [f.path for f in files if Path(f"{f.path}.loss").exists()]
    notes = (f"{losses[0]}.loss says which tokens to learn from; that is left out",) if losses else ()
    batches = (batch for file in files for batch in file.documents(settings))
    return Opened(sum(len(f.tokens) for f in files), "tokens", batches, notes)


@dataclass(frozen=True)
class _File:
    """One .ds with its index, if there is one, mapped and compared."""

    path: Path
    tokens: np.ndarray
    ends: np.ndarray | None

    @classmethod
    def open(cls, path: Path, settings: ReadSettings) -> _File:
        kind, expected = _metadata(path)
        tokens = mapped(path, kind or settings.kind())
        if expected is not None and expected != len(tokens):
            raise InputError(f"{path} has {len(tokens):,} tokens, its metadata say {expected:,}: it is cut or changed")
        index = Path(f"{path}.index")
        file = cls(path, tokens, mapped(index, np.dtype(np.uint64)) if index.is_file() else None)
        file._check(index)
        return file

    def _check(self, index: Path) -> None:
        last = 0
        for ends in self._ends():
            if (np.diff(ends, prepend=last) < 0).any():
                raise InputError(f"{index}: the documents' ends do not ascend: the index is damaged")
            last = int(ends[-1])
        if self.ends is not None and last != len(self.tokens):
            raise InputError(
                f"{self.path} has {len(self.tokens):,} tokens, {index.name} ends at {last:,}: one of them is cut, or "
                "they do not belong together"
            )

    def _ends(self) -> Iterator[np.ndarray]:
        if self.ends is not None:
            yield from (block.astype(np.int64) for block in in_blocks(self.ends, BLOCK_ROWS))

    def documents(self, settings: ReadSettings) -> Iterator[ForeignBatch]:
        name = str(self.path)
        if self.ends is not None:
            return documents_at(name, self._ends(), self.tokens, settings)
        pieces = ((name, block) for block in in_blocks(self.tokens, settings.batch_tokens))
        return cut_at_ends(pieces, settings.end, joined=False)


def _metadata(path: Path) -> tuple[np.dtype | None, int | None]:
    """The tokens' type and number, as far as the metadata say them."""
    file = Path(f"{path}.metadata")
    if not file.is_file():
        return None, None
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    _, bar, size = (lines or [""])[0].rpartition("|")
    if len(lines) < 2 or not lines[1].isdecimal() or (bar and size not in _SIZES):
        raise InputError(
            f"{file} has {lines[:2]}; expected a tokenizer's name, | and 2 or 4 bytes, below it the number of tokens"
        )
    return _SIZES[size] if bar else None, int(lines[1])

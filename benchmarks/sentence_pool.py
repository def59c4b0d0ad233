"""Real English sentences, each once: of Wikipedia, news articles, and what the recipe `english` keeps of the sample."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from corpusmill.columns import text_buffers
from corpusmill.mill import open_mill
from corpusmill.parquet_parts import read_part
from corpusmill.recipe import load_recipe
from corpusmill.schemas import DOCUMENTS
from corpusmill.storage import Folder

MIN_WORDS, MAX_WORDS = 6, 60
"""Of a sentence. Shorter ones are headings and would stand in many documents, longer ones are lists."""
MAX_BYTES = 1000
"""Kernels have room for so many: a stray URL of 10 kB is a word too."""
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'“‘(]?[A-Z0-9])")
_BEFORE = re.compile(r" ([,.;:!?)%\]])")
_PLAIN_WORD = re.compile(r"[a-z]{3,12}")


class Pool(NamedTuple):
    """Sentences and single words, as kernels read them: text i is `data[offsets[i]:offsets[i + 1]]`, UTF-8."""

    offsets: np.ndarray  # int64 [sentences + 1]
    data: np.ndarray  # uint8
    words: np.ndarray  # int64 [sentences], blank-separated words
    word_offsets: np.ndarray  # int64 [vocabulary + 1]
    word_data: np.ndarray  # uint8

    @property
    def sentences(self) -> int:
        return len(self.words)


def real_pool(data: Path) -> Pool:
    """The pool of the benchmarks, the same in every run. Raises FileNotFoundError where the real data are not there."""
    return make_pool([*wikipedia(data), *news(data), *archive(data)])


def make_pool(texts: Iterable[str]) -> Pool:
    """Sentences of the texts in their order, without repetitions."""
    found = list(dict.fromkeys(s for text in texts for s in sentences(text)))
    vocabulary = sorted({word for s in found for word in s.split() if _PLAIN_WORD.fullmatch(word)})
    counts = np.array([s.count(" ") + 1 for s in found], np.int64)
    return Pool(*_buffers(found), counts, *_buffers(vocabulary))


def sentences(text: str) -> Iterator[str]:
    """Sentences with single blanks and no blank before punctuation, MIN_WORDS to MAX_WORDS long."""
    for line in text.splitlines():
        for sentence in _SENTENCE_END.split(line):
            plain = _BEFORE.sub(r"\1", " ".join(sentence.split())).replace("( ", "(").replace(" - ", "-")
            if MIN_WORDS <= plain.count(" ") + 1 <= MAX_WORDS and len(plain.encode()) <= MAX_BYTES:
                yield plain


def wikipedia(data: Path) -> list[str]:
    return [p.read_text(encoding="utf-8") for p in sorted((data / "text/wikipedia-en").iterdir()) if p.is_file()]


def news(data: Path) -> list[str]:
    gold = json.loads((data / "extraction/article-extraction-benchmark/ground-truth.json").read_text(encoding="utf-8"))
    return [gold[key]["articleBody"] for key in sorted(gold)]


def archive(data: Path, *more: str) -> list[str]:
    """Texts that the recipe `english`, with Resiliparse and the settings `more`, keeps of the sample archive."""
    with tempfile.TemporaryDirectory() as folder:
        clean_sample(data, Folder(folder), *more)
        return [t for batch in _documents(Folder(folder)) for t in batch.column("text").to_pylist()]


def clean_sample(data: Path, run: Folder, *more: str) -> None:
    """Run the clean stage on the sample archive, into the folder `run`."""
    source = data / "warc/sample-dev.warc.gz"
    if not source.exists():
        raise FileNotFoundError(2, "no such file", str(source))
    settings = [f"clean.language.model={data / 'models/lid.176.ftz'}", "clean.extract.engine=resiliparse", *more]
    with open_mill(run.url, load_recipe("english", settings), inputs=[str(source)], workers=1) as mill:
        mill.run("clean")


def _documents(run: Folder) -> Iterator[pa.RecordBatch]:
    return read_part(run, "documents/part-00000.parquet", DOCUMENTS, ("text",))


def _buffers(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    offsets, data = text_buffers(pa.array(texts, pa.large_string()))
    return offsets.copy(), data.copy()

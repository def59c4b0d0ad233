"""Small runs with texts, as clean and dedup leave them, from texts chosen by a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dedup.components import cluster
from corpusmill.dedup.duplicate_pairs import find_pairs, run_corpus
from corpusmill.dedup.removal import removed_rows, survivors, write_removed
from corpusmill.dedup.signing import SignTask, sign_part
from corpusmill.engines import make_engine
from corpusmill.ledger import part_name
from corpusmill.parquet_parts import PartWriter
from corpusmill.recipe import Dedup
from corpusmill.schemas import DOCUMENTS
from corpusmill.storage import Folder

VOCABULARY = np.array([f"word{i}" for i in range(5000)])


def edited(text: str, changes: int, seed: int = 0) -> str:
    """`text` with so many of its words replaced by others."""
    chance, words = np.random.default_rng(seed), text.split()
    for at in chance.choice(len(words), changes, replace=False):
        words[at] = f"new{seed}x{at}"
    return " ".join(words)


def prose(words: int, seed: int) -> str:
    return " ".join(np.random.default_rng(seed).choice(VOCABULARY, words))


def text_run(folder: Path, parts: Sequence[Mapping[str, str]], settings: Dedup | None = None) -> Folder:
    """A run of which each part is id to text, deduplicated."""
    run, chosen = Folder(str(folder)), settings or Dedup()
    names = [part_name(i) for i in range(len(parts))]
    for i, texts in enumerate(parts):
        with run.writing(f"documents/{names[i]}.parquet") as out, PartWriter(out.path, DOCUMENTS) as writer:
            writer.write(_documents(texts))
        sign_part(SignTask(run, i, chosen, "", {}))
    engine, corpus = make_engine("local", 1, run), run_corpus(run, names)
    found = find_pairs(engine, run, corpus, chosen)
    labels = cluster(engine, run, found.pairs, chosen.max_edges_in_memory)
    stays = survivors(engine, run, corpus, labels)
    write_removed(engine, run, removed_rows(engine, run, corpus, found.pairs, labels, stays), range(len(parts)))
    run.write_json("dedup/settings.json", {"format": 2, "settings": chosen.model_dump(mode="json")})
    run.write_json("dedup/manifest.json", {"format": 2, "parts": list(range(len(parts)))})
    return run


def _documents(texts: Mapping[str, str]) -> pa.RecordBatch:
    columns: dict[str, Any] = {
        "id": list(texts),
        "url": [f"http://{name}.example/" for name in texts],
        "host": [f"{name}.example" for name in texts],
        "title": [f"Title of {name}" for name in texts],
        "text": pa.array(texts.values(), pa.large_string()),
    }
    return pa.RecordBatch.from_pydict(columns)

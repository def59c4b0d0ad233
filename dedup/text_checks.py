"""Near pairs compared by their texts before anything is removed: the true Jaccard similarity in place of the estimate.

Only the texts of pairs to check are read, by part, and joined to the pairs by a statement; both may spill to disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dedup.dedup_files import CHOSEN, PAIRS, TEXTS, WANTED, WORK, statement
from corpusmill.dedup.document_texts import part_texts
from corpusmill.dedup.minhash_signatures import MinHash
from corpusmill.dedup.part_files import PartRows, by_part
from corpusmill.dedup.signing import minhash_of
from corpusmill.engines import Dataset, Engine
from corpusmill.engines.work_files import write_rows
from corpusmill.ledger import part_name
from corpusmill.recipe import Dedup
from corpusmill.storage import Folder

_PRIME = 1_000_003
MAX_TEXT_BYTES = 500_000
"""Some thousand pairs of texts are in memory at once."""


@dataclass(frozen=True)
class TextTask:
    """Fetch the texts that are wanted of one part."""

    run: Folder
    wanted: PartRows


@dataclass(frozen=True)
class TrueJaccard:
    """Rows of pair_texts.sql to PAIRS. Sent to workers."""

    minhash: MinHash

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        similarity = self.minhash.true_jaccard(*(batch.column(n) for n in ("left_text", "right_text")))
        columns = [batch.column("root"), batch.column("address"), pa.array(similarity), batch.column("why")]
        return pa.RecordBatch.from_arrays(columns, names=PAIRS.names)


def check_texts(
    engine: Engine, run: Folder, verified: Dataset, facts: Sequence[Dataset], settings: Dedup, first: int, name: str
) -> Dataset:
    """`verified`, PAIRS, of which those that settings.check chooses have the similarity of their texts.

    Left as they are: pairs with a document of an earlier crawl, whose text is not at hand, and with one of more than
    MAX_TEXT_BYTES.
    """
    check = settings.check
    if check is None or not verified.names:
        return verified
    bounds = {"threshold": settings.verify, "below": check.below, "prime": _PRIME, "drawn": round(check.share * _PRIME)}
    sql = statement("to_check", first=first, longest=MAX_TEXT_BYTES, **bounds)
    chosen = engine.write(sql, {"verified": verified, "facts": facts}, run, f"{WORK}/to-check", CHOSEN)
    texts = _texts(engine, run, chosen, first)
    minhash = minhash_of(settings)
    named = {"chosen": chosen, "texts": texts}
    checked = engine.write(statement("pair_texts"), named, run, f"{WORK}/checked", PAIRS, TrueJaccard(minhash))
    both = {"verified": verified, "checked": checked}
    return engine.write(statement("checked_pairs"), both, run, f"{WORK}/{name}", PAIRS)


def _texts(engine: Engine, run: Folder, chosen: Dataset, first: int) -> Dataset:
    """The texts of all documents of `chosen`, one file for each part that has some."""
    rows = engine.write(statement("wanted_texts"), {"chosen": chosen}, run, f"{WORK}/wanted-texts", WANTED)
    run.remove(f"{WORK}/texts")
    names: list[str] = []
    tasks = [TextTask(run, wanted) for wanted in by_part(rows, first)]
    engine.run_tasks(fetch_texts, tasks, lambda answer: names.extend(answer["names"]), native=True)
    return Dataset(run, tuple(sorted(names)), TEXTS)


def fetch_texts(task: TextTask) -> dict[str, Any]:
    """Write the wanted texts of one part, under addresses of the corpus. Memory is one row group."""
    part, first = task.wanted.part, task.wanted.first
    name = f"{WORK}/texts/{part_name(part)}.parquet"
    addresses = [batch.column("address").to_numpy() - first for batch in task.wanted.batches()]
    if not addresses:
        return {"names": []}
    wanted = np.concatenate(addresses)
    found = ((a + first, texts) for a, texts in part_texts(task.run, wanted))
    rows = (pa.RecordBatch.from_arrays([pa.array(a), texts], schema=TEXTS) for a, texts in found)
    assert write_rows(task.run, name, TEXTS, rows) == len(wanted), f"part {part} has fewer rows than addresses"
    return {"names": [name]}

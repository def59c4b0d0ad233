"""Small finished clean stages by hand, and sheets filled in: what the tests of annotation draw from."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpusmill.clean.text_measures import measure
from corpusmill.ledger import StageLedger, part_name
from corpusmill.parquet_parts import PartWriter
from corpusmill.schemas import DOCUMENTS, DROPPED
from corpusmill.storage import Folder


def row(number: int, text: str | None, **more: Any) -> dict[str, Any]:
    """A page. With `had_text`, a dropped one whose text was not stored."""
    had = more.pop("had_text", text)
    measures = measure([had])[0].as_py() if had is not None else None
    return {
        "id": f"urn:page:{number}",
        "url": f"https://host-{number}.example/{number}",
        "host": f"host-{number}.example",
        "title": f"Page {number}",
        "text": text,
        "language": "en",
        "language_score": 0.9,
        "measures": measures,
    } | more


def write_run(folder: Path, parts: Sequence[tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]]) -> Folder:
    """A run whose clean stage left, for each part, these documents and these dropped rows."""
    run = Folder(str(folder))
    ledger = StageLedger(run, "clean")
    records = []
    ledger.open({"clean": "by hand"}, {})
    for part, rows in enumerate(parts):
        outputs = []
        for kind, schema, of_kind in zip(("documents", "dropped"), (DOCUMENTS, DROPPED), rows, strict=True):
            with run.writing(f"{kind}/{part_name(part)}.parquet") as out, PartWriter(out.path, schema) as writer:
                writer.write(pa.RecordBatch.from_pylist([dict(r) for r in of_kind], schema))
            outputs.append(out)
        records.append(ledger.write_record(part, settings_digest="", inputs={}, outputs=outputs, counts={}))
    ledger.commit({"clean": "by hand"}, {}, records)
    return run


def fill(sheet: Path, answer: Callable[[dict[str, str]], Mapping[str, str]]) -> list[dict[str, str]]:
    """Rows of a sheet with the cells that `answer` gives for each."""
    rows = list(csv.DictReader(io.StringIO(sheet.read_bytes().decode("utf-8-sig"), newline="")))
    return [r | dict(answer(r)) for r in rows]


def save(
    path: Path, rows: Sequence[Mapping[str, str]], *, encoding: str = "utf-8", delimiter: str = ",", newline: str = "\n"
) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter, lineterminator=newline)
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(out.getvalue().encode(encoding))
    return str(path)

"""What becomes of each record of the odd archives in data/warc/edge, by file: the golden table edge_fates.json.

python -m tests.ingest.make_edge_fates      writes it anew; read the difference before you commit it
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

from corpusmill.errors import InputError
from corpusmill.ingest.warc_pages import Tally, read_pages

TABLE = Path(__file__).with_name("edge_fates.json")


def edge_files(data_folder: Path) -> dict[str, Path]:
    folder = data_folder / "warc" / "edge"
    return {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}


def fates_of(path: Path) -> dict[str, int]:
    """Counts by fate: "page", "dropped: reason", "not a response: kind"; or the refusal, as the only key, to 0."""
    tally, fates = Tally(), Counter[str]()
    lengths = 0
    try:
        with path.open("rb") as f:
            for batch in read_pages(f, path.name, tally):
                lengths += sum(batch.column("warc_length").to_pylist())
                for reason in batch.column("drop_reason").to_pylist():
                    fates["page" if reason is None else f"dropped: {reason}"] += 1
    except InputError as e:
        return {f"refused: {e}": 0}
    fates.update({f"not a response: {kind}": count for kind, count in tally.not_response.items()})
    assert tally.records == fates.total(), f"{path}: {tally.records} records, but {fates}"
    assert tally.bytes == lengths + sum(tally.not_response_bytes.values()), f"{path}: bytes unaccounted for"
    return dict(sorted(fates.items()))


def fates_of_all(data_folder: Path) -> dict[str, dict[str, int]]:
    return {name: fates_of(path) for name, path in edge_files(data_folder).items()}


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[2]
    found = fates_of_all(Path(os.environ.get("CORPUSMILL_DATA", root.parent / "shared" / "data")))
    TABLE.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{TABLE.name}: {len(found)} files, {sum(sum(f.values()) for f in found.values())} records")

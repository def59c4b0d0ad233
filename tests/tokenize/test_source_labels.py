"""Shards hold documents of one source, which training may weigh."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.errors import InputError
from corpusmill.mill import open_mill
from corpusmill.recipe import load_recipe
from corpusmill.storage import Folder
from corpusmill.tokenize.source_labels import sources_of_rows
from corpusmill.train.stream import TokenStream
from tests.dedup.near_runs import prose

PLAIN = ("clean.language.wanted={}", "clean.rules=[]", "clean.editors=[]", "tokenize.vocab_size=400", "dedup.bands=4")


def tokenized(tmp_path: Path, *overrides: str) -> Path:
    inputs = []
    for name, first in (("wiki-a", 0), ("web-b", 40), ("wiki-c", 80)):
        path = tmp_path / f"{name}.jsonl"
        path.write_text(
            "".join(json.dumps({"id": f"{name}-{i}", "text": prose(60, first + i)}) + "\n" for i in range(30))
        )
        inputs.append(str(path))
    recipe = load_recipe("sample", [*PLAIN, "tokenize.heldout_permille=0", *overrides])
    with open_mill(str(tmp_path / "run"), recipe, inputs=inputs, workers=1) as mill:
        for stage in ("clean", "dedup", "tokenize"):
            mill.run(stage)
    return tmp_path / "run"


def test_shards_are_of_one_source_by_input_file_and_training_weighs_them(tmp_path: Path):
    run = tokenized(tmp_path, "tokenize.sources={wiki = '*wiki*', web = '*'}")
    entries = json.loads((run / "shards/manifest.json").read_text())["shards"]
    assert {(e["name"].removesuffix(".arrow").partition("-")[2][6:], e["source"]) for e in entries} == {
        ("wiki", "wiki"),
        ("web", "web"),
    }
    for entry in entries:
        files = {Path(f).name for f in pq.read_table(run / "shards" / entry["docs"])["warc_file"].to_pylist()}
        assert files
        assert all(f.startswith(entry["source"]) for f in files)
    weights = {"wiki": 0.25, "web": 0.75}
    stream = TokenStream(Folder(str(run / "shards")), seed=1, sequence_length=16, batch_size=40, weights=weights)
    for step in range(1, 5):
        batch = stream.batch(step)
        rows: dict[str, set[int]] = {}
        for slot, out in batch.segments[:, [0, 4]].tolist():
            shards, index = stream.shard_of(slot)
            rows.setdefault(shards.entries[index]["source"], set()).add(out // 16)
        assert {name: len(found) for name, found in rows.items()} == {"wiki": 10, "web": 30}


def test_a_rule_by_language_and_files_that_no_pattern_matches():
    rows = pa.record_batch({"language": ["en", None, "de"], "warc_file": ["a/x.gz", "a/y.gz", "b/x.gz"]})
    assert sources_of_rows(rows, "language").tolist() == ["en", "unknown", "de"]
    assert sources_of_rows(rows, {"first": "a/*", "x": "*x.gz"}).tolist() == ["first", "first", "x"]
    assert sources_of_rows(rows, None).tolist() == ["", "", ""]
    with pytest.raises(InputError, match=r"no pattern matches the input a/y\.gz; the patterns are \*x\.gz"):
        sources_of_rows(rows, {"x": "*x.gz"})

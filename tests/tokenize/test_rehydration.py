"""Survivors of larger clusters are seen more often in an epoch, and stored once."""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from corpusmill.errors import InputError
from corpusmill.mill import open_mill
from corpusmill.recipe import load_recipe
from corpusmill.schemas import CLUSTER_SIZES
from corpusmill.storage import Folder
from corpusmill.tokenize.rehydration import FINEWEB_2, Weights
from corpusmill.tokenize.token_shards import line_of
from corpusmill.train.stream import TokenStream
from corpusmill.train.stream.batch_trace import _stretches
from tests.dedup.near_runs import prose

COPIES = {0: 1, 1: 2, 2: 3, 3: 4, 4: 5, 5: 7, 6: 1}
"""Text to how many documents have it."""
PLAIN = ("clean.language.wanted={}", "clean.rules=[]", "clean.editors=[]", "tokenize.vocab_size=400")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    rows = [
        {"id": f"{text}-{copy}", "text": prose(40 + 9 * text, text), "url": f"http://h.example/{text}/{copy}"}
        for text, copies in COPIES.items()
        for copy in range(copies)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def tokenized(run: Path, texts: Path, *overrides: str) -> dict[str, Any]:
    recipe = load_recipe("sample", [*PLAIN, "tokenize.heldout_permille=0", *overrides])
    with open_mill(str(run), recipe, inputs=[str(texts)], workers=1) as mill:
        return [mill.run(stage) for stage in ("clean", "dedup", "tokenize")][-1]


def epoch(run: Path, length: int = 16) -> tuple[Counter[str], TokenStream]:
    """How often one epoch has each text, where it has all of its tokens equally often."""
    stream = TokenStream(Folder(str(run / "shards")), seed=3, sequence_length=length, batch_size=1)
    shards = stream.sources["corpus"].first
    seen: Counter[str] = Counter()
    for step in range(1, shards.num_tokens + 1):  # as many epochs as a row has tokens: their last row ends with them
        for stretch in _stretches(stream.batch(step), stream):
            ids = sidecars(run)[stretch["shard"]]
            seen[ids[stretch["document"]].partition("-")[0]] += stretch["token_end"] - stretch["token_start"]
    lengths = {
        document.partition("-")[0]: int(n)
        for shard in shards.shards
        for document, n in zip(sidecars(run)[shard.name], np.diff(shard.offsets), strict=True)
    }
    times = {text: n / length / lengths[text] for text, n in seen.items()}
    return Counter({text: int(n) for text, n in times.items() if n == int(n)}), stream


@lru_cache(maxsize=8)
def sidecars(run: Path) -> dict[str, list[str]]:
    """Ids of the documents of each shard."""
    names = [path.name.removesuffix(".docs.parquet") for path in (run / "shards").glob("*.docs.parquet")]
    return {f"{n}.arrow": pq.read_table(run / "shards" / f"{n}.docs.parquet")["id"].to_pylist() for n in names}


def test_an_epoch_has_each_survivor_as_often_as_its_cluster_says(texts: Path, tmp_path: Path):
    counts = tokenized(tmp_path / "run", texts, "tokenize.rehydration=fineweb2")
    seen, stream = epoch(tmp_path / "run")
    assert seen == {"0": 1, "1": 2, "2": 3, "3": 3, "4": 5, "5": 5, "6": 1}
    assert counts["shards"]["documents"] == len(COPIES)
    shards = stream.sources["corpus"].first
    assert counts["tokens_per_epoch"] == shards.num_tokens == shards.manifest["tokens_per_epoch"]
    assert counts["tokens_per_epoch"] > counts["shards"]["tokens"] == shards.manifest["num_tokens"]
    assert [e["name"] for e in shards.entries] == [f"shard-00000{suffix}.arrow" for suffix in ("", "-x2", "-x3", "-x5")]


def test_without_it_once_each_and_one_shard(texts: Path, tmp_path: Path):
    counts = tokenized(tmp_path / "run", texts)
    seen, stream = epoch(tmp_path / "run")
    assert set(seen.values()) == {1}
    assert len(stream.sources["corpus"].first.entries) == 1
    assert counts["tokens_per_epoch"] == counts["shards"]["tokens"]


def test_chosen_steps_and_what_is_held_out(texts: Path, tmp_path: Path):
    tokenized(tmp_path / "run", texts, "tokenize.rehydration=[[2,2],[4,4]]")
    assert epoch(tmp_path / "run")[0] == {"0": 1, "1": 2, "2": 2, "3": 4, "4": 4, "5": 4, "6": 1}


def test_traced_stretches_lie_in_the_shard_of_their_document(texts: Path, tmp_path: Path):
    """Also where a shard has one document, and stands next to itself in the line."""
    tokenized(tmp_path / "run", texts, "tokenize.rehydration=[[1,1],[7,4]]")
    _, stream = epoch(tmp_path / "run")
    shards = stream.sources["corpus"].first
    offsets = {s.name: s.offsets for s in shards.shards}
    seen: Counter[tuple[str, int]] = Counter()
    for step in range(1, shards.num_tokens + 1):
        for stretch in _stretches(stream.batch(step), stream):
            first, last = offsets[stretch["shard"]][stretch["document"] :][:2]
            assert first <= stretch["token_start"] < stretch["token_end"] <= last
            seen[stretch["shard"], stretch["document"]] += stretch["token_end"] - stretch["token_start"]
    weights = {e["name"]: e["weight"] for e in shards.entries}
    assert seen == {
        (name, d): 16 * int(n) * weights[name] for name in offsets for d, n in enumerate(np.diff(offsets[name]))
    }
    assert sorted(weights.values()) == [1, 4]


@pytest.mark.parametrize(
    ("weights", "line"),
    [([1, 1, 1], [0, 1, 2]), ([1, 2], [1, 0, 1]), ([1, 1, 1, 1, 3], [0, 4, 1, 4, 2, 4, 3]), ([], [])],
)
def test_a_shard_stands_in_the_line_as_evenly_as_can_be(weights: list[int], line: list[int]):
    assert line_of(np.array(weights, np.int64)).tolist() == line


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 99, 100, 999, 1000, 10**6])
def test_weights_are_fineweb2s(size: int, tmp_path: Path):
    expected = next(times for least, times in reversed(FINEWEB_2) if size >= least)
    (tmp_path / "cluster_sizes").mkdir()
    rows = pa.table({"address": [5], "documents": [size]}, schema=CLUSTER_SIZES)
    pq.write_table(rows, tmp_path / "cluster_sizes/part-00000.parquet")
    assert Weights(Folder(str(tmp_path)), 0, FINEWEB_2).of(np.array([4, 5, 6])).tolist() == [1, expected, 1]


def test_a_run_without_cluster_sizes_is_told_what_to_do(tmp_path: Path):
    with pytest.raises(InputError, match=r"cluster_sizes/part-00000.parquet is missing.*run the dedup stage again"):
        Weights(Folder(str(tmp_path)), 0, FINEWEB_2)


@pytest.mark.parametrize("steps", ["[]", "[[5,5],[2,2]]", "[[1,0]]", "often"])
def test_steps_that_make_no_sense_are_refused(steps: str):
    with pytest.raises((InputError, ValidationError), match="rehydration"):
        load_recipe("sample", [f"tokenize.rehydration={steps}"])

"""What the report says of tokens equals what a slow count over every document, and over every token, finds."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixtures_shards import EOS, write_shards
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.errors import DamagedError
from corpusmill.schemas import SHARD_DOCS
from corpusmill.storage import Folder
from corpusmill.studio import token_facts
from corpusmill.studio.charts import Axis, Series, histogram
from corpusmill.studio.packing_facts import packing_facts
from corpusmill.studio.tallies import WORD_EDGES, Bins
from corpusmill.studio.token_facts import read_tokens
from corpusmill.tokenize.token_shards import open_shards
from corpusmill.train.stream.packing import Packing as Rows
from corpusmill.train.stream.packing import open_index, prepare


def documents(lengths: list[int]) -> list[list[int]]:
    return [[*([7] * (n - 1)), EOS] for n in lengths]


def make(folder: Path, shards: list[list[int]], weights: list[int] | None = None, heldout: list[int] = []) -> Folder:  # noqa: B006
    """A run with shards of documents of these lengths."""
    write_shards(folder / "shards", [documents(one) for one in shards])
    write_shards(folder / "heldout", [documents(heldout)] if heldout else [], first_part=9)
    run = Folder(str(folder))
    if weights:
        change_entries(run, lambda i: {"weight": weights[i]})
    return run


def change_entries(run: Folder, change: Any) -> None:
    manifest = run.read_json("shards/manifest.json")
    manifest["shards"] = [entry | change(i) for i, entry in enumerate(manifest["shards"])]
    run.write_json("shards/manifest.json", manifest)


def counted_by_token(line: list[list[int]], length: int) -> dict[str, int]:
    """Every token of an epoch is given its row; documents are looked at one by one."""
    rows_of, place = [], 0
    for shard in line:
        for size in shard:
            rows_of.append({(place + k) // length for k in range(size)})
            place += size
    rows = max((max(rows) + 1 for rows in rows_of), default=0)
    pieces, cut = sum(map(len, rows_of)), sum(len(rows) > 1 for rows in rows_of)
    return {"rows": rows, "pieces": pieces, "cut": cut, "padding": 0}


SHARDS = st.lists(
    st.tuples(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 4)), min_size=1, max_size=4
)


@given(SHARDS, st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_rows_of_chunks_are_counted_as_token_by_token(
    tmp_path_factory: pytest.TempPathFactory, shards: list[tuple[list[int], int]], length: int
) -> None:
    lengths, weights = ([one[i] for one in shards] for i in (0, 1))
    run = make(tmp_path_factory.mktemp("run"), lengths, weights)
    facts = packing_facts(run, length)
    chunked, fitted = facts.packings
    line = open_shards(run.sub("shards")).line.tolist()
    expected = counted_by_token([lengths[i] for i in line], length)
    assert {name: getattr(chunked, name) for name in expected} == expected
    every = [n for size, weight in shards for n in size * weight]
    assert (facts.documents, facts.tokens) == (len(every), sum(every))
    assert facts.longer == fitted.cut == sum(n > length for n in every)
    assert fitted.pieces == sum(-(-n // length) for n in every)
    assert fitted.rows * length == sum(every) + fitted.padding
    assert fitted.rows >= chunked.rows


def test_a_document_that_ends_with_its_row_is_not_cut(tmp_path: Path) -> None:
    chunked, fitted = packing_facts(make(tmp_path, [[8, 4, 4, 9, 7]]), 8).packings
    assert (chunked.rows, chunked.cut, chunked.pieces, chunked.padding) == (4, 1, 6, 0)
    assert (fitted.rows, fitted.cut, fitted.pieces, fitted.padding) == (4, 1, 6, 0)


def test_best_fit_counts_the_rows_that_its_index_has(tmp_path: Path) -> None:
    run = make(tmp_path, [[8, 4, 3, 9, 7], [5, 5, 17, 2]], [1, 2])
    shards = open_shards(run.sub("shards"))
    prepare(shards, Rows(8))
    expected = open_index(shards, Rows(8)).facts
    fitted = packing_facts(run, 8).packings[1]
    assert {k: getattr(fitted, k) for k in ("rows", "pieces", "padding")} == {
        k: expected[k] for k in ("rows", "pieces", "padding")
    }


def with_columns(run: Folder, kind: str, shard: int, **columns: list[Any]) -> None:
    """Other values in a sidecar."""
    path = run.local_path(f"{kind}/shard-{shard:05d}.docs.parquet")
    rows = pq.read_table(path).to_pylist()
    for name, values in columns.items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    pq.write_table(pa.Table.from_pylist(rows, schema=SHARD_DOCS), path)


@pytest.fixture
def run(tmp_path: Path) -> Folder:
    run = make(tmp_path, [[10, 20, 30], [40, 50], [5]], heldout=[100, 1])
    with_columns(run, "shards", 0, host=["a", "b", None], language=["en", "de", "en"])
    with_columns(run, "shards", 1, host=["b", "c"], language=["de", None])
    with_columns(run, "heldout", 0, host=["x", "y"], language=["de", "fr"])
    change_entries(run, lambda i: [{"source": "web"}, {}, {"source": "web"}][i])
    return run


def test_tokens_are_counted_by_language_host_and_source_most_first(run: Folder) -> None:
    found = read_tokens(run)
    assert [(r.name, r.documents, r.tokens, r.bytes, r.heldout) for r in found.languages] == [
        ("de", 2, 60, 240, 100),
        ("(no language)", 1, 50, 200, 0),
        ("en", 3, 45, 180, 0),
        ("fr", 0, 0, 0, 1),
    ]
    assert [(r.name, r.documents, r.tokens) for r in found.hosts] == [
        ("b", 2, 60),
        ("c", 1, 50),
        ("(no host)", 1, 30),
        ("a", 1, 10),
        ("site-0.example", 1, 5),
    ]
    assert [(r.name, r.documents, r.tokens, r.heldout) for r in found.sources] == [
        ("(no source)", 2, 90, 101),
        ("web", 4, 65, 0),
    ]
    assert found.counted == 256


def test_hosts_beyond_the_shown_are_only_counted(run: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_facts, "TOP_HOSTS", 2)
    found = read_tokens(run)
    assert [r.name for r in found.hosts] == ["b", "c"]
    assert found.all_hosts == 5


def test_lengths_are_of_documents_to_train_on_and_rows_as_long_as_the_recipe_says(run: Folder) -> None:
    assert read_tokens(run).lengths.counts == Counter([10, 20, 30, 40, 50, 5])
    assert read_tokens(run).packing.sequence_length == 256
    run.write_json("recipe.json", {"recipe": {"train": {"sequence_length": 25}}})
    found = read_tokens(run)
    assert found.packing.sequence_length == 25
    assert found.lengths.share_above(25) == 120 / 155


def test_no_shard_at_all_is_nothing_counted(tmp_path: Path) -> None:
    found = read_tokens(make(tmp_path, []))
    assert (found.languages, found.hosts, found.sources, found.all_hosts, found.counted) == ([], [], [], 0, 0)
    assert (found.packing.packings[0].rows, found.packing.packings[0].padding) == (0, 0)
    assert found.lengths.share_above(1) == 0


def test_a_damaged_sidecar_is_told_by_name(run: Folder) -> None:
    path = run.local_path("shards/shard-00001.docs.parquet")
    data = path.read_bytes()
    path.write_bytes(data[:-9] + bytes(9))
    with pytest.raises(DamagedError, match=r"shard-00001\.docs\.parquet is damaged"):
        read_tokens(run)


def test_a_damaged_column_is_told_too(run: Folder) -> None:
    path = run.local_path("heldout/shard-00000.docs.parquet")
    place = pq.ParquetFile(path).metadata.row_group(0).column(SHARD_DOCS.get_field_index("language"))
    data = bytearray(path.read_bytes())
    at = place.dictionary_page_offset
    data[at : at + place.total_compressed_size] = bytes(place.total_compressed_size)
    path.write_bytes(data)
    with pytest.raises(DamagedError, match=r"docs\.parquet cannot be read"):
        read_tokens(run)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([3, 40, 900], ["10", "100", "1k"]),
        ([130, 480], ["200", "500"]),
        ([130], ["126", "158"]),
        ([15], ["13", "16"]),
    ],
)
def test_an_axis_has_two_ticks_however_close_the_bars(values: list[int], ticks: list[str]) -> None:
    bins = Bins(WORD_EDGES)
    bins.add(np.array(values))
    drawn = histogram("k", "t", "d", Series("n", bins), Axis("x", (1, 10, 100, 1000, 10_000), True))
    assert re.findall(r'text-anchor="middle">([^<]+)<', drawn) == ticks


def test_bars_on_a_linear_axis_have_closer_ticks_too() -> None:
    bins = Bins(np.arange(0.0, 16.01, 0.5))
    bins.add(np.array([5.1, 5.6, 6.4]))
    drawn = histogram("k", "t", "d", Series("n", bins), Axis("x", (0, 2, 4, 6, 8)))
    assert re.findall(r'text-anchor="middle">([^<]+)<', drawn) == ["5", "5.5", "6", "6.5"]

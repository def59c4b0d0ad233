"""The policy by which one document of a cluster stays: the text that sorts first is the one preferred."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dedup.preferences import COLUMNS, _sortable, preferences
from corpusmill.errors import InputError
from corpusmill.recipe import Dedup, parse_recipe
from corpusmill.schemas import DOCUMENTS, conform

ROWS: list[dict[str, Any]] = [
    {"id": "old", "text": "aaaa", "fetched_at": datetime(2020, 1, 1, tzinfo=UTC), "host": "en.wiki.example"},
    {"id": "new", "text": "aaa", "fetched_at": datetime(2026, 1, 1, tzinfo=UTC), "host": "shop.example"},
    {"id": "long", "text": "aaaaaaaaa", "host": "shop.example", "warc_file": "books-7.warc.gz"},
    {"id": "é", "text": "aaaa", "host": None},
]


def documents(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    names = {name for row in rows for name in row}
    batch = pa.RecordBatch.from_pylist(rows, pa.schema([f for f in DOCUMENTS if f.name in names]))
    return conform(batch, pa.schema([f for f in DOCUMENTS if f.name in COLUMNS]))


def order(rows: list[dict[str, Any]], settings: Dedup) -> list[str]:
    keys = preferences(documents(rows), settings).to_pylist()
    return [row["id"] for _, row in sorted(zip(keys, rows, strict=True), key=lambda pair: pair[0])]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Dedup(survivor="longest"), ["long", "old", "é", "new"]),
        (Dedup(survivor="earliest"), ["old", "new", "long", "é"]),  # without a date: last
        (Dedup(survivor="latest"), ["new", "old", "long", "é"]),
        (Dedup(survivor="preferred_source", sources=("*.wiki.*", "books-*")), ["old", "long", "é", "new"]),
    ],
)
def test_each_policy_prefers_what_it_says(settings: Dedup, expected: list[str]):
    assert order(ROWS, settings) == expected
    assert order(ROWS[::-1], settings) == expected


def test_the_best_score_stays_and_a_document_without_one_comes_last():
    rows = [{"id": str(i), "text": "a", "scores": s} for i, s in enumerate(([("edu", 0.1)], [("edu", 3.0)], None))]
    assert order(rows, Dedup(survivor="best_score", score="edu")) == ["1", "0", "2"]
    with pytest.raises(InputError, match=r"dedup.score: no document has a measure or score named 'eduu'"):
        order(rows, Dedup(survivor="best_score", score="eduu"))


def test_a_measure_is_a_score_too():
    rows = [{"id": str(n), "text": "a", "measures": {"words": n}} for n in (3, 70, 12)]
    assert order(rows, Dedup(survivor="best_score", score="words")) == ["70", "12", "3"]


@pytest.mark.parametrize(("policy", "field"), [("best_score", "score"), ("preferred_source", "sources")])
def test_a_policy_without_what_it_needs_is_refused(policy: str, field: str):
    with pytest.raises(InputError, match=f"needs `{field}`"):
        parse_recipe({"dedup": {"survivor": policy}})


@given(st.lists(st.floats(allow_nan=False), min_size=2, max_size=20))
def test_hex_digits_sort_as_the_numbers_do(values: list[float]):
    keys = _sortable(np.array(values)).to_pylist()
    assert [v for _, v in sorted(zip(keys, values, strict=True))] == sorted(values)
    assert all((a < b) == (x < y) for a, x in zip(keys, values, strict=True) for b, y in zip(keys, values, strict=True))

"""Files of the version before are read: what they lack is null, within a struct too."""

from __future__ import annotations

import pyarrow as pa
import pytest

from corpusmill.clean.text_measures import measure
from corpusmill.errors import DamagedError
from corpusmill.schemas import DOCUMENTS, FORMAT_VERSION, MEASURES, OLDEST_READABLE_VERSION, check_version, conform

OLD = pa.struct([f for f in MEASURES if f.name in ("chars", "words", "mean_word_chars")])


def test_measures_of_an_older_part_are_kept_and_the_new_ones_are_null():
    old = pa.array([{"chars": 3, "words": 1, "mean_word_chars": 3.0}, None, {"chars": 0, "words": None}], OLD)
    batch = pa.record_batch({"id": ["a", "b", "c"], "measures": old})
    rows = conform(batch, DOCUMENTS).to_pylist()
    assert [r["id"] for r in rows] == ["a", "b", "c"]
    assert rows[0]["measures"] == dict.fromkeys(MEASURES.names) | {"chars": 3, "words": 1, "mean_word_chars": 3.0}
    assert rows[1]["measures"] is None
    assert rows[2]["measures"] == dict.fromkeys(MEASURES.names) | {"chars": 0}
    assert rows[0]["scores"] is None


def test_measures_of_this_version_pass_as_they_are():
    batch = pa.record_batch({"id": ["a", "b", "c"], "measures": measure(["some text", None, ""])})
    assert conform(batch.slice(1), DOCUMENTS).column("measures").to_pylist() == batch.column("measures").to_pylist()[1:]
    assert conform(batch.slice(0, 1), DOCUMENTS).schema == DOCUMENTS


def test_a_version_is_read_from_the_one_before_to_this_one():
    assert (OLDEST_READABLE_VERSION, FORMAT_VERSION) == (1, 2)
    check_version(1, "x")
    check_version(b"2", "x")
    for wrong in (0, 3, None):
        with pytest.raises(DamagedError, match="this Corpusmill reads 1 to 2"):
            check_version(wrong, "x")

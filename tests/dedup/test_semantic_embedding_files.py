"""Files of embeddings: which types are read, how they are joined, and what is refused in which words."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from semantic_runs import directions, write_documents, write_embeddings

from corpusmill.dedup.embedding_files import NO_ROW, NULL, EmbeddingFiles
from corpusmill.dedup.semantic_duplicates import find_semantic_duplicates
from corpusmill.dedup.unit_vectors import NOT_FINITE, USABLE, ZERO
from corpusmill.errors import InputError, StorageError
from corpusmill.recipe import Semantic
from corpusmill.storage import Folder

IDS = pa.array(["a", "b", "c"], pa.large_string())


def load(source: Path | str, tmp_path: Path, **names: str) -> Any:
    return EmbeddingFiles(str(source), **names).load(IDS, Folder(str(tmp_path)))


@pytest.mark.parametrize("number", [pa.float16(), pa.float32(), pa.float64()])
@pytest.mark.parametrize("form", ["list", "large_list", "fixed"])
def test_every_form_of_list_is_read_and_rows_come_in_the_order_of_the_ids(tmp_path: Path, number, form: str):
    kind = {"list": pa.list_(number), "large_list": pa.large_list(number), "fixed": pa.list_(number, 2)}[form]
    vectors = [[np.float16(v) for v in row] for row in ((0, 2), (3, 4), None, (-1, 0)) if row]
    write_embeddings(tmp_path / "e.parquet", ["c", "a", "x", "b"], [vectors[0], vectors[1], None, vectors[2]], kind)
    found = load(tmp_path / "e.parquet", tmp_path)
    assert np.allclose(found.units, [[0.6, 0.8], [-1, 0], [0, 1]])
    assert (found.units.dtype, found.verdict.tolist(), found.unasked) == (np.float32, [USABLE] * 3, 1)


def test_rows_that_cannot_be_used_have_a_reason(tmp_path: Path):
    ids = pa.array(["a", "b", "c", "d", "e", "f"], pa.large_string())
    vectors = [None, (math.nan, 1.0), (0.0, 0.0), (1.0, None), (1.0, 0.0)]
    write_embeddings(tmp_path / "e.parquet", list("abcde"), vectors)
    found = EmbeddingFiles(str(tmp_path / "e.parquet")).load(ids, Folder(str(tmp_path)))
    assert found.verdict.tolist() == [NULL, NOT_FINITE, ZERO, NOT_FINITE, USABLE, NO_ROW]


def test_documents_without_a_usable_embedding_stop_the_run_or_are_kept_and_counted(tmp_path: Path):
    run = write_documents(tmp_path / "run", [[{"id": i} for i in "abcdef"]])
    vectors = [None, (math.inf, 1.0), (0.0, 0.0), (1.0, 0.0), (1.0, 0.0)]
    write_embeddings(tmp_path / "e.parquet", list("abcde"), vectors)
    settings = Semantic(embeddings=str(tmp_path / "e.parquet"), missing="keep")
    found = find_semantic_duplicates(run, [0], settings, np.zeros(0, int), "longest")
    assert found.counts == {
        "usable": 2,
        "no_embedding": 1,
        "null_embedding": 1,
        "embedding_not_finite": 1,
        "zero_embedding": 1,
        "unasked": 0,
        "clusters": 1,
    }
    assert found.removed.column("id").to_pylist() == ["e"]
    strict = settings.model_copy(update={"missing": "error"})
    with pytest.raises(InputError) as e:
        find_semantic_duplicates(run, [0], strict, np.zeros(0, int), "longest")
    assert "4 of 6 documents have no usable embedding" in str(e.value)
    assert "the first is 'a': null_embedding" in str(e.value)
    assert 'dedup.semantic.missing = "keep"' in str(e.value)


def test_columns_may_have_other_names_and_ids_may_be_numbers(tmp_path: Path):
    pq.write_table(pa.table({"doc": [2, 1], "vec": [[0.0, 1.0], [1.0, 0.0]]}), tmp_path / "e.parquet")
    files = EmbeddingFiles(str(tmp_path / "e.parquet"), "doc", "vec")
    assert files.load(pa.array(["1", "2"]), Folder(str(tmp_path))).units.tolist() == [[1, 0], [0, 1]]


def test_files_are_a_path_a_glob_a_folder_or_a_url(tmp_path: Path):
    for i, name in enumerate(IDS.to_pylist()):
        write_embeddings(tmp_path / f"emb/x{i % 2}/{i}.parquet", [name], directions(90.0 * i))
    (tmp_path / "emb/README").write_text("not Parquet")
    for source in (tmp_path / "emb", tmp_path / "emb/*/?.parquet", f"file://{tmp_path}/emb/**/*.parquet"):
        found = load(source, tmp_path)
        assert np.allclose(found.units, directions(0, 90, 180), atol=1e-7)
    memory = fsspec.filesystem("memory")
    memory.pipe("/emb/a.parquet", (tmp_path / "emb/x0/0.parquet").read_bytes())
    assert load("memory://emb/*.parquet", tmp_path).verdict.tolist() == [USABLE, NO_ROW, NO_ROW]


def test_the_array_leaves_no_file_and_a_full_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_embeddings(tmp_path / "e.parquet", list("abc"), directions(0, 1, 2))
    found = load(tmp_path / "e.parquet", tmp_path / "scratch")
    assert list((tmp_path / "scratch").iterdir()) == []
    assert np.allclose(found.units, directions(0, 1, 2), atol=1e-7)
    monkeypatch.setattr(Folder, "free_bytes", lambda self: 10)
    with pytest.raises(StorageError, match="has 0 MB free; the array of embeddings"):
        load(tmp_path / "e.parquet", tmp_path)


def test_another_file_has_another_description(tmp_path: Path):
    write_embeddings(tmp_path / "e.parquet", list("abc"), directions(0, 1, 2))
    first = EmbeddingFiles(str(tmp_path / "e.parquet")).describe()
    assert first == EmbeddingFiles(str(tmp_path / "e.parquet")).describe()
    write_embeddings(tmp_path / "e.parquet", list("abc"), directions(0, 1, 3))
    again = EmbeddingFiles(str(tmp_path / "e.parquet")).describe()
    assert list(again) == [str(tmp_path / "e.parquet")]
    assert again != first


@pytest.mark.parametrize(
    ("ids", "vectors", "kind", "message"),
    [
        (["a", "b"], [(1, 0), (1, 0, 0)], None, "row 1 has an embedding of 3 numbers; expected 2"),
        (["a", "b"], [(), (1, 0)], None, "row 0 has an embedding of 0 numbers; expected some"),
        (["a", "a"], [(1, 0), (1, 0)], None, r"'a' has more than one embedding \(.*row 0 and .*row 1\)"),
        (["a", None], [(1, 0), (1, 0)], None, r"row 1 has no 'id' \(1 rows have none\)"),
        (["a"], [(1, 0)], pa.list_(pa.int32()), "expected a list of float16, float32 or float64"),
        ([b"a"], [(1, 0)], None, "column 'id' holds binary; expected the ids of documents"),
    ],
)
def test_what_is_refused_is_named(tmp_path: Path, ids, vectors, kind, message: str):
    write_embeddings(tmp_path / "e.parquet", ids, vectors, kind)
    with pytest.raises(InputError, match=message):
        load(tmp_path / "e.parquet", tmp_path)


def test_files_of_different_lengths_are_refused_by_name(tmp_path: Path):
    write_embeddings(tmp_path / "emb/0.parquet", ["a"], [(1, 0)], pa.list_(pa.float32(), 2))
    write_embeddings(tmp_path / "emb/1.parquet", ["b"], [(1, 0, 0)], pa.list_(pa.float32(), 3))
    with pytest.raises(InputError, match=r"1\.parquet, row 0 has an embedding of 3 numbers; expected 2"):
        load(tmp_path / "emb", tmp_path)


def test_a_file_with_damage_in_the_middle_is_a_sentence(tmp_path: Path):
    path = write_embeddings(tmp_path / "e.parquet", ["a"] + [f"x{i}" for i in range(999)], np.ones((1000, 3)))
    raw = path.read_bytes()
    path.write_bytes(raw[:4] + b"\xff" * 3000 + raw[3004:])
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        load(path, tmp_path)


def test_files_that_are_not_there_or_not_parquet_are_sentences(tmp_path: Path):
    (tmp_path / "text.parquet").write_text("no")
    write_embeddings(tmp_path / "e.parquet", ["a"], [(1, 0)])
    for source, message in (
        ("none.parquet", "there is no such file"),
        ("none-*", "no Parquet file of embeddings is there"),
        ("text.parquet", "cannot be read as Parquet"),
    ):
        with pytest.raises(InputError, match=message):
            load(tmp_path / source, tmp_path)
    with pytest.raises(InputError, match="no such file"):
        load("memory://none/e.parquet", tmp_path)
    with pytest.raises(
        InputError, match=r"no column 'embeddin' \(semantic.embedding_column\); did you mean 'embedding'"
    ):
        load(tmp_path / "e.parquet", tmp_path, embedding_column="embeddin")
    with pytest.raises(InputError, match=r"no column 'key' \(semantic.id_column\)"):
        load(tmp_path / "e.parquet", tmp_path, id_column="key")

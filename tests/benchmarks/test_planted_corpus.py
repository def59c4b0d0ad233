"""The planted corpus: the same for a seed, its truth exact, its bases no duplicates of each other."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from planted_pool import small_pool

from benchmarks.corpus_plan import DUPLICATE_SHARE, MAX_CLUSTER, NAMES, TEMPLATE, planted
from benchmarks.dedup_score import gone_from_run, score
from benchmarks.exact_jaccard import jaccard, shingle_sets
from benchmarks.planted_corpus import Corpus, write_corpus
from corpusmill.mill import open_mill
from corpusmill.parquet_parts import read_part
from corpusmill.recipe import parse_recipe
from corpusmill.schemas import DOCUMENTS
from corpusmill.storage import Folder

WORDS = re.compile(r"[^\W_]+")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return write_corpus(tmp_path_factory.mktemp("corpus"), small_pool(), 600, plain=True)


def rows_of(corpus: Corpus) -> pa.Table:
    parts = (f"documents/part-{p:05d}.parquet" for p in range(corpus.parts))
    return pa.Table.from_batches(b for part in parts for b in read_part(Folder(corpus.run), part, DOCUMENTS))


def pairs_of(corpus: Corpus, kind: str) -> list[tuple[str, str]]:
    """(text of the original, text of the copy) for the copies of this kind."""
    texts, truth = rows_of(corpus).column("text").to_pylist(), corpus.truth().to_pydict()
    original = {b: i for i, (b, k) in enumerate(zip(truth["base"], truth["kind"], strict=True)) if k == 0}
    chosen = [i for i, k in enumerate(truth["kind"]) if NAMES[k] == kind]
    return [(texts[original[truth["base"][i]]], texts[i]) for i in chosen]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_seed_gives_the_same_bytes_and_another_seed_other_texts(corpus: Corpus, tmp_path: Path):
    again = write_corpus(tmp_path / "again", small_pool(), 600, plain=True)
    assert bytes_of(again.folder) == bytes_of(corpus.folder)
    other = write_corpus(tmp_path / "other", small_pool(), 600, seed=2)
    assert not set(rows_of(other).column("text").to_pylist()) & set(rows_of(corpus).column("text").to_pylist())


def test_documents_have_150_to_800_words_and_copies_stay_near_that(corpus: Corpus):
    words = [len(text.split()) for text in rows_of(corpus).column("text").to_pylist()]
    kind = corpus.truth().column("kind").to_numpy()
    originals = np.array(words)[kind == 0]
    assert (originals.min() >= 150) & (originals.max() <= 800)
    assert max(words) < 1000


def test_the_share_of_copies_is_as_stated_and_each_cluster_has_one_original():
    plan = planted(20_000, seed=3)
    clusters = np.bincount(plan.base)
    assert len(plan.base) - len(clusters) == round(20_000 * DUPLICATE_SHARE) - 1  # the first template is a copy of none
    assert (np.bincount(plan.base[plan.kind == 0], minlength=len(clusters)) == 1).all()
    template = clusters[plan.base[plan.kind == TEMPLATE][0]]
    assert template == 200
    assert np.delete(clusters, plan.base[plan.kind == TEMPLATE][0]).max() <= MAX_CLUSTER


def test_exact_copies_are_exact_and_punctuated_ones_have_the_same_words(corpus: Corpus):
    assert all(a == b for a, b in pairs_of(corpus, "exact"))
    for a, b in pairs_of(corpus, "punctuation"):
        assert a != b
        assert WORDS.findall(a.lower()) == WORDS.findall(b.lower())


@pytest.mark.parametrize(
    ("kind", "low", "high"), [("words 1%", 0.8, 0.98), ("words 2%", 0.7, 0.92), ("words 3%", 0.6, 0.88)]
)
def test_word_edits_leave_about_the_similarity_that_their_rate_says(corpus: Corpus, kind: str, low: float, high: float):
    pairs = pairs_of(corpus, kind)
    found = [jaccard(*shingle_sets(list(pair))) for pair in pairs]
    assert low < np.mean(found) < high


def test_boilerplate_stands_before_or_after_the_whole_text(corpus: Corpus):
    pairs = pairs_of(corpus, "boilerplate")
    assert pairs
    assert all(b.startswith(a + "\n") or b.endswith("\n" + a) for a, b in pairs)


def test_bases_are_no_near_duplicates_of_each_other(corpus: Corpus):
    kind = corpus.truth().column("kind").to_numpy()
    originals = rows_of(corpus).column("text").filter(pa.array(kind == 0)).to_pylist()
    sets = shingle_sets(originals)
    assert max(jaccard(a, b) for i, a in enumerate(sets) for b in sets[:i]) < 0.3


def test_plain_files_have_the_same_documents(corpus: Corpus):
    plain = [row for p in sorted(Path(corpus.plain).glob("*.jsonl")) for row in _json_lines(p)]
    assert plain == rows_of(corpus).select(["id", "text"]).to_pylist()


def test_the_mill_deduplicates_the_run_and_is_scored_against_the_truth(tmp_path: Path):
    corpus = write_corpus(tmp_path, small_pool(), 400)
    with open_mill(corpus.run, parse_recipe({}), workers=1) as mill:
        counts = mill.run("dedup")
    found = score(corpus.truth(), gone_from_run(corpus))
    assert found.removed == sum(counts["removed"].values())
    assert (found.recall > 0.8) & (found.lost == 0)
    assert found.by_kind["exact"] == 1.0


def test_the_score_counts_copies_found_and_documents_lost():
    truth = pa.table({"base": [0, 0, 0, 1, 2, 2], "kind": pa.array([0, 1, 1, 0, 3, 0], pa.int8())})
    found = score(truth, np.array([True, True, True, True, False, False]))
    assert (found.removed, found.planted, found.found, found.lost) == (4, 3, 2, 2)
    assert found.by_kind == {NAMES[3]: 0.0}


def test_parts_say_which_documents_they_have(corpus: Corpus):
    assert pc.count_distinct(rows_of(corpus).column("id")).as_py() == 600
    addresses = corpus.truth().column("address").to_numpy()
    assert [int((addresses >> 32 == p).sum()) for p in range(corpus.parts)] == [150] * 4
    assert pq.read_metadata(corpus.folder / "truth/part-00003.parquet").num_rows == 150


def _json_lines(path: Path) -> list[dict[str, str]]:
    import json

    return [json.loads(line) for line in path.read_text().splitlines()]

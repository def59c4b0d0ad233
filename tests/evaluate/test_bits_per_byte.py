"""The numbers of an evaluation, computed by hand; what is stored, and when it is made again."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tiny_runs import Row, make_weights, train_bpe, write_shards

from corpusmill.errors import DamagedError, InputError
from corpusmill.evaluate.bits_per_byte import EVALUATION, evaluate_folder, evaluate_model, evaluate_weights
from corpusmill.evaluate.causal_models import from_weights
from corpusmill.evaluate.heldout_documents import choose, read_heldout, token_counts
from corpusmill.evaluate.score_summary import Scored, interval, summarise
from corpusmill.evaluate.unigram_baseline import unigram_nats
from corpusmill.recipe import Evaluate
from corpusmill.storage import Folder

VOCABULARY, CONTEXT = 40, 16
SETTINGS = Evaluate(batch_size=4)
TRAINING = [[Row([1, 1, 2, 0], 9), Row([1, 3, 0], 7)], [Row([2, 0], 3)]]
HELDOUT = [
    [Row([1, 2, 0], 8, "en", "a.example"), Row([4, 5, 6, 0], 10, "de", "b.example")],
    [Row([*range(1, 36), 0], 90, "en", "a.example"), Row([3, 0], 4, None, None)],
]


@pytest.fixture
def run(tmp_path) -> Folder:
    write_shards(tmp_path / "shards", TRAINING, VOCABULARY)
    write_shards(tmp_path / "heldout", HELDOUT, VOCABULARY)
    return Folder(str(tmp_path))


@pytest.fixture(scope="module")
def weights():
    return make_weights(VOCABULARY, CONTEXT)


def test_overall_numbers_are_sums_over_documents(run, weights):
    found = evaluate_model(from_weights(*weights), run, SETTINGS)
    assert (found["documents"], found["tokens"], found["bytes"]) == (4, 45, 112)
    assert found["perplexity"] == pytest.approx(math.exp(found["nll"] / 45), rel=1e-6)
    assert found["bits_per_byte"] == pytest.approx(found["nll"] / math.log(2) / 112, rel=1e-6)
    low, high = found["bits_per_byte_interval"]
    assert low < found["bits_per_byte"] < high


def test_languages_and_hosts_add_up_to_the_whole(run, weights):
    found = evaluate_model(from_weights(*weights), run, SETTINGS)
    assert [(r["language"], r["bytes"]) for r in found["by_language"]] == [("en", 98), ("de", 10), ("unknown", 4)]
    assert [(r["host"], r["documents"]) for r in found["by_host"]] == [
        ("a.example", 2),
        ("b.example", 1),
        ("unknown", 1),
    ]
    for rows in (found["by_language"], found["by_host"]):
        assert sum(r["nll"] for r in rows) == pytest.approx(found["nll"], rel=1e-6)
        assert sum(r["tokens"] for r in rows) == found["tokens"]


def test_only_the_twenty_hosts_with_most_text_are_listed(tmp_path, weights):
    write_shards(tmp_path / "shards", TRAINING, VOCABULARY)
    write_shards(tmp_path / "heldout", [[Row([1, 0], 10 + i, "en", f"h{i}.example") for i in range(25)]], VOCABULARY)
    found = evaluate_model(from_weights(*weights), Folder(str(tmp_path)), SETTINGS)
    assert [r["host"] for r in found["by_host"]] == [f"h{i}.example" for i in range(24, 4, -1)]


def test_the_unigram_baseline_equals_a_computation_by_hand(run):
    counts = token_counts(run.sub("shards"))
    assert counts[:5].tolist() == [3, 3, 2, 1, 0]
    assert counts.sum() == 9
    total = 9 + VOCABULARY
    expected = -math.log(4 / total) - math.log(3 / total) - math.log(4 / total) - math.log(1 / total)
    assert unigram_nats(counts, [np.array([1, 2, 0], np.uint16), np.array([9], np.uint16)]) == pytest.approx(expected)


def test_the_stored_baseline_is_over_the_scored_documents(run, weights):
    found = evaluate_model(from_weights(*weights), run, SETTINGS)
    seen = {0: 3, 1: 3, 2: 2, 3: 1}
    tokens = [t for shard in HELDOUT for row in shard for t in row.tokens]
    bits = -sum(math.log2((seen.get(t, 0) + 1) / (9 + VOCABULARY)) for t in tokens)
    assert found["unigram_bits_per_byte"] == pytest.approx(bits / 112, rel=1e-6)


def test_no_heldout_documents_names_the_setting_to_raise(run, weights, tmp_path):
    for name in [p.name for p in (tmp_path / "heldout").iterdir()]:
        run.remove(f"heldout/{name}")
    with pytest.raises(InputError, match=r"tokenize\.heldout_permille"):
        evaluate_weights(run, *weights, SETTINGS)


def test_a_changed_heldout_shard_is_noticed(run, tmp_path):
    shard = tmp_path / "heldout" / "shard-00000.arrow"
    raw = bytearray(shard.read_bytes())
    raw[len(raw) // 2] ^= 1
    shard.write_bytes(raw)
    with pytest.raises(DamagedError, match=r"shard-00000\.arrow is missing or changed"):
        read_heldout(run)


def test_a_token_limit_takes_whole_documents_and_a_larger_one_only_adds(run):
    documents = read_heldout(run)[1]
    sizes = {limit: set(choose(documents, limit, seed=1)) for limit in (1, 5, 10, 45)}
    assert len(sizes[1]) == 1
    assert sizes[1] <= sizes[5] <= sizes[10] <= sizes[45] == {0, 1, 2, 3}
    assert choose(documents, 5, seed=1) == choose(documents, 5, seed=1)


def test_two_evaluations_write_the_same_bytes_and_no_nan(run, weights):
    first = evaluate_weights(run, *weights, SETTINGS)
    raw = run.read_bytes(EVALUATION)
    second = evaluate_weights(run, *weights, SETTINGS)
    assert first == second == run.read_json(EVALUATION)
    assert run.read_bytes(EVALUATION) == raw
    assert first["settings"] == {
        "batch_size": 4,
        "max_tokens": 1_000_000,
        "seed": 0,
        "stride": 8,
        "interval": {"confidence": 0.95, "resamples": 1000, "over": "documents"},
    }
    assert first["heldout"] == run.read_json("heldout/manifest.json")["fingerprint"]


def test_a_model_that_gives_nan_is_reported_as_such(run, weights):
    config, state = weights
    damaged = {k: torch.full_like(v, math.nan) if "norm" in k else v for k, v in state.items()}
    found = evaluate_weights(run, config, damaged, SETTINGS)
    assert (found["perplexity"], found["bits_per_byte"], found["bits_per_byte_interval"]) == (None, None, None)
    assert found["nonfinite_tokens"] == 45
    assert "nan or inf for 45 of 45 tokens" in found["warning"]
    assert b"NaN" not in run.read_bytes(EVALUATION)


def test_a_model_of_too_small_a_vocabulary_is_refused(run):
    with pytest.raises(InputError, match="token 35, the model knows 20 tokens"):
        evaluate_model(from_weights(*make_weights(20, CONTEXT)), run, SETTINGS)


def test_the_interval_covers_the_truth_about_as_often_as_it_says(run):
    document = read_heldout(run)[1][0]
    rng = np.random.RandomState(5)
    covered = 0
    for i in range(60):
        nats = rng.normal(20, 4, size=40)
        low, high = interval([Scored(document, float(n), 3) for n in nats], seed=i)
        covered += low < 20 / math.log(2) / document.text_bytes < high
    assert 51 <= covered <= 60


def test_one_document_without_a_value_leaves_the_others_readable(run):
    a, b = read_heldout(run)[1][:2]
    assert summarise([Scored(a, math.inf, 3, 1), Scored(b, 5.0, 4)])["bits_per_byte"] is None
    assert summarise([Scored(b, 5.0, 4)])["perplexity"] == pytest.approx(math.exp(1.25))


# --- folders ---------------------------------------------------------------------------------------------------------

TEXTS = ["The mill grinds corn.", "Ein Café in 東京 🙂!\n\n  Two spaces.", "corn and corn and corn " * 12]


def text_run(folder, vocab_size):
    bpe = train_bpe(folder / "tokenizer", TEXTS, vocab_size)
    rows = [Row([*bpe.encode(t).ids, 0], len(t.encode())) for t in TEXTS]
    write_shards(folder / "shards", [rows], vocab_size)
    write_shards(folder / "heldout", [rows], vocab_size)
    return Folder(str(folder))


def model_folder(folder, tokenizer, vocab_size):
    import shutil

    shutil.copytree(tokenizer, folder)
    from_weights(*make_weights(vocab_size, 32)).save_pretrained(folder)
    return str(folder)


def test_a_folder_with_the_runs_tokenizer_scores_as_its_weights_do(tmp_path):
    run = text_run(tmp_path / "run", 300)
    path = model_folder(tmp_path / "model", tmp_path / "run" / "tokenizer", 300)
    by_folder = evaluate_folder(path, run, SETTINGS)
    by_weights = evaluate_weights(run, *make_weights(300, 32), SETTINGS)
    assert by_folder["nll"] == pytest.approx(by_weights["nll"], rel=1e-6)
    assert not (tmp_path / "model" / "evaluate").exists()


def test_a_model_of_another_tokenizer_is_scored_on_the_same_bytes(tmp_path):
    run = text_run(tmp_path / "run", 300)
    train_bpe(tmp_path / "other", ["quite another text, with other pairs " * 3], 270)
    path = model_folder(tmp_path / "model", tmp_path / "other", 270)
    found = evaluate_folder(path, run, SETTINGS)
    own = evaluate_weights(run, *make_weights(300, 32), SETTINGS)
    assert (found["bytes"], found["documents"]) == (sum(len(t.encode()) for t in TEXTS), 3)
    assert found["tokens"] != own["tokens"]
    assert found["unigram_bits_per_byte"] == own["unigram_bits_per_byte"]


def test_pickled_weights_are_refused(tmp_path):
    run = text_run(tmp_path / "run", 300)
    path = model_folder(tmp_path / "model", tmp_path / "run" / "tokenizer", 300)
    (tmp_path / "model" / "model.safetensors").rename(tmp_path / "model" / "pytorch_model.bin")
    with pytest.raises(InputError, match="Pickled weights"):
        evaluate_folder(path, run, SETTINGS)

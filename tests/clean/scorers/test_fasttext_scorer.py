"""A quality classifier: trained on two kinds of text, the same model each time, applied as DCLM applies its own."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from corpusmill.classifier_commands import app
from corpusmill.clean.classifier_training import (
    Training,
    labelled_rows,
    score_texts,
    threshold_for_share,
    train_classifier,
)
from corpusmill.clean.components import make_scorers
from corpusmill.clean.scorers.fasttext_scorer import FastTextScorer, one_line
from corpusmill.errors import InputError
from corpusmill.recipe import Component
from corpusmill.storage import sha256_of

GOOD = [
    "the",
    "river",
    "mill",
    "turns",
    "grain",
    "into",
    "flour",
    "and",
    "people",
    "bake",
    "bread",
    "from",
    "it",
    "every",
    "morning",
]
BAD = [
    "click",
    "here",
    "buy",
    "now",
    "cheap",
    "offer",
    "best",
    "price",
    "free",
    "shipping",
    "login",
    "cart",
    "subscribe",
]
SMALL = Training(dimensions=8, buckets=1000, epochs=20, learning_rate=0.5, heldout=0.2)


def examples(count: int = 150, noise: float = 0.0) -> list[tuple[str, str]]:
    draw = random.Random(2)
    rows = []
    for i in range(2 * count):
        label = ("hq", "cc")[i % 2]
        words = (GOOD, BAD)[(i + (draw.random() < noise)) % 2]
        rows.append((" ".join(draw.choices(words, k=draw.randint(5, 20))) + f"\nline {i}", label))
    return rows


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    path = tmp_path_factory.mktemp("classifier") / "quality.bin"
    return path, train_classifier(examples(), path, SMALL)


def test_it_tells_apart_what_it_has_not_seen(trained: tuple[Path, dict[str, Any]]):
    path, report = trained
    assert report["at_half"]["precision"] == report["at_half"]["recall"] == 1.0
    assert sum(report["train"].values()) + sum(report["heldout"].values()) == 300
    assert 0.1 < sum(report["heldout"].values()) / 300 < 0.3
    assert json.loads(Path(f"{path}.json").read_text()) == report
    assert report["sha256"] == sha256_of(path)
    scorer = FastTextScorer(model=str(path))
    assert scorer.score("people bake bread in the mill") > 0.9
    assert scorer.score("buy cheap login now") < 0.1


def test_the_same_texts_give_the_same_model_in_any_order(trained: tuple[Path, dict[str, Any]], tmp_path: Path):
    for i, rows in enumerate((examples(), examples()[::-1])):
        train_classifier(rows, tmp_path / f"{i}.bin", SMALL)
        assert (tmp_path / f"{i}.bin").read_bytes() == trained[0].read_bytes()


def test_precision_and_recall_are_those_of_the_held_out_texts(tmp_path: Path):
    """Where a quarter of the labels is wrong, a quarter of what is found is."""
    plain = Training(dimensions=8, word_ngrams=1, min_count=20, heldout=0.3)  # cannot learn texts by heart
    report = train_classifier(examples(400, noise=0.25), tmp_path / "q.bin", plain)
    assert 0.6 < report["at_half"]["precision"] < 0.9
    kept = [row["kept"] for row in report["by_share_kept"]]
    assert kept == sorted(kept)
    recalls = [row["recall"] for row in report["by_share_kept"]]
    assert recalls == sorted(recalls)


def test_a_score_is_the_probability_that_fasttext_itself_gives(trained: tuple[Path, dict[str, Any]]):
    import fasttext

    model = fasttext.load_model(str(trained[0]))
    texts = [text for text, _ in examples(10)]
    wanted = [
        dict(zip(*model.predict(" ".join(t.strip().splitlines()), k=2), strict=True))["__label__hq"] for t in texts
    ]
    found = FastTextScorer(model=str(trained[0])).score_batch(pa.array(texts, pa.large_string()))[""]
    np.testing.assert_allclose(found, np.minimum(wanted, 1.0), rtol=1e-6)


def test_lines_are_joined_as_dclm_joins_them():
    assert one_line("  a\nb\r\nc\u2028d \n") == "a b c d"


def test_any_label_of_a_model_can_be_the_score(data_folder: Path):
    scorer = FastTextScorer(model=str(data_folder / "models/lid.176.ftz"), label="de")
    assert scorer.score("Der Müller trägt das Korn jeden Morgen zum Mühlrad am Fluss.") > 0.9
    assert scorer.score("The miller carries the corn to the wheel by the river.") < 0.1
    with pytest.raises(InputError, match=r"no label 'hq'; it has af, als, am"):
        FastTextScorer(model=str(data_folder / "models/lid.176.ftz")).score("x")


def test_mistakes_are_said(tmp_path: Path):
    with pytest.raises(InputError, match=r"clean\.scorers\[0\]\.model: there is no file or folder .*none\.bin"):
        make_scorers([Component(use="fasttext_quality", model=str(tmp_path / "none.bin"))])
    (tmp_path / "bad.bin").write_text("no model")
    with pytest.raises(InputError, match=r"bad\.bin is not a fastText model"):
        FastTextScorer(model=str(tmp_path / "bad.bin")).score("x")
    with pytest.raises(InputError, match="found the labels: hq"):
        train_classifier([("a", "hq")], tmp_path / "q.bin")
    with pytest.raises(InputError, match="leaves a label without any"):
        train_classifier([("a b", "hq"), ("c", "cc")], tmp_path / "q.bin", Training(heldout=0.01))
    with pytest.raises(InputError, match="a label is one word; found 'very good'"):
        train_classifier([("a b", "very good")], tmp_path / "q.bin")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.bin"]


def test_a_text_that_holds_a_label_is_not_taken_for_one(tmp_path: Path):
    rows = [(f"__label__cc {text}", label) for text, label in examples()]
    assert train_classifier(rows, tmp_path / "q.bin", SMALL)["at_half"]["recall"] == 1.0


@given(scores=st.lists(st.sampled_from([0.1, 0.2, 0.5, 0.9]), min_size=1), share=st.floats(0.01, 1.0))
def test_a_threshold_keeps_no_more_than_the_share_unless_all_tie(scores: list[float], share: float):
    threshold, kept = threshold_for_share(scores, share)
    assert threshold in scores
    assert kept == np.mean(np.array(scores) >= threshold)
    best_tie = np.mean(np.array(scores) == max(scores))
    assert kept <= share + 1e-6 or kept == best_tie
    lower = [s for s in scores if s < threshold]
    if lower:
        assert np.mean(np.array(scores) >= max(lower)) > share + 1e-12


def test_a_threshold_of_a_tenth_keeps_a_tenth():
    assert threshold_for_share(np.arange(100), 0.1) == (90.0, 0.1)


def test_the_commands_train_and_give_a_threshold(tmp_path: Path, trained: tuple[Path, dict[str, Any]]):
    for name, label in (("good", "hq"), ("bad", "cc")):
        lines = [json.dumps({"text": t}) for t, n in examples() if n == label]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    options = ["--buckets", "1000", "--dimensions", "8", "--epochs", "20", "--learning-rate", "0.5", "--heldout", "0.2"]
    files = ["--positive", f"{tmp_path}/good.jsonl", "--negative", f"{tmp_path}/bad.jsonl"]
    model = tmp_path / "q.bin"
    said = CliRunner().invoke(app, ["train", *files, "--output", str(model), *options], catch_exceptions=False)
    assert "judged on" in said.output
    assert model.read_bytes() == trained[0].read_bytes()
    sample = ["--sample", f"{tmp_path}/good.jsonl", "--sample", f"{tmp_path}/bad.jsonl", "--keep", "0.1"]
    said = CliRunner().invoke(app, ["threshold", "--model", str(model), *sample], catch_exceptions=False)
    bound = float(re.search(r"min = (\S+)", said.output)[1])  # type: ignore[index]
    scores = score_texts(model, [t for t, _ in examples()])
    assert np.mean(scores >= bound) == pytest.approx(0.1, abs=0.01)
    with pytest.raises(InputError, match="give --positive and --negative files, or --labelled files"):
        CliRunner().invoke(app, ["train", *files[:2], "--output", str(model)], catch_exceptions=False)


def test_rows_with_a_label_of_their_own_train_too(tmp_path: Path):
    path = tmp_path / "labelled.jsonl"
    path.write_text("\n".join(json.dumps({"page": t, "verdict": n}) for t, n in examples()))
    rows = list(labelled_rows([str(path)], "verdict", "page"))
    assert rows == examples()
    assert train_classifier(rows, tmp_path / "q.bin", SMALL)["at_half"]["recall"] == 1.0

"""Sequence classifiers: Hugging Face folders and ONNX files score as a direct computation does, in any batch."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.clean.components import make_scorers
from corpusmill.clean.scorers.onnx_scorer import OnnxScorer
from corpusmill.clean.scorers.sequence_batches import logits_of, scores_from
from corpusmill.clean.scorers.transformer_scorer import TransformerScorer
from corpusmill.errors import InputError
from corpusmill.recipe import Component

VOCABULARY = [f"w{i}" for i in range(60)]
MAX_TOKENS = 48
LABELS = ("bad", "fair", "good")


def texts(count: int = 30) -> list[str]:
    draw = random.Random(5)
    return ["", "w1"] + [
        " ".join(draw.choices(VOCABULARY, k=draw.choice((3, 14, 15, 30, 47, 90)))) for _ in range(count)
    ]


def make_model(folder: Path, labels: tuple[str, ...], problem: str | None = None) -> Path:
    """A tiny random BERT with its tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = {word: i for i, word in enumerate([*special, *VOCABULARY])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **named).save_pretrained(folder)
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
        initializer_range=0.5,
        id2label=dict(enumerate(labels)) or {0: "LABEL_0"},
        label2id={name: i for i, name in enumerate(labels)} or {"LABEL_0": 0},
        problem_type=problem,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("regression"), ())


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("classifier"), LABELS)


def direct(folder: Path, given: list[str]) -> np.ndarray:
    """Logits of each text alone, without padding."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    rows = []
    for text in given:
        with torch.inference_mode():
            rows.append(model(**tokenizer(text, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")).logits[0])
    return torch.stack(rows).double().numpy()


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def scores(scorer: Any, given: list[str | None]) -> np.ndarray:
    return scorer.score_batch(pa.array(given, pa.large_string()), None)[""]


def test_a_regression_scores_its_one_logit(regression: Path):
    scorer = TransformerScorer(model=str(regression), max_tokens=MAX_TOKENS)
    np.testing.assert_allclose(scores(scorer, texts()), direct(regression, texts())[:, 0], atol=1e-4)


def test_a_classifier_scores_the_probability_of_the_named_label(classifier: Path):
    wanted = softmax(direct(classifier, texts()))
    assert len(set(wanted.argmax(axis=1))) > 1
    for i, label in enumerate(LABELS):
        scorer = TransformerScorer(model=str(classifier), label=label, max_tokens=MAX_TOKENS)
        np.testing.assert_allclose(scores(scorer, texts()), wanted[:, i], atol=1e-4)


def test_labels_that_do_not_exclude_each_other_have_probabilities_of_their_own(tmp_path: Path):
    folder = make_model(tmp_path, LABELS, "multi_label_classification")
    scorer = TransformerScorer(model=str(folder), label="fair", max_tokens=MAX_TOKENS)
    wanted = 1 / (1 + np.exp(-direct(folder, texts(5))[:, 1]))
    np.testing.assert_allclose(scores(scorer, texts(5)), wanted, atol=1e-4)


def test_a_score_does_not_depend_on_the_texts_beside_it(regression: Path):
    scorer = TransformerScorer(model=str(regression), max_tokens=MAX_TOKENS)
    given = texts()
    together = scores(scorer, given)
    assert scores(scorer, given[::-1]).tolist() == together[::-1].tolist()
    assert [scorer.score(text) for text in given] == together.tolist()


def test_nulls_and_other_languages_have_no_score(regression: Path):
    scorer = TransformerScorer(model=str(regression), languages=("en",))
    given = pa.array(["w1", None, "w1"], pa.large_string())
    found = scorer.score_batch(given, pa.array(["en", "en", "de"]))[""]
    assert np.isnan(found).tolist() == [False, True, True]
    assert scorer.score_batch(given, pa.array(["de"] * 3)) == {}


def test_mistakes_are_said(classifier: Path, tmp_path: Path):
    def build(**given: Any) -> Any:
        return make_scorers([Component(use="transformer", **given)])["transformer"]

    with pytest.raises(InputError, match=r"clean\.scorers\[0\]\.model: there is no file or folder .*nowhere"):
        build(model=str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"holds no config\.json"):
        build(model=str(tmp_path))
    with pytest.raises(InputError, match=r"3 labels; name one, label = \.\.\., of bad, fair, good"):
        build(model=str(classifier)).score("w1")
    with pytest.raises(InputError, match="no label 'best'; it has bad, fair, good"):
        build(model=str(classifier), label="best").score("w1")


def test_a_gpu_that_is_not_there_is_said(classifier: Path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(InputError, match="torch sees no GPU"):
        TransformerScorer(model=str(classifier), label="bad", device="cuda").score("w1")


def test_a_model_without_a_trained_head_is_refused(tmp_path: Path, classifier: Path):
    import shutil

    from safetensors.torch import load_file, save_file

    folder = tmp_path / "headless"
    shutil.copytree(classifier, folder)
    weights = load_file(folder / "model.safetensors")
    save_file(
        {k: v for k, v in weights.items() if not k.startswith("classifier")},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(InputError, match=r"lacks weights of a sequence classifier: classifier\.bias"):
        TransformerScorer(model=str(folder), label="good").score("w1")


def export(folder: Path, file: str = "model.onnx", types: bool = True) -> Path:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    import torch
    from transformers import AutoModelForSequenceClassification

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None) -> Any:
            return self.model(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).logits

    names = ["input_ids", "attention_mask", "token_type_ids"][: 3 if types else 2]
    examples = (
        torch.randint(4, 60, (2, 16)),
        torch.ones(2, 16, dtype=torch.int64),
        torch.zeros(2, 16, dtype=torch.int64),
    )
    torch.onnx.export(
        Logits().eval(),
        examples[: len(names)],
        str(folder / file),
        input_names=names,
        output_names=["logits"],
        dynamic_axes={name: {0: "rows", 1: "length"} for name in names} | {"logits": {0: "rows"}},
        dynamo=False,
    )
    return folder / file


@pytest.fixture(scope="module")
def exported(classifier: Path) -> Path:
    return export(classifier)


def test_onnx_scores_as_the_model_it_was_made_of(classifier: Path, exported: Path):
    wanted = softmax(direct(classifier, texts()))
    for i, label in enumerate(LABELS):
        scorer = OnnxScorer(model=str(exported), label=label, max_tokens=MAX_TOKENS)
        np.testing.assert_allclose(scores(scorer, texts()), wanted[:, i], atol=1e-4)


def test_an_onnx_score_does_not_depend_on_the_texts_beside_it(exported: Path):
    scorer = OnnxScorer(model=str(exported), label="good", max_tokens=MAX_TOKENS)
    given = texts()
    together = scores(scorer, given)
    assert scores(scorer, given[::-1]).tolist() == together[::-1].tolist()
    assert [scorer.score(text) for text in given] == together.tolist()


def test_an_onnx_regression_scores_its_one_logit(regression: Path):
    scorer = OnnxScorer(model=str(export(regression, types=False)), max_tokens=MAX_TOKENS)
    np.testing.assert_allclose(scores(scorer, texts()), direct(regression, texts())[:, 0], atol=1e-4)


def test_labels_of_an_onnx_model_can_be_given_and_its_identity_is_what_it_holds(exported: Path, tmp_path: Path):
    import shutil

    moved = tmp_path / "elsewhere"
    shutil.copytree(exported.parent, moved)
    config = json.loads((moved / "config.json").read_text())
    here, there = (OnnxScorer(model=str(p), label="good") for p in (exported, moved / exported.name))
    assert here.identity() == there.identity()
    (moved / "config.json").write_text(json.dumps(config | {"id2label": {"0": "good", "1": "x", "2": "y"}}))
    assert here.identity() != there.identity()
    (moved / "config.json").unlink()
    given = OnnxScorer(model=str(moved / exported.name), labels=LABELS, label="good")
    assert given.score("w1 w2") == here.score("w1 w2")
    assert "labels" in given.identity()


def test_what_is_no_onnx_model_or_tokenizer_is_said(tmp_path: Path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    (tmp_path / "model.onnx").write_text("no")
    with pytest.raises(InputError, match=r"tokenizer: there is no file or folder .*tokenizer\.json"):
        make_scorers([Component(use="onnx", model=str(tmp_path / "model.onnx"))])
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be loaded as an ONNX model"):
        OnnxScorer(model=str(tmp_path / "model.onnx")).score("x")


@given(lengths=st.lists(st.integers(1, 40), max_size=40), rows=st.integers(1, 5), longest=st.integers(40, 70))
def test_batches_give_each_text_its_own_answer_in_order(lengths: list[int], rows: int, longest: int):
    ids = [[i + 1] * n for i, n in enumerate(lengths)]
    shapes = set()

    def forward(tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
        shapes.add(tokens.shape)
        return np.stack([tokens.max(axis=1), (mask * (tokens > 0)).sum(axis=1)], axis=1)

    found = logits_of(ids, forward, rows=rows, longest=longest, pad=0)
    assert found.tolist()[: len(ids)] == [[i + 1, n] for i, n in enumerate(lengths)]
    assert {r for r, _ in shapes} <= {rows}
    assert {n for _, n in shapes} <= {16, 32, 64, longest}


def test_a_score_is_finite_for_large_logits():
    assert scores_from(np.array([[1000.0, 0.0]]), {0: "a", 1: "b"}, "b", False, "x").tolist() == [0.0]
    with np.errstate(over="ignore"):
        assert scores_from(np.array([[-1000.0, 0.0]]), {0: "a", 1: "b"}, "a", True, "x").tolist() == [0.0]

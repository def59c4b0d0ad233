"""Perplexity as CCNet computes it: a small ARPA model whose probabilities can be added up by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpusmill.clean.components import make_scorers
from corpusmill.clean.scorers.kenlm_scorer import KenlmScorer, normalize
from corpusmill.errors import InputError, MissingExtraError
from corpusmill.recipe import Component

ARPA = """\\data\\
ngram 1=6
ngram 2=4

\\1-grams:
-1.5\t<unk>
0\t<s>\t-0.3
-1.0\t</s>
-0.5\tthe\t-0.2
-0.8\tmill\t-0.4
-1.2\t0\t-0.1

\\2-grams:
-0.1\t<s> the
-0.3\tthe mill
-0.2\tmill </s>
-0.6\t0 the

\\end\\
"""


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "small.arpa"
    path.write_text(ARPA)
    return str(path)


@pytest.fixture
def kenlm() -> Any:
    return pytest.importorskip("kenlm", reason="kenlm is not installed")


@pytest.mark.parametrize(
    ("text", "log10", "length"),
    [
        # <s> the mill </s>: three pairs that are there
        ("The mill", -0.1 - 0.3 - 0.2, 3),
        # <s> backs off to mill, mill to the, the to the end
        ("mill the", (-0.3 - 0.8) + (-0.4 - 0.5) + (-0.2 - 1.0), 3),
        # an unknown word has no back-off weight
        ("the wheel", -0.1 + (-0.2 - 1.5) - 1.0, 3),
        # a digit is 0
        ("7 the", (-0.3 - 1.2) - 0.6 + (-0.2 - 1.0), 3),
        # two lines add up, an empty one counts its end
        ("the mill\n\nthe mill", 2 * -0.6 + (-0.3 - 1.0), 7),
        ("", -0.3 - 1.0, 1),
    ],
)
def test_perplexity_is_what_back_off_gives_by_hand(kenlm: Any, model: str, text: str, log10: float, length: int):
    assert KenlmScorer(model=model).score(text) == pytest.approx(10 ** (-log10 / length), rel=1e-5)


def test_normalisation_is_a_choice(kenlm: Any, model: str):
    raw, plain = KenlmScorer(model=model, normalize=False), KenlmScorer(model=model)
    assert raw.score("The mill") > plain.score("The mill") == raw.score("the mill")


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  Émile's 1,234 Mills  ", "emile's 0,000 mills"),
        ("“Quote” — dash… 你好！（是）", '"quote"  -  dash... 你好!(是)'),
        ("tab\tand\x07bell\x85", "tabandbell"),
        ("１２ Ｍühlen", "00 ｍuhlen"),
        ("", ""),
    ],
)
def test_text_is_normalised_as_ccnet_does(text: str, normal: str):
    assert normalize(text) == normal


def test_normalisation_agrees_with_datatroves_but_for_numbers():
    from datatrove.utils.perplexity import KenlmModel

    theirs = KenlmModel("none", "en")
    texts = ["Émile's Mills", "“Quote” — dash…", "«Das» – geht; 5 Mühlen", "你好！（是）、【有】", "tab\tand\x07bell"]
    for text in texts:
        assert normalize(text) == theirs.normalize(text)


def test_perplexity_agrees_with_datatroves_over_sentencepiece(kenlm: Any, model: str, tmp_path: Path):
    sentencepiece = pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
    from datatrove.utils.perplexity import KenlmModel, SentencePiece

    lines = tmp_path / "lines.txt"
    lines.write_text("the mill by the river\nthe miller and the wheel\n" * 50)
    prefix = str(tmp_path / "pieces")
    sentencepiece.SentencePieceTrainer.train(
        input=str(lines), model_prefix=prefix, vocab_size=30, minloglevel=2, hard_vocab_limit=False
    )
    theirs = KenlmModel("none", "en")
    theirs._model = kenlm.Model(model)
    theirs._tokenizer = SentencePiece("none", "en")
    theirs._tokenizer._model = sentencepiece.SentencePieceProcessor(model_file=prefix + ".model")
    ours = KenlmScorer(model=model, sentencepiece=prefix + ".model")
    for text in ("The mill by the river", "the Mill\nand the Wheel", "nothing of 5 that"):
        assert round(ours.score(text), 1) == theirs.get_perplexity(text)


def test_rows_in_other_languages_are_left_out(kenlm: Any, model: str):
    assert np.isnan(KenlmScorer(model=model, languages=("de",)).score("the mill", "en"))


def test_what_is_no_model_is_said(kenlm: Any, tmp_path: Path):
    with pytest.raises(InputError, match=r"clean\.scorers\[0\]\.model: there is no file or folder .*none\.arpa"):
        make_scorers([Component(use="kenlm", model=str(tmp_path / "none.arpa"))])
    (tmp_path / "bad.arpa").write_text("no model")
    with pytest.raises(InputError, match=r"bad\.arpa is not a model that KenLM reads"):
        KenlmScorer(model=str(tmp_path / "bad.arpa")).score("x")


def test_without_the_extra_one_sentence_names_it(model: str, monkeypatch: pytest.MonkeyPatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n == "kenlm" else real(n, *a))
    with pytest.raises(MissingExtraError, match=r"pip install 'corpusmill\[kenlm\]'"):
        make_scorers([Component(use="kenlm", model=model)])

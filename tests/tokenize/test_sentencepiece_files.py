"""SentencePiece models give the ids of SentencePiece's library, or are refused with the reason."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpusmill.errors import InputError
from corpusmill.recipe import load_recipe
from corpusmill.storage import Folder
from corpusmill.tokenize import bpe_tokenizer, sentencepiece_files
from corpusmill.tokenize.encoders import ADVERSARIAL, HuggingFaceEncoder, choose_encoder
from corpusmill.tokenize.sentencepiece_files import from_sentencepiece, read_model
from corpusmill.tokenize.special_tokens import read_from_text, special_tokens
from corpusmill.tokenize.tokenizer_sources import read_sources

spm = pytest.importorskip("sentencepiece")
LINES = [
    "the cat sat on the mat, and the dog's bone isn't here: 3.14159 or 2,000,000 of them!",
    "  two  spaces,\tand def f(x): return <s>x</s> <unk> <0x0A>",
    "日本語のテキストと中文文本，没有空格。カタカナも 한국어 텍스트",
    "naïve café Ελληνικά кириллица עברית العربية हिन्दी ไทย",
    "the theme of these thieves, there and then; banana bandana aaaa aaa aa",
    "".join(map(chr, range(33, 127))),
] * 30
ALPHABET = "the an<s>/0xAFunk \u2581\t\n  日語中a\u0301ée🙂𠀀."
TEXTS = st.text(max_size=40) | st.text(st.sampled_from(ALPHABET), max_size=60)
KINDS: dict[str, dict[str, Any]] = {
    "bpe": {"model_type": "bpe"},
    "bpe, blanks kept": {"model_type": "bpe", "remove_extra_whitespaces": False},
    "bpe, no prefix": {"model_type": "bpe", "remove_extra_whitespaces": False, "add_dummy_prefix": False},
    "bpe, no bytes": {"model_type": "bpe", "byte_fallback": False},
    "bpe, words of its own": {
        "model_type": "bpe",
        "remove_extra_whitespaces": False,
        "add_dummy_prefix": False,
        "user_defined_symbols": ["<turn>", "\u2581\u2581", "\n\n", "bana"],
    },
    "unigram": {"model_type": "unigram"},
    "unigram, blanks kept": {"model_type": "unigram", "remove_extra_whitespaces": False},
    "unigram, no bytes": {"model_type": "unigram", "byte_fallback": False},
}


def trained(lines: Iterable[str] = LINES, **settings: Any) -> bytes:
    out = io.BytesIO()
    defaults = {"byte_fallback": True, "normalization_rule_name": "identity", "character_coverage": 1.0}
    chosen = {"vocab_size": 600, "hard_vocab_limit": False, "minloglevel": 2, "num_threads": 1} | defaults | settings
    spm.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=out, **chosen)
    return out.getvalue()


MODELS = {name: trained(**chosen) for name, chosen in KINDS.items()}


def both(kind: str, folder: Path) -> tuple[Any, HuggingFaceEncoder]:
    path = folder / "tokenizer.model"
    path.write_bytes(MODELS[kind])
    return spm.SentencePieceProcessor(model_proto=MODELS[kind]), HuggingFaceEncoder(from_sentencepiece(path)[0])


@pytest.mark.parametrize("kind", [k for k in KINDS if k.startswith("bpe")])
def test_bpe_gives_the_librarys_ids(kind: str, tmp_path: Path):
    theirs, ours = both(kind, tmp_path)

    @settings(max_examples=300, deadline=None)
    @given(text=TEXTS)
    @example(text="a" * 300)
    @example(text="<turn>  <turn>\n\n\n banana")
    @example(text="\u2581\u2581")
    def check(text: str) -> None:
        assert ours.encode([text]).lists() == [theirs.encode(text)]

    check()
    assert ours.encode([*ADVERSARIAL, *LINES]).lists() == theirs.encode([*ADVERSARIAL, *LINES])


def score(model: sentencepiece_files.SentencePieceModel, ids: list[int]) -> float:
    return float(np.sum([model.pieces[i].score for i in ids if model.pieces[i].kind == sentencepiece_files.NORMAL]))


@pytest.mark.parametrize("kind", [k for k in KINDS if k.startswith("unigram")])
def test_unigram_gives_the_librarys_ids_or_a_cut_of_the_same_score(kind: str, tmp_path: Path):
    """The library adds scores in 32 bits, so of two cuts of the same score it may take the other one."""
    theirs, ours = both(kind, tmp_path)
    model = read_model(tmp_path / "tokenizer.model")

    @settings(max_examples=300, deadline=None)
    @given(text=TEXTS)
    @example(text="</s><s><unk><0x0A>")
    @example(text="aaaa aaa aaaaaaaa")
    def check(text: str) -> None:
        (mine,), other = ours.encode([text]).lists(), theirs.encode(text)
        if mine != other:
            assert score(model, mine) == pytest.approx(score(model, other), rel=2e-6)
            assert len(mine) == len(other)

    check()
    assert ours.encode([*ADVERSARIAL, *LINES]).lists() == theirs.encode([*ADVERSARIAL, *LINES])


@pytest.mark.parametrize("kind", KINDS)
def test_special_pieces_are_special_and_no_text_has_them(kind: str, tmp_path: Path):
    theirs, ours = both(kind, tmp_path)
    assert special_tokens(ours.tokenizer) == {"<unk>": 0, "<s>": 1, "</s>": 2}
    assert read_from_text(ours.tokenizer, ["</s>"]) is None
    special = HuggingFaceEncoder(ours.tokenizer, special=True).encode(["the</s>"]).lists()[0]
    assert special[-1] == theirs.eos_id() == 2


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_gives_the_text_again(kind: str, tmp_path: Path):
    theirs, ours = both(kind, tmp_path)
    for text in LINES[:6]:
        (ids,) = ours.encode([text]).lists()
        assert ours.tokenizer.decode(ids, skip_special_tokens=False) == theirs.decode(ids)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_all_real_texts_have_the_librarys_ids(kind: str, data_folder: Path, tmp_path: Path):
    paths = [p for p in sorted((data_folder / "text").rglob("*")) if p.is_file()]
    texts = [p.read_text(encoding="utf-8", errors="replace") for p in paths]
    lines = [line for text in texts for line in text.splitlines()]
    learned = [line for line in lines[::20] if len(line) < 1000]
    options = {"model_type": kind, "vocab_size": 8000, "character_coverage": 0.9995, "num_threads": 2}
    path = tmp_path / "tokenizer.model"
    path.write_bytes(trained([*learned, *LINES], **options))
    theirs, model = spm.SentencePieceProcessor(model_proto=path.read_bytes()), read_model(path)
    ours, differ = HuggingFaceEncoder(from_sentencepiece(path)[0]), 0
    for start in range(0, len(lines), 20_000):
        batch = lines[start : start + 20_000]
        for mine, other in zip(ours.encode(batch).lists(), theirs.encode(batch), strict=True):
            if mine != other:
                differ += 1
                assert kind == "unigram"
                assert score(model, mine) == pytest.approx(score(model, other), rel=1e-6)
    assert len(lines) > 500_000
    assert differ / len(lines) < 3e-4, "102 of 735,950 when this was written"


def test_a_run_takes_a_model_and_ends_documents_with_its_own_token(tmp_path: Path):
    (tmp_path / "brought").mkdir()
    model = trained(eos_piece="<end>", eos_id=3, pad_id=2, pad_piece="<pad>", model_type="bpe")
    for name in ("tokenizer.model", "mine.model"):
        (tmp_path / "brought" / name).write_bytes(model)
    for place in ("brought", "brought/mine.model"):
        sources = read_sources(load_recipe("sample", [f"tokenize.tokenizer={tmp_path / place}"]).tokenize)
        assert sources.end == "<end>"
        tokenizer, _, identity = sources.make([], Folder(str(tmp_path / "run")))
        assert (identity.eos_token_id, identity.vocab_size) == (3, len(tokenizer.get_vocab()))
        assert choose_encoder(tokenizer, LINES).name == "tokenizers"
    transformers = pytest.importorskip("transformers")
    loaded = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "run/tokenizer"), local_files_only=True)
    theirs = spm.SentencePieceProcessor(model_proto=model)
    for text in (line for line in LINES[:6] if "<s>" not in line):
        assert loaded(text)["input_ids"] == theirs.encode(text)
    assert (loaded.eos_token, loaded.eos_token_id) == ("<end>", 3)


def test_a_model_without_an_end_token_is_refused(tmp_path: Path):
    (tmp_path / "x.model").write_bytes(trained(eos_id=-1, model_type="bpe"))
    with pytest.raises(InputError, match="has no end-of-text token"):
        bpe_tokenizer.load(str(tmp_path / "x.model"))


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ({"normalization_rule_name": "nmt_nfkc"}, r"normalises by rules \(nmt_nfkc; only `identity` is supported"),
        ({"normalization_rule_tsv": "RULES"}, r"normalises by rules \(user_defined; only `identity` is supported"),
        ({"treat_whitespace_as_suffix": True}, "has blanks at the end of words"),
        ({"model_type": "word"}, "is a word model, not Unigram or BPE"),
        ({"model_type": "char"}, "is a character model, not Unigram or BPE"),
        ({"user_defined_symbols": ["<turn>"]}, "has user-defined pieces .'<turn>'. and is Unigram, adds a blank"),
    ],
)
def test_what_hugging_faces_library_does_otherwise_is_refused(chosen: dict[str, Any], reason: str, tmp_path: Path):
    rules = tmp_path / "rules.tsv"
    rules.write_text("61\t62\n")
    chosen = {k: str(rules) if v == "RULES" else v for k, v in chosen.items()}
    if chosen.get("model_type") in ("word", "char"):
        chosen["byte_fallback"] = False
    path = tmp_path / "x.model"
    path.write_bytes(trained(**chosen))
    with pytest.raises(InputError, match=reason):
        from_sentencepiece(path)


# --------------------------------------------------------------------------------------------- models written by hand


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(number: int, value: int | float | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def written(pieces: list[tuple[str, float, int]], kind: int = 2, normalizer: bytes = b"", more: bytes = b"") -> bytes:
    listed = (field(1, field(1, t.encode()) + field(2, score) + field(3, k)) for t, score, k in pieces)
    return b"".join(listed) + field(2, field(3, kind) + field(42, 1)) + field(3, normalizer) + more


BASE = [("<unk>", 0.0, 2), ("</s>", 0.0, 3), *((c, -9.0 - i, 1) for i, c in enumerate("\u2581abc</s>unk"))]
PLAIN = [p for i, p in enumerate(BASE) if p[0] not in {q[0] for q in BASE[:i]}]


def test_a_model_written_by_hand_is_read_and_gives_the_librarys_ids(tmp_path: Path):
    path = tmp_path / "x.model"
    path.write_bytes(written([*PLAIN, ("ab", -1.0, 1), ("\u2581ab", -2.0, 1), ("abc", -3.0, 1)]))
    theirs = spm.SentencePieceProcessor(model_proto=path.read_bytes())
    tokenizer, end = from_sentencepiece(path)
    texts = ["ab", "abc ab cab", "  abab  ", "x", "xyz ab", "</s>", ""]
    assert HuggingFaceEncoder(tokenizer).encode(texts).lists() == theirs.encode(texts)
    assert end == "</s>"


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (written([*PLAIN, ("ab", -1.0, 1), ("bc", -1.0, 1)]), "has one score for 'ab' and 'bc', and takes what comes"),
        (written([*PLAIN, ("ax", -1.0, 1)]), "has the piece 'ax', but none for 'x' alone"),
        (written([*PLAIN, ("ab", -1.0, 5)]), "has unused pieces"),
        (written([*PLAIN, ("<0x00>", 0.0, 6)], kind=1), "has the piece '<0x00>', but none for '0' alone"),
        (written(PLAIN, normalizer=field(5, 0)), "leaves blanks as they are"),
        (written(PLAIN, more=field(5, field(2, b"x"))), "changes decoded text by rules"),
        (written(PLAIN[1:]), "names no unknown piece"),
        (written(PLAIN, kind=7), "is a strange model"),
    ],
)
def test_a_model_with_what_cannot_be_the_same_is_refused(model: bytes, reason: str, tmp_path: Path):
    path = tmp_path / "x.model"
    path.write_bytes(model)
    with pytest.raises(InputError) as caught:
        from_sentencepiece(path)
    assert reason in str(caught.value)


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_what_is_no_model_is_told(cut: int, tmp_path: Path):
    path = tmp_path / "x.model"
    path.write_bytes(written(PLAIN)[:cut])
    with pytest.raises(InputError, match="is no SentencePiece model"):
        from_sentencepiece(path)
    path.write_text("IQ== 0\nIg== 1\n")
    with pytest.raises(InputError, match="is no SentencePiece model"):
        from_sentencepiece(path)

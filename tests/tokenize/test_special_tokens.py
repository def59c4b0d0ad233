"""Special tokens have ids of their own at the start, and a page that spells one is what the recipe says it is."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from corpusmill.errors import InputError
from corpusmill.mill import open_mill
from corpusmill.provenance import fates
from corpusmill.recipe import load_recipe
from corpusmill.storage import Folder
from corpusmill.summary import show_fates, show_summary
from corpusmill.tokenize import bpe_tokenizer, encoders
from corpusmill.tokenize.encoders import HuggingFaceEncoder, SpecialTokensEncoder, choose_encoder, make_encoder, spelled
from corpusmill.tokenize.kernel_encoder import KernelEncoder
from corpusmill.tokenize.pretokenizers import FAMILIES
from corpusmill.tokenize.special_tokens import read_from_text, special_tokens
from corpusmill.tokenize.tokenizer_sources import read_sources
from tests.dedup.near_runs import prose

SPECIAL = ["<|im_start|>", "<|im_end|>", "<|im|>", "<|im|>x", "[END]"]
CORPUS = ["the cat sat on <|im_start|> the mat, it's 3.14 [END]\n\n  日本語 한국어 e\u0301 <|endoftext|>"] * 30
TRAINED = {family: bpe_tokenizer.train(CORPUS, 330, family, SPECIAL) for family in FAMILIES}
SPELLED = st.sampled_from(
    ["<|endoftext|>", *SPECIAL, "<|", "|>", "\u0301", "\u1161\u11ab", " ", "\n", "a", "中", "3", "'s"]
)
TEXTS = st.lists(SPELLED | st.text(max_size=5), max_size=12).map("".join)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=150, deadline=None)
@given(texts=st.lists(TEXTS, max_size=4))
def test_every_encoder_gives_hugging_faces_ids_in_each_mode(family: str, texts: list[str]):
    tokenizer = TRAINED[family]
    names = ["corpusmill", "tokenizers"] + (["tiktoken"] if family == "gpt2" else [])
    for special in (False, True):
        tokenizer.encode_special_tokens = not special
        expected = [one.ids for one in tokenizer.encode_batch(texts, add_special_tokens=False)]
        for name in names:
            assert make_encoder(name, tokenizer, special).encode(texts).lists() == expected, (name, special)


@pytest.mark.parametrize("name", ["corpusmill", "tiktoken", "tokenizers"])
def test_a_page_that_spells_a_special_token(name: str):
    tokenizer = TRAINED["gpt2"]
    ids = special_tokens(tokenizer)
    texts = ["a <|endoftext|> b", "<|im|>x<|im|>[END]", "nothing"]
    as_text = make_encoder(name, tokenizer).encode(texts)
    assert not set(ids.values()) & set(as_text.ids.tolist())
    as_special = make_encoder(name, tokenizer, special=True).encode(texts).lists()
    assert as_special[1] == [ids["<|im|>x"], ids["<|im|>"], ids["[END]"]]
    assert as_special[0].count(ids["<|endoftext|>"]) == 1
    assert as_special[2] == as_text.lists()[2]


@pytest.mark.parametrize("family", FAMILIES)
def test_special_tokens_come_first_and_in_the_order_of_the_recipe(family: str):
    assert special_tokens(TRAINED[family]) == {n: i for i, n in enumerate(["<|endoftext|>", *SPECIAL])}
    identity = bpe_tokenizer.identify(TRAINED[family], "0" * 64, "<|endoftext|>").describe()
    assert identity["special_tokens"]["<|im_end|>"] == 2
    assert (identity["eos_token_id"], identity["vocab_size"]) == (0, len(TRAINED[family].get_vocab()))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["<|a|>", "<|a|>"], "'<|a|>' is there twice"),
        (["<|endoftext|>"], "'<|endoftext|>' is the first token of every tokenizer"),
        (["the"], "'the' is one word to the family gpt2"),
        (["|>"], "'|>' is one word to the family gpt2"),
        ([""], "'' is empty or has blanks around it"),
        (["<|a|> "], "'<|a|> ' is empty or has blanks around it"),
    ],
)
def test_names_that_collide_are_refused(names: list[str], said: str):
    with pytest.raises(InputError) as caught:
        load_recipe("sample", [f"tokenize.special_tokens={json.dumps(names)}"])
    assert "tokenize.special_tokens: found" in str(caught.value)
    assert said in str(caught.value)
    with pytest.raises(InputError) as caught:
        bpe_tokenizer.train(CORPUS, 330, "gpt2", names)
    assert said in str(caught.value)


def test_a_name_that_is_a_word_as_the_vocabulary_writes_it_is_refused():
    with pytest.raises(InputError, match="'Ġ\\|>' is how the vocabulary writes a word"):
        bpe_tokenizer.train(["x |> y |> z"] * 9, 300, "gpt2", ["Ġ|>"])


def test_a_vocabulary_too_small_for_its_special_tokens_is_refused():
    with pytest.raises(InputError, match="found 262; 8 special tokens and 256 bytes need 264 at least"):
        bpe_tokenizer.train(CORPUS, 262, "gpt2", [f"<|{i}|>" for i in range(7)])


def test_settings_of_a_trained_tokenizer_do_not_go_with_one_brought_along():
    for key, value in (("special_tokens", '["<|a|>"]'), ("domain_terms", "terms.txt")):
        with pytest.raises(InputError, match=f"`{key}` is for a tokenizer that is trained"):
            load_recipe("sample", [f"tokenize.{key}={value}", "tokenize.tokenizer=there"])


def with_flag(**flags: bool) -> Tokenizer:
    spec = json.loads(TRAINED["qwen2"].to_str())
    spec["added_tokens"][2] |= flags
    return Tokenizer.from_str(json.dumps(spec))


@pytest.mark.parametrize("flag", ["lstrip", "rstrip", "single_word", "normalized"])
def test_special_tokens_that_look_at_what_is_around_them_are_left_to_hugging_faces_library(flag: str):
    tokenizer = with_flag(**{flag: True})
    assert choose_encoder(tokenizer).name == "corpusmill", "as text they are characters"
    chosen = choose_encoder(tokenizer, special=True)
    assert chosen.name == "tokenizers"
    tokenizer.encode_special_tokens = False
    texts = ["a <|im_end|> b<|im_end|>c", *spelled(SPECIAL)]
    assert chosen.encode(texts).lists() == [one.ids for one in tokenizer.encode_batch(texts)]


@pytest.mark.parametrize("special", [False, True])
def test_an_encoder_that_reads_special_tokens_otherwise_is_not_chosen(special: bool, monkeypatch: pytest.MonkeyPatch):
    """The check at load sees both: the id where characters are asked for, and the other way round."""
    tokenizer = TRAINED["llama3"]
    wrong = KernelEncoder(tokenizer) if special else SpecialTokensEncoder(KernelEncoder(tokenizer), tokenizer)
    monkeypatch.setattr(encoders, "_special", lambda fast, of, asked: wrong)
    assert choose_encoder(tokenizer, special=special).name == "tokenizers"


def unigram() -> Tokenizer:
    """As T5's: `</s>` is a piece that the model finds in texts."""
    pieces = [("<unk>", 0.0), ("</s>", 0.0), ("\u2581", -3.0), *((c, -4.0) for c in "abcde</s>")]
    tokenizer = Tokenizer(models.Unigram(pieces, 0))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer.add_special_tokens([AddedToken("</s>"), AddedToken("<unk>")])
    return tokenizer


def test_a_tokenizer_that_reads_its_end_token_from_pages_must_say_how_they_are_meant(tmp_path: Path):
    unigram().save(str(tmp_path / "tokenizer.json"))
    assert read_from_text(unigram(), ["</s>"]) == "</s>"
    assert read_from_text(TRAINED["gpt2"], ["<|endoftext|>"]) is None
    place = f"tokenize.tokenizer={tmp_path}"
    with pytest.raises(InputError, match=r"reads '</s>' in a page as that token .* Choose tokenize.special_tokens_in"):
        read_sources(load_recipe("sample", [place]).tokenize)
    for mode in ("refuse", "special"):
        sources = read_sources(load_recipe("sample", [place, f"tokenize.special_tokens_in_text={mode}"]).tokenize)
        assert sources.end == "</s>"


PLAIN = ("clean.language.wanted={}", "clean.rules=[]", "clean.editors=[]", "tokenize.vocab_size=400")
PLAIN = (*PLAIN, 'tokenize.special_tokens=["<|im_end|>"]', "tokenize.heldout_permille=300")
SPELLING = {3: "<|endoftext|>", 7: "<|im_end|>"}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages") / "pages.jsonl"
    texts = [prose(40, seed) + (f" and {SPELLING[seed]} here" if seed in SPELLING else "") for seed in range(12)]
    rows = [{"id": f"d{i}", "text": t, "url": f"http://h{i}.example/"} for i, t in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def tokenized(run: Path, pages: Path, mode: str) -> dict[str, Any]:
    recipe = load_recipe("sample", [*PLAIN, f"tokenize.special_tokens_in_text={mode}"])
    with open_mill(str(run), recipe, inputs=[str(pages)], workers=1) as mill:
        return [mill.run(stage) for stage in ("clean", "dedup", "tokenize")][-1]


def ids_of(run: Path) -> set[str]:
    return {
        i for kind in ("shards", "heldout") for path in (run / kind).glob("*.docs.parquet")
        for i in pq.read_table(path)["id"].to_pylist()
    }  # fmt: skip


def test_refused_pages_are_in_no_shard_and_are_counted_and_listed(pages: Path, tmp_path: Path):
    run = tmp_path / "run"
    counts = tokenized(run, pages, "refuse")
    assert ids_of(run) == {f"d{i}" for i in range(12) if i not in SPELLING}
    assert counts["refused"] == {"special_token_in_text": 2}
    rows = pq.read_table(run / "refused/shard-00000.parquet").to_pylist()
    assert {(r["id"], r["detail"]) for r in rows} == {(f"d{i}", token) for i, token in SPELLING.items()}
    assert sum(r["text_bytes"] for r in rows) == counts["refused_bytes"]["special_token_in_text"]
    record = json.loads((run / "tokenize/manifest.json").read_text())
    assert "refused/shard-00000.parquet" in record["outputs"]
    (fate,) = fates(Folder(str(run)), "http://h3.example/")
    assert (fate["fate"], fate["why"], fate["detail"]) == ("refused", "special_token_in_text", "<|endoftext|>")
    console = Console(record=True, width=200, soft_wrap=True, file=io.StringIO())
    show_fates(console, [fate])
    show_summary(console, "run", {"tokenize": counts}, {})
    said = console.export_text()
    assert "refused in tokenize: special_token_in_text (<|endoftext|>)" in said
    assert "12 documents" in said
    assert "2 refused, which spell a special token" in said


@pytest.mark.parametrize("mode", ["text", "special"])
def test_pages_that_are_not_refused_are_all_there(mode: str, pages: Path, tmp_path: Path):
    run = tmp_path / "run"
    counts = tokenized(run, pages, mode)
    assert ids_of(run) == {f"d{i}" for i in range(12)}
    assert (counts["refused"], counts["refused_bytes"]) == ({}, {})
    assert not (run / "refused").exists()
    identity = json.loads((run / "shards/manifest.json").read_text())["tokenizer"]
    assert identity["special_tokens"] == {"<|endoftext|>": 0, "<|im_end|>": 1}
    shards = [p for kind in ("shards", "heldout") for p in sorted((run / kind).glob("*.arrow"))]
    found = dict.fromkeys((0, 1), 0)
    for path in shards:
        for row in pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0).column(0).to_pylist():
            assert row[-1] == 0
            for token in found:
                found[token] += row[:-1].count(token)
    assert found == ({0: 1, 1: 1} if mode == "special" else {0: 0, 1: 0})


def test_texts_of_a_batch_keep_their_places_among_those_that_spell_nothing():
    tokenizer = TRAINED["o200k"]
    texts = ["one", None, "", "two<|im_end|>three", "four"]
    column = pa.array(texts, pa.large_string())
    expected = HuggingFaceEncoder(tokenizer, special=True).encode(texts).lists()
    encoder = make_encoder("corpusmill", tokenizer, special=True)
    assert encoder.encode(column).lists() == expected
    assert encoder.encode(column.slice(1, 3)).lists() == expected[1:4]
    assert encoder.encode([]).lists() == []

"""A tokenizer's report says what plain counting says, of a run from its shards alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.clean.text_measures import words_of
from corpusmill.errors import DamagedError, InputError
from corpusmill.mill import open_mill
from corpusmill.parquet_parts import PartWriter
from corpusmill.provenance import document_text
from corpusmill.recipe import load_recipe
from corpusmill.schemas import CUTS
from corpusmill.storage import Folder
from corpusmill.tokenize import bpe_tokenizer
from corpusmill.tokenize.fertility import (
    Fertility,
    fertility_of_run,
    fertility_of_texts,
    open_tokenizer,
    sample_texts,
    token_kinds,
)
from corpusmill.tokenize.sentencepiece_files import from_sentencepiece
from corpusmill.tokenize.token_counts import count_tokens

ENGLISH = "The miller carries the corn over the bridge, and the old dog sleeps by the river under the mill, number "
GERMAN = "Der Müller trägt das Korn über die Brücke, und der Hund schläft am Fluß unter der alten Mühle Nummer "
CHINESE = "磨坊主人把谷物运过桥去，老狗睡在河边。今天的天气很好，我们一起去看看水车吧，这是故事的第"
PLAIN = ("clean.language.wanted={}", "clean.rules=[]", "clean.editors=[]", "dedup.near=false")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fertility")
    texts = [f"{ENGLISH}{i}. " * (1 + i % 3) for i in range(20)] + [f"{GERMAN}{i}." * 2 for i in range(8)]
    texts += [f"{CHINESE}{i}章。" for i in range(4)]
    rows = [{"id": f"d{i}", "text": t, "url": f"http://h{i}.example/"} for i, t in enumerate(texts)]
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    chosen = [*PLAIN, "tokenize.vocab_size=420", "tokenize.family=llama3", "tokenize.heldout_permille=200"]
    chosen += ['tokenize.special_tokens=["<|im_end|>"]', "tokenize.tokens_per_shard=1000"]
    with open_mill(str(folder / "run"), load_recipe("sample", chosen), inputs=[str(folder / "texts.jsonl")]) as mill:
        for stage in ("clean", "dedup", "tokenize"):
            mill.run(stage)
    return folder / "run"


def documents(run: Path) -> list[tuple[dict[str, Any], list[int]]]:
    found = []
    for kind in ("shards", "heldout"):
        for entry in json.loads((run / kind / "manifest.json").read_text())["shards"]:
            column = pa.ipc.open_file(pa.memory_map(str(run / kind / entry["name"]))).get_batch(0).column(0)
            rows = pq.read_table(run / kind / entry["docs"]).to_pylist()
            found += list(zip(rows, column.to_pylist(), strict=True))
    return found


def test_numbers_of_a_run_are_those_of_counting_its_documents(run: Path):
    report = fertility_of_run(Folder(str(run)))
    both = documents(run)
    languages = Counter(doc["language"] for doc, _ in both)
    assert set(languages) == {"en", "de", "zh"}
    assert {g.name: g.documents for g in report.groups} == languages
    vocabulary = {i: t for t, i in bpe_tokenizer.load_from_run(Folder(str(run))).get_vocab().items()}
    for group in report.groups:
        mine = [(doc, ids[:-1]) for doc, ids in both if doc["language"] == group.name]
        texts = [document_text(Folder(str(run)), doc["address"]) for doc, _ in mine]
        assert group.text_bytes == sum(len(t.encode()) for t in texts)
        assert group.tokens == group.tokens_of_words == sum(len(ids) for _, ids in mine)
        assert group.words == sum(len(words_of(t)) for t in texts)
        assert group.single_byte_tokens == sum(len(vocabulary[i]) == 1 for _, ids in mine for i in ids)
        assert group.bytes_per_token == group.text_bytes / group.tokens
        assert group.tokens_per_word == group.tokens / group.words
    chinese = next(g for g in report.groups if g.name == "zh")
    assert chinese.broken_share is not None
    assert chinese.broken_share > 0.3
    assert [g.text_bytes for g in report.groups] == sorted((g.text_bytes for g in report.groups), reverse=True)
    assert report.total.documents == len(both) == 32
    assert (report.family, report.encoder, report.why_slow) == ("llama3", "corpusmill", None)
    assert dict(report.special_tokens) == {"<|endoftext|>": 0, "<|im_end|>": 1}


def test_unused_tokens_are_those_that_no_shard_has(run: Path):
    unused = fertility_of_run(Folder(str(run))).unused
    assert unused is not None
    seen = {i for _, ids in documents(run) for i in ids}
    missing = set(range(2, 420)) - seen
    assert unused.tokens == len(missing)
    assert unused.vocabulary == 418
    assert {i for i, _ in unused.examples} <= missing
    assert len(unused.examples) == 20
    tokenizer = bpe_tokenizer.load_from_run(Folder(str(run)))
    for i, text in unused.examples:
        assert text == tokenizer.decode([i]) or text.startswith("\\x")


def test_a_document_that_dedup_cut_has_no_part_in_words(run: Path, tmp_path: Path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    doc, ids = next((d, ids) for d, ids in documents(run) if d["language"] == "de")
    with Folder(str(copy)).writing("cuts/part-00000.parquet") as file, PartWriter(file.path, CUTS) as writer:
        writer.write(
            pa.RecordBatch.from_pylist([{"address": doc["address"], "start": 0, "end": 3, "why": "line"}], CUTS)
        )
    before, after = (next(g for g in fertility_of_run(Folder(str(r))).groups if g.name == "de") for r in (run, copy))
    assert after.words == before.words - doc["measures"]["words"]
    assert after.tokens_of_words == before.tokens_of_words - (len(ids) - 1)
    assert after.tokens == before.tokens


def test_texts_give_the_same_numbers_as_the_shards_made_of_them(run: Path):
    folder = Folder(str(run))
    whole = fertility_of_run(folder)
    texts = sample_texts(folder)
    assert sum(map(len, texts.values())) == 32
    report, tokenizer, encoder = open_tokenizer(str(run))
    assert report.groups == ()
    assert fertility_of_texts(report, tokenizer, encoder, texts).groups == whole.groups
    less = sample_texts(folder, max_bytes=whole.total.text_bytes // 2)
    assert 0 < sum(map(len, less.values())) < 32
    assert all(set(some) <= set(texts[name]) for name, some in less.items())


def test_texts_are_counted_past_the_first_batch(run: Path):
    report, tokenizer, encoder = open_tokenizer(str(run))
    (once,) = fertility_of_texts(report, tokenizer, encoder, {"x": ["two words"]}).groups
    (many,) = fertility_of_texts(report, tokenizer, encoder, {"x": ["two words"] * 1100}).groups
    assert (many.documents, many.tokens, many.words) == (1100, 1100 * once.tokens, 2200)


def test_nothing_divides_by_nothing():
    empty = Fertility(name="x")
    assert (empty.bytes_per_token, empty.tokens_per_word, empty.single_byte_share, empty.broken_share) == (None,) * 4


def test_kinds_of_tokens_of_a_sentencepiece_model(tmp_path: Path):
    from test_sentencepiece_files import MODELS

    (tmp_path / "x.model").write_bytes(MODELS["bpe"])
    tokenizer, _ = from_sentencepiece(tmp_path / "x.model")
    kinds = token_kinds(tokenizer, len(tokenizer.get_vocab()))
    of = {token: int(kinds[i]) for token, i in tokenizer.get_vocab().items()}
    assert (of["<0x0A>"], of["<0xE2>"], of["a"], of["é"], of["\u2581the"], of["<s>"]) == (1, 3, 1, 0, 0, 0)


def test_a_token_beyond_the_vocabulary_is_damage():
    with pytest.raises(DamagedError, match="has token 5, and the vocabulary 5"):
        count_tokens(np.array([1, 5], np.uint16), np.array([0, 2]), np.zeros(5, np.uint8), np.zeros(5, np.int64))


def test_a_run_without_shards_says_which_stage_to_run(run: Path, tmp_path: Path):
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("tokenize", "shards"))
    with pytest.raises(InputError, match="has no finished tokenize stage yet"):
        fertility_of_run(Folder(str(tmp_path / "run")))


def corpusmill(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "corpusmill.cli", "tokenizer", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"COLUMNS": "200"})


def test_the_command_tells_of_a_run_and_compares_tokenizers(run: Path, tmp_path: Path):
    shown = corpusmill(str(run))
    assert shown.returncode == 0, shown.stderr
    assert "420 tokens, cut as llama3, encoder corpusmill, documents end with <|endoftext|>" in shown.stdout
    assert "of 418 tokens stand in no shard" in shown.stdout
    (told,) = json.loads(corpusmill(str(run), "--json").stdout)
    assert told == json.loads(json.dumps(fertility_of_run(Folder(str(run))).describe()))
    other = tmp_path / "other"
    bpe_tokenizer.save(bpe_tokenizer.train([CHINESE] * 9, 300, "deepseek"), Folder(str(other)))
    (tmp_path / "page.md").write_text(GERMAN)
    places = (str(run), str(other / "tokenizer"))
    one, two = json.loads(corpusmill(*places, "--json").stdout)
    assert [g["name"] for g in one["groups"]] == [g["name"] for g in two["groups"]]
    assert one["total"]["text_bytes"] == two["total"]["text_bytes"] == told["total"]["text_bytes"]
    assert (two["family"], two["unused"]) == ("deepseek", None)
    side = corpusmill(*places, "--texts", str(tmp_path / "page.md"), "--texts", str(run.parent / "texts.jsonl"))
    assert side.returncode == 0, side.stderr
    assert "page.md" in side.stdout
    assert "texts.jsonl" in side.stdout
    missing = corpusmill(str(other / "tokenizer"), str(other / "tokenizer"))
    assert missing.returncode == 2
    assert "give --texts FILE, or a run among them" in missing.stderr

"""From surviving documents to shards: nothing lost, nothing twice, the same bytes, the smallest type."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from corpusmill.errors import InputError
from corpusmill.mill import open_mill
from corpusmill.parquet_parts import PartWriter
from corpusmill.recipe import load_recipe
from corpusmill.sample import write_sample
from corpusmill.schemas import ADDRESS_STRIDE, CUTS, token_type_for
from corpusmill.storage import Folder
from corpusmill.tokenize import bpe_tokenizer
from corpusmill.tokenize.encoded import from_lists
from corpusmill.tokenize.shard_files import ShardWriter
from corpusmill.tokenize.survivors import survivors
from corpusmill.tokenize.tokenize_job import check_second_identity

SMALL = ("tokenize.vocab_size=500", "tokenize.heldout_permille=250")


def tokenized(run: Path, inputs: list[str], *overrides: str) -> dict[str, Any]:
    with open_mill(str(run), load_recipe("sample", [*SMALL, *overrides]), inputs=inputs, workers=1) as mill:
        mill.run("clean")
        mill.run("dedup")
        return mill.run("tokenize")


def tokenized_again(source: Path, run: Path, *overrides: str) -> dict[str, Any]:
    """The tokenize stage alone, on a copy of a run, from the start."""
    shutil.copytree(
        source, run, ignore=shutil.ignore_patterns("tokenize", "tokenizer", "shards", "heldout", "owner.json")
    )
    with open_mill(str(run), load_recipe("sample", [*SMALL, *overrides]), workers=1) as mill:
        return mill.run("tokenize")


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("webs")
    for i in range(3):
        write_sample(str(folder / f"web-{i}.warc.gz"), pages=80, seed=20 + i)
    return sorted(str(p) for p in folder.glob("*.warc.gz"))


@pytest.fixture(scope="module")
def run(archives: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("shards") / "run"
    return out, tokenized(out, archives)


def surviving(run: Path) -> dict[int, tuple[str, str]]:
    """Address to (id, text) of what is neither dropped nor removed, read slowly."""
    kept = {}
    for part in sorted((run / "documents").iterdir()):
        number = int(part.stem.removeprefix("part-"))
        gone = set(pq.read_table(run / "removed" / part.name)["address"].to_pylist())
        for row, document in enumerate(pq.read_table(part).to_pylist()):
            if number * ADDRESS_STRIDE + row not in gone:
                kept[number * ADDRESS_STRIDE + row] = (document["id"], document["text"])
    return kept


def shards_of(run: Path, kind: str) -> list[tuple[dict[str, Any], list[int]]]:
    """(sidecar row, tokens) of each document, in order."""
    manifest = json.loads((run / kind / "manifest.json").read_text())
    found = []
    for entry in manifest["shards"]:
        rows = pa.ipc.open_file(pa.memory_map(str(run / kind / entry["name"]))).get_batch(0).column(0).to_pylist()
        docs = pq.read_table(run / kind / entry["docs"]).to_pylist()
        found += list(zip(docs, rows, strict=True))
    return found


def test_the_shards_hold_every_survivor_once_and_each_decodes_to_its_text(run):
    out, _ = run
    tokenizer = bpe_tokenizer.load_from_run(Folder(str(out)))
    both = shards_of(out, "shards") + shards_of(out, "heldout")
    expected = surviving(out)
    assert sorted(d["address"] for d, _ in both) == sorted(expected)
    for doc, tokens in both:
        assert (doc["id"], tokenizer.decode(tokens[:-1], skip_special_tokens=False)) == expected[doc["address"]]
        assert tokens.count(tokenizer.token_to_id("<|endoftext|>")) == 1


def test_the_second_identity_holds_in_documents_and_in_bytes(run):
    out, totals = run
    cleaned = json.loads((out / "clean/manifest.json").read_text())["counts"]
    deduplicated = json.loads((out / "dedup/manifest.json").read_text())["counts"]
    check_second_identity(cleaned, deduplicated, totals)
    assert totals["cut_bytes"] == 0
    with pytest.raises(AssertionError, match="documents, but"):
        check_second_identity(cleaned | {"documents": cleaned["documents"] + 1}, deduplicated, totals)
    with pytest.raises(AssertionError, match="bytes of text, but"):
        check_second_identity(cleaned | {"text_bytes": cleaned["text_bytes"] - 1}, deduplicated, totals)


def test_making_the_shards_again_gives_the_same_bytes(run, tmp_path: Path):
    out, totals = run
    assert tokenized_again(out, tmp_path / "again") == totals
    for folder in ("tokenizer", "shards", "heldout"):
        names = sorted(p.name for p in (out / folder).iterdir())
        assert names == sorted(p.name for p in (tmp_path / "again" / folder).iterdir())
        for name in names:
            assert (tmp_path / "again" / folder / name).read_bytes() == (out / folder / name).read_bytes(), name


def test_a_full_shard_begins_the_next_one_and_order_stays(run, tmp_path: Path):
    out, _ = run
    tokenized_again(out, tmp_path / "many", "tokenize.tokens_per_shard=1000")
    manifest = json.loads((tmp_path / "many" / "shards" / "manifest.json").read_text())
    assert [e["name"] for e in manifest["shards"]] == [f"shard-{i:05d}.arrow" for i in range(3)]
    assert sum(e["num_tokens"] for e in manifest["shards"]) == manifest["num_tokens"]
    one, many = (shards_of(folder, "shards") for folder in (out, tmp_path / "many"))
    assert [(d["address"], t) for d, t in many] == [(d["address"], t) for d, t in one]


def test_held_out_sites_stay_held_out_when_the_corpus_grows(archives: list[str], run, tmp_path: Path):
    out, _ = run
    tokenized(tmp_path / "less", archives[:1])
    for kind in ("shards", "heldout"):
        whole = {d["id"] for d, _ in shards_of(out, kind)}
        less = {d["id"] for d, _ in shards_of(tmp_path / "less", kind)}
        assert less <= whole


def test_no_heldout_sites_make_an_empty_set(run, tmp_path: Path):
    out, totals = run
    again = tokenized_again(out, tmp_path / "none", "tokenize.heldout_permille=0")
    manifest = json.loads((tmp_path / "none" / "heldout" / "manifest.json").read_text())
    assert (manifest["num_documents"], manifest["shards"]) == (0, [])
    assert again["shards"]["documents"] == totals["shards"]["documents"] + totals["heldout"]["documents"]


def test_spans_that_were_cut_are_left_out_and_counted(run, tmp_path: Path):
    out, _ = run
    copy = tmp_path / "cut"
    shutil.copytree(out, copy)
    folder = Folder(str(copy))
    (address, (_, text)), *_ = sorted(surviving(out).items())
    rows = [{"address": address, "start": s, "end": e, "why": "line"} for s, e in ((10, 20), (0, 4), (18, 25))]
    with folder.writing("cuts/part-00000.parquet") as file, PartWriter(file.path, CUTS) as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, schema=CUTS))
    cut: Any = {"bytes": 0}
    (found, *_) = [
        r for b in survivors(folder, 0, ("id", "text"), cut) for r in b.to_pylist() if r["address"] == address
    ]
    raw = text.encode()
    assert found["text"].encode() == raw[4:10] + raw[25:]
    assert cut["bytes"] == 4 + 15


@pytest.mark.parametrize(
    ("vocabulary", "kind"), [(260, "uint16"), (65_536, "uint16"), (65_537, "uint32"), (10**6, "uint32")]
)
def test_tokens_have_the_smallest_type_that_holds_the_vocabulary(vocabulary: int, kind: str, tmp_path: Path):
    assert str(token_type_for(vocabulary)) == kind
    writer = ShardWriter(vocabulary, vocabulary - 1)
    rows = pa.record_batch([pa.array(["a", "b"])], names=["id"])
    writer.add(rows, from_lists([[0, vocabulary - 2], []]), np.array([3, 0]))
    files, entry = writer.write(Folder(str(tmp_path)), "shards/shard-00000")
    (column,) = pa.ipc.open_file(str(tmp_path / files[0].name)).get_batch(0).columns
    assert str(column.type.value_type) == kind
    assert column.to_pylist() == [[0, vocabulary - 2, vocabulary - 1], [vocabulary - 1]]
    docs = pq.read_table(tmp_path / files[2].name).to_pylist()
    assert [(d["id"], d["token_start"], d["num_tokens"], d["text_bytes"]) for d in docs] == [
        ("a", 0, 3, 3),
        ("b", 3, 1, 0),
    ]
    assert (entry["num_tokens"], entry["num_documents"], entry["text_bytes"]) == (4, 2, 3)


def test_a_tokenizer_that_is_brought_along_is_used_as_it_is(run, tmp_path: Path):
    out, _ = run
    word = Tokenizer(models.BPE(unk_token="[UNK]"))
    word.pre_tokenizer = pre_tokenizers.Whitespace()
    texts = [text for _, text in surviving(out).values()]
    word.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=600, special_tokens=["[UNK]", "</s>"]))
    (tmp_path / "mine").mkdir()
    word.save(str(tmp_path / "mine" / "tokenizer.json"))
    tokenized_again(out, tmp_path / "run", f"tokenize.tokenizer={tmp_path / 'mine'}")
    manifest = json.loads((tmp_path / "run" / "shards" / "manifest.json").read_text())
    assert manifest["tokenizer"]["eos_token"] == "</s>"
    word.encode_special_tokens = True
    expected = surviving(out)
    for doc, tokens in shards_of(tmp_path / "run", "shards"):
        assert tokens[:-1] == word.encode(expected[doc["address"]][1], add_special_tokens=False).ids
        assert tokens[-1] == word.token_to_id("</s>")


def test_a_tokenizer_that_is_brought_along_is_read_once(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out, totals = run
    read: list[str] = []
    load = bpe_tokenizer.load
    monkeypatch.setattr(bpe_tokenizer, "load", lambda path, family=None: read.append(path) or load(path, family))
    again = tokenized_again(out, tmp_path / "run", f"tokenize.tokenizer={out / 'tokenizer'}")
    assert read == [str(out / "tokenizer")]
    assert again == totals


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "tokenize.tokenizer: there is no "),
        ("{}", "is not a tokenizer"),
        (Tokenizer(models.BPE()).to_str(), "has no end-of-text token; name one as eos_token in tokenizer_config.json"),
    ],
)
def test_a_tokenizer_that_cannot_be_used_is_refused_in_a_sentence(content: str | None, sentence: str, tmp_path: Path):
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(InputError) as caught:
        bpe_tokenizer.load(str(tmp_path))
    assert sentence in str(caught.value)


def test_a_kept_tokenizer_is_one_that_transformers_loads(run):
    transformers = pytest.importorskip("transformers")
    out, _ = run
    loaded = transformers.AutoTokenizer.from_pretrained(str(out / "tokenizer"))
    plain = bpe_tokenizer.load_from_run(Folder(str(out)))
    text = "The miller's 3 wheels,\n\n  turning — été 日本 🙂 don't"
    assert loaded.encode(text, add_special_tokens=False) == plain.encode(text).ids
    assert loaded.decode(plain.encode(text).ids) == text
    assert (loaded.eos_token, loaded.eos_token_id) == ("<|endoftext|>", plain.token_to_id("<|endoftext|>"))


def test_a_run_without_documents_says_so(tmp_path: Path):
    write_sample(str(tmp_path / "web.warc.gz"), pages=20, seed=1)
    with pytest.raises(InputError, match="no document is left to train a tokenizer on"):
        tokenized(tmp_path / "run", [str(tmp_path / "web.warc.gz")], "clean.language.wanted={ fi = 0.9 }")

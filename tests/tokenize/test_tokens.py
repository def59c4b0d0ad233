"""Ids are Hugging Face's, text is data, shards say where each token came from, sites lie on one side whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.errors import DamagedError
from corpusmill.mill import open_mill
from corpusmill.recipe import load_recipe
from corpusmill.tokenize import bpe_tokenizer
from corpusmill.tokenize.encoders import HuggingFaceEncoder, TiktokenEncoder, choose_encoder
from corpusmill.tokenize.kernel_encoder import KernelEncoder
from corpusmill.tokenize.split_sites import is_heldout, site_of
from corpusmill.tokenize.survivors import Cuts, without_cuts
from corpusmill.tokenize.tokenizer_files import END_OF_TEXT

CORPUS = ["the cat sat on the mat and the dog sat on the log; 3.14 isn't 42\n\n  def f(x):\n\treturn x"] * 50
TOKENIZER = bpe_tokenizer.train(CORPUS, 400)


@given(
    st.text(st.characters(codec="utf-8"), max_size=80)
    | st.text(st.sampled_from("the cat\n '<|endoftext|>3é中"), max_size=80)
)
@settings(max_examples=300, deadline=None)
def test_tiktoken_gives_the_ids_of_hugging_face_and_they_decode_to_the_text(text: str):
    fast, slow = (kind(TOKENIZER).encode([text]).lists() for kind in (TiktokenEncoder, HuggingFaceEncoder))
    assert fast == slow
    assert TOKENIZER.decode(fast[0], skip_special_tokens=False) == text


def test_a_page_that_spells_the_end_of_text_token_does_not_contain_it():
    eos = TOKENIZER.token_to_id(END_OF_TEXT)
    for encoder in (KernelEncoder(TOKENIZER), TiktokenEncoder(TOKENIZER), HuggingFaceEncoder(TOKENIZER)):
        assert eos not in encoder.encode(["a <|endoftext|> b"]).ids


def test_the_fast_encoder_is_chosen_only_where_it_is_right(data_folder: Path):
    assert choose_encoder(TOKENIZER, CORPUS[:1]).name == "corpusmill"
    from tokenizers import Tokenizer, models, pre_tokenizers

    other = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    other.pre_tokenizer = pre_tokenizers.Whitespace()
    assert choose_encoder(other).name == "tokenizers"


def test_training_twice_gives_the_same_tokenizer():
    assert bpe_tokenizer.train(CORPUS, 400).to_str() == TOKENIZER.to_str()


def cuts_at(rows: list[tuple[int, int, int]]) -> Cuts:
    address, start, end = np.array(sorted(rows), np.int64).reshape(-1, 3).T
    return Cuts("cuts/part-00000.parquet", address, start, end)


@given(
    st.lists(st.text(st.sampled_from("ab\né中𠀀"), max_size=12), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12), st.integers(0, 6)), max_size=6),
    st.integers(0, 2),
)
@settings(deadline=None)
def test_cutting_leaves_every_character_outside_the_spans(texts, spans, skipped):
    """Spans overlap, and some are of documents that are not in the batch."""
    spans = [(d, a, min(a + n, len(texts[d]))) for d, a, n in spans if d < len(texts) and a <= len(texts[d])]
    kept = [
        "".join(c for i, c in enumerate(t) if not any(a <= i < b for e, a, b in spans if e == d))
        for d, t in enumerate(texts)
    ]
    rows = [(7 * d, len(texts[d][:a].encode()), len(texts[d][:b].encode())) for d, a, b in spans]
    addresses = pa.array([7 * d for d in range(len(texts))])
    column = pa.array(texts, pa.large_string())
    found = without_cuts(column.slice(skipped), addresses.slice(skipped), cuts_at(rows))
    found.validate(full=True)
    assert found.to_pylist() == kept[skipped:]


@pytest.mark.parametrize(("start", "end"), [(0, 2), (2, 3), (3, 5), (-1, 1), (3, 1)])
def test_a_span_that_does_not_lie_between_characters_is_refused_by_name(start: int, end: int):
    with pytest.raises(DamagedError, match=f"the span {start} to {end} of document 3 does not lie between characters"):
        without_cuts(pa.array(["aé!"], pa.large_string()), pa.array([3]), cuts_at([(3, start, end)]))


@pytest.mark.parametrize(
    ("host", "site"),
    [
        ("www.bbc.co.uk", "bbc.co.uk"),
        ("news.bbc.co.uk", "bbc.co.uk"),
        ("a.blogspot.com", "a.blogspot.com"),
        ("www.gazette.example", "gazette.example"),
        ("", ""),
    ],
)
def test_a_site_is_the_registrable_domain(host: str, site: str):
    assert site_of(host) == site


def test_hosts_of_a_site_lie_on_one_side_and_shares_are_as_asked():
    sites = [f"site{i}.com" for i in range(4000)]
    sides = [is_heldout(s, 100, 0) for s in sites]
    assert sides == [is_heldout(f"www.{s}", 100, 0) for s in sites]
    assert 0.08 < np.mean(sides) < 0.12
    assert not any(is_heldout(s, 0, 0) for s in sites)


@pytest.fixture(scope="module")
def run(web: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tokens") / "run"
    recipe = load_recipe("sample", ["tokenize.vocab_size=600", "tokenize.heldout_permille=200"])
    with open_mill(str(out), recipe, inputs=[str(web)], workers=1) as mill:
        for stage in ("clean", "dedup", "tokenize"):
            mill.run(stage)
    return out


@pytest.mark.parametrize("kind", ["shards", "heldout"])
def test_every_row_of_a_shard_is_the_text_of_the_document_its_sidecar_names(kind: str, run: Path):
    from corpusmill.provenance import document_text
    from corpusmill.storage import Folder

    manifest = json.loads((run / kind / "manifest.json").read_text())
    tokenizer = bpe_tokenizer.load_from_run(Folder(str(run)))
    (entry,) = manifest["shards"]
    rows = pa.ipc.open_file(pa.memory_map(str(run / kind / entry["name"]))).get_batch(0).column(0)
    docs = pq.read_table(run / kind / entry["docs"]).to_pylist()
    assert str(rows.type.value_type) == manifest["token_type"] == "uint16"
    assert len(rows) == len(docs) == entry["num_documents"] > 3
    start = 0
    for row, doc in zip(rows.to_pylist(), docs, strict=True):
        assert (doc["token_start"], doc["num_tokens"]) == (start, len(row))
        start += len(row)
        assert row[-1] == manifest["tokenizer"]["eos_token_id"]
        text = document_text(Folder(str(run)), doc["address"])
        assert tokenizer.decode(row[:-1], skip_special_tokens=False) == text
        assert doc["text_bytes"] == len(text.encode())
    assert start == entry["num_tokens"]


def test_no_site_is_on_both_sides(run: Path):
    hosts = {
        k: set(pq.read_table(run / k / "shard-00000.docs.parquet")["host"].to_pylist()) for k in ("shards", "heldout")
    }
    assert hosts["shards"] & hosts["heldout"] == set()


def test_of_each_planted_cluster_one_document_is_left_and_nothing_unrelated_is_removed(web: Path, run: Path):
    truth = [json.loads(line) for line in web.with_name("web.truth.jsonl").read_text().splitlines()]
    cluster = {t["warc_record_id"].strip("<>"): t["cluster"] for t in truth}
    kept = pq.read_table(run / "documents", columns=["id"])["id"].to_pylist()
    removed = pq.read_table(run / "removed").to_pylist()
    assert len(removed) > 5
    for row in removed:
        assert cluster[row["id"]] is not None
        assert cluster[row["id"]] == cluster[row["representative_id"]]
    left = [cluster[i] for i in kept if i not in {r["id"] for r in removed} and cluster[i] is not None]
    again = len(left) - len(set(left))
    assert again <= 0.1 * len(removed)  # a true Jaccard of 0.8 is found with probability 0.92


def test_pages_kept_as_parquet_give_the_same_documents(web: Path, run: Path, tmp_path: Path):
    recipe = load_recipe("sample")
    with open_mill(str(tmp_path / "pages"), recipe, inputs=[str(web)], workers=1) as mill:
        mill.run("ingest")
    pages = str(tmp_path / "pages/pages/*.parquet")
    with open_mill(str(tmp_path / "again"), recipe, inputs=[pages], workers=1) as mill:
        mill.run("clean")
    columns = ["id", "text"]
    whole = pq.read_table(run / "documents", columns=columns)
    assert pq.read_table(tmp_path / "again/documents", columns=columns) == whole


@pytest.mark.parametrize("pages", [1, 7])
def test_the_bytes_of_a_part_do_not_depend_on_the_batch_size(pages: int, web: Path, run: Path, tmp_path: Path):
    recipe = load_recipe("sample", [f"ingest.batch_pages={pages}"])
    with open_mill(str(tmp_path / "run"), recipe, inputs=[str(web)], workers=1) as mill:
        mill.run("clean")
    for kind in ("documents", "dropped"):
        name = f"{kind}/part-00000.parquet"
        assert (tmp_path / "run" / name).read_bytes() == (run / name).read_bytes()

"""From a training step back to URLs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from fixtures_shards import EOS, write_shards

from corpusmill.errors import DamagedError, InputError
from corpusmill.recipe import stored_train
from corpusmill.storage import Folder, sha256_of
from corpusmill.tokenize.shard_files import shards_manifest
from corpusmill.tokenize.token_shards import open_shards
from corpusmill.train.stream import TokenStream
from corpusmill.train.stream.batch_trace import document_of_token, documents_of_step, documents_of_url
from corpusmill.train.stream.stream_kernels import DOCUMENT, SLOT
from corpusmill.train.train_settings import describe, open_stream


@pytest.fixture
def run(tmp_path: Path) -> Folder:
    rng = np.random.default_rng(5)
    documents = [[*range(1, int(n)), EOS] for n in rng.integers(2, 40, size=30)]
    write_shards(tmp_path / "shards", [documents[:11], documents[11:]])
    return trained(Folder(str(tmp_path)), seed=3, sequence_length=16, batch_size=4, steps=40)


def trained(run: Folder, **train: Any) -> Folder:
    """The run with what a training writes before its first step."""
    (run.local_path() / "tokenizer").mkdir(exist_ok=True)
    run.write_bytes("tokenizer/tokenizer.json", b"{}")
    manifest = run.read_json("shards/manifest.json")
    identity = {**manifest["tokenizer"], "sha256": sha256_of(run.local_path("tokenizer/tokenizer.json"))}
    run.write_json("shards/manifest.json", shards_manifest(identity, manifest["shards"]))
    settings = stored_train(train)
    opened = open_stream(run, settings)
    run.write_json("train/settings.json", describe(settings, opened, {}, 2))
    return run


def stream(run: Folder) -> TokenStream:
    return TokenStream(run.sub("shards"), seed=3, sequence_length=16, batch_size=4)


def urls_in_batch(run: Folder, step: int) -> set[str]:
    """Through the sidecars, token by token."""
    sidecars = [pq.read_table(run.local_path(f"shards/shard-0000{i}.docs.parquet")) for i in range(2)]
    segments = stream(run).batch(step).segments
    return {sidecars[s[SLOT]]["url"][int(s[DOCUMENT])].as_py() for s in segments}


def test_a_step_names_exactly_the_documents_whose_tokens_are_in_the_batch(run: Folder) -> None:
    for step in range(1, 20):
        assert {s["url"] for s in documents_of_step(run, step)} == urls_in_batch(run, step)


def test_the_stretches_hold_the_tokens_of_the_batch_in_order(run: Folder) -> None:
    source = stream(run)
    mapped = {s.name: s.tokens for s in open_shards(run.sub("shards")).shards}
    for step in range(1, 20):
        batch = source.batch(step)
        stretches = documents_of_step(run, step)
        for row in range(4):
            mine = [s for s in stretches if s["row"] == row]
            tokens = np.concatenate([mapped[s["shard"]][s["token_start"] : s["token_end"]] for s in mine])
            assert np.array_equal(tokens, batch.labels[row][batch.labels[row] >= 0])


def test_a_stretch_says_where_its_document_came_from(run: Folder) -> None:
    stretch = documents_of_step(run, 1)[0]
    part, row = divmod(stretch["address"], 1 << 32)
    assert stretch["shard"] == f"shard-{part:05d}.arrow"
    assert stretch["url"] == f"https://site-{row % 7}.example/part-{part}/page-{row}"
    assert (stretch["warc_file"], stretch["warc_offset"]) == (f"crawl-{part:05d}.warc.gz", 1000 * row)
    assert (stretch["offset_kind"], stretch["warc_length"], stretch["language"]) == ("member", 900, "en")


def test_ranks_and_rows_share_out_the_batch(run: Folder) -> None:
    whole = documents_of_step(run, 2)
    assert documents_of_step(run, 2, rank=0) + documents_of_step(run, 2, rank=1) == whole
    assert [s for row in range(4) for s in documents_of_step(run, 2, row=row)] == whole


def test_a_row_that_is_not_in_the_batch_is_refused(run: Folder) -> None:
    with pytest.raises(InputError, match="row 4 is not in this batch: it has rows 0 to 3"):
        documents_of_step(run, 1, row=4)
    with pytest.raises(InputError, match="row 0 is not in this batch: it has rows 2 to 3"):
        documents_of_step(run, 1, rank=1, row=0)


def test_step_zero_is_refused(run: Folder) -> None:
    with pytest.raises(InputError, match="steps count from 1"):
        documents_of_step(run, 0)


def test_shards_that_were_not_trained_on_are_refused(run: Folder) -> None:
    tokenizer = run.read_json("shards/manifest.json")["tokenizer"]
    write_shards(run.local_path("shards"), [[[1, EOS]]], tokenizer=tokenizer)
    with pytest.raises(DamagedError, match=r"never sealed with 2 shards.*another folder than the training began with"):
        documents_of_step(run, 1)
    write_shards(run.local_path("shards"), [[[1, EOS]], [[2, EOS]]], tokenizer=tokenizer)
    with pytest.raises(InputError, match="cannot be traced in these"):
        documents_of_step(run, 1)


def test_a_run_without_training_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing was trained in this run yet"):
        documents_of_step(Folder(str(tmp_path)), 1)


def test_a_url_names_every_step_that_has_it_and_no_other(run: Folder) -> None:
    steps: dict[str, set[tuple[int, int]]] = {}
    for step in range(1, 41):
        for stretch in documents_of_step(run, step):
            steps.setdefault(stretch["url"], set()).add((step, stretch["row"]))
    assert len(steps) == 30
    for url, expected in steps.items():
        (found,) = documents_of_url(run, url)
        assert set(found["steps"]) == expected
        assert documents_of_url(run, found["id"]) == [found]
    assert documents_of_url(run, "https://nowhere.example/") == []


def test_a_token_names_its_document(run: Folder) -> None:
    sidecar = pq.read_table(run.local_path("shards/shard-00001.docs.parquet"))
    for row in (0, 3, sidecar.num_rows - 1):
        start, count = sidecar["token_start"][row].as_py(), sidecar["num_tokens"][row].as_py()
        for token in (start, start + count - 1):
            found = document_of_token(run, "shard-00001.arrow", token)
            assert found["url"] == sidecar["url"][row].as_py()
            assert (found["token_start"], found["token_end"]) == (start, start + count)
    with pytest.raises(InputError, match="has no token 99999: it has tokens 0 to"):
        document_of_token(run, "shard-00001", 99_999)
    with pytest.raises(InputError, match=r"no source of this training has a shard shard-00007\.arrow"):
        document_of_token(run, "shard-00007", 0)

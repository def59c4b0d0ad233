"""From a training step back to URLs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from fixtures_shards import EOS, write_shards

from corpusmill.errors import InputError
from corpusmill.storage import Folder
from corpusmill.train.batch_trace import documents_of_step
from corpusmill.train.stream import TokenStream


@pytest.fixture
def run(tmp_path: Path) -> Folder:
    rng = np.random.default_rng(5)
    documents = [[*range(1, int(n)), EOS] for n in rng.integers(1, 40, size=30)]
    shards = write_shards(tmp_path / "shards", [documents[:11], documents[11:]])
    settings = {
        "train": {"seed": 3, "sequence_length": 16, "batch_size": 4},
        "fingerprint": shards.read_json("manifest.json")["fingerprint"],
        "ranks": 2,
    }
    folder = Folder(str(tmp_path))
    folder.write_json("train/settings.json", settings)
    return folder


def stream(run: Folder) -> TokenStream:
    return TokenStream(run.sub("shards"), seed=3, sequence_length=16, batch_size=4)


def urls_in_batch(run: Folder, step: int) -> set[str]:
    """Through the sidecars, token by token."""
    sidecars = [pq.read_table(run.local_path(f"shards/shard-0000{i}.docs.parquet")) for i in range(2)]
    urls = [url for table in sidecars for url in table["url"].to_pylist()]
    return {urls[d] for d in np.unique(stream(run).batch(step).documents) if d >= 0}


def test_a_step_names_exactly_the_documents_whose_tokens_are_in_the_batch(run: Folder) -> None:
    for step in range(1, 20):
        assert {s["url"] for s in documents_of_step(run, step)} == urls_in_batch(run, step)


def test_the_stretches_hold_the_tokens_of_the_batch_in_order(run: Folder) -> None:
    source = stream(run)
    mapped = {s.name: s.tokens for s in source.shards.shards}
    for step in range(1, 20):
        batch = source.batch(step)
        stretches = documents_of_step(run, step)
        for row in range(4):
            mine = [s for s in stretches if s["row"] == row]
            tokens = np.concatenate([mapped[s["shard"]][s["token_start"] : s["token_end"]] for s in mine])
            assert np.array_equal(tokens, batch.input_ids[row][batch.documents[row] >= 0])


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
    write_shards(run.local_path("shards"), [[[1, EOS]]])
    with pytest.raises(InputError, match="cannot be traced in these shards"):
        documents_of_step(run, 1)


def test_a_run_without_training_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing was trained in this run yet"):
        documents_of_step(Folder(str(tmp_path)), 1)

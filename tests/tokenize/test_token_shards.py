"""Shards that are not what was written are refused by name, before anything is learned from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fixtures_shards import write_shards
from stream_corpora import IDENTITY, distinct_documents, source

from corpusmill.errors import DamagedError, InputError
from corpusmill.storage import Folder
from corpusmill.tokenize.token_shards import map_shard, open_shards
from corpusmill.train.stream import TokenStream
from corpusmill.train.stream.sources import Source


def stream(folder: Folder) -> TokenStream:
    return TokenStream(folder, seed=7, sequence_length=8, batch_size=4)


def read_all(folder: Folder) -> None:
    """A lap."""
    one = stream(folder)
    for step in range(1, one.samples.sources["corpus"].start(1) // 4 + 2):
        one.batch(step)


@pytest.fixture
def two_shards(tmp_path: Path) -> Folder:
    return write_shards(tmp_path, [distinct_documents(5, 9), distinct_documents(4)])


def test_a_missing_shard_is_refused_by_name(two_shards: Folder) -> None:
    two_shards.remove("shard-00001.arrow")
    with pytest.raises(DamagedError, match=r"shard-00001\.arrow is missing"):
        stream(two_shards)


def test_a_cut_shard_is_refused_by_name(two_shards: Folder) -> None:
    path = two_shards.local_path("shard-00000.arrow")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DamagedError, match=r"shard-00000\.arrow has \d+ bytes, manifest\.json says \d+: it is cut"):
        stream(two_shards)


def test_a_flipped_byte_is_refused_by_name_wherever_it_is(tmp_path: Path) -> None:
    folder = source(tmp_path, 9, documents=4000, longest=200, shards=1, first=1)
    path = folder.local_path("shard-00000.arrow")
    whole = path.read_bytes()
    assert len(whole) > 20 * 65_536
    for at in [3, 300, *np.linspace(65_536, len(whole) - 1, 12).astype(int).tolist()]:
        flipped = bytearray(whole)
        flipped[at] ^= 4
        path.write_bytes(flipped)
        with pytest.raises(DamagedError, match=r"shard-00000\.arrow"):
            read_all(folder)
    path.write_bytes(whole)
    read_all(folder)


def test_a_flipped_token_is_named_by_its_bytes_when_a_batch_first_reads_it(tmp_path: Path) -> None:
    folder = source(tmp_path, 9, documents=4000, longest=200, shards=1, first=1)
    path = folder.local_path("shard-00000.arrow")
    flipped = bytearray(path.read_bytes())
    flipped[5 * 65_536 + 17] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(DamagedError, match=r"bytes 327,680 to 393,215 are not those that were written"):
        read_all(folder)


def test_a_shard_sealed_without_block_checksums_is_checked_as_a_whole(two_shards: Folder) -> None:
    manifest = two_shards.read_json("manifest.json")
    for entry in manifest["shards"]:
        del entry["sums"], entry["bytes"]
    two_shards.write_json("manifest.json", manifest)
    read_all(two_shards)
    path = two_shards.local_path("shard-00000.arrow")
    changed = bytearray(path.read_bytes())
    changed[len(changed) // 2] ^= 1
    path.write_bytes(changed)
    with pytest.raises(DamagedError, match=r"shard-00000\.arrow (has SHA-256|cannot be read)"):
        read_all(two_shards)


def test_a_shard_of_another_run_is_refused_by_its_counts(two_shards: Folder, tmp_path: Path) -> None:
    other = write_shards(tmp_path / "other", [distinct_documents(5, 10)])
    two_shards.write_bytes("shard-00000.arrow", other.read_bytes("shard-00000.arrow"))
    with pytest.raises(DamagedError, match=r"shard-00000\.arrow has 15 tokens, manifest\.json says 14"):
        map_shard(two_shards, open_shards(two_shards).entries[0])


def test_shards_of_another_tokenizer_are_refused_by_name(tmp_path: Path) -> None:
    one = source(tmp_path / "one", 1, documents=9, longest=9, shards=1, first=1)
    other = write_shards(tmp_path / "other", [distinct_documents(5, 9)], tokenizer={**IDENTITY, "sha256": "9" * 64})
    with pytest.raises(
        InputError, match=r"other \(wiki\) was made with tokenizer 999999999999, .*one \(web\) with 00000"
    ):
        TokenStream({"web": Source(one), "wiki": Source(other)}, seed=1, sequence_length=8, batch_size=2)


def test_a_folder_without_shards_says_which_stage_makes_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Run the tokenize stage first"):
        stream(Folder(str(tmp_path)))


def test_a_newer_format_is_refused(two_shards: Folder) -> None:
    manifest = two_shards.read_json("manifest.json")
    two_shards.write_json("manifest.json", {**manifest, "format": 99})
    with pytest.raises(DamagedError, match="format version 99"):
        stream(two_shards)


def test_tokens_are_read_from_the_mapped_file_and_not_copied(two_shards: Folder) -> None:
    before = pa.total_allocated_bytes()
    shards = open_shards(two_shards).shards
    assert all(not s.tokens.flags.owndata and not s.tokens.flags.writeable for s in shards)
    assert pa.total_allocated_bytes() - before < 100_000

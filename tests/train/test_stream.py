"""The order of training: nothing lost, nothing twice, the same for any number of ranks and restarts."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fixtures_shards import EOS, write_shards
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpusmill.errors import DamagedError, InputError
from corpusmill.storage import Folder
from corpusmill.train.stream import Batch, TokenStream, _half_bits, _round_keys
from corpusmill.train.stream_kernels import permute

IGNORED = -100


def distinct_documents(*lengths: int, first: int = 1) -> list[list[int]]:
    """Documents whose tokens are 1, 2, 3, ... throughout, but for the closing end-of-text ids."""
    made, following = [], first
    for length in lengths:
        made.append([*range(following, following + length - 1), EOS])
        following += length - 1
    return made


def stream(folder: Folder, *, seed: int = 7, length: int = 8, batch: int = 4) -> TokenStream:
    return TokenStream(folder, seed=seed, sequence_length=length, batch_size=batch)


def same(left: Batch, right: Batch) -> bool:
    names = ("input_ids", "labels", "positions", "documents", "chunks")
    return all(np.array_equal(getattr(left, n), getattr(right, n)) for n in names)


def stacked(parts: list[Batch]) -> Batch:
    names = ("input_ids", "labels", "positions", "documents", "chunks")
    return Batch(*(np.concatenate([getattr(p, n) for p in parts]) for n in names), parts[0].first_row)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    rng = np.random.default_rng(3)
    documents = distinct_documents(*(int(n) for n in rng.integers(1, 30, size=60)))
    return write_shards(tmp_path_factory.mktemp("shards"), [documents[:25], documents[25:26], documents[26:]])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 63, 64, 65, 1000, 4096, 4097, 100_003])
def test_the_permutation_is_a_bijection_of_any_size(size: int) -> None:
    images = permute(0, size, size, _half_bits(size), _round_keys("fingerprint", 1, 0))
    assert np.array_equal(np.sort(images), np.arange(size))


def test_the_permutation_leaves_almost_nothing_in_order() -> None:
    images = permute(0, 10_000, 10_000, _half_bits(10_000), _round_keys("fingerprint", 1, 0))
    in_order = int((np.diff(images) == 1).sum())
    assert in_order < 10  # about 1 expected of a random order
    assert abs(np.corrcoef(np.arange(10_000), images)[0, 1]) < 0.05


def test_the_permutation_differs_by_fingerprint_seed_and_epoch() -> None:
    keys = [_round_keys(*k) for k in (("a", 1, 0), ("b", 1, 0), ("a", 2, 0), ("a", 1, 1))]
    orders = {tuple(permute(0, 1000, 1000, _half_bits(1000), k)) for k in keys}
    assert len(orders) == 4


def test_an_epoch_has_every_token_exactly_once(shards: Folder) -> None:
    source = stream(shards, batch=1)
    rows = [source.batch(step) for step in range(1, source.num_chunks + 1)]
    tokens = np.concatenate([b.input_ids[b.documents >= 0] for b in rows])
    expected = np.concatenate([s.tokens for s in source.shards.shards])
    assert np.array_equal(np.sort(tokens), np.sort(expected))
    words = tokens[tokens != EOS]
    assert len(set(words.tolist())) == len(words) == (expected != EOS).sum()


def test_each_epoch_has_an_order_of_its_own(shards: Folder) -> None:
    source = stream(shards)
    epochs = [source.chunks(epoch * source.num_chunks, source.num_chunks) for epoch in range(3)]
    assert len({tuple(e) for e in epochs}) == 3
    assert {tuple(sorted(e)) for e in epochs} == {tuple(range(source.num_chunks))}


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_the_same_global_batches_come_out_for_any_number_of_ranks(shards: Folder, world_size: int) -> None:
    source = stream(shards)
    for step in (1, 2, 30, 100):
        parts = [source.batch(step, rank, world_size) for rank in range(world_size)]
        assert same(stacked(parts), source.batch(step))


def test_resuming_mid_epoch_gives_the_same_batches_as_not_stopping(shards: Folder) -> None:
    whole = list(islice(stream(shards), 90))
    first = stream(shards)
    head = list(islice(first, 40))
    rest = stream(shards)
    rest.load_state_dict(first.state_dict())
    again = [*head, *islice(rest, 50)]
    assert all(same(a, b) for a, b in zip(whole, again, strict=True))


def test_the_same_batches_come_out_of_another_process(shards: Folder) -> None:
    code = (
        "import hashlib, sys; from corpusmill.storage import Folder; from corpusmill.train.stream import TokenStream\n"
        "s = TokenStream(Folder(sys.argv[1]), seed=7, sequence_length=8, batch_size=4)\n"
        "print(hashlib.sha256(b''.join(s.batch(k).input_ids.tobytes() for k in range(1, 60))).hexdigest())\n"
        "assert not {'torch', 'transformers', 'deepspeed'} & set(sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    found = [
        subprocess.run([sys.executable, "-c", code, shards.url], cwd=root, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert found[0].stdout == found[1].stdout != ""


def oracle(groups: list[list[list[int]]], chunk: int, length: int) -> list[tuple[int, int, int, int]]:
    """(id, label, position, document) of one row, by hand: as an input, end-of-text opens the next document."""
    flat: list[tuple[int, int, int]] = []  # id, label, document
    number = 0
    for shard in groups:
        ids = [
            (token, number + d, place == len(doc) - 1) for d, doc in enumerate(shard) for place, token in enumerate(doc)
        ]
        number += len(shard)
        for i, (token, document, closes) in enumerate(ids):
            label = ids[i + 1][0] if i + 1 < len(ids) else IGNORED
            flat.append((token, label, min(document + closes, number - 1)))
    row: list[tuple[int, int, int, int]] = []
    for token, label, document in flat[chunk * length : (chunk + 1) * length]:
        position = row[-1][2] + 1 if row and row[-1][3] == document else 0
        row.append((token, label, position, document))
    return row + [(EOS, IGNORED, 0, -1)] * (length - len(row))


@given(
    groups=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=8), min_size=1, max_size=4),
    length=st.integers(1, 13),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_rows_are_what_a_slow_reading_by_hand_gives(groups: list[list[int]], length: int, tmp_path_factory) -> None:
    documents = distinct_documents(*(n for group in groups for n in group))
    parts = iter(documents)
    shards = [[next(parts) for _ in group] for group in groups]
    folder = write_shards(tmp_path_factory.mktemp("s"), shards)
    source = stream(folder, length=length, batch=1)
    for step in range(1, source.num_chunks + 1):
        batch = source.batch(step)
        row = zip(batch.input_ids[0], batch.labels[0], batch.positions[0], batch.documents[0], strict=True)
        assert [tuple(int(v) for v in place) for place in row] == oracle(shards, int(batch.chunks[0]), length)


def test_large_vocabularies_come_through_unchanged(tmp_path: Path) -> None:
    identity = {"sha256": "0" * 64, "vocab_size": 200_000, "eos_token_id": EOS, "eos_token": "<|endoftext|>"}
    folder = write_shards(tmp_path, [[[70_000, 199_999, EOS]]], tokenizer=identity)
    batch = stream(folder, length=3, batch=1).batch(1)
    assert batch.input_ids.tolist() == [[70_000, 199_999, EOS]]
    assert batch.labels.tolist() == [[199_999, EOS, IGNORED]]


@pytest.mark.parametrize(
    ("key", "value"), [("fingerprint", "another"), ("seed", 8), ("sequence_length", 16), ("batch_size", 2)]
)
def test_a_state_of_another_stream_is_refused_by_name(shards: Folder, key: str, value: object) -> None:
    source = stream(shards)
    with pytest.raises(InputError, match=f"saved with {key} {value!r}"):
        source.load_state_dict({**source.state_dict(), key: value})


def test_a_batch_that_cannot_be_dealt_evenly_is_refused(shards: Folder) -> None:
    with pytest.raises(InputError, match="a batch of 4 cannot be dealt to rank 0 of 3"):
        stream(shards).batch(1, 0, 3)


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
    with pytest.raises(DamagedError, match=r"shard-00000\.arrow cannot be read .* cut or changed"):
        stream(two_shards)


def test_a_shard_of_another_run_is_refused_by_its_counts(two_shards: Folder, tmp_path: Path) -> None:
    other = write_shards(tmp_path / "other", [distinct_documents(5, 10)])
    two_shards.write_bytes("shard-00000.arrow", other.read_bytes("shard-00000.arrow"))
    with pytest.raises(DamagedError, match=r"shard-00000\.arrow has 15 tokens, manifest\.json says 14"):
        stream(two_shards)


def test_a_folder_without_shards_says_which_stage_makes_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Run the tokenize stage first"):
        stream(Folder(str(tmp_path)))


def test_a_newer_format_is_refused(two_shards: Folder) -> None:
    manifest = two_shards.read_json("manifest.json")
    two_shards.write_json("manifest.json", {**manifest, "format": 99})
    with pytest.raises(DamagedError, match="format version 99"):
        stream(two_shards)


def test_tokens_are_read_from_the_mapped_file_and_not_copied(shards: Folder) -> None:
    before = pa.total_allocated_bytes()
    source = stream(shards)
    assert all(not s.tokens.flags.owndata and not s.tokens.flags.writeable for s in source.shards.shards)
    assert pa.total_allocated_bytes() - before < 100_000

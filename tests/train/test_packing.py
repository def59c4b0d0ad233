"""Best-fit packing: no document cut that fits, almost no padding, every token once; and middles to fill in."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from fixtures_shards import EOS, write_shards
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_corpora import IDENTITY, MIDDLES, all_words, distinct_documents, open_stream, source, words

from corpusmill.errors import DamagedError, InputError
from corpusmill.storage import Folder
from corpusmill.tokenize.token_shards import open_shards
from corpusmill.train.stream import TokenStream, packing
from corpusmill.train.stream.packing import Packing, block_places, open_index, prepare
from corpusmill.train.stream.stream_kernels import COUNT, DOCUMENT, MIDDLE, OUT, SLOT, TOKEN, best_fit


@given(st.lists(st.integers(1, 130), min_size=1, max_size=300), st.integers(130, 200))
@settings(max_examples=80, deadline=None)
def test_best_fit_puts_each_item_where_it_leaves_the_least_room(sizes: list[int], capacity: int) -> None:
    offsets, items = best_fit(np.array(sizes, np.int64), capacity)
    assert np.array_equal(np.sort(items), np.arange(len(sizes)))
    rows = [items[a:b].tolist() for a, b in pairwise(offsets)]
    assert all(0 < sum(sizes[i] for i in row) <= capacity for row in rows)
    room: list[int] = []  # by hand: the fullest row that it fits
    for size in sorted(sizes, reverse=True):
        fitting = [r for r in range(len(room)) if room[r] >= size]
        if fitting:
            room[min(fitting, key=lambda r: room[r])] -= size
        else:
            room.append(capacity - size)
    assert sorted(capacity - r for r in room) == sorted(sum(sizes[i] for i in row) for row in rows)


def lognormal_shards(folder: Path, tokens: int, seed: int = 0) -> Folder:
    """Documents of lengths as on the web."""
    rng = np.random.default_rng(seed)
    lengths = np.minimum(np.exp(rng.normal(6.3, 1.1, size=tokens // 500)).astype(int) + 5, 60_000)
    documents = [[7] * (int(n) - 1) + [EOS] for n in lengths[np.cumsum(lengths) < tokens]]
    return write_shards(folder, [documents[: len(documents) // 2], documents[len(documents) // 2 :]])


def test_padding_is_under_half_a_percent_and_only_longer_documents_are_cut(tmp_path: Path) -> None:
    folder, length = lognormal_shards(tmp_path, 3_000_000), 2048
    stream = open_stream(folder, seed=1, sequence_length=length, batch_size=8, packing="best_fit")
    rows = stream.samples.sources["corpus"].start(1)
    whole, cut, places = 0, 0, 0
    offsets = [s.offsets for s in open_shards(folder).shards]
    for step in range(1, rows // 8 + 1):
        batch = stream.batch(step)
        places += batch.input_ids.size - batch.num_tokens
        for segment in batch.segments[batch.segments[:, SLOT] >= 0]:
            size = np.diff(offsets[segment[SLOT]])[segment[DOCUMENT]]
            whole += size <= length
            cut += size > length
            assert segment[COUNT] == size or size > length
    assert places / (rows * length) < 0.005
    assert whole > 2500
    assert cut > 100


@pytest.mark.parametrize("length", [16, 64])
def test_a_lap_has_every_token_once_and_no_document_sees_another(tmp_path: Path, length: int) -> None:
    folder = source(tmp_path, 5, documents=90, longest=40, shards=3, first=1)
    stream = open_stream(folder, seed=1, sequence_length=length, batch_size=1, packing="best_fit")
    rows = stream.samples.sources["corpus"].start(1)
    batches = [stream.batch(step) for step in range(1, rows + 1)]
    assert np.array_equal(words(np.concatenate([b.labels.ravel() for b in batches])), all_words(folder))
    assert np.array_equal(words(np.concatenate([b.input_ids.ravel() for b in batches])), all_words(folder))
    for batch in batches:
        assert np.array_equal(np.flatnonzero(batch.positions.ravel() == 0), batch.cu_seqlens[:-1])
        assert (batch.labels[batch.documents < 0] == -100).all()


def test_blocks_are_whole_shards_of_enough_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "BLOCK_TOKENS", 100)
    groups = [distinct_documents(*[10] * n) for n in (4, 5, 3, 12, 1, 1)]
    shards = open_shards(write_shards(tmp_path, groups, tokenizer=IDENTITY))
    places = [*block_places(shards.first_tokens), len(shards.line)]
    tokens = [int(shards.first_tokens[b] - shards.first_tokens[a]) for a, b in pairwise(places)]
    assert tokens == [120, 140]


def test_rows_of_several_blocks_have_every_token_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "BLOCK_TOKENS", 300)
    folder = source(tmp_path, 6, documents=120, longest=30, shards=9, first=1)
    stream = open_stream(folder, seed=1, sequence_length=32, batch_size=1, packing="best_fit")
    assert len(open_index(open_shards(folder), Packing(32)).first_places) > 3
    rows = stream.samples.sources["corpus"].start(2)
    labels = np.concatenate([stream.batch(step).labels.ravel() for step in range(1, rows + 1)])
    assert np.array_equal(words(labels), np.repeat(all_words(folder), 2))


def test_an_index_is_made_once_and_one_that_was_changed_is_refused(tmp_path: Path) -> None:
    shards = open_shards(source(tmp_path, 6, documents=20, longest=30, shards=2, first=1))
    seen: list[tuple[int, int]] = []
    prepare(shards, Packing(32), lambda done, of: seen.append((done, of)))
    prepare(shards, Packing(32), lambda done, of: seen.append((done, of)))
    assert seen == [(1, 1)]
    block = Packing(32).folder(shards).local_path("block-00000.arrow")
    block.write_bytes(block.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedError, match=r"block-00000\.arrow is missing or changed"):
        TokenStream(shards.folder, seed=1, sequence_length=32, batch_size=1, packing="best_fit").batch(1)


def unfolded(ids: list[int]) -> tuple[list[int], str]:
    """(the words of a document whose middle is to be filled in, its order), by the sentinels in its inputs."""
    prefix, middle, suffix = MIDDLES.prefix_id, MIDDLES.middle_id, MIDDLES.suffix_id
    assert ids[0] == EOS
    assert ids[1] == prefix
    m, s = ids.index(middle), ids.index(suffix)
    if s == 2:  # suffix first: what follows the middle's sentinel is prefix and middle, joined
        return [*ids[m + 1 :], *ids[s + 1 : m]], "SPM"
    return [*ids[2:s], *ids[m + 1 :], *ids[s + 1 : m]], "PSM"


def test_middles_to_fill_in_are_of_whole_documents_and_no_token_is_lost(tmp_path: Path) -> None:
    folder = source(tmp_path, 8, documents=300, longest=40, shards=3, first=1)
    stream = open_stream(folder, seed=1, sequence_length=64, batch_size=1, packing="best_fit", middles=MIDDLES)
    rows = stream.samples.sources["corpus"].start(1)
    tokens = {s: shard.tokens for s, shard in enumerate(open_shards(folder).shards)}
    orders, splits, labels = [], [], []
    for step in range(1, 2 * rows + 1):
        batch = stream.batch(step)
        labels.append(batch.labels.ravel().copy())
        for segment in batch.segments[(batch.segments[:, SLOT] >= 0) & (batch.segments[:, MIDDLE] == 1)]:
            here = slice(int(segment[OUT]), int(segment[OUT] + segment[COUNT]))
            ids = batch.input_ids[0, here].tolist()
            start = int(segment[TOKEN])
            expected = tokens[int(segment[SLOT])][start : start + int(segment[COUNT]) - 4].tolist()
            found, order = unfolded(ids)
            assert found == expected
            assert batch.labels[0, here].tolist() == [*ids[1:], EOS]
            orders.append(order)
            splits.append((int(segment[SLOT]), int(segment[DOCUMENT]), ids.index(MIDDLES.middle_id)))
    assert np.array_equal(words(np.concatenate(labels)), np.repeat(all_words(folder), 2))
    assert 0.35 < len(orders) / 2 / 300 < 0.65
    assert 0.3 < orders.count("PSM") / len(orders) < 0.7
    assert len(set(splits)) > 1.3 * len({s[:2] for s in splits})  # cut elsewhere in the next lap


def test_middles_need_whole_documents(tmp_path: Path) -> None:
    folder = source(tmp_path, 8, documents=9, longest=9, shards=1, first=1)
    with pytest.raises(InputError, match="needs whole documents, which train"):
        TokenStream(folder, seed=1, sequence_length=8, batch_size=1, middles=MIDDLES)

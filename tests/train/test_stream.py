"""The order of training: nothing lost, nothing twice, the same for any number of ranks and restarts."""

from __future__ import annotations

import pickle
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from fixtures_shards import EOS, write_shards
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stream_corpora import IDENTITY, all_words, distinct_documents, open_stream, source, words

from corpusmill.errors import InputError
from corpusmill.storage import Folder
from corpusmill.train.stream import Batch, TokenStream

IGNORED = -100
NAMES = ("input_ids", "labels", "positions", "documents", "samples")


def stream(folder: Folder, *, seed: int = 7, length: int = 8, batch: int = 4, **more: object) -> TokenStream:
    return TokenStream(folder, seed=seed, sequence_length=length, batch_size=batch, **more)  # type: ignore[arg-type]


def same(left: Batch, right: Batch) -> bool:
    return all(np.array_equal(getattr(left, n), getattr(right, n)) for n in NAMES)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return source(tmp_path_factory.mktemp("shards"), 3, documents=60, longest=30, shards=3, first=1)


def rows_in_laps(stream: TokenStream, laps: int) -> int:
    return sum(order.start(laps) for order in stream.samples.sources.values())


def test_every_token_is_a_label_and_an_input_once_in_each_lap_and_the_tail_carries_over(shards: Folder) -> None:
    one = stream(shards, length=8, batch=1)
    tokens = one.sources["corpus"].first.num_tokens
    assert tokens % 8  # a tail is left
    for laps in (8, 16):  # after 8 laps rows of 8 end where a lap ends
        batches = [one.batch(step) for step in range(1, laps * tokens // 8 + 1)]
        labels = np.concatenate([b.labels.ravel() for b in batches])
        inputs = np.concatenate([b.input_ids.ravel() for b in batches])
        assert len(labels) == laps * tokens  # not one place is padding
        assert np.array_equal(words(labels), np.repeat(all_words(shards), laps))
        assert np.array_equal(words(inputs), np.repeat(all_words(shards), laps))


def test_a_lap_has_every_word_and_its_last_row_goes_on_with_the_next_laps_head(shards: Folder) -> None:
    one = stream(shards, length=8, batch=1)
    rows = rows_in_laps(one, 1)
    batches = [one.batch(step) for step in range(1, rows + 1)]
    found = words(np.concatenate([b.labels.ravel() for b in batches]))
    assert np.array_equal(np.unique(found), all_words(shards))
    twice = len(found) - len(np.unique(found))
    assert 0 < twice < 8
    assert np.array_equal(
        found[: twice + 1], np.sort([*all_words(shards)[:twice], *all_words(shards)[:twice]])[: twice + 1]
    )


def test_each_lap_has_an_order_of_its_own(shards: Folder) -> None:
    order = stream(shards).samples.sources["corpus"]
    laps = [order.rows(order.start(lap), order.start(lap + 1) - order.start(lap))[1] for lap in range(3)]
    assert len({tuple(lap - lap.min()) for lap in laps}) == 3
    assert np.array_equal(np.sort(np.concatenate(laps)), np.arange(order.start(3)))


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_the_same_global_batches_come_out_for_any_number_of_ranks(shards: Folder, world_size: int) -> None:
    one = stream(shards)
    for step in (1, 2, 30, 100):
        parts = [one.batch(step, rank, world_size) for rank in range(world_size)]
        whole = one.batch(step)
        for name in ("input_ids", "labels", "positions", "samples"):
            assert np.array_equal(np.concatenate([getattr(p, name) for p in parts]), getattr(whole, name))
        assert [p.first_row for p in parts] == [rank * 4 // world_size for rank in range(world_size)]


def test_micro_batches_are_the_batch_in_pieces_with_borders_of_their_own(shards: Folder) -> None:
    whole = stream(shards, batch=6, length=24).batch(3)
    parts = list(whole.micro_batches(2))
    assert np.array_equal(np.concatenate([p.input_ids for p in parts]), whole.input_ids)
    assert [p.first_row for p in parts] == [0, 2, 4]
    for part in parts:
        assert part.cu_seqlens[0] == 0
        assert part.cu_seqlens[-1] == part.input_ids.size
        assert np.array_equal(np.flatnonzero(part.positions.ravel() == 0), part.cu_seqlens[:-1])


def test_resuming_mid_lap_gives_the_same_batches_as_not_stopping(shards: Folder) -> None:
    whole = [b.input_ids.copy() for b in islice(stream(shards), 90)]
    first = stream(shards)
    head = [b.input_ids.copy() for b in islice(first, 40)]
    rest = stream(shards)
    rest.load_state_dict(first.state_dict())
    again = [*head, *(b.input_ids.copy() for b in islice(rest, 50))]
    assert all(np.array_equal(a, b) for a, b in zip(whole, again, strict=True))


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


def test_a_stream_that_was_pickled_goes_on_where_it_was(shards: Folder) -> None:
    one = stream(shards)
    for _ in range(5):
        one.next_batch()
    again = pickle.loads(pickle.dumps(one))
    assert same(again.next_batch(), one.next_batch())


def oracle(groups: list[list[list[int]]], row: int, length: int) -> list[tuple[int, int, int, int]]:
    """(input, label, position, document) of one row, by hand: end-of-text opens a document, and its tokens are labels.

    The line of all documents is repeated for ever; documents are numbered within the row.
    """
    line = [
        (before, token, number)
        for number, document in enumerate(d for group in groups for d in group)
        for before, token in zip([EOS, *document[:-1]], document, strict=True)
    ]
    blank = {n for n, d in enumerate(d for group in groups for d in group) if d == [EOS]}
    made: list[tuple[int, int, int, int]] = []
    last = None
    for at in range(row * length, (row + 1) * length):
        before, token, number = line[at % len(line)]
        opens = at % len(line) == 0 or line[at % len(line) - 1][2] != number
        new = not made or opens or number != last
        position = 0 if new else made[-1][2] + 1
        stretch = (made[-1][3] if made else -1) + new
        made.append((before, IGNORED if number in blank else token, position, stretch))
        last = number
    return made


@given(
    groups=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=8), min_size=1, max_size=4),
    length=st.integers(1, 13),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_rows_are_what_a_slow_reading_by_hand_gives(groups: list[list[int]], length: int, tmp_path_factory) -> None:
    parts = iter(distinct_documents(*(n for group in groups for n in group)))
    made = [[next(parts) for _ in group] for group in groups]
    one = stream(write_shards(tmp_path_factory.mktemp("s"), made), length=length, batch=1)
    order = one.samples.sources["corpus"]
    for step in range(1, 2 * order.start(3) + 2):
        batch = one.batch(step)
        row = zip(batch.input_ids[0], batch.labels[0], batch.positions[0], batch.documents[0], strict=True)
        number = int(order.rows(step - 1, 1)[1][0])
        assert [tuple(int(v) for v in place) for place in row] == oracle(made, number, length)


def test_large_vocabularies_come_through_unchanged(tmp_path: Path) -> None:
    folder = write_shards(tmp_path, [[[70_000, 199_990, EOS]]], tokenizer=IDENTITY)
    batch = stream(folder, length=3, batch=1).batch(1)
    assert batch.input_ids.tolist() == [[EOS, 70_000, 199_990]]
    assert batch.labels.tolist() == [[70_000, 199_990, EOS]]


def test_a_document_of_end_of_text_alone_is_not_learned_from(tmp_path: Path) -> None:
    folder = write_shards(tmp_path, [[[5, 6, EOS], [EOS, EOS, EOS], [EOS], [EOS, 7, EOS]]])
    batch = stream(folder, length=10, batch=1).batch(1)
    assert batch.labels.tolist() == [[5, 6, EOS, IGNORED, IGNORED, IGNORED, IGNORED, EOS, 7, EOS]]
    assert batch.num_tokens == 10
    assert batch.num_targets == 6


def test_rows_are_short_at_first_where_the_lengths_say_so_and_the_same_tokens_come(shards: Folder) -> None:
    plain, warm = stream(shards, length=24), stream(shards, length=24, lengths=[(1, 6), (5, 12), (9, 24)])
    for step in range(1, 14):
        long, short = plain.batch(step), warm.batch(step)
        length = 6 if step < 5 else 12 if step < 9 else 24
        assert short.input_ids.shape == (4 * 24 // length, length)
        assert np.array_equal(short.input_ids.ravel(), long.input_ids.ravel())
        assert np.array_equal(short.labels.ravel(), long.labels.ravel())
        assert (short.positions < length).all()
        assert np.array_equal(np.flatnonzero(short.positions.ravel() == 0), short.cu_seqlens[:-1])
        assert set(np.arange(0, 4 * 24, length)) <= set(short.cu_seqlens.tolist())


@pytest.mark.parametrize(
    ("lengths", "what"), [([(1, 7)], "rows of 7 do not divide"), ([(5, 8), (2, 24)], "whose steps ascend")]
)
def test_lengths_that_cannot_be_are_refused(shards: Folder, lengths: list[tuple[int, int]], what: str) -> None:
    with pytest.raises(InputError, match=what):
        stream(shards, length=24, lengths=lengths)


@pytest.mark.parametrize(("key", "value"), [("seed", 8), ("sequence_length", 16), ("batch_size", 2)])
def test_a_state_of_another_stream_is_refused_by_name(shards: Folder, key: str, value: object) -> None:
    one = stream(shards)
    with pytest.raises(InputError, match=f"saved with {key} {value!r}"):
        one.load_state_dict({**one.state_dict(), key: value})


def test_a_state_of_other_shards_is_refused(shards: Folder, tmp_path: Path) -> None:
    other = stream(source(tmp_path, 4, documents=60, longest=30, shards=3, first=1))
    with pytest.raises(InputError, match="saved with sources"):
        other.load_state_dict(stream(shards).state_dict())


def test_a_batch_that_cannot_be_dealt_evenly_is_refused(shards: Folder) -> None:
    with pytest.raises(InputError, match="a batch of 4 cannot be dealt to rank 0 of 3"):
        stream(shards).batch(1, 0, 3)


def test_buffers_are_used_again_only_when_nobody_looks(shards: Folder) -> None:
    torch = pytest.importorskip("torch", reason="training is not installed")
    one = stream(shards)
    kept = [torch.from_numpy(one.batch(step).labels[1:3]) for step in range(1, 12)]
    again = [one.batch(step).labels[1:3].tolist() for step in range(1, 12)]
    assert [k.tolist() for k in kept] == again
    here = one.batch(1).input_ids.__array_interface__["data"][0]
    assert one.batch(2).input_ids.__array_interface__["data"][0] == here


def test_best_fit_asks_for_its_index(tmp_path: Path) -> None:
    folder = source(tmp_path, 3, documents=9, longest=9, shards=1, first=1)
    with pytest.raises(InputError, match="not packed into rows of 8 tokens yet"):
        stream(folder, packing="best_fit")
    assert open_stream(folder, seed=1, sequence_length=8, batch_size=2, packing="best_fit").batch(1).num_tokens > 8

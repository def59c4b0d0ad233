"""One stream of tokens for each journal, packing and seed: for any ranks, workers, micro-batches and restarts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from stream_corpora import MIDDLES, all_words, arrays, open_stream, source, words

from corpusmill.errors import InputError
from corpusmill.storage import Folder
from corpusmill.tokenize.token_shards import fingerprint_of
from corpusmill.train.stream import TokenStream
from corpusmill.train.stream.journal import Journal
from corpusmill.train.stream.sources import Source
from corpusmill.train.stream.stream_kernels import OUT, SLOT

torch = pytest.importorskip("torch", reason="training is not installed")
from torch.utils.data import DataLoader  # noqa: E402

BATCH, STEPS, LENGTH = 24, 40, 32


class Reader(NamedTuple):
    ranks: int
    workers: int
    micro: int


FEW = [Reader(1, 0, 24), Reader(1, 4, 3), Reader(3, 0, 8), Reader(2, 1, 4), Reader(8, 0, 3), Reader(4, 0, 1)]
ALL = [Reader(ranks, workers, micro) for ranks, *pairs in [
    (1, (0, 24), (1, 8), (4, 3)), (2, (0, 12), (1, 4), (4, 3)), (3, (0, 8), (1, 2), (4, 4)),
    (4, (0, 1), (1, 6), (4, 2)), (8, (0, 3), (1, 1), (4, 3)),
] for workers, micro in pairs]  # fmt: skip

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Folder]:
    root = tmp_path_factory.mktemp("sources")
    return {
        "web": source(root / "web", 1, documents=400, longest=60, shards=4, first=1),
        "code": source(root / "code", 2, documents=90, longest=90, shards=2, first=30_000),
        "late": source(root / "late", 3, documents=60, longest=50, shards=1, first=60_000),
    }


def grown(folder: Folder, num_shards: int) -> Source:
    """A source that begins with some of its shards, as one does that more were added to since."""
    manifest = folder.read_json("manifest.json")
    tokenizer, entries = manifest["tokenizer"]["sha256"], manifest["shards"]
    sizes = [(n, fingerprint_of(tokenizer, entries[:n])) for n in (num_shards, len(entries))]
    history = [{"version": i, "why": "", "num_shards": n, "fingerprint": f} for i, (n, f) in enumerate(sizes, 1)]
    folder.write_json("manifest.json", {**manifest, "history": history})
    return Source(folder, num_shards)


def journal(folders: dict[str, Folder]) -> Journal:
    """Weights change twice, a source is added, one grows, and two ranges of samples are skipped."""
    late = folders["late"].read_json("manifest.json")
    added = {"shards": folders["late"].url, "num_shards": 1, "fingerprint": late["fingerprint"]}
    return Journal(
        [
            {"at": 100, "weights": {"web": 0.5, "code": 0.5}},
            {"at": 211, "skip": [230, 237], "why": "a spike"},
            {"at": 300, "grow": {"web": 4}},
            {"at": 417, "add": {"late": added}, "weights": {"web": 0.6, "code": 0.1, "late": 0.3}},
            {"at": 600, "skip": [601, 640]},
        ]
    )


def settings(kind: str, folders: dict[str, Folder]) -> dict[str, Any]:
    """Arguments of a stream of some kind."""
    common: dict[str, Any] = {"seed": 5, "sequence_length": LENGTH, "batch_size": BATCH}
    two = {"web": grown(folders["web"], 2), "code": Source(folders["code"])}
    weights = {"web": 0.7, "code": 0.3}
    return {
        "chunks": common | {"sources": folders["web"]},
        "best_fit": common | {"sources": folders["web"], "packing": "best_fit"},
        "mixture": common | {"sources": two, "weights": weights},
        "journal": common | {"sources": two, "weights": weights, "journal": journal(folders)},
        "packed_journal": common
        | {"sources": two, "weights": weights, "journal": journal(folders), "packing": "best_fit"},
        "lengths": common | {"sources": folders["web"], "lengths": [(1, 8), (9, 16), (31, 32)]},
        "middles": common | {"sources": folders["web"], "packing": "best_fit", "middles": MIDDLES},
    }[kind]


KINDS = ("chunks", "best_fit", "mixture", "journal", "packed_journal", "lengths", "middles")


@pytest.fixture
def open_kind(folders: dict[str, Folder]) -> Callable[..., TokenStream]:
    def opened(kind: str, **more: Any) -> TokenStream:
        return open_stream(**(settings(kind, folders) | more))

    return opened


def steps_read(stream: TokenStream, reader: Reader, first: int, last: int) -> list[bytes]:
    """The bytes of steps' global batches, put together from what every rank's loader gives."""
    per_step = BATCH // reader.ranks // reader.micro
    loaders = [
        iter(DataLoader(stream.dataset(reader.micro, rank, reader.ranks), batch_size=None, num_workers=reader.workers))
        for rank in range(reader.ranks)
    ]
    made = []
    for step in range(first, last + 1):
        parts = [next(loader) for loader in loaders for _ in range(per_step)]
        assert {part["step"] for part in parts} == {step}
        names = ("input_ids", "labels", "position_ids", "samples")
        made.append(b"".join(torch.cat([p[n] for p in parts]).numpy().tobytes() for n in names))
    return made


def plainly_read(stream: TokenStream, steps: int) -> list[bytes]:
    made = []
    for step in range(1, steps + 1):
        b = stream.batch(step)
        made.append(b"".join(a.tobytes() for a in (b.input_ids, b.labels, b.positions, b.samples)))
    return made


def sha256(steps: list[bytes]) -> str:
    return hashlib.sha256(b"".join(steps)).hexdigest()


@pytest.mark.parametrize("readers", [FEW, pytest.param(ALL, marks=pytest.mark.slow)], ids=["few", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_sha256_for_any_ranks_workers_micro_batches_and_restarts(
    kind: str, readers: list[Reader], open_kind: Callable[..., Any]
) -> None:
    """Each kind of stream is read in 6 (42 in all) or 15 ways (105); each begins in one configuration and goes on in
    the next at a random step, from its state as a checkpoint holds it."""
    expected = sha256(plainly_read(open_kind(kind), STEPS))
    rng = np.random.default_rng(KINDS.index(kind))
    for reader, following in zip(readers, [*readers[1:], readers[0]], strict=True):
        stop = int(rng.integers(1, STEPS))
        first = open_kind(kind)
        head = steps_read(first, reader, 1, stop)
        second = open_kind(kind)
        second.load_state_dict(json.loads(json.dumps(first.state_after(stop))))
        tail = steps_read(second, following, stop + 1, STEPS)
        assert sha256(head + tail) == expected, f"{kind}: {reader}, and from step {stop + 1} on {following}"


def test_each_kind_of_stream_is_another(open_kind: Callable[..., Any]) -> None:
    hashes = [sha256(plainly_read(open_kind(kind), STEPS)) for kind in KINDS]
    assert len(set(hashes)) == len(KINDS)
    assert sha256(plainly_read(open_kind("journal", seed=6), STEPS)) not in hashes


@pytest.mark.parametrize("packing", ["chunks", "best_fit"])
def test_in_each_lap_of_each_source_every_token_comes_once_whatever_the_journal_says(
    packing: str, folders: dict[str, Folder]
) -> None:
    """All sources' laps, through changes of weights and growth: what is not skipped, and once."""
    changes = [e for e in journal(folders).entries if not e.skip]
    arguments = settings("journal", folders) | {"packing": packing, "journal": Journal(changes), "batch_size": 1}
    stream = open_stream(**arguments)
    found: dict[str, list[np.ndarray]] = {name: [] for name in stream.samples.sources}
    names = list(found)
    samples = 4000
    sources, _ = arrays(stream.samples.place(0, samples), samples)
    for sample in range(samples):
        found[names[sources[sample]]].append(stream.batch(sample + 1).labels.ravel().copy())
    assert stream.samples.sources["web"].strata[1].at > 0  # it grew in the middle of a lap
    for name, labels in found.items():
        order = stream.samples.sources[name]
        laps = max(lap for lap in range(1, 200) if order.start(lap) <= len(labels))
        assert laps > 1
        got = words(np.concatenate(labels[: order.start(laps)]))
        for stratum in order.strata:
            line = np.concatenate([s.tokens for s in stratum.rows.shards.shards]).astype(np.int64)
            mine = got[np.isin(got, words(line))]
            # chunks: the last row has gone on with the head of the stratum's next lap
            carried = stratum.before(laps) * LENGTH - (laps - stratum.lap) * len(line) if packing == "chunks" else 0
            expected = [np.repeat(words(line), laps - stratum.lap), words(line[:carried])]
            assert np.array_equal(mine, np.sort(np.concatenate(expected)))
        assert np.array_equal(np.unique(got), all_words(folders[name]))


def test_samples_that_are_skipped_are_not_dealt_and_all_others_are(open_kind: Callable[..., Any]) -> None:
    stream = open_kind("journal")
    dealt = np.concatenate([stream.batch(step).samples for step in range(1, STEPS + 1)])
    expected = [n for n in range(2000) if not (230 <= n < 237 or 601 <= n < 640)]
    assert dealt.tolist() == expected[: STEPS * BATCH]
    for sample in (0, 229, 237, 700):
        step, place = stream.step_of(sample)
        assert stream.batch(step).samples[place] == sample
    assert stream.step_of(231) is None


def test_a_journal_may_gain_entries_that_are_still_to_come_and_no_others(
    open_kind: Callable[..., Any], folders: dict[str, Folder]
) -> None:
    whole = journal(folders)
    first = open_kind("journal", journal=Journal(whole.entries[:2]))
    head = plainly_read(first, 12)  # to sample 295
    state = first.state_after(12)
    second = open_kind("journal")
    second.load_state_dict(state)
    assert sha256(head + [*plainly_read(second, STEPS)][12:]) == sha256(plainly_read(open_kind("journal"), STEPS))
    late = Journal([*whole.entries, {"at": 294, "weights": {"web": 1, "code": 1}}])
    with pytest.raises(InputError, match="changed for samples that were dealt already"):
        open_kind("journal", journal=late).load_state_dict(state)


def test_a_micro_batch_that_does_not_divide_is_refused(open_kind: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match="a batch of 24 cannot be dealt to 2 ranks in micro-batches of 5"):
        open_kind("chunks").dataset(5, 0, 2)


def test_weights_are_of_the_labels_in_one_folder(tmp_path: Path) -> None:
    folder = source(tmp_path, 1, documents=100, longest=60, shards=4, first=1)
    manifest = folder.read_json("manifest.json")
    for entry, label in zip(manifest["shards"], ["en", "de", "en", "de"], strict=True):
        entry["source"] = label
    folder.write_json("manifest.json", manifest)
    stream = TokenStream(folder, seed=1, sequence_length=8, batch_size=10, weights={"en": 0.9, "de": 0.1})
    labels = []
    for segment in stream.batch(1).segments:
        shards, index = stream.shard_of(int(segment[SLOT]))
        labels.append((int(segment[OUT]) // 8, shards.entries[index]["source"]))
    assert len({row for row, label in labels if label == "de"}) == 1
    assert len({row for row, label in labels if label == "en"}) == 9
    with pytest.raises(InputError, match=r"but the shards of .* are of: de, en"):
        TokenStream(folder, seed=1, sequence_length=8, batch_size=10, weights={"en": 0.9, "fr": 0.1})

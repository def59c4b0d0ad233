"""Folders of shards that grow while they are read, and that are compacted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from fixtures_shards import EOS, write_shards

from corpusmill.errors import DamagedError, InputError
from corpusmill.storage import Folder
from corpusmill.tokenize.shard_changes import add_shards, blank, compact
from corpusmill.tokenize.token_shards import open_shards
from corpusmill.train.stream import TokenStream
from corpusmill.train.stream.journal import Journal
from corpusmill.train.stream.sources import sources_of


def folder(path: Path, first: int, shards: int = 2, **more: object) -> Folder:
    """Documents of tokens that are all different, from `first` on."""
    rng, at, groups = np.random.default_rng(first), first, []
    for _ in range(shards):
        group = []
        for size in rng.integers(2, 30, size=20):
            group.append([*range(at, at + int(size)), EOS])
            at += int(size)
        groups.append(group)
    return write_shards(path, groups, **more)  # type: ignore[arg-type]


def words(shards: Folder) -> list[int]:
    tokens = np.concatenate([s.tokens for s in open_shards(shards).shards])
    return sorted(tokens[tokens != EOS].tolist())


def stream(shards: Folder, journal: Journal | None = None) -> TokenStream:
    return TokenStream(shards, seed=1, sequence_length=8, batch_size=4, journal=journal)


def test_shards_are_added_and_a_training_takes_them_from_the_sample_that_its_journal_says(tmp_path: Path) -> None:
    one, two = folder(tmp_path / "one", 1), folder(tmp_path / "two", 10_000, shards=3)
    before = stream(one)
    state = before.state_after(10)
    head = [before.batch(step).input_ids.copy() for step in range(1, 40)]
    assert add_shards(one, [two]) == 3
    assert add_shards(one, [two]) == 0  # they are there
    assert words(one) == sorted([*words(folder(tmp_path / "same", 1)), *words(two)])
    manifest = one.read_json("manifest.json")
    assert [(h["version"], h["num_shards"]) for h in manifest["history"]] == [(1, 2), (2, 5)]
    grown = before.with_journal(Journal([{"at": 80, "grow": {"corpus": 5}}]))
    grown.load_state_dict(state)
    same = [np.array_equal(grown.batch(step).input_ids, head[step - 1]) for step in range(1, 40)]
    assert all(same[:20])
    assert not any(same[20:])
    new = [bool((grown.batch(step).labels >= 10_000).any()) for step in range(1, 40)]
    assert not any(new[:20])
    assert sum(new[20:]) > 10
    everything = stream(one)  # a new training has all from the start
    assert everything.pins["corpus"]["num_shards"] == 5


def test_an_added_shard_takes_a_number_that_no_other_has(tmp_path: Path) -> None:
    """A task of the tokenize stage that has no document leaves a gap."""
    one, two = folder(tmp_path / "one", 1), folder(tmp_path / "two", 10_000, shards=1)
    manifest, path = one.read_json("manifest.json"), tmp_path / "one"
    for end in ("arrow", "docs.parquet", "sums.npy"):
        (path / f"shard-00001.{end}").rename(path / f"shard-00002.{end}")
    text = (path / "manifest.json").read_text().replace("shard-00001", "shard-00002")
    (path / "manifest.json").write_text(text)
    before = words(one)
    add_shards(one, [two])
    assert [e["name"] for e in one.read_json("manifest.json")["shards"]] == [
        "shard-00000.arrow",
        "shard-00002.arrow",
        "shard-00003.arrow",
    ]
    assert words(one) == sorted([*before, *words(two)])
    assert one.read_json("manifest.json")["history"][0] == manifest["history"][0]


def test_shards_that_were_changed_by_hand_are_refused(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", 1)
    manifest = one.read_json("manifest.json")
    one.write_json("manifest.json", {**manifest, "shards": manifest["shards"][::-1]})
    with pytest.raises(DamagedError, match="shards, their order or their weights were changed by hand"):
        stream(one)


def test_shards_of_another_tokenizer_are_not_added(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", 1)
    identity = {**one.read_json("manifest.json")["tokenizer"], "sha256": "9" * 64}
    two = folder(tmp_path / "two", 10_000, tokenizer=identity)
    with pytest.raises(InputError, match="two was made with tokenizer 999999999999"):
        add_shards(one, [two])
    assert one.read_json("manifest.json")["num_documents"] == 40


def test_what_is_blanked_in_one_folder_stays_in_the_one_that_it_was_added_from(tmp_path: Path) -> None:
    one, two = folder(tmp_path / "one", 1), folder(tmp_path / "two", 10_000)
    add_shards(one, [two])
    before = words(two)
    blank(one, {"shard-00002.arrow": [3]})
    assert words(two) == before
    assert len(words(one)) < len(words(folder(tmp_path / "same", 1))) + len(before)
    for step in range(1, 60):  # every block has its checksum
        stream(one).batch(step)
        stream(two).batch(step)


def test_compacted_shards_have_all_but_the_blank_documents(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", 1, shards=3)
    sizes = np.diff(open_shards(one).shards[0].offsets)
    lost = sum(int(sizes[row]) for row in (0, 7, 19))
    blank(one, {"shard-00000.arrow": [0, 7, 19], "shard-00002.arrow": list(range(20))})
    new = Folder(str(tmp_path / "new"))
    documents, tokens = compact(one, new)
    assert documents == 23
    assert tokens == lost + int(open_shards(one).entries[2]["num_tokens"])
    assert words(new) == words(one)
    found = open_shards(new)
    assert [(e["name"], e["num_documents"]) for e in found.entries] == [
        ("shard-00000.arrow", 17),
        ("shard-00001.arrow", 20),
    ]
    sidecar = pq.read_table(new.local_path("shard-00000.docs.parquet"))
    assert sidecar["token_start"].to_pylist() == found.shards[0].offsets[:-1].tolist()
    assert None not in sidecar["url"].to_pylist()
    with pytest.raises(InputError, match="compact into a folder that is not there yet"):
        compact(one, new)


def test_a_training_goes_over_to_compacted_shards_where_its_next_lap_begins(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", 1, shards=3)
    blank(one, {"shard-00001.arrow": list(range(10))})
    new = Folder(str(tmp_path / "new"))
    compact(one, new)
    added = {"shards": new.url, "num_shards": 3, "fingerprint": open_shards(new).fingerprint}
    plain, changed = stream(one), stream(one, Journal([{"at": 20, "replace": {"corpus": added}}]))
    border = plain.samples.sources["corpus"].start(1)
    for step in range(1, border // 4):
        assert np.array_equal(plain.batch(step).input_ids, changed.batch(step).input_ids)
    rows = open_shards(new).num_tokens // 8  # a lap of the new ones, but for its tail
    samples = [changed.part(n // 4 + 1, n % 4, 1).labels.ravel().copy() for n in range(border, border + rows)]
    found = np.concatenate(samples)
    assert (found == -100).sum() == 0
    assert len(set(found.tolist()) - {EOS}) >= len(words(new)) - 8


def test_a_reader_that_meets_documents_just_blanked_reads_their_new_checksums(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", 1)
    reader = stream(one)
    reader.batch(1)  # shards are mapped, most blocks are not read yet
    reader._table._mapped[0].shard.checked[:] = 0
    blank(one, {"shard-00000.arrow": [1, 2]})
    for step in range(1, 30):
        reader.batch(step)


def test_shards_of_a_new_label_do_not_stop_a_training_that_began_without_them(tmp_path: Path) -> None:
    one, two = folder(tmp_path / "one", 1), folder(tmp_path / "two", 10_000)
    for shards, labels in ((one, ("en", "de")), (two, ("fr", "en"))):
        manifest = shards.read_json("manifest.json")
        for entry, label in zip(manifest["shards"], labels, strict=True):
            entry["source"] = label
        shards.write_json("manifest.json", manifest)
    add_shards(one, [two])
    weights = {"en": 0.5, "de": 0.5}
    settings = {"seed": 1, "sequence_length": 8, "batch_size": 4, "weights": weights}
    pinned = sources_of({"corpus": one}, weights, {"en": 2, "de": 2})
    before = TokenStream(pinned, **settings)
    assert all((before.batch(step).labels < 10_000).all() for step in range(1, 60))
    grown = TokenStream(pinned, **settings, journal=Journal([{"at": 40, "grow": {"en": 4}}]))
    seen = [(grown.batch(step).labels >= 10_000).any() for step in range(1, 60)]
    assert not any(seen[:10])
    assert any(seen[10:])
    with pytest.raises(InputError, match="none of the shards that were added to it is of de"):
        TokenStream(pinned, **settings, journal=Journal([{"at": 40, "grow": {"de": 4}}]))
    with pytest.raises(InputError, match=r"but the shards of .* are of: de, en, fr"):
        TokenStream(one, **settings)

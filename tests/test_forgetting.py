"""A document that is forgotten is nowhere any more, and nothing else has moved."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stream_corpora import source

from corpusmill import forgetting
from corpusmill.errors import DamagedError, InputError
from corpusmill.forgetting import forget
from corpusmill.mill import open_mill
from corpusmill.recipe import load_recipe
from corpusmill.storage import Folder, sha256_of
from corpusmill.studio.corpus_report import write_report
from corpusmill.tokenize import shard_changes
from corpusmill.tokenize.bpe_tokenizer import load_from_run
from corpusmill.tokenize.shard_changes import blank, compact
from corpusmill.tokenize.token_shards import open_shards
from corpusmill.train.stream import TokenStream
from corpusmill.train.stream.document_steps import changed_samples
from tests.dedup.near_runs import prose

SENTINEL = "The quagga sentinel drinks vermilion ink at seven bells."
URL = "https://gone.example/page"
SETTINGS = [
    "clean.language.wanted={}", "clean.rules=[]", "clean.editors=[]", "tokenize.vocab_size=500",
    "tokenize.heldout_permille=0", 'dedup.index.crawl="first"', 'dedup.index.folder="index"',
]  # fmt: skip


def rows() -> Iterator[dict[str, str]]:
    for i in range(60):
        text = prose(80, i)
        if i == 17:
            yield {"id": "planted", "url": URL, "text": f"{text} {SENTINEL} {prose(50, 500)}"}
            # a copy elsewhere, that dedup removes
            yield {
                "id": "repeated",
                "url": "https://a-copy-of-it.example/with/a/longer/address/page",
                "text": f"{text} {SENTINEL} {prose(50, 500)}",
            }
        else:
            yield {"id": f"doc-{i}", "url": f"https://stays.example/{i}", "text": text}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    (root / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
    with contextlib.chdir(root):
        mill_run()
    return root


def mill_run() -> None:
    """All stages to tokens, here."""
    recipe = load_recipe("sample", SETTINGS)
    with open_mill("run", recipe, inputs=["texts.jsonl"], workers=1) as mill:
        for stage in ("clean", "dedup", "tokenize"):
            mill.run(stage)
    write_report(Folder("run"))


@pytest.fixture
def root(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its own copy of the run and its index, where the test then is."""
    shutil.copytree(made, tmp_path / "made")
    said = tmp_path / "made/run/run.json"
    said.write_text(json.dumps(json.loads(said.read_text()) | {"working_folder": str(tmp_path / "made")}))
    monkeypatch.chdir(tmp_path / "made")
    return tmp_path / "made"


def everything(folder: Path) -> dict[str, str]:
    """All that the files of a run and its index say, as text: Parquet and JSON decoded, tokens decoded."""
    tokenizer = load_from_run(Folder(str(folder / "run")))
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = str(path.relative_to(folder))
        if path.suffix == ".parquet":
            found[name] = str(pq.read_table(path).to_pylist())
        elif path.suffix == ".arrow":
            with pa.memory_map(str(path)) as source:
                tokens = pa.ipc.open_file(source).read_all().column(0)
                found[name] = "".join(tokenizer.decode(t, skip_special_tokens=False) for t in tokens.to_pylist())
        else:
            found[name] = path.read_bytes().decode("utf-8", "replace")
    return found


def mentions(folder: Path, what: str) -> set[str]:
    return {name for name, said in everything(folder).items() if what in said} - {"texts.jsonl"}


def stream(root: Path) -> TokenStream:
    return TokenStream(Folder(str(root / "run/shards")), seed=3, sequence_length=64, batch_size=4)


def test_before_it_is_in_many_places(root: Path) -> None:
    names = mentions(root, "quagga sentinel")
    assert {"run/documents/part-00000.parquet", "run/shards/shard-00000.arrow"} <= names
    assert any(name.startswith("index/") for name in mentions(root, URL))
    assert any(name.startswith("run/shards/") for name in mentions(root, URL))


def test_a_forgotten_document_is_nowhere_and_no_other_sample_moved(root: Path) -> None:
    before = stream(root)
    state = before.state_dict()
    batches = [before.batch(step) for step in range(1, 60)]
    kept = [(b.input_ids.copy(), b.labels.copy(), b.positions.copy(), b.segments.copy()) for b in batches]
    (place,) = np.flatnonzero(np.array(ids(root)) == "planted")
    run = Folder(str(root / "run"))
    done = forget(run, urls=[URL], copies=True)
    assert (done.documents["shards"], done.crawls) == (1, {"first": 2})
    for what in (
        "quagga sentinel",
        URL,
        "planted",
        "https://a-copy-of-it.example/with/a/longer/address/page",
        "repeated",
    ):
        assert mentions(root, what) == set(), what
    after = stream(root)
    after.load_state_dict(state)
    changed = 0
    for step, (input_ids, labels, positions, segments) in enumerate(kept, 1):
        batch = after.batch(step)
        assert np.array_equal(batch.segments, segments)
        assert np.array_equal(batch.positions, positions)
        mine = np.repeat(segments[:, 1] == place, segments[:, 3]).reshape(labels.shape)
        assert np.array_equal(batch.input_ids[~mine], input_ids[~mine])
        assert np.array_equal(batch.labels[~mine], labels[~mine])
        assert (batch.labels[mine] == -100).all()
        assert (batch.input_ids[mine] == after.eos_token_id).all()
        changed += int(mine.any())
    (told,) = changed_samples(after, state["versions"], 59)
    assert (told["shard"], told["document"]) == ("shard-00000.arrow", place)
    assert len({step for step, _ in told["steps"]}) == changed > 0


def ids(root: Path) -> list[str]:
    found: list[str] = pq.read_table(root / "run/shards/shard-00000.docs.parquet")["id"].to_pylist()
    return found


def test_a_copy_stays_if_it_is_not_asked_for(root: Path) -> None:
    forget(Folder(str(root / "run")), urls=[URL])
    assert mentions(root, URL) == set()
    assert mentions(root, "planted") == set()  # nor do rows of its copies name it by id
    assert mentions(root, "quagga sentinel") - {"run/report.html"} == {"run/documents/part-00000.parquet"}
    assert "run/removed/part-00000.parquet" in mentions(root, "https://a-copy-of-it.example/with/a/longer/address/page")


def test_the_manifest_has_a_new_version_and_the_old_fingerprint_and_checksums_fit(root: Path) -> None:
    run = Folder(str(root / "run"))
    before = run.read_json("shards/manifest.json")
    forget(run, ids=["planted"])
    after = run.read_json("shards/manifest.json")
    assert (after["version"], after["fingerprint"]) == (2, before["fingerprint"])
    (entry,) = after["shards"]
    assert entry["sha256"] == sha256_of(root / "run/shards/shard-00000.arrow") != before["shards"][0]["sha256"]
    assert entry["sealed_sha256"] == before["shards"][0]["sha256"]
    read_whole(root)


def read_whole(root: Path) -> None:
    """Every block of the shards is compared with its checksum."""
    one = stream(root)
    for step in range(1, one.samples.sources["corpus"].start(1) // 4 + 2):
        one.batch(step)


def test_the_run_counts_as_done_afterwards(root: Path) -> None:
    run = Folder(str(root / "run"))
    forget(run, urls=[URL])
    shards = (root / "run/shards/manifest.json").read_bytes()
    mill_run()
    assert (root / "run/shards/manifest.json").read_bytes() == shards
    assert mentions(root, URL) == set()


@pytest.mark.parametrize("where", ["blank", "replace_outputs", "_rewrite", "write_sums"])
def test_one_that_was_interrupted_is_ended_by_the_next(root: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Folder(str(root / "run"))

    def fails(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    target: Any = {"blank": shard_changes, "write_sums": shard_changes, "_rewrite": forgetting._Forgetting}.get(
        where, forgetting
    )
    with monkeypatch.context() as patched:
        patched.setattr(target, where, fails)
        with pytest.raises(KeyboardInterrupt):
            forget(run, urls=[URL])
    with (
        pytest.raises(InputError, match="forgetting documents was interrupted"),
        open_mill(run.url, load_recipe("sample")),
    ):
        pass
    forget(run)
    assert mentions(root, URL) == set()
    assert not run.exists("forgetting.json")
    read_whole(root)
    for name, out in run.read_json("tokenize/manifest.json")["outputs"].items():
        assert out["sha256"] == sha256_of(root / "run" / name), name


def test_a_host_is_forgotten_in_rows_that_were_removed_too(root: Path) -> None:
    """Rows of removed documents have no host."""
    forget(Folder(str(root / "run")), hosts=["a-copy-of-it.example"])
    assert mentions(root, "a-copy-of-it.example") == set()
    assert mentions(root, "repeated") == set()


def test_a_host_is_forgotten_whole(root: Path) -> None:
    done = forget(Folder(str(root / "run")), hosts=["STAYS.example"])
    assert done.documents["shards"] == 59
    assert mentions(root, "stays.example") == set()
    tokens = open_shards(Folder(str(root / "run/shards"))).shards[0].tokens
    assert (tokens != open_shards(Folder(str(root / "run/shards"))).eos_token_id).sum() > 0  # the planted one stays


def test_a_folder_of_shards_alone(root: Path) -> None:
    with pytest.raises(InputError, match="is part of a run, which would keep texts"):
        forget(Folder(str(root / "run/shards")), urls=[URL])
    shutil.copytree(root / "run/shards", root / "alone")
    forget(Folder(str(root / "alone")), urls=[URL])
    assert not {n for n in mentions(root, "quagga sentinel") | mentions(root, URL) if n.startswith("alone/")}


def test_an_index_that_is_not_there_is_said_before_anything_changes(root: Path) -> None:
    shutil.move(root / "index", root / "elsewhere")
    before = {p: sha256_of(p) for p in root.rglob("*") if p.is_file()}
    with pytest.raises(InputError, match="deduplicated against the index index, which is not there"):
        forget(Folder(str(root / "run")), urls=[URL])
    assert {p: sha256_of(p) for p in root.rglob("*") if p.is_file()} == before


def test_the_index_is_found_from_another_folder(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert forget(Folder(str(root / "run")), urls=[URL]).crawls == {"first": 1}


def test_a_byte_that_flipped_elsewhere_in_the_shard_stays_found_out(tmp_path: Path) -> None:
    folder = source(tmp_path, 9, documents=4000, longest=200, shards=1, first=1)
    path = folder.local_path("shard-00000.arrow")
    flipped = bytearray(path.read_bytes())
    flipped[9 * 65_536 + 17] ^= 1
    path.write_bytes(flipped)
    blank(folder, {"shard-00000.arrow": [5]})
    one = TokenStream(folder, seed=1, sequence_length=64, batch_size=8)
    with pytest.raises(DamagedError, match="bytes 589,824 to 655,359 are not those that were written"):
        [one.batch(step) for step in range(1, 1000)]
    with pytest.raises(DamagedError, match="bytes 589,824 to 655,359"):
        compact(folder, Folder(str(tmp_path / "new")))


@pytest.mark.parametrize(("asked", "what"), [({}, "nothing is chosen"), ({"urls": ["https://x/"]}, "no document of")])
def test_nothing_to_forget_is_said(root: Path, asked: dict[str, Any], what: str) -> None:
    before = {p: sha256_of(p) for p in root.rglob("*") if p.is_file() and p.name not in ("report.html",)}
    with pytest.raises(InputError, match=what):
        forget(Folder(str(root / "run")), **asked)
    assert {p: sha256_of(p) for p in root.rglob("*") if p.is_file() and p.name not in ("report.html",)} == before

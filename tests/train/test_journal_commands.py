"""The journal by command: entries are checked against the training before they are written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fixtures_shards import write_shards
from stream_corpora import arrays, distinct_documents
from test_batch_trace import trained
from typer.testing import CliRunner

from corpusmill.cli import app
from corpusmill.errors import InputError
from corpusmill.recipe import stored_train
from corpusmill.storage import Folder
from corpusmill.tokenize.shard_changes import add_shards, blank, compact
from corpusmill.tokenize.shard_files import shards_manifest
from corpusmill.train.stream.batch_trace import traced_stream
from corpusmill.train.stream.journal import read_journal
from corpusmill.train.train_settings import prepare_stream


@pytest.fixture
def run(tmp_path: Path) -> Folder:
    """A training of two sources of which five steps are done."""
    write_shards(tmp_path / "run/shards", [distinct_documents(*range(3, 30))])
    write_shards(tmp_path / "code", [distinct_documents(*range(3, 20), first=5000)])
    run = Folder(str(tmp_path / "run"))
    code = Folder(str(tmp_path / "code"))
    settings = {"seed": 3, "sequence_length": 8, "batch_size": 4, "steps": 50}
    trained(run, **settings)
    tokenizer = run.read_json("shards/manifest.json")["tokenizer"]
    code.write_json("manifest.json", shards_manifest(tokenizer, code.read_json("manifest.json")["shards"]))
    (tmp_path / "run/train/settings.json").unlink()
    mixture = {"corpus": 0.5, "code": 0.5}
    trained(run, **settings, sources={"code": code.url}, mixture=mixture)
    run.write_bytes("train/metrics.jsonl", b"".join(json.dumps({"step": s}).encode() + b"\n" for s in range(1, 6)))
    return run


def corpusmill(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["journal", *arguments], catch_exceptions=False, standalone_mode=False)
    if isinstance(done.exception, Exception):
        raise done.exception
    return done.output


def test_weights_are_changed_from_a_step_on(run: Folder) -> None:
    said = corpusmill("weigh", run.url, "corpus=0.75", "code=0.25", "--at-step", "11", "--why", "more prose")
    assert "from step 11 (sample 40) on" in said
    _, stream = traced_stream(run)
    assert (arrays(stream.samples.place(40, 40), 40)[0] == 0).sum() == 30
    assert "more prose" in corpusmill("show", run.url)


def test_a_source_is_added_and_one_grows_and_samples_are_skipped(run: Folder, tmp_path: Path) -> None:
    late = write_shards(tmp_path / "late", [distinct_documents(9, 9, 9, first=9000)])
    tokenizer = run.read_json("shards/manifest.json")["tokenizer"]
    late.write_json("manifest.json", shards_manifest(tokenizer, late.read_json("manifest.json")["shards"]))
    corpusmill("add", run.url, "late", late.url, "corpus=1", "code=1", "late=2", "--at-step", "20")
    add_shards(run.sub("shards"), [late])
    corpusmill("grow", run.url, "corpus", "--at-step", "25")
    corpusmill("skip", run.url, "30", "31", "--why", "a spike")
    entries = read_journal(run.sub("train")).entries
    assert [(e.at, bool(e.add), e.grow, e.skip) for e in entries] == [
        (76, True, {}, None),
        (96, False, {"corpus": 2}, None),
        (116, False, {}, (116, 124)),
    ]
    _, stream = traced_stream(run)
    assert stream.first_sample(30) == 124
    assert (stream.batch(21).labels >= 9000).any()


def test_a_packed_training_grows_and_goes_over_to_compacted_shards_by_command(run: Folder, tmp_path: Path) -> None:
    """The commands pack what is added, and the training finds it packed."""
    settings = run.read_json("train/settings.json")
    run.write_json("train/settings.json", {**settings, "train": {**settings["train"], "packing": "best_fit"}})
    prepare_stream(run, stored_train({**settings["train"], "packing": "best_fit"}))
    late = write_shards(tmp_path / "late", [distinct_documents(5, 6, 7, first=9000)])
    tokenizer = run.read_json("shards/manifest.json")["tokenizer"]
    late.write_json("manifest.json", shards_manifest(tokenizer, late.read_json("manifest.json")["shards"]))
    add_shards(run.sub("shards"), [late])
    code = Folder(str(tmp_path / "code"))
    blank(code, {"shard-00000.arrow": [0, 4]})
    compact(code, Folder(str(tmp_path / "compacted")))
    corpusmill("grow", run.url, "corpus", "--at-step", "12")
    corpusmill("replace", run.url, "code", str(tmp_path / "compacted"), "--at-step", "15")
    corpusmill("add", run.url, "more", late.url, "corpus=1", "code=1", "more=1", "--at-step", "20")
    _, stream = traced_stream(run)
    assert any((stream.batch(step).labels >= 9000).any() for step in range(12, 20))
    assert (stream.batch(21).labels >= 9000).any()


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["weigh", "RUN", "corpus=1", "code=1", "--at-step", "6"], "step 6 is not to come any more, or may begin now"),
        (["weigh", "RUN", "corpus=1", "code=1", "--at-step", "51"], "there is no step 51"),
        (["weigh", "RUN", "corpus=1", "--at-step", "9"], "code has no weight"),
        (["weigh", "RUN", "corpus=1", "code=x", "--at-step", "9"], "code=x is no weight"),
        (["weigh", "RUN", "corpus=1", "wiki=1", "--at-step", "9"], "wiki is no source"),
        (["grow", "RUN", "corpus", "--at-step", "9"], "corpus has 1 shards already"),
        (["grow", "RUN", "wiki", "--at-step", "9"], "wiki is no source of this training: they are corpus, code"),
        (["skip", "RUN", "12", "10"], "steps 12 to 10 are none"),
    ],
)
def test_an_entry_that_cannot_be_is_refused_and_not_written(run: Folder, arguments: list[str], what: str) -> None:
    with pytest.raises(InputError, match=what):
        corpusmill(*[run.url if a == "RUN" else a for a in arguments])
    assert not run.exists("train/journal.jsonl")


def test_a_line_that_was_changed_by_hand_is_named(run: Folder) -> None:
    run.write_bytes(
        "train/journal.jsonl", b'{"at": 40, "weights": {"corpus": 1, "code": 1}}\n{"at": 3, "weihgts": {}}\n'
    )
    with pytest.raises(InputError, match=r"journal\.jsonl, line 2: weihgts: Extra inputs"):
        read_journal(run.sub("train"))

"""What a training was started with, RUN/train/settings.json, and whether a restart may go on from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from corpusmill.errors import InputError
from corpusmill.recipe import Train
from corpusmill.storage import Folder, sha256_of
from corpusmill.tokenize.token_shards import read_manifest
from corpusmill.train import deepspeed_config
from corpusmill.train.process_lines import tell
from corpusmill.train.stream.document_steps import changed_samples
from corpusmill.train.stream.journal import Journal, read_journal
from corpusmill.train.stream.packing import PackedIndex, open_index, prepare
from corpusmill.train.stream.sources import CORPUS, Source, all_strata, shards_at, sources_of
from corpusmill.train.stream.token_stream import Middles, TokenStream, packing_of, sentinel_ids

SETTINGS = "settings.json"
FINAL = "final.json"
"""RUN/train/final.json: what came out, written when all steps are done."""

CHANGES = "changed_samples.json"
"""RUN/train/changed_samples.json: which samples are not what they were when the training began."""

_FREE = {"checkpoint_every", "keep_checkpoints"}
"""Settings that do not touch the weights and may change between restarts."""


def open_stream(run: Folder, train: Train, journal: Journal | None = None) -> TokenStream:
    """The stream that a training in RUN reads, of the shards that it began with and as its journal says.

    InputError if RUN/tokenizer is not the one that made them.
    """
    folder = run.sub("train")
    stream = TokenStream(
        pinned_sources(run, train),
        seed=train.seed,
        sequence_length=train.sequence_length,
        batch_size=train.batch_size,
        packing=train.packing,
        weights=train.mixture,
        lengths=train.lengths,
        middles=middles_of(run, train),
        journal=read_journal(folder) if journal is None else journal,
    )
    _require_same_tokenizer(run, stream)
    return stream


def prepare_stream(
    run: Folder,
    train: Train,
    progress: Callable[[int, int], None] = lambda done, of: None,
    journal: Journal | None = None,
) -> list[PackedIndex]:
    """Pack documents into rows, where the recipe wants that and it is not done; the indices of all rows."""
    if train.packing != "best_fit":
        return []
    packing = packing_of(train.sequence_length, middles_of(run, train))
    strata = all_strata(pinned_sources(run, train), read_journal(run.sub("train")) if journal is None else journal)
    for shards in strata:
        prepare(shards, packing, progress)
    return [open_index(shards, packing) for shards in strata]


def pinned_sources(run: Folder, train: Train) -> dict[str, Source]:
    """The sources that the recipe names, with as many shards as the training began with, if it did."""
    folder = run.sub("train")
    stored = folder.read_json(SETTINGS).get("sources", {}) if folder.exists(SETTINGS) else {}
    folders = {CORPUS: run.sub("shards")} | {name: shards_at(path) for name, path in train.sources.items()}
    return sources_of(folders, train.mixture, {name: int(pin["num_shards"]) for name, pin in stored.items()})


def middles_of(run: Folder, train: Train) -> Middles | None:
    """Fill-in-the-middle as the recipe wants it, with the sentinels of the run's tokenizer."""
    if not train.fill_in_the_middle:
        return None
    ids = sentinel_ids(read_manifest(run.sub("shards"))["tokenizer"])
    return Middles(train.fill_in_the_middle, train.suffix_first, *ids)


def tell_changes(train: Folder, stream: TokenStream, versions: Mapping[str, int], last_step: int) -> None:
    """Say which samples hold documents that were forgotten since a checkpoint, and keep it in CHANGES."""
    changed = changed_samples(stream, versions, last_step)
    if not changed:
        return
    for document in changed:
        if document["steps"] is None:
            continue
        steps = sorted({step for step, _ in document["steps"]})
        done = [step for step in steps if step < stream.next_step]
        tell(
            f"document {document['document']} of {document['shard']} was forgotten: it was in {len(done)} steps before "
            f"step {stream.next_step} and is blank in {len(steps) - len(done)} to come"
        )
    known = train.read_json(CHANGES)["changed"] if train.exists(CHANGES) else []
    known = [change for change in known if change["from_step"] != stream.next_step]
    train.write_json(CHANGES, {"format": 1, "changed": [*known, {"from_step": stream.next_step, "documents": changed}]})


def finished(run: Folder, train: Train, ranks: int) -> dict[str, Any] | None:
    """What final.json says, or None while training is not done. InputError if it was done with other settings."""
    folder = run.sub("train")
    if not folder.exists(FINAL):
        return None
    config = deepspeed_config.resolve(train, ranks)
    require_same(folder, describe(train, open_stream(run, train), config, ranks))
    return dict(folder.read_json(FINAL))


def describe(train: Train, stream: TokenStream, deepspeed: dict[str, Any], ranks: int) -> dict[str, Any]:
    """All that decides the weights. The path of the DeepSpeed file is left out, its content is in."""
    return {
        "format": 1,
        "train": train.model_dump(mode="json", exclude={"ranks", "deepspeed"}),
        "deepspeed": deepspeed,
        "ranks": ranks,
        "sources": stream.pins,
        "tokenizer": stream.manifest["tokenizer"],
        "vocab_size": stream.vocab_size,
    }


def require_same(train: Folder, settings: dict[str, Any]) -> None:
    """Refuse, naming the setting, to go on with a training that was started with others."""
    stored = train.read_json(SETTINGS)
    if stored.get("ranks") != settings["ranks"]:
        raise InputError(
            f"{train.url}: this training was started with {stored.get('ranks')} ranks, this start has "
            f"{settings['ranks']}; DeepSpeed's ZeRO checkpoints open with the same number only. Use that number, "
            "or remove the folder to start again"
        )
    old, new = _flat(stored), _flat(settings)
    for key in sorted(old.keys() | new.keys()):
        if key.removeprefix("train.") not in _FREE and old.get(key) != new.get(key):
            raise InputError(
                f"{train.url}: this training was started with {key} = {old.get(key)!r}, now it is {new.get(key)!r}. "
                "Set it back to go on, or remove the folder (or choose another run) to start again"
            )


def _require_same_tokenizer(run: Folder, stream: TokenStream) -> None:
    path = run.local_path("tokenizer/tokenizer.json")
    expected = stream.manifest["tokenizer"].get("sha256")
    found = sha256_of(path) if path.is_file() else "none"
    if found != expected:
        raise InputError(
            f"{run.url}/tokenizer/tokenizer.json is {found[:12]}, the shards were made with {str(expected)[:12]}: "
            "token ids would mean other words. Put the tokenizer back, or run the tokenize stage again"
        )


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat.update(_flat(inner, f"{prefix}.{key}" if prefix else key))
    return flat

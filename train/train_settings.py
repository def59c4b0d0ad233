"""What a training was started with, RUN/train/settings.json, and whether a restart may go on from it."""

from __future__ import annotations

from typing import Any

from corpusmill.errors import InputError
from corpusmill.recipe import Train
from corpusmill.storage import Folder, sha256_of
from corpusmill.train import deepspeed_config
from corpusmill.train.stream import TokenStream
from corpusmill.train.token_shards import TokenShards

SETTINGS = "settings.json"
FINAL = "final.json"
"""RUN/train/final.json: what came out, written when all steps are done."""

_FREE = {"checkpoint_every", "keep_checkpoints"}
"""Settings that do not touch the weights and may change between restarts."""


def open_stream(run: Folder, train: Train) -> TokenStream:
    """The stream over RUN/shards; InputError if RUN/tokenizer is not the one that made them."""
    stream = TokenStream(
        run.sub("shards"), seed=train.seed, sequence_length=train.sequence_length, batch_size=train.batch_size
    )
    _require_same_tokenizer(run, stream.shards)
    return stream


def finished(run: Folder, train: Train, ranks: int) -> dict[str, Any] | None:
    """What final.json says, or None while training is not done. InputError if it was done with other settings."""
    folder = run.sub("train")
    if not folder.exists(FINAL):
        return None
    config = deepspeed_config.resolve(train, ranks)
    require_same(folder, describe(train, open_stream(run, train).shards, config, ranks))
    return dict(folder.read_json(FINAL))


def describe(train: Train, shards: TokenShards, deepspeed: dict[str, Any], ranks: int) -> dict[str, Any]:
    """All that decides the weights. The path of the DeepSpeed file is left out, its content is in."""
    return {
        "format": 1,
        "train": train.model_dump(mode="json", exclude={"ranks", "deepspeed"}),
        "deepspeed": deepspeed,
        "ranks": ranks,
        "fingerprint": shards.fingerprint,
        "tokenizer": shards.manifest["tokenizer"],
        "vocab_size": shards.vocab_size,
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


def _require_same_tokenizer(run: Folder, shards: TokenShards) -> None:
    path = run.local_path("tokenizer/tokenizer.json")
    expected = shards.manifest["tokenizer"].get("sha256")
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

"""The sources of a stream: folders of shards, pinned to what they held when the training began."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpusmill.errors import DamagedError, InputError
from corpusmill.storage import Folder, digest
from corpusmill.tokenize.token_shards import MANIFEST, TokenShards, fingerprint_of, read_manifest, require_files
from corpusmill.train.stream.journal import AddedSource, Journal
from corpusmill.train.stream.mixture import LONGEST_PERIOD

_DECIDING = ("eos_token_id", "vocab_size")

CORPUS = "corpus"
"""The name of the one source of a stream without a mixture."""


@dataclass(frozen=True)
class Source:
    """Shards of a folder: the first `num_shards` of its manifest (None: all that it has now) whose entries' `source` is
    `label` (None: whatever it is)."""

    folder: Folder
    num_shards: int | None = None
    label: str | None = None


def sources_of(
    folders: Mapping[str, Folder], weights: Mapping[str, float] | None, pinned: Mapping[str, int] | None = None
) -> dict[str, Source]:
    """The sources of a mixture: those folders, or the labels within a single one that the weights name.

    `pinned` says how many of its manifest's shards each began with.
    """
    sizes = pinned or {}
    if len(folders) == 1 and weights and not weights.keys() <= folders.keys():
        (folder,) = folders.values()
        began = next((sizes[name] for name in weights if name in sizes), None)
        labels = sorted({label_of(e) for e in read_manifest(folder)["shards"][:began]})
        if weights.keys() != set(labels):
            raise InputError(
                f"a mixture of {', '.join(weights)}, but the shards of {folder.url} are of: {', '.join(labels)}. Give "
                "each of these a weight, 0 where one is not to be used"
            )
        return {label: Source(folder, sizes.get(label), label) for label in labels}
    return {name: Source(folder, sizes.get(name)) for name, folder in folders.items()}


def shards_at(path: str) -> Folder:
    """A folder of shards, or the one in a run folder."""
    folder = Folder(path)
    return folder.sub("shards") if not folder.exists(MANIFEST) and folder.exists(f"shards/{MANIFEST}") else folder


def all_strata(sources: Mapping[str, Source], journal: Journal) -> list[TokenShards]:
    """What the sources begin with, and what the journal adds to them."""
    opened = {name: OpenSource(name, source) for name, source in sources.items()}
    found = [source.first for source in opened.values()]
    for entry in journal.entries:
        found += [opened[name].grown(count) for name, count in entry.grow.items() if name in opened]
        for name, added in (entry.replace | entry.add).items():
            opened[name] = open_added(name, added, opened[name].label if name in entry.replace else None)
            found.append(opened[name].first)
    return found


def open_added(name: str, added: AddedSource, label: str | None = None) -> OpenSource:
    """A source that the journal names, of one label if it replaces one that is. InputError if its folder holds other
    shards than it did then."""
    source = OpenSource(name, Source(Folder(added.shards), added.num_shards, label))
    if (found := source.sealed(added.num_shards)) != added.fingerprint:
        raise InputError(
            f"{added.shards} holds {found[:12]}, the journal has {added.fingerprint[:12]} for "
            f"{name}: these are other shards. Put the others back"
        )
    return source


def label_of(entry: Mapping[str, Any]) -> str:
    return str(entry.get("source") or CORPUS)


class OpenSource:
    """A source with its manifest: the stratum it begins with, and those by which it may grow."""

    def __init__(self, name: str, source: Source, manifest: dict[str, Any] | None = None) -> None:
        """Open a source; `manifest` is its folder's, where that was read already."""
        self.name, self.folder, self.label = name, source.folder, source.label
        self.manifest = manifest or read_manifest(source.folder)
        self._sizes = sealed_sizes(self.manifest)
        self.num_shards = source.num_shards or max(self._sizes)
        self.first = self._stratum(0, self.num_shards)
        if self.first.num_tokens == 0:
            raise InputError(
                f"{source.folder.url} holds no tokens{'' if source.label is None else ' of ' + source.label}: nothing "
                "was kept to train on. See the report for what was dropped"
            )

    def grown(self, num_shards: int) -> TokenShards:
        """The stratum of the shards that came since, up to `num_shards`; the source then has as many."""
        if num_shards <= self.num_shards:
            raise InputError(f"{self.name} has {self.num_shards} shards already; it cannot grow to {num_shards}")
        stratum = self._stratum(self.num_shards, num_shards)
        if not stratum.entries:
            raise InputError(f"{self.folder.url}: none of the shards that were added to it is of {self.label}")
        self.num_shards = num_shards
        return stratum

    def describe(self) -> dict[str, Any]:
        """What pins it."""
        return {"num_shards": self.num_shards, "fingerprint": self.first.fingerprint}

    def sealed(self, num_shards: int) -> str:
        """The fingerprint of the folder's first shards. DamagedError if it is not what they were sealed under."""
        if num_shards not in self._sizes:
            raise DamagedError(
                f"{self.folder.url} was never sealed with {num_shards} shards, but with {sorted(self._sizes)}: it is "
                "another folder than the training began with, or its manifest was changed. Put that back, or remove "
                "the train folder to begin anew"
            )
        entries = self.manifest["shards"][:num_shards]
        found = fingerprint_of(str(self.manifest["tokenizer"]["sha256"]), entries)
        if "history" in self.manifest and found != self._sizes[num_shards]:
            raise DamagedError(
                f"{self.folder.url}/{MANIFEST}: its shards are {found[:12]}, it says {self._sizes[num_shards][:12]}: "
                "shards, their order or their weights were changed by hand. Put it back"
            )
        return self._sizes[num_shards]

    def _stratum(self, start: int, stop: int) -> TokenShards:
        fingerprint = self.sealed(stop)
        entries = self.manifest["shards"][start:stop]
        chosen = tuple(e for e in entries if self.label is None or label_of(e) == self.label)
        if self.label is not None:
            fingerprint = digest([fingerprint, self.label, [e.get("sealed_sha256", e["sha256"]) for e in chosen]])
        stratum = TokenShards(self.folder, self.manifest, chosen, fingerprint)
        require_files(stratum)
        return stratum


def sealed_sizes(manifest: Mapping[str, Any]) -> dict[int, str]:
    """Numbers of shards with which the folder was sealed, and the fingerprint of each."""
    sealed = {int(h["num_shards"]): str(h["fingerprint"]) for h in manifest.get("history", []) if "num_shards" in h}
    return sealed or {len(manifest["shards"]): str(manifest["fingerprint"])}  # one of before there were versions


def require_one_tokenizer(sources: Mapping[str, OpenSource]) -> None:
    """InputError names the source whose ids mean other words."""
    first = next(iter(sources.values()))
    for source in sources.values():
        ours, theirs = first.manifest["tokenizer"], source.manifest["tokenizer"]
        if theirs["sha256"] == ours["sha256"] and any(theirs[key] != ours[key] for key in _DECIDING):
            raise InputError(
                f"{source.folder.url} ({source.name}) and {first.folder.url} ({first.name}) are of one tokenizer, but "
                + ", ".join(f"{key} is {theirs[key]} and {ours[key]}" for key in _DECIDING)
                + ": documents would end in other tokens. Make one of them again"
            )
        if theirs["sha256"] != ours["sha256"]:
            raise InputError(
                f"{source.folder.url} ({source.name}) was made with tokenizer {theirs['sha256'][:12]}, "
                f"{first.folder.url} ({first.name}) with {ours['sha256'][:12]}: token ids would mean other words. Make "
                "its shards with the other's tokenizer (tokenize.tokenizer)"
            )


def natural_weights(sources: Mapping[str, OpenSource]) -> dict[str, float]:
    """As many samples of each as it has tokens."""
    tokens = {name: source.first.num_tokens for name, source in sources.items()}
    least = sum(tokens.values()) / (LONGEST_PERIOD // 2)  # a sample in the longest period, and room for rounding
    return {name: max(float(count), least) for name, count in tokens.items()}


def token_type(manifest: Mapping[str, Any]) -> np.dtype:
    return np.dtype(str(manifest["token_type"]))

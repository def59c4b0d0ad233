"""Everything the report says, collected from a run folder. A stage that has not finished is absent.

Nothing here depends on the clock, the machine or where the folder lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from corpusmill.ledger import StageLedger, verify_outputs
from corpusmill.storage import Folder
from corpusmill.studio import duplicate_facts, page_facts
from corpusmill.studio.duplicate_facts import Duplicates
from corpusmill.studio.page_facts import Dropped, Kept
from corpusmill.studio.token_facts import TokenFacts, read_tokens
from corpusmill.studio.training_facts import Training, read_evaluation, read_training

STAGES = ("clean", "dedup", "tokenize")
INPUTS_SHOWN = 200
_FEEDS = {"dedup": ("documents/",), "tokenize": ("documents/", "removed/", "cuts/")}


@dataclass(frozen=True, slots=True)
class Identity:
    """A sum that must come out: `whole` equals the sum of `parts`, each with what it counts."""

    whole: tuple[str, int]
    parts: list[tuple[str, int]]

    @property
    def difference(self) -> int:
        return self.whole[1] - sum(n for _, n in self.parts)


@dataclass(frozen=True, slots=True)
class RunFacts:
    name: str
    manifests: dict[str, dict[str, Any]]
    settings: dict[str, dict[str, Any]]
    outdated: list[str]
    """Stages whose output was made from an earlier state of the stage before; the report leaves them out."""
    inputs: list[dict[str, Any]]
    kept: Kept | None
    dropped: Dropped | None
    duplicates: Duplicates | None
    sample: list[Mapping[str, Any]]
    tokens: TokenFacts | None
    training: Training | None
    evaluation: dict[str, Any] | None

    def counts(self, stage: str) -> dict[str, Any] | None:
        return self.manifests[stage]["counts"] if stage in self.manifests else None


def collect(run: Folder) -> RunFacts:
    """Read the run. Raises DamagedError, by name, where a finished stage's file is missing or has another size."""
    manifests, outdated = _finished(run)
    for manifest in manifests.values():
        verify_outputs(run, manifest)
    settings = {stage: run.read_json(f"{stage}/settings.json")["settings"] for stage in manifests}
    kept = dropped = duplicates = None
    removed = np.zeros(0, np.int64)
    sample: list[Mapping[str, Any]] = []
    if "dedup" in manifests:
        rows = duplicate_facts.read_removed(run, manifests["dedup"]["parts"])
        removed = rows.address
        duplicates = duplicate_facts.describe(run, rows, float(settings["dedup"]["verify"]))
    if "clean" in manifests:
        kept = page_facts.read_kept(run, manifests["clean"]["parts"], removed)
        dropped = page_facts.read_dropped(run, manifests["clean"]["parts"])
        columns = ("url", "title", "text", "language", "language_score", "measures")
        found = page_facts.rows_at(run, (address for _, address in kept.sample), columns)
        sample = [found[address] for _, address in kept.sample]
    return RunFacts(
        _name(run), manifests, settings, outdated, _inputs(run, manifests), kept, dropped, duplicates, sample,
        read_tokens(run) if "tokenize" in manifests else None, read_training(run), read_evaluation(run),
    )  # fmt: skip


def identities(facts: RunFacts) -> list[Identity]:
    """The sums the report shows and checks, as far as the stages have run."""
    found = []
    cleaned, deduplicated, tokenised = (facts.counts(s) for s in STAGES)
    if cleaned is not None and facts.kept is not None and facts.dropped is not None:
        found.append(_first("records", cleaned, cleaned["records"]))
        found.append(_first("bytes of the archives", cleaned["archive_bytes"], cleaned["archive_bytes"]["read"]))
        for name, whole, rows in (
            ("documents counted", cleaned["documents"], facts.kept.rows),
            ("dropped rows counted", sum(cleaned["dropped"].values()), facts.dropped.rows),
        ):
            found.append(Identity((name, whole), [("found on the disk", rows)]))
    if tokenised is not None and facts.tokens is not None:
        whole = sum(tokenised[kind]["tokens"] for kind in ("shards", "heldout"))
        found.append(Identity(("tokens counted", whole), [("found in the sidecars of shards", facts.tokens.counted)]))
    if cleaned is not None and deduplicated is not None and tokenised is not None:
        lost = {"refused": sum(tokenised.get("refused", {}).values())}
        found.append(_second("documents", cleaned["documents"], deduplicated["removed"], tokenised, "documents", lost))
        lost = {"refused": sum(tokenised.get("refused_bytes", {}).values()), "cut": tokenised["cut_bytes"]}
        removed = deduplicated["removed_bytes"]
        found.append(_second("bytes of text", cleaned["text_bytes"], removed, tokenised, "text_bytes", lost))
    return found


def _first(name: str, counts: Mapping[str, Any], whole: int) -> Identity:
    parts = [
        ("not a response", sum(counts["not_response"].values())),
        ("dropped", sum(counts["dropped"].values())),
        ("of documents" if name.startswith("bytes") else "documents", counts["documents"]),
    ]
    return Identity((name, whole), parts)


def _second(
    name: str, whole: int, removed: Mapping[str, int], tokenised: Mapping[str, Any], key: str, lost: Mapping[str, int]
) -> Identity:
    parts = [("removed", sum(removed.values())), ("tokenised for training", tokenised["shards"][key])]
    parts += [
        ("tokenised and held out", tokenised["heldout"][key]),
        *((n, count) for n, count in lost.items() if count),
    ]
    return Identity((name, whole), parts)


def _finished(run: Folder) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """(manifests of finished stages, names of stages made from files that have changed since)."""
    found: dict[str, dict[str, Any]] = {}
    outdated: list[str] = []
    made: dict[str, Any] = {}
    for stage in STAGES:
        manifest = StageLedger(run, stage).manifest()
        if manifest is None:
            continue
        feeds = {n: out for n, out in made.items() if n.startswith(_FEEDS.get(stage, ()))}
        read = {n: out for n, out in manifest["inputs"].items() if n.startswith(_FEEDS.get(stage, ()))}
        missing = stage != "clean" and (not found or read != feeds)
        if missing or outdated:
            outdated.append(stage)
            continue
        found[stage] = manifest
        made |= manifest["outputs"]
    return found, outdated


def _name(run: Folder) -> str:
    return str(run.read_json("recipe.json")["recipe"].get("name", "corpus")) if run.exists("recipe.json") else "corpus"


def _inputs(run: Folder, manifests: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Name, size and checksum of the first inputs, by part."""
    ledger = StageLedger(run, "clean")
    rows = []
    for part in manifests.get("clean", {"parts": []})["parts"][:INPUTS_SHOWN]:
        record = ledger.record(part) or {"inputs": {"input": "?"}, "read": {}}
        rows.append({"part": part, "name": shown_name(record["inputs"]["input"])} | record["read"])
    return rows


def shown_name(name: str) -> str:
    """A URL without what may be a secret in it, a relative path as it is, of an absolute one the file's name."""
    if "://" in name:
        parts = urlsplit(name)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    path = PurePath(name)
    return path.name if path.is_absolute() else str(path)

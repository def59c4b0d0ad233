"""The tokenize stage: a tokenizer for the corpus, then one task per shard, from surviving documents to token shards.

Writes `tokenizer/`, `shards/` (for training) and `heldout/` (never trained on).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import xxhash

from corpusmill.columns import byte_lengths
from corpusmill.context import RunContext, run_parts
from corpusmill.errors import InputError
from corpusmill.ledger import PartRegistry, StageLedger, part_name, verify_outputs
from corpusmill.recipe import Tokenize
from corpusmill.schemas import SHARD_DOCS
from corpusmill.storage import Folder, Output, canonical_json, digest
from corpusmill.tokenize import bpe_tokenizer
from corpusmill.tokenize.encoded import Encoded
from corpusmill.tokenize.encoders import Encoder, choose_encoder, make_encoder
from corpusmill.tokenize.refused_documents import Refusals
from corpusmill.tokenize.rehydration import FINEWEB_2, Weights
from corpusmill.tokenize.shard_files import ShardWriter, shard_name, shards_manifest
from corpusmill.tokenize.source_labels import SourceRule, sources_of_rows
from corpusmill.tokenize.split_sites import is_heldout
from corpusmill.tokenize.survivors import survivors
from corpusmill.tokenize.tokenizer_sources import Sources, read_sources

STAGE = "tokenize"
SETS = ("shards", "heldout")
_BYTES_PER_TOKEN = 4  # of English web text, near enough to plan by
_PROBE_BYTES = 4_000_000
_ENCODE_ROWS = 512
_COLUMNS = ("text", *(n for n in SHARD_DOCS.names if n not in ("address", "text_bytes", "token_start", "num_tokens")))


class Key(NamedTuple):
    """Which shard of a task a document goes to: of which set, of which source, of which weight."""

    kind: str
    source: str
    weight: int


@dataclass(frozen=True)
class ShardTask:
    """One shard: the surviving documents of `parts`."""

    run: Folder
    part: int
    parts: tuple[int, ...]
    tokenizer: Mapping[str, Any]
    encoder: str
    heldout_permille: int
    seed: int
    settings_digest: str
    inputs: Mapping[str, Any]
    rehydration: tuple[tuple[int, int], ...] = ()
    sources: SourceRule = None
    special_tokens_in_text: str = "text"


def run_stage(context: RunContext) -> dict[str, Any]:
    """Tokenise the survivors of the run; its totals."""
    run, recipe = context.folder, context.recipe
    sources = read_sources(recipe.tokenize)
    settings = sources.describe(recipe.seed)
    cleaned, deduplicated = StageLedger(run, "clean").require_manifest(), StageLedger(run, "dedup").require_manifest()
    verify_outputs(run, deduplicated)
    inputs = {
        name: out
        for name, out in (cleaned["outputs"] | deduplicated["outputs"]).items()
        if name.startswith(tuple(f"{kind}/" for kind in _inputs(recipe.tokenize)))
    }
    ledger = StageLedger(run, STAGE)
    run.require_space(cleaned["counts"]["text_bytes"] + 10_000_000, STAGE)
    with context.watch.stage(STAGE) as progress:
        if not ledger.is_done(settings, inputs) or STAGE in context.start_over:
            _require_no_added_shards(run)
        if ledger.open(settings, inputs, STAGE in context.start_over):
            progress.begin(1, "shards", done=1)
            return cast(dict[str, Any], ledger.require_manifest()["counts"])
        progress.say(f"{STAGE}: training a tokenizer" if recipe.tokenize.tokenizer is None else f"{STAGE}: loading")
        tokenizer_files, tokenizer, encoder = prepare_tokenizer(run, sources, recipe.seed, cleaned)
        tasks = plan(run, recipe.tokenize, recipe.seed, digest(settings), cleaned, inputs, tokenizer, encoder)
        records = run_parts(context, ledger, digest(settings), write_shard, tasks, progress, _note)
        manifests = [_write_manifest(run, kind, tokenizer, records) for kind in SETS]
        manifest = ledger.commit(
            settings, inputs, records, outputs=[*tokenizer_files, *manifests], tokenizer=tokenizer, encoder=encoder
        )
    check_second_identity(cleaned["counts"], deduplicated["counts"], manifest["counts"])
    return cast(dict[str, Any], manifest["counts"])


def prepare_tokenizer(
    run: Folder, sources: Sources, seed: int, cleaned: Mapping[str, Any]
) -> tuple[list[Output], dict[str, Any], str]:
    """Train the tokenizer or take the one brought along, keep it in the run, and choose its encoder: (files, identity,
    encoder's name)."""
    settings = sources.settings
    tokenizer, files, identity = sources.make(_training_texts(run, settings, seed, cleaned), run)
    special = settings.special_tokens_in_text == "special"
    encoder = choose_encoder(tokenizer, _probe(run, settings, seed, cleaned), special)
    return files, identity.describe(), encoder.name


def plan(
    run: Folder,
    settings: Tokenize,
    seed: int,
    chosen: str,
    cleaned: Mapping[str, Any],
    inputs: Mapping[str, Any],
    tokenizer: Mapping[str, Any],
    encoder: str,
) -> list[ShardTask]:
    """Neighbouring parts share a shard until their text fills it. Decided by counts on record, so always alike.

    `chosen` is the digest of the stage's settings.
    """
    records = {r["part"]: r for r in StageLedger(run, "clean").records()}
    groups: list[list[int]] = [[]]
    filled = 0
    for part in cleaned["parts"]:
        size = records[part]["counts"]["text_bytes"] // _BYTES_PER_TOKEN
        if groups[-1] and filled + size > settings.tokens_per_shard:
            groups.append([])
            filled = 0
        groups[-1].append(part)
        filled += size
    tasks = []
    for number, parts in enumerate(groups):
        names = [f"{kind}/{part_name(p)}.parquet" for p in parts for kind in _inputs(settings)]
        mine = {n: inputs[n] for n in names if n in inputs} | {"tokenizer": tokenizer["sha256"]}
        shard = (run, number, tuple(parts), tokenizer, encoder, settings.heldout_permille, seed, chosen, mine)
        choices = (_steps(settings), settings.sources, settings.special_tokens_in_text)
        tasks.append(ShardTask(*shard, *choices))
    return tasks


def _inputs(settings: Tokenize) -> list[str]:
    """Folders that shards are made of."""
    return ["documents", "removed", "cuts"] + (["cluster_sizes"] if settings.rehydration else [])


def _steps(settings: Tokenize) -> tuple[tuple[int, int], ...]:
    return FINEWEB_2 if settings.rehydration == "fineweb2" else settings.rehydration or ()


def write_shard(task: ShardTask) -> dict[str, Any]:
    """Write one shard of each set, as far as it has documents; its record. Memory is the shard's tokens."""
    tokenizer = bpe_tokenizer.load_from_run(task.run)
    encoder = make_encoder(task.encoder, tokenizer, task.special_tokens_in_text == "special")
    never = [task.tokenizer["eos_token"], *task.tokenizer["special_tokens"]]
    refusals = Refusals(never if task.special_tokens_in_text == "refuse" else [])
    vocabulary, eos = task.tokenizer["vocab_size"], task.tokenizer["eos_token_id"]
    writers: dict[Key, ShardWriter] = {}
    cut: Counter[str] = Counter(bytes=0)
    for part in task.parts:
        weights = Weights(task.run, part, task.rehydration) if task.rehydration else None
        for group in survivors(task.run, part, _COLUMNS, cut):
            for start in range(0, group.num_rows, _ENCODE_ROWS):
                batch = refusals.without(group.slice(start, _ENCODE_ROWS))
                for key, rows in _encode(batch, encoder, task, weights):
                    writers.setdefault(key, ShardWriter(vocabulary, eos, key.weight, key.source)).add(*rows)
    outputs = refusals.write(task.run, shard_name(task.part))
    entries: dict[str, list[dict[str, Any]]] = {kind: [] for kind in SETS}
    counts = {kind: dict.fromkeys(("documents", "tokens", "text_bytes"), 0) for kind in SETS}
    for (kind, source, weight), writer in sorted(writers.items()):
        files, entry = writer.write(task.run, f"{kind}/{shard_name(task.part, weight, source)}")
        outputs += files
        entries[kind].append(entry)
        for name in counts[kind]:
            counts[kind][name] += entry["num_" + name if name != "text_bytes" else name]
    return StageLedger(task.run, STAGE).write_record(
        task.part,
        settings_digest=task.settings_digest,
        inputs=task.inputs,
        outputs=outputs,
        counts=counts
        | refusals.counts()
        | {"cut_bytes": cut["bytes"], "tokens_per_epoch": _tokens_per_epoch(entries["shards"])},
        shards=entries,
    )


def _tokens_per_epoch(entries: Sequence[Mapping[str, Any]]) -> int:
    return sum(e["num_tokens"] * e["weight"] for e in entries)


def _encode(
    batch: pa.RecordBatch, encoder: Encoder, task: ShardTask, weights: Weights | None
) -> Iterator[tuple[Key, tuple[pa.RecordBatch, Encoded, np.ndarray]]]:
    """(which shard, what its writer is given) of the documents of a batch. What is held out has no weight."""
    encoded = encoder.encode(batch.column("text"))
    sizes = byte_lengths(batch.column("text"))
    hosts = batch.column("host").to_pylist()
    heldout = np.array([is_heldout(h, task.heldout_permille, task.seed) for h in hosts], bool)
    weight = np.ones(len(sizes), np.int64) if weights is None else weights.of(batch.column("address").to_numpy())
    weight[heldout] = 1
    source = sources_of_rows(batch, task.sources)
    for key in sorted({Key(SETS[h], s, w) for h, s, w in zip(heldout.tolist(), source, weight.tolist(), strict=True)}):
        mask = (heldout == (key.kind == SETS[1])) & (weight == key.weight) & (source == key.source)
        rows = batch.filter(pa.array(mask)).drop_columns(["text"])
        yield key, (rows, encoded.chosen(mask), sizes[mask])


def check_second_identity(
    cleaned: Mapping[str, Any], deduplicated: Mapping[str, Any], tokenised: Mapping[str, Any]
) -> None:
    """documents = removed + tokenised + refused, in documents and in bytes of text, cut bytes counted."""
    documents = sum(tokenised[kind]["documents"] for kind in SETS) + sum(tokenised.get("refused", {}).values())
    documents += sum(deduplicated["removed"].values())
    assert documents == cleaned["documents"], f"{cleaned['documents']} documents, but {documents} accounted for"
    text = sum(tokenised[kind]["text_bytes"] for kind in SETS) + tokenised["cut_bytes"]
    text += sum(tokenised.get("refused_bytes", {}).values()) + sum(deduplicated["removed_bytes"].values())
    assert text == cleaned["text_bytes"], f"{cleaned['text_bytes']} bytes of text, but {text} accounted for"


def _training_texts(run: Folder, settings: Tokenize, seed: int, cleaned: Mapping[str, Any]) -> Iterator[str]:
    """Texts to train the tokenizer on: a share of the documents that is drawn by id, none of them held out."""
    share = min(1.0, settings.sample_bytes / max(cleaned["counts"]["text_bytes"], 1))
    found = False
    for part in cleaned["parts"]:
        for batch in survivors(run, part, ("id", "host", "text")):
            for row in batch.select(["id", "host", "text"]).to_pylist():
                drawn = xxhash.xxh3_64_intdigest(f"{seed}:{row['id']}") < share * 2**64
                if drawn and not is_heldout(row["host"], settings.heldout_permille, seed):
                    found = True
                    yield row["text"]
    if not found:
        raise InputError(
            f"{run.url}: no document is left to train a tokenizer on. See `corpusmill report` for what was dropped, "
            "and loosen the rules, or lower tokenize.heldout_permille if the corpus is small"
        )


def _probe(run: Folder, settings: Tokenize, seed: int, cleaned: Mapping[str, Any]) -> list[str]:
    """Some megabytes of the corpus, to compare encoders on."""
    texts, size = [], 0
    for text in _training_texts(run, settings, seed, cleaned):
        texts.append(text)
        size += len(text)
        if size > _PROBE_BYTES:
            break
    return texts


def _write_manifest(
    run: Folder, kind: str, tokenizer: Mapping[str, Any], records: Sequence[Mapping[str, Any]]
) -> Output:
    entries = [entry for record in records for entry in record["shards"][kind]]
    read = [{"input": e["input"], "bytes": e["bytes"]} for e in PartRegistry(run).entries]
    with run.writing(f"{kind}/manifest.json") as out:
        out.path.write_bytes(canonical_json(shards_manifest(tokenizer, entries, read)))
    return out


def _require_no_added_shards(run: Folder) -> None:
    """Making the stage again would number its shards over those that were added since."""
    name = "shards/manifest.json"
    if run.exists(name) and any("added" in h["why"] for h in run.read_json(name).get("history", [])):
        raise InputError(
            f"{run.url}/shards: shards were added to it (`corpusmill shards add`), which would be lost if the tokenize "
            "stage were made again. Make new documents' shards in another run and add these, or choose another --output"
        )


def _note(record: Mapping[str, Any]) -> str:
    return f"{record['counts']['shards']['tokens']:,} tokens"

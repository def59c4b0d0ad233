"""What a tokenizer makes of texts: bytes to a token, tokens to a word, and what of its vocabulary is never used.

Of a run's own tokenizer this is read from its shards and their sidecars, without the texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from tokenizers import Tokenizer

from corpusmill.ledger import StageLedger, part_name
from corpusmill.mill import RECIPE_NAME
from corpusmill.parquet_parts import read_part
from corpusmill.schemas import CUTS, SHARD_DOCS
from corpusmill.storage import Folder
from corpusmill.tokenize import bpe_tokenizer
from corpusmill.tokenize.encoders import Encoder, choose_encoder, make_encoder
from corpusmill.tokenize.kernel_encoder import byte_characters, reason_against
from corpusmill.tokenize.pretokenizers import FAMILIES, family_of
from corpusmill.tokenize.special_tokens import special_tokens
from corpusmill.tokenize.survivors import survivors
from corpusmill.tokenize.token_counts import count_tokens, map_shard

SETS = ("shards", "heldout")
SAMPLE_BYTES = 16_000_000
"""Of a run's text, to compare tokenizers on."""
EXAMPLES = 20
_SINGLE_BYTE, _BROKEN = 1, 2
_BATCH = 512
_UNKNOWN = "unknown"
_COLUMNS = ("address", "language", "measures", "text_bytes", "num_tokens")


@dataclass(frozen=True, kw_only=True)
class Fertility:
    """Of the texts of one language, or one file. The token that ends a document is not counted."""

    name: str
    documents: int = 0
    text_bytes: int = 0
    tokens: int = 0
    words: int = 0
    """Of documents whose words are known; as the clean stage cuts them (docs/rules.md)."""
    tokens_of_words: int = 0
    """Of these documents."""
    single_byte_tokens: int = 0
    """That stand for one byte: rare characters' bytes, and signs and letters by themselves."""
    broken_tokens: int = 0
    """Whose bytes are no whole characters."""

    @property
    def bytes_per_token(self) -> float | None:
        return self.text_bytes / self.tokens if self.tokens else None

    @property
    def tokens_per_word(self) -> float | None:
        return self.tokens_of_words / self.words if self.words else None

    @property
    def single_byte_share(self) -> float | None:
        return self.single_byte_tokens / self.tokens if self.tokens else None

    @property
    def broken_share(self) -> float | None:
        return self.broken_tokens / self.tokens if self.tokens else None

    def describe(self) -> dict[str, Any]:
        shares = ("bytes_per_token", "tokens_per_word", "single_byte_share", "broken_share")
        return asdict(self) | {name: getattr(self, name) for name in shares}


@dataclass(frozen=True)
class Unused:
    """Tokens that no document of the run has; special ones aside."""

    tokens: int
    vocabulary: int
    examples: tuple[tuple[int, str], ...]
    """(id, token), from all of the vocabulary; bytes that are no character as \\xe2."""


@dataclass(frozen=True)
class TokenizerReport:
    name: str
    vocab_size: int
    family: str | None
    """Whose cut it has; None where it is none of those known."""
    encoder: str
    why_slow: str | None
    """Why our own encoder cannot do it, where it cannot."""
    eos_token: str
    special_tokens: Mapping[str, int]
    groups: tuple[Fertility, ...] = ()
    """By language or file, the largest first."""
    unused: Unused | None = None
    """Of a run's own tokenizer, over all its shards."""

    @property
    def total(self) -> Fertility:
        return _total(self.groups)

    def describe(self) -> dict[str, Any]:
        told = asdict(self) | {"groups": [g.describe() for g in self.groups], "total": self.total.describe()}
        return told | {"special_tokens": dict(self.special_tokens)}


Texts = Mapping[str, Sequence[str]]
"""Texts by language, or by the file that they are from."""


def fertility_of_run(run: Folder) -> TokenizerReport:
    """Of a run's own tokenizer on all its documents, held out or not, each once.

    Reads each shard once, mapped; memory is 16 bytes for each document of one shard, a row group of its sidecar, and
    the vocabulary's counts. Raises InputError where the tokenize stage is not finished.
    """
    report, tokenizer = _of_run(run)
    kinds = token_kinds(tokenizer, report.vocab_size)
    used, tally, cut = np.zeros(report.vocab_size, np.int64), _Tally(), _addresses_with_cuts(run)
    for kind in SETS:
        for entry in run.read_json(f"{kind}/manifest.json")["shards"]:
            found = count_tokens(*map_shard(run.sub(kind), entry), kinds, used, closing=1)
            at = 0
            for batch in read_part(run, f"{kind}/{entry['docs']}", SHARD_DOCS, _COLUMNS):
                rows = _numbers(batch, cut)
                tally.add(batch.column("language"), rows, found[at : at + batch.num_rows])
                at += batch.num_rows
    return replace(report, groups=tally.groups(), unused=_unused(tokenizer, used))


def fertility_of_texts(
    report: TokenizerReport, tokenizer: Tokenizer, encoder: Encoder, texts: Texts
) -> TokenizerReport:
    """The same tokenizer's report, on these texts."""
    from corpusmill.clean.text_measures import measure

    kinds, tally = token_kinds(tokenizer, report.vocab_size), _Tally()
    used = np.zeros(report.vocab_size, np.int64)
    for name, some in texts.items():
        for start in range(0, len(some), _BATCH):
            batch = pa.array(some[start : start + _BATCH], pa.large_string())
            encoded = encoder.encode(batch)
            found = count_tokens(encoded.ids, encoded.offsets, kinds, used)
            words = measure(batch).field("words").to_numpy().astype(np.int64)
            sizes = pc.binary_length(batch).to_numpy()
            tokens = np.diff(encoded.offsets)
            tally.add(pa.array([name] * len(batch)), np.stack([sizes, tokens, words, tokens], 1), found)
    return replace(report, groups=tally.groups())


def is_run(place: str) -> bool:
    return Folder(place).exists(RECIPE_NAME)


def open_tokenizer(
    place: str, family: str | None = None, texts: Sequence[str] = ()
) -> tuple[TokenizerReport, Tokenizer, Encoder]:
    """(what is known without texts, tokenizer, encoder) of a run or of a tokenizer's files; `texts` are used to check
    encoders, as the tokenize stage does. Raises InputError."""
    if is_run(place):
        report, tokenizer = _of_run(Folder(place))
        return report, tokenizer, make_encoder(report.encoder, tokenizer)
    tokenizer, end = bpe_tokenizer.load(place, family)
    encoder = choose_encoder(tokenizer, texts)
    size = max(tokenizer.get_vocab().values()) + 1
    about = (_family(tokenizer, family), encoder.name, reason_against(tokenizer), end, special_tokens(tokenizer))
    return TokenizerReport(place, size, *about), tokenizer, encoder


def sample_texts(run: Folder, max_bytes: int = SAMPLE_BYTES) -> dict[str, list[str]]:
    """Some of the documents that a run tokenised, by language: a share of them that is drawn by id."""
    cleaned = StageLedger(run, "clean").require_manifest()
    share = min(1.0, max_bytes / max(cleaned["counts"]["text_bytes"], 1))
    found: dict[str, list[str]] = {}
    for part in cleaned["parts"]:
        for batch in survivors(run, part, ("id", "language", "text")):
            for row in batch.select(["id", "language", "text"]).to_pylist():
                if xxhash.xxh3_64_intdigest(f"fertility:{row['id']}") < share * 2**64:
                    found.setdefault(row["language"] or _UNKNOWN, []).append(row["text"])
    return found


def token_kinds(tokenizer: Tokenizer, vocab_size: int) -> np.ndarray:
    """Of each id whether it is a single byte, or no whole characters. uint8 [vocab_size]."""
    kinds = np.zeros(vocab_size, np.uint8)
    for token, data in _token_bytes(tokenizer):
        kinds[token] = _SINGLE_BYTE * (len(data) == 1) + _BROKEN * (not _is_text(data))
    return kinds


class _Tally:
    """Sums by language."""

    def __init__(self) -> None:
        self._sums: dict[str, np.ndarray] = {}

    def add(self, names: pa.Array, rows: np.ndarray, kinds: np.ndarray) -> None:
        """`rows` are (bytes, tokens, words, tokens of these) and `kinds` counts of token_kinds, a row a document."""
        named = names.fill_null(_UNKNOWN).dictionary_encode()
        numbers = np.concatenate([np.ones((len(rows), 1), np.int64), rows, kinds], axis=1)
        sums = np.zeros((len(named.dictionary), numbers.shape[1]), np.int64)
        np.add.at(sums, named.indices.to_numpy(), numbers)
        for name, some in zip(named.dictionary.to_pylist(), sums, strict=True):
            self._sums[name] = self._sums.get(name, 0) + some

    def groups(self) -> tuple[Fertility, ...]:
        made = [_fertility(name, sums.tolist()) for name, sums in self._sums.items()]
        return tuple(sorted(made, key=lambda f: (-f.text_bytes, f.name)))


_FIELDS = ("documents", "text_bytes", "tokens", "words", "tokens_of_words", "single_byte_tokens", "broken_tokens")


def _fertility(name: str, numbers: Sequence[int]) -> Fertility:
    return Fertility(name=name, **dict(zip(_FIELDS, numbers, strict=True)))


def _total(groups: Sequence[Fertility]) -> Fertility:
    return _fertility("all", [sum(getattr(g, field) for g in groups) for field in _FIELDS])


def _numbers(batch: pa.RecordBatch, cut: np.ndarray) -> np.ndarray:
    """(bytes, tokens, words, tokens of these) of rows of SHARD_DOCS. int64 [rows, 4]."""
    tokens = batch.column("num_tokens").to_numpy() - 1
    words = batch.column("measures").field("words").fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    known = batch.column("measures").is_valid().to_numpy(zero_copy_only=False)
    known &= ~np.isin(batch.column("address").to_numpy(), cut)  # their words were counted before dedup cut the text
    sizes = batch.column("text_bytes").to_numpy()
    return np.stack([sizes, tokens, words * known, tokens * known], 1)


def _addresses_with_cuts(run: Folder) -> np.ndarray:
    found = [np.zeros(0, np.int64)]
    for part in StageLedger(run, "clean").require_manifest()["parts"]:
        name = f"cuts/{part_name(part)}.parquet"
        if run.exists(name):
            found += [np.unique(b.column("address").to_numpy()) for b in read_part(run, name, CUTS, ("address",))]
    return np.unique(np.concatenate(found))


def _of_run(run: Folder) -> tuple[TokenizerReport, Tokenizer]:
    ledger = StageLedger(run, "tokenize")
    manifest = ledger.require_manifest()
    identity, tokenizer = manifest["tokenizer"], bpe_tokenizer.load_from_run(run)
    family = run.read_json("tokenize/settings.json")["settings"].get("family")
    about = (_family(tokenizer, family), manifest["encoder"], reason_against(tokenizer), identity["eos_token"])
    return TokenizerReport(run.url, identity["vocab_size"], *about, special_tokens(tokenizer)), tokenizer


def _family(tokenizer: Tokenizer, said: str | None) -> str | None:
    """The family whose cut a tokenizer has; where several have it, the one that was said."""
    found = family_of(tokenizer)
    if found is None:
        return None
    return said if said in FAMILIES and FAMILIES[said].patterns == found[0].patterns else found[0].name


def _unused(tokenizer: Tokenizer, used: np.ndarray) -> Unused:
    names = dict(_token_bytes(tokenizer))
    ids = np.array(sorted(i for i in names if not used[i]), np.int64)
    shown = np.unique(np.linspace(0, len(ids) - 1, min(EXAMPLES, len(ids))).astype(np.int64))
    examples = tuple((int(ids[i]), names[int(ids[i])].decode("utf-8", "backslashreplace")) for i in shown)
    return Unused(len(ids), len(names), examples)


def _token_bytes(tokenizer: Tokenizer) -> Iterator[tuple[int, bytes]]:
    """(id, what it stands for) of each token of the model that is not special."""
    spec = json.loads(tokenizer.to_str())
    byte_level = '"ByteLevel"' in json.dumps([spec["pre_tokenizer"], spec["decoder"]])
    to_byte = {c: b for b, c in enumerate(byte_characters())}
    special = special_tokens(tokenizer)
    for token, i in tokenizer.get_vocab(with_added_tokens=True).items():
        if token in special:
            continue
        if byte_level and all(c in to_byte for c in token):
            yield i, bytes(to_byte[c] for c in token)
        elif re.fullmatch(r"<0x[0-9A-F]{2}>", token):
            yield i, bytes([int(token[3:5], 16)])
        else:
            yield i, token.replace("\u2581", " ").encode()


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True

"""Our own byte-level BPE encoder: Arrow in, ids out, the same ids as Hugging Face's tokenizers."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer, normalizers

from corpusmill.columns import batch_of, text_buffers
from corpusmill.tokenize import encode_kernels as kernels
from corpusmill.tokenize.encoded import Encoded
from corpusmill.tokenize.pretokenizers import Family, character_classes, family_of, long_s_is_s

CACHE_SLOTS = 1 << 18
"""Of 32 bytes: 8 MB, of which the most frequent pre-tokens stay in the processor's caches."""
LONG_CACHE_SLOTS = 1 << 16
"""Of 128 bytes."""


class KernelEncoder:
    """One tokenizer's tables. Raises ValueError for a tokenizer that the kernels do not know; see `reason_against`.

    Not for several threads at once: they would write the same cache of pre-tokens.
    """

    name = "corpusmill"

    def __init__(self, tokenizer: Tokenizer) -> None:
        against = reason_against(tokenizer)
        if against is not None:
            raise ValueError(against)
        found = family_of(tokenizer)
        assert found is not None
        family, normalizer = found
        self.normalizer = normalizers.NFC() if normalizer else None
        spec = json.loads(tokenizer.to_str())["model"]
        self.family: Family = family
        self._bpe = _tables(spec)
        whole = len(self._bpe[kernels.WHOLE_IDS]) > 0
        self._rules = np.array([family.digits, long_s_is_s(), whole], np.int64)
        self._classes = character_classes()
        self._bounds = np.empty(0, np.int64)
        self._caches = (
            np.zeros((CACHE_SLOTS, kernels.SLOT_WORDS), np.uint64),
            np.zeros((LONG_CACHE_SLOTS, kernels.LONG_SLOT_WORDS), np.uint64),
        )

    def encode(self, texts: Sequence[str] | pa.Array) -> Encoded:
        """Ids of each text, without an end-of-text token. A null is an empty text."""
        offsets, data = self._buffers(batch_of(texts))
        longest = int(np.diff(offsets).max(initial=0))
        if longest >= len(self._bounds):
            self._bounds = np.empty(longest + 1, np.int64)
        size = int(offsets[-1] - offsets[0])
        ids, ends = np.empty(size + 2, np.uint32), np.zeros(len(offsets), np.int64)
        tables = (self.family.kernel, self._rules, self._classes, self._bpe, *self._caches, self._bounds)
        count = kernels.encode(offsets, data, *tables, ids, ends[1:])
        return Encoded(ends, ids[:count])

    def forget(self) -> None:
        """Empty the caches, as after making it."""
        for cache in self._caches:
            cache.fill(0)

    def split(self, text: str) -> list[str]:
        """The pre-tokens of one text (of what it is after normalising): for tests, and to look at differences."""
        offsets, data = self._buffers(batch_of([text]))
        ends = np.empty(int(offsets[-1]) + 1, np.int64)
        count = kernels.split(data, offsets[0], offsets[-1], self.family.kernel, self._rules, self._classes, ends)
        bounds = [int(offsets[0]), *ends[:count].tolist()]
        return [bytes(data[a:b]).decode() for a, b in pairwise(bounds)]

    def _buffers(self, batch: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """Offsets and bytes, normalised where the tokenizer asks, with room for what kernels read beyond the end."""
        offsets, data = self._normalised(batch) if self.normalizer else text_buffers(batch)
        if offsets[-1] + kernels.KEY_BYTES <= len(data):
            return offsets, data
        padded = np.concatenate([data[offsets[0] : offsets[-1]], np.zeros(kernels.KEY_BYTES, np.uint8)])
        return offsets - offsets[0], padded

    def _normalised(self, batch: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """Buffers of the texts in normal form C. Only texts that may change are given to the library."""
        offsets, data = text_buffers(batch)
        changed = np.zeros(len(batch), bool)
        kernels.may_change(offsets, data, unsure_in_nfc(), changed)
        if not changed.any():
            return offsets, data
        assert self.normalizer is not None
        texts = batch.to_pylist()
        for i in np.flatnonzero(changed).tolist():
            texts[i] = self.normalizer.normalize_str(texts[i])
        return text_buffers(pa.array(texts, pa.large_string()))


def reason_against(tokenizer: Tokenizer) -> str | None:
    """Why the kernels cannot encode as this tokenizer does; None if they can."""
    spec = json.loads(tokenizer.to_str())
    model = spec["model"]
    if model["type"] != "BPE":
        return f"its model is {model['type']}, not BPE"
    for key in ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        if model.get(key):
            return f"its BPE has {key}"
    found = family_of(tokenizer)
    if found is None:
        return "its pre-tokeniser or normaliser is none of those known"
    if any(not token["special"] for token in spec["added_tokens"]):
        return "it has added tokens that are not special, which are cut out of texts first"
    if len(model["merges"]) > kernels.MOST_MERGES or max(model["vocab"].values(), default=0) >= kernels.MOST_IDS:
        return "it has more tokens than the tables have room for"
    missing = [b for b, c in enumerate(byte_characters()) if c not in model["vocab"]]
    return f"byte {missing[0]} has no token" if missing else None


def _tables(model: dict[str, Any]) -> tuple[np.ndarray, ...]:
    """What the kernels' `bpe` is: pairs, merged ids, ids of bytes, ranks of pairs of bytes; tokens and ranks at work;
    borders between characters, characters; places before and after; pairs of characters that merges join; and of the
    tokens that are taken whole their bytes, and the table over them."""
    vocab = model["vocab"]
    merges = [m if isinstance(m, list) else m.split(" ") for m in model["merges"]]
    left, right, merged = (np.array([vocab[t] for t in side], np.uint32) for side in _sides(merges))
    pairs = np.zeros(1 << max(4, (2 * len(merges)).bit_length()), np.uint64)
    kernels.fill_pairs(left, right, pairs)
    byte_ids = np.array([vocab[c] for c in byte_characters()], np.uint32)
    byte_ranks = np.full((256, 256), kernels.NO_RANK, np.int32)
    byte_of = np.full(max(vocab.values(), default=0) + 1, -1, np.int64)
    byte_of[byte_ids] = np.arange(256)
    for rank in np.flatnonzero((byte_of[left] >= 0) & (byte_of[right] >= 0)).tolist():
        byte_ranks[byte_of[left[rank]], byte_of[right[rank]]] = rank
    places = kernels.MOST_PLACES + 1
    scratch = (np.empty(places, np.uint32), np.empty(places, np.int32))
    chain = (np.empty(places, np.int16), np.empty(places, np.int16))
    characters = np.zeros((1 << 16, 4), np.uint32)
    tables: tuple[np.ndarray, ...] = (pairs, merged, byte_ids, byte_ranks, *scratch, _apart(merges), characters, *chain)
    tables = (*tables, _joined(merges))
    kernels.fill_characters(tables)
    return (*tables, *_whole_tokens(tables, vocab if model.get("ignore_merges") else {}))


def _apart(merges: list[list[str]]) -> np.ndarray:
    """Between which bytes, the last of a character and the first of the next, no merge joins a part of a character.

    bool [256, 256]. Such a merge has a left side that begins within a character, or a right side that ends within one.
    """
    to_byte = {c: b for b, c in enumerate(byte_characters())}
    apart = np.ones((256, 256), bool)
    for left, right in merges:
        last, first = to_byte[left[-1]], to_byte[right[0]]
        if 0x80 <= first < 0xC0 or last >= 0xC0:
            continue
        try:
            bytes(to_byte[c] for c in left).decode()
            bytes(to_byte[c] for c in right).decode()
        except UnicodeDecodeError:
            apart[last, first] = False
    return apart


def _joined(merges: list[list[str]]) -> np.ndarray:
    """Which two characters a merge of whole ones joins: a bit for the hash of each such pair, words of 64 bits."""
    to_byte = {c: b for b, c in enumerate(byte_characters())}
    pairs: set[tuple[int, int]] = set()
    for sides in merges:
        try:
            left, right = (bytes(to_byte[c] for c in side).decode() for side in sides)
        except UnicodeDecodeError:
            continue
        pairs.add((ord(left[-1]), ord(right[0])))
    known = np.array(sorted(pairs), np.uint32).reshape(-1, 2)
    joined = np.zeros(1 << max(4, (len(known) // 2).bit_length()), np.uint64)
    kernels.fill_joined(known[:, 0], known[:, 1], joined)
    return joined


def _sides(merges: list[list[str]]) -> tuple[list[str], list[str], list[str]]:
    return [a for a, _ in merges], [b for _, b in merges], [a + b for a, b in merges]


def _whole_tokens(
    tables: tuple[np.ndarray, ...], vocab: dict[str, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Offsets and bytes of the tokens of whole characters that no merges make, their ids, and the table over them."""
    to_byte = {c: b for b, c in enumerate(byte_characters())}
    known = [(bytes(to_byte[c] for c in t), i) for t, i in vocab.items() if all(c in to_byte for c in t)]
    known = [(token, i) for token, i in known if _is_text(token)]
    reached = np.zeros(len(known), bool)
    kernels.merged_whole(*_flat(known), tables, reached)
    offsets, data, ids = _flat([token for token, made in zip(known, reached.tolist(), strict=True) if not made])
    slots = np.full(1 << max(4, (2 * len(ids)).bit_length()), -1, np.int64)
    kernels.fill_whole(offsets, data, ids, slots)
    return offsets, data, ids, slots


def _is_text(token: bytes) -> bool:
    """A token that begins or ends within a character can be no pre-token."""
    try:
        return token.decode() != ""
    except UnicodeDecodeError:
        return False


def _flat(tokens: list[tuple[bytes, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Offsets, bytes (with room after them for what kernels read beyond the end) and ids."""
    offsets = np.zeros(len(tokens) + 1, np.int64)
    np.cumsum([len(t) for t, _ in tokens], out=offsets[1:])
    data = np.frombuffer(b"".join(t for t, _ in tokens) + bytes(kernels.KEY_BYTES), np.uint8)
    return offsets, data, np.array([i for _, i in tokens], np.uint32)


@lru_cache(maxsize=1)
def byte_characters() -> tuple[str, ...]:
    """GPT-2's printable stand-ins for the 256 bytes (Radford et al. 2019, encoder.py)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    chars = {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}
    return tuple(chars[b] for b in range(256))


@lru_cache(maxsize=1)
def unsure_in_nfc() -> np.ndarray:
    """Code points that normal form C may change, alone or together with the one before. bool [0x110000].

    Those that this Python's Unicode does not know are among them: the library's may.
    """
    unsure = np.zeros(0x110000, bool)
    for point in range(0x300, 0x110000):
        character = chr(point)
        if (
            unicodedata.category(character) == "Cn"
            or unicodedata.combining(character)
            or unicodedata.normalize("NFC", character) != character
        ):
            unsure[point] = True
        parts = unicodedata.decomposition(character).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            unsure[int(parts[1], 16)] = True
    unsure[0x1161:0x1176] = unsure[0x11A8:0x11C3] = True  # Hangul syllables are composed by rule
    unsure[:0x300] = False
    return unsure

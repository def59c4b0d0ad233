"""MinHash signatures (Broder 1997) and their bands (Leskovec, Rajaraman, Ullman 2014, section 3.4), over Arrow buffers.

A text becomes lower-case words: runs of letters, digits and marks. Every `shingle_words` words in a row are a shingle,
hashed to 64 bits from the words' own hashes; a signature holds, for each of `bands * rows` hash functions, the least
value over all shingles. Two signatures agree in a place with probability equal to the Jaccard similarity of their
shingle sets. Words and hashes are defined here to the bit, so a signature depends on text and seed alone: not on the
machine, the engine or the number of workers.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import pyarrow as pa
from numba import njit

from corpusmill.columns import batch_of, text_buffers

EMPTY = np.uint32(0xFFFFFFFF)
"""Every place of the signature of a text with no shingle at all."""

_FNV_BASIS, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3  # FNV-1a, 64 bits
_MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93
_TABLE_SIZE = 0x20000


@dataclass(frozen=True)
class MinHash:
    """Signatures for one choice of shingle, bands, rows and seed. FineWeb's by default: 5 words, 14 bands of 8."""

    shingle_words: int = 5
    bands: int = 14
    rows: int = 8
    seed: int = 1

    @property
    def num_hashes(self) -> int:
        return self.bands * self.rows

    def sign(self, texts: list[str] | pa.Array) -> np.ndarray:
        """Signatures, uint32 [texts, bands * rows]. A text with fewer words than a shingle is one shingle."""
        offsets, data = text_buffers(batch_of(texts))
        out = np.empty((len(offsets) - 1, self.num_hashes), np.uint32)
        sign_texts(offsets, data, word_table(), *self._parameters, self.shingle_words, out)
        return out

    def band(self, signatures: np.ndarray) -> np.ndarray:
        """Band keys, int64 [texts, bands]. Texts without any shingle get keys of their own and match nothing.

        Signed, because Spark turns unsigned 64-bit integers into decimals.
        """
        return band_keys(np.ascontiguousarray(signatures), self.bands, self.rows).view(np.int64)

    def has_shingles(self, signatures: np.ndarray) -> np.ndarray:
        """Which texts have at least one word, bool [texts]. The others must not be joined on."""
        return np.asarray((signatures != EMPTY).any(axis=1))

    @cached_property
    def _parameters(self) -> tuple[np.ndarray, np.ndarray]:
        """Multipliers (odd) and addends, uint32 [bands * rows], from the seed by SplitMix64."""
        state, values = np.uint64(self.seed & 0xFFFFFFFFFFFFFFFF), np.empty(2 * self.num_hashes, np.uint64)
        with np.errstate(over="ignore"):
            for i in range(len(values)):
                state += np.uint64(_MIX_1)
                z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
                z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
                values[i] = z ^ (z >> np.uint64(31))
        high = (values >> np.uint64(32)).astype(np.uint32)
        return high[: self.num_hashes] | np.uint32(1), high[self.num_hashes :]


def collision_probability(similarity: float, bands: int, rows: int) -> float:
    """Probability that two texts of this Jaccard similarity share a band: 1 - (1 - s^rows)^bands."""
    return 1.0 - (1.0 - similarity**rows) ** bands


def optimal_bands(threshold: float, num_hashes: int) -> tuple[int, int]:
    """(bands, rows) within `num_hashes` that best separate pairs at `threshold`, weighing both errors alike.

    The errors are areas on the wrong side of the collision curve, as in datasketch's MinHashLSH.
    """
    grid = np.linspace(0.0, 1.0, 1001)
    best, choice = np.inf, (1, num_hashes)
    for bands in range(1, num_hashes + 1):
        for rows in range(1, num_hashes // bands + 1):
            curve = 1.0 - (1.0 - grid**rows) ** bands
            error = float(np.where(grid < threshold, curve, 1.0 - curve).mean())
            if error < best:
                best, choice = error, (bands, rows)
    return choice


@lru_cache(maxsize=1)
def word_table() -> np.ndarray:
    """For each code point below U+20000: 0 where it ends a word, else its simple lower case (never 0), uint32."""
    table = np.zeros(_TABLE_SIZE, np.uint32)
    for point in range(_TABLE_SIZE):
        char = chr(point)
        if unicodedata.category(char)[0] in "LMN":
            lower = char.lower()
            table[point] = ord(lower) if len(lower) == 1 else point
    return table


@njit(cache=True, nogil=True)
def sign_texts(offsets, data, table, multipliers, addends, shingle_words, out):  # type: ignore[no-untyped-def]
    """Fill `out` uint32 [texts, hashes]. One pass: words are hashed once, shingles made from a ring of their hashes."""
    ring = np.zeros(shingle_words, np.uint64)
    for d in range(offsets.shape[0] - 1):
        row = out[d]
        row[:] = np.uint32(0xFFFFFFFF)
        p, end = offsets[d], offsets[d + 1]
        words = 0
        in_word = False
        word = np.uint64(0xCBF29CE484222325)
        while p <= end:
            folded = np.uint32(0)
            size = 1
            if p < end:
                lead = data[p]
                if lead < 0x80:
                    folded = table[lead]
                else:
                    if lead < 0xE0:
                        point, size = (np.int64(lead & 0x1F) << 6) | np.int64(data[p + 1] & 0x3F), 2
                    elif lead < 0xF0:
                        point = (np.int64(lead & 0x0F) << 12) | (np.int64(data[p + 1] & 0x3F) << 6)
                        point, size = point | np.int64(data[p + 2] & 0x3F), 3
                    else:
                        point = (np.int64(lead & 0x07) << 18) | (np.int64(data[p + 1] & 0x3F) << 12)
                        point = point | (np.int64(data[p + 2] & 0x3F) << 6) | np.int64(data[p + 3] & 0x3F)
                        size = 4
                    folded = table[point] if point < table.shape[0] else np.uint32(point)
            p += size
            if folded != 0:
                word = (word ^ np.uint64(folded)) * np.uint64(0x100000001B3)
                in_word = True
                continue
            if not in_word:
                continue
            ring[words % shingle_words] = word
            words += 1
            in_word = False
            word = np.uint64(0xCBF29CE484222325)
            if words >= shingle_words:
                _take_minima(
                    row, _shingle(ring, words - shingle_words, shingle_words, shingle_words), multipliers, addends
                )
        if 0 < words < shingle_words:
            _take_minima(row, _shingle(ring, 0, words, shingle_words), multipliers, addends)


@njit(cache=True, nogil=True, inline="always")
def _shingle(ring, first, count, size):  # type: ignore[no-untyped-def]
    """32-bit hash of `count` word hashes in a ring of `size`, starting with word `first`."""
    key = np.uint64(count)
    for j in range(count):
        key = (key * np.uint64(0x9E3779B97F4A7C15)) ^ ring[(first + j) % size]
    key ^= key >> np.uint64(32)
    key *= np.uint64(0xD6E8FEB86659FD93)
    key ^= key >> np.uint64(32)
    return np.uint32(key)


@njit(cache=True, nogil=True, inline="always")
def _take_minima(row, shingle, multipliers, addends):  # type: ignore[no-untyped-def]
    """Multiply-shift hashing (Dietzfelbinger et al. 1997) of a shingle by every function; LLVM vectorises the loop."""
    for k in range(row.shape[0]):
        value = np.uint32(shingle * multipliers[k] + addends[k])
        row[k] = min(row[k], value)


@njit(cache=True, nogil=True)
def band_keys(signatures, bands, rows):  # type: ignore[no-untyped-def]
    """64-bit hash of each band's rows, uint64 [texts, bands]."""
    out = np.empty((signatures.shape[0], bands), np.uint64)
    for d in range(signatures.shape[0]):
        for b in range(bands):
            key = np.uint64(0xCBF29CE484222325) ^ np.uint64(b)
            for r in range(rows):
                key = (key ^ np.uint64(signatures[d, b * rows + r])) * np.uint64(0x9E3779B97F4A7C15)
                key ^= key >> np.uint64(29)
            out[d, b] = key
    return out

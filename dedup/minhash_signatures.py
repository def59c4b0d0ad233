"""MinHash signatures (Broder 1997) and their bands (Leskovec, Rajaraman, Ullman 2014, section 3.4), over Arrow buffers.

A text becomes folded words (character_folding: case and accents go, numbers stay; a character of a script without
blanks is a word). Every `shingle_size` words in a row are a shingle; a signature holds, for each of `bands * rows` hash
functions, the least value over all shingles. Two signatures agree in a place with probability equal to the Jaccard
similarity of their shingle sets. Words and hashes are defined to the bit, so a signature depends on text and seed
alone: not on the machine, the engine or the number of workers.

Shingles are hashed to 64 bits, of which the upper 32 go into the minima (as datasketch's SHA-1 does): twice as many to
a vector register, and AVX2 has neither a 64-bit product nor an unsigned 64-bit minimum. The price is that the minima of
two texts of n shingles, with none in common, agree by chance in n / 2^33 of places: 0.02% for the longest page that
ingest lets through (10 MB, some 1.7 million words), against a sampling error of 4%.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa

from corpusmill.columns import batch_of, text_buffers
from corpusmill.dedup.band_hashes import band_keys
from corpusmill.dedup.character_folding import folding_table
from corpusmill.dedup.shingle_kernels import jaccard_of_pairs, sign_texts

EMPTY = np.uint32(0xFFFFFFFF)
"""Every place of the signature of a text with no shingle at all."""

NO_WORDS = (0, 0)
"""The digest of a text with no word at all. It says nothing of the text, so texts must not be joined on it."""

_MIX_1 = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class MinHash:
    """Signatures for one choice of shingle, bands, rows and seed. FineWeb's by default: 5 words, 14 bands of 8.

    With `shingle="chars"` a shingle is `shingle_size` characters of the folded text, in which whatever stands between
    two words is one blank.
    """

    shingle: Literal["words", "chars"] = "words"
    shingle_size: int = 5
    bands: int = 14
    rows: int = 8
    seed: int = 1

    @property
    def num_hashes(self) -> int:
        return self.bands * self.rows

    def sign(self, texts: list[str] | pa.Array) -> np.ndarray:
        """Signatures, uint32 [texts, bands * rows]. A text with fewer words than a shingle is one shingle."""
        return self._signed(texts, digests=False)[0]

    def sign_with_digests(self, texts: list[str] | pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """(signatures as by `sign`, digests int64 [texts, 2]), from one pass over the words.

        A digest is 128 bits of the sequence of folded words, whatever the shingle, bands and seed: equal exactly where
        two texts are the same but for case, accents and what stands between words. Its halves are states of their own,
        so at 10^10 documents an accidental pair has a chance of 10^-19. NO_WORDS where there is no word.
        """
        return self._signed(texts, digests=True)

    def true_jaccard(self, left: list[str] | pa.Array, right: list[str] | pa.Array) -> np.ndarray:
        """Shared over all shingles of each pair (left[i], right[i]), float64 [pairs]: what signatures estimate.

        Exact but for collisions of 64-bit hashes. 0.0 where neither text has a shingle. Time is linear in the texts;
        memory some 100 bytes for each byte of the longest pair at worst.
        """
        (ours, left_data), (theirs, right_data) = text_buffers(batch_of(left)), text_buffers(batch_of(right))
        if len(ours) != len(theirs):
            raise ValueError(f"{len(ours) - 1} left texts and {len(theirs) - 1} right ones: pairs need as many of both")
        out = np.empty(len(ours) - 1, np.float64)
        kind = self.shingle == "chars", self.shingle_size
        jaccard_of_pairs(ours, left_data, theirs, right_data, folding_table(), *kind, out)
        return out

    def band(self, signatures: np.ndarray) -> np.ndarray:
        """Band keys, int64 [texts, bands]. Texts without any shingle get keys of their own and match nothing.

        Signed, because Spark turns unsigned 64-bit integers into decimals.
        """
        return band_keys(np.ascontiguousarray(signatures), self.bands, self.rows).view(np.int64)

    def has_shingles(self, signatures: np.ndarray) -> np.ndarray:
        """Which texts have at least one word, bool [texts]. The others must not be joined on."""
        return np.asarray((signatures != EMPTY).any(axis=1))

    def _signed(self, texts: list[str] | pa.Array, *, digests: bool) -> tuple[np.ndarray, np.ndarray]:
        offsets, data = text_buffers(batch_of(texts))
        count = len(offsets) - 1
        signatures, found = np.empty((count, self.num_hashes), np.uint32), np.empty((count * digests, 2), np.int64)
        kind = self.shingle == "chars", self.shingle_size
        sign_texts(offsets, data, folding_table(), *kind, *self._parameters, signatures, found)
        return signatures, found

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

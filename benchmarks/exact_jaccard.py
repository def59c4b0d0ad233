"""Jaccard similarity of texts over their word 5-grams, computed exactly, in plain Python: nothing of the product in it.

Words are runs of letters, digits and marks, without case and accents; a character of a script without blanks is one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import csr_matrix

SHINGLE_WORDS = 5
_LONE = (
    range(0x0E00, 0x0F00), range(0x1000, 0x10A0), range(0x1780, 0x1800), range(0x3000, 0x3130), range(0x31A0, 0x3200),
    range(0x3400, 0x4DC0), range(0x4E00, 0xA490), range(0xF900, 0xFB00), range(0xFF66, 0xFFA0), range(0x20000, 0x40000),
)  # fmt: skip
"""Thai, Lao, Myanmar, Khmer, Kana, Bopomofo, Han, Yi."""
_BLOCK = 512


class _Folding(dict[int, str]):
    """For str.translate: a character to what stands for it among words, learned on first sight."""

    def __missing__(self, point: int) -> str:
        char = chr(point)
        category = unicodedata.category(char)
        if unicodedata.combining(char) or (category == "Cf" and point != 0x200B):
            found = ""
        elif category[0] not in "LMN":
            found = " "
        elif any(point in lone for lone in _LONE):
            found = f" {char} "
        else:
            found = char.casefold()
        self[point] = found
        return found


_FOLDING = _Folding()


def words_of(text: str) -> list[str]:
    return unicodedata.normalize("NFD", text).translate(_FOLDING).split()


def shingles_of(words: Sequence[str]) -> set[tuple[str, ...]]:
    """All runs of SHINGLE_WORDS words; a shorter text is one shingle, an empty one none."""
    if len(words) < SHINGLE_WORDS:
        return {tuple(words)} if words else set()
    return set(zip(*(words[i:] for i in range(SHINGLE_WORDS)), strict=False))


def shingle_sets(texts: Sequence[str]) -> list[set[tuple[str, ...]]]:
    return [shingles_of(words_of(text)) for text in texts]


def jaccard(left: set[tuple[str, ...]], right: set[tuple[str, ...]]) -> float:
    """Shared over all; 0 where there are none."""
    shared = len(left & right)
    return shared / max(1, len(left) + len(right) - shared)


class AllPairs:
    """Every pair of the texts whose similarity is at least `floor`: left < right int64 [n], similarity float64 [n]."""

    def __init__(self, texts: Sequence[str], floor: float) -> None:
        self.documents = len(texts)
        found = list(_blocks(_incidence(texts), floor))
        self.left = np.concatenate([block[0] for block in found])
        self.right = np.concatenate([block[1] for block in found])
        self.similarity = np.concatenate([block[2] for block in found])

    def at_least(self, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        chosen = self.similarity >= threshold
        return self.left[chosen], self.right[chosen]


def _incidence(texts: Sequence[str]) -> csr_matrix:
    """Texts by shingles, int32, 1 where a text has a shingle."""
    numbers: dict[tuple[str, ...], int] = {}
    rows = [
        np.array([numbers.setdefault(s, len(numbers)) for s in shingles_of(words_of(text))], np.int64) for text in texts
    ]
    bounds = np.r_[0, np.cumsum([len(row) for row in rows])]
    columns = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    return csr_matrix((np.ones(len(columns), np.int32), columns, bounds), shape=(len(texts), max(1, len(numbers))))


def _blocks(incidence: csr_matrix, floor: float) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    sizes = np.asarray(incidence.sum(axis=1)).ravel().astype(np.int64)
    turned = incidence.T.tocsr()
    for start in range(0, incidence.shape[0], _BLOCK):
        shared = (incidence[start : start + _BLOCK] @ turned).tocoo()
        left, right = shared.row.astype(np.int64) + start, shared.col.astype(np.int64)
        similarity = shared.data / (sizes[left] + sizes[right] - shared.data)
        chosen = (left < right) & (similarity >= floor)
        yield left[chosen], right[chosen], similarity[chosen]

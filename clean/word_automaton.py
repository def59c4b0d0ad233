"""Many words looked for at once, in a batch of normalised addresses (Aho and Corasick 1975)."""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from corpusmill.clean.url_kernels import find_words
from corpusmill.errors import InputError

_SEPARATORS = re.compile(r"[\W_]+")


def words_of(text: str) -> str:
    """Without case, with one space before, between and after words: letters and digits of any script.

    Beyond ASCII spellings of one character are one (NFKC): full width, ligatures, accents written apart.
    """
    folded = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    return f" {_SEPARATORS.sub(' ', folded).strip()} "


class WordAutomaton:
    """Words, or with `squeezed` parts of words: `squeezed` texts are read as if they had no spaces at all.

    An entry of several words is found where they follow one another, whatever stands between them.
    """

    def __init__(self, entries: Sequence[str], what: str, *, squeezed: bool = False) -> None:
        self.squeezed = squeezed
        self.entries: list[str] = []
        patterns: dict[bytes, int] = {}
        for entry in entries:
            normal = words_of(entry)
            if not normal.strip():
                raise InputError(f"{what}: {entry!r} has no letter and no digit, so it would never be found")
            pattern = (normal.replace(" ", "") if squeezed else normal).encode()
            if pattern not in patterns:
                patterns[pattern] = len(self.entries)
                self.entries.append(normal.strip())
        self._classes, self._moves, self._spans, self._outputs = _build(list(patterns))

    def __bool__(self) -> bool:
        return bool(self.entries)

    def find(self, offsets: np.ndarray, data: np.ndarray) -> Iterator[tuple[int, set[str]]]:
        """(row, entries found in it) for each text, as made by `words_of`, in which there are any; rows ascend."""
        if not self.entries:
            return
        rows, words = find_words(offsets, data, self._classes, self._moves, self._spans, self._outputs, self.squeezed)
        if not len(rows):
            return
        found, starts = np.unique(rows, return_index=True)
        for row, these in zip(found.tolist(), np.split(words, starts[1:]), strict=False):
            yield row, {self.entries[w] for w in these}


def _build(patterns: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Tables for `find_words`: a trie of the patterns, then its failure links folded into the moves."""
    alphabet = sorted({byte for pattern in patterns for byte in pattern})
    classes = np.zeros(256, np.uint8)
    classes[alphabet] = np.arange(1, len(alphabet) + 1)
    trie: list[dict[int, int]] = [{}]
    ends: list[list[int]] = [[]]
    for word, pattern in enumerate(patterns):
        state = 0
        for byte in pattern:
            if byte not in trie[state]:
                trie[state][byte] = len(trie)
                trie.append({})
                ends.append([])
            state = trie[state][byte]
        ends[state].append(word)
    moves = np.zeros((len(trie), len(alphabet) + 1), np.int32)
    failure = [0] * len(trie)
    waiting = deque([0])
    while waiting:
        state = waiting.popleft()
        if state:
            moves[state] = moves[failure[state]]
            ends[state] = ends[state] + ends[failure[state]]
        for byte, after in trie[state].items():
            failure[after] = int(moves[failure[state], classes[byte]]) if state else 0
            moves[state, classes[byte]] = after
            waiting.append(after)
    spans = np.cumsum([0, *map(len, ends)]).astype(np.int64)
    return classes, moves, spans, np.array([w for e in ends for w in e], np.int64)

"""The folding and the hashes of MinHash once more: whole strings, unicodedata and Python's integers."""

from __future__ import annotations

import unicodedata

from corpusmill.dedup import MinHash
from corpusmill.dedup.character_folding import LONE_RANGES

MASK = 0xFFFFFFFFFFFFFFFF
BREAK = "\n"
VARIATION_SELECTORS = "\u034f\u180b\u180c\u180d\u180f" + "".join(map(chr, range(0xFE00, 0xFE10)))


def folded_chars(text: str) -> list[str]:
    """Characters of words, and BREAK for each that ends one."""
    found = []
    for c in unicodedata.normalize("NFD", text):
        point, kind = ord(c), unicodedata.category(c)
        if 0x20000 <= point < 0x40000:
            found.append(c)
        elif point >= 0x40000:
            found += [] if 0xE0000 <= point < 0xE1000 else [BREAK]
        elif unicodedata.combining(c) or c in VARIATION_SELECTORS or (kind == "Cf" and c != "\u200b"):
            continue
        elif kind[0] in "LMN":
            folds = [f for f in (c.casefold(), c.lower(), c) if len(f) == 1]
            found.append(folds[0])
        else:
            found.append(BREAK)
    return found


def is_lone(c: str) -> bool:
    return any(first <= ord(c) <= last for first, last in LONE_RANGES)


def folded_words(text: str) -> list[str]:
    spaced = "".join(f"{BREAK}{c}{BREAK}" if is_lone(c) else c for c in folded_chars(text))
    return [w for w in spaced.split(BREAK) if w]


def units(minhash: MinHash, text: str) -> list[str]:
    """What shingles are made of: words, or characters with one blank between the words."""
    if minhash.shingle == "words":
        return folded_words(text)
    return list(" ".join(w for w in "".join(folded_chars(text)).split(BREAK) if w))


def shingles(minhash: MinHash, text: str) -> list[tuple[str, ...]]:
    found, size = units(minhash, text), minhash.shingle_size
    if not found:
        return []
    return [tuple(found[i : i + size]) for i in range(max(1, len(found) - size + 1))]


def slow_sign(minhash: MinHash, text: str) -> list[int]:
    keys = [shingle_hash(s) >> 32 for s in shingles(minhash, text)]
    parameters = zip(*(p.tolist() for p in minhash._parameters), strict=True)
    return [min(((k * a + b) & 0xFFFFFFFF for k in keys), default=0xFFFFFFFF) for a, b in parameters]


def slow_digest(text: str) -> tuple[int, int]:
    low, high = 0xA0761D6478BD642F, 0xE7037ED1A0B428DB
    words = folded_words(text)
    for chunk in (c for w in words for c in chunks(w)):
        low = absorb(low ^ mix(chunk), 0x9E3779B185EBCA87, 32)
        high = absorb(high + mix(chunk), 0xC2B2AE3D27D4EB4F, 29)
    return (signed(mix(low)), signed(mix(high))) if words else (0, 0)


def shingle_hash(shingle: tuple[str, ...]) -> int:
    key = 0
    for unit in shingle:
        key = (key * 0x9E3779B97F4A7C15 + word_hash(unit)) & MASK
    return mix((key + len(shingle) * 0xC4CEB9FE1A85EC53) & MASK)


def word_hash(word: str) -> int:
    *full, last = chunks(word)
    state = 0
    for chunk in full:
        state = absorb(state ^ mix(chunk), 0xFF51AFD7ED558CCD, 32)
    return state ^ mix(last)


def chunks(word: str) -> list[int]:
    data = word.encode() + b"\xff"
    return [int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8)]


def mix(x: int) -> int:
    x = ((x ^ (x >> 32)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 29)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 32)


def absorb(state: int, factor: int, shift: int) -> int:
    state = ((state & MASK) * factor) & MASK
    return state ^ (state >> shift)


def signed(x: int) -> int:
    return x - (1 << 64) if x >> 63 else x

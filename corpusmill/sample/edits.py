"""Near-duplicates: small edits of an article, and the exact similarity that truth is measured by."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import count

from corpusmill.sample.prose import Article, Block, words_of
from corpusmill.sample.vocabulary import Language

SHINGLE_WORDS = 5
MIN_JACCARD = 0.8
_RUN_WORDS = 6  # edits stand together: each isolated one would cost five shingles, and 0.8 would be out of reach
_MAX_SHARE = 0.08


def shingles(text: str) -> set[tuple[str, ...]]:
    """All runs of five consecutive words (characters, in Chinese and Japanese), as a set."""
    words = words_of(text)
    return set(zip(*(words[start:] for start in range(SHINGLE_WORDS)), strict=False))


def jaccard(left: str, right: str) -> float:
    """Shared shingles over all shingles, exactly; 0.0 where both texts are too short to have one."""
    ours, theirs = shingles(left), shingles(right)
    union = len(ours | theirs)
    return len(ours & theirs) / union if union else 0.0


def near_duplicate(article: Article, language: Language, rng: random.Random) -> tuple[Article, str, float]:
    """An edited copy, the name of the edit, and its Jaccard similarity: at least 0.8, below 1."""
    # ends soon: the share falls, and one run of six words is always few enough
    for attempt in count(1):
        edit = rng.choice(_edits_for(article))
        edited = _EDITS[edit](article, language, rng, _MAX_SHARE / attempt)
        similarity = jaccard(article.text, edited.text)
        if MIN_JACCARD <= similarity < 1.0:
            return edited, edit, similarity
    raise AssertionError("count() has no end")


def _edits_for(article: Article) -> list[str]:
    names = ["inserted", "removed", "rewritten"]
    if article.space:
        names += ["reworded", "reworded"]
    if article.dated:
        names += ["redated", "redated"]
    return names


def _inserted(article: Article, language: Language, rng: random.Random, share: float) -> Article:
    index, lines = _pick(article, rng)
    place = rng.randint(1, len(lines))
    return _put(article, index, [*lines[:place], language.write("sentences", article.topic, rng), *lines[place:]])


def _removed(article: Article, language: Language, rng: random.Random, share: float) -> Article:
    index, lines = _pick(article, rng)
    place = rng.randrange(1, len(lines))
    return _put(article, index, lines[:place] + lines[place + 1 :])


def _rewritten(article: Article, language: Language, rng: random.Random, share: float) -> Article:
    index, lines = _pick(article, rng)
    lines[-1] = language.write("sentences", article.topic, rng)
    return _put(article, index, lines)


def _redated(article: Article, language: Language, rng: random.Random, share: float) -> Article:
    lines = list(article.blocks[0].lines)
    lines[0] = language.write("datelines", article.topic, rng).rstrip(" ")
    return replace(_put(article, 0, lines), date=(article.date[0], rng.randint(1, 12), rng.randint(1, 28)))


def _reworded(article: Article, language: Language, rng: random.Random, share: float) -> Article:
    """Replace 2% to `share` of the words, in runs."""
    total = len(words_of(article.text))
    low = min(2, int(share * 100))
    runs = max(1, total * rng.randint(low, max(low, int(share * 100))) // (100 * _RUN_WORDS))
    for _ in range(runs):
        index, lines = _pick(article, rng)
        place = rng.randrange(len(lines))
        lines[place] = _swap_run(lines[place], language.write("sentences", article.topic, rng), rng)
        article = _put(article, index, lines)
    return article


def _swap_run(sentence: str, donor: str, rng: random.Random) -> str:
    words, others = sentence.split(" "), donor.split(" ")
    start = rng.randint(0, max(0, len(words) - _RUN_WORDS - 1))  # the last word keeps its full stop
    size = min(_RUN_WORDS, len(words) - 1 - start)
    return " ".join([*words[:start], *others[1 : 1 + size], *words[start + size :]])


def _pick(article: Article, rng: random.Random) -> tuple[int, list[str]]:
    """A paragraph of two sentences or more: every article opens with one."""
    index = rng.choice([i for i, block in enumerate(article.blocks) if block.tag == "p" and len(block.lines) > 1])
    return index, list(article.blocks[index].lines)


def _put(article: Article, index: int, lines: list[str]) -> Article:
    blocks = article.blocks
    return replace(article, blocks=(*blocks[:index], Block("p", tuple(lines)), *blocks[index + 1 :]))


_EDITS = {
    "inserted": _inserted,
    "removed": _removed,
    "rewritten": _rewritten,
    "redated": _redated,
    "reworded": _reworded,
}

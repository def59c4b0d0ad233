"""Articles: a title, a date, an author, and blocks of sentences, lists, tables and code."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from corpusmill.sample.vocabulary import Language, Topic

MIN_WORDS = 130
MAX_TARGET_WORDS = 780  # the last paragraph overshoots by up to 100
SHORT_WORDS = 45

# Han, kana: one character counts as a word, as text without spaces has no other unit that needs no dictionary.
_WORD = re.compile(r"[㐀-䶿一-鿿豈-﫿぀-ヿ]|[^\W㐀-䶿一-鿿豈-﫿぀-ヿ]+")
_CHARS_PER_CJK_WORD = 1.7

_VERBS = ("load", "parse", "merge", "send", "fetch", "sort", "store", "check", "split", "count", "encode", "flush")
_NOUNS = ("batch", "record", "queue", "token", "cursor", "packet", "header", "buffer", "offset", "bucket", "vector")


@dataclass(frozen=True, slots=True)
class Block:
    """`tag` is p, h2, ul, table or pre; `lines` are sentences, items, rows (cells parted by tabs) or code lines."""

    tag: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Article:
    """One story. `space` joins its sentences; `dated` says that its first line is a place and date."""

    title: str
    author: str
    date: tuple[int, int, int]
    topic: Topic
    blocks: tuple[Block, ...]
    space: str
    dated: bool = False

    @property
    def text(self) -> str:
        """The main text, one line for each paragraph, heading, item, row or line of code; without the title."""
        return "\n".join(line for block in self.blocks for line in block_lines(block, self.space))


def block_lines(block: Block, space: str) -> list[str]:
    """The lines of main text that `block` makes."""
    if block.tag == "p":
        return [space.join(block.lines)]
    if block.tag == "table":
        return [row.replace("\t", " ") for row in block.lines]
    return list(block.lines)


def words_of(text: str) -> list[str]:
    """Lower-case words; every Han or kana character is a word of its own."""
    return _WORD.findall(text.lower())


def write_article(language: Language, topic: Topic, rng: random.Random, style: str = "prose") -> Article:
    """An article of 120 to 900 words. `style` is prose, table or code (mostly that), or short (under 50 words)."""
    title = language.write("titles", topic, rng)
    author = language.fill("{name}", topic, rng)
    date = (rng.randint(2014, 2023), rng.randint(1, 12), rng.randint(1, 28))
    writer = _Writer(language, topic, rng)
    dated = style == "prose" and rng.random() < 0.4
    blocks = list(writer.short() if style == "short" else writer.blocks(style))
    if dated:
        first = blocks[0]
        blocks[0] = Block("p", (language.write("datelines", topic, rng).rstrip(" "), *first.lines))
    return Article(title, author, date, topic, tuple(blocks), language.space, dated)


class _Writer:
    """Draws sentence patterns from a shuffled deck, so that an article repeats one only after using all."""

    def __init__(self, language: Language, topic: Topic, rng: random.Random) -> None:
        self._language, self._topic, self._rng = language, topic, rng
        self._deck: list[str] = []

    def blocks(self, style: str) -> Iterator[Block]:
        rng = self._rng
        target = MIN_WORDS + min(rng.randint(0, MAX_TARGET_WORDS - MIN_WORDS) for _ in range(2))
        if style != "prose":
            target = MIN_WORDS
        words = paragraphs = 0
        while words < target:
            for block in self._section(style, paragraphs):
                words += sum(self._count(line) for line in block_lines(block, "")) if block.tag != "pre" else 0
                yield block
            paragraphs += 1

    def short(self) -> Iterator[Block]:
        sentences: list[str] = []
        while len(sentences) < 2:
            sentence = self.sentence()
            if self._count("".join((*sentences, sentence))) <= SHORT_WORDS:
                sentences.append(sentence)
            elif sentences:
                break
        yield Block("p", tuple(sentences))

    def sentence(self) -> str:
        if not self._deck:
            self._deck = list(self._language.patterns["sentences"])
            self._rng.shuffle(self._deck)
        return self._language.fill(self._deck.pop(), self._topic, self._rng)

    def _section(self, style: str, paragraphs: int) -> Iterator[Block]:
        rng = self._rng
        if paragraphs and rng.random() < 0.3:
            yield Block("h2", (self._language.write("headings", self._topic, rng),))
        yield Block("p", tuple(self.sentence() for _ in range(rng.randint(2, 5))))
        if style == "code":
            yield Block("pre", tuple(_code(rng, rng.randint(1, 3))))
        elif self._topic.key == "software" and paragraphs == 4 and rng.random() < 0.5:
            yield Block("pre", tuple(_code(rng, 1)))  # one, late: code has few alphabetic words, and Gopher wants 80%
        if style == "table" and paragraphs == 0:
            yield self._table(rng.randint(12, 28))
        elif paragraphs and rng.random() < 0.02:
            yield self._table(rng.randint(3, 5))
        elif paragraphs and rng.random() < 0.12:
            yield self._list()

    def _list(self) -> Block:
        items = [self._language.write("items", self._topic, self._rng) for _ in range(self._rng.randint(3, 6))]
        return Block("ul", tuple(dict.fromkeys(items)))

    def _table(self, rows: int) -> Block:
        rng, fill = self._rng, self._language.fill
        head = "\t".join(fill(cell, self._topic, rng) for cell in self._language.patterns["table_head"])
        lines = [head]
        for _ in range(rows):
            label = fill(rng.choice(("{thing}", "{stuff}")), self._topic, rng)
            before, after = rng.randint(10, 9000), rng.randint(10, 9000)
            remark = fill("{place}", self._topic, rng)
            lines.append(f"{label}\t{before}\t{after}\t{after - before:+d}\t{remark}")
        return Block("table", tuple(lines))

    def _count(self, text: str) -> int:
        words = len(words_of(text))
        return words if self._language.space else int(words / _CHARS_PER_CJK_WORD)


def _code(rng: random.Random, functions: int) -> list[str]:
    """Functions that look like Python and differ from article to article."""
    lines: list[str] = []
    for _ in range(functions):
        verbs, nouns = rng.sample(_VERBS, 4), rng.sample(_NOUNS, 4)
        limit = rng.randint(2, 4096)
        lines += [
            f"def {verbs[0]}_{nouns[0]}({nouns[1]}, {nouns[2]}={limit}):",
            f"    {nouns[3]} = {verbs[1]}({nouns[1]}.{nouns[0]}, {rng.randint(1, 99)})",
            f"    while {nouns[3]}.{rng.choice(('size', 'depth', 'age', 'rank'))} < {nouns[2]}:",
            f"        {nouns[3]}.{verbs[2]}({nouns[1]}[{rng.randint(0, 31)}])",
            f"    return {verbs[3]}({nouns[3]}, {nouns[2]} + {rng.randint(1, 64)})",
            "",
        ]
    return lines[:-1]

"""The languages of the synthetic web: words, sentence patterns, page furniture, and the grammar that joins them.

A pattern is text with three kinds of hole: `{slot}` (a word; `{slot.1}` its second form), `{3..40}` (a number) and
`[a|b|]` (a choice, here also of nothing). Words may hold patterns themselves: a date is a word.
"""

from __future__ import annotations

import random
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

LANGUAGES = ("en", "de", "fr", "es", "ru", "zh", "ja", "ar")
UNSPACED = frozenset({"zh", "ja"})

_HOLE = re.compile(r"\{(\d+)\.\.(\d+)\}|\{(\w+)(?:\.(\d))?\}|\[([^\]]*)\]")
_SPACES = re.compile(r"  +")
_SPACE_BEFORE_MARK = re.compile(r" +(?=[.,])")
_FIRST_LETTER = re.compile(r"^\W*\w")
# "a hour" would teach a model bad English, and a reader would stop reading
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou]|hon|hour)(?!uni|use|usu|eu|one)")

Words = dict[str, tuple[tuple[str, ...], ...]]


def seeded(*key: object) -> random.Random:
    """A generator that depends on nothing but `key`, on every machine (a string seed goes through SHA-512)."""
    return random.Random(":".join(map(str, key)))  # noqa: S311  # prose, not secrets


@dataclass(frozen=True, slots=True)
class Number:
    """A hole for a whole number, both ends included."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Slot:
    """A hole for a word in one of its forms."""

    name: str
    form: int


@dataclass(frozen=True, slots=True)
class Choice:
    """A hole for one of several patterns."""

    options: tuple[str, ...]


@dataclass(frozen=True)
class Topic:
    """What a host writes about: `words` holds those of the language, overlaid with its own."""

    key: str
    title: str
    words: Words


@dataclass(frozen=True)
class Language:
    """All that is needed to write pages in one language."""

    code: str
    share: float
    charsets: tuple[str, ...]
    topics: tuple[Topic, ...]
    patterns: dict[str, tuple[str, ...]]
    page: dict[str, str]
    adverts: tuple[str, ...]

    @property
    def space(self) -> str:
        """What stands between two sentences."""
        return "" if self.code in UNSPACED else " "

    def write(self, kind: str, topic: Topic, rng: random.Random) -> str:
        """One sentence, title, heading ... of `kind`, from a pattern drawn at random."""
        return self.fill(rng.choice(self.patterns[kind]), topic, rng)

    def fill(self, pattern: str, topic: Topic, rng: random.Random) -> str:
        """`pattern` with every hole filled, spacing mended and a capital at the start."""
        text = _SPACE_BEFORE_MARK.sub("", _SPACES.sub(" ", _fill(pattern, topic.words, rng))).lstrip(" ")
        if self.code == "en":
            text = _ARTICLE.sub(r"\1n ", text)
        return _FIRST_LETTER.sub(lambda match: match[0].upper(), text, count=1)


@cache
def language(code: str) -> Language:
    """Load `languages/CODE.toml`, once."""
    source = resources.files(__package__).joinpath("languages", f"{code}.toml").read_text(encoding="utf-8")
    data = tomllib.loads(source)
    common = {name: _words(text) for name, text in data["words"].items()}
    topics = tuple(_topic(key, table, common) for key, table in data["topics"].items())
    page = {name: text for name, text in data["page"].items() if isinstance(text, str)}
    patterns = {name: tuple(lines) for name, lines in data["patterns"].items()}
    adverts = tuple(data["page"]["adverts"])
    return Language(code, data["share"], tuple(data["charsets"]), topics, patterns, page, adverts)


def _topic(key: str, table: dict[str, str], common: Words) -> Topic:
    own = {name: _words(text) for name, text in table.items() if name != "title"}
    # twice, so that a verb of the trade is heard more often than one that fits anything
    own["act"] = own["act"] * 2 + common.get("act", ())
    return Topic(key, table["title"], {**common, **own})


def _words(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(word.strip().split("|")) for word in text.split(", "))


def _fill(pattern: str, words: Words, rng: random.Random) -> str:
    out: list[str] = []
    for part in _parse(pattern):
        if isinstance(part, str):
            out.append(part)
        elif isinstance(part, Number):
            out.append(str(rng.randint(part.low, part.high)))
        elif isinstance(part, Choice):
            out.append(_fill(rng.choice(part.options), words, rng))
        else:
            out.append(_fill(rng.choice(words[part.name])[part.form], words, rng))
    return "".join(out)


@cache
def _parse(pattern: str) -> tuple[str | Number | Slot | Choice, ...]:
    parts: list[str | Number | Slot | Choice] = []
    end = 0
    for hole in _HOLE.finditer(pattern):
        if hole.start() > end:
            parts.append(pattern[end : hole.start()])
        end = hole.end()
        low, high, name, form, options = hole.groups()
        if low is not None:
            parts.append(Number(int(low), int(high)))
        elif name is not None:
            parts.append(Slot(name, int(form or 0)))
        else:
            parts.append(Choice(tuple(options.split("|"))))
    if end < len(pattern):
        parts.append(pattern[end:])
    return tuple(parts)

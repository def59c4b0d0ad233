"""Which of trafilatura's XPath expressions are true of an element, by its attributes: read off the expressions once,
answered for all elements of a page by one numba kernel.

The expressions test attributes for words: `re:test(@class, '^nav|side-?bar')`, `contains(@id, 'caption')`,
`@role='article'`, joined by `or`. Each regular expression in them stands for a finite set of words, perhaps at the
value's begin or end; all are listed, and the kernel looks for all words in all values at once. An expression of a form
that is not known here raises ValueError: then it is asked itself, as trafilatura does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit

ATTRIBUTES = (
    "id", "class", "style", "role", "itemprop", "data-component", "aria-hidden", "data-lp-replacement-content",
)  # fmt: skip
_CODES = {name: 1 << i for i, name in enumerate(ATTRIBUTES)}
_FIRST = {("class", "id"): 1 << 8, ("id", "style"): 1 << 9}
"""An XPath function asked about `@id|@class` looks at the one that stands first in the source."""
_MAX_WORDS = 20_000
_TERM = re.compile(
    r"""
      re:test\(\s*(?P<tested>@[\w|@-]+)\s*,\s*'(?P<pattern>[^']*)'\s*(?:,\s*'(?P<flag>i)'\s*)?\)
    | (?P<how>contains|starts-with)\(\s*(?:translate\(\s*(?P<folded>@[\w-]+)\s*,\s*'(?P<upper>\w*)'\s*,\s*'\w*'\s*\)
        |(?P<within>@[\w|@-]+))\s*,\s*'(?P<part>[^']*)'\s*\)
    | (?P<equal>@[\w-]+)\s*=\s*'(?P<value>[^']*)'
    | (?P<present>@[\w-]+)
    """,
    re.VERBOSE,
)
_CONDITIONS = re.compile(r"not\(\.//h1\)|not\(self::ol\s+or\s+self::ul\)")


class Word(NamedTuple):
    """A word looked for in the values of some attributes; `bit` is the question it answers."""

    text: str
    roles: int
    bit: int
    starts: bool = False
    ends: bool = False
    fold: bool = False
    not_before: str = ""


@dataclass(frozen=True, eq=False)
class WordTable:
    """Words by their first byte, laid out for the kernel."""

    data: np.ndarray
    offsets: np.ndarray
    roles: np.ndarray
    bits: np.ndarray
    shape: np.ndarray
    """uint8 [words, 3]: starts, ends, fold"""
    nots: np.ndarray
    """int64 [words, 2]: the bytes of `data` that must not follow"""
    by_first: np.ndarray
    """int32 [257]: words[by_first[b] : by_first[b + 1]] begin with byte b, in lower case"""

    def bits_of(self, values: Sequence[bytes], roles: Sequence[int]) -> list[int]:
        """For each attribute value, the bits of the questions that it answers with yes."""
        offsets = np.zeros(len(values) + 1, np.int64)
        np.cumsum([len(v) for v in values], out=offsets[1:])
        out = np.zeros(len(values), np.int64)
        find_words(
            np.frombuffer(b"".join(values), np.uint8), offsets, np.array(roles, np.int64), self.data, self.offsets,
            self.roles, self.bits, self.shape, self.nots, self.by_first, out,
        )  # fmt: skip
        return out.tolist()


def role_of(name: str, earlier: Sequence[str]) -> int:
    """What an attribute stands for, given the names before it in the same element."""
    role = _CODES[name]
    for pair, code in _FIRST.items():
        if name in pair and not any(other in earlier for other in pair):
            role |= code
    return role


def predicates(path: str) -> list[list[tuple[str, int, bool]]]:
    """The tests on attributes in an XPath, by bracket in their order: (regular expression, roles, fold case)."""
    return [terms for body in _brackets(path) if (terms := list(_terms(body)))]


def words_of(terms: Sequence[tuple[str, int, bool]], bit: int) -> Iterator[Word]:
    """All words that stand for the tests of one bracket."""
    for pattern, roles, fold in terms:
        for starts, text, not_before, ends in expand(pattern):
            yield Word(text.lower() if fold else text, roles, bit, starts, ends, fold, not_before)


def build(words: Sequence[Word]) -> WordTable:
    """Lay out words for the kernel. Raises ValueError for an empty one, which would be in every value."""
    encoded = sorted({(w.text.encode(), w) for w in words}, key=lambda pair: (pair[0][:1].lower(), pair))
    if not all(raw for raw, _ in encoded):
        raise ValueError("a test on an attribute that every value passes")
    data, offsets, nots = bytearray(), [0], []
    for raw, _ in encoded:
        data += raw
        offsets.append(len(data))
    for _, word in encoded:
        nots.append((len(data), len(data) + len(word.not_before.encode())))
        data += word.not_before.encode()
    firsts = np.array([raw[:1].lower()[0] for raw, _ in encoded], np.int64)
    return WordTable(
        data=np.frombuffer(bytes(data), np.uint8),
        offsets=np.array(offsets, np.int64),
        roles=np.array([w.roles for _, w in encoded], np.int64),
        bits=np.array([1 << w.bit for _, w in encoded], np.int64),
        shape=np.array([[w.starts, w.ends, w.fold] for _, w in encoded], np.uint8),
        nots=np.array(nots, np.int64),
        by_first=np.searchsorted(firsts, np.arange(257)).astype(np.int32),
    )


def expand(pattern: str) -> list[tuple[bool, str, str, bool]]:
    """The words that a regular expression stands for: (at the begin, word, what must not follow, at the end).

    Raises ValueError where that is no finite list.
    """
    import re._parser as parser  # type: ignore[import-not-found]

    found = []
    for pieces in _alternatives(list(parser.parse(pattern))):
        starts = pieces[:1] == ["^"]
        ends = pieces[-1:] == ["$"]
        middle = pieces[starts : len(pieces) - ends]
        not_before = ""
        if middle and isinstance(middle[-1], tuple):
            not_before = middle.pop()[0]
        if not all(isinstance(piece, str) and piece not in ("^", "$") for piece in middle):
            raise ValueError(f"{pattern!r} is not a list of words")
        found.append((starts, "".join(middle)[0:].replace("\0", ""), not_before, ends))
    return found


def _alternatives(parsed: list[Any]) -> list[list[Any]]:
    """Every way through a parsed expression, as lists of characters, "^", "$" and (what must not follow,)."""
    ways: list[list[Any]] = [[]]
    for kind, value in parsed:
        here = _choices(str(kind), value)
        ways = [way + choice for way in ways for choice in here]
        if len(ways) > _MAX_WORDS:
            raise ValueError("a regular expression of too many words")
    return ways


def _choices(kind: str, value: Any) -> list[list[Any]]:
    if kind == "LITERAL":
        # a sign of the text itself is kept apart from an anchor by a mark that is taken off later
        return [["\0" + chr(value)]]
    if kind == "AT" and str(value) == "AT_BEGINNING":
        return [["^"]]
    if kind == "AT" and str(value) == "AT_END":
        return [["$"]]
    if kind == "IN" and all(str(k) == "LITERAL" for k, _ in value):
        return [["\0" + chr(v)] for _, v in value]
    if kind == "BRANCH":
        return [way for branch in value[1] for way in _alternatives(list(branch))]
    if kind == "SUBPATTERN":
        return _alternatives(list(value[-1]))
    if kind == "MAX_REPEAT" and value[0] in (0, 1) and int(value[1]) <= 2:
        once = _alternatives(list(value[2]))
        return [way for n in range(value[0], int(value[1]) + 1) for way in _repeat(once, n)]
    if kind == "ASSERT_NOT" and value[0] == 1:
        (only,) = _alternatives(list(value[1]))
        return [[("".join(only).replace("\0", ""),)]]
    raise ValueError(f"{kind} in a regular expression")


def _repeat(ways: list[list[Any]], times: int) -> list[list[Any]]:
    out: list[list[Any]] = [[]]
    for _ in range(times):
        out = [a + b for a in out for b in ways]
    return out


def _brackets(path: str) -> Iterator[str]:
    """What stands in square brackets at the outermost level, quotes respected."""
    depth, quoted, start = 0, False, 0
    for i, char in enumerate(path):
        if char == "'":
            quoted = not quoted
        elif not quoted and char == "[":
            start = i + 1 if depth == 0 else start
            depth += 1
        elif not quoted and char == "]":
            depth -= 1
            if depth == 0:
                yield path[start:i]


def _terms(body: str) -> Iterator[tuple[str, int, bool]]:
    rest = _CONDITIONS.sub("", body)
    for found in _TERM.finditer(rest):
        g = found.groupdict()
        if g["pattern"] is not None:
            yield g["pattern"], _roles(g["tested"]), g["flag"] == "i"
        elif g["how"]:
            word = "".join(_either(c, g["upper"]) for c in g["part"])
            yield ("^" if g["how"] == "starts-with" else "") + word, _roles(g["folded"] or g["within"]), False
        elif g["equal"]:
            yield f"^{re.escape(g['value'])}$", _roles(g["equal"]), False
        elif g["present"] != "@data-lp-replacement-content":
            raise ValueError(f"{body}: a test for an attribute's presence")
    left = re.sub(r"self::\w+|\bor\b|\d+|\s+", "", _TERM.sub("", rest))
    if left:
        raise ValueError(f"{body}: {left!r} is not understood")


def _either(char: str, upper: str | None) -> str:
    return f"[{char}{char.upper()}]" if upper and char.upper() in upper else re.escape(char)


def _roles(attributes: str) -> int:
    names = tuple(sorted(a.strip().lstrip("@") for a in attributes.split("|")))
    if len(names) > 1:
        return _FIRST[names]  # type: ignore[index]
    return _CODES[names[0]]


@njit(cache=True, nogil=True)
def find_words(  # type: ignore[no-untyped-def]
    values, offsets, value_roles, data, word_offsets, roles, bits, shape, nots, by_first, out
):
    """OR into `out` [values] the bits of all words that stand in each value."""
    for v in range(offsets.shape[0] - 1):
        start, end = offsets[v], offsets[v + 1]
        answer = np.int64(0)
        for p in range(start, end):
            first = values[p]
            if 65 <= first <= 90:
                first |= 32
            for w in range(by_first[first], by_first[first + 1]):
                if (roles[w] & value_roles[v]) == 0 or (answer & bits[w]) != 0:
                    continue
                size = word_offsets[w + 1] - word_offsets[w]
                if p + size > end or (shape[w, 0] and p != start) or (shape[w, 1] and p + size != end):
                    continue
                same = True
                for i in range(size):
                    byte = values[p + i]
                    if shape[w, 2] and 65 <= byte <= 90:
                        byte |= 32
                    if byte != data[word_offsets[w] + i]:
                        same = False
                        break
                if not same:
                    continue
                length = nots[w, 1] - nots[w, 0]
                if length > 0 and p + size + length <= end:
                    same = True
                    for i in range(length):
                        if values[p + size + i] != data[nots[w, 0] + i]:
                            same = False
                            break
                    if same:
                        continue
                answer |= bits[w]
        out[v] = answer

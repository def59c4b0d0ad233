"""Every count of the kernel is what a slow, obvious reading of its definition gives."""

from __future__ import annotations

import re
import unicodedata

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpusmill.clean.text_measures import STOP_WORDS, measure
from corpusmill.schemas import MEASURES

COUNTS = [f.name for f in MEASURES if f.type == pa.int32()]
TERMINAL = set(".!?\"'”’…。！？」』”؟۔।")
SPACES = "".join(chr(i) for i in range(0x3001) if chr(i).isspace())


def is_cjk(char: str) -> bool:
    """Chinese and Japanese characters; everything from plane 2 on is taken for one."""
    ranges = ((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x10FFFF))
    return any(low <= ord(char) <= high for low, high in ranges)


def is_punctuation(char: str) -> bool:
    if is_cjk(char) or char in "_@":
        return False
    return unicodedata.category(char)[0] == "P" or char in "$+<=>^`|~"


def is_alpha(char: str) -> bool:
    return is_cjk(char) or char.isalpha()


def words_of(text: str) -> list[str]:
    """Words of all kinds, each as written."""
    words: list[str] = []
    current = ""  # a word that is being read
    for i, char in enumerate(text):
        following = text[i + 1 : i + 2]
        if current and char in ".," and joined(text[i - 1], char, following):
            current += char
            continue
        if current and char in "'’" and following.isascii() and following.isalpha():
            words.append(current)
            current = char
            continue
        if not (char.isspace() or is_punctuation(char) or is_cjk(char)):
            current += char
            continue
        if current:
            words.append(current)
            current = ""
        if is_cjk(char):
            words.append(char)
        elif is_punctuation(char):
            again = i > 0 and text[i - 1] == char and words and set(words[-1]) == {char} and words[-1][0] == char
            if again:
                words[-1] += char
            else:
                words.append(char)
    return [*words, current] if current else words


def joined(before: str, mark: str, after: str) -> bool:
    """Whether a mark inside a word does not end it: 3.14, 1,000 and example.com; what follows is ASCII."""
    digit = before.isascii() and before.isdigit()
    if digit and after.isascii() and after.isdigit():
        return True
    return mark == "." and not digit and after.isascii() and after.isalpha()


def lines_of(text: str) -> list[str]:
    """Lines that are more than blanks, stripped; a carriage return ends one too, and blanks inside are all alike."""
    lines = (line.strip() for line in re.split("[\n\r]", text))
    return ["".join(" " if c.isspace() else c for c in line) for line in lines if line]


def slow_counts(text: str) -> dict[str, int]:
    words, lines = words_of(text), lines_of(text)
    plain = [w for w in words if not is_punctuation(w[0]) or (len(w) > 1 and w[0] in "'’" and w[1].isalpha())]
    seen: set[str] = set()
    duplicates = [line for line in lines if line in seen or seen.add(line)]  # type: ignore[func-returns-value]
    return {
        "chars": len(text),
        "words": len(words),
        "non_symbol_words": len(plain),
        "non_symbol_word_chars": sum(map(len, plain)),
        "alpha_words": sum(any(map(is_alpha, w)) for w in plain),
        "stop_words": len(set(STOP_WORDS) & set(plain)),
        "hashes": text.count("#"),
        "ellipses": text.count("...") + text.count("…"),
        "lines": len(lines),
        "bullet_lines": sum(line[0] in "•-" for line in lines),
        "ellipsis_lines": sum(line.endswith(("…", "...")) for line in lines),
        "terminal_lines": sum(line[-1] in TERMINAL for line in lines),
        "short_lines": sum(len(line) <= 30 for line in lines),
        "duplicate_lines": len(duplicates),
        "line_chars": sum(map(len, lines)),
        "duplicate_line_chars": sum(map(len, duplicates)),
    }


def counts(text: str) -> dict[str, int]:
    row = measure([text])[0].as_py()
    return {name: row[name] for name in COUNTS}


pieces = st.one_of(
    st.sampled_from([*STOP_WORDS, "The", "word", "don't", "it’s", "rock'n'roll", "'tis", "example.com", "3.14", "1,000",
        "a,b", "e.g.", "U.S.", "...", "…", "....", "--", "- item", "• item", "#", "##", "#tag", "me@example.com",
        "mod_rewrite", "C++", "100%", "日本語", "。", "・・", "ー", "中文。中文", "한국어", "e\u0301", "🙂", "👨‍👩‍👧", "\U00020000",  # noqa: E501
        "\U000e0100", "\U0001f1e9", "\x00", "\x85", "\u2028", "\u200b", "½", "٣", "\n", "\r\n", "\n\n", " ", "\t", "\v"]),  # noqa: E501
    st.text(max_size=12),
    st.text(alphabet=".,'’#-•… \n\rab1" + SPACES, max_size=16),
)  # fmt: skip
texts = st.lists(pieces, max_size=30).map("".join)


@settings(max_examples=700, deadline=None)
@given(text=texts)
@example("")
@example("same line\nsame line\n same\tline \nsame  line\n")
@example("a" * 30 + "\n" + "a" * 31 + "\n- x.\n\n• y…\nz....")
def test_the_kernel_counts_what_the_definition_says(text: str):
    assert counts(text) == slow_counts(text)


@settings(max_examples=60, deadline=None)
@given(batch=st.lists(st.one_of(st.none(), texts), max_size=12), cut=st.integers(0, 12))
def test_a_text_is_measured_alike_alone_and_in_a_batch_whole_or_sliced(batch: list[str | None], cut: int):
    column = pa.array(batch, pa.large_string()).slice(cut)
    assert measure(column).to_pylist() == [None if t is None else measure([t])[0].as_py() for t in batch[cut:]]


def test_ratios_are_formed_from_counts_in_double_precision():
    row = measure(["# " * 5 + "word " * 45])[0].as_py()
    assert (row["words"], row["hashes"], row["hash_ratio"]) == (50, 5, 5 / 50)
    assert measure([""])[0].as_py() == dict.fromkeys(MEASURES.names, 0)


def test_many_lines_are_told_apart():
    text = "\n".join(f"{i % 4000}" for i in range(10_000))
    assert counts(text)["duplicate_lines"] == 6000


def test_nothing_to_measure_is_nothing():
    assert measure(pa.array([], pa.large_string())).to_pylist() == []
    assert measure(pa.array([None], pa.string())).to_pylist() == [None]
    assert len(measure(pa.chunked_array([["a"], [None, "b c"]], pa.large_string()))) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [("don't", 2), ("it’s", 2), ("example.com", 1), ("3.14", 1), ("a, b", 3), ("!!!", 1), ("?!", 2),
     ("mod_rewrite me@example.com", 2), ("日本語", 3), ("'quoted'", 3), ("end.", 2), ("1,000,000", 1)],
)  # fmt: skip
def test_words_are_those_of_the_docstring(text: str, words: int):
    assert counts(text)["words"] == words

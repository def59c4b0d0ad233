"""The published rules' counting in plain Python: spaCy's words and datatrove's lines, to hold the kernels against."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any

STOP_WORDS = {"the", "be", "to", "of", "and", "that", "have", "with"}
POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")

UNSPACED = "々〇\u3040-ヿ㐀-䶿一-鿿\uf900-\ufaff\U00020000-\U0003ffff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"


@lru_cache(maxsize=1)
def english() -> Any:
    import spacy

    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.max_length = 10**9
    return nlp


def spacy_words(text: str) -> list[str]:
    return [t.text.strip() for t in english().tokenizer(text) if t.text.strip()]


def address_chars(text: str) -> int:
    return sum(len(word) for kind, word in english().tokenizer.explain(text) if kind == "URL_MATCH")


def sentences(line: str) -> int:
    return len(list(english()(line).sents))


def is_unspaced(char: str) -> bool:
    return re.match(f"[{UNSPACED}]", char) is not None and unicodedata.category(char)[0] != "P"


def stretches(text: str) -> list[str]:
    """Between blanks and characters of scripts without blanks."""
    return "".join(" " if is_unspaced(c) else c for c in text).split()


def written_words(line: str) -> int:
    """Stretches between blanks, or the units of one in a script without blanks, and what stands before them."""
    from corpusmill.clean.text_measures import words_of

    count = 0
    for stretch in line.split():
        units = [any(map(is_unspaced, word)) for word in words_of(stretch)]
        count += sum(units) + (not units[0])
    return count


def c4_counts(text: str, *, closed_only: bool) -> tuple[int, int, int]:
    """(sentences in the lines kept, line of the first lorem ipsum, line of the first curly bracket)."""
    count = lorem = curly = 0
    for number, raw in enumerate(text.splitlines(), 1):
        if any(len(w) > 1000 for w in stretches(raw)):
            continue
        line = CITATION.sub("", raw.strip())
        if closed_only and (not line.endswith((".", "?", "!", '"', "'")) or line.endswith("...")):
            continue
        if written_words(raw) < 3:
            continue
        lowered = line.lower()
        if "lorem ipsum" in lowered:
            lorem = lorem or number
        if "javascript" in lowered:
            continue
        if "{" in line:
            curly = curly or number
        if any(p in lowered for p in POLICIES):
            continue
        count += sentences(line)
    return count, lorem, curly


def repeats(parts: list[str]) -> tuple[int, int]:
    """(how many were there before, their characters)."""
    seen: set[str] = set()
    again = [p for p in parts if p in seen or seen.add(p)]  # type: ignore[func-returns-value]
    return len(again), sum(map(len, again))


def top_gram_chars(words: list[str], n: int) -> int:
    grams = [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
    if not grams:
        return 0
    best = max(grams, key=grams.count)  # the first of those that are met most often
    return len(best) * grams.count(best)


def duplicate_gram_chars(words: list[str], n: int) -> int:
    seen: set[tuple[str, ...]] = set()
    chars = i = 0
    while i < len(words) - n + 1:
        gram = tuple(words[i : i + n])
        if gram in seen:
            chars += sum(map(len, gram))
            i += n
        else:
            seen.add(gram)
            i += 1
    return chars


def slow_counts(text: str, words: list[str]) -> dict[str, int]:
    """Every count but `url_chars`, given the words."""
    from corpusmill.clean.character_classes import SYMBOL_CHARS, TERMINAL_CHARS

    plain = [w for w in words if set(w) - set(SYMBOL_CHARS)]
    lines = [line for line in text.split("\n") if line.strip()]
    raw_lines = re.split("\n+", text)
    paragraphs = re.split(r"\n{2,}", text.strip())
    all_lines = text.splitlines()
    open_lines, closed_lines = c4_counts(text, closed_only=False), c4_counts(text, closed_only=True)
    counts = {
        "chars": len(text),
        "words": len(words),
        "non_symbol_words": len(plain),
        "non_symbol_word_chars": sum(map(len, plain)),
        "alpha_words": sum(any(map(str.isalpha, w)) for w in words),
        "stop_words": len(STOP_WORDS & set(words)),
        "hashes": text.count("#"),
        "ellipses": text.count("...") + text.count("…"),
        "lines": len(lines),
        "bullet_lines": sum(line.lstrip().startswith(("•", "-")) for line in all_lines),
        "ellipsis_lines": sum(line.rstrip().endswith(("…", "...")) for line in all_lines),
        "terminal_lines": sum(line.endswith(tuple(TERMINAL_CHARS)) for line in lines),
        "short_lines": sum(len(line) <= 30 for line in lines),
        "duplicate_lines": repeats(lines)[0],
        "line_chars": sum(map(len, lines)),
        "duplicate_line_chars": repeats(lines)[1],
        "all_lines": len(all_lines),
        "newlines": text.count("\n"),
        "raw_lines": len(raw_lines),
        "duplicate_raw_lines": repeats(raw_lines)[0],
        "duplicate_raw_line_chars": repeats(raw_lines)[1],
        "paragraphs": len(paragraphs),
        "duplicate_paragraphs": repeats(paragraphs)[0],
        "duplicate_paragraph_chars": repeats(paragraphs)[1],
        "sentences": sum(sentences(line.strip()) for line in all_lines if line.strip()),
        "c4_sentences": open_lines[0],
        "c4_lorem_ipsum_line": open_lines[1],
        "c4_curly_bracket_line": open_lines[2],
        "c4_closed_sentences": closed_lines[0],
        "c4_closed_lorem_ipsum_line": closed_lines[1],
        "c4_closed_curly_bracket_line": closed_lines[2],
        "alnum_chars": sum(map(str.isalnum, text)),
        "digit_chars": sum(map(str.isdecimal, text)),
        "upper_chars": sum(map(str.isupper, text)),
        "space_chars": sum(map(str.isspace, text)),
        "parenthesis_chars": sum(c in "()[]{}" for c in text),
        "longest_word_chars": max(map(len, stretches(text)), default=0),
        "longest_line_chars": max(map(len, lines), default=0),
    }
    counts |= {f"top_{n}_gram_chars": top_gram_chars(words, n) for n in (2, 3, 4)}
    return counts | {f"duplicate_{n}_gram_chars": duplicate_gram_chars(words, n) for n in range(5, 11)}

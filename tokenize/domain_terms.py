"""Terms that a trained tokenizer keeps whole, by merges that come after all it learned: docs/decisions/0016."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tokenizers import Tokenizer

from corpusmill.errors import InputError
from corpusmill.tokenize.kernel_encoder import byte_characters

Merge = tuple[str, str]
_WITHIN = frozenset(byte_characters()[0x80:0xC0])
"""How bytes that go on with a character are written."""
_COMMENT = re.compile(r"(^|\s)#.*")


@dataclass(frozen=True)
class Term:
    text: str
    where: str
    """File and line, for errors."""


def read_terms(path: str) -> tuple[Term, ...]:
    """One term to a line; `#` at its start or after white space begins a comment."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise InputError(f"tokenize.domain_terms: {path} cannot be read as UTF-8 text: {e}") from e
    texts = ((number, _COMMENT.sub("", line).strip()) for number, line in enumerate(lines, 1))
    terms = tuple(Term(text, f"{path}, line {number}") for number, text in texts if text)
    if not terms:
        raise InputError(f"tokenize.domain_terms: {path} has no term; write one to a line, or leave out the setting")
    return terms


def check_terms(tokenizer: Tokenizer, terms: Sequence[Term], family: str) -> None:
    """Raise InputError for a term that the family cuts: merges never reach over a cut."""
    for term in terms:
        for text, at in ((term.text, "at the start of a text"), (f" {term.text}", "after a blank")):
            pieces = _cut(tokenizer, text)
            if len(pieces) > 1 and not _stands_apart(tokenizer, term):
                raise InputError(
                    f"tokenize.domain_terms: {term.where}: {term.text!r} cannot be one token: {at} the family {family} "
                    f"cuts it into {', '.join(map(repr, pieces))}, and no token reaches over a cut. Leave it out, or "
                    "choose another tokenize.family"
                )


def _cut(tokenizer: Tokenizer, text: str) -> list[str]:
    normal = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
    return [normal[a:b] for _, (a, b) in tokenizer.pre_tokenizer.pre_tokenize_str(normal)]


def _stands_apart(tokenizer: Tokenizer, term: Term) -> bool:
    """Whether a blank before the term is cut off, as DeepSeek's family does before ideographs: one token then, too."""
    alone = _cut(tokenizer, term.text)
    return len(alone) == 1 and _cut(tokenizer, f" {term.text}") == [" ", *alone]


def _forms(tokenizer: Tokenizer, term: Term) -> list[str]:
    """The texts that are to be one token."""
    return [term.text] if _stands_apart(tokenizer, term) else [term.text, f" {term.text}"]


def with_terms(tokenizer: Tokenizer, terms: Sequence[Term], vocab_size: int) -> Tokenizer:
    """A byte-level BPE of at most `vocab_size` tokens that has every term as one token, alone and after a blank.

    The last of the merges that were learned make room for those of the terms. `terms` have passed check_terms.
    """
    spec = json.loads(tokenizer.to_str())
    model = spec["model"]
    learned = [(a, b) for a, b in model["merges"]]
    base = len(model["vocab"]) - len(learned)
    kept = len(learned)
    while True:
        added = _merges_for(_with_merges(tokenizer, learned[:kept]), terms)
        over = base + kept + len(added) - vocab_size
        if over <= 0:
            break
        kept -= over  # with fewer merges terms have more pieces, so that more may have to go
        if kept < 0:
            raise InputError(
                f"tokenize.vocab_size: found {vocab_size:,}; {len(terms):,} domain terms need {len(added):,} tokens "
                f"beside the {base:,} of bytes and special tokens. Raise it, or give fewer terms"
            )
    made = _with_merges(tokenizer, [*learned[:kept], *added])
    for term in terms:
        assert all(len(made.encode(text).ids) == 1 for text in _forms(made, term)), term
    return made


def _with_merges(tokenizer: Tokenizer, merges: Sequence[Merge]) -> Tokenizer:
    """The tokenizer with other merges: ids of bytes and special tokens stay, then comes one for each merge."""
    spec = json.loads(tokenizer.to_str())
    made = {a + b for a, b in spec["model"]["merges"]}
    vocabulary = {token: i for token, i in spec["model"]["vocab"].items() if token not in made}
    for a, b in merges:
        vocabulary.setdefault(a + b, len(vocabulary))
    spec["model"] |= {"vocab": vocabulary, "merges": merges}
    return Tokenizer.from_str(json.dumps(spec))


def _merges_for(tokenizer: Tokenizer, terms: Sequence[Term]) -> list[Merge]:
    """Merges after the tokenizer's own that make one token of each term.

    Appended merges never undo each other: with all of lower rank, a text is merged as far as before, and then further.
    """
    ranks: dict[Merge, int] = {}
    for term in terms:
        for text in _forms(tokenizer, term):
            pieces = _merged(tokenizer.encode(text).tokens, ranks)
            while len(pieces) > 1:
                at = _next_to_join(pieces)
                ranks[pieces[at], pieces[at + 1]] = len(ranks)
                pieces = _merged(pieces, ranks)
    return list(ranks)


def _next_to_join(pieces: Sequence[str]) -> int:
    """The place of the pair to merge next: first what cuts a character in two, so that no token begins or ends in one.

    Then from the right, so that a term and the same after a blank, which differ in their first piece, share merges.
    """
    within = (i for i, piece in enumerate(pieces[1:]) if piece[0] in _WITHIN)
    return next(within, len(pieces) - 2)


def _merged(pieces: Sequence[str], ranks: dict[Merge, int]) -> list[str]:
    """Byte-pair merging: the leftmost pair of least rank, until there is none."""
    pieces = list(pieces)
    while found := [(ranks[pair], i) for i, pair in enumerate(pairwise(pieces)) if pair in ranks]:
        _, i = min(found)
        pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]
    return pieces

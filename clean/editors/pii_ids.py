"""Bank cards, IBANs and national identity numbers in text.

A number whose check leaves little to chance is found anywhere; one with a weak check, or none, only beside the word
that says what it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from corpusmill.clean.editors import check_digits as check

Span = tuple[int, int]
_BEFORE, _AFTER = 48, 16
"""Characters before and after a number in which the word must stand."""

_CARD = re.compile(
    r"(?<![\w.,+/=#_-])(?<!\d )(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}|\d{4}([ -])\d{6}\2\d{4,5})"
    r"(?![\w+/=]|[.,]\d|[ -]\d)",
    re.ASCII,
)
_IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}\d\d(?:[A-Z0-9]{11,29}|(?: [A-Z0-9]{4}){2,8}(?: [A-Z0-9]{1,3})?)(?![A-Za-z0-9])"
)
_SPANISH_WORDS = r"d\.?n\.?i\.?(?![a-z])|n\.?i\.?[ef]\.?(?![a-z])|identidad|identificaci"
_NINO_WORDS = r"national insurance|nino(?![a-z])|ni (?:number|no)"


class Scheme(NamedTuple):
    pattern: re.Pattern[str]
    holds: Callable[[str], bool]
    word: re.Pattern[str] | None = None
    """What must stand beside the number; None where the check is strong enough."""


def _scheme(pattern: str, holds: Callable[[str], bool], word: str | None = None) -> Scheme:
    around = re.compile(rf"(?<![\w.,+/=#-])(?<!\d )(?:{pattern})(?![\w+=]|[.,-]\d)", re.ASCII)
    return Scheme(around, holds, None if word is None else re.compile(rf"(?<![A-Za-z])(?:{word})", re.IGNORECASE))


_BY_DIGITS = (  # looked for where a run of digits stands
    _scheme(r"[1-8]\d{16}[\dXx]", check.chinese_id),
    _scheme(r"[12] ?\d\d ?(?:0[1-9]|1[0-2]) ?(?:2[AB]|\d\d) ?\d{3} ?\d{3} ?\d\d", check.french_nir),
    _scheme(r"\d{3}\.\d{3}\.\d{3}-\d\d", check.brazilian_cpf),
    _scheme(r"\d{11}", check.brazilian_cpf, r"cpf(?![a-z])"),
    _scheme(r"\d{3}-\d\d-\d{4}|\d{9}|\d{3} \d\d \d{4}", check.us_ssn, r"ssn(?![A-Za-z])|social security"),
    _scheme(r"\d{8}[ -]?[A-Za-z]|[XYZ]-?\d{7}-?[A-Z]", check.spanish_id, _SPANISH_WORDS),
    _scheme(r"\d{2} ?\d{3} ?\d{3} ?\d{3}", check.german_tax_id, r"steuer|id-?nr|tax id|tin(?![a-z])"),
    _scheme(r"\d{4}([ -]?)\d{4}\1\d{4}", check.indian_aadhaar, r"aadha+r|uidai|आधार"),
    _scheme(r"\d{11}", check.polish_pesel, r"pesel"),
    _scheme(r"\d{9}", check.dutch_bsn, r"bsn(?![a-z])|burgerservice|sofi-?num"),
    _scheme(r"\d{3}([ -]?)\d{3}\1\d{3}", check.luhn, r"social insurance|sin (?:number|no)|assurance sociale"),
    _scheme(r"\d{6}-[1-8]\d{6}", check.korean_rrn),
)  # fmt: skip
_WORDS = re.compile("|".join(s.word.pattern for s in _BY_DIGITS if s.word is not None), re.IGNORECASE)
_NINO = _scheme(r"[A-Z]{2}(?:\d{6}| \d\d \d\d \d\d )[A-D]", check.uk_nino, _NINO_WORDS)
_CODICE = _scheme(r"[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]", check.codice_fiscale)
_PAN = _scheme(r"[A-Z]{3}[ABCFGHLJPT][A-Z]\d{4}[A-Z]", lambda _: True, r"permanent account|pan(?![a-z])")

_BY_SHAPE = (  # looked for where letters and digits stand like this
    ((b"AA000000A", b"AA 00 00 00 A"), _NINO),
    ((b"AAAAAA00A00A000A",), _CODICE),
    ((b"AAAAA0000A",), _PAN),
)


def cards(text: str, zone: Span) -> Iterator[Span]:
    for found in _CARD.finditer(text, *zone):
        if check.bank_card(_compact(found.group())):
            yield found.span()


def ibans(text: str) -> Iterator[Span]:
    """The country says how long its IBANs are; what stands in capitals after one is left alone."""
    for found in _IBAN.finditer(text):
        length = check.IBAN_LENGTHS.get(found.group()[:2], 0)
        end, taken = found.start(), 0
        while taken < length and end < found.end():
            taken += text[end] != " "
            end += 1
        if check.iban(text[found.start() : end].replace(" ", "")):
            yield found.start(), end


def national_ids(text: str, zone: Span) -> Iterator[Span]:
    """Those made of digits, within `zone`."""
    worded = _WORDS.search(text, max(0, zone[0] - _BEFORE), zone[1] + _AFTER) is not None
    for scheme in _BY_DIGITS:
        if scheme.word is None or worded:
            yield from _of_scheme(text, scheme, *zone)


def shaped_ids(text: str, shape: bytes) -> Iterator[Span]:
    """Those made of letters and digits. `shape` is the text with A for capitals, a for small letters, 0 for digits."""
    for shapes, scheme in _BY_SHAPE:
        if any(s in shape for s in shapes):
            yield from _of_scheme(text, scheme, 0, len(text))


def _of_scheme(text: str, scheme: Scheme, start: int, end: int) -> Iterator[Span]:
    for found in scheme.pattern.finditer(text, start, end):
        beside = scheme.word is None or scheme.word.search(_around(text, *found.span()))
        if beside and scheme.holds(_compact(found.group())):
            yield found.span()


def _around(text: str, start: int, end: int) -> str:
    return text[max(0, start - _BEFORE) : start] + " " + text[end : end + _AFTER]


def _compact(number: str) -> str:
    return number.replace(" ", "").replace("-", "").replace(".", "")

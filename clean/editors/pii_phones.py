"""Telephone numbers in text.

Numbers with a country code (E.164) are found anywhere; national ones only where their grouping is that of the country,
or beside a word such as "tel."; nothing after "ISBN", "order no." and the like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Span = tuple[int, int]

_NOT_BEFORE = r"(?<![\w.,+=#-])(?<!\d )(?<!\D/)"
_NOT_AFTER = r"(?![\w+=]|[.,:-]\d| \d)"
"""A slash may part two numbers, as in 212-307-7050/800-451-9930, but none begins in a path."""
_INTERNATIONAL = re.compile(r"(?<![\w.+-])(?<!\d )\+ ?\(?[1-9](?:[ .()/\xa0-]{0,3}\d){7,14}(?!\w|[.,]\d)", re.ASCII)
_NATIONAL = re.compile(
    _NOT_BEFORE
    + "(?:"
    + "|".join(
        (
            r"00[1-9]\d{0,2}(?P<o>[ -])\d{1,4}(?:(?P=o)?\d{2,4}){2,4}",  # 00 for +
            r"(?:1[-. ])?(?:\([2-9]\d\d\) ?|[2-9]\d\d(?P<n>[-.]))[2-9]\d\d[-.]\d{4}",  # North America
            r"1-8\d\d-\d{3}-\d{4}",
            r"0[1-9](?P<f>[ .-])\d\d(?:(?P=f)\d\d){3}",  # France
            r"\(?0(?:1\d{3}|2\d|3\d\d|7\d{3}|8\d\d|1\d1|11\d)\)? \d{3,4} ?\d{3,4}",  # United Kingdom
            r"\(?0\d{2,4}\)? ?/ ?\d{3,}(?:[ -]?\d+){0,3}",  # Germany
            r"1[3-9]\d(?:\d{8}|(?P<m>[ -])\d{4}(?P=m)\d{4})",  # mainland China, mobile
            r"\(?0(?:10|2\d|[3-9]\d\d)\)?-? ?[2-8]\d{6,7}",  # mainland China, landline
            r"0\d{1,3}-\d{2,4}-\d{4}",  # Japan, Korea
            r"\(\d\d\) ?9?\d{4}-\d{4}",  # Brazil
            r"[78] ?\(\d{3}\) ?\d{3}-\d\d-\d\d",  # Russia
        )
    )
    + ")"
    + _NOT_AFTER,
    re.ASCII,
)
_ANY = re.compile(r"(?<![\w.,+/=#-])\(?\d(?:[ .()\xa0-]{0,3}\d){5,14}(?!\w|[.,]\d)", re.ASCII)
_WORD = re.compile(
    r"(?:(?<![A-Za-z])(?:tel|tél|phone|telephone|téléphone|telefono|teléfono|telefone|telefon|telephon|tlf|fon|mobile"
    r"|mobil|móvil|celular|cell|handy|fax|telefax|whatsapp|sms|hotline|helpline|call|dial|text|ring"
    r"|(?:phone|mobile|tele|cell|fax)[ -]?(?:phone )?(?:number|no|nr))|телефон|тел|факс|电话|電話|手机|手機|传真|傳真)"
    r"[\s.:：;)(°º#-]{0,4}(?:us|me|now|today|toll[ -]free|free|at|on|is|号码|号|碼)?[\s.:：(-]{0,3}$",
    re.IGNORECASE,
)
_OTHER_NUMBER = re.compile(
    r"(?:isbn|issn|ismn|doi|arxiv|pmid|oclc|lccn|patent|order|invoice|serial|model|part|item|sku|upc|ean|case|docket|ticket"
    r"|tracking|account|reference|ref|article|catalogu?e?|product|licen[sc]e|reg|version|build|uid|userid|user id|qq"
    r"|订单|编号|單號|号码为|bestell|artikel|rechnung|commande|pedido)[\w .:#°º：-]{0,12}$",
    re.IGNORECASE,
)
_LOOK_BACK = 28
_COUNTRY_CODE = re.compile(
    r"[17]|2(?:[07]|1[12368]|[236]\d|4[0-689]|5[0-8]|9[0179])|3(?:[0-469]|[57]\d|8[0-35-79])|4(?:[013-9]|2[013])"
    r"|5(?:[1-8]|[09]\d)|6(?:[0-6]|7[02-9]|8[0-35-9]|9[0-2])|8(?:[1246]|0[08]|5[02356]|8[06])"
    r"|9(?:[0-58]|6[0-8]|7[0-79]|9[2-68])"
)
"""Assigned by the ITU (E.164, 2024)."""
_NANP = re.compile(r"1[2-9]\d\d[2-9]\d{6}")
_FICTIONAL = re.compile(r"1?\d{3}55501\d\d")
"""Numbers set aside for films and examples in North America."""
_YEARS = re.compile(r"(?:1\d|20)\d\d[ /-]{1,3}(?:1\d|20)\d\d(?!\d)|\d{4}-\d\d-\d\d|\d\d[./-]\d\d[./-]\d{4}")


def phones(text: str, start: int, end: int) -> Iterator[Span]:
    """Spans between `start` and `end`, which hold a run of digits; the characters around them are looked at, too."""
    for found in _INTERNATIONAL.finditer(text, start, end):
        if _is_international(_digits(found.group())):
            yield _without_tail(found)
    before = text[max(0, start - _LOOK_BACK) : start]
    worded = _WORD.search(before) is not None
    if not worded and _OTHER_NUMBER.search(before):
        return
    for found in _NATIONAL.finditer(text, start, end):
        digits = _digits(found.group())
        if 9 <= len(digits) <= 15 and _plausible(digits):
            yield _without_tail(found)
    if worded:
        number = _ANY.match(text, start, end)
        if number and not _YEARS.match(number.group()):
            digits = _digits(number.group())
            if 7 <= len(digits) <= 15 and _plausible(digits):
                yield _without_tail(number)


def _is_international(digits: str) -> bool:
    if not 9 <= len(digits) <= 15 or not _plausible(digits):
        return False
    if digits[0] == "1":
        return _NANP.fullmatch(digits) is not None
    return _COUNTRY_CODE.match(digits) is not None


def _plausible(digits: str) -> bool:
    """Neither made of one or two digits, as in 000-000-0000, nor set aside for fiction."""
    return len(set(digits)) > 2 and not _FICTIONAL.fullmatch(digits)


def _digits(number: str) -> str:
    return "".join(c for c in number if "0" <= c <= "9")


def _without_tail(found: re.Match[str]) -> Span:
    """A match ends with a digit; an opening bracket without its fellow is not part of the number."""
    start, end = found.span()
    if found.group().startswith("(") and ")" not in found.group():
        start += 1
    return start, end

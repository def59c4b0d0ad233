"""Personal data masked: e-mail and IP addresses, telephone, bank and identity numbers.

E-mail and public IP addresses are what FineWeb masks (Penedo et al. 2024, section 3.4). Text without an `@`, a long run
of digits or the like costs a few microseconds: it is looked at as bytes first.

Names, postal addresses and numbers in other scripts' digits are not looked for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Literal

import pyarrow as pa

from corpusmill.clean.editors.editor import Edit, Editor
from corpusmill.clean.editors.pii_ids import cards, ibans, national_ids, shaped_ids
from corpusmill.clean.editors.pii_phones import phones
from corpusmill.clean.setting_checks import check_settings
from corpusmill.errors import InputError

Kind = Literal["email", "ip", "phone", "bank_card", "iban", "national_id"]
Span = tuple[int, int]

KINDS: tuple[Kind, ...] = ("email", "ip", "iban", "bank_card", "national_id", "phone")
"""In order of precedence: what is a card number is no telephone number."""
PLACEHOLDERS: dict[str, dict[Kind, str]] = {
    "tag": {
        "email": "[EMAIL]",
        "ip": "[IP]",
        "phone": "[PHONE]",
        "bank_card": "[BANK_CARD]",
        "iban": "[IBAN]",
        "national_id": "[NATIONAL_ID]",
    },
    # text stays natural; all of these are set aside for examples or belong to no one (RFC 2606, RFC 5737)
    "example": {
        "email": "email@example.com",
        "ip": "192.0.2.1",
        "phone": "202-555-0100",
        "bank_card": "0000 0000 0000 0000",
        "iban": "XX00 0000 0000 0000",
        "national_id": "000000000",
    },
}

_SHAPE = bytes.maketrans(
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", b"0" * 10 + b"A" * 26 + b"a" * 26
)
_SEPARATORS = b" .-()/\xa0"
"""What stands between the digits of one number."""
_HEX = b"0123456789abcdefABCDEF"
_RUN = re.compile(r"\d(?:[ .()/\xa0-]{0,3}\d){6,}", re.ASCII)

# letters of Latin, Greek and Cyrillic: in 请联系a@b.cn是 the signs around are no part of the address
_LOCAL = re.compile(r"[A-Za-z0-9_\u00c0-\u052f!#$%&'*+=?^`{|}~.-]{1,64}\Z")
_DOMAIN = re.compile(
    r"(?:[a-z0-9\u00c0-\u052f](?:[a-z0-9_\u00c0-\u052f-]{0,61}[a-z0-9\u00c0-\u052f])?\.)+"
    r"(?P<top>xn--[a-z0-9-]{2,59}|[a-z\u00c0-\u052f]{2,24})(?![a-z0-9_-]*@)",
    re.IGNORECASE,
)
_FILE = re.compile(r"png|jpe?g|gif|webp|svg|bmp|ico|css|js|json|html?|php|xml|pdf|zip|txt|md|py|mp[34]")
"""Ends of file names, as in logo@2x.png; those that are domains, too (zip, md, py), are oftener the former."""
_EXAMPLES = re.compile(r"(?:.*\.)?(?:example(?:\.(?:com|org|net|edu))?|invalid|test|localhost)\Z", re.IGNORECASE)
"""RFC 2606: nobody's addresses."""
_IPV4 = re.compile(r"(?<![\w.-])\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\w-]|\.\d)", re.ASCII)
_IPV6 = re.compile(r"[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]{2,34}(?!\w)", re.ASCII)
"""Unicast addresses that are given out all begin with 2 or 3 (RFC 4291); a::b is a name in C++."""
_RESOLVERS = frozenset(("1.1.1.1", "1.0.0.1", "8.8.8.8", "8.8.4.4", "9.9.9.9", "208.67.222.222", "208.67.220.220"))
"""Name servers open to all, named in every manual."""
_VERSION = re.compile(
    r"(?:version|versión|ver|v|release|build|firmware|driver|update|patch|section|sec|chapter|clause|rule|art|ec|§|版本|版)"
    r"[\s.:]*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PiiMask(Editor):
    """Replace personal data by placeholders, drop the texts that hold any, or count it only.

    >>> PiiMask().mask("write to jane.doe@gmail.com")
    'write to [EMAIL]'
    """

    kinds: tuple[Kind, ...] = KINDS
    action: Literal["mask", "drop", "count"] = "mask"
    """What is dropped is stored masked, too; `count` leaves the text as it is."""
    style: Literal["tag", "example"] = "tag"
    """Placeholders: [EMAIL], or email@example.com as in FineWeb."""
    placeholders: dict[Kind, str] = field(default_factory=dict)
    """Kind to placeholder, over those of the style."""

    def __post_init__(self) -> None:
        check_settings(self)
        for kind in self.placeholders:
            if kind not in KINDS:  # or personal data would pass unmasked, and nobody would know
                raise InputError(f"PiiMask: found the kind {kind!r}; expected of {', '.join(KINDS)}")

    def edit(self, text: str) -> Edit:
        found = self.find(text)
        if not found:
            return Edit(text)
        changes = Counter[str](kind for _, _, kind in found)
        if self.action == "count":
            return Edit(text, changes)
        return Edit(self._replaced(text, found), changes, "personal_data" if self.action == "drop" else None)

    def mask(self, text: str) -> str:
        """`text` with its personal data replaced."""
        return self._replaced(text, self.find(text))

    def mask_batch(self, texts: list[str] | pa.Array) -> pa.Array:
        """As `mask`, for a list, Arrow array or pandas Series; large_string, null where there was no text."""
        return self.edit_batch(texts)

    def find(self, text: str) -> list[tuple[int, int, Kind]]:
        """(start, end, kind) of what is found, in order; no two overlap."""
        spans: list[tuple[int, int, Kind]] = []
        for kind, start, end in _candidates(text, self.kinds):
            spans.append((start, end, kind))
        if len(spans) < 2:
            return spans
        taken = bytearray(len(text))
        kept = []
        for start, end, kind in sorted(spans, key=lambda s: (KINDS.index(s[2]), s[0], -s[1])):
            if not any(taken[start:end]):
                taken[start:end] = b"\1" * (end - start)
                kept.append((start, end, kind))
        return sorted(kept)

    def _replaced(self, text: str, found: list[tuple[int, int, Kind]]) -> str:
        stands_for = PLACEHOLDERS[self.style] | self.placeholders
        pieces, at = [], 0
        for start, end, kind in found:
            pieces += [text[at:start], stands_for[kind]]
            at = end
        return "".join([*pieces, text[at:]])


def _candidates(text: str, kinds: tuple[Kind, ...]) -> Iterator[tuple[Kind, int, int]]:
    """What is found, overlaps included. Each kind is looked for only where the bytes say that it may stand."""
    if "email" in kinds and "@" in text:
        yield from (("email", *span) for span in _emails(text))
    plain = text.encode("latin-1", "replace")  # one byte a character, so that places are the same
    shape = plain.translate(_SHAPE)
    if "ip" in kinds:
        yield from (("ip", *span) for span in _ips(text, plain, shape))
    if "iban" in kinds and b"AA00" in shape:
        yield from (("iban", *span) for span in ibans(text))
    if "national_id" in kinds:
        yield from (("national_id", *span) for span in shaped_ids(text, shape))
    if b"0000000" not in shape.translate(None, _SEPARATORS):
        return
    for run in _RUN.finditer(text):
        start, end = run.span()
        zone = (max(0, start - 3), min(len(text), end + 3))
        if "bank_card" in kinds:
            yield from (("bank_card", *span) for span in cards(text, zone))
        if "national_id" in kinds:
            yield from (("national_id", *span) for span in national_ids(text, zone))
        if "phone" in kinds:
            yield from (("phone", *span) for span in phones(text, _opening(text, start), zone[1]))


def _opening(text: str, start: int) -> int:
    """Where a number begins whose first digit stands at `start`: at its plus sign or bracket."""
    for opening in ("+ (", "+(", "+ ", "+", "("):
        if text.endswith(opening, 0, start):
            return start - len(opening)
    return start


def _emails(text: str) -> Iterator[Span]:
    at = text.find("@")
    while at != -1:
        local = _LOCAL.search(text, max(0, at - 64), at)
        domain = _DOMAIN.match(text, at + 1) if local else None
        if local and domain and _is_email(text, local.start(), domain):
            yield local.start() + len(local.group()) - len(local.group().lstrip(".'*-=|`")), domain.end()
        at = text.find("@", at + 1)


def _is_email(text: str, start: int, domain: re.Match[str]) -> bool:
    """No handle (@me@host), file (logo@2x.png), place in a repository (git@host:path), or address of an example."""
    if start > 0 and text[start - 1] == "@":
        return False
    if _FILE.fullmatch(domain["top"].lower()) or _EXAMPLES.match(domain.group()):
        return False
    return not re.match(r":[\w~/]", text[domain.end() : domain.end() + 2])


def _ips(text: str, plain: bytes, shape: bytes) -> Iterator[Span]:
    at = shape.find(b"0.0")
    while at != -1:
        found = _IPV4.search(text, max(0, at - 2), at + 17)
        if found and _is_public(found.group()) and not _VERSION.search(text, max(0, found.start() - 16), found.start()):
            yield found.span()
        at = shape.find(b"0.0", found.end() if found else at + 1)
    if plain.count(b":") > 1 and b"::" in plain.translate(None, _HEX):
        for found in _IPV6.finditer(text):
            address = found.group() if found.group().endswith("::") else found.group().rstrip(":")
            before = text[found.start() - 1] if found.start() else " "
            if _is_public(address) and not (before.isascii() and (before.isalnum() or before in "_:.")):
                yield found.start(), found.start() + len(address)


def _is_public(address: str) -> bool:
    try:
        return address not in _RESOLVERS and ip_address(address).is_global
    except ValueError:
        return False

"""Tags and entities of HTML, and hash tables of them that numba kernels can read."""

from __future__ import annotations

from collections.abc import Mapping
from html.entities import html5

import numpy as np

_FNV, _PRIME = 14695981039346656037, 1099511628211  # FNV-1a, 64 bits
BASIS, PRIME = np.uint64(_FNV), np.uint64(_PRIME)

BLOCK, VOID, SKIP, CLOSES_P, LI, DT, CELL, ROW, LIST, TABLE, RAW = (1 << i for i in range(11))
"""What a tag does. BLOCK ends a block of text; VOID has no content; the content of SKIP is not read, and that of RAW
runs to the page's end if it is not closed; LI, DT, CELL and ROW close an open one of their kind, up to a LIST or
TABLE."""

_KINDS = (
    ("p", BLOCK | CLOSES_P),
    ("a", 0),
    ("br", VOID),
    ("li", BLOCK | LI),
    ("td th", BLOCK | CELL),
    ("tr", BLOCK | ROW),
    ("dt dd", BLOCK | DT),
    ("table", BLOCK | TABLE | CLOSES_P),
    ("ul ol dl menu", BLOCK | LIST | CLOSES_P),
    ("div section article main header footer nav aside h1 h2 h3 h4 h5 h6 blockquote pre form", BLOCK | CLOSES_P),
    ("fieldset figure figcaption address details summary center hgroup dialog", BLOCK | CLOSES_P),
    ("html body head tbody thead tfoot caption legend button label optgroup frameset frame", BLOCK),
    ("hr", BLOCK | VOID),
    ("img input meta link area base col embed param source track wbr", VOID),
    ("script style", SKIP | RAW),
    ("noscript template svg select textarea iframe object video audio canvas math title datalist noembed", SKIP),
    ("noframes map xml", SKIP),
    ("span b i em strong u s small big sub sup font cite q code time ins del abbr mark", 0),
    ("kbd samp var tt dfn picture strike bdi bdo ruby rt rp nobr", 0),
)
_PROPS = {name: props for names, props in _KINDS for name in names.split()}
TAGS = ["?", *_PROPS]
CODE = {name: i for i, name in enumerate(TAGS)}
TAG_PROPS = np.array([0, *_PROPS.values()], np.int64)
"""Properties by code. The model knows tags by their code: append, do not reorder."""
NEEDS_SEMICOLON = 1 << 22
"""Added to the code point of an entity that is none without its semicolon, as in ?a=1&in=2."""
CP1252 = np.array([ord(bytes([b]).decode("cp1252", "replace")) for b in range(128, 160)], np.int64)
"""What &#128; to &#159; mean (HTML standard, section 13.2.5.80)."""


def fnv(text: str) -> int:
    h = _FNV
    for byte in text.encode():
        h = ((h ^ byte) * _PRIME) & 0xFFFFFFFFFFFFFFFF
    return h


def hash_table(entries: Mapping[int, float], kind: type[np.generic]) -> tuple[np.ndarray, np.ndarray]:
    """(hashes uint64, values), open-addressed and at most half full: slot `hash & (size - 1)` onwards; 0 is empty."""
    size = 16
    while size < 2 * len(entries) + 2:
        size *= 2
    hashes, values = np.zeros(size, np.uint64), np.zeros(size, kind)
    for key, value in entries.items():
        at = key & (size - 1)
        while hashes[at]:
            at = (at + 1) & (size - 1)
        hashes[at], values[at] = key, value
    return hashes, values


def _code_point(name: str, char: str) -> int:
    return ord(char) | (0 if name.rstrip(";") in html5 else NEEDS_SEMICOLON)


TAG_HASH, TAG_CODE = hash_table({fnv(name): code for name, code in CODE.items() if code}, np.int64)
ENTITY_HASH, ENTITY_CODE = hash_table(
    {fnv(n.rstrip(";")): _code_point(n, c) for n, c in html5.items() if len(c) == 1 and len(n) < 12}, np.int64
)

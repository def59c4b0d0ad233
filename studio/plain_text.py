"""Strings from the web, made fit to be shown: nothing in them can move, hide or reorder what stands around them.

Escaping for HTML is the template's work (autoescape); this module deals with what escaping leaves alone.
"""

from __future__ import annotations

import re

MAX_LABEL_CHARS = 300
"""Longest URL, host, title or detail that is shown whole."""
MAX_EXCERPT_CHARS = 600
MAX_EXCERPT_LINES = 24

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]")
# marks, embeddings, overrides and isolates (UAX 9): they outlive the element they stand in
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_STACKED_MARKS = re.compile(
    "([\u0300-\u036f\u0483-\u0489\u20d0-\u20ff\ufe20-\ufe2f]{4})[\u0300-\u036f\u0483-\u0489\u20d0-\u20ff\ufe20-\ufe2f]+"
)
_BLANK_LINES = re.compile(r"\n\s*\n\s*")


def plain(value: str) -> str:
    """`value` with control characters made visible, bidirectional controls named and piles of accents cut short."""
    value = _CONTROL.sub(_picture, value.replace("\r\n", "\n"))
    return _STACKED_MARKS.sub(r"\1", _BIDI.sub(lambda m: f"⟨U+{ord(m[0]):04X}⟩", value))


def label(value: str | None, max_chars: int = MAX_LABEL_CHARS) -> str:
    """One line, cut with an ellipsis."""
    return _cut(" ".join((value or "").split()), max_chars)


def excerpt(text: str, max_chars: int = MAX_EXCERPT_CHARS) -> str:
    """The beginning of a text, blank lines taken out: at most so many characters, and MAX_EXCERPT_LINES lines."""
    lines = _BLANK_LINES.sub("\n", text[: 4 * max_chars]).strip().splitlines()
    shown = "\n".join(lines[:MAX_EXCERPT_LINES])
    return (
        _cut(shown, max_chars) if len(lines) <= MAX_EXCERPT_LINES else _cut(shown, max_chars).removesuffix(" …") + " …"
    )


def _cut(value: str, max_chars: int) -> str:
    return value if len(value) <= max_chars else value[:max_chars].rstrip() + " …"


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)  # the block "Control Pictures"
    return "\u2421" if code == 0x7F else "\ufffd"

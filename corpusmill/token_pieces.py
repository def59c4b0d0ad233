"""Tokens as a person reads them: each with its borders, bytes that are no whole characters as bytes.

Where there are colours, tokens are shaded in turn; else `|` stands between them. Text of strangers is made fit to be
shown first: it cannot move the cursor or turn the direction of writing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from rich.cells import cell_len
from rich.text import Text
from tokenizers import Tokenizer

from corpusmill.studio.plain_text import plain

_SHADES = ("#cfe3df", "#f3e2b3")
_STYLES = {"text": "black on {}", "bytes": "bold #a3201d on {}", "special": "bold white on #6b3fa0"}
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_ESCAPED = range(0xDC80, 0xDD00)  # what surrogateescape makes of a byte


class Piece(NamedTuple):
    """A token, or a part of one that is of one kind: text, bytes (written as \\xNN) or special."""

    text: str
    kind: str


Pieces = Callable[[int], tuple[Piece, ...]]


def pieces_by(tokenizer: Tokenizer | None, end: int | None = None) -> Pieces:
    """What to show of a token's id; the id itself where there is no tokenizer. `end` is special whatever it says."""
    if tokenizer is None:
        return lambda token: (Piece(str(token), "special" if token == end else "text"),)
    from corpusmill.tokenize.kernel_encoder import byte_characters  # loads numba, which not every look needs

    added = tokenizer.get_added_tokens_decoder()
    byte_of = {c: b for b, c in enumerate(byte_characters())}
    byte_level = b'"ByteLevel"' in (tokenizer.decoder.__getstate__() if tokenizer.decoder else b"")

    @lru_cache(maxsize=65_536)
    def pieces(token: int) -> tuple[Piece, ...]:
        name = tokenizer.id_to_token(token)
        if name is None:
            return (Piece(f"no token {token}", "special"),)
        if token in added:
            return (Piece(plain(name), "special" if added[token].special or token == end else "text"),)
        if byte_level:
            return split_bytes(bytes(byte_of[c] for c in name))
        byte = _BYTE_TOKEN.fullmatch(name)
        return split_bytes(bytes([int(byte[1], 16)]) if byte else name.replace("\u2581", " ").encode())

    return pieces


def split_bytes(data: bytes) -> tuple[Piece, ...]:
    """Whole UTF-8 characters as text, other bytes as bytes."""
    found = []
    for escaped, run in groupby(data.decode("utf-8", "surrogateescape"), lambda c: ord(c) in _ESCAPED):
        part = "".join(run)
        whole = "".join(f"\\x{ord(c) - 0xDC00:02x}" for c in part) if escaped else plain(part.replace("\r", "\u240d"))
        found.append(Piece(whole, "bytes" if escaped else "text"))
    return tuple(found)


def in_a_row(tokens: Sequence[tuple[Piece, ...]], coloured: bool, first: int = 0) -> Text:
    """Tokens one after the other; a line's end is shown and ends the line. `first` is the number of the first."""
    line = Text()
    for number, token in enumerate(tokens, first):
        line.append_text(_token(token, number, coloured, "\u21b5\n"))
        line.append("" if coloured else "|")
    return line if coloured else Text("|") + line


def with_ids(
    tokens: Sequence[tuple[Piece, ...]], ids: Iterable[int], coloured: bool, width: int, first: int = 0
) -> Text:
    """Tokens with their ids below, in lines of at most `width` cells; blanks are dots, so that their number shows."""
    upper, lower, whole = Text(), Text(), Text()
    for number, (token, label) in enumerate(zip(tokens, map(str, ids), strict=True), first):
        shown = _token(token, number, coloured, "\u21b5", "\u00b7")
        cells = max(cell_len(shown.plain), len(label))
        if upper.plain and cell_len(upper.plain) + cells + 1 > width:
            whole, upper, lower = _joined(whole, upper, lower), Text(), Text()
        upper.append_text(shown)
        upper.append(" " * (cells - cell_len(shown.plain)) + (" " if coloured else "|"))
        lower.append(label.ljust(cells) + " ", "dim")
        if shown.plain.endswith("\u21b5"):
            whole, upper, lower = _joined(whole, upper, lower), Text(), Text()
    return _joined(whole, upper, lower)


def _token(token: Iterable[Piece], number: int, coloured: bool, line_end: str, blank: str = " ") -> Text:
    shown = Text()
    for text, kind in token:
        if kind == "text":
            text = text.replace("\t", "\u21e5").replace(" ", blank).replace("\n", line_end)
        if coloured:
            shown.append(text, _STYLES[kind].format(_SHADES[number % len(_SHADES)]))
        else:
            shown.append(f"\u27e6{text}\u27e7" if kind == "special" else text)
    return shown


def _joined(whole: Text, upper: Text, lower: Text) -> Text:
    if not upper.plain:
        return whole
    lower.rstrip()
    return whole + Text("\n" if whole.plain else "") + upper + Text("\n") + lower

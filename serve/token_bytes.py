"""The bytes of each token, and text from bytes that arrive in pieces.

A byte-level tokenizer may cut a character in two. Text is therefore put together from bytes, and a character is shown
once its last byte is there; decoding token by token would show U+FFFD instead.
"""

from __future__ import annotations

import codecs
import json
from typing import Any

from corpusmill.errors import InputError


def byte_alphabet() -> dict[str, int]:
    """GPT-2's alphabet (Radford et al. 2019, encoder.py): the printable character that stands for each byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}


class TokenBytes:
    """What each token of a byte-level tokenizer stands for. In generated text, special tokens stand for nothing."""

    def __init__(self, tokenizer: Any, vocab_size: int) -> None:
        if '"ByteLevel"' not in json.dumps(json.loads(tokenizer.backend_tokenizer.to_str()).get("decoder")):
            raise InputError("the model's tokenizer is not byte-level, and the server only serves those")
        alphabet = byte_alphabet()
        self._special = frozenset(tokenizer.all_special_ids)
        added = {i: t.content for i, t in tokenizer.added_tokens_decoder.items()}
        self._bytes = [b""] * vocab_size
        self._names = [""] * vocab_size
        for name, token in tokenizer.get_vocab().items():
            if token < vocab_size:
                plain = added[token].encode() if token in added else bytes(alphabet[c] for c in name)
                self._bytes[token] = plain
                self._names[token] = added.get(token) or _name(plain)

    def __getitem__(self, token: int) -> bytes:
        return b"" if token in self._special else self._bytes[token]

    def written(self, token: int) -> bytes:
        """As it stands in a prompt: special tokens as they are written."""
        return self._bytes[token]

    def name(self, token: int) -> str:
        """The token as text; one that is no text by itself as `bytes:\\xe2\\x82`, as OpenAI writes it."""
        return self._names[token]


def _name(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{b:02x}" for b in data)


class GrowingText:
    """Text from bytes in pieces. Bytes that wait for the rest of their character are not part of `text` yet."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.text = ""

    def add(self, data: bytes) -> None:
        self.text += self._decoder.decode(data)

    def find(self, stops: tuple[str, ...], since: int) -> int | None:
        """Where the earliest stop string begins that ends after character `since`, or None."""
        found = [self.text.find(s, max(0, since - len(s) + 1)) for s in stops]
        return min((at for at in found if at >= 0), default=None)

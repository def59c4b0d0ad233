"""Texts to ids: by our own kernels or by tiktoken where their ids are those of Hugging Face's tokenizers, which is
checked; else by the latter.

Text is data: a page that contains "<|endoftext|>" is encoded as those characters, never as the special token.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa
import tiktoken
from tokenizers import Tokenizer

from corpusmill.tokenize.encoded import Encoded, from_lists
from corpusmill.tokenize.kernel_encoder import KernelEncoder, byte_characters
from corpusmill.tokenize.pretokenizers import GPT2_PATTERN, class_borders

ADVERSARIAL = (
    "", " ", "  ", "\n", "\r\n \t\v\f", "a", " a", "a ", "  a  b   c    d", "it's we'll I'd THEY'RE 'tis ''s",
    "1234567890 3.14 ١٢٣ ½ Ⅻ", "naïve café résumé", "e\u0301 \u1e9b\u0323", "日本語のテキスト。中文文本，没有空格",
    "한국어 텍스트", "עברית עם ניקוד", "العربية", "हिन्दी में", "ไทยไม่มีช่องว่าง", "🙂👍🏽👩‍👩‍👧‍👦🇩🇪", "\u200b\u200d\ufeff\u00a0\u2003x",
    "<|endoftext|> </s> <s> [MASK]", "=" * 300, "-" * 40 + " " * 90 + "end", "\t\tif (x != y) {\n\t\t\treturn x->y[0];\n\t}",
    "https://example.com/a?b=c&d=%20#e", "ALLCAPS CamelCase snake_case kebab-case", "\x00\x01\x7f\x80", "\ue000\U000f0000",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" * 3, "…–—“”‘’«»", "ﬁﬂ ²³ ™ ℃",
)  # fmt: skip
"""Short texts on which encoders have been seen to differ: white space, marks, emoji, runs, special tokens."""


class Encoder(Protocol):
    name: str

    def encode(self, texts: Sequence[str] | pa.Array) -> Encoded:
        """Ids of each text, without an end-of-text token. A null is an empty text."""
        ...


class HuggingFaceEncoder:
    name = "tokenizers"

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.tokenizer.encode_special_tokens = True  # as text
        self.tokenizer.no_truncation()  # kept in some tokenizer files, for models with short inputs
        self.tokenizer.no_padding()

    def encode(self, texts: Sequence[str] | pa.Array) -> Encoded:
        found = self.tokenizer.encode_batch_fast(_strings(texts), add_special_tokens=False)
        return from_lists([e.ids for e in found])


class TiktokenEncoder:
    """The same ids, about five times as fast."""

    name = "tiktoken"

    def __init__(self, tokenizer: Tokenizer) -> None:
        if not _is_gpt2_like(tokenizer):
            raise ValueError("it is not byte-level BPE with GPT-2's pre-tokeniser")
        self.slow = HuggingFaceEncoder(tokenizer)
        self.encoding = tiktoken.Encoding(
            "corpusmill", pat_str=GPT2_PATTERN, mergeable_ranks=token_ranks(tokenizer), special_tokens={}
        )

    def encode(self, texts: Sequence[str] | pa.Array) -> Encoded:
        return from_lists([self._one(t) for t in _strings(texts)])

    def _one(self, text: str) -> np.ndarray:
        try:
            return np.asarray(self.encoding.encode_to_numpy(text, disallowed_special=()), np.uint32)
        except BaseException as e:
            # its regular expressions can exhaust the stack on megabytes without a space; pyo3's panic is no Exception
            if isinstance(e, Exception) or type(e).__name__ == "PanicException":
                return self.slow.encode([text]).ids
            raise


FAST = (KernelEncoder, TiktokenEncoder)
"""The fastest first."""


def choose_encoder(tokenizer: Tokenizer, texts: Sequence[str] = ()) -> Encoder:
    """The first of FAST that can do a tokenizer and gives the ids of Hugging Face's tokenizers on the adversarial set,
    on the characters at which classes begin and end, and on `texts`; else the latter.
    """
    slow, probe = HuggingFaceEncoder(tokenizer), [*ADVERSARIAL, class_borders(), *texts]
    expected = slow.encode(probe)
    for kind in FAST:
        try:
            fast: Encoder = kind(tokenizer)
        except ValueError:
            continue
        if all(np.array_equal(a, b) for a, b in zip(fast.encode(probe), expected, strict=True)):
            return fast
    return slow


def make_encoder(name: str, tokenizer: Tokenizer) -> Encoder:
    """The encoder that `choose_encoder` chose, by name, in another process."""
    found = next((kind for kind in FAST if kind.name == name), HuggingFaceEncoder)
    return found(tokenizer)


def _strings(texts: Sequence[str] | pa.Array) -> list[str]:
    return [text or "" for text in (texts.to_pylist() if isinstance(texts, pa.Array) else texts)]


def _is_gpt2_like(tokenizer: Tokenizer) -> bool:
    """Byte-level BPE with GPT-2's pre-tokeniser and nothing else that changes text or ids."""
    spec = json.loads(tokenizer.to_str())
    model, before = spec["model"], spec["pre_tokenizer"] or {}
    plain = before.get("type") == "ByteLevel" and before.get("use_regex", True) and not before.get("add_prefix_space")
    special = all(t["special"] for t in spec["added_tokens"])
    bpe = model["type"] == "BPE" and not model.get("dropout") and not model.get("byte_fallback")
    return bool(plain and special and bpe and spec["normalizer"] is None)


def token_ranks(tokenizer: Tokenizer) -> dict[bytes, int]:
    """Bytes of each token to its id, which in byte-level BPE is the order of merging."""
    special = {t.content for t in tokenizer.get_added_tokens_decoder().values()}
    to_byte = {char: byte for byte, char in enumerate(byte_characters())}
    vocab = tokenizer.get_vocab(with_added_tokens=False)
    return {bytes(to_byte[c] for c in token): i for token, i in vocab.items() if token not in special}

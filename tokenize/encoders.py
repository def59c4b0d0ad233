"""Texts to ids: by our own kernels or by tiktoken where their ids are those of Hugging Face's tokenizers, which is
checked; else by the latter.

Text is data: a page that contains "<|endoftext|>" is encoded as those characters, never as the special token, unless
special tokens in texts are asked for.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
import pyarrow as pa
import tiktoken
from tokenizers import Tokenizer

from corpusmill.tokenize.encoded import Encoded, from_lists
from corpusmill.tokenize.kernel_encoder import KernelEncoder, byte_characters
from corpusmill.tokenize.pretokenizers import GPT2_PATTERN, class_borders
from corpusmill.tokenize.special_tokens import Spellings, are_plain, special_tokens

_MOST_SPELLED = 300
"""Special tokens tried at load, a dozen ids each; Llama 3 has 256."""

ADVERSARIAL = (
    "", " ", "  ", "\n", "\r\n \t\v\f", "a", " a", "a ", "  a  b   c    d", "it's we'll I'd THEY'RE 'tis ''s",
    "1234567890 3.14 ١٢٣ ½ Ⅻ", "naïve café résumé", "e\u0301 \u1e9b\u0323", "日本語のテキスト。中文文本，没有空格",
    "한국어 텍스트", "עברית עם ניקוד", "العربية", "हिन्दी में", "ไทยไม่มีช่องว่าง", "🙂👍🏽👩‍👩‍👧‍👦🇩🇪", "\u200b\u200d\ufeff\u00a0\u2003x",
    "<|endoftext|> </s> <s> [MASK]", "=" * 300, "-" * 40 + " " * 90 + "end", "\t\tif (x != y) {\n\t\t\treturn x->y[0];\n\t}",
    "https://example.com/a?b=c&d=%20#e", "ALLCAPS CamelCase snake_case kebab-case", "\x00\x01\x7f\x80", "\ue000\U000f0000",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" * 3, "…–—“”‘’«»", "ﬁﬂ ²³ ™ ℃",
    # for normal form C: jamo that make syllables and that do not, marks to be put in order, more marks than a short
    # buffer holds, characters that become others, pairs that become one, what must not be composed
    "\u1112\u1161\u11ab\u1100\u1173\u11af", "\ud558\u11ab\uac01\u11a8", "\u1161\u11a8\u1100\u11a8", "\u1100\u1161\u0301\u11a8",
    "\ua960\u1161\ud7b0\u1100\ud7cb", "\uac00\u11a7\uac00\u11a8\u11a8", "a\u0315\u0300\u05ae\u0300b", "q\u0307\u0323 d\u0307\u0323 \u1e0b\u0323",
    "e" + "\u0301\u0323\u0308\u0345" * 30, "\u0327\u0301" * 40, "a\u0323\u0302\u0301" * 20, "\u212b\u2126\u0340\u0344\u0374\u037e\u0387\u1fbe",
    "\u2000\u2329\uf900\ufb1d\u2adc", "\u0bc6\u0bbe\u09c7\u09be\u0dd9\u0dcf\u0dca\u102e\u1025", "\u304b\u3099\u306f\u309a\u3046\u3099", "\u0958\u0915\u093c",
    "\U0001d15e\U0001d1bb\U0001d165", "\U00011131\U00011127\U000110a5\U000110ba", "\u0f71\u0f72\u0f74\u0f71\u0f80", "<\u0338=\u0338>\u0338",
)  # fmt: skip
"""Short texts on which encoders have been seen to differ: white space, marks, emoji, runs, special tokens, and what
normalising changes."""


class Encoder(Protocol):
    name: str

    def encode(self, texts: Sequence[str] | pa.Array) -> Encoded:
        """Ids of each text, without an end-of-text token. A null is an empty text."""
        ...


class HuggingFaceEncoder:
    """`special`: texts that spell a special token have its id there."""

    name = "tokenizers"

    def __init__(self, tokenizer: Tokenizer, special: bool = False) -> None:
        self.special = special
        self.tokenizer = tokenizer
        self.tokenizer.no_truncation()  # kept in some tokenizer files, for models with short inputs
        self.tokenizer.no_padding()

    def encode(self, texts: Sequence[str] | pa.Array) -> Encoded:
        self.tokenizer.encode_special_tokens = not self.special  # as text; others may have the same tokenizer
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


class SpecialTokensEncoder:
    """The ids of a fast encoder, and those of special tokens where texts spell them, as Hugging Face's library reads
    them: it cuts them out before it normalises what is between.

    Texts without any cost a search for them. Raises ValueError where such tokens are not found by their characters alone.
    """

    def __init__(self, fast: Encoder, tokenizer: Tokenizer) -> None:
        if not are_plain(tokenizer):
            raise ValueError("its special tokens ask for blanks or borders of words around them")
        self.name = fast.name
        self.fast = fast
        self.ids = special_tokens(tokenizer)
        self.spellings = Spellings(list(self.ids))

    def encode(self, texts: Sequence[str] | pa.Array) -> Encoded:
        if not self.spellings.where(texts).any():
            return self.fast.encode(texts)
        cut = [self.spellings.cut(text) for text in _strings(texts)]
        between = iter(self.fast.encode([piece for pieces in cut for piece in pieces[::2]]).arrays())
        ids = [
            np.concatenate([[self.ids[p]] if i % 2 else next(between) for i, p in enumerate(pieces)]) for pieces in cut
        ]
        return from_lists(ids)


FAST = (KernelEncoder, TiktokenEncoder)
"""The fastest first."""


def choose_encoder(tokenizer: Tokenizer, texts: Sequence[str] = (), special: bool = False) -> Encoder:
    """The first of FAST that can do a tokenizer and gives the ids of Hugging Face's tokenizers on the adversarial set,
    on the characters at which classes begin and end, on texts that spell its special tokens, on what a normaliser
    changes, and on `texts`; else the latter. With `special`, special tokens in texts are what they say.
    """
    slow = HuggingFaceEncoder(tokenizer, special)
    probe = [*ADVERSARIAL, class_borders(), *spelled(special_tokens(tokenizer)), *texts]
    if tokenizer.normalizer is not None:
        probe += normal_form_texts()
    expected = slow.encode(probe)
    for kind in FAST:
        try:
            fast = _special(kind(tokenizer), tokenizer, special)
        except ValueError:
            continue
        if all(np.array_equal(a, b) for a, b in zip(fast.encode(probe), expected, strict=True)):
            return fast
    return slow


def make_encoder(name: str, tokenizer: Tokenizer, special: bool = False) -> Encoder:
    """The encoder that `choose_encoder` chose, by name, in another process."""
    found = next((kind for kind in FAST if kind.name == name), None)
    return HuggingFaceEncoder(tokenizer, special) if found is None else _special(found(tokenizer), tokenizer, special)


def spelled(names: Iterable[str]) -> list[str]:
    """Texts with special tokens: in and around words, in a row, with blanks, cut short, within each other."""
    texts = []
    for name in [*names][:_MOST_SPELLED]:
        texts += [
            name,
            f"a{name}b",
            f" {name} \n{name}\n",
            name * 3,
            name[:-1],
            f"{name[:2]}{name}{name[1:]}",
            f"é{name}\u0301",
        ]
    return [*texts, "".join(texts)]


@lru_cache(maxsize=1)
def normal_form_texts() -> tuple[str, ...]:
    """All that normal form C changes, each in a text of its own: characters that become others, pairs that become one
    or must not, jamo of which syllables are made, and two marks of each two kinds, in the wrong order.

    Together in one text, a single character that an encoder knows of would have all of it normalised.
    """
    points = [chr(p) for p in range(0x80, 0x110000) if not 0xD800 <= p < 0xE000]
    changed = [c for c in points if unicodedata.normalize("NFC", c) != c]
    pairs = [p for c in points if not "가" <= c <= "힣" and len(p := unicodedata.normalize("NFD", c)) > 1]
    syllables = [chr(0x1100 + i) + chr(0x1161 + j) for i in range(19) for j in range(21)]
    syllables += ["가" + chr(0x11A8 + k) for k in range(27)]
    kinds = {unicodedata.combining(c): c for c in points if unicodedata.combining(c)}
    marks = [f"x{high}{low}" for a, high in kinds.items() for b, low in kinds.items() if a > b]
    return (*changed, *pairs, *syllables, *marks)


def _special(fast: Encoder, tokenizer: Tokenizer, special: bool) -> Encoder:
    return SpecialTokensEncoder(fast, tokenizer) if special and special_tokens(tokenizer) else fast


def _strings(texts: Sequence[str] | pa.Array) -> list[str]:
    return [text or "" for text in (texts.to_pylist() if isinstance(texts, pa.Array) else texts)]


def _is_gpt2_like(tokenizer: Tokenizer) -> bool:
    """Byte-level BPE with GPT-2's pre-tokeniser and nothing else that changes text or ids."""
    spec = json.loads(tokenizer.to_str())
    model, before = spec["model"], spec["pre_tokenizer"] or {}
    plain = before.get("type") == "ByteLevel" and before.get("use_regex", True) and not before.get("add_prefix_space")
    only_special = all(t["special"] for t in spec["added_tokens"])
    bpe = model["type"] == "BPE" and not model.get("dropout") and not model.get("byte_fallback")
    return bool(plain and only_special and bpe and spec["normalizer"] is None)


def token_ranks(tokenizer: Tokenizer) -> dict[bytes, int]:
    """Bytes of each token to its id, which in byte-level BPE is the order of merging."""
    added = {t.content for t in tokenizer.get_added_tokens_decoder().values()}
    to_byte = {char: byte for byte, char in enumerate(byte_characters())}
    vocab = tokenizer.get_vocab(with_added_tokens=False)
    return {bytes(to_byte[c] for c in token): i for token, i in vocab.items() if token not in added}

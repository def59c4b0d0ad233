"""What [tokenize] names by paths, read once: a tokenizer that is brought along, domain terms, a chat template."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from corpusmill.errors import InputError
from corpusmill.recipe import Tokenize
from corpusmill.storage import Folder, Output, digest
from corpusmill.tokenize import bpe_tokenizer
from corpusmill.tokenize.bpe_tokenizer import TokenizerIdentity
from corpusmill.tokenize.chat_templates import check_template, read_template, template_beside
from corpusmill.tokenize.domain_terms import Term, read_terms
from corpusmill.tokenize.special_tokens import read_from_text, special_tokens
from corpusmill.tokenize.tokenizer_files import END_OF_TEXT

_LATER: dict[str, Any] = {
    "special_tokens": [],
    "special_tokens_in_text": "text",
    "domain_terms": None,
    "chat_template": None,
    "sources": None,
}
"""Settings that older runs do not have, as they are where a recipe does not name them: not recorded then, so that such
runs go on."""


@dataclass(frozen=True)
class Sources:
    """The stage's settings, and the contents of the files that they name."""

    settings: Tokenize
    tokenizer: Tokenizer | None
    """Brought along; without it one is trained."""
    end: str
    terms: tuple[Term, ...]
    chat_template: str | None

    def describe(self, seed: int) -> dict[str, Any]:
        """What decides the stage's output: of files what is in them, wherever they are."""
        chosen = self.settings.model_dump(mode="json") | {"seed": seed}
        contents = {
            "tokenizer": self.tokenizer and self.tokenizer.to_str(),
            "domain_terms": [t.text for t in self.terms],
            "chat_template": self.chat_template,
        }
        for name, content in contents.items():
            if chosen[name] is not None:
                chosen[name] = f"sha256:{digest(content)}"
        return {k: v for k, v in chosen.items() if k not in _LATER or v != _LATER[k]}

    def make(self, texts: Iterable[str], run: Folder) -> tuple[Tokenizer, list[Output], TokenizerIdentity]:
        """(tokenizer, its files in the run, what it is). `texts` are drawn from only if one is trained."""
        tokenizer = self.tokenizer
        if tokenizer is None:
            chosen = self.settings
            family = chosen.family or "gpt2"
            tokenizer = bpe_tokenizer.train(texts, chosen.vocab_size, family, chosen.special_tokens, self.terms)
        files = bpe_tokenizer.save(tokenizer, run, self.end, self.chat_template)
        return tokenizer, files, bpe_tokenizer.identify(tokenizer, files[0].sha256, self.end)


def read_sources(settings: Tokenize) -> Sources:
    """Raises InputError for a file that is not what it must be, and for what does not go together."""
    tokenizer, end = None, END_OF_TEXT
    template = None if settings.chat_template is None else read_template(settings.chat_template)
    special = [END_OF_TEXT, *settings.special_tokens]
    if settings.tokenizer is not None:
        tokenizer, end = bpe_tokenizer.load(settings.tokenizer, settings.family)
        special = list(special_tokens(tokenizer))
        _refuse_special_from_text(tokenizer, end, settings)
        if template is None:
            place = Path(settings.tokenizer)
            template = template_beside(place if place.is_dir() else place.parent)
    if settings.chat_template is not None and template is not None:
        check_template(settings.chat_template, template, special)
    terms = () if settings.domain_terms is None else read_terms(settings.domain_terms)
    return Sources(settings, tokenizer, end, terms, template)


def _refuse_special_from_text(tokenizer: Tokenizer, end: str, settings: Tokenize) -> None:
    if settings.special_tokens_in_text != "text":
        return
    found = read_from_text(tokenizer, [end])
    if found is not None:
        raise InputError(
            f"tokenize.tokenizer: {settings.tokenizer} reads {found!r} in a page as that token even where special "
            "tokens are to be text, so a page could end a document. Choose tokenize.special_tokens_in_text: 'refuse' "
            "leaves such pages out, 'special' takes the token as meant"
        )

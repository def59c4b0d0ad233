"""Chat templates: how a conversation is written as one text, in Jinja, as transformers, vLLM and llama.cpp read it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from importlib import resources
from pathlib import Path

from jinja2 import Environment, TemplateSyntaxError, meta, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser

from corpusmill.errors import InputError
from corpusmill.recipe import nearest

FILE = "chat_template.jinja"
"""Beside tokenizer.json; transformers 5 writes it there, and reads an older tokenizer_config.json's, too."""
_TOKEN = re.compile(r"<[|｜][^<>|｜\s]+[|｜]>")
_NAMED = ("bos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")
"""What transformers gives a template beside the end token; the tokenizers of runs have none of these."""


def read_template(name: str) -> str:
    """The text of a packaged template (`chatml`) or of a file. Raises InputError for what is no template."""
    packaged = {f.name.removesuffix(".jinja"): f for f in _packaged().iterdir() if f.name.endswith(".jinja")}
    if name in packaged:
        return packaged[name].read_text(encoding="utf-8")
    if not Path(name).is_file():
        raise InputError(
            f"tokenize.chat_template: {name}: no such file, and no packaged template of that name"
            + nearest(name, list(packaged))
        )
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise InputError(f"tokenize.chat_template: {name} cannot be read as UTF-8 text: {e}") from e


def check_template(name: str, template: str, special: Collection[str]) -> None:
    """Raise InputError where a template is not Jinja, or writes a special token that the tokenizer has not.

    What looks like <|...|> in its text and its strings is a special token. One that a template puts together from
    pieces is not seen here.
    """
    try:
        tree = _environment().parse(template)
    except TemplateSyntaxError as e:
        raise InputError(f"tokenize.chat_template: {name}, line {e.lineno}: {e.message}; expected Jinja") from e
    literals = [n.data for n in tree.find_all(nodes.TemplateData)]
    literals += [n.value for n in tree.find_all(nodes.Const) if isinstance(n.value, str)]
    written = [token for text in literals for token in _TOKEN.findall(text)]
    missing = [token for token in dict.fromkeys(written) if token not in special]
    if missing:
        raise InputError(
            f"tokenize.chat_template: {name} writes {', '.join(missing)}, and the tokenizer's special tokens are "
            + ", ".join(special)
            + ". Name what is missing in tokenize.special_tokens"
        )
    used = meta.find_undeclared_variables(tree)
    strange = next((n for n in _NAMED if n in used), None)
    if strange is not None:
        raise InputError(
            f"tokenize.chat_template: {name} uses {strange}, and the tokenizer has an eos_token only, which ends "
            "documents. Write the token that is meant instead of the name, or leave it out"
        )


def template_beside(folder: Path) -> str | None:
    """The chat template that a tokenizer's folder has, in either place."""
    if (folder / FILE).is_file():
        return (folder / FILE).read_text(encoding="utf-8")
    config = folder / "tokenizer_config.json"
    found = json.loads(config.read_text(encoding="utf-8")).get("chat_template") if config.is_file() else None
    return found if isinstance(found, str) else None


def _packaged() -> resources.abc.Traversable:
    return resources.files("corpusmill.recipes")


class _Generation(Extension):
    """transformers' own block, {% generation %}, around what a model answers."""

    tags = {"generation"}  # noqa: RUF012 (Jinja's own way)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> Environment:
    """That parses what transformers' does; nothing is rendered here."""
    return Environment(extensions=["jinja2.ext.loopcontrols", _Generation], autoescape=True)

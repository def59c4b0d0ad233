"""`corpusmill tokenizer`: what a tokenizer makes of texts, or several of the same texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from corpusmill.errors import InputError

if TYPE_CHECKING:
    from corpusmill.tokenize.fertility import Fertility, TokenizerReport

_WHOLE_FILES = (".txt", ".md", ".rst", ".html", ".py", "")
_HEADS = ("tokens", "bytes per token", "tokens per word", "single bytes", "broken")


def tokenizer(
    places: Annotated[
        list[str], typer.Argument(metavar="RUN|TOKENIZER...", help="Run folders, or a tokenizer's file or folder.")
    ],
    texts: Annotated[
        list[str] | None,
        typer.Option("--texts", help="Text file (one text), JSONL, CSV or Parquet (field `text`). May be repeated."),
    ] = None,
    family: Annotated[
        str | None, typer.Option(help="How texts are cut, for a file of ranks that does not say.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Say what a tokenizer makes of texts: bytes to a token, tokens to a word, unused tokens.

    A run by itself is read from its shards. Several tokenizers are compared on the texts of --texts, or else on a
    sample of the first run's documents.
    """
    found = _reports(places, texts, family)
    if as_json:
        typer.echo(json.dumps([report.describe() for report in found], indent=1, ensure_ascii=False))
        return
    console = Console(soft_wrap=True)
    for report in found:
        _show_facts(console, report)
    if len(found) == 1:
        _show_groups(console, found[0])
    else:
        _show_side_by_side(console, found)


def _reports(places: Sequence[str], files: Sequence[str] | None, family: str | None) -> list[TokenizerReport]:
    from corpusmill.storage import Folder
    from corpusmill.tokenize.fertility import (
        fertility_of_run,
        fertility_of_texts,
        is_run,
        open_tokenizer,
        sample_texts,
    )

    runs = [place for place in places if is_run(place)]
    if len(places) == 1 and runs and not files:
        return [fertility_of_run(Folder(places[0]))]
    texts: dict[str, list[str]] = {name: _texts_of(name) for name in files or []}
    if not texts and runs:
        texts = sample_texts(Folder(runs[0]))
    if not texts and len(places) > 1:
        raise InputError("tokenizers are compared on texts: give --texts FILE, or a run among them")
    probe = [text for some in texts.values() for text in some]
    return [fertility_of_texts(*open_tokenizer(place, family, probe), texts) for place in places]


def _texts_of(name: str) -> list[str]:
    from corpusmill.clean.classifier_training import texts_in

    path = Path(name)
    if path.suffix not in _WHOLE_FILES:
        return list(texts_in([name]))
    try:
        return [path.read_text(encoding="utf-8")]
    except (OSError, UnicodeDecodeError) as e:
        raise InputError(f"--texts {name} cannot be read as UTF-8 text: {e}") from e


def _show_facts(console: Console, report: TokenizerReport) -> None:
    cut = f"cut as {report.family}" if report.family else "a cut of its own"
    said = [f"{report.vocab_size:,} tokens", cut, f"encoder {report.encoder}", f"documents end with {report.eos_token}"]
    others = [name for name in report.special_tokens if name != report.eos_token]
    console.print(f"{report.name}: {', '.join(said)}", markup=False, highlight=False)
    if others:
        console.print(f"  special tokens: {' '.join(others[:20])}", markup=False, highlight=False)
    if report.why_slow is not None:
        console.print(f"  Corpusmill's own encoder cannot do it: {report.why_slow}", markup=False, highlight=False)


def _show_groups(console: Console, report: TokenizerReport) -> None:
    rows = []
    for group in _rows(report):
        counts = (f"{n:,}" for n in (group.documents, group.text_bytes, group.tokens))
        rows.append([_short(group.name), *counts, *_numbers(group)])
    table = Table("texts", title="what it makes of texts", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for i, head in enumerate(("docs", "bytes", *_HEADS), 1):
        # heads may be folded in a narrow terminal, numbers are never cut
        table.add_column(head, justify="right", min_width=max((len(row[i]) for row in rows), default=1))
    for row in rows:
        table.add_row(*row)
    if report.groups:
        console.print(table)
    if report.unused is not None:
        found = report.unused
        console.print(f"{found.tokens:,} of {found.vocabulary:,} tokens stand in no shard", highlight=False)
        if found.examples:
            shown = ", ".join(f"{i} {text!r}" for i, text in found.examples)
            console.print(f"for example {shown}", markup=False, highlight=False)


def _show_side_by_side(console: Console, reports: Sequence[TokenizerReport]) -> None:
    table = Table(
        "texts", "tokenizer", title="on the same texts", title_justify="left", box=SIMPLE_HEAD, pad_edge=False
    )
    for head in _HEADS:
        table.add_column(head, justify="right")
    for rows in zip(*(_rows(report) for report in reports), strict=True):
        for i, (report, group) in enumerate(zip(reports, rows, strict=True)):
            last = i == len(reports) - 1
            names = ("" if i else _short(group.name), _short(report.name))
            table.add_row(*names, f"{group.tokens:,}", *_numbers(group), end_section=last)
    console.print(table)


def _rows(report: TokenizerReport) -> list[Fertility]:
    return [*report.groups, *([report.total] if len(report.groups) > 1 else [])]


def _numbers(group: Fertility) -> list[str]:
    means = (group.bytes_per_token, group.tokens_per_word)
    shares = (group.single_byte_share, group.broken_share)
    return [*("" if n is None else f"{n:.3f}" for n in means), *("" if n is None else f"{n:.2%}" for n in shares)]


def _short(name: str) -> str:
    """Of a path its last part: the paths stand above the table."""
    return Path(name).name or name

"""`corpusmill clusters` and `corpusmill near`: what deduplication found, to be looked at and asked."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from corpusmill.errors import InputError

if TYPE_CHECKING:
    from corpusmill.studio.cluster_facts import ClusterBrowser

Run = Annotated[str, typer.Argument(metavar="RUN", help="Run folder with a finished dedup stage.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


def clusters(
    run: Run,
    top: Annotated[int, typer.Option(min=1, help="Clusters to list.")] = 20,
    cluster: Annotated[int | None, typer.Option(help="One cluster: its number, or a member's address.")] = None,
    url: Annotated[str | None, typer.Option(help="The cluster that the page of this URL or id is in.")] = None,
    diff: Annotated[bool, typer.Option("--diff", help="Compare two members word by word.")] = False,
    pair: Annotated[
        tuple[int, int] | None, typer.Option(metavar="I J", help="Which two, by their numbers in the list.")
    ] = None,
    members: Annotated[int, typer.Option(min=2, help="Members to list.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Browse clusters of duplicates: the largest, or one with its members, compared word by word."""
    from corpusmill.engines import make_engine
    from corpusmill.storage import Folder
    from corpusmill.studio.cluster_facts import ClusterBrowser
    from corpusmill.studio.cluster_view import show_clusters

    if cluster is not None and url is not None:
        raise InputError("--cluster and --url both choose a cluster: give one of them")
    if (diff or pair is not None) and cluster is None and url is None:
        raise InputError("--diff and --pair compare two members of one cluster: choose it with --cluster or --url")
    folder = Folder(run)
    browser = ClusterBrowser(folder, make_engine("local", 0, folder))
    if cluster is not None or url is not None:
        number = browser.with_address(cluster) if cluster is not None else browser.with_url(url or "")
        _one_cluster(browser, number, members, pair, diff or pair is not None, as_json)
        return
    found = browser.largest(top)
    if as_json:
        _print_json(asdict(found))
    else:
        show_clusters(Console(soft_wrap=True), found, run)


def _one_cluster(
    browser: ClusterBrowser, number: int, members: int, pair: tuple[int, int] | None, diff: bool, as_json: bool
) -> None:
    from corpusmill.studio.cluster_view import compared, show_cluster, show_diff

    facts = browser.one(number)
    found = browser.members(number, max(members, *(pair or (0,))))
    if as_json:
        told = asdict(facts) | {"members": [asdict(m) for m in found[:members]]}
        _print_json(told | ({"diff": asdict(compared(browser.run, found, pair))} if diff else {}))
        return
    console = Console(soft_wrap=True)
    show_cluster(console, facts, found[:members])
    if diff:
        show_diff(console, compared(browser.run, found, pair))


def near(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder with a finished dedup stage, or an index.")],
    text: Annotated[str | None, typer.Argument(help="The text; - reads standard input.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="A UTF-8 file that holds the text.")] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Least similarity; the run's dedup.verify if not given.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Documents to name.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Find near-duplicates of a text among the documents of a run, or of all crawls of an index."""
    from corpusmill.dedup.dedup_index import NAME as INDEX
    from corpusmill.dedup.near_texts import near_texts, signed_index, signed_run
    from corpusmill.engines import make_engine
    from corpusmill.storage import Folder
    from corpusmill.studio.near_view import show_near

    folder = Folder(run)
    signed, settings = signed_index(folder) if folder.exists(INDEX) else signed_run(folder)
    least = settings["verify"] if threshold is None else threshold
    found = near_texts(make_engine("local", 0, folder), signed, _text(text, file), least, top)
    if as_json:
        _print_json({"threshold": least} | asdict(found))
    else:
        show_near(Console(soft_wrap=True), found, signed.minhash, least, run)


def _text(text: str | None, file: Path | None) -> str:
    if (text is None) == (file is None):
        raise InputError('give one text: "in quotes", - for standard input, or --file FILE')
    if file is None:
        return sys.stdin.buffer.read().decode("utf-8", "replace") if text == "-" else text or ""
    try:
        return file.read_bytes().decode("utf-8", "replace")
    except OSError as e:
        raise InputError(f"--file {file} cannot be read ({e.strerror}): give a file with the text in UTF-8") from e


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))

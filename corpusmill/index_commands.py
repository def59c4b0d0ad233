"""`corpusmill index`: what an index of crawls holds, documents taken out of it, its files made fewer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from corpusmill.errors import InputError

if TYPE_CHECKING:
    from corpusmill.storage import Folder

app = typer.Typer(no_args_is_help=True, help="The index that crawls are deduplicated against.")

Index = Annotated[str, typer.Argument(metavar="INDEX", help="Index folder: a path or an fsspec URL.")]
Engine = Annotated[str, typer.Option("--engine", help="local or spark.")]
Workers = Annotated[int, typer.Option("--workers", min=0, help="Threads; 0 means one per core.")]


@app.command()
def show(
    index: Index, as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False
) -> None:
    """The crawls of an index, their documents, files and bytes."""
    from corpusmill.dedup.dedup_index import DedupIndex

    folder = _index(index)
    found = DedupIndex(folder)
    crawls: list[dict[str, str | int]] = []
    for crawl in found.crawls:
        names = [name for names in crawl.files.values() for name in names]
        size = sum(folder.size(name) or 0 for name in names)
        crawls.append({"crawl": crawl.name, "documents": crawl.documents, "files": len(names), "bytes": size})
    if as_json:
        typer.echo(json.dumps({"settings": found.settings, "crawls": crawls}, indent=1))
        return
    console = Console(soft_wrap=True)
    table = Table(title=f"{len(crawls)} crawls", title_justify="left")
    for name in ("crawl", "documents", "files", "bytes"):
        table.add_column(name, justify="left" if name == "crawl" else "right")
    for row in crawls:
        table.add_row(*(v if isinstance(v, str) else f"{v:,}" for v in row.values()))
    console.print(table)
    console.print(", ".join(f"{k} {v}" for k, v in (found.settings or {}).items() if v not in (None, [], ())))


@app.command()
def forget(
    index: Index,
    url: Annotated[list[str] | None, typer.Option("--url", help="Exact URL. May be repeated.")] = None,
    host: Annotated[list[str] | None, typer.Option("--host", help="Host, exactly. May be repeated.")] = None,
    ids: Annotated[Path | None, typer.Option("--ids", help="File of document ids, one a line.")] = None,
    engine: Engine = "local",
    workers: Workers = 0,
) -> None:
    """Take documents out of an index. The runs that they came from are not changed."""
    from corpusmill.dedup.index_changes import Chosen
    from corpusmill.dedup.index_changes import forget as take_out
    from corpusmill.engines import make_engine

    chosen = Chosen(frozenset(url or ()), frozenset(h.lower() for h in host or ()), ids_in(ids))
    if chosen == Chosen():
        raise InputError("nothing is chosen: name documents with --url, --host or --ids FILE")
    folder = _index(index)
    found = take_out(make_engine(engine, workers, folder), folder, chosen)
    if not any(found.values()):
        raise InputError(f"no document of {index} is one of those; nothing was changed")
    for crawl, count in found.items():
        typer.echo(f"{crawl}: {count:,} documents taken out")


@app.command()
def compact(index: Index, engine: Engine = "local", workers: Workers = 0) -> None:
    """Sort the rows of each crawl into few files, which later runs and `corpusmill near` read faster."""
    from corpusmill.dedup.index_changes import compact as make_fewer
    from corpusmill.engines import make_engine

    folder = _index(index)
    before, after = make_fewer(make_engine(engine, workers, folder), folder)
    typer.echo(f"{before:,} files are {after:,} now")


def _index(index: str) -> Folder:
    from corpusmill.dedup.dedup_index import NAME
    from corpusmill.storage import Folder

    folder = Folder(index)
    if not folder.exists(NAME):
        raise InputError(f"{index} has no {NAME}, so it is no index: give the folder that dedup.index.folder names")
    return folder


def ids_in(path: Path | None) -> frozenset[str]:
    """The lines of a file of ids; none without a file."""
    if path is None:
        return frozenset()
    try:
        return frozenset(filter(None, path.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError) as e:
        raise InputError(f"--ids {path} cannot be read ({e}): give a UTF-8 file with one document id a line") from e

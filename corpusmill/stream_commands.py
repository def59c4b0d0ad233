"""Commands about what a training reads: pack, trace, journal, forget."""

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
    from corpusmill.train.stream.journal import Entry

RunFolder = Annotated[str, typer.Argument(metavar="RUN", help="Run folder.")]
RunOption = Annotated[str, typer.Option("--run", help="Run folder.", envvar="CORPUSMILL_RUN")]
AtStep = Annotated[int, typer.Option("--at-step", min=1, help="The first step that it holds for.")]
Why = Annotated[str, typer.Option("--why", help="Kept in the journal, for people.")]

journal = typer.Typer(no_args_is_help=True, help="Change what a training reads, from a step that is still to come.")


def pack(
    run: RunFolder,
    recipe: Annotated[str | None, typer.Option("--recipe", help="Recipe; without it the run's own.")] = None,
    set: Annotated[list[str] | None, typer.Option("--set", help="key=value over the recipe.")] = None,  # noqa: A002
) -> None:
    """Pack a run's documents into rows by best fit, as train.packing = "best_fit" reads them."""
    from corpusmill.mill import stored_recipe
    from corpusmill.progress import Watch
    from corpusmill.recipe import load_recipe
    from corpusmill.storage import Folder
    from corpusmill.train.train_settings import prepare_stream

    folder = Folder(run)
    chosen = stored_recipe(folder) if recipe is None else load_recipe(recipe, set or ())
    if recipe is None and set:
        raise InputError("--set changes a recipe: give the recipe as well, with --recipe")
    train = chosen.train.model_copy(update={"packing": "best_fit"})
    with Watch(Console(stderr=True)) as watch, watch.stage("pack") as progress:

        def advance(done: int, of: int) -> None:
            if done == 1:
                progress.begin(of, "blocks")
            progress.advance(1)

        indices = prepare_stream(folder, train, advance)
    facts = {key: sum(index.facts[key] for index in indices) for key in ("rows", "pieces", "tokens", "padding")}
    share = facts["padding"] / (facts["rows"] * train.sequence_length)
    typer.echo(
        f"{facts['tokens']:,} tokens in {facts['rows']:,} rows of {train.sequence_length}: {facts['pieces']:,} pieces, "
        f"{share:.3%} padding"
    )


def trace(
    shard: Annotated[str | None, typer.Argument(metavar="[SHARD]", help="A shard, by name or path.")] = None,
    token: Annotated[int | None, typer.Argument(metavar="[TOKEN]", help="A token's number in it.")] = None,
    step: Annotated[int | None, typer.Option(min=1, help="Training step; the first is 1.")] = None,
    url: Annotated[str | None, typer.Option(help="URL (or record id) of a document.")] = None,
    run: RunOption = ".",
    rank: Annotated[int | None, typer.Option(min=0, help="Only the rows of this rank.")] = None,
    row: Annotated[int | None, typer.Option(min=0, help="One row of the global batch.")] = None,
    check: Annotated[
        bool, typer.Option(help="Read each record from its WARC again, make its tokens, compare.")
    ] = False,
) -> None:
    """From tokens to documents and WARC files: of a step (--step), or of a token (SHARD TOKEN). From a document to the
    steps that it is trained on in: --url."""
    from corpusmill.storage import Folder
    from corpusmill.summary import show_documents, show_trace
    from corpusmill.train.stream.batch_trace import document_of_token, documents_of_step, documents_of_url

    if (step is not None) + (url is not None) + (shard is not None) != 1 or (shard is None) != (token is None):
        raise InputError("say what to trace: --step N, or SHARD TOKEN, or --url URL")
    console, folder = Console(soft_wrap=True), Folder(run)
    if step is not None:
        show_trace(console, documents_of_step(folder, step, rank=rank, row=row), check)
        return
    if shard is not None and token is not None:
        found = [document_of_token(folder, shard, token)]
    else:
        found = documents_of_url(folder, str(url))
        if not found:
            raise InputError(f"{url} is in no shard that this training reads. `corpusmill why` says what became of it")
    show_documents(console, found, check)


def forget(
    run: Annotated[str, typer.Argument(metavar="RUN|SHARDS", help="Run folder, or a folder of token shards.")],
    url: Annotated[list[str] | None, typer.Option("--url", help="Exact URL. May be repeated.")] = None,
    host: Annotated[list[str] | None, typer.Option("--host", help="Host, exactly. May be repeated.")] = None,
    ids: Annotated[Path | None, typer.Option("--ids", help="File of document ids, one a line.")] = None,
    copies: Annotated[bool, typer.Option("--copies", help="Their duplicates, that dedup removed, as well.")] = False,
) -> None:
    """Take documents out of a run: tokens (overwritten in place), texts, addresses, the index. Models stay."""
    from corpusmill.forgetting import forget as take_out
    from corpusmill.index_commands import ids_in
    from corpusmill.storage import Folder

    console = Console(stderr=True, highlight=False)
    done = take_out(
        Folder(run), urls=url or (), hosts=host or (), ids=ids_in(ids), copies=copies, say=lambda s: console.print(s)
    )
    for kind, count in done.documents.items():
        typer.echo(f"{kind}: {count:,} documents, {done.tokens[kind]:,} tokens overwritten")
    for kind, count in done.rows.items():
        typer.echo(f"{kind}: {count:,} rows")
    for crawl, count in done.crawls.items():
        typer.echo(f"index, crawl {crawl}: {count:,} documents")
    typer.echo("models that were trained on them, and the inputs of the run, are not changed")


@journal.command()
def show(run: RunFolder) -> None:
    """The entries of a training's journal."""
    from corpusmill.storage import Folder
    from corpusmill.train.stream.journal import read_journal

    table = Table("from sample", "what", "why")
    for entry in read_journal(Folder(run).sub("train")).entries:
        said = {k: v for k, v in entry.describe().items() if k not in ("at", "why")}
        table.add_row(f"{entry.at:,}", json.dumps(said, ensure_ascii=False), entry.why)
    Console(soft_wrap=True).print(table, markup=False)


@journal.command()
def weigh(
    run: RunFolder,
    weights: Annotated[list[str], typer.Argument(metavar="NAME=WEIGHT...", help="All sources, as in web=0.7 code=0.3")],
    at_step: AtStep,
    why: Why = "",
) -> None:
    """Change the weights of the sources."""
    _append(run, at_step, {"weights": _weights(weights), "why": why})


@journal.command()
def add(
    run: RunFolder,
    name: Annotated[str, typer.Argument(help="The source's name.")],
    shards: Annotated[str, typer.Argument(help="Its folder of shards, or a run that has them.")],
    weights: Annotated[list[str], typer.Argument(metavar="NAME=WEIGHT...", help="Of all sources, the new one too.")],
    at_step: AtStep,
    why: Why = "",
) -> None:
    """Add a source."""
    _append(run, at_step, {"add": {name: _described(shards)}, "weights": _weights(weights), "why": why})


@journal.command()
def grow(
    run: RunFolder,
    name: Annotated[str, typer.Argument(help="The source's name; `corpus` if there is no mixture.")],
    at_step: AtStep,
    why: Why = "",
) -> None:
    """Let a source have the shards that were added to its folder (`corpusmill shards add`)."""
    from corpusmill.storage import Folder
    from corpusmill.tokenize.token_shards import read_manifest
    from corpusmill.train.stream.batch_trace import traced_stream

    _, stream = traced_stream(Folder(run))
    if name not in stream.sources:
        raise InputError(f"{name} is no source of this training: they are {', '.join(stream.sources)}")
    count = len(read_manifest(stream.sources[name].folder)["shards"])
    _append(run, at_step, {"grow": {name: count}, "why": why})


@journal.command()
def replace(
    run: RunFolder,
    name: Annotated[str, typer.Argument(help="The source's name.")],
    shards: Annotated[str, typer.Argument(help="The folder to go over to, as `corpusmill shards compact` made it.")],
    at_step: AtStep,
    why: Why = "",
) -> None:
    """Let a source go over to other shards where its next lap begins."""
    _append(run, at_step, {"replace": {name: _described(shards)}, "why": why})


@journal.command()
def skip(
    run: RunFolder,
    first: Annotated[int, typer.Argument(min=1, help="The first step whose samples are left out.")],
    last: Annotated[int, typer.Argument(min=1, help="The last one.")],
    why: Why = "",
) -> None:
    """Leave out the samples of some steps that are still to come."""
    from corpusmill.storage import Folder
    from corpusmill.train.stream.batch_trace import traced_stream

    _, stream = traced_stream(Folder(run))
    if last < first:
        raise InputError(f"steps {first} to {last} are none: give the first, then the last")
    samples = stream.first_sample(first), stream.first_sample(last + 1)
    _append(run, first, {"skip": samples, "why": why})


def _append(run: str, at_step: int, values: dict[str, object]) -> None:
    """Check an entry against the training, and write it down."""
    from corpusmill.recipe import stored_train
    from corpusmill.storage import Folder
    from corpusmill.train.metrics_log import last_step
    from corpusmill.train.stream.batch_trace import traced_stream
    from corpusmill.train.stream.journal import Journal, appending, parse_entry
    from corpusmill.train.train_settings import prepare_stream

    folder = Folder(run)
    train = folder.sub("train")
    with appending(train) as append:
        settings, stream = traced_stream(folder)
        done = last_step(train)
        if at_step <= done + 1:
            raise InputError(
                f"step {at_step} is not to come any more, or may begin now: {done} steps of {run} are done. Choose one "
                f"from {done + 2} on"
            )
        if at_step > int(settings["train"]["steps"]):
            raise InputError(f"this training has {settings['train']['steps']} steps; there is no step {at_step}")
        entry: Entry = parse_entry({"at": stream.first_sample(at_step), **values}, "this entry")
        journal = Journal([*stream.journal.entries, entry])
        prepare_stream(folder, stored_train({**settings["train"], "ranks": settings["ranks"]}), journal=journal)
        stream.next_step = done + 1
        stream.with_journal(journal)
        append(entry)  # if the step begins meanwhile, the training puts it aside, and says so
    typer.echo(f"{run}/train/journal.jsonl: from step {at_step} (sample {entry.at:,}) on")


def _weights(pairs: list[str]) -> dict[str, float]:
    found = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            found[name] = float(value)
        except ValueError as e:
            raise InputError(f"{pair} is no weight: write it as name=0.5") from e
    return found


def _described(path: str) -> dict[str, object]:
    """A folder of shards as the journal names one."""
    from corpusmill.tokenize.token_shards import open_shards
    from corpusmill.train.stream.sources import shards_at

    shards = open_shards(shards_at(path))
    where = str(_absolute(shards.folder))
    return {"shards": where, "num_shards": len(shards.entries), "fingerprint": shards.fingerprint}


def _absolute(folder: Folder) -> Path | str:
    return folder.local_path().resolve() if folder.is_local else folder.url

"""The command line. Every command is a thin layer over a function that can be called as well."""

from __future__ import annotations

import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from corpusmill import (
    annotate_commands,
    dedup_commands,
    index_commands,
    shard_commands,
    stream_commands,
    tokenizer_commands,
)
from corpusmill.classifier_commands import app as classifier_commands
from corpusmill.errors import EXIT_BUG, EXIT_INTERRUPTED, EXIT_OK, CorpusmillError, InputError
from corpusmill.recipe import STAGES, Recipe, load_recipe
from corpusmill.version import __version__

app = typer.Typer(
    name="corpusmill",
    help="From Common Crawl WARC files to token shards, and on to a trained, evaluated, served model.",
    epilog="Exit codes: 0 done, 2 input or recipe, 3 storage, 4 folder in use, 5 extra missing, 6 damaged output, "
    "70 a bug of ours, 130 stopped with Ctrl-C (run the same command again to go on).",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=True,
)
app.add_typer(classifier_commands, rich_help_panel="Classifiers")
_MILL, _STAGES, _LOOK, _START = "The whole mill", "One stage", "Look and ask", "Start here"
_CHANGE = "Change what is there"

RecipeOption = Annotated[str, typer.Option("--recipe", help="Recipe file, or the name of a packaged one.")]
StoredRecipe = Annotated[str | None, typer.Option("--recipe", help="Recipe; without it the one the run was made with.")]
Input = Annotated[
    list[str], typer.Option("--input", help="WARC file, glob, URL, @list or crawl name. May be repeated.")
]
Output = Annotated[str, typer.Option("--output", help="Run folder: a path or an fsspec URL.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="key=value over the recipe, as in dedup.bands=20.")]
Engine = Annotated[str, typer.Option("--engine", help="local or spark.")]
Workers = Annotated[int, typer.Option("--workers", min=0, help="Processes; 0 means one per core.")]
StartOver = Annotated[
    list[str] | None, typer.Option("--start-over", help="Make this stage again, recipe changed or not.")
]
RunFolder = Annotated[str, typer.Argument(metavar="RUN", help="Run folder.")]
RunOption = Annotated[str, typer.Option("--run", help="Run folder.", envvar="CORPUSMILL_RUN")]


def main() -> NoReturn:
    """Entry point: sentences for what users can mend, a traceback for what only we can."""
    signal.signal(signal.SIGTERM, _terminate)
    error = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        code = app(standalone_mode=False)
        if code == EXIT_INTERRUPTED:  # typer's own answer to Ctrl-C
            raise KeyboardInterrupt
        sys.exit(code if isinstance(code, int) else EXIT_OK)
    except (KeyboardInterrupt, typer.Abort):
        error.print(
            "stopped; nothing half-written is left. Run the same command again to go on from here", markup=False
        )
        sys.exit(EXIT_INTERRUPTED)
    except CorpusmillError as e:
        error.print(f"error: {e}", markup=False)
        sys.exit(e.exit_code)
    except Exception as e:
        if hasattr(e, "show") and hasattr(
            e, "exit_code"
        ):  # a usage error of typer's, which does not export its base class
            e.show()
            sys.exit(e.exit_code)
        traceback.print_exc()
        error.print("this is a bug of Corpusmill; please report it with the lines above", markup=False)
        sys.exit(EXIT_BUG)


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command(rich_help_panel=_START)
def init(path: Annotated[Path, typer.Argument(help="Recipe file to write.")] = Path("recipe.toml")) -> None:
    """Write a recipe with comments, to start from."""
    from importlib import resources

    if path.exists():
        raise InputError(f"{path} exists; give another name")
    path.write_text((resources.files("corpusmill.recipes") / "english.toml").read_text())
    typer.echo(f"wrote {path}; edit it, then: corpusmill run {path} --input 'crawl/*.warc.gz' --output runs/first")


@app.command(rich_help_panel=_START)
def sample(
    out: Annotated[str, typer.Argument(help="WARC file to write, as in web.warc.gz.")],
    pages: Annotated[int, typer.Option(help="Response records.")] = 2000,
    seed: Annotated[int, typer.Option(help="Another seed, another web.")] = 0,
) -> None:
    """Generate a small synthetic web as a WARC file, with the truth about each page beside it."""
    from corpusmill.sample import write_sample

    made = write_sample(out, pages=pages, seed=seed)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(made.by_kind.items()))
    typer.echo(f"wrote {made.path}: {made.records:,} records, {made.pages:,} pages ({kinds})")
    typer.echo(f"wrote {made.truth_path}: what each page is")


@app.command(rich_help_panel=_START)
def fetch(
    name: Annotated[str, typer.Argument(help="lid.176")],
    source: Annotated[str | None, typer.Option("--from", help="A file already here, instead of the network.")] = None,
) -> None:
    """Put a published model into the cache, its checksum pinned."""
    from corpusmill.clean.languages import fetch as fetch_model

    typer.echo(f"{name} is at {fetch_model(name, source)}")


@app.command(rich_help_panel=_START)
def doctor() -> None:
    """Say what this machine has and what is missing."""
    from corpusmill.doctor import main as check

    raise typer.Exit(check([]))


@app.command(rich_help_panel=_START)
def demo(
    folder: Annotated[str, typer.Argument(help="Where to put the demo.")] = "demo",
    pages: Annotated[int, typer.Option(help="Pages of the generated web.")] = 2000,
) -> None:
    """Run the whole mill on a generated web, then ask the model it trained for a completion."""
    from corpusmill.demo import run_demo

    run_demo(Path(folder), pages)


@app.command(rich_help_panel=_MILL)
def run(
    recipe: Annotated[str, typer.Argument(help="Recipe file, or the name of a packaged one (english, sample).")],
    input: Input,  # noqa: A002 (the option is called --input)
    output: Output,
    set: Set = None,  # noqa: A002
    engine: Engine = "local",
    workers: Workers = 0,
    start_over: StartOver = None,
) -> None:
    """Run a recipe's stages from WARC files to whatever it says. Run again, it does only what is missing."""
    from corpusmill.mill import open_mill
    from corpusmill.progress import Watch
    from corpusmill.summary import show_summary

    chosen = load_recipe(recipe, set or ())
    console = Console(stderr=True)
    options: dict[str, Any] = {"engine": engine, "workers": workers, "start_over": start_over or ()}
    with open_mill(output, chosen, inputs=input, watch=Watch(console), **options) as mill:
        for stage in chosen.stages:
            mill.run(stage)
        _write_report(mill.context.folder)
    show_summary(console, output, mill.totals, mill.seconds)


def _one_stage(stage: str, output: str, recipe: Recipe, inputs: list[str], **options: Any) -> None:
    from corpusmill.mill import open_mill
    from corpusmill.progress import Watch
    from corpusmill.summary import show_summary

    console = Console(stderr=True)
    with open_mill(output, recipe, inputs=inputs, watch=Watch(console), **options) as mill:
        mill.run(stage)
    show_summary(console, output, mill.totals, mill.seconds)


@app.command(rich_help_panel=_STAGES)
def ingest(
    input: Input,  # noqa: A002
    output: Output,
    recipe: RecipeOption = "english",
    set: Set = None,  # noqa: A002
    engine: Engine = "local",
    workers: Workers = 0,
) -> None:
    """WARC files to pages as Parquet (RUN/pages), to be cleaned later: --input 'RUN/pages/*.parquet'."""
    _one_stage("ingest", output, load_recipe(recipe, set or ()), input, engine=engine, workers=workers)


@app.command(rich_help_panel=_STAGES)
def clean(
    input: Input,  # noqa: A002
    output: Output,
    recipe: RecipeOption = "english",
    set: Set = None,  # noqa: A002
    engine: Engine = "local",
    workers: Workers = 0,
    start_over: StartOver = None,
) -> None:
    """WARC files (or pages) to documents and dropped rows."""
    chosen = load_recipe(recipe, set or ())
    _one_stage("clean", output, chosen, input, engine=engine, workers=workers, start_over=start_over or ())


def _later_stage(stage: str, run: str, recipe: str | None, set_: list[str] | None, **options: Any) -> None:
    from corpusmill.mill import stored_recipe
    from corpusmill.storage import Folder

    stored = stored_recipe(Folder(run))
    if recipe is None and set_:
        raise InputError("--set changes a recipe: give the recipe as well, with --recipe")
    _one_stage(stage, run, stored if recipe is None else load_recipe(recipe, set_ or ()), [], **options)


@app.command(rich_help_panel=_STAGES)
def dedup(
    run: RunFolder,
    recipe: StoredRecipe = None,
    set: Set = None,  # noqa: A002
    engine: Engine = "local",
    workers: Workers = 0,
    start_over: StartOver = None,
) -> None:
    """Documents to the rows to remove: MinHash, bands, verified clusters."""
    _later_stage("dedup", run, recipe, set, engine=engine, workers=workers, start_over=start_over or ())


@app.command(rich_help_panel=_STAGES)
def tokenize(
    run: RunFolder,
    recipe: StoredRecipe = None,
    set: Set = None,  # noqa: A002
    engine: Engine = "local",
    workers: Workers = 0,
    start_over: StartOver = None,
) -> None:
    """Surviving documents to a tokenizer and token shards."""
    _later_stage("tokenize", run, recipe, set, engine=engine, workers=workers, start_over=start_over or ())


@app.command(rich_help_panel=_STAGES)
def train(
    run: RunFolder,
    recipe: StoredRecipe = None,
    set: Set = None,  # noqa: A002
    start_over: StartOver = None,
) -> None:
    """Token shards to a model, by DeepSpeed on this machine. On a cluster: deepspeed train/run.py."""
    _later_stage("train", run, recipe, set, start_over=start_over or ())


@app.command(rich_help_panel=_STAGES)
def evaluate(
    model: Annotated[str, typer.Argument(metavar="RUN|MODEL", help="Run folder, or any Hugging Face model folder.")],
    heldout: Annotated[str | None, typer.Option(help="Run folder whose held-out documents score a MODEL.")] = None,
    recipe: StoredRecipe = None,
) -> None:
    """Perplexity and bits per byte on the held-out documents."""
    from corpusmill.mill import stored_recipe
    from corpusmill.storage import Folder
    from corpusmill.summary import show_evaluation

    if heldout is None:
        _later_stage("evaluate", model, recipe, None)
        return
    from corpusmill.evaluate.bits_per_byte import evaluate_folder

    settings = (stored_recipe(Folder(heldout)) if recipe is None else load_recipe(recipe)).evaluate
    show_evaluation(Console(), evaluate_folder(model, Folder(heldout), settings))


@app.command(rich_help_panel=_STAGES)
def export(
    run: RunFolder,
    output: Annotated[str | None, typer.Option("--output", help="Folder to write; RUN/model if not given.")] = None,
) -> None:
    """The trained model as a Hugging Face folder."""
    if output is None:
        _later_stage("export", run, None, None)
        return
    from corpusmill.serve.export_hf import export as export_to
    from corpusmill.storage import Folder

    export_to(Folder(run), Folder(output))
    typer.echo(f"wrote {output}")


@app.command(rich_help_panel=_STAGES)
def serve(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A Hugging Face model folder, or a run folder.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
) -> None:
    """Answer /v1/completions in the OpenAI shape."""
    from corpusmill.serve.completion_server import serve as serve_model

    exported = Path(model) / "model"
    serve_model(str(exported if (exported / "config.json").exists() else model), host=host, port=port)


@app.command(rich_help_panel=_STAGES)
def documents(
    run: RunFolder,
    to: Annotated[str, typer.Option("--to", help="x.jsonl, .jsonl.gz, .jsonl.zst, x.parquet, or data-set-folder/")],
    after: Annotated[str, typer.Option(help="clean: all it kept. dedup: what that left, cuts applied.")] = "clean",
    columns: Annotated[str | None, typer.Option(help="Columns, as in id,url,text.")] = None,
) -> None:
    """Write documents for others to read: JSON lines, Parquet or a Hugging Face data set."""
    from corpusmill.documents_out import COLUMNS, write_documents
    from corpusmill.storage import Folder

    chosen = COLUMNS if columns is None else [c.strip() for c in columns.split(",")]
    written = write_documents(Folder(run), to, after=after, columns=chosen)
    typer.echo(f"wrote {written.to}: {written.rows:,} documents, {written.bytes:,} bytes")


@app.command(rich_help_panel=_LOOK)
def inspect(
    path: Annotated[str, typer.Argument(help="A run folder, a folder of shards, a shard, a WARC, or a Parquet part.")],
    rows: Annotated[int, typer.Option(min=1, help="Rows, or documents of a shard, to show.")] = 3,
    document: Annotated[int, typer.Option(min=0, help="Of a shard: the number of the first document to show.")] = 0,
    url: Annotated[str | None, typer.Option(help="Of a shard: the documents with this URL or record id.")] = None,
    ids: Annotated[bool, typer.Option("--ids", help="Of a shard: token ids below the tokens.")] = False,
    tokenizer: Annotated[str | None, typer.Option(help="Of a shard outside a run: its tokenizer.")] = None,
) -> None:
    """Show what is in a run folder, a folder of shards, a shard, a WARC or a Parquet part."""
    from corpusmill.inspection import show
    from corpusmill.shard_view import ShardQuery

    show(Console(soft_wrap=True), path, rows, ShardQuery(document, url, ids, tokenizer))


@app.command(rich_help_panel=_LOOK)
def why(url: Annotated[str, typer.Argument(help="URL or record id of a page.")], run: RunOption = ".") -> None:
    """Say what became of a page, and why."""
    from corpusmill.provenance import fates
    from corpusmill.storage import Folder
    from corpusmill.summary import show_fates

    found = fates(Folder(run), url)
    if not found:
        raise InputError(f"{url} is not in {run}: no record with this URL or id was read from its inputs")
    show_fates(Console(soft_wrap=True), found)


@app.command(rich_help_panel=_LOOK)
def whatif(
    run: RunFolder,
    set: Set = None,  # noqa: A002
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
    examples: Annotated[int, typer.Option(min=0, help="Pages named for each reason.")] = 3,
) -> None:
    """Say what other thresholds would keep, from the measures of a finished run, in seconds."""
    import json

    from corpusmill.storage import Folder
    from corpusmill.summary import show_what_if
    from corpusmill.whatif import what_if

    if not set:
        raise InputError("say what to try, as in --set clean.rules.gopher_quality.min_words=40")
    answer = what_if(Folder(run), set, examples)
    if as_json:
        typer.echo(json.dumps(answer, indent=1, ensure_ascii=False))
    else:
        show_what_if(Console(soft_wrap=True), answer)


@app.command(rich_help_panel=_LOOK)
def report(run: RunFolder) -> None:
    """Write RUN/report.html again."""
    from corpusmill.storage import Folder

    typer.echo(f"wrote {_write_report(Folder(run))}")


def _write_report(run: Any) -> str:
    from corpusmill.studio.corpus_report import write_report

    written = write_report(run)
    return f"{run.url}/{written.name}"


app.command(rich_help_panel=_LOOK)(stream_commands.trace)
app.command(rich_help_panel=_STAGES)(stream_commands.pack)
app.command(rich_help_panel=_CHANGE)(stream_commands.forget)
app.add_typer(stream_commands.journal, name="journal", rich_help_panel=_CHANGE)
app.command(rich_help_panel=_LOOK)(dedup_commands.clusters)
app.command(rich_help_panel=_LOOK)(dedup_commands.near)
app.command(rich_help_panel=_LOOK)(tokenizer_commands.tokenizer)
app.add_typer(index_commands.app, name="index", rich_help_panel=_LOOK)
app.add_typer(annotate_commands.app, name="annotate", rich_help_panel=_LOOK)
app.add_typer(shard_commands.app, name="shards", rich_help_panel=_CHANGE)

assert set(STAGES) <= {c.callback.__name__ for c in app.registered_commands if c.callback}, "a stage has no command"

if __name__ == "__main__":
    main()

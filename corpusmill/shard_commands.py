"""`corpusmill shards`: shards added and compacted, to the formats of other loaders, and theirs to token shards."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(no_args_is_help=True, help="Token shards: added, compacted, to and from other loaders' formats.")

FormatName = Annotated[str, typer.Option(help="megatron, mds, datatrove, nanogpt, llmc or hf.")]
TokenType = Annotated[
    str | None, typer.Option("--token-type", help="uint16, uint32, int32 or int64, if not what the format would have.")
]


@app.command("export")
def export_(
    shards: Annotated[str, typer.Argument(metavar="RUN|SHARDS", help="Run folder, or a folder of shards.")],
    to: FormatName,
    output: Annotated[str, typer.Option("--output", help="File, prefix or folder to write, as the format has it.")],
    weights: Annotated[
        str | None,
        typer.Option(help="Documents that an epoch has several times: repeat, once, or (mds, hf) column."),
    ] = None,
    token_type: TokenType = None,
    tokens_per_file: Annotated[
        int | None, typer.Option("--tokens-per-file", min=1, help="Where datatrove's and llm.c's files are cut.")
    ] = None,
    tokenizer_name: Annotated[
        str | None, typer.Option("--tokenizer-name", help="What datatrove's metadata call the tokenizer.")
    ] = None,
) -> None:
    """Write token shards for Megatron, MosaicML Streaming, datatrove, nanoGPT, llm.c or Hugging Face datasets."""
    from corpusmill.progress import Watch
    from corpusmill.storage import Folder
    from corpusmill.tokenize.foreign_shards import export_shards

    with Watch(Console(stderr=True)) as watch, watch.stage("export") as progress:
        done = export_shards(
            Folder(shards),
            output,
            to,
            progress,
            weights=weights,
            token_type=token_type,
            tokens_per_file=tokens_per_file,
            tokenizer_name=tokenizer_name,
        )
    files = ", ".join(done.files) if len(done.files) <= 2 else f"{len(done.files):,} files"
    typer.echo(f"wrote {output} ({files}): {done.documents:,} documents, {done.tokens:,} tokens, {done.bytes:,} bytes")


@app.command("import")
def import_(
    path: Annotated[str, typer.Argument(metavar="PATH", help="File, prefix or folder, as the format has it.")],
    source: Annotated[str, typer.Option("--from", help="megatron, mds, datatrove, nanogpt, llmc or hf.")],
    tokenizer: Annotated[str, typer.Option("--tokenizer", help="The tokenizer that made the tokens: folder or file.")],
    output: Annotated[str, typer.Option("--output", help="Folder of shards to write.")],
    family: Annotated[str | None, typer.Option(help="How texts are cut, of a .tiktoken that does not say it.")] = None,
    end_token: Annotated[
        str | None, typer.Option("--end-token", help="The end-of-text token, if not what the tokenizer names.")
    ] = None,
    token_type: TokenType = None,
    column: Annotated[str | None, typer.Option(help="The column of tokens (mds, hf).")] = None,
    packed: Annotated[
        bool, typer.Option("--packed", help="Rows are pieces of one stream, not documents (mds, hf).")
    ] = False,
    tokens_per_shard: Annotated[int | None, typer.Option("--tokens-per-shard", min=1, help="64,000,000.")] = None,
) -> None:
    """Make token shards of files that another tool wrote. Documents without an end-of-text token are given one."""
    from corpusmill.progress import Watch
    from corpusmill.tokenize.foreign_imports import TOKENS_PER_SHARD, import_shards

    with Watch(Console(stderr=True)) as watch, watch.stage("import") as progress:
        done = import_shards(
            path,
            source,
            tokenizer,
            output,
            progress,
            family=family,
            end_token=end_token,
            token_type=token_type,
            column=column,
            packed=packed,
            tokens_per_shard=tokens_per_shard or TOKENS_PER_SHARD,
        )
    typer.echo(f"wrote {output}: {done.shards:,} shards, {done.documents:,} documents, {done.tokens:,} tokens")
    if done.closed:
        typer.echo(f"{done.closed:,} documents had no end-of-text token at their end and were given one")
    if done.with_ends:
        hint = "" if packed else "; if rows are pieces of one stream, import again with --packed"
        typer.echo(f"{done.with_ends:,} documents have the end-of-text token inside{hint}")
    for note in done.notes:
        typer.echo(note)


@app.command()
def add(
    shards: Annotated[str, typer.Argument(metavar="RUN|SHARDS", help="What grows.")],
    others: Annotated[list[str], typer.Argument(metavar="RUN|SHARDS...", help="What is added, made by one tokenizer.")],
) -> None:
    """Seal other runs' shards behind a folder's own. A training takes them where its journal says (journal grow)."""
    from corpusmill.ledger import replace_outputs
    from corpusmill.storage import sha256_of
    from corpusmill.tokenize.shard_changes import add_shards
    from corpusmill.tokenize.token_shards import MANIFEST
    from corpusmill.train.stream.sources import shards_at

    folder = shards_at(shards)
    added = add_shards(folder, [shards_at(other) for other in others])
    run = folder.sub("..")
    if run.exists("tokenize/manifest.json"):  # the stage is done with the manifest as it is now
        path = folder.local_path(MANIFEST)
        replace_outputs(run, {f"shards/{MANIFEST}": {"bytes": path.stat().st_size, "sha256": sha256_of(path)}})
    typer.echo(f"{folder.url}: {added:,} shards added" if added else f"{folder.url} has all of these already")


@app.command()
def compact(
    shards: Annotated[str, typer.Argument(metavar="RUN|SHARDS", help="Run folder, or a folder of shards.")],
    output: Annotated[str, typer.Option("--output", help="Folder to write.")],
) -> None:
    """Write shards without forgotten documents. A training goes over to them where its journal says (replace)."""
    from corpusmill.storage import Folder
    from corpusmill.tokenize.shard_changes import compact as write_without
    from corpusmill.train.stream.sources import shards_at

    documents, tokens = write_without(shards_at(shards), Folder(output))
    typer.echo(f"wrote {output}: {documents:,} blank documents left out, {tokens:,} tokens")

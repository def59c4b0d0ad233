"""`corpusmill classifier`: train a quality classifier, and choose its threshold."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from corpusmill.errors import InputError

app = typer.Typer(name="classifier", help="Train a quality classifier, and choose its threshold.", no_args_is_help=True)

Files = Annotated[list[str] | None, typer.Option(help="JSONL, JSON, CSV, TSV, Parquet or text. May be repeated.")]
Field = Annotated[str, typer.Option("--text-field", help="Field that holds the text.")]


@app.command()
def train(
    output: Annotated[str, typer.Option("--output", help="Model to write, as in quality.bin.")],
    positive: Files = None,
    negative: Files = None,
    labelled: Annotated[list[str] | None, typer.Option(help="Files whose rows have a text and a label.")] = None,
    label_field: Annotated[str, typer.Option(help="Field of --labelled that holds the label.")] = "label",
    positive_label: Annotated[str, typer.Option(help="The label whose probability is the score.")] = "hq",
    text_field: Field = "text",
    epochs: Annotated[int, typer.Option(min=1)] = 5,
    learning_rate: Annotated[float, typer.Option()] = 0.1,
    word_ngrams: Annotated[int, typer.Option(min=1, help="Runs of words that are features.")] = 2,
    dimensions: Annotated[int, typer.Option(min=1)] = 64,
    buckets: Annotated[int, typer.Option(min=1, help="For runs of words; 4 bytes times dimensions each.")] = 500_000,
    heldout: Annotated[float, typer.Option(help="Share of the texts to judge the model by.")] = 0.1,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Train a fastText classifier as DCLM's, and say its precision and recall on texts it has not seen."""
    from corpusmill.clean.classifier_training import NEGATIVE, Training, train_classifier
    from corpusmill.clean.classifier_training import labelled as texts_with
    from corpusmill.clean.classifier_training import labelled_rows as rows_with

    if bool(labelled) == bool(positive or negative) or bool(positive) != bool(negative):
        raise InputError("give --positive and --negative files, or --labelled files")
    if labelled:
        examples = rows_with(labelled, label_field, text_field)
    else:
        both = [(positive or [], positive_label), (negative or [], NEGATIVE)]
        examples = (pair for files, label in both for pair in texts_with(files, label, text_field))
    settings = Training(
        epochs=epochs,
        learning_rate=learning_rate,
        word_ngrams=word_ngrams,
        dimensions=dimensions,
        buckets=buckets,
        heldout=heldout,
        seed=seed,
    )
    if not 0 < heldout < 1:
        raise InputError(f"--heldout: found {asdict(settings)['heldout']}; expected a share between 0 and 1")
    _show(train_classifier(examples, output, settings, positive_label), output)


@app.command()
def threshold(
    model: Annotated[str, typer.Option("--model", help="A fastText classifier.")],
    sample: Annotated[list[str], typer.Option("--sample", help="Texts as they come, kept and not. May be repeated.")],
    keep: Annotated[float, typer.Option("--keep", help="Share of the sample to keep.")] = 0.1,
    label: Annotated[str, typer.Option(help="The label whose probability is the score.")] = "hq",
    text_field: Field = "text",
) -> None:
    """Print the score above which a share of a sample lies: `min` of a rule."""
    from corpusmill.clean.classifier_training import score_texts, texts_in, threshold_for_share

    if not 0 < keep <= 1:
        raise InputError(f"--keep: found {keep}; expected a share above 0 and at most 1")
    scores = score_texts(model, texts_in(sample, text_field), label)
    bound, share = threshold_for_share(scores, keep)
    typer.echo(f"{bound!r} keeps {share:.2%} of {len(scores):,} texts")
    typer.echo(f'\n[[clean.rules]]\nuse = "score"\nof = "quality"\nmin = {bound!r}')


def _show(report: dict[str, Any], output: str) -> None:
    trained, held = sum(report["train"].values()), sum(report["heldout"].values())
    typer.echo(f"wrote {output}: trained on {trained:,} texts, judged on {held:,} others")
    typer.echo("threshold     kept  precision  recall")
    for row in (report["at_half"], *report["by_share_kept"]):
        typer.echo(f"{row['threshold']:9.6f}  {row['kept']:7.2%}  {row['precision']:9.3f}  {row['recall']:6.3f}")

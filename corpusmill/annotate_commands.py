"""`corpusmill annotate`: a sample for people to label, and the labels that come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from corpusmill.errors import InputError

if TYPE_CHECKING:
    from corpusmill.clean.annotation.label_import import Finding, Findings

app = typer.Typer(no_args_is_help=True, help="A sample of pages for people to label, and what their labels say.")


@app.command()
def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder with a finished clean stage.")],
    output: Annotated[str, typer.Option("--output", help="Labels folder to write: a path or an fsspec URL.")],
    questions: Annotated[
        str | None, typer.Option("--questions", help="TOML file of questions; without it quality, adult, language.")
    ] = None,
    size: Annotated[int, typer.Option(help="Items in all.")] = 200,
    annotators: Annotated[
        list[str] | None, typer.Option("--annotator", help="Name of an annotator; may be repeated.")
    ] = None,
    overlap: Annotated[float, typer.Option(help="Share of items that several annotators label.")] = 1.0,
    labels_per_item: Annotated[
        int | None, typer.Option(help="Annotators of an item of that share; all if not given.")
    ] = None,
    allocation: Annotated[str, typer.Option(help="at_least, proportional or equal.")] = "at_least",
    min_per_stratum: Annotated[int, typer.Option(help="Items of each stratum, for at_least.")] = 3,
    languages: Annotated[int, typer.Option(help="Languages that are strata of their own; 0 for none.")] = 4,
    measure: Annotated[str | None, typer.Option(help="Measure or score whose quantiles divide strata.")] = None,
    quantiles: Annotated[int, typer.Option(help="Ranges of the measure.")] = 4,
    max_per_host: Annotated[int | None, typer.Option(help="Items of one host in a stratum.")] = None,
    max_chars: Annotated[int, typer.Option(help="Longest text shown whole.")] = 3000,
    show_reason: Annotated[bool, typer.Option(help="Show annotators why a page was dropped: biases them.")] = False,
    seed: Annotated[int, typer.Option(help="Another seed, another sample.")] = 0,
) -> None:
    """Draw a stratified sample of kept and dropped pages, as CSV sheets and Label Studio tasks."""
    from corpusmill.clean.annotation.labels_folder import export as export_sample
    from corpusmill.clean.annotation.questions import load_questions
    from corpusmill.clean.annotation.sample_settings import SampleSettings
    from corpusmill.storage import Folder

    settings = SampleSettings(
        size=size,
        seed=seed,
        allocation=allocation,  # type: ignore[arg-type]  # checked where it is used
        min_per_stratum=min_per_stratum,
        languages=languages,
        measure=measure,
        quantiles=quantiles,
        max_per_host=max_per_host,
        annotators=tuple(annotators or ()),
        overlap=overlap,
        labels_per_item=labels_per_item,
        max_chars=max_chars,
        show_reason=show_reason,
    )
    output = output.rstrip("/")
    made = export_sample(Folder(run), Folder(output), settings, load_questions(questions))
    strata = made.design["strata"]
    unseen = sum(s["pages"] for s in strata if not s["drawn"])
    typer.echo(
        f"wrote {output}: {len(made.items):,} items of {sum(s['drawn'] > 0 for s in strata)} strata, "
        f"standing for {sum(s['pages'] for s in strata) - unseen:,} pages"
    )
    if unseen:
        missing = [s["stratum"] for s in strata if not s["drawn"]]
        typer.echo(
            f"not drawn from: {len(missing)} strata with {unseen:,} pages ({', '.join(missing[:5])}); "
            'clean.dropped_text = "all" keeps every dropped text'
        )
    typer.echo(f"next: label {output}/sheets/*.csv (or import {output}/label-studio into Label Studio), then")
    typer.echo(f"      corpusmill annotate import {output} --from FILE --from FILE")


@app.command("import")
def import_(
    labels: Annotated[str, typer.Argument(metavar="LABELS", help="Folder that `annotate export` wrote.")],
    sources: Annotated[
        list[str],
        typer.Option("--from", help="A sheet (CSV), or NAME=sheet; or an export of Label Studio. May be repeated."),
    ],
    decisions: Annotated[
        str | None, typer.Option("--decisions", help="discuss.csv, filled in: overrides the majority.")
    ] = None,
    names: Annotated[
        list[str] | None, typer.Option("--name", help="3=anna: what to call user 3 of Label Studio.")
    ] = None,
    question: Annotated[list[str] | None, typer.Option("--question", help="Only this question.")] = None,
    min_kappa: Annotated[float, typer.Option(min=-1, max=1, help="Agreement that labels need to train a model.")] = 0.8,
    min_items: Annotated[int, typer.Option(min=1, help="Items with two labels that it must rest on.")] = 30,
    seed: Annotated[int, typer.Option(help="Of the bootstrap intervals.")] = 0,
    train: Annotated[
        str | None, typer.Option("--train", help="Classifier to train on the labels, as in quality.bin.")
    ] = None,
) -> None:
    """Read labels, measure agreement, estimate what the mill got wrong, and write what may train a classifier."""
    from corpusmill.clean.annotation.adjudication import Standard
    from corpusmill.clean.annotation.label_import import import_labels
    from corpusmill.storage import Folder

    labels = labels.rstrip("/")
    done = import_labels(
        Folder(labels),
        sources,
        decisions=decisions,
        standard=Standard(min_kappa=min_kappa, min_items=min_items),
        names=_renamed(names or []),
        only=question or (),
        seed=seed,
    )
    show_findings(Console(soft_wrap=True), done)
    typer.echo(f"wrote {labels}/annotation.html, {labels}/agreement.json")
    for name in done.written:
        typer.echo(f"wrote {labels}/{name}")
    if done.refusals:
        raise InputError("\n       ".join(done.refusals))
    if train is not None:
        _train(labels, [n for n in done.written if n.startswith("training/")], train)


def _train(labels: str, written: list[str], output: str) -> None:
    """Train the quality classifier on the one question that labels were written for."""
    from corpusmill.clean.annotation.labels_folder import read_labels
    from corpusmill.clean.classifier_training import labelled_rows, train_classifier
    from corpusmill.storage import Folder

    if len(written) != 1:
        raise InputError(f"--train: labels of {len(written)} questions may train; name one: --question quality")
    (question,) = [q for q in read_labels(Folder(labels)).questions if written[0] == f"training/{q.name}.jsonl"]
    if question.keep is None:
        raise InputError(f"--train: question {question.name!r} does not say which answer is wanted (keep)")
    report = train_classifier(labelled_rows([f"{labels}/{written[0]}"], "label", "text"), output, None, question.keep)
    held = sum(report["heldout"].values())
    typer.echo(f"wrote {output}: label {question.keep!r}, judged on {held:,} texts it has not seen")


def show_findings(console: Console, done: Findings) -> None:
    """Skipped answers, agreement and estimates, as tables."""
    from corpusmill.clean.annotation.label_table import SKIPS

    for reason, count in sorted(done.table.skipped.counts.items()):
        examples = "; ".join(done.table.skipped.examples[reason][:2])
        console.print(f"{count:,} {SKIPS[reason]} (such as {examples})", highlight=False, markup=False)
    for found in done.questions:
        console.print(_agreement_table(found), soft_wrap=False)
        if found.estimates:
            console.print(_estimate_table(found), soft_wrap=False)


def _agreement_table(found: Finding) -> Table:
    a = found.agreement
    title = f"{found.question.name}: {a.items:,} items with two labels or more, {a.labels:,} labels"
    table = Table("annotators", "items", "agree", "kappa", "95% interval", title=title, title_justify="left")
    for pair in a.pairs:
        numbers = (f"{pair.items:,}", f"{pair.percent:.1%}", *_with_interval(pair.kappa, pair.interval))
        table.add_row(" and ".join(pair.annotators), *numbers)
    if a.percent is not None and len(a.pairs) > 1:
        table.add_row("all (Fleiss)", f"{a.items:,}", f"{a.percent:.1%}", *_with_interval(a.fleiss, a.fleiss_interval))
    if a.percent is not None:
        table.add_row("all (Krippendorff)", f"{a.items:,}", "", *_with_interval(a.alpha, a.alpha_interval))
    return table


def _estimate_table(found: Finding) -> Table:
    title = f"{found.question.name}: what people call mistakes of the mill"
    table = Table(title=title, title_justify="left")
    for head in ("mistake if", "pages", "labelled", "mistakes", "95% interval"):
        table.add_column(head, no_wrap=head == "mistake if")
    for e in found.estimates:
        name = f"  {e.group.removeprefix('dropped/')}" if "/" in e.group else f"{e.group}: {' or '.join(e.answers)}"
        if e.share is None:
            table.add_row(name, f"{e.pages:,}", "0", "no label", "")
        else:
            said = f"{e.share:.1%}, about {e.mistaken_pages:,.0f}"
            table.add_row(name, f"{e.pages:,}", f"{e.items:,}", said, f"{e.low:.0%} to {e.high:.0%}")
    return table


def _with_interval(value: float | None, interval: tuple[float, float] | None) -> tuple[str, str]:
    if value is None or interval is None:
        return "undefined", ""
    return f"{value:.3f}", f"{interval[0]:.3f} to {interval[1]:.3f}"


def _renamed(pairs: list[str]) -> dict[str, str]:
    names = {}
    for pair in pairs:
        old, separator, new = pair.partition("=")
        if not separator or not old or not new:
            raise InputError(f"--name {pair}: expected USER=NAME, as in --name 3=anna")
        names[old] = new
    return names

"""What commands print at their end: tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Column, Table

_MEASURES_SHOWN = ("words", "mean_word_chars", "alpha_word_ratio", "stop_words", "terminal_line_ratio")


def show_summary(
    console: Console, output: str, totals: Mapping[str, Mapping[str, Any]], seconds: Mapping[str, float]
) -> None:
    table = Table(title=f"corpusmill: {output}", title_justify="left")
    for name, justify in (
        ("stage", "left"),
        ("in", "right"),
        ("out", "right"),
        ("what happened", "left"),
        ("time", "right"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for stage, counts in totals.items():
        table.add_row(stage, *_LINES.get(stage, _plain_line)(counts), f"{seconds.get(stage, 0.0):.1f} s")
    console.print(table)
    if "clean" in totals:
        console.print(f"Look at {output}/report.html; ask with: corpusmill why URL --run {output}", highlight=False)


def show_evaluation(console: Console, found: Mapping[str, Any]) -> None:
    table = Table("measure", "value", title="held-out documents", title_justify="left")
    for name in ("documents", "tokens", "perplexity", "bits_per_byte", "unigram_bits_per_byte"):
        if name in found:
            value = found[name]
            table.add_row(name, f"{value:,.4f}" if isinstance(value, float) else f"{value:,}")
    console.print(table)


def show_fates(console: Console, found: Sequence[Mapping[str, Any]]) -> None:
    for fate in found:
        console.print(_sentence(fate), style="bold", highlight=False, markup=False)
        table = Table("", Column(overflow="fold"), show_header=False, box=None, pad_edge=False)
        shown = ("url", "id", "warc_file", "warc_offset", "warc_length", "status", "charset", "extractor", "title")
        for key in (*shown, "language", "language_score"):
            if fate.get(key) is not None:
                table.add_row(key, str(fate[key]))
        measures = fate.get("measures") or {}
        if measures:
            table.add_row("measures", ", ".join(f"{k} {measures[k]:.4g}" for k in _MEASURES_SHOWN))
        console.print(table, markup=False)


def show_what_if(console: Console, answer: Mapping[str, Any]) -> None:
    for setting in answer["settings"] or ["nothing differs from the run's own settings"]:
        console.print(setting, markup=False, highlight=False)
    table = Table("", "before", "after", "change", title="what if", title_justify="left")
    rows = {"documents kept": answer["documents"], **{f"dropped: {r}": n for r, n in answer["dropped"].items()}}
    for name, counts in rows.items():
        difference = counts["after"] - counts["before"]
        table.add_row(name, f"{counts['before']:,}", f"{counts['after']:,}", f"{difference:+,}" if difference else "")
    console.print(table)
    for key, said in (("newly_kept", "kept, and were dropped as"), ("newly_dropped", "dropped, and were kept, as")):
        for reason, count in answer[key]["by_reason"].items():
            console.print(f"{count:,} would be {said} {reason}, for example", markup=False, highlight=False)
            for row in answer[key]["examples"].get(reason, []):
                console.print(f"  {row['url']} ({row['language']})", markup=False, highlight=False)


_STEPS_SHOWN = 20


def show_trace(console: Console, documents: Sequence[Mapping[str, Any]], check: bool) -> None:
    """The documents of a batch: stretches, row by row."""
    known: dict[tuple[Any, ...], str] = {}
    last = None
    for doc in documents:
        if doc["row"] != last:
            last = doc["row"]
            console.print(f"row {last}", markup=False, highlight=False)
        console.print(f"  {_or_forgotten(doc['url'], doc['id'])}", markup=False, highlight=False)
        said = f"tokens {doc['token_start']:,} to {doc['token_end']:,} of {doc['shard']}"
        said += "" if doc["warc_file"] is None else f", {doc['warc_file']} at {doc['warc_offset']}"
        if check:
            key = doc["shards"], doc["shard"], doc["document_tokens"]
            if key not in known:
                known[key] = _made_again(doc)
            said += f": {known[key]}"
        console.print(f"    {said}", markup=False, highlight=False)


def show_documents(console: Console, documents: Sequence[Mapping[str, Any]], check: bool) -> None:
    """Documents with the steps that they are trained on in."""
    for doc in documents:
        console.print(_or_forgotten(doc["url"], doc["id"]), markup=False, highlight=False)
        rows = [("id", doc["id"]), ("from", f"{doc['warc_file']} at {doc['warc_offset']}"), ("source", doc["source"])]
        rows.append(("tokens", f"{doc['token_start']:,} to {doc['token_end']:,} of {doc['shards']}/{doc['shard']}"))
        steps = sorted({step for step, _ in doc["steps"]})
        shown = ", ".join(f"{step:,}" for step in steps[:_STEPS_SHOWN]) or "none of this training"
        more = f" and {len(steps) - _STEPS_SHOWN:,} more" if len(steps) > _STEPS_SHOWN else ""
        rows.append(("steps", shown + more))
        if check:
            rows.append(("made again", _made_again(doc)))
        for name, value in rows:
            console.print(f"  {name:<10} {value}", markup=False, highlight=False)


def _made_again(document: Mapping[str, Any]) -> str:
    from corpusmill.errors import CorpusmillError
    from corpusmill.provenance import made_again

    try:
        return made_again(document)
    except CorpusmillError as e:
        return str(e)


def _or_forgotten(url: str | None, document: str | None) -> str:
    return str(url) if document is not None or url is not None else "(forgotten)"


def _sentence(fate: Mapping[str, Any]) -> str:
    kind = fate["fate"]
    if kind == "dropped":
        return f"dropped in {fate['drop_stage']}: {fate['drop_reason']} ({fate['drop_detail']})"
    if kind == "removed":
        return (
            f"removed as {fate['why']}: {fate['similarity']:.0%} like document {fate['matched']}, "
            f"its cluster is represented by {fate['representative_id']}"
        )
    if kind == "refused":
        return f"refused in tokenize: {fate['why']} ({fate['detail']})"
    if kind == "tokenised":
        use = "held out for evaluation" if fate["shard"].startswith("heldout/") else "trained on"
        end = fate["token_start"] + fate["num_tokens"]
        return f"kept and {use}: tokens {fate['token_start']:,} to {end:,} of {fate['shard']}"
    return "kept; not yet deduplicated or tokenised"


def _ingest_line(counts: Mapping[str, Any]) -> tuple[str, str, str]:
    return f"{counts['records']:,} records", f"{counts['pages']:,} pages", _left_out(counts)


def _clean_line(counts: Mapping[str, Any]) -> tuple[str, str, str]:
    return f"{counts['records']:,} records", f"{counts['documents']:,} documents", _left_out(counts)


def _left_out(counts: Mapping[str, Any]) -> str:
    dropped = sorted(counts["dropped"].items(), key=lambda item: -item[1])
    top = ", ".join(f"{reason} {count:,}" for reason, count in dropped[:3])
    return f"{sum(counts['not_response'].values()):,} not responses; dropped {sum(counts['dropped'].values()):,}: {top}"


def _dedup_line(counts: Mapping[str, Any]) -> tuple[str, str, str]:
    said = f"removed {sum(counts['removed'].values()):,} in {counts['clusters']:,} clusters"
    return f"{counts['documents']:,} documents", f"{counts['survivors']:,} documents", said


def _tokenize_line(counts: Mapping[str, Any]) -> tuple[str, str, str]:
    kept, out = counts["shards"], counts["heldout"]
    documents = kept["documents"] + out["documents"] + sum(counts.get("refused", {}).values())
    said = f"{out['documents']:,} documents ({out['tokens']:,} tokens) held out"
    if counts.get("tokens_per_epoch", kept["tokens"]) != kept["tokens"]:
        said += f"; rehydrated to {counts['tokens_per_epoch']:,} tokens an epoch"
    if refused := sum(counts.get("refused", {}).values()):
        said += f"; {refused:,} refused, which spell a special token"
    return f"{documents:,} documents", f"{kept['tokens']:,} tokens", said


def _train_line(counts: Mapping[str, Any]) -> tuple[str, str, str]:
    said = f"loss {counts['first_loss']:.3f} to {counts['final_loss']:.3f}"
    return f"{counts['tokens']:,} tokens", f"{counts['steps']:,} steps", said


def _evaluate_line(counts: Mapping[str, Any]) -> tuple[str, str, str]:
    said = f"perplexity {counts['perplexity']:.1f}"
    if counts.get("unigram_bits_per_byte") is not None:
        said += f"; word frequencies alone give {counts['unigram_bits_per_byte']:.3f} bits per byte"
    return f"{counts['documents']:,} documents", f"{counts['bits_per_byte']:.3f} bits/byte", said


def _plain_line(counts: Mapping[str, Any]) -> tuple[str, str, str]:
    plain = [
        f"{k} {v:,}" if isinstance(v, int) else f"{k} {v}" for k, v in counts.items() if not isinstance(v, Mapping)
    ]
    return "", "", ", ".join(plain)


_LINES = {
    "ingest": _ingest_line,
    "clean": _clean_line,
    "dedup": _dedup_line,
    "tokenize": _tokenize_line,
    "train": _train_line,
    "evaluate": _evaluate_line,
}

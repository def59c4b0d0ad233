"""The drawings of one report, from its facts."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from markupsafe import Markup

from corpusmill.studio.charts import Axis, Series, histogram, line_chart
from corpusmill.studio.duplicate_charts import cluster_sizes, collision_curve
from corpusmill.studio.run_facts import RunFacts
from corpusmill.studio.tallies import TOKEN_EDGES
from corpusmill.studio.token_facts import TokenFacts
from corpusmill.studio.training_facts import smoothed, thinned

_WORD_TICKS = (1, 10, 100, 1000, 10_000, 100_000)
_TOKEN_TICKS = tuple(10**power for power in range(8))
_MEASURES = {
    "non_symbol_words": ("Words", "words, punctuation not counted", _WORD_TICKS, True),
    "mean_word_chars": ("Mean length of a word", "characters", (0, 2, 4, 6, 8, 10, 12, 14, 16), False),
    "alpha_word_ratio": ("Words with a letter", "share of all words", (0, 0.2, 0.4, 0.6, 0.8, 1.0), False),
}
_BOUNDS = {
    "non_symbol_words": ("min_words", "max_words"),
    "mean_word_chars": ("min_mean_word_chars", "max_mean_word_chars"),
    "alpha_word_ratio": ("min_alpha_word_ratio",),
}


def charts_of(facts: RunFacts) -> dict[str, Any]:
    """Drawings by name: `lengths`, `measures` (a list); the others, where there is something to draw."""
    charts: dict[str, Any] = {
        "lengths": _lengths(facts),
        "measures": _measures(facts),
        "token_lengths": None,
        "sizes": None,
        "curve": None,
        "loss": None,
    }
    if facts.duplicates is not None and facts.duplicates.sizes:
        chosen, found = facts.settings["dedup"], facts.duplicates
        charts["sizes"] = cluster_sizes(found.sizes)
        charts["curve"] = collision_curve(
            chosen["bands"], chosen["rows"], chosen["verify"], found.similarity, found.quality
        )
    if facts.tokens is not None and facts.tokens.lengths.counts:
        charts["token_lengths"] = _token_lengths(facts.tokens)
    if facts.training is not None and facts.training.steps:
        charts["loss"] = _loss(facts)
    return charts


def _lengths(facts: RunFacts) -> Markup:
    kept = facts.kept
    assert kept is not None
    low, median, high = (kept.words.quantile(q) for q in (0.1, 0.5, 0.9))
    description = (
        f"Words of a document: half have at most {median:,}, a tenth at most {low:,}, a tenth more than {high:,}."
    )
    marks = [(float(low), f"p10 {low:,}"), (float(median), f"median {median:,}"), (float(high), f"p90 {high:,}")]
    return histogram(
        "lengths", "Length of documents in words", description,
        Series("documents", kept.measures["non_symbol_words"]), Axis("words", _WORD_TICKS, True, _spread(marks)),
    )  # fmt: skip


def _token_lengths(facts: TokenFacts) -> Markup:
    lengths = facts.lengths
    low, median, high, longest = (lengths.quantile(q) for q in (0.05, 0.5, 0.95, 1.0))
    description = (
        f"Tokens of a document: half have at most {median:,}, one in twenty at most {low:,}, one in twenty more than "
        f"{high:,}; the longest has {longest:,}."
    )
    row, edges = facts.packing.sequence_length, TOKEN_EDGES
    bins = lengths.bins(edges)
    used = np.flatnonzero(bins.counts)
    marks = [(float(low), f"p5 {low:,}"), (float(median), f"median {median:,}"), (float(high), f"p95 {high:,}")]
    if edges[used[0]] <= row <= edges[used[-1] + 1]:
        marks.append((float(row), f"a row of {row:,}"))
    return histogram(
        "token-lengths", "Length of documents in tokens", description,
        Series("documents", bins), Axis("tokens", _TOKEN_TICKS, True, _spread(sorted(marks))),
    )  # fmt: skip


def _spread(marks: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Marks at one place become one."""
    merged: dict[float, str] = {}
    for value, word in marks:
        merged[value] = f"{merged[value]}, {word}" if value in merged else word
    return list(merged.items())


def _measures(facts: RunFacts) -> list[tuple[str, Markup]]:
    kept, dropped = facts.kept, facts.dropped
    assert kept is not None
    assert dropped is not None
    bounds = gopher_bounds(facts.settings["clean"]["clean"]["rules"])
    drawn = []
    for name, (title, unit, ticks, log) in _MEASURES.items():
        marks = [(bounds[b], f"{b[:3]} {bounds[b]:g}") for b in _BOUNDS[name] if b in bounds]
        up = Series(f"kept, {kept.measures[name].total:,}", kept.measures[name])
        down = Series(f"dropped with text, {dropped.measures[name].total:,}", dropped.measures[name])
        said = "; ".join(f"{word} is the rule's bound" for _, word in marks) or "No rule bounds it."
        description = f"Kept documents above the axis, dropped ones below, each scaled to its own highest bar. {said}"
        drawn.append((title, histogram(f"m-{name}", title, description, up, Axis(unit, ticks, log, marks), down)))
    return drawn


def gopher_bounds(rules: list[dict[str, Any]]) -> dict[str, float]:
    """Thresholds of the recipe's gopher_quality rule, its defaults included; none where the recipe has no such rule."""
    from corpusmill.clean.rules.gopher_quality import GopherQuality

    for rule in rules:
        if rule["use"] == "gopher_quality":
            defaults = {f.name: f.default for f in fields(GopherQuality)}
            return {name: float(rule.get(name, value)) for name, value in defaults.items()}
    return {}


def _loss(facts: RunFacts) -> Markup:
    training = facts.training
    assert training is not None
    places = thinned(len(training.steps))
    smooth = smoothed(training.losses)
    description = (
        f"From {training.losses[0]:.3f} at step {training.steps[0]:,} to {training.losses[-1]:.3f} at step "
        f"{training.steps[-1]:,}; smoothed, the last is {smooth[-1]:.3f}."
    )
    lines = [("each step", [training.losses[i] for i in places]), ("smoothed", [smooth[i] for i in places])]
    return line_chart(
        "loss", "Training loss", description, [training.steps[i] for i in places], lines, "loss, nats per token"
    )

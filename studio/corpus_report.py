"""RUN/report.html: what became of the records of a run, in one file that needs nothing else.

It holds no script, loads nothing, and is byte-equal for an equal run. Pages are strangers' text: every string goes
through `plain` and is escaped, and a Content-Security-Policy forbids what should slip through.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from corpusmill.errors import InputError
from corpusmill.storage import Folder, Output
from corpusmill.studio import funnel
from corpusmill.studio.charts import share_bar
from corpusmill.studio.duplicate_facts import WHYS
from corpusmill.studio.plain_text import excerpt, label, plain
from corpusmill.studio.reasons import explain
from corpusmill.studio.report_charts import charts_of
from corpusmill.studio.run_facts import RunFacts, collect, identities
from corpusmill.studio.token_facts import NO_SOURCE, TokenRow

REPORT = "report.html"
TOP_HOSTS = 20
TOP_LANGUAGES = 15
MAX_REASONS = 500
_SURVIVORS = {"best_score": "one of the best score", "preferred_source": "one of the preferred source"}
_MEASURES_SHOWN = ("non_symbol_words", "mean_word_chars", "alpha_word_ratio", "duplicate_line_ratio")


def write_report(run: Folder) -> Output:
    """Write RUN/report.html from what the run's finished stages left.

    Reads the documents' measures once and the dropped rows once; memory is one row group, and what is shown. Raises
    InputError where no stage has finished, DamagedError where a file of a finished stage is not what its manifest says.
    """
    facts = collect(run)
    if "clean" not in facts.manifests:
        raise InputError(
            f"{run.url} has no finished clean stage, so there is nothing to report: run `corpusmill clean` first"
        )
    with run.writing(REPORT) as out:
        out.path.write_bytes(render(facts).encode())
    return out


def render(facts: RunFacts) -> str:
    """The page as a string."""
    files = resources.files("corpusmill.studio")
    css = (files / "templates/report.css").read_text(encoding="utf-8")
    allowed = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    template = environment().from_string((files / "templates/report.html").read_text(encoding="utf-8"))
    cleaned = facts.manifests["clean"]["counts"]
    deduplicated, tokenised = facts.counts("dedup"), facts.counts("tokenize")
    assert facts.kept is not None
    assert facts.dropped is not None
    found = funnel.levels(cleaned, facts.dropped.stages, deduplicated, tokenised)
    return template.render(
        css=Markup(css),  # noqa: S704 (our own file)
        style_hash=allowed,
        facts=facts,
        cleaned=cleaned,
        deduplicated=deduplicated,
        tokenised=tokenised,
        levels={one.name: one.count for one in found},
        funnel=funnel.draw(found),
        identities=identities(facts),
        reasons=reason_rows(facts),
        languages=_bars(cleaned["languages"]),
        lost_languages=_bars(dict(facts.dropped.languages())),
        hosts=_hosts(facts),
        token_tables=_token_tables(facts),
        charts=charts_of(facts),
        **_duplicate_words(facts),
        measures_shown=_MEASURES_SHOWN,
        settings={stage: _settings_text(s) for stage, s in facts.settings.items()},
    )


def reason_rows(facts: RunFacts) -> list[dict[str, Any]]:
    """One row for each drop reason of the manifest, the most frequent first."""
    counts = facts.manifests["clean"]["counts"]
    dropped = facts.dropped
    assert dropped is not None
    total = sum(counts["dropped"].values()) or 1
    rows = []
    for name, count in sorted(counts["dropped"].items(), key=lambda item: (-item[1], item[0]))[:MAX_REASONS]:
        about = explain(name, dropped.stages.get(name))
        details = dropped.details.get(name)
        rows.append(
            {
                "name": name,
                "about": about,
                "count": count,
                "share": count / total,
                "bytes": counts["archive_bytes"]["dropped"].get(name, 0),
                "details": details.top(6) if details is not None else [],
                "examples": dropped.shown(name),
            }
        )
    return rows


def _bars(counts: Mapping[str, int]) -> list[tuple[str, int, float]]:
    """(name, count, share) of the most frequent; the others together in a last row."""
    ordered = sorted(((n, c) for n, c in counts.items() if c), key=lambda item: (-item[1], item[0]))
    total = sum(counts.values()) or 1
    rows = [(n, c, c / total) for n, c in ordered[:TOP_LANGUAGES]]
    rest = sum(c for _, c in ordered[TOP_LANGUAGES:])
    others = len(ordered) - TOP_LANGUAGES
    return rows + ([(f"{others} others", rest, rest / total)] if rest else [])


def _hosts(facts: RunFacts) -> dict[str, Any]:
    """The largest hosts by documents: (host, documents, share), how many there are, and the share of those shown."""
    assert facts.kept is not None
    counts = facts.kept.hosts
    total = sum(counts.values()) or 1
    top = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:TOP_HOSTS]
    rows = [(label(host), n, n / total) for host, n in top]
    return {"rows": rows, "hosts": len(counts), "share": sum(r[2] for r in rows)}


def _token_tables(facts: RunFacts) -> dict[str, Any]:
    """What the section on tokens shows in tables, as far as there are tokens."""
    found = facts.tokens
    if found is None:
        return {}
    total = sum(row.tokens for row in found.languages) or 1
    return {
        "trained": total,
        "sources": _largest(found.sources) if [row.name for row in found.sources] != [NO_SOURCE] else [],
        "languages": _largest(found.languages),
        "hosts": found.hosts,
        "hosts_share": sum(row.tokens for row in found.hosts) / total,
        "longer_share": found.lengths.share_above(found.packing.sequence_length),
    }


def _largest(rows: Sequence[TokenRow]) -> list[TokenRow]:
    """The first, and the others together in a last row."""
    rest = rows[TOP_LANGUAGES:]
    others = TokenRow(f"{len(rest)} others", *(sum(getattr(row, f.name) for row in rest) for f in fields(TokenRow)[1:]))
    return [*rows[:TOP_LANGUAGES], others] if rest else list(rows)


def _duplicate_words(facts: RunFacts) -> dict[str, Any]:
    """What the section on duplicates says of the recipe, and the crawls that removed rows matched."""
    chosen = facts.settings.get("dedup", {})
    unit = "characters" if chosen.get("shingle") == "chars" else "words"
    earlier = facts.duplicates.earlier if facts.duplicates else []
    return {
        "whys": WHYS,
        "survivor_rule": _SURVIVORS.get(chosen.get("survivor", ""), chosen.get("survivor", "")),
        "shingle": f"all runs of {chosen.get('shingle_size', 0)} {unit}",
        "earlier_crawls": _bars(dict(earlier)),
    }


def _settings_text(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False)


def environment() -> Environment:
    """Autoescape for all, and `plain` before it: no template can forget either."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown
    )
    environment.filters |= {
        "n": lambda value: f"{value:,}",
        "pct": lambda share: f"{100 * share:.1f}%",
        "size": size,
        "excerpt": lambda value: excerpt(value or ""),
        "label": label,
        "bar": share_bar,
        "ratio": lambda value: f"{value:.3g}",
        "fixed": fixed,
        "share": lambda share: "–" if share is None else f"{100 * share:.1f}%",
        "between": lambda row: "nothing to tell" if row["low"] is None else f"{row['low']:.1%} and {row['high']:.1%}",
    }
    return environment


def _shown(value: Any) -> Any:
    return value if not isinstance(value, str) or isinstance(value, Markup) else plain(value)


def fixed(value: float | None, digits: int = 3) -> str:
    return "not a number" if value is None else f"{value:,.{digits}f}"


def size(value: float) -> str:
    """Bytes in the largest decimal unit that leaves a digit before the point."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= unit:
            return f"{value / unit:,.1f} {name}"
    return f"{value:,} bytes"

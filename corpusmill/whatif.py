"""`corpusmill whatif`: what other thresholds would keep, answered from a finished run's measures in seconds.

The answer is that of a rerun of the clean stage, row for row, or there is none: a setting that is decided before texts
are measured is refused by name.
"""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.clean.by_language import ByLanguage, Judge
from corpusmill.clean.components import find_rule, make_rules
from corpusmill.clean.languages import language_verdicts
from corpusmill.clean.rules import Rule
from corpusmill.clean.scorers.scoring import check_rules_on_scores
from corpusmill.errors import DamagedError, InputError
from corpusmill.ledger import StageLedger, part_name
from corpusmill.parquet_parts import read_part
from corpusmill.recipe import Clean, Component, Recipe, nearest, override, parse_recipe
from corpusmill.schemas import DOCUMENTS, DROPPED
from corpusmill.storage import Folder

_COLUMNS = ("id", "url", "language", "language_score", "measures", "scores", "drop_reason", "drop_detail")
_LANGUAGE_REASONS = ("language", "language_unsure")

_DECIDED_BEFORE = {
    "clean.url": "addresses are judged before a page is extracted: what is dropped then was never measured",
    "clean.extract": "extraction makes the text that is measured",
    "clean.editors": "editors change the text before it is measured",
    "clean.scorers": "scorers read the text, which takes another run",
    "clean.language.identifier": "another identifier gives other languages and scores than those stored",
    "clean.language.model": "another model gives other languages and scores than those stored",
    "ingest": "ingest decides what a page is before its text is extracted",
}
_NO_EFFECT = ("clean.dropped_text",)


@dataclass(frozen=True)
class Change:
    """A run's clean settings, and others to be tried on it."""

    before: Clean
    after: Clean
    settings: tuple[str, ...]
    """What differs, as sentences."""


def what_if(run: Folder, overrides: Sequence[str], examples: int = 3) -> dict[str, Any]:
    """What the clean stage of `run` would keep and drop with `overrides`, as counts before and after.

    Reads every part once, without its text; memory is one row group. `examples` are given for each reason.
    """
    change = plan_change(run, overrides)
    counts: Counter[tuple[str | None, str | None, str | None]] = Counter()
    shown: dict[tuple[str | None, str | None], list[dict[str, Any]]] = defaultdict(list)
    for rows in reconsidered(run, change):
        grouped = pa.Table.from_batches([rows]).group_by(["before", "after", "language"]).aggregate([([], "count_all")])
        for group in grouped.to_pylist():
            counts[group["before"], group["after"], group["language"]] += group["count_all"]
        moved = pc.not_equal(pc.is_null(rows.column("before")), pc.is_null(rows.column("after")))
        for i in np.flatnonzero(moved.to_numpy(zero_copy_only=False)):
            row = rows.slice(i, 1).to_pylist()[0]
            kind = shown[row["before"], row["after"]]
            if len(kind) < examples:
                kind.append({"url": row["url"], "id": row["id"], "language": row["language"]})
    return _answer(change, counts, shown)


def plan_change(run: Folder, overrides: Sequence[str]) -> Change:
    """The settings that `run` was cleaned with, and those with `overrides`. Refuses what measures cannot answer."""
    StageLedger(run, "clean").require_manifest()
    stored = {"clean": run.read_json("clean/settings.json")["settings"]["clean"]}
    stored["clean"]["rules"] = [_as_told(rule) for rule in stored["clean"]["rules"]]
    values = copy.deepcopy(stored)
    for pair in overrides:
        key = pair.partition("=")[0].strip()
        section = key.partition(".")[0]
        if section not in Recipe.model_fields:
            raise InputError(f"--set {pair}: a recipe has no key {section!r}{nearest(section, [*Recipe.model_fields])}")
        if section != "clean":
            reason = _DECIDED_BEFORE.get(section, "it does not decide what clean keeps")
            raise InputError(f"--set {pair}: whatif cannot answer for {key}: {reason}")
        override(values, pair)
    before = parse_recipe(stored, f"{run.url}/clean/settings.json").clean
    after = parse_recipe(values, "--set").clean
    old, new = _flat(before), _flat(after)
    changed = [key for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)]
    for key in changed:
        _refuse_if_decided_before(key, before, after)
    check_rules_on_scores(make_rules(after.rules), [c.label for c in after.scorers])
    said = (_sentence(key, old, new, before, after) for key in changed if not key.startswith(_NO_EFFECT))
    return Change(before, after, tuple(said))


def reconsidered(run: Folder, change: Change) -> Iterator[pa.RecordBatch]:
    """Every row of the run: id, url, language, and its drop reason `before` and `after` (null where kept)."""
    old, new = _Verdicts(change.before, change.before), _Verdicts(change.before, change.after)
    for rows in _rows(run):
        stored = rows.column("drop_reason")
        measured = old.reached(rows)
        seen = rows.filter(measured)
        if not old.judge(seen).equals(seen.column("drop_reason")):
            raise DamagedError(
                f"{run.url}: its own settings, applied to its measures, do not give the verdicts that it stored: it "
                "was cleaned by another version of Corpusmill. Clean it again (--start-over clean), then ask"
            )
        after = pc.replace_with_mask(stored, measured, new.judge(seen))
        columns = [rows.column(n) for n in ("id", "url", "language")]
        yield pa.RecordBatch.from_arrays([*columns, stored, after], names=["id", "url", "language", "before", "after"])


class Told:
    """In place of a rule whose files the run knows by their checksums alone: what it said is all there is of it."""

    def __init__(self, rule: str, reason: str | None, stored: Mapping[str, Any], **changed: Any) -> None:
        self.reason = reason
        for key in changed:
            if key not in stored:
                raise InputError(f"clean.rules.{rule}.{key}: no such setting{nearest(key, list(stored))}")
            raise InputError(
                f"whatif cannot answer for clean.rules.{rule}.{key}: the rule reads the text. Clean again, with these "
                "settings, to know"
            )

    def judge_rows(self, batch: pa.RecordBatch) -> pa.StringArray:
        raise AssertionError("it reads the text")


def _as_told(rule: dict[str, Any]) -> dict[str, Any]:
    component = Component.model_validate(rule)
    found = find_rule(component, "clean.rules")
    if not hasattr(found, "identity"):
        return rule
    told = {"rule": component.label, "reason": getattr(found, "reason", None), "stored": component.settings}
    return {"use": f"{__name__}:{Told.__name__}", "name": component.label, **told}


class _Verdicts:
    """What settings say of rows that were measured, judged in the order of the recipe."""

    def __init__(self, stored: Clean, wanted: Clean) -> None:
        self.wanted = wanted.language.wanted
        self.rules = make_rules(wanted.rules)
        self.places = [c.label for c in stored.rules]
        old, new = ({c.label: c for c in clean.rules} for clean in (stored, wanted))
        self.untouched = {name for name in new if new[name] == old.get(name)}
        reasons = [getattr(rule, "reason", None) for rule in make_rules(stored.rules).values()]
        self.reasons = {r: place for place, r in enumerate(reasons) if r is not None and reasons.count(r) == 1}
        """Those that rules give with a detail of their own, which does not name the rule, to the rule's place."""
        self.all_scored = all(scorer.settings.get("rows") == "all" for scorer in stored.scorers)

    def reached(self, rows: pa.RecordBatch) -> pa.Array:
        """Rows that were identified, measured and judged; all others were dropped earlier, and stay so."""
        return pc.or_(pc.is_null(rows.column("drop_reason")), rows.column("language").is_valid())

    def judge(self, rows: pa.RecordBatch) -> pa.StringArray:
        reasons = language_verdicts(rows.column("language"), rows.column("language_score"), self.wanted)
        decided_by = self._decided_by(rows)
        for name, rule in self.rules.items():
            alive = pc.is_null(reasons)
            if not pc.any(alive).as_py():
                break
            found = self._judge(name, rule, rows.filter(alive), decided_by.filter(alive))
            reasons = pc.replace_with_mask(reasons, alive, found)
        return reasons

    def _decided_by(self, rows: pa.RecordBatch) -> pa.Array:
        """Place of the rule that decided each row: -1 for its language, the number of rules where it was kept."""
        reasons, details = rows.column("drop_reason"), rows.column("drop_detail")
        told = pc.index_in(reasons, pa.array(list(self.reasons), pa.string()))
        place = pc.take(pa.array(list(self.reasons.values()), pa.int32()), told)
        place = pc.coalesce(place, pc.index_in(details, pa.array(self.places, pa.string())))
        by_language = pc.is_in(reasons, pa.array(_LANGUAGE_REASONS))
        by_language = pc.and_(by_language, pc.equal(details, rows.column("language")))
        place = pc.if_else(by_language, pa.scalar(-1, pa.int32()), place)
        place = pc.if_else(pc.is_null(reasons), pa.scalar(len(self.places), pa.int32()), place)
        if place.null_count:
            reason = reasons.filter(pc.is_null(place))[0]
            raise InputError(
                f"whatif cannot answer: nothing stored says which rule dropped pages as {reason}; two rules give this "
                "reason, or its rule has no attribute `reason`. Clean again, with these settings, to know"
            )
        return place

    def _judge(self, name: str, rule: Judge, rows: pa.RecordBatch, decided_by: pa.Array) -> pa.StringArray:
        """Verdicts of one rule: from stored columns where it reads those, else the verdict that it gave in the run."""
        reads = _reads(rule)
        answerable = pa.array(np.full(rows.num_rows, reads is not None))
        for column in reads or ():
            answerable = pc.and_(answerable, self._stored(column, rows, decided_by))
        if reads is not None and pc.all(answerable).as_py() is not False:
            return rule.judge_rows(rows)
        place = self.places.index(name) if name in self.untouched else len(self.places) + 1
        known = pc.or_(answerable, pc.greater_equal(decided_by, place))
        unknown = rows.num_rows - pc.sum(known).as_py()
        if unknown:
            what = "text" if reads is None else " and ".join(sorted(reads))
            why = "the run never asked it about" if name in self.untouched else "it is not as it was in the run, for"
            raise InputError(
                f"whatif cannot answer: the rule {name!r} reads {what} that no measure stands for, and {why} at least "
                f"{unknown:,} of the rows that would come to it. Clean again, with these settings, to know"
            )
        stored = pc.if_else(pc.equal(decided_by, place), rows.column("drop_reason"), pa.scalar(None, pa.string()))
        if not pc.any(answerable).as_py():
            return stored
        return pc.replace_with_mask(stored, answerable, rule.judge_rows(rows.filter(answerable)))

    def _stored(self, column: str, rows: pa.RecordBatch, decided_by: pa.Array) -> pa.Array:
        """Where a column holds what a rerun would compute. No score is an answer, too, of a row that was scored."""
        if column != "scores":
            return pc.is_valid(rows.column(column))
        return pc.or_(pc.greater_equal(decided_by, 0), pa.scalar(self.all_scored))


def _reads(rule: Judge) -> frozenset[str] | None:
    """Stored columns that a rule needs; None if it reads the text. A class of one's own says so by `reads = (...)`."""
    if isinstance(rule, ByLanguage):
        parts = [_reads(r) for r in (*rule.languages.values(), rule.otherwise)]
        return None if None in parts else frozenset().union(*cast(list[frozenset[str]], parts))
    if hasattr(rule, "reads"):
        return frozenset(rule.reads)
    return frozenset({"measures"}) if isinstance(rule, Rule) and type(rule).judge_rows is Rule.judge_rows else None


def _rows(run: Folder) -> Iterator[pa.RecordBatch]:
    """The rows of all parts, kept ones first in each, without their text; a row group at a time."""
    for part in StageLedger(run, "clean").require_manifest()["parts"]:
        for kind, schema in (("documents", DOCUMENTS), ("dropped", DROPPED)):
            for batch in read_part(run, f"{kind}/{part_name(part)}.parquet", schema, _COLUMNS):
                columns = [
                    batch.column(n) if n in batch.schema.names else pa.nulls(batch.num_rows, pa.string())
                    for n in _COLUMNS
                ]
                yield pa.RecordBatch.from_arrays(columns, names=list(_COLUMNS))


def _refuse_if_decided_before(key: str, before: Clean, after: Clean) -> None:
    if key.startswith(("clean.rules", *_NO_EFFECT)):
        return
    if not key.startswith("clean.language.wanted"):
        reason = next((r for k, r in _DECIDED_BEFORE.items() if key.startswith(k)), "it is decided before rules judge")
        raise InputError(f"whatif cannot answer for {key}: {reason}. Clean again, with these settings, to know")
    if before.extract.screen and set(before.language.wanted) != set(after.language.wanted):
        raise InputError(
            f"whatif cannot answer for {key}: the screen (clean.extract.screen) spends no extraction on pages in other "
            f"languages than {', '.join(before.language.wanted) or 'all'}, so adding or removing one needs another "
            "run; the scores of those there are can be tried"
        )


def _flat(clean: Clean) -> dict[str, Any]:
    """Dotted keys to values; rules and editors by their names, and by their order."""
    flat: dict[str, Any] = {}

    def add(key: str, value: Any) -> None:
        if isinstance(value, Mapping) and (value or key != "clean.language.wanted"):
            for name, inner in value.items():
                add(f"{key}.{name}", inner)
        else:
            flat[key] = value

    add("clean", clean.model_dump(mode="json", exclude={"rules", "editors"}))
    for section in ("rules", "editors"):
        components = getattr(clean, section)
        flat[f"clean.{section}"] = [c.label for c in components]
        for component in components:
            for setting, value in component.settings.items():
                add(f"clean.{section}.{component.label}.{setting}", value)
    return flat


def _sentence(key: str, old: Mapping[str, Any], new: Mapping[str, Any], before: Clean, after: Clean) -> str:
    said = [repr(v[key]) if key in v else _default(key, c) for v, c in ((old, before), (new, after))]
    return f"{key}: {said[0]} -> {said[1]}"


def _default(key: str, clean: Clean) -> str:
    """What a rule that does not say has for a setting."""
    for name, rule in make_rules(clean.rules).items():
        setting = key.removeprefix(f"clean.rules.{name}.")
        if setting != key and hasattr(rule, setting):
            return repr(getattr(rule, setting))
    return "not set"


def _answer(
    change: Change,
    counts: Mapping[tuple[str | None, str | None, str | None], int],
    shown: Mapping[tuple[str | None, str | None], list[dict[str, Any]]],
) -> dict[str, Any]:
    totals: tuple[Counter[str | None], Counter[str | None]] = (Counter(), Counter())
    for (before, after, _), count in counts.items():
        totals[0][before] += count
        totals[1][after] += count
    reasons = sorted({r for total in totals for r in total if r is not None})
    return {
        "settings": list(change.settings),
        "rows": sum(counts.values()),
        "documents": {"before": totals[0][None], "after": totals[1][None]},
        "dropped": {r: {"before": totals[0][r], "after": totals[1][r]} for r in reasons},
        "newly_kept": _moved(counts, shown, kept=True),
        "newly_dropped": _moved(counts, shown, kept=False),
    }


def _moved(
    counts: Mapping[tuple[str | None, str | None, str | None], int],
    shown: Mapping[tuple[str | None, str | None], list[dict[str, Any]]],
    *,
    kept: bool,
) -> dict[str, Any]:
    """Rows that change sides: how many, by the reason that kept them out (before, or now) and by language."""
    reasons: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    for (before, after, language), count in counts.items():
        reason = before if kept else after
        if (before is None) != (after is None) and reason is not None and (after is None) == kept:
            reasons[reason] += count
            languages[language or "none"] += count
    examples = {(b or a or ""): rows for (b, a), rows in shown.items() if (a is None) == kept}
    return {
        "rows": reasons.total(),
        "by_reason": dict(sorted(reasons.items())),
        "by_language": dict(sorted(languages.items())),
        "examples": dict(sorted(examples.items())),
    }

"""contamination.json: what a run found of each evaluation set, for the paper and for whoever evaluates the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from corpusmill.clean.components import make_rules, make_scorers
from corpusmill.clean.contamination import REASON, Contamination, Decontaminate, matches_in_detail
from corpusmill.parquet_parts import read_part
from corpusmill.recipe import Clean
from corpusmill.schemas import DROPPED, FORMAT_VERSION
from corpusmill.storage import Folder, Output, canonical_json

NAME = "contamination.json"


def write_contamination_report(run: Folder, settings: Clean, records: Sequence[Mapping[str, Any]]) -> list[Output]:
    """Write the report if the recipe looks for evaluation sets. Reads two columns of each part that `records` name."""
    judging = [r for r in make_rules(settings.rules).values() if isinstance(r, Decontaminate)]
    scorers = make_scorers(settings.scorers)
    counting = {name: s for name, s in scorers.items() if isinstance(s, Contamination)}
    if not judging and not counting:
        run.remove(NAME)  # of a recipe that did
        return []
    sets: dict[str, dict[str, Any]] = {}
    for looking in (*judging, *counting.values()):
        for name, (items, findable) in looking.index().items.items():
            sets[name] = {"items": items, "items_long_enough": findable, "dropped": 0, "scored": 0, "found": Counter()}
    parts = sorted(name for record in records for name in record["outputs"])
    _count_dropped(run, [p for p in parts if p.startswith("dropped/")], sets)
    _count_scored(run, parts if counting else [], counting, sets)
    for one in sets.values():
        one["found"] = {item: one["found"][item] for item in sorted(one["found"], key=lambda i: (len(i), i))}
    with run.writing(NAME) as out:
        out.path.write_bytes(canonical_json({"format": FORMAT_VERSION, "sets": sets}))
    return [out]


def _count_dropped(run: Folder, parts: Sequence[str], sets: dict[str, dict[str, Any]]) -> None:
    """Documents dropped for an item of each set, and of those the number by the first item found."""
    for part in parts:
        for batch in read_part(run, part, DROPPED, ["drop_reason", "drop_detail"]):
            for row in batch.to_pylist():
                if row["drop_reason"] == REASON:
                    for name, item in matches_in_detail(row["drop_detail"]):
                        sets[name]["dropped"] += 1
                        sets[name]["found"][item] += 1


def _count_scored(
    run: Folder, parts: Sequence[str], counting: Mapping[str, Contamination], sets: dict[str, dict[str, Any]]
) -> None:
    """Documents in which a scorer counted n-grams of each set, dropped or not."""
    keys = {f"{name}.{one}": one for name, scorer in counting.items() for one in scorer.sets}
    for part in parts:
        for batch in read_part(run, part, DROPPED, ["scores"]):
            for key, _ in (pair for row in batch.column("scores").to_pylist() for pair in row or ()):
                if key in keys:
                    sets[keys[key]]["scored"] += 1

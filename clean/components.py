"""Rules, scorers and editors from a recipe: by name, or any class on the path."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Sequence
from dataclasses import is_dataclass
from typing import Any, Protocol

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from corpusmill.clean.editors import EDITORS, Editor
from corpusmill.clean.rules import RULES, Rule
from corpusmill.clean.scorers.scorer import TextScorer
from corpusmill.clean.scorers.scoring import JUDGES, SCORERS, check_files
from corpusmill.errors import InputError
from corpusmill.recipe import Component, nearest


class Judge(Protocol):
    """Anything that can say, for each row of a batch of documents, why it goes. Rules can; so can datatrove filters.

    The answer is the reason or null; or a struct of `reason` and `detail`, where there is more to tell than a name.
    """

    def judge_rows(self, batch: pa.RecordBatch) -> pa.StringArray | pa.StructArray: ...


def make_rules(components: Sequence[Component]) -> dict[str, Judge]:
    """Name to rule, in recipe order. A name may be used once."""
    rules: dict[str, Judge] = {}
    for i, component in enumerate(components):
        where = f"clean.rules[{i}]"
        # bounds on several scores are the usual case, so they are told apart by the score
        of = component.settings.get("of")
        name = component.name or (f"{component.use} {of}" if of else component.use)
        if name in rules:
            raise InputError(
                f'{where}: there is a rule named {name!r} already; give this one a name of its own: name = "..."'
            )
        rules[name] = _make_rule(component, where)
    return rules


def make_editors(components: Sequence[Component]) -> dict[str, Editor]:
    editors: dict[str, Editor] = {}
    for i, component in enumerate(components):
        where = f"clean.editors[{i}]"
        editors[component.name or component.use] = _build(_find(component, EDITORS, where, "editor"), component, where)
    return editors


def make_scorers(components: Sequence[Component]) -> dict[str, TextScorer]:
    """Name to scorer, in recipe order. A name may be used once; files that are missing are said now."""
    scorers: dict[str, TextScorer] = {}
    for i, component in enumerate(components):
        where = f"clean.scorers[{i}]"
        name = component.name or component.use.rpartition(":")[2]
        if name in scorers:
            raise InputError(
                f'{where}: there is a scorer named {name!r} already; give this one a name of its own: name = "..."'
            )
        found = _find(component, SCORERS, where, "scorer")
        if not hasattr(found, "score_batch"):
            raise InputError(f"{where}.use: {component.use} has no method score_batch, so it is no scorer")
        scorers[name] = _build(found, component, where)
        check_files(scorers[name], where)
    return scorers


def _make_rule(component: Component, where: str) -> Judge:
    found = _find(component, {**RULES, **JUDGES}, where, "rule")
    if issubclass(found, Rule):
        rule: Judge = _build(found, component, where)
        return rule
    if any(c.__module__.startswith("datatrove.") and c.__name__ == "BaseFilter" for c in found.__mro__):
        from corpusmill.clean.datatrove_filter import DatatroveRule

        return DatatroveRule(component.use, found, component.settings, where)
    if hasattr(found, "judge_rows"):
        judge: Judge = _build(found, component, where)
        check_files(judge, where)
        return judge
    raise InputError(f"{where}.use: {component.use} is neither a corpusmill Rule nor a datatrove filter")


def _find(component: Component, table: dict[str, Any], where: str, what: str) -> type:
    use = component.use
    if use in table:
        found: type = table[use]
        return found
    module, separator, name = use.partition(":")
    if not separator:
        raise InputError(f"{where}.use: no {what} named {use!r}{nearest(use, list(table))}")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as e:
        raise InputError(f"{where}.use: {use!r} cannot be imported: {e}") from e
    if not inspect.isclass(found):
        raise InputError(f"{where}.use: {use!r} is not a class")
    return found


def _build(found: type, component: Component, where: str) -> Any:
    if not is_dataclass(found) and not hasattr(found, "__get_pydantic_core_schema__"):
        try:  # anybody's class, which checks its own settings
            return found(**component.settings)
        except TypeError as e:
            raise InputError(f"{where}: {component.use} cannot be set up: {e}") from e
    try:
        # from Python a strict dataclass takes no table, from JSON it does
        return TypeAdapter(found).validate_json(json.dumps(component.settings))
    except ValidationError as e:
        raise InputError("\n".join(_sentence(found, error, where) for error in e.errors())) from e


def _sentence(found: type, error: Any, where: str) -> str:
    key = str(error["loc"][-1]) if error["loc"] else ""
    if error["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{where}.{key}: no such setting{nearest(key, list(getattr(found, '__dataclass_fields__', {})))}"
    return f"{where}.{key}: found {error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}"

"""Rules and editors from a recipe: by name, or any class on the path."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from corpusmill.clean.by_language import ByLanguage, Judge
from corpusmill.clean.editors import EDITORS, Editor
from corpusmill.clean.rules import RULES, Rule
from corpusmill.clean.scorers.scorer import TextScorer
from corpusmill.clean.scorers.scoring import JUDGES, SCORERS, check_files
from corpusmill.errors import InputError
from corpusmill.recipe import Component, nearest

__all__ = ["Judge", "find_rule", "make_editors", "make_rules", "make_scorers"]


def make_rules(components: Sequence[Component]) -> dict[str, Judge]:
    """Name to rule, in recipe order. A name may be used once."""
    return {
        name: _make_rule(component, where) for name, component, where in _named(components, "clean.rules", "a rule")
    }


def make_editors(components: Sequence[Component]) -> dict[str, Editor]:
    """Name to editor, in recipe order. A name may be used once."""
    editors: dict[str, Editor] = {}
    for name, component, where in _named(components, "clean.editors", "an editor"):
        found = _find(component, EDITORS, where, "editor")
        if not callable(getattr(found, "edit", None)):
            raise InputError(f"{where}.use: {component.use} is no editor: it has no method edit(text)")
        editors[name] = _build(found, component.settings, where)
    return editors


def make_scorers(components: Sequence[Component]) -> dict[str, TextScorer]:
    """Name to scorer, in recipe order. A name may be used once; files that are missing are said now."""
    scorers: dict[str, TextScorer] = {}
    for name, component, where in _named(components, "clean.scorers", "a scorer"):
        found = _find(component, SCORERS, where, "scorer")
        if not hasattr(found, "score_batch"):
            raise InputError(f"{where}.use: {component.use} has no method score_batch, so it is no scorer")
        scorers[name] = _build(found, component.settings, where)
        check_files(scorers[name], where)
    return scorers


def _named(components: Sequence[Component], section: str, what: str) -> Iterator[tuple[str, Component, str]]:
    seen = set()
    for i, component in enumerate(components):
        name = component.label
        if name in seen:
            raise InputError(
                f'{section}[{i}]: there is {what} named {name!r} already; give this one a name of its own: name = "..."'
            )
        seen.add(name)
        yield name, component, f"{section}[{i}]"


def find_rule(component: Component, where: str) -> type:
    """The class that a rule of a recipe names."""
    return _find(component, {**RULES, **JUDGES}, where, "rule")


def _make_rule(component: Component, where: str) -> Judge:
    """One rule. A table `languages` makes it judge rows of those languages with other thresholds."""
    found = find_rule(component, where)
    settings = component.settings
    if "languages" not in settings or "languages" in getattr(found, "__dataclass_fields__", {}):
        return _judge(found, component.use, settings, where)
    if component.use in JUDGES:
        raise InputError(
            f"{where}.languages: {component.use} has one setting for all languages; "
            "use it several times, each with a name of its own"
        )
    languages = settings.pop("languages")
    if not isinstance(languages, Mapping) or not all(isinstance(v, Mapping) for v in languages.values()):
        raise InputError(
            f"{where}.languages: found {languages!r}; expected a table for each language, as in "
            "[clean.rules.languages.de]"
        )
    base = _judge(found, component.use, settings, where)
    return ByLanguage(
        base,
        {
            language: _judge(found, component.use, settings | dict(others), f"{where}.languages.{language}")
            for language, others in sorted(languages.items())
        },
    )


def _judge(found: type, use: str, settings: dict[str, Any], where: str) -> Judge:
    if issubclass(found, Rule):
        rule: Judge = _build(found, settings, where)
        return rule
    if any(c.__module__.startswith("datatrove.") and c.__name__ == "BaseFilter" for c in found.__mro__):
        from corpusmill.clean.datatrove_filter import DatatroveRule

        return DatatroveRule(use, found, settings, where)
    if hasattr(found, "judge_rows"):
        judge: Judge = _build(found, settings, where)
        check_files(judge, where)
        return judge
    raise InputError(f"{where}.use: {use} is neither a corpusmill Rule nor a datatrove filter")


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


def _build(found: type, settings: Mapping[str, Any], where: str) -> Any:
    if not is_dataclass(found) and not hasattr(found, "__get_pydantic_core_schema__"):
        try:  # anybody's class, which checks its own settings
            return found(**settings)
        except TypeError as e:
            raise InputError(f"{where}: {found.__module__}:{found.__name__} cannot be set up: {e}") from e
    try:
        # from Python a strict dataclass takes no table, from JSON it does
        return TypeAdapter(found).validate_json(json.dumps(settings))
    except ValidationError as e:
        raise InputError("\n".join(_sentence(found, error, where) for error in e.errors())) from e


def _sentence(found: type, error: Any, where: str) -> str:
    key = str(error["loc"][-1]) if error["loc"] else ""
    if error["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{where}.{key}: no such setting{nearest(key, list(getattr(found, '__dataclass_fields__', {})))}"
    return f"{where}.{key}: found {error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}"

"""Settings of rules and editors that are made in Python, checked as strictly as those of a recipe."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from corpusmill.errors import InputError


def check_settings(made: Any) -> None:
    """Raise InputError where a field of a dataclass is not what its annotation says; a list may stand for a tuple."""
    kind: Any = type(made)
    for name, adapter in _adapters(kind).items():
        value = getattr(made, name)
        try:
            adapter.validate_python(tuple(value) if isinstance(value, list) else value)
        except ValidationError as e:
            error = e.errors()[0]
            said = f"{error['msg'][0].lower()}{error['msg'][1:]}"
            raise InputError(f"{kind.__name__}: {name}: found {error['input']!r}: {said}") from e


@cache
def _adapters(kind: Any) -> dict[str, TypeAdapter[Any]]:
    hints = get_type_hints(kind, include_extras=True)
    config = ConfigDict(strict=True, arbitrary_types_allowed=True)
    return {f.name: TypeAdapter(hints[f.name], config=config) for f in fields(kind)}

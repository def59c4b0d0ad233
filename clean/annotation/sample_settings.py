"""How a sample for annotators is drawn and dealt out."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from corpusmill.errors import InputError

Allocation = Literal["at_least", "proportional", "equal"]
_ANNOTATOR = re.compile(r"[A-Za-z0-9][\w.@-]{0,59}")

MAX_CHARS = 30_000
"""Excel's cells hold 32,767, with what is said of the part left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSettings:
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    size: int = 200
    """Items in all."""
    seed: int = 0
    allocation: Allocation = "at_least"
    """proportional to a stratum's pages; equal for all strata; or at least min_per_stratum, the rest proportional."""
    min_per_stratum: int = 3
    languages: int = 4
    """So many languages are strata of their own, the most frequent first, the others one together; 0: no division."""
    measure: str | None = None
    """A measure, score or language_score whose quantiles divide strata further."""
    quantiles: int = 4
    max_per_host: int | None = None
    """Items of one host in one stratum, at most; weights make up for it."""
    annotators: tuple[str, ...] = ()
    overlap: float = 1.0
    """Share of the items that several annotators label; the others get one annotator each."""
    labels_per_item: int | None = None
    """Annotators of an item of that share; without a number all of them."""
    max_chars: int = 3000
    """Longer texts are shown by their beginning and their end."""
    show_reason: bool = False
    """Show annotators why a page was dropped. It biases them."""


def checked(settings: SampleSettings) -> SampleSettings:
    """The settings, or InputError that says which is not possible."""
    try:
        # from Python a strict dataclass takes no list for a tuple, from JSON it does
        TypeAdapter(SampleSettings).validate_json(json.dumps(asdict(settings)))
    except ValidationError as e:
        error = e.errors()[0]
        raise InputError(f"{'.'.join(map(str, error['loc']))}: found {error['input']!r}: {error['msg']}") from e
    floors = {"size": 1, "min_per_stratum": 1, "languages": 0, "quantiles": 2, "max_chars": 200, "seed": 0}
    for name, least in floors.items():
        _require(getattr(settings, name) >= least, settings, name, f"expected {least} or more")
    _require(settings.max_chars <= MAX_CHARS, settings, "max_chars", f"a spreadsheet's cell holds {MAX_CHARS:,}")
    cap = settings.max_per_host
    _require(cap is None or cap >= 1, settings, "max_per_host", "expected 1 or more")
    _require(0.0 <= settings.overlap <= 1.0, settings, "overlap", "expected a share from 0 to 1")
    people, each = settings.annotators, settings.labels_per_item
    enough = each is None or 1 <= each <= len(people)
    _require(each is None or bool(people), settings, "labels_per_item", "name annotators as well (--annotator)")
    _require(enough, settings, "labels_per_item", f"expected 1 to {len(people)}, the number of annotators")
    _check_names(people)
    return settings


def _check_names(people: Sequence[str]) -> None:
    for name in people:
        if not _ANNOTATOR.fullmatch(name):
            raise InputError(f"annotators: {name!r} cannot name a file; use letters, digits, ., _, @ and -")
        if [p.casefold() for p in people].count(name.casefold()) > 1:
            raise InputError(f"annotators: {name!r} is named twice")


def _require(fine: bool, settings: SampleSettings, name: str, expected: str) -> None:
    if not fine:
        raise InputError(f"{name}: found {getattr(settings, name)!r}; {expected}")

"""The questions that annotators answer: a name, a text and choices, from a TOML file or the set that is here."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from corpusmill.errors import InputError
from corpusmill.recipe import nearest

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_FORMULA_STARTS = ("=", "+", "-", "@", "'", "\t", "\r")
RESERVED = frozenset(
    ("item", "title", "text", "url", "language", "reason", "annotator", "comment",  # columns of a sheet
     "id", "annotation_id", "created_at", "updated_at", "lead_time", "agreement")  # keys of a JSON-MIN export
)  # fmt: skip
"""What a question may not be called: sheets and Label Studio's JSON-MIN put answers beside these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    name: str
    text: str
    choices: tuple[str, ...]
    keep: str | None = None
    """What is to be said of a kept page; any other answer calls keeping it a mistake."""
    rescue: str | None = None
    """The answer that calls dropping a page a mistake."""
    reasons: tuple[str, ...] = ("*",)
    """Drop reasons (patterns, as of file names) that the question can call mistaken ..."""
    not_reasons: tuple[str, ...] = ()
    """... and those that it cannot: a good text in a language nobody wants was rightly dropped."""

    def judges(self, reason: str) -> bool:
        """Whether an answer can call a drop for this reason mistaken."""
        wanted, not_wanted = (any(fnmatchcase(reason, p) for p in ps) for ps in (self.reasons, self.not_reasons))
        return self.rescue is not None and wanted and not not_wanted


QUESTIONS = (
    Question(
        name="quality",
        text="Is this a text that a language model should learn from: written by a person for people, and whole "
        "enough to follow? Menus, listings, boilerplate, spam and word salad are bad.",
        choices=("good", "bad"),
        keep="good",
        rescue="good",
        not_reasons=("*language*",),
    ),
    Question(
        name="adult",
        text="Is this pornography, or does it advertise it? Medicine, education and novels are not.",
        choices=("no", "yes"),
        keep="no",
    ),
    Question(
        name="language_right",
        text="Is the text written in the language named beside it, apart from names and quotations?",
        choices=("right", "wrong"),
        keep="right",
        rescue="wrong",
        reasons=("*language*",),
    ),
)
"""Asked where no file is given."""


def load_questions(path: str | Path | None) -> tuple[Question, ...]:
    """Questions of a TOML file of `[[questions]]` tables, or QUESTIONS."""
    if path is None:
        return QUESTIONS
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as e:
        raise InputError(f"{path}: there is no such file; without --questions the packaged questions are asked") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise InputError(f"{path}: not valid TOML: {e}") from e
    strange = sorted(values.keys() - {"questions"})
    if strange:
        raise InputError(f"{path}: {strange[0]}: no such key{nearest(strange[0], ['questions'])}")
    if not isinstance(values.get("questions"), list) or not values["questions"]:
        raise InputError(f"{path}: no question in it; expected [[questions]] tables with name, text and choices")
    return parse_questions(values["questions"], str(path))


def parse_questions(values: Sequence[Mapping[str, Any]], where: str) -> tuple[Question, ...]:
    """Questions from tables, checked. `where` opens each sentence of complaint."""
    adapter = TypeAdapter(Question)
    questions = []
    for i, value in enumerate(values):
        at = f"{where}: questions[{i}]"
        try:
            # from Python a strict dataclass takes no table, from JSON it does; str stands for TOML's dates
            question = adapter.validate_json(json.dumps(value, default=str))
        except ValidationError as e:
            raise InputError("\n".join(_sentence(at, error) for error in e.errors())) from e
        _check(question, at)
        questions.append(question)
    names = [q.name for q in questions]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{where}: two questions are named {name!r}; give each a name of its own")
    return tuple(questions)


def as_tables(questions: Sequence[Question]) -> list[dict[str, Any]]:
    return [asdict(q) for q in questions]


def _check(question: Question, at: str) -> None:
    if not _NAME.fullmatch(question.name):
        raise InputError(f"{at}.name: found {question.name!r}; expected small letters, digits and _")
    if question.name in RESERVED:
        raise InputError(f"{at}.name: {question.name!r} is the name of a column of its own; choose another")
    if not question.text.strip():
        raise InputError(f"{at}.text: empty; say what the annotator is to decide")
    folded = [c.strip().casefold() for c in question.choices]
    if len(folded) < 2 or len(set(folded)) < len(folded) or "" in folded:
        raise InputError(f"{at}.choices: found {list(question.choices)}; expected two or more different words")
    for choice in question.choices:
        if choice.startswith(_FORMULA_STARTS) or choice != " ".join(choice.split()):
            raise InputError(
                f"{at}.choices: {choice!r} begins like a formula or has odd blanks; a spreadsheet would change it"
            )
    for key in ("keep", "rescue"):
        value = getattr(question, key)
        if value is not None and value not in question.choices:
            raise InputError(f"{at}.{key}: {value!r} is none of the choices{nearest(value, question.choices)}")


def _sentence(at: str, error: Any) -> str:
    key = ".".join(str(p) for p in error["loc"])
    if error["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{at}.{key}: no such key{nearest(key, [f.name for f in fields(Question)])}"
    found = "" if error["type"] in ("missing", "missing_argument") else f"found {error['input']!r}: "
    return f"{at}.{key}: {found}{error['msg'][0].lower()}{error['msg'][1:]}"

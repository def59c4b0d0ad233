"""Label Studio: tasks and a labelling interface for it, and its exports, JSON and JSON-MIN.

Formats: labelstud.io/guide/task_format and /guide/export, /tags/choices and /tags/text. In JSON-MIN an item's data and
its answers stand beside each other, and `id` is Label Studio's own: so an item is called `item`, and questions may not
take the names of the data (questions.RESERVED).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from corpusmill.clean.annotation.label_table import Answer
from corpusmill.clean.annotation.questions import Question
from corpusmill.errors import InputError

_OBJECT = "page"
_SEVERAL = " + "


def interface(questions: Sequence[Question], show_reason: bool = False) -> str:
    """The labelling interface (project settings, Labeling Interface, Code)."""
    lines = [
        "<View>",
        '  <Header value="$title" size="3"/>',
        '  <Header value="$url" size="5"/>',
        '  <Header value="$language" size="5"/>',
        *(['  <Header value="$reason" size="5"/>'] if show_reason else []),
        f'  <Text name="{_OBJECT}" value="$text" valueType="text"/>',
    ]
    for question in questions:
        lines += [
            f'  <Header value={_quoted(question.text)} size="4"/>',
            f'  <Choices name="{question.name}" toName="{_OBJECT}" choice="single-radio" showInline="true">',
            *(f"    <Choice value={_quoted(choice)}/>" for choice in question.choices),
            "  </Choices>",
        ]
    return "\n".join([*lines, "</View>"]) + "\n"


def tasks(items: Iterable[Mapping[str, str]], show_reason: bool = False) -> list[dict[str, Any]]:
    """Tasks to import (project, Import)."""
    shown = ("item", "text", "url", "title", "language", *(("reason",) if show_reason else ()))
    return [{"data": {c: item[c] for c in shown}} for item in items]


def read_export(data: bytes, name: str, questions: Sequence[Question]) -> list[Answer]:
    """The answers in an export, JSON or JSON-MIN. Skipped tasks and other controls' results are left out."""
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except (UnicodeDecodeError, ValueError) as e:
        raise InputError(f"{name}: not JSON ({e}); export the project from Label Studio as JSON or JSON-MIN") from e
    if not isinstance(found, list) or not found or not all(isinstance(task, dict) for task in found):
        raise InputError(f"{name}: expected a list of tasks, as Label Studio exports as JSON or JSON-MIN")
    answers: list[Answer] = []
    for i, task in enumerate(found):
        where = f"{name}, task {task.get('id', i)}"
        if "annotations" in task:
            answers += _of_task(task, where, questions)
        elif "item" in task:
            answers += _of_minimal(task, where, questions)
        else:
            raise InputError(
                f"{where}: neither annotations nor an item in it, but {', '.join(sorted(task)[:8])}; "
                "was this project made from tasks of `annotate export`?"
            )
    return answers


def _of_task(task: Mapping[str, Any], where: str, questions: Sequence[Question]) -> list[Answer]:
    data = task.get("data")
    item = str(data.get("item", "")) if isinstance(data, dict) else ""
    answers = []
    for annotation in task["annotations"]:
        if not isinstance(annotation, dict):
            raise InputError(f"{where}: it names its annotations without their content; export them whole")
        if annotation.get("was_cancelled"):
            continue
        person = _person(annotation.get("completed_by"), where)
        given: dict[str, list[str]] = {}
        for result in annotation.get("result") or []:
            value = result.get("value") or {}
            if result.get("type") == "choices" and isinstance(value.get("choices"), list):
                given.setdefault(result.get("from_name"), []).extend(map(str, value["choices"]))
        answers += [Answer(item, person, q.name, _SEVERAL.join(given.get(q.name, [])), where) for q in questions]
    return answers


def _of_minimal(task: Mapping[str, Any], where: str, questions: Sequence[Question]) -> list[Answer]:
    """One annotation: a single choice is a string, several are {"choices": [...]}, an unanswered question is absent."""
    person = _person(task.get("annotator"), where)
    answers = []
    for question in questions:
        value = task.get(question.name, "")
        chosen = value.get("choices", []) if isinstance(value, dict) else value
        text = _SEVERAL.join(map(str, chosen)) if isinstance(chosen, list) else str(chosen)
        answers.append(Answer(str(task["item"]), person, question.name, text, where))
    return answers


def _person(value: Any, where: str) -> str:
    """The user: a number, an e-mail address, or the details that Enterprise gives."""
    if isinstance(value, dict):
        value = value.get("email") or value.get("id")
    if value is None or value == "":
        raise InputError(
            f"{where}: it does not say who labelled it; export again, without the option that removes user details"
        )
    return str(value)


def _quoted(value: str) -> str:
    # a dollar sign begins the name of a task's field
    return quoteattr(value.replace("$", "＄"))

"""The folder of a sample to label: what it holds, how it is made, and how it is read when labels come back.

LABELS/design.json             settings, questions, strata with their sizes: what estimates need
LABELS/items.parquet           the drawn pages with their whole text, stratum and weight; not for annotators
LABELS/instructions.md         what to do, for annotators
LABELS/sheets/NAME.csv         one sheet for each annotator (labels.csv where none is named)
LABELS/label-studio/           config.xml and tasks
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.clean.annotation.label_studio import interface, tasks
from corpusmill.clean.annotation.questions import Question, as_tables, parse_questions
from corpusmill.clean.annotation.sample_draw import Draw, Drawn, deal, draw
from corpusmill.clean.annotation.sample_settings import SampleSettings, checked
from corpusmill.clean.annotation.sheets import sheet
from corpusmill.errors import InputError
from corpusmill.parquet_parts import read_part
from corpusmill.schemas import FORMAT_VERSION, VERSION_KEY, check_version
from corpusmill.storage import Folder
from corpusmill.studio.page_facts import rows_at

DESIGN, ITEMS = "design.json", "items.parquet"
ITEM_SCHEMA = pa.schema(
    [
        ("item", pa.string()),  # what sheets and tasks call it: says nothing about the page's fate
        ("id", pa.string()),
        ("url", pa.string()),
        ("host", pa.string()),
        ("title", pa.string()),
        ("language", pa.string()),
        ("fate", pa.string()),  # kept | dropped
        ("reason", pa.string()),  # empty where kept
        ("stratum", pa.string()),
        ("weight", pa.float64()),  # pages of the corpus it stands for
        ("address", pa.int64()),
        ("annotators", pa.list_(pa.string())),
        ("text", pa.large_string()),
    ],
    metadata={VERSION_KEY: str(FORMAT_VERSION).encode()},
)
_COLUMNS = ("id", "url", "host", "title", "language", "text")


@dataclass(frozen=True, slots=True)
class Labels:
    """A labels folder, read again."""

    folder: Folder
    design: dict[str, Any]
    questions: tuple[Question, ...]
    items: list[dict[str, Any]]


def export(run: Folder, output: Folder, settings: SampleSettings, questions: Sequence[Question]) -> Labels:
    """Draw a sample of `run` and write the folder. Never writes over one that is there: people may be labelling it."""
    if output.exists(DESIGN):
        raise InputError(f"{output.url} holds a sample already, and labels belong to one sample. Give another --output")
    drawn = draw(run, checked(settings))
    items = _items(run, drawn, settings)
    assert len({item["item"] for item in items}) == len(items), "two items have one name"
    design = _design(run, drawn, settings, questions)
    shown = [_shown(item, settings) for item in items]
    with output.writing(ITEMS) as out:
        pq.write_table(pa.Table.from_pylist(items, ITEM_SCHEMA), out.path, compression="zstd")
    output.write_bytes("instructions.md", _instructions(questions, settings).encode())
    for name, mine in _by_annotator(shown, items, settings.annotators).items():
        output.write_bytes(f"sheets/{name}.csv", sheet(mine, questions, settings.show_reason))
    output.write_bytes("label-studio/config.xml", interface(questions, settings.show_reason).encode())
    split = _by_annotator(shown, items, settings.annotators) if _dealt(items, settings) else {"tasks": shown}
    for name, mine in split.items():
        file = "tasks" if name == "tasks" else f"tasks-{name}"
        output.write_json(f"label-studio/{file}.json", tasks(mine, settings.show_reason))
    output.write_json(DESIGN, design)  # last: the folder is whole exactly when this stands
    return Labels(output, design, tuple(questions), items)


def read_labels(folder: Folder) -> Labels:
    """A folder that `export` wrote."""
    if not folder.exists(DESIGN):
        raise InputError(f"{folder.url} is no labels folder: it has no {DESIGN}. Make one with `annotate export`")
    design = folder.read_json(DESIGN)
    check_version(design.get("format"), f"{folder.url}/{DESIGN}")
    questions = parse_questions(design["questions"], f"{folder.url}/{DESIGN}")
    items = [row for batch in read_part(folder, ITEMS, ITEM_SCHEMA) for row in batch.to_pylist()]
    return Labels(folder, design, questions, items)


def _items(run: Folder, drawn: Draw, settings: SampleSettings) -> list[dict[str, Any]]:
    """Rows of ITEM_SCHEMA, in the order in which they are shown."""
    found = {
        kind: rows_at(run, [i.address for i in drawn.items if i.kind == kind], _COLUMNS, kind)
        for kind in ("documents", "dropped")
    }
    dealt = deal(len(drawn.items), settings)
    return [_item(one, found[one.kind][one.address], people) for one, people in zip(drawn.items, dealt, strict=True)]


def _item(drawn: Drawn, row: Mapping[str, Any], people: tuple[str, ...]) -> dict[str, Any]:
    stratum = drawn.stratum
    return {
        **row,
        "item": _name(drawn, row),
        "fate": stratum.fate,
        "reason": stratum.reason,
        "stratum": str(stratum),
        "weight": drawn.weight,
        "address": drawn.address,
        "annotators": list(people),
    }


def _name(drawn: Drawn, row: Mapping[str, Any]) -> str:
    """A name made of what the item is, so that a sheet of another sample is noticed.

    Letters only: a spreadsheet takes 0017 for 17, and 12e4 for 120,000.
    """
    said = f"{drawn.kind}\0{drawn.address}\0{row['id']}\0{row['text']}"
    number = int.from_bytes(hashlib.sha256(said.encode()).digest()[:8], "big")
    letters = "bcdfghjkmnpqrstvwxz"  # no vowels, no words
    return "".join(letters[number // len(letters) ** i % len(letters)] for i in range(12))


def _shown(item: Mapping[str, Any], settings: SampleSettings) -> dict[str, str]:
    """What an annotator sees of an item."""
    from corpusmill.studio.plain_text import label, plain

    return {
        "item": item["item"],
        "url": plain(label(item["url"])),
        "title": plain(label(item["title"])),
        "language": item["language"] or "",
        "reason": item["reason"] or "kept",
        "text": plain(shortened(item["text"] or "", settings.max_chars)),
    }


def shortened(text: str, max_chars: int) -> str:
    """Three quarters of `max_chars` from the beginning and the rest from the end, with what is left out counted.

    The end is shown because boilerplate, comments and word salad gather there.
    """
    if len(text) <= max_chars:
        return text
    head = max_chars * 3 // 4
    tail = max_chars - head
    return f"{text[:head]}\n\n[… {len(text) - max_chars:,} characters left out …]\n\n{text[-tail:]}"


def _by_annotator(
    shown: Sequence[dict[str, str]], items: Sequence[Mapping[str, Any]], people: Sequence[str]
) -> dict[str, list[dict[str, str]]]:
    if not people:
        return {"labels": list(shown)}
    return {n: [s for s, item in zip(shown, items, strict=True) if n in item["annotators"]] for n in people}


def _dealt(items: Sequence[Mapping[str, Any]], settings: SampleSettings) -> bool:
    """Whether annotators get different items."""
    return any(len(item["annotators"]) != len(settings.annotators) for item in items)


def _design(run: Folder, drawn: Draw, settings: SampleSettings, questions: Sequence[Question]) -> dict[str, Any]:
    recipe = run.read_json("recipe.json")["recipe"] if run.exists("recipe.json") else {}
    return {
        "format": FORMAT_VERSION,
        "run": recipe.get("name", "corpus"),
        "clean": run.read_json("clean/manifest.json")["settings"],
        "settings": asdict(settings),
        "questions": as_tables(questions),
        "strata": drawn.strata,
        "no_text": drawn.no_text,
        "removed": drawn.removed,
        "items": len(drawn.items),
    }


def _instructions(questions: Sequence[Question], settings: SampleSettings) -> str:
    asked = "\n".join(f"- **{q.name}**: {q.text} Answer {' or '.join(f'`{c}`' for c in q.choices)}." for q in questions)
    return (
        "# How to label\n\nEach row of your sheet, or each task, is the text of one web page. Texts of more than "
        f"{settings.max_chars:,} characters are shown by their beginning and their end. Read, then answer:\n\n{asked}"
        "\n\nDecide alone: how far annotators agree is measured, and talking first would spoil that. Leave a cell "
        "empty if you cannot tell. Do not change the column `item`. Links are for orientation; judge the text that is "
        "here. Texts are shown as found, and some will be unpleasant.\n"
    )

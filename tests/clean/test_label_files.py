"""Sheets and exports: what a spreadsheet or Label Studio does to labels is undone, what is broken is said."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.clean.annotation.label_studio import interface, read_export, tasks
from corpusmill.clean.annotation.label_table import tabulate
from corpusmill.clean.annotation.labels_folder import shortened
from corpusmill.clean.annotation.questions import QUESTIONS, RESERVED, load_questions, parse_questions
from corpusmill.clean.annotation.sheets import harmless, read_sheet, sheet, table
from corpusmill.errors import InputError

QUALITY, ADULT, LANGUAGE = QUESTIONS
ITEMS = ("bcd", "fgh", "jkm")
SHEET = "item,quality,adult\nbcd,good,no\nfgh,bad,no\njkm,bad,yes\n"


def labels(text: str | bytes, name: str = "anna") -> dict[str, list[int]]:
    """Question to the labels of ITEMS."""
    data = text.encode() if isinstance(text, str) else text
    found = tabulate(read_sheet(data, f"{name}.csv", name, QUESTIONS), ITEMS, QUESTIONS)
    return {q: r[:, 0].tolist() for q, r in found.ratings.items()}


def shown(**more: str) -> dict[str, str]:
    return {"item": "bcd", "url": "u", "title": "t", "language": "en", "reason": "kept", "text": "x"} | more


@pytest.mark.parametrize("cell", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", " =1", "\n=1", "＝1"])
def test_no_cell_is_run_as_a_formula(cell: str):
    made = sheet([shown(text=cell, title=cell, url=cell)], QUESTIONS)
    (read,) = csv.DictReader(io.StringIO(made.decode("utf-8-sig"), newline=""))
    assert [read[c] for c in ("text", "title", "url")] == [f"'{cell}"] * 3


@given(st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00"), max_size=40))
def test_a_cell_comes_back_as_it_was_or_with_an_apostrophe(cell: str):
    (read,) = csv.reader(io.StringIO(table([[cell, "end"]]).decode("utf-8-sig"), newline=""))
    assert read == [harmless(cell), "end"]
    assert not harmless(cell).lstrip().startswith(("=", "+", "-", "@"))


def test_the_reason_is_hidden_unless_asked_for():
    assert b"kept" not in sheet([shown()], QUESTIONS)
    assert b"kept" in sheet([shown()], QUESTIONS, show_reason=True)
    assert "reason" not in tasks([shown()])[0]["data"]
    assert tasks([shown()], show_reason=True)[0]["data"]["reason"] == "kept"
    assert "$reason" not in interface(QUESTIONS)


@pytest.mark.parametrize(
    "data",
    [
        SHEET.encode("utf-8-sig"),
        SHEET.replace(",", ";").encode("utf-8-sig"),  # Excel where the comma is the decimal mark
        SHEET.replace(",", "\t").encode("utf-16"),  # Excel's "Unicode text"
        ("sep=;\n" + SHEET.replace(",", ";")).encode(),
        SHEET.replace("\n", "\r\n").encode(),
        SHEET.replace("good", " GOOD ").replace("no", "No").encode(),
        SHEET.replace("item", "Item").replace("quality", "Quality").encode(),
        (SHEET + "\n,,\n").encode(),
        SHEET.replace("item,", "item,comment,").replace("bcd,", "bcd,caf\xe9,").replace("fgh,", "fgh,,")
        .replace("jkm,", "jkm,,").encode("cp1252"),
    ],
)  # fmt: skip
def test_sheets_of_any_spreadsheet_read_alike(data: bytes):
    assert labels(data) == {"quality": [0, 1, 1], "adult": [0, 0, 1], "language_right": [-1, -1, -1]}


def test_a_cell_may_hold_a_page_and_other_readers_keep_their_limit():
    before = csv.field_size_limit()
    page = "word " * (before // 4)
    data = f"item,text,quality\nbcd,{page},good\n".encode()
    assert [a.value for a in read_sheet(data, "a.csv", "a", QUESTIONS)] == ["good"]
    assert csv.field_size_limit() == before


def test_one_sheet_may_hold_several_annotators():
    data = b"item,annotator,quality\nbcd,anna,good\nbcd,ben,bad\n"
    found = tabulate(read_sheet(data, "all.csv", "all", QUESTIONS), ITEMS, QUESTIONS)
    assert found.annotators == ("anna", "ben")
    assert found.ratings["quality"][0].tolist() == [0, 1]


def test_numbers_and_truth_survive_a_spreadsheet():
    questions = parse_questions([{"name": "score", "text": "?", "choices": ["1", "2", "true"]}], "x")
    data = b"item,score\nbcd,1.0\nfgh,2\njkm,TRUE\n"
    found = tabulate(read_sheet(data, "a.csv", "a", questions), ITEMS, questions)
    assert found.ratings["score"][:, 0].tolist() == [0, 1, 2]


def test_what_does_not_count_is_counted_with_why():
    data = "item,quality\nbcd,good\nbcd,good\nfgh,good\nfgh,bad\nfgh,bad\njkm,\nxyz,good\njkm,excellent\n"  #
    found = tabulate(read_sheet(data.encode(), "anna.csv", "anna", QUESTIONS), ITEMS, QUESTIONS)
    assert found.skipped.counts == {
        "repeated": 1,
        "contradiction": 3,
        "empty": 1,
        "unknown_item": 1,
        "not_a_choice": 1,
    }
    assert found.ratings["quality"][:, 0].tolist() == [0, -1, -1]
    assert found.skipped.examples["not_a_choice"] == ["anna.csv, row 9: quality 'excellent'"]
    assert found.skipped.examples["unknown_item"] == ["anna.csv, row 8: 'xyz'"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"name,quality\nbcd,good\n", "no column named 'item' in its first row"),
        (b"item,label\nbcd,good\n", "no question among its columns .*expected quality, adult, language_right"),
        (b"item,qualty,adult\nbcd,good,no\n", "no column 'quality', but one named 'qualty'; rename or remove it"),
        (b"item,quality,quality\nbcd,good,bad\n", "two columns are named 'quality'"),
        (b"item,annotator,quality\nbcd,,good\n", "row 2: the column annotator is empty"),
        (b"item,quality\nxyz,good\n", "none of the 1 answers is for an item of this sample"),
        (b"item,quality\nbcd,great\n", "none of the 1 answers is one of the choices .*quality: good, bad"),
        (b"item,quality\nbcd,\n", "no label in these files: 1 cells, all empty"),
        (b"PK\x03\x04 a workbook", "this is a workbook, not CSV"),
    ],
)
def test_a_sheet_that_cannot_be_read_is_one_sentence(data: bytes, said: str):
    with pytest.raises(InputError, match=said):
        labels(data)


def result(question: str, *chosen: str) -> dict[str, Any]:
    """As Label Studio 1.23 writes it."""
    return {"from_name": question, "to_name": "page", "type": "choices", "value": {"choices": list(chosen)}}


def annotation(who: Any, *results: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": 1, "completed_by": who, "result": list(results), "was_cancelled": False, "lead_time": 3.1} | more


EXPORT = [
    {
        "id": 61,
        "data": {"item": "bcd", "text": "x", "url": ""},
        "annotations": [
            annotation(1, result("quality", "good"), result("adult", "no")),
            annotation({"id": 2, "email": "ben@example.org"}, result("quality", "bad"), result("adult", "no")),
        ],
        "predictions": [{"result": [result("quality", "bad")]}],
    },
    {"id": 62, "data": {"item": "fgh"}, "annotations": [annotation(1, result("quality", "bad"), was_cancelled=True)]},
    {"id": 63, "data": {"item": "jkm"}, "annotations": [annotation(1, result("quality", "good", "bad"))]},
]
"""Three tasks of an export: two annotators, one task skipped, one with two choices where one was asked for."""

MINIMAL = [
    {"item": "bcd", "text": "x", "id": 61, "quality": "good", "adult": "no", "annotator": 1, "annotation_id": 1},
    {"item": "bcd", "id": 61, "quality": "bad", "adult": "no", "annotator": "ben@example.org", "annotation_id": 2},
    {"item": "jkm", "id": 63, "quality": {"choices": ["good", "bad"]}, "annotator": 1, "annotation_id": 3},
]
"""The same as JSON-MIN."""


@pytest.mark.parametrize("export", [EXPORT, MINIMAL])
def test_both_exports_of_label_studio_give_the_same_labels(export: list[dict[str, Any]]):
    found = tabulate(read_export(json.dumps(export).encode(), "e.json", QUESTIONS), ITEMS, QUESTIONS)
    assert found.annotators == ("1", "ben@example.org")
    assert found.ratings["quality"].tolist() == [[0, 1], [-1, -1], [-1, -1]]
    assert found.ratings["adult"].tolist() == [[0, 0], [-1, -1], [-1, -1]]
    assert found.skipped.examples["not_a_choice"] == ["e.json, task 63: quality 'good + bad'"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{}", "expected a list of tasks"),
        (b"[1]", "expected a list of tasks"),
        (b"[{,", "not JSON"),
        (b'[{"id": 4, "image": "x"}]', "task 4: neither annotations nor an item in it, but id, image"),
        (b'[{"id": 4, "annotations": [7]}]', "names its annotations without their content"),
        (b'[{"id": 4, "annotations": [{"result": []}]}]', "does not say who labelled it"),
    ],
)
def test_an_export_that_cannot_be_read_is_one_sentence(data: bytes, said: str):
    with pytest.raises(InputError, match=said):
        read_export(data, "e.json", QUESTIONS)


def test_the_interface_names_every_question_choice_and_field():
    odd = parse_questions([{"name": "fee", "text": 'Costs <$5> & "more"?', "choices": ["a & b", "<c>"]}], "x")
    root = ET.fromstring(interface(odd))
    (group,) = root.iter("Choices")
    assert (group.get("name"), group.get("toName")) == ("fee", root.find("Text").get("name"))
    assert [c.get("value") for c in group] == ["a & b", "<c>"]
    fields = {h.get("value")[1:] for h in (*root.iter("Header"), *root.iter("Text")) if h.get("value")[0] == "$"}
    assert fields <= tasks([shown()])[0]["data"].keys()


def test_no_question_takes_the_name_of_a_column_or_of_an_exports_key():
    assert set(tasks([shown()], show_reason=True)[0]["data"]) <= RESERVED
    assert set(MINIMAL[0]) - {"quality", "adult"} <= RESERVED


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[[question]]\nname = 'a'", "question: no such key; did you mean 'questions'"),
        ("", "no question in it"),
        ("questions = 3", "no question in it"),
        ("[[questions]]\nname = 'a'", r"questions\[0\].*text.*"),
        ("[[questions]]\nname='a'\ntext='?'\nchoice=['x','y']", r"questions\[0\]\.choice: no such key; .*'choices'"),
        ("[[questions]]\nname='url'\ntext='?'\nchoices=['x','y']", "'url' is the name of a column"),
        ("[[questions]]\nname='A b'\ntext='?'\nchoices=['x','y']", "expected small letters"),
        ("[[questions]]\nname='a'\ntext='?'\nchoices=['x']", "expected two or more different"),
        ("[[questions]]\nname='a'\ntext='?'\nchoices=['x','X ']", "expected two or more different"),
        ("[[questions]]\nname='a'\ntext='?'\nchoices=['=x','y']", "begins like a formula"),
        ("[[questions]]\nname='a'\ntext='?'\nchoices=['x','y']\nkeep='z'", "keep: 'z' is none of the choices"),
        ("[[questions]]\nname='a'\ntext='?'\nchoices=['x','y']\n" * 2, "two questions are named 'a'"),
        ("[[questions]]\nname=2024-01-01\ntext='?'\nchoices=['x','y']", "expected small letters"),
    ],
)
def test_a_question_that_cannot_be_asked_is_one_sentence(toml: str, said: str, tmp_path: Any):
    (tmp_path / "q.toml").write_text(toml)
    with pytest.raises(InputError, match=said):
        load_questions(tmp_path / "q.toml")


def test_without_a_file_three_questions_are_asked():
    assert [q.name for q in load_questions(None)] == ["quality", "adult", "language_right"]


def test_quality_does_not_judge_drops_for_the_language_and_language_judges_no_others():
    assert [QUALITY.judges(r) for r in ("too_few_words", "language", "language_unsure")] == [True, False, False]
    assert [LANGUAGE.judges(r) for r in ("too_few_words", "language", "screened_language")] == [False, True, True]
    assert not ADULT.judges("too_few_words")


def test_a_long_text_is_shown_by_its_beginning_and_its_end():
    text = "".join(chr(ord("a") + i % 26) for i in range(1000))
    assert shortened(text, 1000) == text
    assert shortened(text, 400) == f"{text[:300]}\n\n[… 600 characters left out …]\n\n{text[-100:]}"

"""CSV sheets for annotators, and how they come back: from Excel, LibreOffice, Google or Label Studio's CSV export.

Sheets are UTF-8 with a byte order mark (Excel takes them for the local code page otherwise), with commas and CRLF.
A cell that a spreadsheet would run as a formula gets an apostrophe in front (OWASP, "CSV Injection").
"""

from __future__ import annotations

import codecs
import csv
import difflib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from corpusmill.clean.annotation.label_table import Answer
from corpusmill.clean.annotation.questions import RESERVED, Question
from corpusmill.errors import InputError

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "|", "%")
_DELIMITERS = (",", ";", "\t", "|")
_MAX_CELL_CHARS = 32_767
"""Of Excel: what is longer would be spread over the next rows."""

_MAX_READ_CHARS = 1 << 27


def sheet(items: Iterable[Mapping[str, str]], questions: Sequence[Question], show_reason: bool = False) -> bytes:
    """A sheet: what is shown of each item, and an empty column for each question."""
    shown = ["item", "language", *(["reason"] if show_reason else []), "url", "title", "text"]
    rows = [[*(item[c] for c in shown), *("" for _ in questions), ""] for item in items]
    return table([[*shown, *(q.name for q in questions), "comment"], *rows])


def table(rows: Iterable[Sequence[str]]) -> bytes:
    """Rows as a file that a spreadsheet opens rightly and runs nothing of."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows([[harmless(c) for c in row] for row in rows])
    return codecs.BOM_UTF8 + out.getvalue().encode()


def harmless(cell: str) -> str:
    """The cell, in front of it an apostrophe if a spreadsheet would take it for a formula."""
    cell = cell[: _MAX_CELL_CHARS - 1]
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA_STARTS) else cell


def read_sheet(data: bytes, name: str, annotator: str, questions: Sequence[Question]) -> list[Answer]:
    """The answers in a sheet, empty cells included. Whose they are a column `annotator` says, else `annotator`."""
    rows = _rows(_text(data, name), name)
    columns = [c.strip().casefold() for c in rows[0]]
    asked = {q.name: columns.index(q.name) for q in questions if q.name in columns}
    others = [c for c in columns if c not in asked and c not in RESERVED]
    for question in questions:  # a renamed column would lose its labels without a word
        if question.name not in asked and (near := difflib.get_close_matches(question.name, others, n=1, cutoff=0.75)):
            raise InputError(f"{name}: no column {question.name!r}, but one named {near[0]!r}; rename or remove it")
    if not asked:
        raise InputError(
            f"{name}: no question among its columns ({', '.join(rows[0][:12])}); "
            f"expected {', '.join(q.name for q in questions)}"
        )
    for column in ("item", "annotator", *asked):
        if columns.count(column) > 1:
            raise InputError(f"{name}: two columns are named {column!r}; remove one, so that it is clear which counts")
    item, whose = columns.index("item"), columns.index("annotator") if "annotator" in columns else None
    answers = []
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        cells = [*row, *[""] * (len(columns) - len(row))]
        person = annotator if whose is None else cells[whose].strip()
        if not person:
            raise InputError(f"{name}, row {number}: the column annotator is empty; say whose labels these are")
        where = f"{name}, row {number}"
        answers += [Answer(cells[item].strip(), person, q, cells[c].strip(), where) for q, c in asked.items()]
    return answers


def _text(data: bytes, name: str) -> str:
    """Decoded: UTF-8, UTF-16 by its mark (Excel's "Unicode text"), else Windows' code page of the West."""
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise InputError(f"{name}: this is a workbook, not CSV; in the spreadsheet choose: save as CSV UTF-8")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _rows(text: str, name: str) -> list[list[str]]:
    """The cells, split by whichever delimiter makes a column `item` appear in the first row."""
    first, _, rest = text.partition("\n")
    if first.strip().casefold().startswith("sep="):  # Excel's own line that names the delimiter
        text = rest
    for delimiter in _DELIMITERS:
        try:
            with _long_cells():
                rows = list(csv.reader(io.StringIO(text.replace("\x00", ""), newline=""), delimiter=delimiter))
        except csv.Error as e:
            raise InputError(f"{name}: not readable as CSV: {e}") from e
        if rows and "item" in [c.strip().casefold() for c in rows[0]]:
            return rows
    raise InputError(
        f"{name}: no column named 'item' in its first row, which begins {text[:60]!r}; it says which page a label is "
        "for. Give a sheet made by `annotate export`, or a CSV with the columns item, annotator and the questions"
    )


@contextmanager
def _long_cells() -> Iterator[None]:
    """A cell may hold a whole page. The limit is the process's, and other readers count on theirs."""
    before = csv.field_size_limit(_MAX_READ_CHARS)
    try:
        yield
    finally:
        csv.field_size_limit(before)

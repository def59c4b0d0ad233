"""Editors change what they say and no more; the flow stores their changes and drops what they tell it to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import ftfy
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.clean import text_measures
from corpusmill.clean.components import make_editors
from corpusmill.clean.document_flow import edit
from corpusmill.clean.editors import EDITORS, C4Lines, Citations, Edit, Ftfy, PiiMask, RefinedWebLines, Whitespace
from corpusmill.errors import InputError
from corpusmill.recipe import Component

LINES = st.lists(
    st.text(st.sampled_from("ab. !?'\"…[1]\t\u2028\r"), max_size=12)
    | st.sampled_from(
        [
            "We use cookies on this site.", "Turn on JavaScript to see this.", "Read our Privacy Policy.", "x" * 1001,
            "It was so.[1]", "Who said that?[citation needed]", "History[edit] of the mill", "the end of it ...", "",
            "SHOUTED LINES ARE GONE", "12345", "3 likes", "1,234 followers!", "one", "3 items in cart",
            "Go on. Read more...",
            "Sign-in to go on", "A plain line of some words, as most lines are.",
        ]
    ),
    max_size=8,
).map("\n".join)  # fmt: skip


@given(LINES, st.booleans())
@settings(max_examples=300, deadline=None)
def test_c4_lines_leave_the_text_that_datatroves_filter_leaves(text: str, terminal: bool):
    from datatrove.data import Document
    from datatrove.pipeline.filters import C4QualityFilter

    theirs = C4QualityFilter(
        filter_no_terminal_punct=terminal, min_num_sentences=-1, filter_lorem_ipsum=False, filter_curly_bracket=False
    )
    document = Document(text, "x")
    assert theirs.filter(document) is True
    assert C4Lines(terminal_punctuation=terminal).edit(text).text == document.text


def test_lines_of_scripts_without_blanks_are_not_taken_for_one_word():
    kept = "水车慢慢地转动，磨坊主把玉米搬到河边。" * 60 + "\nหมู่บ้านของเราอยู่ริมแม่น้ำ\n穀物を粉にします。"
    for editor in (C4Lines(), RefinedWebLines()):
        assert editor.edit(kept + "\n磨坊") == Edit(kept, {"too_few_words": 1})
    assert C4Lines().edit(kept + "手机" + "x" * 1001).changes == {"too_long_word": 1}


def test_c4_lines_say_why_each_line_went():
    text = "\n".join(
        [
            "We use cookies here today.",
            "too short",
            "",
            "Needs JavaScript to run.",
            "w " * 3 + "x" * 1001,
            "It is so.[2]",
        ]
    )
    found = C4Lines().edit(text)
    assert found == (
        "It is so.",
        {"policy": 1, "too_few_words": 1, "javascript": 1, "too_long_word": 1, "citations": 1},
        None,
    )


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("THIS IS SHOUTED at you", "uppercase"),
        ("THIS is half", None),
        ("20260101", "digits"),
        ("2026 0101", None),
        ("3 likes", "counter"),
        ("· 1.2K followers ·", "counter"),
        ("3 likes were given", None),
        ("word", "too_few_words"),
        ("3 items in cart", "phrase"),
        ("Read more...", "phrase"),
        ("Sign-in now please", "phrase"),
        ("In all there were many more than those nine or ten items in cart", None),
    ],
)
def test_a_line_goes_by_the_rules_of_refinedweb(line: str, kind: str | None):
    around = "The miller carries the corn to the wheel and waits for the flour to fall." + "\nAnd so on it goes." * 30
    found = RefinedWebLines().edit(around + "\n" + line)
    assert found.changes == ({} if kind is None else {kind: 1})
    assert found.drop_reason is None
    assert found.text.endswith(line) == (kind is None)


def test_a_page_that_loses_more_than_a_twentieth_of_its_words_is_dropped():
    line = "nineteen words " * 9 + "here\n"
    assert RefinedWebLines().edit(line + "LOUD").drop_reason is None
    assert RefinedWebLines().edit(line + "LOUD LOUD").drop_reason == "too_many_words_removed"
    assert RefinedWebLines(max_removed_word_ratio=0.2).edit(line + "LOUD LOUD").text == line.strip()
    assert RefinedWebLines().edit("a b\n\n\n\nc d").text == "a b\n\nc d"


def test_citation_marks_go_and_nothing_around_them():
    assert Citations().edit("So[1] it[edit] is [citation needed].[note 3]") == (
        "So it is .[note 3]",
        {"marks": 3},
        None,
    )
    assert Citations().edit("a [plain] one").text == "a [plain] one"


BROKEN = [
    "&amp;",
    "&lt;b&gt;",
    "<i>",
    "schÃ¶n",
    "â€œquotedâ€\x9d",
    "\x1b[31mred",
    "\r\n",
    "\r",
    "e\u0301",
    "ﬁne",
    "Ａ",
    "“it”",
]


@given(
    st.lists(st.sampled_from([*BROKEN, "\n", "\n", "a plain line", " ", "\ud83d", "\x85"]), max_size=20).map("".join)
)
@settings(max_examples=400, deadline=None)
def test_mending_line_by_line_is_ftfys_mending_of_the_whole(text: str):
    assert Ftfy().edit(text).text == ftfy.fix_text(text, uncurl_quotes=False, normalization="NFC")


@pytest.mark.parametrize("uncurl", [False, True])
def test_marks_of_typeset_english_are_left_as_ftfy_leaves_them(uncurl: bool):
    lines = ["".join(marks) for marks in product("‘’“”–—… a", repeat=4)]
    assert [Ftfy(uncurl_quotes=uncurl).edit(line).text for line in lines] == [
        ftfy.fix_text(line, uncurl_quotes=uncurl, normalization="NFC") for line in lines
    ]


def test_a_line_beyond_ftfys_own_limit_is_cut_as_ftfy_cuts_it():
    text = "&amp;\n" + "&amp; " * 200_000 + "<b>\n&amp;"
    assert Ftfy().edit(text).text == ftfy.fix_text(text, uncurl_quotes=False, normalization="NFC")


@given(LINES, st.sampled_from(sorted(EDITORS)))
@settings(max_examples=200, deadline=None)
def test_an_editor_that_counts_no_change_made_none(text: str, name: str):
    editor = EDITORS[name]()
    found = editor.edit(text)
    if not found.changes and name in ("ftfy", "citations", "pii"):  # the others strip, too, and do not count it
        assert found.text == text


def batch_of_texts(*texts: str | None) -> pa.RecordBatch:
    reasons = ["no_text" if t is None else None for t in texts]
    return pa.RecordBatch.from_pydict(
        {
            "text": pa.array(texts, pa.large_string()),
            "drop_reason": pa.array(reasons, pa.string()),
            "drop_detail": pa.array(reasons, pa.string()),
            "drop_stage": pa.array(["clean" if r else None for r in reasons], pa.string()),
        }
    )


def test_the_flow_stores_changes_by_editor_and_kind_and_counts_them():
    editors = {"white": Whitespace(), "pii": PiiMask()}
    edited, edits = Counter(), Counter()
    [batch] = edit([batch_of_texts("a  b", None, "me@mill.org or you@mill.org")], editors, edited, edits)
    assert batch.column("text").to_pylist() == ["a b", None, "[EMAIL] or [EMAIL]"]
    assert batch.column("edits").to_pylist() == [[("white.lines", 1)], None, [("pii.email", 2)]]
    assert edited == {"white": 1, "pii": 1}
    assert edits == {"white.lines": 1, "pii.email": 2}


def test_the_flow_drops_what_an_editor_tells_it_to_and_what_is_left_empty_and_masks_both():
    editors = {"lines": RefinedWebLines(), "c4": C4Lines(), "pii": PiiMask(action="drop")}
    texts = ("SHOUT\nmail me@mill.org about the corn", "ok, so it is", "two words", "call me at me@mill.org please")
    [batch] = edit([batch_of_texts(*texts)], editors, Counter())
    reasons = zip(batch.column("drop_reason").to_pylist(), batch.column("drop_detail").to_pylist(), strict=True)
    assert list(reasons) == [
        ("too_many_words_removed", "lines"), (None, None), ("edited_away", "c4"), ("personal_data", "pii")
    ]  # fmt: skip
    assert batch.column("text").to_pylist() == [
        "mail [EMAIL] about the corn", "ok, so it is", "two words", "call me at [EMAIL] please"
    ]  # fmt: skip


@dataclass(frozen=True)
class Louder:
    """An editor of somebody else's."""

    marks: int = 1

    def edit(self, text: str) -> Edit:
        return Edit(text + "!" * self.marks, {"marks": self.marks})


def test_an_editor_may_be_any_class_on_the_path_and_has_a_name_of_its_own():
    [editor] = make_editors([Component(use=f"{__name__}:Louder", marks=2)]).values()
    assert editor.edit("so").text == "so!!"
    with pytest.raises(InputError, match=r"clean\.editors\[1\]: there is an editor named 'ftfy' already"):
        make_editors([Component(use="ftfy"), Component(use="ftfy")])
    with pytest.raises(InputError, match=r"collections:Counter is no editor: it has no method edit"):
        make_editors([Component(use="collections:Counter")])


def test_measures_describe_the_text_as_it_is_stored(web: Path, tmp_path: Path):
    import pyarrow.parquet as pq

    from corpusmill.mill import open_mill
    from corpusmill.recipe import load_recipe

    editors = 'clean.editors=[{use="ftfy"}, {use="c4_lines"}, {use="pii"}]'
    recipe = load_recipe("sample", [editors, "clean.dropped_text=all"])
    with open_mill(str(tmp_path / "run"), recipe, inputs=[str(web)], workers=1) as mill:
        totals = mill.run("clean")
    assert totals["edited"]["c4_lines"] > 0
    rows = [r for k in ("documents", "dropped") for r in pq.read_table(tmp_path / "run" / k).to_pylist() if r["text"]]
    assert [r["measures"] for r in rows] == text_measures.measure([r["text"] for r in rows]).to_pylist()
    stored = Counter()
    for row in rows:
        stored.update(dict(row["edits"]))
    assert dict(stored) == totals["edits"]

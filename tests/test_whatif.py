"""What `whatif` answers is what a rerun gives, row for row; what it cannot know it refuses by name."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.cli import app
from corpusmill.errors import DamagedError, InputError
from corpusmill.mill import open_mill
from corpusmill.recipe import load_recipe
from corpusmill.storage import Folder
from corpusmill.whatif import plan_change, reconsidered, what_if

THEIRS = "datatrove.pipeline.filters:RegexFilter"
RULES = (
    'clean.rules=[{use="gopher_quality", name="first", min_words=150, min_stop_words=0, min_alpha_word_ratio=0.7, '
    "languages={de={min_words=300}}}"
    f', {{use="{THEIRS}", name="theirs", regex_exp="ough"}}, {{use="gopher_quality", min_words=250, min_stop_words=0}}]'
)
CHANGE = "clean.rules.gopher_quality.min_words=350"
MADE_WITH = (
    RULES,
    "clean.language.wanted={en=0.3, de=0.35, fr=0.3}",
    "clean.extract.screen=false",
    "clean.extract.engine=resiliparse",
    "clean.dropped_text=none",
)


def clean(out: Path, web: Path, *overrides: str) -> Path:
    with open_mill(str(out), load_recipe("sample", overrides), inputs=[str(web)], workers=1) as mill:
        mill.run("clean")
    return out


def fates(run: Path) -> dict[str, str | None]:
    """Record id to drop reason, of a run as it is."""
    kept = dict.fromkeys(pq.read_table(run / "documents", columns=["id"])["id"].to_pylist())
    gone = pq.read_table(run / "dropped", columns=["id", "drop_reason"])
    return kept | dict(zip(gone["id"].to_pylist(), gone["drop_reason"].to_pylist(), strict=True))


def fates_if(run: Path, *overrides: str) -> dict[str, str | None]:
    folder = Folder(str(run))
    rows = pa.Table.from_batches(reconsidered(folder, plan_change(folder, overrides)))
    return dict(zip(rows["id"].to_pylist(), rows["after"].to_pylist(), strict=True))


@pytest.fixture(scope="module")
def run(web: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clean(tmp_path_factory.mktemp("whatif") / "run", web, *MADE_WITH)


@pytest.mark.parametrize(
    "changes",
    [
        ("clean.rules.gopher_quality.min_words=350",),
        ("clean.rules.gopher_quality.min_words=0", "clean.rules.gopher_quality.min_alpha_word_ratio=0.5"),
        ("clean.rules.first.languages.de.min_words=390",),
        ("clean.rules.first.min_words=160", "clean.rules.first.languages.fr.max_words=250"),
        ("clean.language.wanted.en=0.82",),
        ("clean.language.wanted={en=0.3}", 'clean.rules=[{use="gopher_quality"}]'),
        ("clean.language.wanted={}", 'clean.rules=[{use="gopher_quality", min_words=20, min_stop_words=0}]'),
        ("clean.rules=[]", "clean.language.wanted={en=0.0, de=0.0, es=0.1, fr=0.9}"),
    ],
    ids=["raise", "lower", "language", "new language", "surer", "one language", "all languages", "no rules"],
)
def test_the_answer_is_that_of_a_rerun_row_for_row(changes: tuple[str, ...], run: Path, web: Path, tmp_path: Path):
    before, after = fates(run), fates(clean(tmp_path / "run", web, *MADE_WITH, *changes))
    assert fates_if(run, *changes) == after
    answer = what_if(Folder(str(run)), changes)
    for when, found in (("before", before), ("after", after)):
        dropped = {reason: n[when] for reason, n in answer["dropped"].items() if n[when]}
        assert dropped == Counter(r for r in found.values() if r)
        assert answer["documents"][when] == len(found) - sum(dropped.values())
    moved = [(before[i], after[i]) for i in before if (before[i] is None) != (after[i] is None)]
    assert answer["newly_kept"]["by_reason"] == Counter(b for b, a in moved if a is None)
    assert answer["newly_dropped"]["by_reason"] == Counter(a for b, a in moved if b is None)
    assert moved, "the setting should change something"


def test_a_rule_that_reads_text_is_answered_where_the_run_asked_it_and_refused_elsewhere(run: Path):
    alone = f'clean.rules=[{{use="{THEIRS}", name="theirs", regex_exp="ough"}}]'
    with pytest.raises(InputError, match=r"the rule 'theirs' reads text .* the run never asked it about"):
        fates_if(run, alone)
    stricter = fates_if(run, "clean.rules.first.max_words=400")
    asked = [i for i, reason in fates(run).items() if reason == "RegexFilter"]
    assert {stricter[i] for i in asked} == {"RegexFilter", "too_many_words"}


def test_with_the_screen_on_scores_are_answered_exactly_and_languages_refused(web: Path, tmp_path: Path):
    fast = "clean.extract.engine=resiliparse"
    made = clean(tmp_path / "made", web, fast)
    changes = ("clean.rules.gopher_quality.min_words=200", "clean.language.wanted.en=0.8")
    assert fates_if(made, *changes) == fates(clean(tmp_path / "rerun", web, fast, *changes)) != fates(made)
    with pytest.raises(InputError, match=r"clean.language.wanted.de: the screen .* other languages than en"):
        what_if(Folder(str(made)), ["clean.language.wanted.de=0.3"])


@pytest.fixture(scope="module")
def with_files(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """A recipe with a score and two rules that read files, each of which says what it found."""
    texts = pq.read_table(run / "documents", columns=["text"], filters=[("language", "=", "en")])["text"].to_pylist()
    folder = tmp_path_factory.mktemp("files")
    (folder / "lists").mkdir()
    (folder / "lists/en").write_text("council\neditor\n")
    (folder / "words").mkdir()
    (folder / "words/en").write_text("price\n")
    (folder / "exam.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts[:3]))
    return (
        f'clean.scorers=[{{use="bad_words", name="hits", lists="{folder}/lists"}}]',
        'clean.rules=[{use="gopher_quality", min_words=150, min_stop_words=0}, {use="score", of="hits", max=4.0}, '
        f'{{use="bad_words", lists="{folder}/words", max=3}}, '
        f'{{use="decontaminate", sets={{exam={{path="{folder}/exam.jsonl"}}}}}}, {{use="lengths", min_words=200}}]',
        *MADE_WITH[1:],
    )


@pytest.fixture(scope="module")
def scored(web: Path, with_files: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clean(tmp_path_factory.mktemp("scored") / "run", web, *with_files)


@pytest.mark.parametrize(
    "change",
    [
        "clean.rules.gopher_quality.min_words=260",
        "clean.rules.score hits.max=2.0",
        "clean.rules.lengths.min_words=150",
        "clean.language.wanted.en=0.8",
    ],
)
def test_bounds_on_scores_are_tried_and_rules_that_read_files_say_what_they_said(
    change: str, scored: Path, web: Path, with_files: tuple[str, ...], tmp_path: Path
):
    before, after = fates(scored), fates(clean(tmp_path / "run", web, *with_files, change))
    assert {"hits_too_high", "bad_words", "contaminated", "too_few_words"} <= set(before.values())
    assert fates_if(scored, change) == after != before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("clean.rules.bad_words.max=2", "cannot answer for clean.rules.bad_words.max: the rule reads the text"),
        ("clean.rules.bad_words.mx=2", "clean.rules.bad_words.mx: no such setting; did you mean 'max'"),
        ("clean.rules.score hits.max=9.0", "the rule 'bad_words' reads text .* the run never asked it about"),
        ("clean.rules.gopher_quality.min_words=0", "the rule 'bad_words' reads text .* the run never asked it about"),
        ("clean.language.wanted.es=0.3", "the rule 'score hits' reads scores .* the run never asked it about"),
        ('clean.rules=[{use="score", of="hit", max=1.0}]', "no scorer is named 'hit'; did you mean 'hits'"),
        ("clean.scorers=[]", "cannot answer for clean.scorers: scorers read the text"),
    ],
)
def test_what_scores_and_files_cannot_answer_is_refused_by_name(change: str, said: str, scored: Path):
    with pytest.raises(InputError, match=said):
        what_if(Folder(str(scored)), [change])


def test_two_rules_that_give_one_reason_with_details_of_their_own_cannot_be_told_apart(scored: Path, tmp_path: Path):
    changed = tmp_path / "run"
    shutil.copytree(scored, changed)
    stored = json.loads((changed / "clean/settings.json").read_text())
    stored["settings"]["clean"]["rules"].append({**stored["settings"]["clean"]["rules"][2], "name": "again"})
    (changed / "clean/settings.json").write_text(json.dumps(stored))
    with pytest.raises(InputError, match="nothing stored says which rule dropped pages as bad_words"):
        what_if(Folder(str(changed)), ["clean.rules.lengths.min_words=150"])


def test_examples_name_pages_that_change_sides(run: Path):
    answer = what_if(Folder(str(run)), [CHANGE], examples=2)
    moved = answer["newly_dropped"]
    assert moved["by_reason"] == {"too_few_words": moved["rows"]}
    assert sum(moved["by_language"].values()) == moved["rows"] > 2
    assert len(moved["examples"]["too_few_words"]) == 2
    assert all(e["url"].startswith("http") for e in moved["examples"]["too_few_words"])
    assert answer["newly_kept"] == {"rows": 0, "by_reason": {}, "by_language": {}, "examples": {}}
    assert answer["settings"] == ["clean.rules.gopher_quality.min_words: 250 -> 350"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("clean.url.banned_words=['x']", "cannot answer for clean.url.banned_words: addresses are judged before"),
        ("clean.extract.engine=trafilatura", "cannot answer for clean.extract.engine: extraction makes the text"),
        ("clean.extract.screen=true", "cannot answer for clean.extract.screen"),
        ("clean.editors=[]", "cannot answer for clean.editors: editors change the text before"),
        ("clean.editors.ftfy.uncurl_quotes=true", "cannot answer for clean.editors.ftfy.uncurl_quotes"),
        ("clean.language.identifier=lid.176", "cannot answer for clean.language.identifier: another identifier"),
        ("clean.language.model=/x", "cannot answer for clean.language.model: another model"),
        ("ingest.max_page_bytes=10", "cannot answer for ingest.max_page_bytes: ingest decides"),
        ("claen.rules.first.min_words=3", "--set claen.* a recipe has no key 'claen'; did you mean 'clean'"),
        ("min_words=3", "--set min_words=3: a recipe has no key 'min_words'; expected one of clean, dedup"),
        ("clean.ruls.first.min_words=3", "^--set: clean.ruls: no such key; did you mean 'rules'"),
        ("clean=3", "^--set: clean: found 3"),
        ("dedup.bands=3", "cannot answer for dedup.bands: it does not decide what clean keeps"),
        ("clean.rules.theirs.regex_exp=x", "the rule 'theirs' reads text .* it is not as it was in the run"),
        ("clean.rules.first.min_words=3", "the rule 'theirs' reads text .* the run never asked it about at least"),
        ("clean.rules.frist.min_words=3", "no rule named 'frist'; did you mean 'first'"),
        ("clean.rules.first.min_word=3", r"clean.rules\[0\].min_word: no such setting; did you mean 'min_words'"),
    ],
)
def test_what_measures_cannot_answer_is_refused_by_name(change: str, said: str, run: Path):
    with pytest.raises(InputError, match=said):
        what_if(Folder(str(run)), [change])


def test_no_setting_that_only_decides_what_is_stored_changes_the_answer(run: Path):
    answer = what_if(Folder(str(run)), ["clean.dropped_text=all"])
    assert answer["settings"] == []
    assert answer["documents"]["before"] == answer["documents"]["after"]


def test_a_run_whose_verdicts_are_not_those_of_its_settings_is_refused(run: Path, tmp_path: Path):
    changed = tmp_path / "run"
    shutil.copytree(run, changed)
    stored = json.loads((changed / "clean/settings.json").read_text())
    stored["settings"]["clean"]["rules"][2]["min_words"] = 350
    (changed / "clean/settings.json").write_text(json.dumps(stored))
    with pytest.raises(DamagedError, match="cleaned by another version"):
        what_if(Folder(str(changed)), [CHANGE])


@pytest.mark.parametrize("what", ["cut off", "overwritten"])
def test_a_damaged_part_is_named(what: str, run: Path, tmp_path: Path):
    changed = tmp_path / "run"
    shutil.copytree(run, changed)
    part = changed / "dropped/part-00000.parquet"
    data = part.read_bytes()
    half = len(data) // 2
    part.write_bytes(data[:half] if what == "cut off" else data[:4] + bytes(half) + data[4 + half :])
    with pytest.raises(DamagedError, match=r"dropped/part-00000.parquet is damaged: .* Remove it and run the stage"):
        what_if(Folder(str(changed)), [CHANGE])


def test_the_command_answers_in_a_table_or_in_json(run: Path, capsys: pytest.CaptureFixture[str]):
    ask = ["whatif", str(run), "--set", CHANGE]
    app(ask, standalone_mode=False)
    table = capsys.readouterr().out
    assert "documents kept" in table
    assert "would be dropped, and were kept, as too_few_words" in table
    app([*ask, "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out) == what_if(Folder(str(run)), [CHANGE])
    with pytest.raises(InputError, match="say what to try"):
        app(["whatif", str(run)], standalone_mode=False)

"""Labels that come back: refused below the standard, written above it, and estimates that fit the corpus."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotation_runs import fill, row, save, write_run

from corpusmill.clean.annotation.adjudication import Standard, disputed, resolve
from corpusmill.clean.annotation.label_estimates import estimates
from corpusmill.clean.annotation.label_import import figures, import_labels
from corpusmill.clean.annotation.labels_folder import export, read_labels
from corpusmill.clean.annotation.questions import QUESTIONS
from corpusmill.clean.annotation.sample_settings import SampleSettings
from corpusmill.errors import InputError
from corpusmill.storage import Folder

PEOPLE = ("anna", "ben", "cleo")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """400 kept, of which a tenth are bad; 300 dropped as too short, of which a fifth are good; 100 in French."""
    kept = [row(i, f"{'bad' if i % 10 == 0 else 'good'} page {i} <b>&amp;</b>") for i in range(400)]
    drop = {"drop_detail": "x", "drop_stage": "clean"}
    short = [
        row(i, f"{'good' if i % 5 == 0 else 'bad'} {i}", drop_reason="too_few_words", **drop) for i in range(1000, 1300)
    ]
    french = [row(i, f"good {i}", language="fr", drop_reason="language", **drop) for i in range(2000, 2100)]
    return write_run(tmp_path_factory.mktemp("import") / "run", [(kept, short + french)])


@pytest.fixture
def labels(run: Folder, tmp_path: Path) -> Path:
    export(run, Folder(str(tmp_path / "labels")), SampleSettings(size=160, annotators=PEOPLE), QUESTIONS)
    return tmp_path / "labels"


def truthful(cells: Mapping[str, str]) -> dict[str, str]:
    """What the text itself says."""
    quality = cells["text"].split()[0]
    return {"quality": quality, "adult": "no", "language_right": "right"}


def answered(labels: Path, errors: Mapping[str, float]) -> list[str]:
    """A sheet for each annotator, who errs on quality in such a share of cases."""
    files = []
    for name, share in errors.items():
        rng = random.Random(name)

        def answer(cells: Mapping[str, str], share: float = share, rng: random.Random = rng) -> dict[str, str]:
            said = truthful(cells)
            if rng.random() < share:
                said["quality"] = {"good": "bad", "bad": "good"}[said["quality"]]
            return said

        files.append(save(labels.parent / f"{name}.csv", fill(labels / f"sheets/{name}.csv", answer)))
    return files


def training(labels: Path) -> list[dict[str, Any]]:
    lines = (labels / "training/quality.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_labels_that_agree_are_written_whole_with_their_weights(run: Folder, labels: Path):
    done = import_labels(Folder(str(labels)), answered(labels, dict.fromkeys(PEOPLE, 0.01)), only=["quality"])
    assert done.refusals == []
    assert done.written == ["training/quality.jsonl"]
    lines = training(labels)
    assert len(lines) == 160
    assert set(lines[0]) == {"id", "url", "text", "label", "weight", "votes", "agreeing"}
    assert all(line["label"] == line["text"].split()[0] for line in lines)
    assert sum(line["weight"] for line in lines) == pytest.approx(800)
    assert {line["votes"] for line in lines} == {3}


def test_below_the_standard_nothing_is_written_and_the_pairs_are_named(labels: Path):
    folder = Folder(str(labels))
    import_labels(folder, answered(labels, dict.fromkeys(PEOPLE, 0.0)), only=["quality"])
    assert (labels / "training/quality.jsonl").exists()
    done = import_labels(folder, answered(labels, {"anna": 0.0, "ben": 0.03, "cleo": 0.3}), only=["quality"])
    (said,) = done.refusals
    assert said.startswith("quality: these labels are not used for training: Fleiss' kappa is 0.")
    assert "below 0.8. Furthest apart are " in said
    assert " and cleo (" in said.split(", then ")[0]
    assert said.split(", then ")[2].startswith("anna and ben (")
    assert "they differ on " in said
    assert done.written == []
    assert not (labels / "training/quality.jsonl").exists()  # those of the import before are gone


def test_a_lower_standard_may_be_chosen(labels: Path):
    files = answered(labels, {"anna": 0.0, "ben": 0.03, "cleo": 0.3})
    done = import_labels(Folder(str(labels)), files, only=["quality"], standard=Standard(min_kappa=0.4))
    assert done.written == ["training/quality.jsonl"]


def test_one_choice_for_all_teaches_nothing(labels: Path):
    done = import_labels(Folder(str(labels)), answered(labels, dict.fromkeys(PEOPLE, 0.0)), only=["adult"])
    assert "all 480 labels are 'no', so Fleiss' kappa is undefined" in done.refusals[0]


def test_a_single_annotator_is_not_agreement(labels: Path):
    done = import_labels(Folder(str(labels)), answered(labels, {"anna": 0.0}), only=["quality"])
    assert "0 items have labels of two annotators, and at least 30 are needed" in done.refusals[0]


def test_the_skewed_question_says_why_its_kappa_is_small(labels: Path):
    def answer(person: str) -> Any:
        rng = random.Random(person)
        return lambda cells: truthful(cells) | {"adult": "yes" if rng.random() < 0.02 else "no"}

    files = [save(labels.parent / f"{n}.csv", fill(labels / f"sheets/{n}.csv", answer(n))) for n in PEOPLE]
    (said,) = import_labels(Folder(str(labels)), files, only=["adult"]).refusals
    assert "of all labels are 'no', which agree by chance" in said


def test_estimates_find_what_the_mill_got_wrong(labels: Path):
    done = import_labels(Folder(str(labels)), answered(labels, dict.fromkeys(PEOPLE, 0.0)), only=["quality"])
    kept, dropped, short = done.questions[0].estimates
    assert [e.group for e in (kept, dropped, short)] == ["kept", "dropped", "dropped/too_few_words"]
    assert (kept.pages, short.pages, kept.answers, short.answers) == (400, 300, ("bad",), ("good",))
    assert kept.low <= 0.1 <= kept.high
    assert short.low <= 0.2 <= short.high
    assert (dropped.share, dropped.pages) == (short.share, 300)  # French pages are not for quality to judge
    language = import_labels(Folder(str(labels)), answered(labels, {"anna": 0.0}), only=["language_right"])
    assert [e.group for e in language.questions[0].estimates] == ["kept", "dropped", "dropped/language"]


def test_intervals_of_unequal_strata_cover_the_truth():
    """A large stratum with 5% and a small one with 60%, sampled alike: the share of both is 10%."""
    strata = [
        {"stratum": "a", "fate": "kept", "reason": "", "pages": 1000},
        {"stratum": "b", "fate": "kept", "reason": "", "pages": 100},
    ]
    items = [{"stratum": s["stratum"], "fate": "kept", "reason": "", "weight": s["pages"] / 60} for s in strata] * 60
    rng, inside, shares = np.random.default_rng(1), 0, []
    for _ in range(400):
        bad = np.where([i["stratum"] == "a" for i in items], rng.random(120) < 0.05, rng.random(120) < 0.6)
        (found,) = [e for e in estimates(QUESTIONS[0], items, bad.astype(np.int16), strata) if e.group == "kept"]
        shares.append(found.share)
        inside += found.low <= 0.1 <= found.high
    assert np.mean(shares) == pytest.approx(0.1, abs=0.005)
    assert inside / 400 >= 0.94


def test_unlabelled_items_are_made_up_for_and_empty_strata_are_said():
    strata = [
        {"stratum": "a", "fate": "kept", "reason": "", "pages": 90},
        {"stratum": "b", "fate": "kept", "reason": "", "pages": 10},
    ]
    items = [{"stratum": "a", "fate": "kept", "reason": "", "weight": 30.0}] * 3
    items += [{"stratum": "b", "fate": "kept", "reason": "", "weight": 10.0}]
    (found,) = [
        e for e in estimates(QUESTIONS[0], items, np.array([0, 1, -1, -1], np.int16), strata) if e.group == "kept"
    ]
    assert (found.share, found.items, found.pages, found.covered) == (0.5, 2, 100, 90)
    assert found.mistaken_pages == 45


def test_majority_ties_and_decisions():
    ratings = np.array([[0, 0, 1], [0, 1, -1], [-1, -1, -1], [1, -1, -1]], np.int16)
    assert resolve(ratings, 2).tolist() == [0, -1, -1, 1]
    assert resolve(ratings, 2, np.array([-1, 1, 0, -1], np.int16)).tolist() == [0, 1, 0, 1]
    assert disputed(ratings).tolist() == [0, 1]


def test_what_the_meeting_decides_in_discuss_csv_overrides_the_majority(labels: Path):
    folder = Folder(str(labels))
    files = answered(labels, {"anna": 0.0, "ben": 0.05})
    before = import_labels(folder, files, only=["quality"], standard=Standard(min_kappa=0.5))
    (found,) = before.questions
    assert found.ties > 0
    decided = fill(labels / "discuss.csv", lambda cells: {"quality": truthful(cells)["quality"]})
    assert len(decided) == found.ties
    assert all("anna " in cells["disputed"] and "ben " in cells["disputed"] for cells in decided)
    path = save(labels.parent / "discussed.csv", decided, delimiter=";", encoding="utf-8-sig")
    after = import_labels(folder, files, only=["quality"], standard=Standard(min_kappa=0.5), decisions=path)
    assert (after.questions[0].ties, after.questions[0].decided) == (0, len(decided))
    assert all(line["label"] == line["text"].split()[0] for line in training(labels))
    assert after.questions[0].agreement == found.agreement  # decisions are no agreement


def test_the_same_labels_give_the_same_files(labels: Path):
    files = answered(labels, {"anna": 0.0, "ben": 0.05, "cleo": 0.1})
    made = []
    for sources in (files, files[::-1]):
        import_labels(Folder(str(labels)), sources)
        made.append([(labels / n).read_bytes() for n in ("agreement.json", "annotation.html", "discuss.csv")])
    assert made[0] == made[1]


def test_labels_of_label_studio_and_of_a_sheet_go_together(labels: Path):
    sheet = fill(labels / "sheets/ben.csv", truthful)
    tasks = json.loads((labels / "label-studio/tasks.json").read_text())
    for task in tasks:
        said = truthful(task["data"])
        results = [
            {"from_name": q, "to_name": "page", "type": "choices", "value": {"choices": [c]}} for q, c in said.items()
        ]
        task["annotations"] = [{"completed_by": 3, "result": results}]
    (labels.parent / "export.json").write_text(json.dumps(tasks))
    sources = [str(labels.parent / "export.json"), f"benjamin={save(labels.parent / 'x.csv', sheet)}"]
    done = import_labels(Folder(str(labels)), sources, names={"3": "anna"}, only=["quality"])
    assert done.table.annotators == ("anna", "benjamin")
    assert figures(done)["questions"]["quality"]["decides"] == {"coefficient": "Cohen's kappa", "value": 1.0}


def test_a_share_of_the_items_is_dealt_and_the_sheets_fit(run: Folder, tmp_path: Path):
    settings = SampleSettings(size=60, annotators=PEOPLE, overlap=0.5, labels_per_item=2)
    made = export(run, Folder(str(tmp_path / "labels")), settings, QUESTIONS)
    sizes = {n: len(fill(tmp_path / f"labels/sheets/{n}.csv", lambda c: {})) for n in PEOPLE}
    assert sizes == dict.fromkeys(PEOPLE, 30)
    dealt = [json.loads((tmp_path / f"labels/label-studio/tasks-{n}.json").read_text()) for n in PEOPLE]
    assert [len(t) for t in dealt] == [30, 30, 30]
    assert {len(item["annotators"]) for item in made.items} == {1, 2}
    assert read_labels(Folder(str(tmp_path / "labels"))).items == made.items


def test_a_sample_is_never_written_over(run: Folder, labels: Path):
    with pytest.raises(InputError, match="holds a sample already"):
        export(run, Folder(str(labels)), SampleSettings(), QUESTIONS)


def test_export_twice_is_equal_byte_for_byte(run: Folder, labels: Path, tmp_path: Path):
    export(run, Folder(str(tmp_path / "again")), SampleSettings(size=160, annotators=PEOPLE), QUESTIONS)
    for path in sorted(p for p in labels.rglob("*") if p.is_file()):
        assert (tmp_path / "again" / path.relative_to(labels)).read_bytes() == path.read_bytes()


def test_the_report_shows_strangers_text_as_text(labels: Path):
    import_labels(Folder(str(labels)), answered(labels, {"anna": 0.0, "ben": 0.1}))
    page = (labels / "annotation.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;&amp;amp;&lt;/b&gt;" in page
    assert "<script" not in page
    assert page.count('class="matrix"') == 3
    assert "default-src 'none'" in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "nowhere.csv"], "--from nowhere.csv: there is no such file"),
        (["--from", "SHEET", "--question", "qualty"], "--question qualty: no such question; did you mean 'quality'?"),
        (["--from", "SHEET", "--name", "3"], "--name 3: expected USER=NAME"),
        (["--from", "SHEET"], "no label in these files"),
        (["--from", "SHEET", "--min-kappa", "80"], "'--min-kappa'"),
    ],
)
def test_a_mistake_in_the_command_is_one_sentence(labels: Path, arguments: list[str], said: str):
    sheet = str(labels / "sheets/anna.csv")
    command = [sys.executable, "-m", "corpusmill.cli", "annotate", "import", str(labels)]
    done = subprocess.run(
        [*command, *(sheet if a == "SHEET" else a for a in arguments)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_commands_go_from_a_run_to_labels(run: Folder, tmp_path: Path):
    def corpusmill(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "corpusmill.cli", "annotate", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    people = ["--annotator", "anna", "--annotator", "ben"]
    made = corpusmill("export", run.url, "--output", "labels", "--size", "80", *people)
    assert made.returncode == 0, made.stderr
    assert "80 items of 3 strata, standing for 800 pages" in made.stdout
    files = answered(tmp_path / "labels", {"anna": 0.0, "ben": 0.0})
    done = corpusmill("import", "labels", "--from", files[0], "--from", files[1], "--question", "quality")
    assert done.returncode == 0, done.stderr
    assert "wrote labels/training/quality.jsonl" in done.stdout
    refused = corpusmill("import", "labels", "--from", files[0], "--from", files[1])
    assert refused.returncode == 2
    assert "adult: these labels are not used for training" in refused.stderr

"""Scorers in a run: values by document, bounds on them, and nothing that depends on batches or on where models lie."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.clean.classifier_training import Training, train_classifier
from corpusmill.clean.clean_job import clean_settings
from corpusmill.clean.components import make_rules, make_scorers
from corpusmill.clean.document_flow import DocumentFlow
from corpusmill.clean.rules.score_bounds import ScoreBounds
from corpusmill.clean.scorers.scorer import Scores
from corpusmill.clean.scorers.scoring import scored, with_scores
from corpusmill.errors import InputError
from corpusmill.mill import open_mill
from corpusmill.recipe import Clean, Component, load_recipe
from corpusmill.schemas import DOCUMENTS


class Length:
    """A scorer of one's own: anything with `score_batch`."""

    def score_batch(self, texts: pa.Array, languages: pa.Array | None) -> Scores:
        lengths = np.array([len(t) for t in texts.to_pylist()], np.float64)
        return {"": lengths, "odd": np.where(lengths % 2 == 1, 1.0, np.nan)}


class Wrong:
    def score_batch(self, texts: pa.Array, languages: pa.Array | None) -> Scores:
        return {"": np.zeros(len(texts) + 1)}


def batch(*rows: tuple[str | None, str | None]) -> pa.RecordBatch:
    texts, reasons = zip(*rows, strict=True)
    columns = {"text": pa.array(texts, pa.large_string()), "drop_reason": pa.array(reasons, pa.string())}
    return pa.RecordBatch.from_pydict(columns | {"language": pa.array(["en"] * len(rows))})


def scores_of(*rows: tuple[str | None, str | None], **settings: Any) -> list[Any]:
    components = [Component(use="test_scored_flow:Length", name="length", **settings)]
    (out,) = scored([batch(*rows)], make_scorers(components))
    return [dict(v) if v is not None else None for v in out.column("scores").to_pylist()]


def test_scores_are_stored_by_name_and_what_does_not_apply_is_not():
    found = scores_of(("abc", None), ("ab", None), ("abc", "language"), (None, "no_text"))
    assert found == [{"length": 3.0, "length.odd": 1.0}, {"length": 2.0}, None, None]


def test_every_row_with_text_is_scored_on_request(tmp_path: Path):
    (tmp_path / "en").write_text("darn")
    component = Component(use="bad_words", lists=str(tmp_path), rows="all")
    (out,) = scored([batch(("darn", None), ("darn", "language"), (None, "no_text"))], make_scorers([component]))
    assert out.column("scores").to_pylist() == [[("bad_words", 1.0)], [("bad_words", 1.0)], None]


def test_scores_that_are_there_stay():
    first = with_scores(batch(("a", None), ("b", None)), {"x": np.array([1.0, np.nan])})
    second = with_scores(first, {"y": np.array([np.nan, 2.0])})
    assert second.column("scores").to_pylist() == [[("x", 1.0)], [("y", 2.0)]]
    assert second.schema.field("scores").type == DOCUMENTS.field("scores").type


@pytest.mark.parametrize(
    ("settings", "reasons"),
    [
        ({"min": 2.0}, ["q_too_low", None, None, None]),
        ({"max": 2.0}, [None, None, "q_too_high", None]),
        ({"min": 2.0, "max": 2.5}, ["q_too_low", None, "q_too_high", None]),
        ({"min": 2.0, "missing": "drop"}, ["q_too_low", None, None, "q_missing"]),
        ({"min": 9.0, "languages": ("de",)}, [None, None, None, None]),
    ],
)
def test_bounds_on_a_score_are_inclusive(settings: dict[str, Any], reasons: list[str | None]):
    rows = with_scores(batch(*[("t", None)] * 4), {"q": np.array([1.0, 2.0, 3.0, np.nan])})
    assert ScoreBounds(of="q", **settings).judge_rows(rows).to_pylist() == reasons
    assert ScoreBounds(of="other", min=1.0).judge_rows(rows).null_count == 4


def test_mistakes_in_a_recipe_are_said():
    length = Component(use="test_scored_flow:Length", name="length")
    with pytest.raises(InputError, match=r"no scorer is named 'lenght'; did you mean 'length'\?"):
        DocumentFlow(recipe_of([length], [Component(use="score", of="lenght", min=1.0)]))
    DocumentFlow(recipe_of([length], [Component(use="score", of="length.odd", min=1.0)]))
    with pytest.raises(InputError, match=r"clean\.scorers\[1\]: there is a scorer named 'length' already"):
        make_scorers([length, length])
    with pytest.raises(InputError, match=r"no scorer named 'kenlmm'; did you mean 'kenlm'\?"):
        make_scorers([Component(use="kenlmm")])
    with pytest.raises(InputError, match="has no method score_batch"):
        make_scorers([Component(use="collections:Counter")])
    with pytest.raises(InputError, match=r"clean\.scorers\[0\]: test_scored_flow:Length cannot be set up"):
        make_scorers([Component(use="test_scored_flow:Length", unit="words")])
    with pytest.raises(InputError, match=r"clean\.rules\[0\]\.minimum: no such setting"):
        make_rules([Component(use="score", of="x", minimum=1)])
    with pytest.raises(InputError, match="gave 2 scores for 1 texts"):
        list(scored([batch(("a", None))], make_scorers([Component(use="test_scored_flow:Wrong")])))


def recipe_of(scorers: list[Component], rules: list[Component]) -> Clean:
    return Clean(
        scorers=tuple(scorers),
        rules=tuple(rules),
        language=load_recipe("sample").clean.language,
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    good = [(f"the quiet river mill number {i} grinds wheat and the baker buys it", "hq") for i in range(60)]
    bad = [(f"click offer {i} cart login price", "cc") for i in range(60)]
    train_classifier(good + bad, folder / "quality.bin", Training(dimensions=4, buckets=100, heldout=0.2))
    (folder / "lists").mkdir()
    (folder / "lists" / "en").write_text("river\nmill\n")
    return folder


def run(
    out: Path, web: Path, scorers: str, rules: str, *more: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    overrides = [f"clean.scorers={scorers}", f"clean.rules={rules}", "clean.dropped_text=all", *more]
    with open_mill(str(out), load_recipe("sample", overrides), inputs=[str(web)], workers=1) as mill:
        mill.run("clean")
    return tuple(pq.read_table(out / kind / "part-00000.parquet").to_pylist() for kind in ("documents", "dropped"))  # type: ignore[return-value]


def test_a_run_scores_and_drops_the_same_in_batches_of_any_size(web: Path, models: Path, tmp_path: Path):
    scorers = (
        f'[{{use="fasttext_quality", name="quality", model="{models}/quality.bin"}},'
        f' {{use="bad_words", lists="{models}/lists"}}]'
    )
    free = run(tmp_path / "free", web, scorers, "[]")[0]
    values = sorted(dict(row["scores"])["quality"] for row in free)
    assert all(0.0 <= v <= 1.0 for v in values)
    middle = values[len(values) // 2]
    rules = f'[{{use="score", of="quality", min={middle!r}}}, {{use="score", of="bad_words", max=3}}]'
    _, dropped = run(tmp_path / "bound", web, scorers, rules)
    reasons = {row["id"]: row["drop_reason"] for row in dropped}
    for row in free:
        scores = dict(row["scores"])
        wanted = "quality_too_low" if scores["quality"] < middle else None
        wanted = wanted or ("bad_words_too_high" if scores["bad_words"] > 3 else None)
        assert reasons.get(row["id"]) == wanted
    assert "quality_too_low" in reasons.values()
    run(tmp_path / "small", web, scorers, rules, "ingest.batch_pages=7")
    for kind in ("documents", "dropped"):
        name = f"{kind}/part-00000.parquet"
        assert (tmp_path / "small" / name).read_bytes() == (tmp_path / "bound" / name).read_bytes()


def test_a_model_may_move_but_not_change(models: Path, tmp_path: Path):
    def settings(folder: Path) -> Any:
        scorers = f'[{{use="fasttext_quality", model="{folder}/quality.bin"}}]'
        rules = f'[{{use="bad_words", lists="{folder}/lists"}}, {{use="gopher_quality"}}]'
        return clean_settings(load_recipe("sample", [f"clean.scorers={scorers}", f"clean.rules={rules}"]))["clean"]

    shutil.copytree(models, tmp_path / "moved")
    there = settings(models)
    assert settings(tmp_path / "moved") == there
    assert there["rules"][1] == {"use": "gopher_quality", "name": None}
    (tmp_path / "moved" / "lists" / "en").write_text("river\n")
    changed = settings(tmp_path / "moved")
    assert (changed["scorers"] == there["scorers"], changed["rules"] == there["rules"]) == (True, False)


def test_a_page_that_holds_an_evaluation_item_is_dropped_and_reported(web: Path, tmp_path: Path):
    free = run(tmp_path / "free", web, "[]", "[]")[0]
    leaked = [free[5], free[40]]
    rows = [{"id": f"q{i}", "question": " ".join(r["text"].split()[3:40])} for i, r in enumerate(leaked)]
    rows.append({"id": "safe", "question": "Which of these sentences stands on no page of the whole generated web?"})
    (tmp_path / "quiz.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sets = f'{{quiz={{path="{tmp_path}/quiz.jsonl", fields=["question"], id="id"}}}}'
    scorers, rules = f'[{{use="contamination", sets={sets}}}]', f'[{{use="decontaminate", sets={sets}}}]'
    documents, dropped = run(tmp_path / "run", web, scorers, rules)
    gone = {row["id"]: row for row in dropped if row["drop_reason"] == "contaminated"}
    assert {r["id"] for r in leaked} <= set(gone)
    assert {row["id"] for row in documents} | set(gone) == {row["id"] for row in free}
    assert gone[leaked[0]["id"]]["drop_detail"].startswith("quiz: item q")
    assert dict(gone[leaked[0]["id"]]["scores"])["contamination.quiz"] >= 25
    assert all(dict(row["scores"]) == {"contamination": 0.0} for row in documents)
    report = json.loads((tmp_path / "run" / "contamination.json").read_text())["sets"]["quiz"]
    assert (report["items"], report["items_long_enough"]) == (3, 3)
    assert report["dropped"] == report["scored"] == sum(report["found"].values()) == len(gone)
    assert set(report["found"]) == {"q0", "q1"}
    only, _ = run(tmp_path / "annotated", web, scorers, "[]")
    assert {row["id"] for row in only} == {row["id"] for row in free}
    report = json.loads((tmp_path / "annotated" / "contamination.json").read_text())["sets"]["quiz"]
    assert (report["dropped"], report["scored"]) == (0, len(gone))

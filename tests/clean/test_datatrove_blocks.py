"""Both ways between the mill and datatrove: its filters in our recipes, our stages under its executors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

pytest.importorskip("datatrove")

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter

from corpusmill.clean import GopherQuality
from corpusmill.clean.datatrove_filter import as_datatrove
from corpusmill.datatrove_steps import CleanStep, StageStep
from corpusmill.errors import InputError
from corpusmill.mill import open_mill
from corpusmill.recipe import load_recipe
from corpusmill.sample import write_sample

THEIRS = 'clean.rules=[{use="datatrove.pipeline.filters:GopherQualityFilter", min_doc_words=300}]'


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("two")
    for i in range(2):
        write_sample(str(folder / f"web-{i}.warc.gz"), pages=60, seed=10 + i)
    return sorted(str(p) for p in folder.glob("*.warc.gz"))


def documents_of(run: Path) -> list[tuple[str, str]]:
    rows = [r for part in sorted((run / "documents").iterdir()) for r in pq.read_table(part).to_pylist()]
    return [(r["id"], r["text"]) for r in rows]


def run_clean(out: Path, inputs: list[str], *overrides: str) -> dict[str, Any]:
    with open_mill(str(out), load_recipe("sample", list(overrides)), inputs=inputs, workers=1) as mill:
        return mill.run("clean")


def written(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


def test_a_datatrove_filter_in_a_recipe_gives_its_own_reasons(archives: list[str], tmp_path: Path):
    totals = run_clean(tmp_path / "run", archives[:1], THEIRS)
    rows = pq.read_table(tmp_path / "run" / "dropped").to_pylist()
    found = {(r["drop_reason"], r["drop_detail"]) for r in rows if r["drop_stage"] == "clean"}
    use = "datatrove.pipeline.filters:GopherQualityFilter"
    assert ("gopher_short_doc", use) in found
    assert totals["documents"] > 3


def test_a_datatrove_filter_with_a_wrong_setting_is_refused_in_a_sentence(archives: list[str], tmp_path: Path):
    wrong = THEIRS.replace("min_doc_words", "min_words")
    with pytest.raises(InputError, match=r"clean\.rules\[0\]: .*GopherQualityFilter cannot be set up: .*min_words"):
        run_clean(tmp_path / "run", archives[:1], wrong)


def test_a_rule_filters_a_datatrove_pipeline(tmp_path: Path):
    texts = {"short": "too short", "good": "that word of the man " * 20, "shout": "THE WORD " * 60}
    (tmp_path / "in").mkdir()
    lines = [json.dumps({"id": name, "text": text}) for name, text in texts.items()]
    (tmp_path / "in" / "a.jsonl").write_text("\n".join(lines) + "\n")
    steps = [
        JsonlReader(str(tmp_path / "in"), id_key="id"),
        as_datatrove(GopherQuality()),
        JsonlWriter(str(tmp_path / "out"), compression=None),
    ]
    LocalPipelineExecutor(steps, tasks=1, logging_dir=str(tmp_path / "logs")).run()
    assert [d["id"] for d in written(tmp_path / "out")] == ["good"]
    stats = json.loads((tmp_path / "logs" / "stats.json").read_text())
    dropped = next(s["stats"] for s in stats if "GopherQuality" in s["name"])
    assert (dropped["dropped_too_few_words"], dropped["dropped_too_few_stop_words"]) == (1, 1)


def test_a_rule_travels_as_datatrove_sends_it_to_other_processes():
    import dill

    again = dill.loads(dill.dumps(as_datatrove(GopherQuality(min_words=2))))
    assert again.filter(Document("the word that", "x")) is True
    assert again.filter(Document("word", "x")) == (False, "too_few_words")


def test_clean_under_datatroves_executor_gives_what_the_mill_gives(archives: list[str], tmp_path: Path):
    straight, theirs = tmp_path / "straight", tmp_path / "theirs"
    totals = run_clean(straight, archives)
    steps = [CleanStep(str(theirs), "sample", archives), JsonlWriter(str(tmp_path / "out"), compression=None)]
    LocalPipelineExecutor(steps, tasks=2, workers=1, logging_dir=str(tmp_path / "logs")).run()
    assert [(d["id"], d["text"]) for d in written(tmp_path / "out")] == documents_of(straight)
    made = {p: p.stat().st_mtime_ns for kind in ("documents", "dropped") for p in (theirs / kind).iterdir()}
    assert run_clean(theirs, archives) == totals
    assert {p: p.stat().st_mtime_ns for p in made} == made
    for path in made:
        assert path.read_bytes() == (straight / path.relative_to(theirs)).read_bytes()


def test_a_later_stage_under_datatrove_seals_what_clean_has_done(archives: list[str], tmp_path: Path):
    run = str(tmp_path / "run")
    LocalPipelineExecutor(
        [CleanStep(run, "sample", archives)], tasks=2, workers=1, logging_dir=str(tmp_path / "l1")
    ).run()
    LocalPipelineExecutor(
        [StageStep(run, "dedup", inputs=archives, workers=1)], tasks=1, logging_dir=str(tmp_path / "l2")
    ).run()
    manifest = json.loads((tmp_path / "run" / "dedup" / "manifest.json").read_text())
    assert manifest["counts"]["documents"] == len(documents_of(tmp_path / "run"))
    with pytest.raises(InputError, match="run its executor with tasks=1"):
        list(StageStep(run, "dedup").run(rank=0, world_size=2))

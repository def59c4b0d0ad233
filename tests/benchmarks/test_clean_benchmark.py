"""`python -m benchmarks clean`: medians, ratios to the peer, the screen's loss, tables that say it together."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.clean import FINEWEB, in_turn, recipe_of
from benchmarks.clean_table import Side, loss, show
from benchmarks.harness import KEYS, Failed
from benchmarks.kept_documents import Kept, kept_by
from benchmarks.subset import Subset
from corpusmill.clean.rules import RULES

ROOT = Path(__file__).resolve().parents[2]
PAGES = Subset(Path("web.warc.gz"), 100, 120, 5_000_000)


class Talk:
    """Answers runs with the seconds given, in turn; crashes when they run out."""

    def __init__(self, seconds: list[float]) -> None:
        self.left = list(seconds)

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        if not self.left:
            raise Failed("crashed with exit code 9: out of memory")
        taken = self.left.pop(0)
        stages = {"extract": taken / 2, "write": 0.1}
        memory = {"rss_mb": 300.0, "child_rss_mb": 100.0}
        return {"seconds": taken, "cpu": taken / 2, "stages": stages, "items": {}, "output": "x"} | memory


def side(name: str, seconds: list[float], is_ours: bool) -> Side:
    return Side(name, "1", Talk(seconds), is_ours)  # type: ignore[arg-type]


def test_medians_and_loss_stand_in_one_row_and_in_the_last_line(capsys: pytest.CaptureFixture[str]):
    sides = [side("trafilatura", [1.0, 9.0, 2.0], True), side("datatrove", [8.0, 8.0, 8.0], False)]
    assert in_turn(sides, 3) == {}
    kept = {"trafilatura": Kept({"a": 50, "b": 50}), "datatrove": Kept({"b": 40, "c": 10})}
    lost = loss(kept["trafilatura"], Kept({"a": 50, "b": 50, "d": 25}), 10.0)
    facts = show(sides, kept, {"trafilatura": lost}, {}, PAGES)
    printed = capsys.readouterr().out
    assert json.loads(printed.splitlines()[-1]) == facts
    assert set(KEYS) <= facts.keys()
    assert [facts[k] for k in ("value", "peer", "peer_value", "ratio")] == [50.0, "datatrove", 12.5, 4.0]
    ours = facts["sides"][0]
    assert [ours[k] for k in ("pages_s_cpu", "ratio_cpu", "documents_in_both")] == [100.0, 4.0, 1]
    assert ours["screen_loss"] == {
        "documents": 1, "document_share": 0.33333, "tokens": 25, "token_share": 0.2, "pages_s_without_screen": 10.0,
    }  # fmt: skip
    assert "100 HTML pages (5.0 MB) and 20 other records of web.warc.gz" in facts["input"]
    assert ours["ms_by_stage"] == {"extract": 10.0, "write": 1.0}


def test_without_a_peer_there_is_no_ratio(capsys: pytest.CaptureFixture[str]):
    ours = side("resiliparse", [2.0], True)
    in_turn([ours], 1)
    facts = show([ours], {"resiliparse": Kept({})}, {}, {"datatrove": "not installed: make peers"}, PAGES)
    assert [facts[k] for k in ("value", "peer", "peer_value", "ratio")] == [50.0, None, None, None]
    assert "not installed: make peers" in capsys.readouterr().out


def test_a_peer_that_crashes_is_left_out_and_ours_goes_on():
    ours, peer = side("trafilatura", [1.0, 1.0], True), side("datatrove", [8.0], False)
    assert in_turn([ours, peer], 2) == {"datatrove": "crashed with exit code 9: out of memory"}
    assert len(ours.rounds) == 2


def test_documents_are_the_same_by_whichever_way_their_ids_are_written(data_folder: Path, tmp_path: Path):
    path = tmp_path / "00000.jsonl.gz"
    with gzip.open(path, "wt") as f:
        f.write(json.dumps({"id": "<urn:uuid:1>", "text": "Hello world"}) + "\n")
    assert kept_by(path, data_folder / "tokenizers/gpt2") == Kept({"urn:uuid:1": 2})
    assert kept_by(tmp_path / "none.jsonl.gz", data_folder / "tokenizers/gpt2").documents == 0


def test_the_recipe_has_each_of_finewebs_rules_once(data_folder: Path):
    recipe = recipe_of(data_folder / "models/lid.176.ftz", "resiliparse", screen=False)
    used = [rule.use for rule in recipe.clean.rules]
    assert sorted(u for u in used if u in FINEWEB) == sorted(n for n in FINEWEB if n in RULES)
    assert (recipe.clean.extract.engine, recipe.clean.extract.screen) == ("resiliparse", False)


@pytest.mark.slow
def test_some_real_pages_end_in_one_json_object(data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CORPUSMILL_PEERS", str(tmp_path))
    command = [sys.executable, "-m", "benchmarks", "clean", "--rounds", "1", "--docs", "30", "--engines", "resiliparse"]
    done = subprocess.run([*command, "--data", str(data_folder)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["pages"] == 30
    assert facts["missing"] == {"datatrove": "not installed: make peers"}
    assert {"read", "decode", "extract", "language", "write"} <= facts["sides"][0]["ms_by_stage"].keys()

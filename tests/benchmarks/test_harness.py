"""Benchmarks: rounds in turn, medians, ratios over the same documents, one JSON object at the end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.harness import KEYS, Contender, Failed, Pair, in_rounds, show

ROOT = Path(__file__).resolve().parents[2]


def in_turn(name: str, seconds: list[float], order: list[str], items: int = 8) -> Contender:
    """A contender that needs the seconds given, round by round, and fails when they run out."""
    left = iter(seconds)

    def run() -> float:
        order.append(name)
        for taken in left:
            return taken
        raise Failed("crashed with exit code 1: out of memory")

    return Contender(name, "1", items, run)


def test_contenders_take_turns_and_medians_count():
    order: list[str] = []
    ours = in_turn("ours", [1.0, 9.0, 2.0], order)
    pairs = [Pair(in_turn(p, [4.0, 4.0, 16.0], order), in_turn("same", [1.0] * 3, order)) for p in ("a", "b")]
    assert in_rounds(ours, pairs, 3) == (pairs, {})
    assert order == ["ours", "same", "a", "same", "b"] * 3
    assert [ours.rate, pairs[0].peer.rate, pairs[1].ratio] == [4.0, 2.0, 4.0]


def test_a_peer_that_crashes_in_a_later_round_is_reported_and_the_others_go_on():
    order: list[str] = []
    weak = Pair(in_turn("weak", [1.0], order), in_turn("same", [1.0] * 3, order))
    sound = Pair(in_turn("sound", [2.0] * 3, order), in_turn("same", [1.0] * 3, order))
    alive, crashed = in_rounds(in_turn("ours", [1.0] * 3, order), [weak, sound], 3)
    assert alive == [sound]
    assert crashed == {"weak": "crashed with exit code 1: out of memory"}
    assert [order.count(name) for name in ("weak", "sound", "ours")] == [2, 3, 3]


def test_the_ratio_is_over_the_documents_that_the_peer_had(capsys: pytest.CaptureFixture[str]):
    ours = Contender("ours", "0.1", 1000, lambda: 0.0, [1.0])
    pair = Pair(Contender("slow", "2.0", 10, lambda: 0.0, [5.0]), Contender("ours", "0.1", 10, lambda: 0.0, [0.02]))
    facts = show("case", "documents/s", ours, [pair], {"gone": "not installed: make peers"}, "ten pages")
    printed = capsys.readouterr().out.splitlines()
    assert json.loads(printed[-1]) == facts
    assert set(KEYS) <= facts.keys()
    assert [facts[k] for k in ("name", "value", "peer", "peer_version", "peer_value", "ratio")] == [
        *("case", 1000.0, "slow", "2.0", 2.0),
        250.0,
    ]
    assert facts["peers"][0]["value_on_the_same"] == 500.0
    assert facts["missing"] == {"gone": "not installed: make peers"}
    assert any("gone" in line for line in printed[:-1])


def test_with_no_peer_nothing_is_guessed(capsys: pytest.CaptureFixture[str]):
    ours = Contender("ours", "0.1", 3, lambda: 0.0, [1.0])
    facts = show("case", "documents/s", ours, [], {"gone": "not installed: make peers"}, "three pages")
    assert [facts[k] for k in ("value", "peer", "peer_version", "peer_value", "ratio")] == [3.0, *[None] * 4]


def test_signatures_of_real_articles_end_in_one_json_object(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CORPUSMILL_PEERS", str(tmp_path))
    command = [sys.executable, "-m", "benchmarks", "signatures", "--rounds", "1", "--docs", "20"]
    done = subprocess.run([*command, "--data", str(data_folder)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["value"] > 0
    assert facts["documents"] == 20
    assert facts["ratio"] is None
    assert facts["missing"] == dict.fromkeys(("datatrove", "datasketch", "rensa"), "not installed: make peers")


def test_without_data_nothing_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["signatures", "--data", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "ground-truth.json: set CORPUSMILL_DATA" in said.err


def test_without_a_name_the_cases_are_listed(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    measured = ["charset", "cuts", "rules", "signatures", "urls"]
    assert names == [
        *measured,
        "clean",
        "dedup",
        "encode",
        "extract",
        "recall",
        "resume",
        "screen",
        "semantic",
        "shuffle",
        "soak",
        "stream",
    ]


@pytest.mark.parametrize("option", ["--rounds", "--docs"])
def test_nothing_is_not_a_measurement(option: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        main(["signatures", option, "0"])
    assert "0 is not 1 or more" in capsys.readouterr().err

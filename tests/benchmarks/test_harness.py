"""Benchmarks: rounds in turn, medians, one JSON object at the end, and no guess where a peer is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.harness import KEYS, Contender, in_rounds

ROOT = Path(__file__).resolve().parents[2]


def test_contenders_take_turns_and_medians_count():
    order: list[str] = []
    times = {"a": [1.0, 9.0, 2.0], "b": [4.0, 4.0, 4.0]}

    def contender(name: str) -> Contender:
        return Contender(name, "1", 8, lambda: order.append(name) or times[name][order.count(name) - 1])

    both = [contender("a"), contender("b")]
    in_rounds(both, 3)
    assert order == ["a", "b"] * 3
    assert [c.rate for c in both] == [4.0, 2.0]


def test_the_last_line_is_json_and_a_missing_peer_is_said_so(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CORPUSMILL_PEERS", str(tmp_path))
    command = [sys.executable, "-m", "benchmarks", "signatures", "--rounds", "1", "--documents", "20"]
    done = subprocess.run([*command, "--data", str(data_folder)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert set(KEYS) <= facts.keys()
    assert facts["value"] > 0
    assert facts["ratio"] is None
    assert facts["missing"] == dict.fromkeys(("datatrove", "datasketch", "rensa"), "not installed: make peers")


def test_without_data_nothing_is_measured(tmp_path: Path):
    command = [sys.executable, "-m", "benchmarks", "signatures", "--data", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "nothing was measured" in done.stderr

"""`python -m benchmarks dedup`: contenders measured alike, memory of whole trees, one JSON object at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from planted_pool import small_pool

from benchmarks import dedup
from benchmarks.dedup_table import show, show_scale
from benchmarks.dedup_worker import finished
from benchmarks.harness import KEYS
from benchmarks.tree_memory import TreeMemory, proportional_bytes, tree_bytes


def row(who: str, rate: float, documents: int = 1000) -> dict[str, Any]:
    counts = {
        "removed": 280,
        "planted": 299,
        "found": 279,
        "lost": 1,
        "recall": 0.9331,
        "recall_by_kind": {"exact": 1.0},
    }
    return {"who": who, "version": "1", "seconds": documents / rate, "rate": rate, "peak_mb": 100, "steps": {}} | counts


def test_ours_and_a_missing_peer_end_in_one_json_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("CORPUSMILL_PEERS", str(tmp_path / "none"))
    facts = dedup.measure(small_pool(), 400, 1, ["datatrove"], 2, tmp_path / "work")
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == facts
    assert set(KEYS) <= facts.keys()
    assert facts["missing"] == {"datatrove": "not installed: make peers"}
    ours = facts["sides"][0]
    assert ours["recall"] > 0.8
    assert ours["peak_mb"] > 10
    assert {"removed", "dedup/records"} <= ours["steps"].keys()
    assert not (tmp_path / "work").exists()


def test_the_first_peer_makes_the_ratio(capsys: pytest.CaptureFixture[str]):
    facts = show([row("corpusmill", 1000.0), row("slow", 50.0)], {"gone": "crashed"}, "texts", 1000, 2, 1)
    assert [facts[k] for k in ("value", "peer", "peer_value", "ratio")] == [1000.0, "slow", 50.0, 20.0]
    said = capsys.readouterr().out
    assert "20.0 x" in said
    assert "crashed" in said


def test_sizes_stand_in_one_table_and_a_chart_that_is_xml(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    results = [
        {"documents": n, "workers": 2, "input": "texts", "sides": [row("corpusmill", 2000.0, n)]}
        for n in (10_000, 100_000, 1_000_000)
    ]
    facts = show_scale(results, tmp_path / "chart.svg")
    assert [p["seconds"] for p in facts["points"]] == [5.0, 50.0, 500.0]
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == facts
    texts = [t.text for t in ET.parse(tmp_path / "chart.svg").getroot().iter("{http://www.w3.org/2000/svg}text")]
    assert {"1,000,000", "500", "5.0", "peak memory, MB"} <= set(texts)


def test_memory_of_children_counts():
    hold = "x = bytearray(60_000_000); print(1, flush=True); input()"
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    command = [sys.executable, "-c", start]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        with TreeMemory(parent.pid, every=0.01) as memory:
            time.sleep(0.05)
        assert memory.peak_bytes > 60_000_000
        parent.communicate(b"\n")
    assert tree_bytes(parent.pid) == 0


def test_a_shared_page_counts_in_proportion():
    assert proportional_bytes("Rss:  2000 kB\nPss:   500 kB\nPss_Dirty:  1 kB\n") == 512_000
    with pytest.raises(ValueError, match="no Pss"):
        proportional_bytes("")


def test_a_step_ends_with_its_last_file(tmp_path: Path):
    for name, at in (
        ("dedup/bands/a", 12.0),
        ("dedup/bands/b", 15.0),
        ("removed/a", 18.5),
        ("documents/a", 3.0),
        ("x", 19),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        os.utime(path, (at, at))
    assert finished(tmp_path, 10.0) == {"dedup/bands": 5.0, "removed": 8.5}


def test_without_data_nothing_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert dedup.main(["--docs", "400", "--data", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "set CORPUSMILL_DATA" in said.err

"""What the benchmark of cuts plants is cut, and next to nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.cuts import run


def test_planted_menus_and_quotations_are_cut(data_folder: Path, capsys: pytest.CaptureFixture[str]):
    found = run(data_folder, rounds=1, documents=20_000)
    planted, both = found["planted_bytes"], found["both"]["counts"]["cut_bytes"]
    assert both["frequent_line"] == planted["menus"]
    assert planted["quotations"] <= both["repeated_span"] < 1.02 * planted["quotations"]
    assert capsys.readouterr().out.splitlines()[-1].startswith('{"name": "cuts"')

"""The page about the stream: its code runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fixtures_shards import make_run

PAGE = Path(__file__).resolve().parents[2] / "docs/stream.md"


def test_the_code_on_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="training is not installed")
    make_run(tmp_path / "demo/run")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    names: dict[str, object] = {}
    exec(code, names)
    first = names["first"]
    assert isinstance(first, dict)
    assert first["input_ids"].shape == (4, 128)
    assert names["state"]["next_step"] == 2  # type: ignore[index]

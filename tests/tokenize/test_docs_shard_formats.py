"""docs/shard-formats.md: each command on it runs, in its order, and each snippet for a loader that is here."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures_shards import make_run
from shards_to_export import documents_of

from corpusmill.cli import app
from corpusmill.storage import Folder
from corpusmill.tokenize.foreign_shards import FORMATS
from corpusmill.tokenize.token_shards import open_shards

PAGE = (Path(__file__).parents[2] / "docs" / "shard-formats.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.S) for line in block.splitlines()]
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.S)


def test_commands_and_snippets_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("datatrove")
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs/first", documents=60, shards=2)
    assert {name for line in COMMANDS for name in FORMATS if f"--to {name} " in line} == set(FORMATS)
    assert {name for line in COMMANDS for name in FORMATS if f"--from {name} " in line} == set(FORMATS)
    for line in COMMANDS:
        app(shlex.split(line)[1:], standalone_mode=False)
    first = documents_of(open_shards(Folder("runs/first/shards")))
    for name in FORMATS:
        assert documents_of(open_shards(Folder(f"in/{name}"))) == first, name
    here = [s.replace("2048", "16") for s in SNIPPETS if "datatrove" in s or "numpy" in s]
    assert len(here) == 2
    for snippet in here:
        subprocess.run([sys.executable, "-c", snippet], check=True)

"""What all tests share. This file's folder is on the path, so helpers beside it can be imported by name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Real data: CORPUSMILL_DATA, or shared/data beside the checkout."""
    folder = Path(os.environ.get("CORPUSMILL_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "INDEX.md").exists():
        pytest.skip(f"no real data at {folder}: set CORPUSMILL_DATA")
    return folder


@pytest.fixture(scope="session")
def java() -> str:
    found = shutil.which("java")
    if found is None:
        pytest.skip("no Java on the PATH: the spark engine is not tested")
    return found


@pytest.fixture(scope="session")
def web(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic web: web.warc.gz, its truth beside it."""
    from corpusmill.sample import write_sample

    folder = tmp_path_factory.mktemp("web")
    write_sample(str(folder / "web.warc.gz"), pages=300, seed=1)
    return folder / "web.warc.gz"

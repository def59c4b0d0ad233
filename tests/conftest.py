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


_skipped: list[tuple[str, str]] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple):
        _skipped.append((report.nodeid, report.longrepr[2].removeprefix("Skipped: ")))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a check must not vanish for want of data: a skip that is not on the allow-list fails the run."""
    if os.environ.get("CI") != "true":
        return
    allowed = [
        line for line in (ROOT / "tests" / "allowed_skips.txt").read_text().splitlines() if line[:1] not in ("", "#")
    ]
    strange = [(test, reason) for test, reason in _skipped if not any(a in reason for a in allowed)]
    for test, reason in strange:
        print(f"\nnot on tests/allowed_skips.txt: {test}: {reason}")
    if strange:
        session.exitstatus = 1

"""The peers' loaders, through their real scripts: each row once, resumed where it was, and nothing left behind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.conversation import Conversation
from benchmarks.harness import Failed
from benchmarks.peer_process import loader_command

ROWS, LENGTH, BATCH = 2000, 100, 8


@dataclass(frozen=True)
class Loader:
    """A running loader, and the folder of rows that it reads. Row i begins with token i."""

    talk: Conversation
    folder: Path

    def ask(self, mode: str, **more: Any) -> dict[str, Any]:
        where = {"folder": str(self.folder), "sequence_length": LENGTH, "batch_size": BATCH}
        return self.talk.ask({"mode": mode, **where, **more})


def start(script: str) -> Conversation:
    try:
        return Conversation(loader_command(script))
    except Failed:
        pytest.skip("no loaders' environment: make peers")


@pytest.fixture(scope="module", params=["loader_mosaic.py", "loader_litdata.py"])
def loader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loader]:
    with start(request.param) as talk:
        folder = tmp_path_factory.mktemp("loader")
        tokens = np.random.default_rng(1).integers(0, 2**16, ROWS * LENGTH + 7, dtype=np.uint16)
        tokens[: ROWS * LENGTH : LENGTH] = np.arange(ROWS)
        np.save(folder / "tokens.npy", tokens)
        question = {"mode": "write", "tokens": str(folder / "tokens.npy"), "folder": str(folder / "rows")}
        written = talk.ask(question | {"sequence_length": LENGTH})
        assert written["rows"] == ROWS
        assert written["bytes"] > 2 * ROWS * LENGTH
        yield Loader(talk, folder / "rows")


@pytest.mark.parametrize("workers", [0, 2])
def test_each_row_comes_once_and_a_state_goes_on_with_the_next(loader: Loader, workers: int):
    whole = loader.ask("order", workers=workers)["first_tokens"]
    assert sorted(whole) == list(range(ROWS))
    assert whole != sorted(whole)
    for sample in (BATCH, 1000):
        assert loader.ask("order", workers=workers, sample=sample)["first_tokens"] == whole[sample:]


@pytest.mark.parametrize("workers", [0, 2])
def test_reading_is_timed_over_batches_of_int64(loader: Loader, workers: int):
    found = loader.ask("read", workers=workers, seconds=0.3, warm_seconds=0.1)
    assert (found["shape"], found["dtype"]) == ([BATCH, LENGTH], "torch.int64")
    assert found["seconds"] >= 0.3
    assert found["tokens"] % (BATCH * LENGTH) == 0
    assert found["tokens_per_second"] == pytest.approx(found["tokens"] / found["seconds"])
    assert 0 < found["first_batch_seconds"] < 60
    assert found["version"][0].isdigit()


def test_resuming_is_timed_at_the_last_whole_batch(loader: Loader):
    found = loader.ask("resume", workers=2, sample=1001)
    assert found["sample"] == 1000
    assert 0 < found["seconds"] < 60


def test_an_epoch_of_rows_that_are_not_there_is_ordered(loader: Loader):
    found = loader.talk.ask({"mode": "epoch", "samples": 1_000_000, "sequence_length": 2048, "sample": 600_000})
    assert found["samples_left"] == 400_000
    assert found["order_seconds"] > 0
    assert found["peak_mb"] >= found["before_mb"] > 10


def test_nothing_stays_in_shared_memory_or_the_temporary_folder(loader: Loader):
    before = left_by_mosaic()
    for workers in (0, 2):
        loader.ask("read", workers=workers, seconds=0.1, warm_seconds=0)
    assert left_by_mosaic() <= before


def left_by_mosaic() -> set[Path]:
    """What has its kind of name, 000000_barrier."""
    folders = (Path("/dev/shm"), Path(tempfile.gettempdir()))
    return {path for folder in folders for path in folder.glob("[0-9]" * 6 + "_*")}


def test_tokens_of_another_kind_are_refused(tmp_path: Path):
    np.save(tmp_path / "tokens.npy", np.zeros(1000, np.int32))
    with start("loader_litdata.py") as talk:
        question = {"mode": "write", "tokens": str(tmp_path / "tokens.npy"), "folder": str(tmp_path / "rows")}
        with pytest.raises(Failed, match=r"holds int32\[1000\], expected uint16\[tokens\]"):
            talk.ask(question | {"sequence_length": LENGTH})

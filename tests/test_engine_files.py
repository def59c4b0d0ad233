"""What stands between two SQL statements: the same rows from both engines, in order where the statement says so."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.engines import Dataset, Engine, make_engine
from corpusmill.engines.work_files import read_rows
from corpusmill.storage import Folder

NUMBERS = pa.schema([("n", pa.int64()), ("packed", pa.large_binary())])


@pytest.fixture(params=["local", "spark"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "spark":
        request.getfixturevalue("java")
    made = make_engine(request.param, workers=2)
    yield made
    made.close()


@pytest.fixture
def halves(tmp_path: Path) -> list[Dataset]:
    """0 to 99,999 in two folders, shuffled."""
    rows = np.random.default_rng(0).permutation(100_000)
    made = []
    for i, some in enumerate((rows[:60_000], rows[60_000:])):
        (tmp_path / str(i)).mkdir()
        table = pa.table([pa.array(some), pa.array([b"%d" % n for n in some], pa.large_binary())], schema=NUMBERS)
        pq.write_table(table, tmp_path / str(i) / "rows.parquet")
        made.append(Dataset(Folder(str(tmp_path / str(i))), ("rows.parquet",), NUMBERS))
    return made


def test_an_ordered_answer_is_written_in_order_and_changed_on_the_way(
    engine: Engine, halves: list[Dataset], tmp_path: Path
):
    def doubled(batch: pa.RecordBatch) -> pa.RecordBatch:  # here, so that it travels to Spark's workers by value
        twice = pa.array(batch.column("n").to_numpy() * 2)
        return pa.RecordBatch.from_arrays([twice, batch.column("packed")], names=["n", "packed"])

    sql = "SELECT n, packed FROM numbers WHERE n < 70000 ORDER BY n"
    written = engine.write(sql, {"numbers": halves}, Folder(str(tmp_path)), "work/a", NUMBERS, doubled)
    found = pa.Table.from_batches(read_rows(written))
    assert found["n"].to_pylist() == list(range(0, 140_000, 2))
    assert found["packed"][69_999].as_py() == b"69999"
    assert engine.query("SELECT COUNT(*) AS c FROM w", {"w": written})["c"].to_pylist() == [70_000]


def test_writing_again_replaces_what_was_there(engine: Engine, halves: list[Dataset], tmp_path: Path):
    folder = Folder(str(tmp_path))
    engine.write("SELECT n, packed FROM numbers", {"numbers": halves}, folder, "work/a", NUMBERS)
    none = engine.write("SELECT n, packed FROM numbers WHERE n < 0", {"numbers": halves}, folder, "work/a", NUMBERS)
    assert none.names == ()
    assert folder.names("work/a/*") == []
    assert engine.query("SELECT * FROM w", {"w": none}).num_rows == 0


def test_a_folder_is_removed_while_a_task_that_was_given_up_still_writes_there(tmp_path: Path):
    (tmp_path / "work").mkdir()
    code = (
        "import sys, time, pathlib\n"
        "print('writing', flush=True)\n"
        "end, n = time.monotonic() + 1, 0\n"
        "while time.monotonic() < end:\n"
        "    n += 1\n"
        "    folder = pathlib.Path(sys.argv[1]) / str(n % 50)\n"
        "    try: folder.mkdir(parents=True, exist_ok=True); (folder / str(n)).write_bytes(b'')\n"
        "    except FileNotFoundError: pass\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "work")], stdout=subprocess.PIPE)
    with writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        Folder(str(tmp_path)).remove("work")
        writer.wait()
    Folder(str(tmp_path)).remove("work")
    assert not (tmp_path / "work").exists()

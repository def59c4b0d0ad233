"""Both engines, and datatrove's executor, give the same rows, byte for byte."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from corpusmill.engines import make_engine
from corpusmill.errors import InputError
from corpusmill.mill import open_mill
from corpusmill.recipe import load_recipe
from corpusmill.sample import write_sample

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archives")
    for i in range(3):
        write_sample(
            str(folder / f"web-{i}.warc.gz"), pages=200, seed=5
        )  # the same web thrice: duplicates across parts
    return folder


@pytest.fixture(scope="module")
def by_local(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("local") / "run"
    with open_mill(str(out), load_recipe("sample"), inputs=[str(archives / "*.warc.gz")], workers=2) as mill:
        mill.run("clean")
        assert sum(mill.run("dedup")["removed"].values()) > 100
    return out


def parts(run: Path) -> dict[str, bytes]:
    kinds = ("documents", "dropped", "removed")
    return {f"{k}/{p.name}": p.read_bytes() for k in kinds for p in sorted((run / k).glob("part-*.parquet"))}


def test_spark_submit_gives_the_bytes_of_the_local_engine(java: str, archives: Path, by_local: Path, tmp_path: Path):
    binaries = Path(sys.executable).parent
    env = os.environ | {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    env["PATH"] = f"{binaries}{os.pathsep}{env['PATH']}"
    command = [str(binaries / "spark-submit"), "--master", "local[2]", "--conf", "spark.ui.enabled=false"]
    command += [str(ROOT / "ingest/cc_job.py"), "--recipe", "sample", "--input", str(archives / "*.warc.gz")]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "run"), "--stages", "clean", "dedup"],
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert parts(tmp_path / "run") == parts(by_local)


def test_cc_job_runs_under_plain_python(archives: Path, by_local: Path, tmp_path: Path):
    command = [
        sys.executable,
        str(ROOT / "ingest/cc_job.py"),
        "--engine",
        "local",
        "--workers",
        "1",
        "--recipe",
        "sample",
    ]
    command += ["--input", str(archives / "*.warc.gz"), "--output", str(tmp_path / "run"), "--stages", "clean", "dedup"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert parts(tmp_path / "run") == parts(by_local)


def test_datatroves_local_executor_gives_the_same_documents(archives: Path, by_local: Path, tmp_path: Path):
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.writers import ParquetWriter

    from corpusmill.datatrove_steps import CleanStep, StageStep

    run, inputs = str(tmp_path / "run"), [str(archives / "*.warc.gz")]
    pipeline = [CleanStep(run, "sample", inputs), ParquetWriter(str(tmp_path / "out"))]
    LocalPipelineExecutor(pipeline, tasks=2, workers=1, logging_dir=str(tmp_path / "logs")).run()
    ours = pq.read_table(by_local / "documents", columns=["id", "text"]).to_pylist()
    theirs = pq.read_table(tmp_path / "out", columns=["id", "text"]).to_pylist()
    key = lambda row: (row["id"], row["text"])  # noqa: E731
    assert sorted(map(key, theirs)) == sorted(map(key, ours))
    step = StageStep(run, "dedup", recipe="sample", inputs=inputs, workers=1)
    LocalPipelineExecutor([step], tasks=1, logging_dir=str(tmp_path / "logs2")).run()
    assert parts(tmp_path / "run") == parts(by_local)


def doubled(argument: int) -> dict[str, int]:
    if argument < 0:
        raise InputError(f"{argument} is less than nothing")
    return {"value": 2 * argument, "process": os.getpid()}


def test_native_tasks_run_in_this_process_each_once():
    answers: list[dict[str, int]] = []
    make_engine("local", 2).run_tasks(doubled, range(7), answers.append, native=True)
    assert sorted(a["value"] for a in answers) == [0, 2, 4, 6, 8, 10, 12]
    assert {a["process"] for a in answers} == {os.getpid()}


def test_a_native_task_that_fails_ends_the_run_with_its_error():
    with pytest.raises(InputError, match="-1 is less than nothing"):
        make_engine("local", 2).run_tasks(doubled, [1, -1, *range(50)], lambda answer: None, native=True)

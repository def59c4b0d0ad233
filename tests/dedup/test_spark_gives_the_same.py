"""Spark removes the rows that the local engine removes: on every corpus here, however it is cut into partitions, with
tasks that are tried twice, and with Python workers killed while they work."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl_runs import write_crawls
from spark_runs import PLAIN, cluster

from corpusmill.clean.main_text import MainText
from corpusmill.mill import open_mill
from corpusmill.recipe import load_recipe
from corpusmill.sample import write_sample

HERE = Path(__file__).resolve().parent
KINDS = ("removed", "cuts", "cluster_sizes")
PARTS = (1, 2, 7)

Texts = Callable[[Path, Path], list[dict[str, Any]]]


def sample(data: Path, folder: Path) -> list[dict[str, Any]]:
    for i in range(3):
        write_sample(str(folder / f"web-{i}.warc.gz"), pages=150, seed=5)  # the same web thrice
    with open_mill(str(folder / "run"), load_recipe("sample", PLAIN), inputs=[str(folder / "*.warc.gz")]) as mill:
        mill.run("clean")
    rows = pq.read_table(folder / "run/documents", columns=["url", "text"]).to_pylist()
    return [{"id": f"{i:04d}", **row} for i, row in enumerate(rows)]


def edited_copies(data: Path, folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in write_crawls(folder) for line in path.read_text().splitlines()]


def git_manuals(data: Path, folder: Path) -> list[dict[str, Any]]:
    extract = MainText("resiliparse")
    pages = [p for p in sorted((data / "text/git-manual-versions").rglob("*")) if p.is_file()]
    texts = (extract(p.read_text(encoding="utf-8", errors="replace"))[0] for p in pages)
    return [{"id": f"{i:04d}", "text": text} for i, text in enumerate(texts) if text]


def chinese_laws(data: Path, folder: Path) -> list[dict[str, Any]]:
    paths = sorted((data / "text/laws-zh").rglob("*.md"))
    return [{"id": f"{i:04d}", "text": p.read_text(encoding="utf-8")} for i, p in enumerate(paths)]


CORPORA: dict[str, tuple[Texts, tuple[str, ...]]] = {
    "sample": (sample, ("dedup.urls=true", "dedup.lines.unit=line", "dedup.spans.min_words=40")),
    "edited copies": (
        edited_copies,
        ("dedup.bands=5", "dedup.rows=4", "dedup.verify=0.5", "dedup.max_edges_in_memory=1", "dedup.check.share=0.5"),
    ),
    "git manuals": (git_manuals, ("dedup.survivor=earliest",)),
    "chinese laws": (chinese_laws, ("dedup.check.below=0.8",)),
}


@pytest.fixture(scope="module")
def master(java: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with cluster(tmp_path_factory.mktemp("cluster")) as url:
        yield url


@pytest.mark.slow
@pytest.mark.parametrize("corpus", CORPORA)
def test_spark_removes_what_the_local_engine_removes(
    master: str, data_folder: Path, corpus: str, tmp_path_factory: pytest.TempPathFactory
):
    """Executors are processes on two hosts: threads of one are never lost, nor tasks on one host tried twice."""
    folder = tmp_path_factory.mktemp("corpus")
    texts, overrides = CORPORA[corpus]
    (folder / "made").mkdir()
    rows = texts(data_folder, folder / "made")
    runs = {parts: (folder / f"local-{parts}", folder / f"spark-{parts}") for parts in PARTS}
    for parts, (local, spark) in runs.items():
        cleaned(local, rows, parts, folder / f"texts-{parts}", overrides)
        shutil.copytree(local, spark, ignore=shutil.ignore_patterns("owner.json"))
        with open_mill(str(local), load_recipe("sample", [*PLAIN, *overrides]), workers=2) as mill:
            mill.run("dedup")
    failed, repeated = by_spark(master, {parts: spark for parts, (_, spark) in runs.items()}, overrides)
    for parts, (local, spark) in runs.items():
        assert output(spark) == output(local)
        assert len(output(local)) == len(KINDS) * parts
    ids = [gone(local) for local, _ in runs.values()]
    assert ids[0]
    assert ids[0] == ids[1] == ids[2], "another cut into parts removes other documents"
    assert failed, "no task was lost: the kills came too late"
    assert repeated, "no task seemed slow: none was tried twice"


def cleaned(run: Path, rows: list[dict[str, Any]], parts: int, inputs: Path, overrides: tuple[str, ...]) -> None:
    inputs.mkdir()
    for i in range(parts):
        some = rows[i * len(rows) // parts : (i + 1) * len(rows) // parts]
        (inputs / f"{i}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    recipe = load_recipe("sample", [*PLAIN, *overrides])
    with open_mill(str(run), recipe, inputs=[str(inputs / "*.jsonl")], workers=1) as mill:
        mill.run("clean")


def output(run: Path) -> dict[str, bytes]:
    return {f"{k}/{p.name}": p.read_bytes() for k in KINDS for p in sorted((run / k).glob("part-*.parquet"))}


def gone(run: Path) -> list[tuple[Any, ...]]:
    names = ("id", "why", "representative_id", "similarity", "matched_id")
    tables = [pq.read_table(p, columns=list(names)) for p in sorted((run / "removed").glob("*.parquet"))]
    return [tuple(row.values()) for row in pa.concat_tables(tables).to_pylist()]


def by_spark(master: str, runs: dict[int, Path], overrides: tuple[str, ...]) -> tuple[int, int]:
    """Deduplicate, each run with so many partitions, while workers are killed; how many tasks failed, and how many
    were stopped since another attempt was faster."""
    named = [f"{partitions}:{run}" for partitions, run in runs.items()]
    env = os.environ | {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    command = [sys.executable, str(HERE / "spark_runs.py"), master, *named, "--", *overrides]
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=HERE
    ) as process:
        assert process.stdout is not None
        errors: list[str] = []
        reader = threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
        reader.start()
        assert process.stdout.readline() == "started\n", "".join(errors)[-3000:]
        with workers_killed(6):
            last = process.stdout.read()
        reader.join(10)
    assert process.returncode == 0, "".join(errors)[-3000:]
    failed, repeated = last.split()
    return int(failed), int(repeated)


@contextmanager
def workers_killed(times: int) -> Iterator[None]:
    """Kill so many Python workers of the cluster, each while it computes, some seconds apart."""
    over = threading.Event()

    def kill() -> None:
        left = times
        while left and not over.wait(0.02):
            for worker in busy_workers():
                with suppress(psutil.Error):
                    worker.send_signal(signal.SIGKILL)
                    left -= 1
                    over.wait(3.0)
                    break

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    yield
    over.set()
    killer.join()


def busy_workers() -> Iterator[psutil.Process]:
    """Python processes below this one that a daemon of pyspark forked, and that are at work."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            parent = process.parent()
            names = [" ".join(p.cmdline()) for p in (process, parent) if p is not None]
            if all("pyspark.daemon" in name for name in names) and process.status() == "running":
                yield process

"""A Spark cluster on this machine, and a program that deduplicates run folders in one session of it.

    python spark_runs.py MASTER PARTITIONS:RUN... -- OVERRIDE...

Prints "started" when the session stands, and last how many tasks failed, and how many were stopped because a second
attempt at them was the first to end, or the first was.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from corpusmill.mill import open_mill
from corpusmill.recipe import load_recipe

PLAIN = ("clean.language.wanted={}", "clean.rules=[]", "clean.editors=[]")
HOSTS = ("127.0.0.2", "127.0.0.3")
"""Spark tries a task a second time on another host only."""
_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.sql.adaptive.enabled": "false",  # it would join small partitions into one
    "spark.executor.memory": "1g",
    "spark.task.maxFailures": "8",
    "spark.speculation": "true",
    "spark.speculation.interval": "10ms",
    "spark.speculation.quantile": "0.1",
    "spark.speculation.multiplier": "1.01",
    "spark.speculation.minTaskRuntime": "10ms",
}


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A standalone master and a worker of one core on each of HOSTS; the master's URL."""
    import pyspark

    home = Path(pyspark.__file__).parent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {"SPARK_HOME": str(home), "PYSPARK_PYTHON": sys.executable}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    url = f"spark://127.0.0.1:{port}"
    commands = {"master": ["master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]}
    for host in HOSTS:
        options = ["--cores", "1", "--memory", "1g", "--webui-port", "0", "--work-dir", str(folder / host)]
        commands[host] = ["worker.Worker", "--host", host, *options, url]
    with ExitStack() as stack:
        for name, (kind, *options) in commands.items():
            log = stack.enter_context((folder / f"{name}.log").open("w"))
            command = [str(home / "bin/spark-class"), f"org.apache.spark.deploy.{kind}", *options]
            process = stack.enter_context(subprocess.Popen(command, env=env, stdout=log, stderr=log))
            stack.callback(process.terminate)
        deadline = time.monotonic() + 60
        while (folder / "master.log").read_text().count("Registering worker") < len(HOSTS):
            assert time.monotonic() < deadline, (folder / "master.log").read_text()[-3000:]
            time.sleep(0.2)
        yield url


def main(master: str, *arguments: str) -> None:
    from pyspark.sql import SparkSession

    split = arguments.index("--")
    builder = SparkSession.builder.master(master).appName("dedup")
    for key, value in _SETTINGS.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.range(1000).repartition(4).mapInArrow(lambda batches: batches, "id long").count()  # workers stand
    print("started", flush=True)
    for argument in arguments[:split]:
        partitions, _, run = argument.partition(":")
        spark.conf.set("spark.sql.shuffle.partitions", partitions)
        with open_mill(run, load_recipe("sample", [*PLAIN, *arguments[split + 1 :]]), engine="spark") as mill:
            mill.run("dedup")
    store = spark._jsc.sc().statusStore()
    quantiles = spark.sparkContext._gateway.new_array(spark._jvm.double, 0)
    stages = store.stageList(None, False, False, quantiles, None)
    every = [stages.apply(i) for i in range(stages.size())]
    print(sum(s.numFailedTasks() for s in every), sum(s.numKilledTasks() for s in every), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A program that deduplicates run folders in one Spark session; the tests beside it start it.

    python spark_runs.py MASTER PARTITIONS RUN... -- OVERRIDE...

Prints "started" when the session stands, then each run's name when it is done, and last how many tasks failed and how
many were tried a second time because the first seemed slow.
"""

from __future__ import annotations

import sys

from pyspark.sql import SparkSession

from corpusmill.mill import open_mill
from corpusmill.recipe import load_recipe

PLAIN = ("clean.language.wanted={}", "clean.rules=[]", "clean.editors=[]")
_SPECULATE_AT_ONCE = {
    "spark.speculation": "true",
    "spark.speculation.interval": "10ms",
    "spark.speculation.quantile": "0.1",
    "spark.speculation.multiplier": "1.01",
    "spark.speculation.minTaskRuntime": "10ms",
}


def main(master: str, partitions: str, *arguments: str) -> None:
    split = arguments.index("--")
    settings = {
        "spark.master": master,
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": partitions,
        "spark.sql.adaptive.enabled": "false",  # it would join small partitions into one
        "spark.executor.memory": "1g",
        "spark.task.maxFailures": "8",
        **_SPECULATE_AT_ONCE,
    }
    builder = SparkSession.builder.appName("dedup")
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.range(1000).repartition(4).mapInArrow(lambda batches: batches, "id long").count()  # workers stand
    print("started", flush=True)
    for run in arguments[:split]:
        with open_mill(run, load_recipe("sample", [*PLAIN, *arguments[split + 1 :]]), engine="spark") as mill:
            mill.run("dedup")
        print(run, flush=True)
    executors = spark._jsc.sc().statusStore().executorList(False)
    failed = sum(executors.apply(i).failedTasks() for i in range(executors.size()))
    stages = spark._jsc.sc().statusStore().stageList(None, False, False, None, None)
    total = sum(stages.apply(i).numTasks() for i in range(stages.size()))
    done = sum(executors.apply(i).totalTasks() for i in range(executors.size()))
    print(f"failed {failed} repeated {done - total}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

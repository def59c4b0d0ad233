"""datatrove's four stages of MinHash deduplication, in the peers' environment. The peer and the standard library.

{"workers"} on standard input is answered with {"version": v}; then each {"input": folder of JSON Lines parts, "folder":
where to work} with {"seconds": s, "steps": {name: seconds of its own}, "kept": path of a file with a kept id a line}.

FineWeb's configuration: 5 words, 14 buckets of 8, 64-bit hashes. A task for each part, as for each of our parts, and
one for each bucket; LocalPipelineExecutor with that many workers.
"""

import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

BUCKETS = 14


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr
    start = json.loads(sys.stdin.readline())
    os.environ["HF_HUB_OFFLINE"] = "1"
    from datatrove.utils.logging import logger

    logger.remove()
    print(json.dumps({"version": version("datatrove")}), file=answers, flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        work = Path(question["folder"])
        found = deduplicate(question["input"], work, start["workers"])
        found["kept"] = str(kept(work))
        print(json.dumps(found), file=answers, flush=True)


def deduplicate(source: str, work: Path, workers: int) -> dict:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup.minhash import (
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    config = MinhashConfig(n_grams=5, num_buckets=BUCKETS, hashes_per_bucket=8, seed=1)
    signed, bucketed, removed, output = (str(work / n) for n in ("signatures", "buckets", "remove_ids", "kept"))
    tasks = len(list(Path(source).glob("*.jsonl")))
    stages = {
        "signatures": ([JsonlReader(source), MinhashDedupSignature(signed, config)], tasks),
        "buckets": ([MinhashDedupBuckets(signed, bucketed, config=config)], BUCKETS),
        "cluster": ([MinhashDedupCluster(bucketed, removed, config)], 1),
        "filter": ([JsonlReader(source), MinhashDedupFilter(removed), JsonlWriter(output)], tasks),
    }
    steps, began = {}, time.perf_counter()
    for name, (pipeline, count) in stages.items():
        at = time.perf_counter()
        logs = str(work / "logs" / name)
        LocalPipelineExecutor(pipeline, tasks=count, workers=min(workers, count), logging_dir=logs).run()
        steps[name] = round(time.perf_counter() - at, 2)
    return {"seconds": time.perf_counter() - began, "steps": steps}


def kept(work: Path) -> Path:
    """The ids that are left, read from what the filter wrote."""
    import gzip

    path = work / "kept.txt"
    with path.open("w", encoding="utf-8") as out:
        for part in sorted((work / "kept").glob("*.jsonl.gz")):
            with gzip.open(part, "rt", encoding="utf-8") as f:
                out.writelines(json.loads(row)["id"] + "\n" for row in f)
    return path


if __name__ == "__main__":
    main()

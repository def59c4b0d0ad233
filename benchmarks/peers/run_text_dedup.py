"""text-dedup's MinHash script, in an environment of its own (.venv-textdedup). The peer and the standard library.

{"workers"} on standard input is answered with {"version": v}; then each {"input": folder of JSON Lines parts, "folder":
where to work} with {"seconds": s, "steps": {}, "kept": path of a file with a kept id a line}.

It is run as its README says, `python -m text_dedup.minhash` on local files, with the same bands as the others (5 words,
14 bands of 8, 112 permutations); its own hashing, sha1, and its own minimum of 5 words. Time is that of the command,
start of Python included, since it has no other entry.
"""

import json
import os
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

MINHASH = {"ngram": 5, "min_length": 5, "num_perm": 112, "b": 14, "r": 8, "seed": 1}


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr
    start = json.loads(sys.stdin.readline())
    found = f"{version('text-dedup')} with datasets {version('datasets')}"
    print(json.dumps({"version": found}), file=answers, flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        work = Path(question["folder"])
        seconds, steps = deduplicate(question["input"], work, start["workers"])
        print(json.dumps({"seconds": seconds, "steps": steps, "kept": str(kept(work))}), file=answers, flush=True)


def deduplicate(source: str, work: Path, workers: int) -> tuple:
    work.mkdir(parents=True, exist_ok=True)
    options = {
        "path": "json",
        "data_files": f"{source}/*.jsonl",
        "split": "train",
        "cache_dir": str(work / "cache"),
        "output": str(work / "output"),
        "column": "text",
        "batch_size": 10_000,
        "num_proc": workers,
        **MINHASH,
    }
    command = [sys.executable, "-m", "text_dedup.minhash"]
    command += [word for key, value in options.items() for word in (f"--{key}", str(value))]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(work / "home")}
    environment["COLUMNS"] = "200"  # its logger breaks lines at 80, between a step and its time
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, cwd=work, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.stderr.write(done.stdout[-4000:] + done.stderr[-4000:])
        sys.exit(1)
    return seconds, timers(done.stdout + done.stderr)


def timers(said: str) -> dict:
    """Its own report of its steps: `Loading                         : 1.23s`, wherever its logger puts it."""
    import re

    found = re.findall(r"(Loading|MinHashing|Clustering|Filtering|Saving|Cleaning)\s*:\s*([\d.]+)\s*s", said)
    return {name.lower(): float(value) for name, value in found}


def kept(work: Path) -> Path:
    from datasets import load_from_disk

    path = work / "kept.txt"
    with path.open("w", encoding="utf-8") as out:
        out.writelines(f"{i}\n" for i in load_from_disk(str(work / "output"))["id"])
    return path


if __name__ == "__main__":
    main()

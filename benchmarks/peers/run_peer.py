"""Runs one peer in the peers' environment. Standard library and the peer; nothing of ours.

    python run_peer.py NAME DOCUMENTS.json CORE

Reads the documents, says {"ready": version} on standard output, then answers each line "run" with {"seconds": s}.
"""

import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path


def datatrove(documents):
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature

    step = MinhashDedupSignature("unused", MinhashConfig())  # 5 words, 14 bands of 8

    def run():
        for text in documents:
            step.get_signature(step.get_shingles(text))

    return run


def datasketch(documents):
    from datasketch import MinHash

    def run():
        for text in documents:
            words = text.lower().split()
            shingles = [" ".join(words[i : i + 5]).encode() for i in range(len(words) - 4)]
            MinHash(num_perm=112).update_batch(shingles)

    return run


def rensa(documents):
    from rensa import RMinHash

    def run():
        for text in documents:
            words = text.lower().split()
            minhash = RMinHash(num_perm=112, seed=42)
            minhash.update([" ".join(words[i : i + 5]) for i in range(len(words) - 4)])
            minhash.digest()

    return run


def main():
    name, path, core = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    documents = json.loads(Path(path).read_text(encoding="utf-8"))
    answers, sys.stdout = sys.stdout, sys.stderr  # peers print as they like
    peers = {"datatrove": datatrove, "datasketch": datasketch, "rensa": rensa}
    peers[name](documents[:5])()  # models and tables are loaded before anything is timed
    run = peers[name](documents)
    print(json.dumps({"ready": version(name)}), file=answers, flush=True)
    for line in sys.stdin:
        if line.strip() == "run":
            start = time.perf_counter()
            run()
            print(json.dumps({"seconds": time.perf_counter() - start}), file=answers, flush=True)


main()

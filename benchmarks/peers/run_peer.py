"""Runs one peer in the peers' environment. Standard library and the peer; nothing of ours.

    python run_peer.py NAME

JSON lines: {"documents": [text, ...], "core": int or null} on standard input is answered with {"version": v} once the
peer is loaded and warm; then each {"run": 1} with {"seconds": s}, the time for all the documents.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

WARM_UP = 5
"""Documents signed before anything is timed: models, tables and lazy imports."""

Sign = Callable[[str], object]


def datatrove() -> Sign:
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature

    step = MinhashDedupSignature("unused", MinhashConfig())  # 5 words, 14 bands of 8
    return lambda text: step.get_signature(step.get_shingles(text))


def datasketch() -> Sign:
    from datasketch import MinHash

    def sign(text: str) -> object:
        minhash = MinHash(num_perm=112)
        minhash.update_batch([shingle.encode() for shingle in shingles(text)])
        return minhash.digest()

    return sign


def rensa() -> Sign:
    from rensa import RMinHash

    def sign(text: str) -> object:
        minhash = RMinHash(num_perm=112, seed=42)
        minhash.update(shingles(text))
        return minhash.digest()

    return sign


def shingles(text: str) -> list[str]:
    """For libraries that leave shingles to their user: the quickest plain Python."""
    words = text.lower().split()
    return [" ".join(words[i : i + 5]) for i in range(len(words) - 4)]


PEERS = {"datatrove": datatrove, "datasketch": datasketch, "rensa": rensa}


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # peers print as they like
    name, start = sys.argv[1], json.loads(sys.stdin.readline())
    if start["core"] is not None:
        os.sched_setaffinity(0, {start["core"]})
    sign, documents = PEERS[name](), start["documents"]
    for text in documents[:WARM_UP]:
        sign(text)
    print(json.dumps({"version": version(name)}), file=answers, flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        for text in documents:
            sign(text)
        print(json.dumps({"seconds": time.perf_counter() - began}), file=answers, flush=True)


main()

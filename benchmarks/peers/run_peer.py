"""Runs one peer in the peers' environment. Standard library and the peer; nothing of ours.

    python run_peer.py NAME

JSON lines: {"documents": [text, ...], "core": int or null} on standard input is answered with {"version": v} once the
peer is loaded and warm; then each {"run": 1} with {"seconds": s}, the time for all the documents, and {"answers": 1}
with {"answers": [...]}, what the peer finds in each of them.
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


def datatrove_filters() -> Sign:
    """FineWeb's four filters in its order; C4's edits the text that the next one sees."""
    from datatrove.data import Document
    from datatrove.pipeline import filters

    steps = {
        "gopher_repetition": filters.GopherRepetitionFilter(),
        "gopher_quality": filters.GopherQualityFilter(),
        "c4_quality": filters.C4QualityFilter(filter_no_terminal_punct=False),
        "fineweb_quality": filters.FineWebQualityFilter(),
    }

    def judge(text: str) -> object:
        document = Document(text, "x")
        return all(step.filter(document) is True for step in steps.values())

    def reason(step: filters.base_filter.BaseFilter, text: str) -> object:
        verdict = step.filter(Document(text, "x"))
        return None if verdict is True else verdict[1]

    ANSWERS["datatrove_filters"] = lambda text: {name: reason(step, text) for name, step in steps.items()}
    return judge


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


PEERS = {
    "datatrove": datatrove,
    "datatrove_filters": datatrove_filters,
    "datasketch": datasketch,
    "rensa": rensa,
}
ANSWERS: dict[str, Sign] = {}
"""What a peer finds in a document, where it is asked for more than the time."""


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # peers print as they like
    name, start = sys.argv[1], json.loads(sys.stdin.readline())
    if start["core"] is not None:
        os.sched_setaffinity(0, {start["core"]})
    sign, documents = PEERS[name](), start["documents"]
    for text in documents[:WARM_UP]:
        sign(text)
    print(json.dumps({"version": version(name.partition("_")[0])}), file=answers, flush=True)
    for line in sys.stdin:
        if "answers" in json.loads(line):
            print(json.dumps({"answers": [ANSWERS[name](text) for text in documents]}), file=answers, flush=True)
            continue
        began = time.perf_counter()
        for text in documents:
            sign(text)
        print(json.dumps({"seconds": time.perf_counter() - began}), file=answers, flush=True)


main()

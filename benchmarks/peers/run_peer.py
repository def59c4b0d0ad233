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


def datatrove_fineweb() -> Sign:
    """FineWeb's recipe up to its quality filters over one archive; a "document" is `archive TAB model TAB folder`."""
    import shutil
    from collections import deque
    from pathlib import Path

    from datatrove.pipeline.extractors import Trafilatura
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
        LanguageFilter,
        URLFilter,
    )
    from datatrove.pipeline.readers import WarcReader
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils.lid import FT176LID

    loaded: list[object] = []

    def run(task: str) -> object:
        archive, model, out = task.split("\t")
        FT176LID.MODEL_URL = model
        shutil.rmtree(out, ignore_errors=True)
        if not loaded:  # lists and models stay, as they do within a task
            loaded.extend([URLFilter(), LanguageFilter()])
        steps = [
            WarcReader(str(Path(archive).parent), glob_pattern=Path(archive).name, default_metadata={"dump": "sample"}),
            loaded[0],
            Trafilatura(favour_precision=True),
            loaded[1],
            GopherRepetitionFilter(),
            GopherQualityFilter(),
            C4QualityFilter(filter_no_terminal_punct=False),
            FineWebQualityFilter(),
            JsonlWriter(out),
        ]
        spent, kept, documents = {}, [0], None

        def timed(name: str, documents: object) -> object:
            iterator = iter(documents)
            while True:
                start = time.perf_counter()
                document = next(iterator, None)
                spent[name] = spent.get(name, 0.0) + time.perf_counter() - start
                if document is None:
                    return
                yield document

        for step in steps:
            documents = timed(type(step).__name__, step.run(documents, 0, 1))
        deque(documents, maxlen=0)
        before, own = 0.0, {}
        for name, seconds in spent.items():
            own[name], before = round(seconds - before, 3), seconds
        kept[0] = steps[-1].stats.stats["total"].total if "total" in steps[-1].stats.stats else 0
        return {"stages": own, "kept": kept[0], "trafilatura": version("trafilatura")}

    ANSWERS["datatrove_fineweb"] = run
    return run


PEERS = {
    "datatrove_fineweb": datatrove_fineweb,
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

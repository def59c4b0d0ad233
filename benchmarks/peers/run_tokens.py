"""Runs datatrove's DocumentTokenizer in the peers' environment. Standard library and the peer; nothing of ours.

JSON lines: {"tokenizer": path, "documents": [text, ...], "core": int or null} on standard input is answered with
{"version": v}; then each {"run": 1} with {"seconds": s}, the time for all the documents, files written.
"""

import json
import os
import sys
import tempfile
import time
from importlib.metadata import version


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    start = json.loads(sys.stdin.readline())
    if start["core"] is not None:
        os.sched_setaffinity(0, {start["core"]})
    from datatrove.data import Document
    from datatrove.pipeline.tokens import DocumentTokenizer

    def run(texts: list[str]) -> float:
        documents = [Document(text, str(i)) for i, text in enumerate(texts)]
        with tempfile.TemporaryDirectory() as folder:
            step = DocumentTokenizer(
                folder, tokenizer_name_or_path=start["tokenizer"], eos_token=None, shuffle_documents=False
            )
            step.tokenizer  # noqa: B018 (loads it)
            began = time.perf_counter()
            step.run(iter(documents), 0, 1)
            return time.perf_counter() - began

    run(start["documents"][:5])
    print(json.dumps({"version": version("datatrove")}), file=answers, flush=True)
    for _ in sys.stdin:
        print(json.dumps({"seconds": run(start["documents"])}), file=answers, flush=True)


main()

"""Ours in a process of its own: the clean stage of one archive, as a worker of a run does it.

    python -m benchmarks.clean_worker

JSON lines: {"archive", "recipe": what a recipe file says, "folder", "core"} on standard input is answered with
{"version": v} once models and lists are loaded and kernels compiled; then each {"run": 1} with what `measured` finds
and the file written; {"run": 1, "stages": 1} also with seconds and rows by stage, for which clocks are put around the
functions of the product; the other runs are of the product as it is.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.peers.stage_clocks import StageClocks, measured
from corpusmill.clean import document_flow, page_text
from corpusmill.clean.clean_job import CleanTask, clean_part
from corpusmill.clean.url_rules import UrlFilter
from corpusmill.ingest import page_sources
from corpusmill.recipe import parse_recipe
from corpusmill.storage import Folder
from corpusmill.version import __version__

REST = "write"
"""What no other clock has: splitting, Parquet, checksums, the record."""
GENERATORS: tuple[tuple[str, Any, str], ...] = (
    ("read", page_sources, "read_pages"),
    ("visible text + screen", document_flow, "extract"),  # less what its parts below take; batches of columns
    ("edit", document_flow, "edit"),
    ("language", document_flow, "identified"),
    ("measures + rules", document_flow, "scored"),
    ("measures + rules", document_flow, "measured"),
    ("measures + rules", document_flow, "judge"),
)
FUNCTIONS: tuple[tuple[str, Any, str], ...] = (
    ("decode", page_text, "decode"),
    ("visible text + screen", page_text, "visible_text"),
    ("visible text + screen", page_text.Extractor, "_screen"),
    ("url rules", UrlFilter, "find_batch"),
    ("extract", page_text.Extractor, "_main_texts"),  # the head of the page included
)
"""(stage, where it is looked up, name): a name that is no longer there is an error, not a stage without a time."""


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr
    start = json.loads(sys.stdin.readline())
    if start["core"] is not None:
        os.sched_setaffinity(0, {start["core"]})
    task = _task(start["archive"], start["recipe"], start["folder"])
    clean_part(_task(start["warm"], start["recipe"], start["folder"]))
    print(json.dumps({"version": __version__}), file=answers, flush=True)
    for line in sys.stdin:
        clocks = StageClocks()
        with ExitStack() as stack:
            work = clean_part
            if "stages" in json.loads(line):
                stack.enter_context(clocked(clocks))
                work = clocks.call(REST, clean_part)
            found: dict[str, Any] = dict(measured(partial(work, task)))
        found |= {"stages": clocks.seconds, "items": clocks.items}
        found["output"] = str(Path(start["folder"]) / "documents" / "part-00000.parquet")
        print(json.dumps(found), file=answers, flush=True)


@contextmanager
def clocked(clocks: StageClocks) -> Iterator[None]:
    with ExitStack() as stack:
        for name, owner, attribute in GENERATORS:
            stack.enter_context(_replaced(owner, attribute, _generator(clocks, name, getattr(owner, attribute))))
        for name, owner, attribute in FUNCTIONS:
            stack.enter_context(_replaced(owner, attribute, clocks.call(name, getattr(owner, attribute))))
        yield


def _generator(clocks: StageClocks, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments, **named: clocks.each(name, function(*arguments, **named))


@contextmanager
def _replaced(owner: Any, attribute: str, value: Any) -> Iterator[None]:
    found = getattr(owner, attribute)
    setattr(owner, attribute, value)
    try:
        yield
    finally:
        setattr(owner, attribute, found)


def _task(archive: str, recipe: dict[str, Any], folder: str) -> CleanTask:
    size = Path(archive).stat().st_size
    return CleanTask(Folder(folder), 0, archive, parse_recipe(recipe), "benchmark", {"input": archive, "bytes": size})


if __name__ == "__main__":
    main()

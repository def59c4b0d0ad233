"""Extractors in the peers' environment. The peers and the standard library.

JSON lines: {"pages": [html, ...], "core"} on standard input is answered with {"versions": {way: version},
"missing": {way: reason}}; then {"texts": way} with {"texts": [...]}, which warms it too, and {"run": way} with
{"seconds": s}, the time for the pages that `first` counts.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version

Way = Callable[[str], str | None]


def fast() -> Way:
    from trafilatura import bare_extraction

    def extract(html: str) -> str | None:
        found = bare_extraction(html, fast=True, include_comments=False, with_metadata=False)
        return None if found is None else found.text

    return extract


def default() -> Way:
    import trafilatura

    return lambda html: trafilatura.extract(html, include_comments=False)


def precision() -> Way:
    """As datatrove's Trafilatura block calls it."""
    import trafilatura

    return lambda html: trafilatura.extract(html, favor_precision=True, include_comments=False, deduplicate=True)


def resiliparse() -> Way:
    from resiliparse.extract.html2text import extract_plain_text

    return lambda html: extract_plain_text(html, main_content=True, alt_texts=False)


def justext() -> Way:
    import justext as library

    words = library.get_stoplist("English")

    def extract(html: str) -> str:
        return "\n".join(p.text for p in library.justext(html, words) if not p.is_boilerplate)

    return extract


WAYS = {
    "trafilatura fast": ("trafilatura", fast),
    "trafilatura": ("trafilatura", default),
    "trafilatura precision": ("trafilatura", precision),
    "resiliparse main content": ("resiliparse", resiliparse),
    "jusText English": ("jusText", justext),
}


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr
    start = json.loads(sys.stdin.readline())
    if start["core"] is not None:
        os.sched_setaffinity(0, {start["core"]})
    pages, ways, versions, missing = start["pages"], {}, {}, {}
    for name, (package, make) in WAYS.items():
        try:
            ways[name], versions[name] = make(), version(package)
        except ImportError as e:
            missing[name] = f"not installed: {e}"
    print(json.dumps({"versions": versions, "missing": missing}), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        forget()
        if "texts" in asked:
            answer: dict[str, object] = {"texts": [text_of(ways[asked["texts"]], page) for page in pages]}
        else:
            way, began = ways[asked["run"]], time.perf_counter()
            for page in pages[: asked["first"]]:
                text_of(way, page)
            answer = {"seconds": time.perf_counter() - began}
        print(json.dumps(answer), file=answers, flush=True)


def forget() -> None:
    """deduplicate=True drops what it saw before, in whatever page: each pass begins as a process does."""
    with suppress(ImportError):
        from trafilatura.deduplication import LRU_TEST

        LRU_TEST.clear()


def text_of(way: Way, page: str) -> str:
    """A page that a library cannot take has no text: it counts against it, and the others go on."""
    try:
        return way(page) or ""
    except Exception:
        return ""


main()

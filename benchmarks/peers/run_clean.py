"""datatrove's FineWeb recipe up to its quality filters, in the peers' environment. The peer and the standard library.

JSON lines: {"archive", "model", "folder", "core"} on standard input is answered with {"version": v} once lists and
models are loaded and every step is warm; then each {"run": 1} with what `measured` finds, the file written, and
seconds and documents by step. The steps are chained as LocalPipelineExecutor chains them for one task.
"""

import json
import os
import sys
from collections import deque
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stage_clocks import StageClocks, measured

PROSE = "The river ran past the old mill, and the people of the town came down to it every day. " * 20
STEPS = ("read", "url rules", "extract", "language", "repetition", "gopher", "c4", "fineweb", "write")


class Recipe:
    """The filters, loaded once; `run` makes a fresh reader, extractor and writer, as a task would."""

    def __init__(self, archive: Path, model: str, folder: Path) -> None:
        from datatrove.data import Document
        from datatrove.pipeline.extractors import Trafilatura
        from datatrove.pipeline.filters import (
            C4QualityFilter,
            FineWebQualityFilter,
            GopherQualityFilter,
            GopherRepetitionFilter,
            LanguageFilter,
            URLFilter,
        )
        from datatrove.utils.lid import FT176LID
        from datatrove.utils.logging import logger
        from tldextract import TLDExtract

        logger.remove()
        FT176LID.MODEL_URL = model
        self.archive, self.folder = archive, folder
        urls = URLFilter()
        urls.tldextractor = TLDExtract(suffix_list_urls=(), cache_dir=None)  # its own snapshot, not the network
        self.filters = [
            LanguageFilter(languages=["en"], language_threshold=0.65),
            GopherRepetitionFilter(),
            GopherQualityFilter(),
            C4QualityFilter(filter_no_terminal_punct=False),
            FineWebQualityFilter(),
        ]
        self.urls = urls
        for step in (urls, *self.filters):
            step.filter(Document(text=PROSE, id="warm", metadata={"url": "https://example.org/warm"}))
        Trafilatura(favour_precision=True).extract(f"<html><body><p>{PROSE}</p></body></html>")

    def run(self, clocks: StageClocks) -> dict[str, int]:
        """Documents lost to the extractor's clock, to its crashes and to its errors."""
        from datatrove.pipeline.extractors import Trafilatura
        from datatrove.pipeline.readers import WarcReader
        from datatrove.pipeline.writers import JsonlWriter

        extractor = Trafilatura(favour_precision=True)
        steps = [
            WarcReader(str(self.archive.parent), glob_pattern=self.archive.name),
            self.urls,
            extractor,
            *self.filters,
            JsonlWriter(str(self.folder / "kept")),
        ]
        data: Any = None
        for name, step in zip(STEPS, steps, strict=True):
            data = clocks.each(name, step(data, 0, 1))
        deque(data, maxlen=0)
        counted = extractor.stats.stats
        return {k: int(counted[k].total) for k in ("timeout", "broken_process", "clean_error") if k in counted}


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # peers print as they like
    start = json.loads(sys.stdin.readline())
    if start["core"] is not None:
        os.sched_setaffinity(0, {start["core"]})
    folder = Path(start["folder"])
    os.environ |= {"HF_ASSETS_CACHE": str(folder / "assets"), "HF_HUB_OFFLINE": "1"}
    recipe = Recipe(Path(start["archive"]), start["model"], folder)
    versions = f"{version('datatrove')} with trafilatura {version('trafilatura')}"
    print(json.dumps({"version": versions}), file=answers, flush=True)
    for _ in sys.stdin:
        clocks, lost = StageClocks(), dict[str, int]()
        found = measured(lambda: lost.update(recipe.run(clocks)))  # noqa: B023  it runs at once
        answer = found | {"stages": clocks.seconds, "items": clocks.items, "lost": lost}
        answer["output"] = str(folder / "kept" / "00000.jsonl.gz")
        print(json.dumps(answer), file=answers, flush=True)


main()

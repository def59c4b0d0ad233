"""URL rules with datatrove's lists (4.6 million hosts) on real addresses: addresses a second on one core."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.harness import Contender, Pair, in_rounds, pin, show, timed
from corpusmill.clean import UrlFilter
from corpusmill.clean.url_lists import DATATROVE
from corpusmill.ingest import Tally, read_pages
from corpusmill.version import __version__

UNIT = "addresses/s/core"
PEER_URLS = 1000


def run(data: Path, rounds: int, documents: int) -> dict[str, Any]:
    """Measure and print. Raises FileNotFoundError where the archive is not there."""
    urls = addresses(data / "warc" / "sample-dev.warc.gz")[:documents]
    pin()
    # read, cached and mapped before the clock starts, as datatrove's sets are filled
    judge = UrlFilter(lists=[DATATROVE])

    def ours(count: int) -> Contender:
        judge.find_batch(urls[:count])
        return Contender("corpusmill", __version__, count, timed(lambda: judge.find_batch(urls[:count])))

    pairs, missing = [], {}
    try:
        pairs.append(Pair(datatrove(urls[:PEER_URLS]), ours(min(PEER_URLS, len(urls)))))
    except ImportError as e:
        missing["datatrove"] = f"not installed: {e}"
    whole = ours(len(urls))
    pairs, crashed = in_rounds(whole, pairs, rounds)
    return show("urls", UNIT, whole, pairs, missing | crashed, f"{len(urls):,} addresses of sample-dev.warc.gz")


def addresses(archive: Path) -> list[str]:
    """The different ones, in the order of the archive."""
    with archive.open("rb") as f:
        found = [u for batch in read_pages(f, archive.name, Tally()) for u in batch.column("url").to_pylist() if u]
    return list(dict.fromkeys(found))


def datatrove(urls: list[str]) -> Contender:
    """Its URLFilter, with its lists loaded and its suffix list taken from tldextract's snapshot, not the network."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import url_filter
    from tldextract import TLDExtract

    with tempfile.TemporaryDirectory() as folder:
        url_filter.cached_assets_path = lambda **_: folder
        judge = url_filter.URLFilter()
        judge.tldextractor = TLDExtract(suffix_list_urls=(), cache_dir=None)
        judge.download_data()
    documents = [Document(text="", id="", metadata={"url": u}) for u in urls]
    return Contender("datatrove", version("datatrove"), len(urls), timed(lambda: [judge.filter(d) for d in documents]))

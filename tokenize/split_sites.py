"""Which documents are held out for evaluation: whole sites, by a rule that does not move when the corpus grows.

After deduplication a cluster of near-duplicates is one document, so it lies on one side by itself; and a site's pages
share templates, authors and topics, so a site lies on one side as a whole. The side of a site is a hash of its name and
the seed: the same in every run, whatever else is in the corpus.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import xxhash


def is_heldout(host: str | None, permille: int, seed: int) -> bool:
    """Whether the site of `host` is among the `permille` thousandths held out."""
    key = f"{seed}:{site_of(host or '')}"
    return xxhash.xxh3_64_intdigest(key) % 1000 < permille


@lru_cache(maxsize=65_536)
def site_of(host: str) -> str:
    """The registrable domain (public suffix list, its private part too: each blog of a blog host is a site)."""
    found: str = _extractor()(host).top_domain_under_public_suffix
    return found or host.removeprefix("www.")


@lru_cache(maxsize=1)
def _extractor() -> Any:
    import tldextract

    # the list that comes with the package: nothing is fetched, and nothing changes between runs
    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None, include_psl_private_domains=True)

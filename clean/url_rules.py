"""Rules on a page's address alone: the cheapest test there is, so it comes first.

>>> UrlFilter(banned_words=["casino"]).judge("https://a.example/BEST-CASINO")
'banned_word'
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from corpusmill.clean.url_address import address_of, host_name
from corpusmill.clean.url_kernels import NOWHERE, match_addresses, match_hosts
from corpusmill.clean.url_lists import UrlList, keys_of_hosts, load_list
from corpusmill.clean.word_automaton import WordAutomaton, words_of
from corpusmill.columns import batch_of, text_buffers
from corpusmill.errors import InputError

REASONS = ("banned_host", "banned_url", "banned_word", "soft_words", "banned_subword")
"""In the order in which they are looked for; the first is the address's."""
_NO_KEYS = np.empty(0, np.uint64)


class Finding(NamedTuple):
    reason: str
    found: str
    """What was found in the address."""


class UrlFilter:
    """Banned hosts, addresses and words. All are compared case-insensitively, on the decoded URL without its scheme.

    `banned_hosts`, `allowed_hosts`: with everything under them; nothing is asked of an allowed one.
    `banned_words`, `soft_words`: whole words, so that "sex" lets Essex through; several words must follow one another.
    One banned word is enough, and more than `max_soft_words` different soft ones.
    `banned_subwords`: found anywhere, across separators too.
    `lists`: see `url_lists.load_list`. About 5 µs a URL in batches.
    """

    def __init__(
        self,
        banned_hosts: Sequence[str] = (),
        banned_words: Sequence[str] = (),
        *,
        soft_words: Sequence[str] = (),
        max_soft_words: int = 1,
        banned_subwords: Sequence[str] = (),
        allowed_hosts: Sequence[str] = (),
        lists: Sequence[str] = (),
    ) -> None:
        given = {
            "banned_hosts": banned_hosts, "banned_words": banned_words, "soft_words": soft_words,
            "banned_subwords": banned_subwords, "allowed_hosts": allowed_hosts, "lists": lists,
        }  # fmt: skip
        for key, value in given.items():
            if isinstance(value, str):  # its letters would be banned, one by one
                raise InputError(f"UrlFilter: {key}: found {value!r}; expected a list, as in [{value!r}]")
        loaded = [load_list(name) for name in lists]
        self.max_soft_words = max_soft_words
        self._allowed = _own_hosts(allowed_hosts, "allowed_hosts")
        self._lists = [UrlList(_own_hosts(banned_hosts, "banned_hosts"), _NO_KEYS, _NO_KEYS, _NO_KEYS), *loaded]
        self._words = WordAutomaton([*banned_words, *_listed(loaded, "words")], "banned_words")
        self._soft_words = WordAutomaton([*soft_words, *_listed(loaded, "soft_words")], "soft_words")
        self._subwords = WordAutomaton(
            [*banned_subwords, *_listed(loaded, "subwords")], "banned_subwords", squeezed=True
        )

    def judge(self, url: str | None) -> str | None:
        """The reason to drop one address, or None. For people and tests; work in batches."""
        found = self.find(url)
        return found.reason if found else None

    def judge_batch(self, urls: Sequence[str | None] | pa.Array) -> pa.StringArray:
        """The reason to drop each address, or null."""
        return pa.array([f.reason if f else None for f in self.find_batch(urls)], pa.string())

    def find(self, url: str | None) -> Finding | None:
        """As `judge`, and what was found."""
        return self.find_batch([url])[0]

    def find_batch(self, urls: Sequence[str | None] | pa.Array) -> list[Finding | None]:
        if not isinstance(urls, (list, tuple)):
            urls = batch_of(urls).to_pylist()
        findings: list[Finding | None] = [None] * len(urls)
        open_rows = [i for i, url in enumerate(urls) if url]
        if open_rows:
            self._find([urls[i] or "" for i in open_rows], open_rows, findings)
        return findings

    def _find(self, urls: list[str], rows: list[int], findings: list[Finding | None]) -> None:
        """Later rules do not overwrite what earlier ones found."""
        hosts, locations, texts = zip(*map(address_of, urls), strict=True)
        allowed = self._by_host(hosts, locations, rows, findings)
        if not (self._words or self._soft_words or self._subwords):
            return
        left = [i for i, row in enumerate(rows) if findings[row] is None and i not in allowed]
        buffers = _buffers([words_of(texts[i]) for i in left])
        for i, found in self._words.find(*buffers):
            findings[rows[left[i]]] = Finding("banned_word", min(found))
        for i, found in self._soft_words.find(*buffers):
            if len(found) > self.max_soft_words and findings[rows[left[i]]] is None:
                findings[rows[left[i]]] = Finding("soft_words", ", ".join(sorted(found)))
        for i, found in self._subwords.find(*buffers):
            if findings[rows[left[i]]] is None:
                findings[rows[left[i]]] = Finding("banned_subword", min(found))

    def _by_host(
        self, hosts: Sequence[str], locations: Sequence[str], rows: list[int], findings: list[Finding | None]
    ) -> set[int]:
        """Find banned hosts and addresses; the positions of those that are allowed."""
        allowed: set[int] = set()
        if not len(self._allowed) and not any(len(x.under) or len(x.exact) or len(x.addresses) for x in self._lists):
            return allowed
        host_buffers = _buffers(hosts)
        if len(self._allowed):
            allowed = set(np.flatnonzero(match_hosts(*host_buffers, self._allowed, _NO_KEYS) != NOWHERE).tolist())
        location_buffers = None
        for one in self._lists:
            if len(one.under) or len(one.exact):
                starts = match_hosts(*host_buffers, one.under, one.exact)
                for i in np.flatnonzero(starts != NOWHERE).tolist():
                    if i not in allowed and findings[rows[i]] is None:
                        findings[rows[i]] = Finding("banned_host", hosts[i].encode()[starts[i] :].decode())
        for one in self._lists:
            if len(one.addresses):
                location_buffers = location_buffers or _buffers(locations)
                ends = match_addresses(*location_buffers, one.address_hosts, one.addresses)
                for i in np.flatnonzero(ends != NOWHERE).tolist():
                    if i not in allowed and findings[rows[i]] is None:
                        findings[rows[i]] = Finding("banned_url", locations[i].encode()[: ends[i]].decode())
        return allowed


def _own_hosts(hosts: Sequence[str], what: str) -> np.ndarray:
    names = [host_name(h.strip().removeprefix("*")) for h in hosts]
    for given, name in zip(hosts, names, strict=True):
        if not name or "/" in name or " " in name:
            raise InputError(f"{what}: found {given!r}; expected a host, for example bad.example (subdomains included)")
    return keys_of_hosts(names) if names else _NO_KEYS


def _listed(lists: Sequence[UrlList], kind: str) -> list[str]:
    return [word for one in lists for word in one.words.get(kind, ())]


def _buffers(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    # a lone surrogate cannot be stored as UTF-8
    try:
        column = pa.array(texts, pa.large_string())
    except UnicodeEncodeError:
        column = pa.array([t.encode("utf-8", "replace").decode() for t in texts], pa.large_string())
    return text_buffers(column)

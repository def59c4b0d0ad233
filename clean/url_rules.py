"""Rules on a page's address alone: the cheapest test there is, so it comes first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

_WORD = re.compile(r"[^\W_]+")


class UrlFilter:
    """Banned hosts (subdomains included) and banned words, compared case-insensitively on the decoded URL.

    Words are whole: `banned_words=("sex",)` lets Essex through.
    """

    def __init__(self, banned_hosts: Sequence[str] = (), banned_words: Sequence[str] = ()) -> None:
        self.banned_hosts = frozenset(h.lower().strip(".") for h in banned_hosts)
        self.banned_words = frozenset(w.lower() for w in banned_words)

    def judge(self, url: str | None, host: str | None) -> tuple[str, str] | None:
        """(reason, what was found), or None where the address is fine."""
        banned = self._banned_host(host.lower().rstrip(".")) if host and self.banned_hosts else None
        if banned is not None:
            return "banned_host", banned
        if url and self.banned_words:
            words = self.banned_words.intersection(_WORD.findall(unquote(url).lower()))
            if words:
                return "banned_word", min(words)
        return None

    def _banned_host(self, host: str) -> str | None:
        host = host.rstrip(".")  # a name may be written with the dot of the root
        while host:
            if host in self.banned_hosts:
                return host
            _, _, host = host.partition(".")
        return None

"""Title, author and date as a page's head declares them."""

from __future__ import annotations

import html
import re
from typing import NamedTuple

_HEAD_CHARS = 100_000
_TITLE = re.compile(r"<title\b[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_META = re.compile(r"<meta\b((?:[^>\"']|\"[^\"]*\"|'[^']*')*)>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"([a-zA-Z:-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))")
_END = re.compile(r"</head\b|<body\b", re.IGNORECASE)
_AUTHOR = ("author", "article:author")
_DATE = ("article:published_time", "date", "datepublished")
_MAX_CHARS = 500


class Head(NamedTuple):
    """Each on one line of at most 500 characters, or None. The date is as the page writes it."""

    title: str | None
    author: str | None
    date: str | None


def head_of(page: str) -> Head:
    """Read the `title` and `meta` tags of the head; nothing of the body is looked at."""
    end = _END.search(page, 0, _HEAD_CHARS)
    head = page[: end.start() if end else _HEAD_CHARS]
    title = _TITLE.search(head)
    named: dict[str, str] = {}
    for tag in _META.finditer(head):
        attributes = {
            name.lower(): double or single or bare for name, double, single, bare in _ATTRIBUTE.findall(tag[1])
        }
        name = (attributes.get("name") or attributes.get("property") or attributes.get("itemprop") or "").lower()
        if name and attributes.get("content"):
            named.setdefault(name, attributes["content"])
    return Head(_line(title[1] if title else None), _first(named, _AUTHOR), _first(named, _DATE))


def _first(named: dict[str, str], names: tuple[str, ...]) -> str | None:
    return next((_line(named[name]) for name in names if name in named), None)


def _line(value: str | None) -> str | None:
    if not value:
        return None
    line = " ".join(html.unescape(value).split())[:_MAX_CHARS]
    return line.encode("utf-8", "replace").decode() or None

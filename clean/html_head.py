"""Title, author and date as a page's head declares them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import NamedTuple

_HEAD_CHARS = 100_000
# Possessive (++, *+) and begun only where a match may begin: no head, however odd, costs more than its length
_UNSEEN = re.compile(
    r"<!--(?:-?>|.*?(?:-->|\Z))|<(script|style|noscript|template)\b.*?(?:</\1|\Z)", re.IGNORECASE | re.DOTALL
)
_TITLE = re.compile(r"<title\b[^>]*+>", re.IGNORECASE)
_TITLE_END = re.compile(r"</title", re.IGNORECASE)
_META = re.compile(r"<meta\b", re.IGNORECASE)
_INSIDE = re.compile(r"((?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+)>")
_INSIDE_LOOSELY = re.compile(r"([^>]*+)>")
_ATTRIBUTE = re.compile(r"(?<![a-zA-Z:-])([a-zA-Z:-]++)\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s\"'>]++))")
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
    """Read the `title` and `meta` tags of the head, but for those in comments and scripts; nothing of the body."""
    head = _UNSEEN.sub(" ", page[:_HEAD_CHARS])
    end = _END.search(head)
    head = head[: end.start()] if end else head
    named: dict[str, str] = {}
    for tag in _meta_tags(head):
        attributes: dict[str, str] = {}
        for name, double, single, bare in _ATTRIBUTE.findall(tag):
            attributes.setdefault(name.lower(), double or single or bare)
        name = (attributes.get("name") or attributes.get("property") or attributes.get("itemprop") or "").lower()
        if name and attributes.get("content"):
            named.setdefault(name, attributes["content"])
    return Head(_line(_title(head)), _first(named, _AUTHOR), _first(named, _DATE))


def _title(head: str) -> str | None:
    begin = _TITLE.search(head)
    end = _TITLE_END.search(head, begin.end()) if begin else None
    return head[begin.end() : end.start()] if begin and end else None


def _meta_tags(head: str) -> Iterator[str]:
    """What stands in each meta tag. After a quote that is never closed, quotes count no more."""
    inside, at = _INSIDE, 0
    while begin := _META.search(head, at):
        found = inside.match(head, begin.end())
        if found is None:
            inside = _INSIDE_LOOSELY
            found = inside.match(head, begin.end())
        if found is None:
            return
        yield found[1]
        at = found.end()


def _first(named: dict[str, str], names: tuple[str, ...]) -> str | None:
    return next((_line(named[name]) for name in names if name in named), None)


def _line(value: str | None) -> str | None:
    if not value:
        return None
    line = " ".join(html.unescape(value).split())[:_MAX_CHARS]
    return line.encode("utf-8", "replace").decode() or None

"""Which pages there are, and each of them as an HTTP response with its truth.

Page `i` is a pure function of (pages, seed, i): a duplicate writes its original again rather than remember it, so
memory does not grow with the number of pages.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from corpusmill.sample import broken
from corpusmill.sample.edits import near_duplicate
from corpusmill.sample.hosts import Host, make_hosts
from corpusmill.sample.markup import Story, blocks_html, page_html, slug, teasers_html
from corpusmill.sample.prose import Article, Block, write_article
from corpusmill.sample.vocabulary import LANGUAGES, language, seeded

SHARES = {
    "article": 0.46,
    "near_duplicate": 0.08,
    "exact_duplicate": 0.06,
    "listing": 0.06,
    "spam": 0.05,
    "adult_url": 0.04,
    "short": 0.04,
    "table_page": 0.03,
    "code_page": 0.03,
    "broken": 0.03,
    "redirect": 0.03,
    "not_html": 0.03,
    "error_404": 0.025,
    "empty": 0.015,
    "no_content_type": 0.01,
    "hostile": 0.01,
}
ORIGINAL_KINDS = ("article", "near_duplicate", "exact_duplicate")

_STYLES = {"table_page": "table", "code_page": "code", "short": "short"}
_ADULT_PATHS = ("BEST-CASINO", "xxx", "Free-Porn", "porn-videos", "online-casino", "XXX-Gallery", "casino_bonus")
_ADULT_HOSTS = ("xxx-{}", "porn.{}", "casino-{}", "free-xxx.{}")
_ALERT, _BREAKOUT = "<script>alert(1)</script>", '"</script><img src=x onerror=alert(1)>"'


@dataclass(frozen=True, slots=True)
class Page:
    """One response: what the server sent, and what is true of it. `detail` names the edit or the damage."""

    number: int
    kind: str
    url: str
    host: Host
    host_name: str
    body: bytes
    content_type: str | None = "text/html"
    status: int = 200
    location: str | None = None
    truncated: bool = False
    title: str | None = None
    text: str | None = None
    cluster: int | None = None
    jaccard: float | None = None
    detail: str | None = None

    @property
    def readable(self) -> bool:
        """Whether the body is text, so that it has a language and a charset."""
        return bool(self.body) and self.detail not in ("binary", "pdf", "png")


class Web:
    """`pages` pages on `hosts` hosts, the same ones for the same seed."""

    def __init__(self, pages: int, hosts: int, seed: int) -> None:
        self._seed = seed
        self._hosts = make_hosts(hosts, seed)
        self._weights = [language(code).share for code in LANGUAGES]
        self._kinds = _plan(pages, seed)
        self._articles = [number for number, kind in enumerate(self._kinds) if kind == "article"]

    def pages(self) -> Iterator[Page]:
        """All pages, in the order of the archive."""
        for number, kind in enumerate(self._kinds):
            yield self._page(number, kind)

    def _page(self, number: int, kind: str) -> Page:
        rng = seeded(self._seed, "page", number)
        if kind in ("exact_duplicate", "near_duplicate"):
            return self._duplicate(number, kind, rng)
        host = self._host(number)
        if kind in _OTHERS:
            return _OTHERS[kind](number, host, rng)
        article = self._article(number, host, _STYLES.get(kind, "prose"))
        page = _article_page(number, kind, host, article, rng)
        return replace(page, cluster=number, jaccard=1.0) if kind == "article" else page

    def _host(self, number: int) -> Host:
        rng = seeded(self._seed, "site", number)
        code = rng.choices(LANGUAGES, self._weights)[0]
        return rng.choice(self._hosts[code])

    def _article(self, number: int, host: Host, style: str = "prose") -> Article:
        rng = seeded(self._seed, "article", number)
        return write_article(host.language, rng.choice(host.topics), rng, style)

    def _duplicate(self, number: int, kind: str, rng: random.Random) -> Page:
        origin = rng.choice(self._articles)
        source = self._host(origin)
        article, detail, similarity = self._article(origin, source), "copied", 1.0
        if kind == "near_duplicate":
            article, detail, similarity = near_duplicate(article, source.language, rng)
        if kind == "exact_duplicate" and rng.random() < 0.3:
            page = _article_page(number, kind, source, article, rng)
            url = _url(source, article, origin)
            url += ("&" if "?" in url else "?") + f"utm_source=feed{number}"
            return replace(page, url=url, cluster=origin, jaccard=similarity, detail="tracked_url")
        page = _article_page(number, kind, rng.choice(self._hosts[source.language.code]), article, rng)
        return replace(page, cluster=origin, jaccard=similarity, detail=detail)


def encode(host: Host, html: str) -> bytes:
    """`html` in the charset of `host`; a character it lacks becomes a numeric reference, as editors do it."""
    return html.encode(host.encoding, "xmlcharrefreplace")


def _plan(pages: int, seed: int) -> list[str]:
    """A kind for every page: the stated shares by largest remainder, in random order."""
    exact = {kind: share * pages for kind, share in SHARES.items()}
    counts = {kind: int(wanted) for kind, wanted in exact.items()}
    by_remainder = sorted(exact, key=lambda kind: round(counts[kind] - exact[kind], 9))
    for kind in by_remainder[: pages - sum(counts.values())]:
        counts[kind] += 1
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    seeded(seed, "plan").shuffle(kinds)
    return kinds


def _url(host: Host, article: Article, number: int, name: str = "") -> str:
    year, month, _ = article.date
    words = slug(article.title)
    path = {
        "dated": f"{year}/{month:02d}/{words}-{number}/",
        "section": f"{article.topic.key}/{words}-{number}",
        "html": f"{words}-{number}.html",
        "query": f"index.php?id={number}",
    }[host.url_style]
    return f"https://{name or host.name}/{path}"


def _article_page(number: int, kind: str, host: Host, article: Article, rng: random.Random) -> Page:
    if kind == "hostile":
        article = _hostile(article)
    url, name = _url(host, article, number), host.name
    if kind == "adult_url":
        url, name = _adult_url(host, article, number, rng)
    if kind == "no_content_type" and host.declared == "header":
        host = replace(host, declared="meta")
    content = blocks_html(article.blocks, article.space, rng.choice(("", "", "par")))
    html = page_html(host, Story(article.title, content, article.topic, number, url, article), rng)
    return Page(
        number, kind, url, host, name, encode(host, html), title=article.title, text=article.text,
        content_type=None if kind == "no_content_type" else "text/html",
    )  # fmt: skip


def _hostile(article: Article) -> Article:
    """Code that a report must show, never run: it stands in the page as escaped text."""
    first, *rest = article.blocks
    lines = (*first.lines, f"{_ALERT} {_BREAKOUT}")
    return replace(article, title=f"{article.title} {_ALERT}", blocks=(Block("p", lines), *rest))


def _adult_url(host: Host, article: Article, number: int, rng: random.Random) -> tuple[str, str]:
    if rng.random() < 0.5:
        name = rng.choice(_ADULT_HOSTS).format(host.name.removeprefix("www."))
        return _url(host, article, number, name), name
    return f"https://{host.name}/{rng.choice(_ADULT_PATHS)}/{number}.html", host.name


def _listing(number: int, host: Host, rng: random.Random) -> Page:
    topic, title = rng.choice(host.topics), host.language.page["latest"]
    url = f"https://{host.name}/{topic.key}/page/{number}/"
    content = teasers_html(host.language, host.topics, rng.randint(12, 30), rng)
    html = page_html(host, Story(title, content, topic, number, url), rng)
    return Page(number, "listing", url, host, host.name, encode(host, html), title=title)


def _spam(number: int, host: Host, rng: random.Random) -> Page:
    """Keyword stuffing, one line over and over, or rows of hash signs."""
    topic, detail = rng.choice(host.topics), rng.choice(("keywords", "repeated_lines", "symbols"))
    words = [host.language.fill(rng.choice(("{thing}", "{stuff}", "{place}")), topic, rng) for _ in range(12)]
    offer = f"{words[0]} {words[1]} {rng.randint(5, 95)}% {words[2]}!!!"
    lines = {
        "keywords": [", ".join(rng.choice(words) for _ in range(rng.randint(60, 200)))],
        "repeated_lines": [offer] * rng.randint(12, 40),
        "symbols": [f"### {rng.choice(words)} ### {rng.choice(words)} ###" for _ in range(rng.randint(20, 40))],
    }[detail]
    url = f"https://{host.name}/offers/{slug(words[0])}-{number}.html"
    content = "\n".join(blocks_html((Block("p", (line,)),), "") for line in lines)
    html = page_html(host, Story(offer, content, topic, number, url), rng)
    body = encode(host, html)
    return Page(number, "spam", url, host, host.name, body, title=offer, text="\n".join(lines), detail=detail)


def _empty(number: int, host: Host, rng: random.Random) -> Page:
    return Page(number, "empty", f"https://{host.name}/empty/{number}", host, host.name, b"")


def _redirect(number: int, host: Host, rng: random.Random) -> Page:
    url, status = f"http://{host.name}/old/{number}", rng.choice((301, 302))
    location = f"https://{host.name}/{rng.choice(host.topics).key}/{number}"
    return Page(number, "redirect", url, host, host.name, b"", status=status, location=location)


def _error_404(number: int, host: Host, rng: random.Random) -> Page:
    url, title = f"https://{host.name}/gone/{number}", host.language.page["not_found"]
    content = blocks_html((Block("p", (host.language.page["not_found_text"],)),), "")
    html = page_html(host, Story(title, content, host.topics[0], number, url), rng)
    return Page(number, "error_404", url, host, host.name, encode(host, html), status=404, title=title)


def _not_html(number: int, host: Host, rng: random.Random) -> Page:
    content_type, ending, body = broken.not_html(host.language.write("sentences", host.topics[0], rng), rng)
    url = f"https://{host.name}/files/{number}.{ending}"
    host = replace(host, charset="utf-8", declared="none")
    return Page(number, "not_html", url, host, host.name, body, content_type=content_type, detail=ending)


def _broken(number: int, host: Host, rng: random.Random) -> Page:
    """An article cut mid-tag, with unclosed tags, nested too deep, or no HTML at all."""
    article, detail = write_article(host.language, rng.choice(host.topics), rng), rng.choice(broken.DAMAGES)
    url = _url(host, article, number)
    if detail == "binary":
        return Page(number, "broken", url, host, host.name, broken.garbage(rng), detail=detail)
    if detail == "cut":
        article = replace(article, blocks=article.blocks[: max(1, len(article.blocks) // 2)])
    content = broken.wrap(blocks_html(article.blocks, article.space), detail)
    html = page_html(host, Story(article.title, content, article.topic, number, url, article), rng)
    body = encode(host, broken.damage(html, content, detail))
    return Page(
        number, "broken", url, host, host.name, body, truncated=detail == "cut",
        title=article.title, text=article.text, detail=detail,
    )  # fmt: skip


_OTHERS = {
    "listing": _listing,
    "spam": _spam,
    "empty": _empty,
    "redirect": _redirect,
    "error_404": _error_404,
    "not_html": _not_html,
    "broken": _broken,
}

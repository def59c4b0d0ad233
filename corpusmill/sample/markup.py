"""HTML: blocks of an article, and the host's template around them."""

from __future__ import annotations

import json
import random
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib import resources
from string import Template
from urllib.parse import quote

from corpusmill.sample.hosts import Host
from corpusmill.sample.prose import Article, Block
from corpusmill.sample.vocabulary import Language, Topic

_NOT_SLUG = re.compile(r"[^\w]+")


@dataclass(frozen=True, slots=True)
class Story:
    """What goes into a template: `content` is HTML, everything else plain text."""

    title: str
    content: str
    topic: Topic
    number: int
    url: str
    article: Article | None = None


def page_html(host: Host, story: Story, rng: random.Random) -> str:
    """A whole page of `host` with `story` in the middle."""
    return _template(host.template).substitute(
        _furniture(host, story.topic, rng),
        p=host.prefix,
        lang=host.language.code,
        dir="rtl" if host.language.code == "ar" else "ltr",
        head=_head(host, story),
        title=escape(story.title),
        byline=_byline(host.language, story.article),
        content=story.content,
        tag="div" if story.article is None else "article",
        crumbs=_crumbs(host, story.topic),
        number=story.number,
    )


def blocks_html(blocks: tuple[Block, ...], space: str, class_name: str = "") -> str:
    """The blocks one below the other; `class_name` marks paragraphs as some sites do."""
    return "\n".join(_block(block, space, class_name) for block in blocks)


def teasers_html(language: Language, topics: tuple[Topic, ...], count: int, rng: random.Random) -> str:
    """Headlines and first sentences of stories elsewhere, as on a front page."""
    more = escape(language.page["read_more"])
    out = []
    for _ in range(count):
        topic = rng.choice(topics)
        title, teaser = language.write("titles", topic, rng), language.write("sentences", topic, rng)
        link = f"/{slug(title)}"
        out.append(
            f'<div class="teaser"><h3><a href="{link}">{escape(title)}</a></h3>'
            f'<p><a href="{link}">{escape(teaser)}</a> <a href="{link}">{more}</a></p></div>'
        )
    return "\n".join(out)


def slug(title: str) -> str:
    """`title` as a piece of a URL: ASCII words where that is possible, percent-encoded otherwise."""
    plain = unicodedata.normalize("NFKD", title)
    latin = plain.encode("ascii", "ignore").decode()
    text = latin if len(latin) > len(plain) // 2 else title
    return quote("-".join(filter(None, _NOT_SLUG.split(text.lower())))[:60].strip("-"))


def format_date(language: Language, date: tuple[int, int, int]) -> str:
    """`date` (year, month, day) as readers of `language` write it."""
    months = language.topics[0].words.get("month", ())
    month = months[date[1] - 1][0] if months else ""
    return language.page["date"].format(year=date[0], month=month, number=date[1], day=date[2])


@cache
def _template(name: str) -> Template:
    return Template(resources.files(__package__).joinpath("templates", f"{name}.html").read_text(encoding="utf-8"))


def _block(block: Block, space: str, class_name: str) -> str:
    if block.tag == "ul":
        return "<ul>\n" + "\n".join(f"<li>{escape(item)}</li>" for item in block.lines) + "\n</ul>"
    if block.tag == "table":
        return _table(block)
    if block.tag == "pre":
        return "<pre><code>" + escape("\n".join(block.lines)) + "</code></pre>"
    attribute = f' class="{class_name}"' if class_name and block.tag == "p" else ""
    return f"<{block.tag}{attribute}>{escape(space.join(block.lines))}</{block.tag}>"


def _table(block: Block) -> str:
    rows = []
    for number, line in enumerate(block.lines):
        cell = "td" if number else "th"
        rows.append("<tr>" + "".join(f"<{cell}>{escape(text)}</{cell}>" for text in line.split("\t")) + "</tr>")
    return '<table class="figures">\n' + "\n".join(rows) + "\n</table>"


def _head(host: Host, story: Story) -> str:
    lines = []
    if host.declared == "meta":
        lines.append(f'<meta charset="{host.charset}">')
    elif host.declared == "http-equiv":
        lines.append(f'<meta http-equiv="Content-Type" content="text/html; charset={host.charset}">')
    lines.append(f"<title>{escape(story.title)} - {escape(host.title)}</title>")
    if story.article is not None:
        lines += _metadata(host, story, story.article)
    return "\n".join(lines)


def _metadata(host: Host, story: Story, article: Article) -> list[str]:
    published = "{:04d}-{:02d}-{:02d}T08:00:00Z".format(*article.date)
    lines = [
        f'<meta property="og:title" content="{escape(article.title)}">',
        '<meta property="og:type" content="article">',
        f'<meta property="article:published_time" content="{published}">',
        f'<meta name="author" content="{escape(article.author)}">',
        f'<link rel="canonical" href="{escape(story.url)}">',
    ]
    if host.template in ("news", "magazine"):
        data = {
            "@context": "https://schema.org",
            "@type": "NewsArticle",
            "headline": article.title,
            "datePublished": published,
            "author": {"@type": "Person", "name": article.author},
        }
        # inside a script element only "</script" ends the data, whatever the quotes say
        text = json.dumps(data, ensure_ascii=True).replace("<", "\\u003c")
        lines.append(f'<script type="application/ld+json">{text}</script>')
    return lines


def _byline(language: Language, article: Article | None) -> str:
    if article is None:
        return ""
    author = language.page["by"].format(author=article.author)
    published = language.page["published"].format(date=format_date(language, article.date))
    return f'<span class="author">{escape(author)}</span> <time>{escape(published)}</time>'


def _crumbs(host: Host, topic: Topic) -> str:
    home = escape(host.language.page["home"])
    return f'<a href="/">{home}</a> &raquo; <a href="/{topic.key}/">{escape(topic.title)}</a>'


def _furniture(host: Host, topic: Topic, rng: random.Random) -> dict[str, str]:
    page, language = host.language.page, host.language
    plain = ("cookie", "accept", "search", "share", "comments", "newsletter", "subscribe", "footer")
    sections = (page["home"], *host.sections, page["about"], page["contact"])
    first, second = rng.sample(language.adverts, 2)
    tags = ", ".join(f"<a href='/tag/{n}'>{escape(text)}</a>" for n, text in enumerate(rng.sample(host.sections, 3)))
    return {
        **{name: escape(page[name]) for name in plain},
        "site": escape(host.title),
        "nav": _links(sections),
        "links": _links((page["about"], page["contact"], page["privacy"], *host.sections[:4])),
        "related": _links(tuple(language.write("titles", topic, rng) for _ in range(rng.randint(4, 7)))),
        "popular": _links(tuple(language.write("titles", rng.choice(host.topics), rng) for _ in range(5))),
        "related_label": escape(page["related"]),
        "popular_label": escape(page["popular"]),
        "ad_label": escape(page["advert"]),
        "ad_1": f'<a href="/ad?id={rng.randint(1, 999)}" rel="nofollow sponsored">{escape(first)}</a>',
        "ad_2": f'<a href="/ad?id={rng.randint(1, 999)}" rel="nofollow sponsored">{escape(second)}</a>',
        "tags": f"{escape(page['tags'])}: {tags}",
    }


def _links(texts: tuple[str, ...]) -> str:
    return "".join(f'<li><a href="/{slug(text)}">{escape(text)}</a></li>' for text in texts)

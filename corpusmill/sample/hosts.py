"""The sites of the synthetic web: each has a language, a charset and a way to declare it, a template and furniture."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from corpusmill.sample.vocabulary import LANGUAGES, Language, Topic, language, seeded

MIN_HOSTS = 12

TEMPLATES = ("news", "blog", "portal", "magazine", "wiki")
URL_STYLES = ("dated", "section", "html", "query")
_SERVERS = ("nginx", "Apache/2.4.57 (Debian)", "nginx/1.24.0", "cloudflare", "Microsoft-IIS/10.0", "LiteSpeed")
# A header is the commonest place; where nothing is said, detection has to find the charset. Eleven, so that the turn
# runs out of step with the lists of charsets and templates, and all pairs of them occur.
_DECLARED = (
    "header", "meta", "header", "http-equiv", "header", "none", "none", "header", "meta", "header", "http-equiv",
)  # fmt: skip


@dataclass(frozen=True)
class Host:
    """One site. `charset` is a Python codec; `declared` says where: header, meta, http-equiv, bom or none."""

    name: str
    title: str
    language: Language
    charset: str
    declared: str
    template: str
    prefix: str
    url_style: str
    ip: str
    server: str
    topics: tuple[Topic, ...]
    sections: tuple[str, ...]

    @property
    def encoding(self) -> str:
        """The codec that encodes a page, byte order mark included where the host sends one."""
        return "utf-8-sig" if self.declared == "bom" else self.charset


def hosts_for(pages: int) -> int:
    """How many hosts a web of `pages` pages has: 40 for 400 pages, 60 for 2,000, then one more for every 33."""
    return max(MIN_HOSTS, min(pages // 10, 60), pages // 33)


def make_hosts(count: int, seed: int) -> dict[str, list[Host]]:
    """`count` hosts by language code; every language has at least one."""
    hosts = {}
    for place, (code, share) in enumerate(_shares(count).items()):
        names = _names(language(code), seed)
        hosts[code] = [
            _host(code, name, number, number + place, seed) for number, name in enumerate(islice(names, share))
        ]
    return hosts


def _shares(count: int) -> dict[str, int]:
    others = LANGUAGES[1:]
    left = max(len(others), count * 2 // 5)
    shares = {code: left // len(others) + (place < left % len(others)) for place, code in enumerate(others)}
    return {"en": count - left, **shares}


def _names(tongue: Language, seed: int) -> Iterator[str]:
    first, second = tongue.page["hosts_a"].split(", "), tongue.page["hosts_b"].split(", ")
    pairs = [f"{a}-{b}" for a in first for b in second]
    seeded(seed, "names", tongue.code).shuffle(pairs)
    yield from (f"{pair}.example" for pair in pairs)
    number = 2
    while True:
        yield from (f"{pair}-{number}.example" for pair in pairs)
        number += 1


def _host(code: str, name: str, number: int, turn: int, seed: int) -> Host:
    rng, tongue = seeded(seed, "host", name), language(code)
    charset = tongue.charsets[turn % len(tongue.charsets)]
    declared = "bom" if charset == "utf-8-sig" else _DECLARED[turn % len(_DECLARED)]
    if rng.random() < 0.3:
        name = f"www.{name}"
    return Host(
        name=name,
        title=name.removeprefix("www.").removesuffix(".example").replace("-", " ").title(),
        language=tongue,
        charset="utf-8" if declared == "bom" else charset,
        declared=declared,
        template=TEMPLATES[turn % len(TEMPLATES)],
        prefix="".join(rng.choice("abcdefghkmnpqrstvwxz") for _ in range(4)),
        url_style=URL_STYLES[number % len(URL_STYLES)],
        ip=f"192.0.2.{rng.randint(1, 254)}",  # TEST-NET-1: no machine has it
        server=rng.choice(_SERVERS),
        topics=tuple(rng.sample(tongue.topics, min(3, len(tongue.topics)))),
        sections=tuple(_sections(tongue, rng)),
    )


def _sections(tongue: Language, rng: random.Random) -> Iterator[str]:
    yield from (topic.title for topic in tongue.topics)
    for _ in range(rng.randint(3, 8)):
        yield tongue.fill("{stuff}", rng.choice(tongue.topics), rng)

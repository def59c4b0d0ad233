"""Block lists in UT1 form: read once, then mapped; verdicts are those of datatrove, or differ for a stated reason."""

from __future__ import annotations

import gzip
import random
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tldextract import TLDExtract

from corpusmill.clean import url_lists
from corpusmill.clean.clean_job import clean_settings
from corpusmill.clean.url_address import address_of, host_name
from corpusmill.clean.url_lists import lists_digest, load_list, private_suffixes
from corpusmill.clean.url_rules import Finding, UrlFilter
from corpusmill.errors import InputError
from corpusmill.ingest import Tally, read_pages
from corpusmill.recipe import parse_recipe

TLD = TLDExtract(suffix_list_urls=(), cache_dir=None)
DOMAINS = (
    "bad.example\n# not.example\n\n  Spaced.example \n.dotted.example\nxxx\nsub.deep.example\nblogspot.com\ndynu.net"
)
URLS = "mixed.example/Adult/stories\nwww.shop.example/toys/\nforum.example/view?board=9\nhttp://schemed.example/x\n"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def ut1(tmp_path: Path) -> Path:
    folder = tmp_path / "ut1" / "adult"
    folder.mkdir(parents=True)
    (folder / "domains").write_text(DOMAINS)
    (folder / "urls").write_text(URLS)
    (folder / "usage").write_text("black\n")
    return folder


@pytest.mark.parametrize(
    ("url", "finding"),
    [
        ("http://bad.example/", ("banned_host", "bad.example")),
        ("http://www.bad.example/", ("banned_host", "bad.example")),
        ("http://SPACED.example/", ("banned_host", "spaced.example")),
        ("http://a.dotted.example/", ("banned_host", "dotted.example")),
        ("http://not.example/", None),
        # a listed top-level domain holds all its hosts
        ("http://any.xxx/", ("banned_host", "xxx")),
        # at any depth, which datatrove looks at two of
        ("http://a.b.sub.deep.example/", ("banned_host", "sub.deep.example")),
        ("http://deep.example/", None),
        # a suffix under which others have their sites stands for its own page alone
        ("http://dynu.net/", ("banned_host", "dynu.net")),
        ("http://somebody.dynu.net/", None),
        # addresses, with what is under them
        ("http://mixed.example/", None),
        ("http://mixed.example/adult", None),
        ("http://mixed.example/adult/stories", ("banned_url", "mixed.example/adult/stories")),
        ("https://www.mixed.example/ADULT/stories/?page=2", ("banned_url", "mixed.example/adult/stories")),
        ("http://mixed.example/adult/stories2", None),
        ("http://shop.example/toys", ("banned_url", "shop.example/toys")),
        ("http://forum.example/view?board=9&topic=4", ("banned_url", "forum.example/view?board=9")),
        ("http://forum.example/view?board=90", None),
        ("http://schemed.example/x", ("banned_url", "schemed.example/x")),
    ],
)
def test_a_list_bans_hosts_and_addresses_with_what_is_under_them(ut1: Path, url: str, finding: tuple[str, str] | None):
    assert UrlFilter(lists=[str(ut1)]).find(url) == finding


def test_a_host_that_a_list_shares_out_can_be_banned_whole_by_the_recipe(ut1: Path):
    assert UrlFilter(["dynu.net"], lists=[str(ut1)]).judge("http://somebody.dynu.net/") == "banned_host"


def test_exceptions_hold_against_lists(ut1: Path):
    kept = UrlFilter(lists=[str(ut1)], allowed_hosts=["fine.bad.example", "mixed.example"])
    assert kept.judge("http://fine.bad.example/") is None
    assert kept.judge("http://mixed.example/adult/stories") is None
    assert kept.judge("http://bad.example/") == "banned_host"


def test_a_list_says_the_same_however_it_is_packed(ut1: Path, tmp_path: Path):
    zipped = tmp_path / "zipped" / "x" / "y"
    zipped.mkdir(parents=True)
    for name in ("domains", "urls"):
        (zipped / f"{name}.gz").write_bytes(gzip.compress((ut1 / name).read_bytes()))
    with tarfile.open(tmp_path / "adult.tar.gz", "w:gz") as tar:
        tar.add(ut1, "adult")
    same = {load_list(str(p)).digest for p in (ut1, ut1.parent, zipped.parent, tmp_path / "adult.tar.gz")}
    assert len(same) == 1
    (ut1 / "domains").write_text("\n".join(reversed(DOMAINS.split("\n"))))
    url_lists._load.cache_clear()
    assert load_list(str(ut1)).digest in same
    (ut1 / "domains").write_text(DOMAINS + "\none.more.example")
    url_lists._load.cache_clear()
    assert load_list(str(ut1)).digest not in same


def test_what_a_list_says_is_part_of_the_settings_and_where_it_lies_is_not(ut1: Path, tmp_path: Path):
    other = tmp_path / "elsewhere"
    ut1.parent.rename(other)
    url = {"lists": [str(other)]}
    recipe = parse_recipe({"clean": {"url": url, "language": {"identifier": "resiliparse"}}})
    assert clean_settings(recipe)["clean"]["url"]["lists"] == lists_digest([str(other / "adult")])


def test_a_list_is_read_once_and_then_mapped(ut1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = load_list(str(ut1))
    url_lists._load.cache_clear()
    monkeypatch.setattr(url_lists, "_compile", None)
    again = load_list(str(ut1))
    assert again.digest == first.digest
    (kept,) = (tmp_path / "cache" / "url-lists").iterdir()
    assert kept.suffix == ".npy"
    kept.write_bytes(kept.read_bytes()[:-8])
    url_lists._load.cache_clear()
    with pytest.raises(InputError, match="remove it, and it is made again"):
        load_list(str(ut1))


def test_a_cache_that_cannot_be_written_costs_only_time(ut1: Path, tmp_path: Path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert UrlFilter(lists=[str(ut1)]).judge("http://bad.example/") == "banned_host"


LABEL = st.sampled_from(["a", "b", "github", "io", "uk", "co"]) | st.text(st.characters(categories=["L", "N"]),
    min_size=1, max_size=2)  # fmt: skip
HOSTS = st.lists(LABEL, min_size=1, max_size=3).map(".".join).filter(host_name)
PATHS = st.lists(st.sampled_from(["/x", "/é", "?q=1", "&r=2", "/"]) | st.text(max_size=3).map("/{}".format),
    max_size=3).map("".join)  # fmt: skip
ADDRESSES = st.tuples(HOSTS, PATHS).map("".join)


@settings(max_examples=150, deadline=None)
@given(
    domains=st.lists(HOSTS, max_size=5), listed=st.lists(ADDRESSES, max_size=5), urls=st.lists(ADDRESSES, max_size=8)
)
def test_listed_hosts_and_addresses_are_found_as_by_comparing_text(
    domains: list[str], listed: list[str], urls: list[str], tmp_path_factory: pytest.TempPathFactory
):
    folder = tmp_path_factory.mktemp("ut1")
    listed = [line.strip() for line in listed if len(line.splitlines()) == 1]
    for name, lines in (("domains", domains), ("urls", listed)):
        (folder / name).write_bytes("\n".join(lines).encode("utf-8", "replace"))
    places = [address_of(line.encode("utf-8", "replace").decode()).location for line in listed]

    def expected(host: str, location: str) -> str | None:
        for domain in map(host_name, domains):
            if host == domain or (host.endswith(f".{domain}") and domain not in private_suffixes()):
                return "banned_host"
        for place in places:
            same_host = re.split(r"[/?]", place)[0] == re.split(r"[/?]", location)[0]
            if same_host and (location == place or location.startswith(tuple(place + c for c in "/?&"))):
                return "banned_url"
        return None

    found = UrlFilter(lists=[str(folder)]).judge_batch(urls).to_pylist()
    assert found == [expected(*address_of(url)[:2]) for url in urls]


@pytest.mark.parametrize("name", ["nowhere", "{empty}", "{file}"])
def test_what_is_no_list_is_refused(name: str, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other.csv").write_text("bad.example")
    path = name.format(empty=tmp_path / "empty", file=tmp_path / "other.csv")
    with pytest.raises(InputError, match=r"clean\.url\.lists: "):
        load_list(path)


def test_a_broken_archive_is_refused(tmp_path: Path):
    (tmp_path / "adult.tar.gz").write_bytes(b"\x1f\x8bnothing")
    with pytest.raises(InputError, match="cannot be read"):
        load_list(str(tmp_path / "adult.tar.gz"))


BEYOND = [
    ("https://a.example/BEST-PORN", "banned_word", True, "upper case"),
    ("https://a.example/%70orn", "banned_word", True, "percent-encoding"),
    ("https://a.example/%20porn", "banned_word", True, "percent-encoding beside a word"),
    ("https://not-listed-itself.adult/", "banned_host", True, "a listed top-level domain"),
    ("https://thothub.su/search", "banned_url", True, "datatrove compares listed addresses with the scheme on"),
    ("https://exy-af.example/", None, False, "the s of https"),
    ("https://somebody.dynu.net/", None, False, "a suffix under which others have their sites"),
]
"""Addresses on which we mean to differ from datatrove: our verdict, whether it lets them through, and why."""


@pytest.fixture(scope="module")
def datatrove_filter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    filters = pytest.importorskip("datatrove.pipeline.filters.url_filter")

    assets = tmp_path_factory.mktemp("assets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filters, "cached_assets_path", lambda **_: str(assets))
        made = filters.URLFilter()
        made.tldextractor = TLDExtract(suffix_list_urls=(), cache_dir=None)  # its default asks the network
        made.download_data()
        yield made


def lets_through(datatrove_filter: Any, url: str) -> bool:
    from datatrove.data import Document

    return datatrove_filter.filter(Document(text="", id="", metadata={"url": url})) is True


@pytest.mark.filterwarnings("ignore:The 'registered_domain' property")
@pytest.mark.slow  # datatrove takes 6 s to load its lists
def test_verdicts_are_datatroves_but_where_ours_are_meant_to_differ(datatrove_filter: Any, data_folder: Path):
    """On the sample's addresses, and 12,000 made of listed hosts, listed words and ordinary ones."""
    ours = UrlFilter(lists=["datatrove"])
    with (data_folder / "warc" / "sample-dev.warc.gz").open("rb") as f:
        real = [u for batch in read_pages(f, "", Tally()) for u in batch.column("url").to_pylist() if u]
    urls = [*dict.fromkeys(real), *_made_up(datatrove_filter)]
    found = ours.find_batch(urls)
    differing = [(u, f) for u, f in zip(urls, found, strict=True) if (f is None) != lets_through(datatrove_filter, u)]
    assert [(u, f) for u, f in differing if not _meant(u, f)] == []
    assert sum(f is not None for f in found) > 5_000
    assert len(differing) < len(urls) // 10


@pytest.mark.filterwarnings("ignore:The 'registered_domain' property")
@pytest.mark.slow
def test_where_datatrove_judges_otherwise_we_know_why(datatrove_filter: Any):
    ours = UrlFilter(lists=["datatrove"])
    for url, reason, passes, why in BEYOND:
        assert (ours.judge(url), lets_through(datatrove_filter, url)) == (reason, passes), why


def _made_up(datatrove_filter: Any) -> list[str]:
    from datatrove.utils._import_utils import ASSETS_PATH

    rng = random.Random(0)
    with tarfile.open(next(Path(ASSETS_PATH).glob("url_filterblacklists*.tar.gz"))) as tar:
        content = tar.extractfile("domains")
        assert content is not None
        listed = content.read().decode().split()[::1500]
    words = [w for kind in load_list("datatrove").words.values() for w in kind]
    ordinary = ["news", "essex", "cocktail", "story-2024", "index.html", "a", "classic", "Shop", "%20", "?q=", "_"]
    hosts = [*listed, *(f"www.{h}" for h in listed[::3]), *(f"a.b.{h}" for h in listed[::5]), *["x.example"] * 8000]
    urls = []
    for host in hosts:
        parts = [rng.choice(words if rng.random() < 0.15 else ordinary) for _ in range(rng.randint(0, 5))]
        urls.append(f"https://{host}/{rng.choice('-/_').join(parts)}")
    return [u.replace(" ", rng.choice("-+")) for u in urls]


def _meant(url: str, finding: Finding | None) -> bool:
    host = address_of(url).host
    if url != url.lower() or "%" in url:
        return True
    if finding is None:
        return any(host.endswith(f".{s}") for s in private_suffixes()) or "https://ex" in url
    if finding.reason == "banned_host":
        return finding.found not in (host, TLD(host).top_domain_under_public_suffix)
    return finding.reason == "banned_url"

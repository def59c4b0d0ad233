"""`corpusmill clusters` and `near` answer from a run's files, at any width, and tell mistakes in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from near_runs import edited, prose, text_run
from rich.console import Console
from typer.testing import CliRunner

from corpusmill.cli import app
from corpusmill.dedup.near_texts import near_texts, signed_run
from corpusmill.engines import make_engine
from corpusmill.errors import CorpusmillError, InputError
from corpusmill.schemas import ADDRESS_STRIDE, CRAWL_STRIDE, REMOVED
from corpusmill.storage import Folder
from corpusmill.studio.cluster_facts import ClusterBrowser
from corpusmill.studio.cluster_view import compared, show_cluster, show_clusters, show_diff
from corpusmill.studio.near_view import show_near

BASE = prose(300, 1)
PARTS = [
    {"long": BASE + " one more", "alone": prose(300, 2), "x": prose(200, 3), "y": prose(200, 3)},
    {"copy": BASE, "near": edited(BASE, 3), "hostile": edited(BASE, 1, 9).replace("new9x", "[red]\x1b[31m")},
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return text_run(tmp_path_factory.mktemp("clusters"), PARTS)


@pytest.fixture
def browser(run: Folder) -> ClusterBrowser:
    return ClusterBrowser(run, make_engine("local", 1, run))


def console(width: int, colour: bool = False) -> Console:
    kind = {"force_terminal": True, "color_system": "standard"} if colour else {"no_color": True}
    return Console(width=width, record=True, soft_wrap=True, legacy_windows=False, **kind)


def printed(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    return done.stdout


def test_the_largest_come_first_with_what_stays_and_why(browser: ClusterBrowser):
    found = browser.largest(20)
    assert (found.total, found.removed) == (2, 4)
    first, second = found.shown
    assert (first.cluster, first.documents, first.why) == (0, 4, {"near_duplicate": 3})
    assert (first.survivor.id, first.survivor.title) == ("long", "Title of long")
    assert 0.65 <= first.least_similarity <= first.most_similarity < 1.0
    assert (second.cluster, second.why) == (2, {"exact_duplicate": 1})
    assert [c.cluster for c in browser.largest(1).shown] == [0]


def test_a_cluster_is_found_by_any_member_and_lists_the_least_similar_first(browser: ClusterBrowser):
    for name in ("long", "near"):
        assert browser.with_url(f"http://{name}.example/") == browser.with_url(name) == 0
    assert browser.with_address(ADDRESS_STRIDE + 1) == browser.with_address(0) == 0
    members = browser.members(0, 10)
    assert [m.number for m in members] == [1, 2, 3, 4]
    assert members[0].id == "long"
    assert {m.id for m in members[1:]} == {"copy", "near", "hostile"}
    similarity = [m.similarity or 0 for m in members[1:]]
    assert similarity == sorted(similarity)
    assert len(browser.members(0, 2)) == 2


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda b: b.with_address(77), "has no cluster 77"),
        (lambda b: b.with_url("http://nowhere/"), "no document with the URL or id http://nowhere/"),
        (lambda b: b.with_url("it's"), "no document with the URL or id it's"),
        (lambda b: b.with_url("alone"), "alone is in no cluster"),
        (lambda b: compared(b.run, b.members(0, 9), (1, 9)), "has no member 9; they are numbered 1 to 4"),
    ],
)
def test_what_is_not_there_is_told_in_a_sentence(browser: ClusterBrowser, ask, said: str):
    with pytest.raises(InputError, match=said):
        ask(browser)


@pytest.mark.parametrize("width", [80, 200])
def test_lists_and_differences_fit_a_terminal_and_obey_no_page(browser: ClusterBrowser, width: int):
    out = console(width)
    show_clusters(out, browser.largest(2), "RUN")
    members = browser.members(0, 9)
    show_cluster(out, browser.one(0), members)
    for pair in (None, (1, 2), (1, 4), (3, 2)):
        show_diff(out, compared(browser.run, members, pair))
    text = out.export_text()
    assert "\x1b" not in text
    assert "[red]" in text
    assert "␛" in text
    assert "2 clusters, 4 documents removed" in text
    assert "{+" in text
    assert "[-" in text
    assert max(map(len, text.splitlines())) <= width


def test_in_colour_there_are_no_marks(browser: ClusterBrowser):
    out = console(80, colour=True)
    show_diff(out, compared(browser.run, browser.members(0, 9), None))
    drawn = out.export_text(styles=True)
    assert "\x1b[31m" in drawn
    assert "\x1b[32m" in drawn
    assert "{+" not in drawn


def test_an_earlier_crawl_is_named_and_its_text_not_asked_for(tmp_path: Path):
    run = text_run(tmp_path, PARTS)
    path = f"{run.url}/removed/part-00001.parquet"
    rows = pq.read_table(path).to_pylist()
    for row in rows:
        for name in ("matched", "representative", "cluster"):
            row[name] += CRAWL_STRIDE
        row |= {"matched_crawl": "first", "representative_crawl": "first"}
    pq.write_table(pa.Table.from_pylist(rows, REMOVED), path)
    browser = ClusterBrowser(run, make_engine("local", 1, run))
    (cluster, _) = browser.largest(9).shown
    assert (cluster.cluster, cluster.survivor.crawl, cluster.survivor.id) == (CRAWL_STRIDE, "first", "long")
    members = browser.members(CRAWL_STRIDE, 9)
    with pytest.raises(InputError, match="of an earlier crawl, whose text is not here"):
        compared(run, members, None)
    with pytest.raises(InputError, match="member 1 is a document of crawl first"):
        compared(run, members, (1, 2))
    assert compared(run, members, (2, 3)).what == "Two members of the cluster"
    out = console(120)
    show_cluster(out, cluster, members)
    assert "in crawl first" in out.export_text()


def test_the_commands_print_json_that_holds_the_same(run: Folder):
    assert json.loads(printed("clusters", run.url, "--json"))["total"] == 2
    one = json.loads(printed("clusters", run.url, "--url", "near", "--members", "3", "--diff", "--json"))
    assert [m["number"] for m in one["members"]] == [1, 2, 3]
    assert {kind for kind, _ in one["diff"]["diff"]["runs"]} <= {"same", "left", "right"}
    assert json.loads(printed("near", run.url, BASE, "--top", "1", "--json"))["near"][0]["id"] == "copy"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["clusters", "RUN", "--diff"], "choose it with --cluster or --url"),
        (["clusters", "RUN", "--cluster", "0", "--url", "x"], "give one of them"),
        (["clusters", "NOWHERE"], "no finished dedup stage"),
        (["near", "NOWHERE", "text"], "no finished dedup stage"),
        (["near", "RUN"], "give one text"),
        (["near", "RUN", "--file", "/nowhere.txt"], "cannot be read"),
    ],
)
def test_mistakes_on_the_command_line_are_one_sentence(run: Folder, tmp_path: Path, arguments: list[str], said: str):
    places = {"RUN": run.url, "NOWHERE": str(tmp_path)}
    with pytest.raises(CorpusmillError, match=said):
        printed(*[places.get(a, a) for a in arguments])


def test_near_shows_fates_and_says_how_sure_it_is(run: Folder, tmp_path: Path):
    signed, engine = signed_run(run)[0], make_engine("local", 1, run)
    out = console(80)
    show_near(out, near_texts(engine, signed, BASE, 0.65, 2), signed.minhash, 0.65, "RUN")
    show_near(out, near_texts(engine, signed, prose(99, 44), 0.65, 2), signed.minhash, 0.65, "RUN")
    text = out.export_text()
    assert "the 2 most similar" in text
    assert "1.00  the same words  removed (near_duplicate) for long" in text
    assert "No document of RUN is like this text at 0.65 or above." in " ".join(text.split())
    assert "is found with probability 36%" in " ".join(text.split())
    (tmp_path / "text.txt").write_text(BASE)
    assert "copy.example" in printed("near", run.url, "--file", str(tmp_path / "text.txt"))

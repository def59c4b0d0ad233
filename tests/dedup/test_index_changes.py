"""Documents taken out of an index leave nothing behind, and later crawls are compared with what is left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from crawl_runs import by_crawls, clusters_of, dedup, rows, write_crawls
from near_runs import edited, prose
from typer.testing import CliRunner

from corpusmill.cli import app
from corpusmill.dedup.dedup_index import DedupIndex
from corpusmill.dedup.index_changes import Chosen, compact, forget
from corpusmill.engines import make_engine
from corpusmill.errors import InputError
from corpusmill.storage import Folder

CHOSEN = ("dedup.survivor=earliest", "dedup.bands=5", "dedup.rows=4", "dedup.verify=0.5")
LOCAL = make_engine("local", 1)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_crawls(tmp_path_factory.mktemp("crawls"))


@pytest.fixture(scope="module")
def two_crawls(parts: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return by_crawls(tmp_path_factory.mktemp("two"), parts[:6], 2, *CHOSEN)[1]


@pytest.fixture
def index(two_crawls: Path, tmp_path: Path) -> Folder:
    shutil.copytree(two_crawls, tmp_path / "index")
    return Folder(str(tmp_path / "index"))


def path(folder: Folder) -> Path:
    return Path(folder.root)


def addresses(folder: Folder, ids: set[str]) -> set[int]:
    every = [r for p in path(folder).glob("crawl-*/facts*/*.parquet") for r in pq.read_table(p).to_pylist()]
    return {r["address"] for r in every if r["id"] in ids}


def files(folder: Folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder.root)): p.read_bytes() for p in path(folder).rglob("*") if p.is_file()}


def crawl(folder: Path, texts: dict[str, str], index: Path, name: str, year: int = 2020) -> Path:
    """A run of one file; of its texts each was fetched a day after the one before."""
    folder.mkdir()
    lines = [
        {"id": i, "url": f"http://{i}.example/", "text": text, "date": f"{year}-01-{n + 1:02d}T00:00:00Z"}
        for n, (i, text) in enumerate(texts.items())
    ]
    (folder / "texts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    where = (f"dedup.index.folder={index}", f"dedup.index.crawl={name}")
    dedup(folder / "run", [folder / "texts.jsonl"], "dedup.survivor=earliest", *where)
    return folder / "run"


def removed(run: Path) -> dict[str, str]:
    return {r["id"]: r["matched_id"] for r in rows(run, "removed")}


def test_nothing_of_a_document_stays(index: Folder):
    """Members and firsts of clusters, copies, strangers: each by one way of choosing it."""
    clusters = clusters_of(path(index))
    firsts = {min(c) for c in sorted(clusters, key=sorted)[:8]}
    gone = firsts | {"1-07", "4-30"}
    old = addresses(index, gone)
    chosen = Chosen(frozenset(["http://x.example/1/7"]), ids=frozenset(gone - {"1-07"}))
    assert sum(forget(LOCAL, index, chosen).values()) == len(gone) == len(old)
    for file in path(index).rglob("*.parquet"):
        table = pq.read_table(file)
        for name in {"address", "root", "cluster"} & set(table.schema.names):
            assert not old & set(table.column(name).to_pylist()), (file, name)
        assert not gone & set(table.column("id").to_pylist() if "id" in table.schema.names else ())
    left = {frozenset(c - gone) for c in clusters}
    assert clusters_of(path(index)) - {frozenset([i]) for c in left for i in c} == {c for c in left if len(c) > 1}
    assert [c.documents for c in DedupIndex(index).crawls] == [
        180 - sum(i < "3" for i in gone), 180 - sum(i >= "3" for i in gone)
    ]  # fmt: skip


def test_a_host_is_taken_out_whole(index: Folder):
    assert forget(LOCAL, index, Chosen(hosts=frozenset(["example"]))) == {"crawl-0": 0, "crawl-1": 0}
    assert forget(LOCAL, index, Chosen(hosts=frozenset(["x.example"]))) == {"crawl-0": 180, "crawl-1": 180}
    assert not list(path(index).rglob("*.parquet"))


def test_a_copy_speaks_for_the_text_that_was_taken_out(tmp_path: Path):
    text, where = prose(300, 1), tmp_path / "index"
    crawl(tmp_path / "1", {"first": text, "copy": text.upper(), "other": prose(300, 2)}, where, "one")
    forget(LOCAL, Folder(str(where)), Chosen(ids=frozenset(["first"])))
    near = crawl(tmp_path / "2", {"near": edited(text, 6), "far": prose(300, 3)}, where, "two", 2021)
    assert removed(near) == {}, "the copy was removed for what is gone: near is all that is left of the text"
    assert clusters_of(where) == {frozenset(["copy", "near"])}
    last = crawl(tmp_path / "3", {"again": edited(text, 3)}, where, "three", 2022)
    assert set(removed(last)) == {"again"}
    assert rows(last, "superseded") == rows(near, "superseded") == []


def test_a_survivor_goes_on_when_what_was_removed_for_it_is_taken_out(tmp_path: Path):
    text, where = prose(300, 1), tmp_path / "index"
    crawl(tmp_path / "1", {"first": text, "copy": text.upper()}, where, "one")
    forget(LOCAL, Folder(str(where)), Chosen(ids=frozenset(["copy"])))
    assert removed(crawl(tmp_path / "2", {"near": edited(text, 6)}, where, "two", 2021)) == {"near": "first"}


@pytest.mark.parametrize("seed", [1, 2])
def test_the_next_crawl_finds_what_all_that_is_left_would_find(
    parts: list[Path], index: Folder, tmp_path: Path, seed: int
):
    """Clusters that ran through a document taken out may stay larger than they would be; none is smaller."""
    gone = {f"{part}-{i:02d}" for part in range(6) for i in range(seed, 60, 7)}
    forget(LOCAL, index, Chosen(ids=frozenset(gone)))
    where = (f"dedup.index.folder={path(index)}", "dedup.index.crawl=last")
    dedup(tmp_path / "last", parts[6:], *CHOSEN, *where)
    whole = (f"dedup.index.folder={tmp_path / 'whole'}", "dedup.index.crawl=all")
    dedup(tmp_path / "all", without(parts, gone, tmp_path), *CHOSEN, *whole)
    found, expected = clusters_of(path(index)), clusters_of(tmp_path / "whole")
    assert expected
    assert all(any(one <= other for other in found) for one in expected)
    assert not gone & {i for c in found for i in c}
    assert sum(one in found for one in expected) > 0.8 * len(expected)


def without(parts: Sequence[Path], gone: set[str], folder: Path) -> list[Path]:
    out = []
    for part in parts:
        lines = [line for line in part.read_text().splitlines() if json.loads(line)["id"] not in gone]
        out.append(folder / part.name)
        out[-1].write_text("\n".join(lines) + "\n")
    return out


def test_a_compacted_index_is_the_same_in_fewer_files(parts: list[Path], index: Folder, tmp_path: Path):
    shutil.copytree(path(index), tmp_path / "before")
    before, after = compact(LOCAL, index)
    assert after < before == len(list((tmp_path / "before").rglob("*.parquet")))
    assert after == len(list(path(index).rglob("*.parquet")))
    for kind in ("facts", "bands", "labels", "copies", "apart"):
        tables = [
            sorted(
                map(str, (r for p in where.glob(f"crawl-*/{kind}*/*.parquet") for r in pq.read_table(p).to_pylist()))
            )
            for where in (tmp_path / "before", path(index))
        ]
        assert tables[0] == tables[1]
    for name, where in (("a", tmp_path / "before"), ("b", path(index))):
        dedup(tmp_path / name, parts[6:], *CHOSEN, f"dedup.index.folder={where}", "dedup.index.crawl=last")
    assert rows(tmp_path / "a", "removed") == rows(tmp_path / "b", "removed") != []


@pytest.mark.parametrize("change", ["forget", "compact"])
def test_a_change_that_is_interrupted_leaves_the_index_as_it_was(
    index: Folder, monkeypatch: pytest.MonkeyPatch, change: str
):
    before = files(index)

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    def run() -> None:
        if change == "forget":
            forget(LOCAL, index, Chosen(ids=frozenset(["1-07"])))
        else:
            compact(LOCAL, index)

    with monkeypatch.context() as patch:
        patch.setattr(DedupIndex, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert {name: found for name, found in files(index).items() if name in before} == before
    assert len(files(index)) > len(before)
    run()
    named = {n for c in DedupIndex(index).crawls for names in c.files.values() for n in names}
    assert set(files(index)) == named | {"index.json"}


def test_a_crawl_that_documents_were_taken_out_of_is_not_made_again(tmp_path: Path):
    where = tmp_path / "index"
    run = crawl(tmp_path / "1", {"first": prose(300, 1), "other": prose(300, 2)}, where, "one")
    forget(LOCAL, Folder(str(where)), Chosen(ids=frozenset(["other"])))
    index = (f"dedup.index.folder={where}", "dedup.index.crawl=one")
    inputs = [tmp_path / "1/texts.jsonl"]
    dedup(run, inputs, "dedup.survivor=earliest", *index)  # it is done, and stays so
    with pytest.raises(InputError, match=r"1 documents were taken out of crawl 'one'; made again from this run"):
        dedup(tmp_path / "again", inputs, "dedup.survivor=earliest", *index)
    assert [c.forgotten for c in DedupIndex(Folder(str(where))).crawls] == [1]


def test_nothing_stays_in_a_folder_whose_name_is_a_pattern(index: Folder, tmp_path: Path):
    shutil.move(path(index), tmp_path / "in[d]ex*")
    odd = Folder(str(tmp_path / "in[d]ex*"))
    forget(LOCAL, odd, Chosen(hosts=frozenset(["x.example"])))
    assert not list((tmp_path / "in[d]ex*").rglob("*.parquet"))


def told(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "100"})
    return done.exit_code, str(done.exception) if isinstance(done.exception, InputError) else done.output


def test_the_commands(index: Folder, tmp_path: Path):
    where = path(index)
    code, said = told("index", "show", where)
    assert code == 0
    assert all(word in said for word in ("crawl-0", "180", "bands 5"))
    (tmp_path / "ids").write_text("1-07\n1-08\n\n")
    code, said = told("index", "forget", where, "--ids", tmp_path / "ids", "--url", "http://x.example/3/1")
    assert (code, said) == (0, "crawl-0: 2 documents taken out\ncrawl-1: 1 documents taken out\n")
    assert "no document of" in told("index", "forget", where, "--url", "http://x.example/3/1")[1]
    assert "nothing is chosen" in told("index", "forget", where)[1]
    assert "is no index" in told("index", "show", tmp_path)[1]
    assert "files are" in told("index", "compact", where)[1]
    shown = json.loads(told("index", "show", where, "--json")[1])
    assert [(c["crawl"], c["documents"]) for c in shown["crawls"]] == [("crawl-0", 178), ("crawl-1", 179)]


def test_near_asks_all_crawls_of_an_index(tmp_path: Path):
    text, where = prose(300, 1), tmp_path / "index"
    crawl(tmp_path / "1", {"first": text}, where, "CC-1")
    crawl(tmp_path / "2", {"near": edited(text, 6), "far": prose(300, 3)}, where, "CC-2")
    code, said = told("near", where, text, "--json")
    assert code == 0
    assert [(n["id"], n["crawl"], n["fate"]) for n in json.loads(said)["near"]] == [
        ("first", "CC-1", "unknown"),
        ("near", "CC-2", "unknown"),
    ]
    assert "CC-2, part 0, row 0" in told("near", where, text)[1]

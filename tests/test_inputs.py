"""Inputs by path, glob, URL, list and crawl name; a network that fails for a while costs time and nothing else."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from range_server import RangeServer, serving
from small_warcs import by_record, page

from corpusmill import remote_files
from corpusmill.errors import InputError, StorageError
from corpusmill.ingest import Tally
from corpusmill.ingest.page_sources import open_source
from corpusmill.inputs import expand, open_input
from corpusmill.recipe import Ingest

CRAWL = "CC-MAIN-2026-04"
NUM_FILES = 40


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A crawl of 40 small archives, laid out as Common Crawl lays them out."""
    folder = tmp_path_factory.mktemp("mirror")
    paths = [f"crawl-data/{CRAWL}/segments/1/warc/{CRAWL}-{i:05d}.warc.gz" for i in range(NUM_FILES)]
    for i, path in enumerate(paths):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(by_record([page(3 * i + k) for k in range(3)]))
    listed = gzip.compress("".join(p + "\n" for p in paths).encode(), mtime=0)
    (folder / f"crawl-data/{CRAWL}/warc.paths.gz").write_bytes(listed)
    (folder / f"crawl-data/{CRAWL}/wet.paths.gz").write_bytes(listed)
    return folder


@pytest.fixture
def server(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    monkeypatch.setattr(remote_files, "_FIRST_WAIT_SECONDS", 0.001)
    with serving(mirror) as running:
        yield running


def bases(server: RangeServer) -> Ingest:
    return Ingest(crawl_base=f"{server.url}/")


def urls_in(name: str) -> list[str]:
    with open_source(name, Ingest(), Tally()) as source:
        return [url for batch in source.pages for url in batch.column("url").to_pylist()]


def test_a_crawl_is_read_by_its_name(mirror: Path, server: RangeServer):
    found = expand([CRAWL], bases(server))
    assert len(found) == NUM_FILES
    first = f"{server.url}/crawl-data/{CRAWL}/segments/1/warc/{CRAWL}-00000.warc.gz"
    assert found[first] == (mirror / first.removeprefix(f"{server.url}/")).stat().st_size
    assert urls_in(first) == [f"https://site-{k}.example/page" for k in range(3)]
    assert expand([f"{CRAWL}:wet"], bases(server)) == found
    assert set(server.heads.values()) == {1, 2, 3}  # a list, a file twice, a file that was also read


def test_a_list_of_paths_is_a_file_or_a_url_and_its_base_is_where_it_came_from(
    mirror: Path, server: RangeServer, tmp_path: Path
):
    name = f"crawl-data/{CRAWL}/warc.paths.gz"
    by_url = expand([f"{server.url}/{name}"])
    (tmp_path / "warc.paths.gz").write_bytes((mirror / name).read_bytes())
    assert by_url == expand([str(tmp_path / "warc.paths.gz")], bases(server)) == expand([CRAWL], bases(server))
    local = expand([str(tmp_path / "warc.paths.gz")], Ingest(crawl_base=str(mirror)))
    assert {k.removeprefix(str(mirror)): v for k, v in local.items()} == {
        k.removeprefix(server.url): v for k, v in by_url.items()
    }


def test_some_files_of_a_crawl_are_spread_evenly_and_fewer_are_among_more(server: RangeServer):
    def chosen(choice: str) -> list[int]:
        return sorted(int(n[-13:-8]) for n in expand([CRAWL + choice], bases(server)))

    four, eight, other = chosen("?files=4"), chosen("?files=8"), chosen("?files=4,seed=1")
    assert len(four) == len(other) == 4
    assert set(four) < set(eight)
    assert four != other
    assert chosen("?share=0.1") == four
    assert chosen("?files=8") == eight
    assert chosen("?files=400") == chosen("?share=1") == list(range(NUM_FILES))
    assert max(b - a for a, b in zip(eight, [*eight[1:], eight[0] + NUM_FILES], strict=True)) <= 2.7 * NUM_FILES / 8


def test_a_choice_is_for_every_pattern_and_a_question_mark_stays_one(mirror: Path, tmp_path: Path):
    for i in range(8):
        (tmp_path / f"a{i}.warc.gz").write_bytes(b"x" * i)
    assert len(expand([f"{tmp_path}/*.warc.gz?files=3"])) == 3
    assert len(expand([f"{tmp_path}/a?.warc.gz"])) == 8
    assert len(expand([f"{tmp_path}/a?.warc.gz?share=0.5"])) == 4
    (tmp_path / "l.txt").write_text("".join(f"{tmp_path}/a{i}.warc.gz\n" for i in range(8)))
    assert len(expand([f"@{tmp_path}/l.txt?files=2", f"{tmp_path}/a?.warc.gz?files=2"])) == 2  # and each once


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("CC-MAIN-2031-07", "there is no crawl CC-MAIN-2031-07 with warc files"),
        (f"{CRAWL}:wat", "has no files of the kind 'wat' to read; expected warc or wet"),
        (f"{CRAWL}?parts=3", "parts=3 is no choice of files; expected files=100"),
        (f"{CRAWL}?files=0", "files=0 is no choice of files"),
        (f"{CRAWL}?share=1.5", "share=1.5 is no choice of files"),
        ("missing.warc.gz", "missing.warc.gz: there is no such file"),
        ("missing*.warc.gz", "no file matches this pattern"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(pattern: str, words: str, server: RangeServer):
    with pytest.raises(InputError, match=words.replace("?", r"\?")):
        expand([pattern], bases(server))


def test_what_is_no_file_is_said_in_a_sentence_and_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.warc.gz")
    for given in (str(tmp_path / "pipe.warc.gz"), f"@{tmp_path}/pipe.warc.gz"):
        with pytest.raises(InputError, match=r"pipe\.warc\.gz is a pipe or a device; expected a file"):
            expand([given])
    with pytest.raises(InputError, match="an input is empty text"):
        expand([""])


def test_a_file_system_that_cannot_be_connected_to_is_an_error(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("fsspec.url_to_fs", refuse)
    with pytest.raises(InputError, match=r"ftp://host/a\.warc\.gz: cannot be opened: Name or service not known"):
        expand(["ftp://host/a.warc.gz"])


def test_a_file_may_have_brackets_in_its_name(tmp_path: Path):
    for name in ("a[1].warc.gz", "a1.warc.gz"):
        (tmp_path / name).write_bytes(by_record([page(1)]))
    assert list(expand([f"{tmp_path}/a[1].warc.gz"])) == [f"{tmp_path}/a[1].warc.gz"]
    assert len(expand([f"{tmp_path}/a*.warc.gz"])) == 2


def test_a_folder_with_the_name_of_a_crawl_is_asked_about(
    tmp_path: Path, server: RangeServer, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / CRAWL).mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rf"for the folder write \./{CRAWL}/\*\.warc\.gz, for the crawl {CRAWL}:warc"):
        expand([CRAWL], bases(server))
    assert len(expand([f"{CRAWL}:warc"], bases(server))) == NUM_FILES


def test_a_missing_remote_file_is_an_error_and_is_asked_for_once(server: RangeServer):
    with pytest.raises(InputError, match=r"/none\.warc\.gz: there is no such file"):
        expand([f"{server.url}/none.warc.gz"])
    assert server.heads["none.warc.gz"] == 1


def test_an_address_that_nobody_answers_at_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(remote_files, "_FIRST_WAIT_SECONDS", 0.001)
    with pytest.raises(StorageError, match=r"cannot be reached: .* Check the network and run the same command again"):
        expand([CRAWL], Ingest(crawl_base="http://127.0.0.1:9/"))


@pytest.mark.parametrize("failures", [[503, 500, 429], [0, 503, 0]], ids=["refused", "cut"])
def test_a_server_that_fails_for_a_while_costs_nothing(mirror: Path, server: RangeServer, failures: list[int]):
    name = f"crawl-data/{CRAWL}/segments/1/warc/{CRAWL}-00007.warc.gz"
    server.failures[name] = list(failures)
    assert urls_in(f"{server.url}/{name}") == urls_in(str(mirror / name))
    assert server.failures[name] == []


@pytest.mark.parametrize(("status", "error"), [(503, StorageError), (403, InputError)])
def test_a_server_that_goes_on_failing_stops_the_job_and_drops_no_page(status: int, error: type, server: RangeServer):
    name = f"crawl-data/{CRAWL}/segments/1/warc/{CRAWL}-00003.warc.gz"
    server.failures[name] = [status] * 50
    with pytest.raises(error, match=r"also when asked 8 times|access was refused"):
        urls_in(f"{server.url}/{name}")
    assert 50 - len(server.failures[name]) == (8 if status == 503 else 1)


def test_a_large_file_is_read_in_blocks_and_each_byte_once(mirror: Path, server: RangeServer):
    data = bytes(range(256)) * 4096
    (mirror / "big.bin").write_bytes(data)
    with open_input(f"{server.url}/big.bin", 1 << 18) as f:
        assert b"".join(iter(lambda: f.read(100_000), b"")) == data
        assert [g[1:] for g in server.gets if g[0] == "big.bin"] == [(i << 18, 1 << 18) for i in range(4)]
        assert (f.seek(-5, 2), f.read(9), f.seek(300), f.read(2)) == (len(data) - 5, data[-5:], 300, data[300:302])


def test_a_server_without_ranges_is_refused_by_name(mirror: Path, monkeypatch: pytest.MonkeyPatch):
    (mirror / "two.bin").write_bytes(b"x" * 1000)
    with (
        serving(mirror, ranges=False) as server,
        open_input(f"{server.url}/two.bin", 100) as f,
        pytest.raises(InputError, match="does not serve byte ranges"),
    ):
        f.read(50)


def test_archives_on_an_object_store_are_read_like_files(mirror: Path, monkeypatch: pytest.MonkeyPatch):
    from moto.server import ThreadedMotoServer

    store = ThreadedMotoServer(port=0)
    store.start()
    try:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*store.get_host_and_port()))
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()
        fs = s3fs.S3FileSystem()
        fs.mkdir("commoncrawl")
        fs.put(str(mirror / "crawl-data"), "commoncrawl/crawl-data", recursive=True)
        settings = Ingest(crawl_base="s3://commoncrawl/")
        by_name = expand([f"{CRAWL}?files=3"], settings)
        by_glob = expand([f"s3://commoncrawl/crawl-data/{CRAWL}/segments/*/warc/*.warc.gz"], settings)
        assert (len(by_name), len(by_glob)) == (3, NUM_FILES)
        assert by_name.items() <= by_glob.items()
        last = max(by_name)
        assert urls_in(last) == urls_in(str(mirror / last.removeprefix("s3://commoncrawl/")))
        with pytest.raises(InputError, match="there is no crawl CC-MAIN-1999-01 with warc files"):
            expand(["CC-MAIN-1999-01"], settings)
    finally:
        store.stop()
        s3fs.S3FileSystem.clear_instance_cache()

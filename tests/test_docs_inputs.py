"""docs/inputs.md: each command on it runs, against a mirror on this machine where it names a crawl."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from range_server import RangeServer, serving

from corpusmill.cli import app
from corpusmill.ingest.warc_members import walk
from corpusmill.recipe import parse_recipe

PAGE = (Path(__file__).parents[1] / "docs" / "inputs.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.S) for line in block.splitlines()]
CRAWL = "crawl-data/CC-MAIN-2026-04"


@pytest.fixture(scope="module")
def place(web: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the page names."""
    here = tmp_path_factory.mktemp("docs")
    for folder in ("crawl", "corpus-folder", CRAWL):
        (here / folder).mkdir(parents=True)
    shutil.copy(web, here / "crawl" / "a.warc.gz")
    for i in range(4):
        shutil.copy(web, here / CRAWL / f"{i}.warc.gz")
    (here / CRAWL / "warc.paths.gz").write_bytes(
        gzip.compress("".join(f"{CRAWL}/{i}.warc.gz\n" for i in range(4)).encode())
    )
    (here / "list.txt").write_text("# one archive\ncrawl/a.warc.gz\n")
    with web.open("rb") as f:
        rows = [
            {"warc_filename": f"{CRAWL}/0.warc.gz", "warc_record_offset": m.offset, "warc_record_length": m.length}
            for m in walk(f, "web", 1 << 30)
        ]
    pq.write_table(pa.Table.from_pylist(rows[:50]), here / "index.parquet")
    texts = [{"id": str(i), "text": "The mill was built by the river, and it has stood there since."} for i in range(5)]
    pq.write_table(pa.Table.from_pylist(texts), here / "corpus.parquet")
    pq.write_table(pa.Table.from_pylist(texts), here / "corpus-folder" / "a.parquet")
    lines = "".join(json.dumps(t) + "\n" for t in texts)
    with pa.CompressedOutputStream(str(here / "corpus.jsonl.zst"), "zstd") as out:
        out.write(lines.encode())
    (here / "named.jsonl").write_text(lines.replace('"text"', '"content"'))
    return here


@pytest.fixture(scope="module")
def mirror(place: Path) -> Iterator[RangeServer]:
    with serving(place) as server:
        yield server


def test_the_page_has_an_example_of_each():
    assert len(COMMANDS) == 15


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_on_the_page_runs(
    command: str, place: Path, mirror: RangeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(place)
    program, stage, *arguments = shlex.split(command.replace("https://data.commoncrawl.org", mirror.url))
    if stage == "clean":
        arguments += ["--set", f"ingest.crawl_base={mirror.url}/", "--workers", "1"]
    app([stage, *arguments], standalone_mode=False)
    assert program == "corpusmill"
    if stage == "documents":
        assert re.search(r"wrote out\S+: [\d,]+ documents", capsys.readouterr().out)
    else:
        run = place / (arguments[0] if stage == "dedup" else arguments[arguments.index("--output") + 1])
        assert (run / stage / "manifest.json").exists()


@pytest.mark.parametrize("block", re.findall(r"```toml\n(.*?)```", PAGE, re.S))
def test_each_recipe_on_the_page_is_one(block: str):
    assert parse_recipe(tomllib.loads(block)).ingest.crawl_base

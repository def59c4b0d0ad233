"""Commands: every user mistake is one clear sentence and an exit code; questions are answered from the run's files."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from small_warcs import by_record, page

from corpusmill.errors import InputError
from corpusmill.mill import open_mill
from corpusmill.recipe import load_recipe, parse_recipe
from corpusmill.storage import Folder
from corpusmill.summary import show_fates

STAGES = ["stages=['clean','dedup','tokenize']", "tokenize.vocab_size=600"]


def corpusmill(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "corpusmill.cli", *arguments], capture_output=True, text=True)


@pytest.fixture(scope="module")
def run(web: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("commands") / "run"
    recipe = load_recipe("sample", STAGES)
    with open_mill(str(out), recipe, inputs=[str(web)], workers=1) as mill:
        for stage in recipe.stages:
            mill.run(stage)
    return out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "englsh", "--input", "x", "--output", "OUT"], "did you mean 'english'?"),
        (["run", "sample", "--input", "nowhere.warc.gz", "--output", "OUT"], "nowhere.warc.gz: there is no such file"),
        (["run", "sample", "--input", "no*where", "--output", "OUT"], "no*where: no file matches this pattern"),
        (
            ["run", "sample", "--input", "x", "--output", "OUT", "--set", "clean.langage.model=1"],
            "did you mean 'language'?",
        ),
        (
            ["run", "sample", "--input", "x", "--output", "OUT", "--set", "dedup.bands=many"],
            "dedup.bands: found 'many'",
        ),
        (["run", "sample", "--input", "x", "--output", "OUT", "--set", "dedup.verify=1.5"], "dedup.verify: found 1.5"),
        (["dedup", "OUT"], "is not a run folder"),
        (["dedup", ""], "a folder's name is empty; give a path or a URL"),
        (["why", "http://x", "--run", "OUT"], "has no finished clean stage"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(arguments: list[str], said: str, tmp_path: Path):
    out = tmp_path / "out"
    done = corpusmill(*[str(out) if a == "OUT" else a for a in arguments])
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()


def test_a_missing_language_model_says_how_to_get_it(web: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))
    done = corpusmill("run", "english", "--input", str(web), "--output", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "corpusmill fetch lid.176" in done.stderr
    assert not (tmp_path / "out").exists()


def test_fetching_keeps_only_what_has_the_pinned_checksum(
    tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))
    forged = tmp_path / "forged.ftz"
    forged.write_bytes(b"not a model")
    done = corpusmill("fetch", "lid.176", "--from", str(forged))
    assert done.returncode == 2
    assert "Nothing was kept" in done.stderr
    assert list((tmp_path / "cache").iterdir()) == []
    assert corpusmill("fetch", "lid.176", "--from", str(data_folder / "models/lid.176.ftz")).returncode == 0
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["lid.176.ftz"]


@pytest.mark.parametrize("content", [b"hello, I am no archive", gzip.compress(b"hello"), b"\x89PNG\r\n"])
def test_a_file_that_is_no_warc_is_named(content: bytes, tmp_path: Path):
    (tmp_path / "page.warc.gz").write_bytes(content)
    done = corpusmill("run", "sample", "--input", str(tmp_path / "page.warc.gz"), "--output", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "page.warc.gz is not a WARC file" in done.stderr
    assert not list((tmp_path / "out").rglob("part-*"))


def test_a_file_that_is_no_warc_does_not_end_a_job_of_several(web: Path, tmp_path: Path):
    (tmp_path / "page.warc.gz").write_bytes(b"hello, I am no archive")
    inputs = ("--input", str(tmp_path / "page.warc.gz"), "--input", str(web))
    done = corpusmill("clean", "--recipe", "sample", *inputs, "--output", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    counts = json.loads((tmp_path / "out/clean/manifest.json").read_text())["counts"]
    assert counts["dropped"]["damaged_record"] == 1
    assert counts["documents"] > 50


def test_a_cut_warc_costs_its_last_record_and_says_so(web: Path, tmp_path: Path):
    (tmp_path / "cut.warc.gz").write_bytes(web.read_bytes()[:-200])
    out = tmp_path / "out"
    done = corpusmill("clean", "--recipe", "sample", "--input", str(tmp_path / "cut.warc.gz"), "--output", str(out))
    assert done.returncode == 0
    counts = json.loads((out / "clean/manifest.json").read_text())["counts"]
    assert counts["dropped"]["truncated_record"] == 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"dedup": {"band": 3}}, r"recipe: dedup\.band: no such key; did you mean 'bands'\?"),
        ({"dedup": {"bands": "3"}}, r"recipe: dedup\.bands: found '3'"),
        ({"stages": ["clean", "dedupe"]}, r"stages\[1\]: found 'dedupe'"),
        ({"clean": {"rules": [{"name": "x"}]}}, r"clean\.rules\[0\]\.use: field required"),
        ({"trian": {}}, r"trian: no such key; did you mean 'train'\?"),
    ],
)
def test_a_recipe_error_names_key_value_and_the_nearest_right_one(values: dict[str, object], said: str):
    with pytest.raises(InputError, match=said):
        parse_recipe(values)


def test_a_recipe_cannot_be_changed_once_read():
    with pytest.raises(Exception, match="frozen"):
        load_recipe("sample").dedup.bands = 3  # type: ignore[misc]


def test_init_writes_a_recipe_that_loads(tmp_path: Path):
    assert corpusmill("init", str(tmp_path / "mine.toml")).returncode == 0
    assert load_recipe(tmp_path / "mine.toml") == load_recipe("english")
    assert corpusmill("init", str(tmp_path / "mine.toml")).returncode == 2


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("article", "kept and"),
        ("exact_duplicate", "removed as exact_duplicate"),
        ("redirect", "dropped in ingest: http_status"),
        ("adult_url", "dropped in clean: banned_word"),
    ],
)
def test_why_tells_the_fate_of_a_page(kind: str, said: str, web: Path, run: Path):
    truth = [json.loads(line) for line in web.with_name("web.truth.jsonl").read_text().splitlines()]
    urls = [t["url"] for t in truth if t["kind"] == kind and t["language"] in ("en", None)]
    answers = [corpusmill("why", url, "--run", str(run)).stdout for url in urls[:4]]
    assert any(said in answer for answer in answers), answers


def test_what_why_shows_is_whole_and_is_taken_for_no_markup(capsys: pytest.CaptureFixture[str]):
    url = "https://a.example/" + "x" * 100
    fate = {"fate": "dropped", "drop_stage": "clean", "drop_reason": "bad", "drop_detail": "[/b]", "url": url}
    show_fates(Console(width=80, soft_wrap=True), [fate])
    shown = capsys.readouterr().out
    assert "dropped in clean: bad ([/b])" in shown
    assert url in "".join(shown.split()[-3:])


def test_every_document_in_a_shard_can_be_read_again_from_its_warc(run: Path):
    import pyarrow.parquet as pq

    from corpusmill.provenance import document_text, reread

    folder = Folder(str(run))
    docs = pq.read_table(run / "shards/shard-00000.docs.parquet").to_pylist()
    assert len(docs) > 20
    for doc in docs[:20]:
        assert reread(folder, doc) == document_text(folder, doc["address"])


@pytest.mark.parametrize("path", ["", "documents/part-00000.parquet", "shards/shard-00000.arrow"])
def test_inspect_shows_what_is_there(path: str, run: Path):
    done = corpusmill("inspect", str(run / path) if path else str(run))
    assert done.returncode == 0
    assert "documents" in done.stdout or "rows" in done.stdout


def test_inspect_reads_a_warc(web: Path):
    done = corpusmill("inspect", str(web))
    assert done.returncode == 0
    assert ": 712 records: 270 pages, 17 http_status" in done.stdout


def test_damaged_records_are_told_by_ingest_and_inspect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "200")
    data = bytearray(by_record([page(i) for i in range(9)]))
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "a.warc.gz").write_bytes(data)
    given, run = str(tmp_path / "a.warc.gz"), str(tmp_path / "run")
    done = corpusmill("ingest", "--recipe", "sample", "--input", given, "--output", run)
    assert "dropped 1: damaged_record 1" in done.stderr + done.stdout
    assert f"{given}: 9 records: 8 pages, 1 damaged_record" in corpusmill("inspect", given).stdout


def test_output_that_is_not_a_terminal_has_no_control_codes(web: Path, tmp_path: Path):
    done = corpusmill("clean", "--recipe", "sample", "--input", str(web), "--output", str(tmp_path / "run"))
    assert "\x1b" not in done.stderr + done.stdout

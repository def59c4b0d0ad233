"""A run folder: whole or not at all, owned by one, refused when it is not what it should be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from corpusmill.errors import DamagedError, InputError, OwnedError, StorageError
from corpusmill.ledger import PartRegistry, StageLedger
from corpusmill.mill import open_mill
from corpusmill.ownership import LOCK_NAME, Owner
from corpusmill.recipe import load_recipe
from corpusmill.sample import write_sample
from corpusmill.storage import Folder

DATA_STAGES = ['stages=["clean","dedup","tokenize"]', "tokenize.vocab_size=600"]


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "run.json"
    }


def corpusmill(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "corpusmill.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, **more)  # type: ignore[call-overload,no-any-return]


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archives")
    for i in range(3):
        write_sample(str(folder / f"web-{i}.warc.gz"), pages=150, seed=i)
    return folder


@pytest.fixture(scope="module")
def uninterrupted(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    done = corpusmill(*_run_arguments(archives, out))
    assert done.returncode == 0, done.stderr
    return out


def _run_arguments(archives: Path, out: Path) -> list[str]:
    overrides = [word for pair in DATA_STAGES for word in ("--set", pair)]
    return ["run", "sample", "--input", str(archives / "*.warc.gz"), "--output", str(out), "--workers", "2", *overrides]


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path):
    folder = Folder(str(tmp_path))

    def broken() -> None:
        with folder.writing("a/b.bin") as out:
            out.path.write_bytes(b"half")
            raise RuntimeError("the writer fails")

    with pytest.raises(RuntimeError):
        broken()
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
    folder.write_bytes("a/b.bin", b"whole")
    assert tree(tmp_path) == {"a/b.bin": b"whole"}


@pytest.mark.parametrize("engine_folder", ["memory://a-run", "local"])
def test_the_data_stages_run_on_any_file_system(
    engine_folder: str, archives: Path, uninterrupted: Path, tmp_path: Path
):
    url = engine_folder if engine_folder != "local" else str(tmp_path / "run")
    recipe = load_recipe("sample", DATA_STAGES)
    with open_mill(url, recipe, inputs=[str(archives / "*.warc.gz")], workers=1) as mill:
        for stage in recipe.stages:
            mill.run(stage)
    folder = Folder(url)
    whole = {n: b for n, b in tree(uninterrupted).items() if n != "report.html"}
    found = [n for depth in ("*", "*/*", "*/*/*") for n in folder.names(depth) if not folder.fs.isdir(folder.at(n))]
    assert set(found) - {"run.json"} == set(whole)
    assert all(folder.read_bytes(n) == content for n, content in whole.items())


def test_the_data_stages_run_on_an_object_store(archives: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch):
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0)
    server.start()
    _, port = server.get_host_and_port()
    try:
        for key, value in {
            "AWS_ACCESS_KEY_ID": "k",
            "AWS_SECRET_ACCESS_KEY": "s",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(key, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("runs-of-the-mill")
        recipe = load_recipe("sample", DATA_STAGES)
        with open_mill("s3://runs-of-the-mill/run", recipe, inputs=[str(archives / "*.warc.gz")], workers=1) as mill:
            for stage in recipe.stages:
                mill.run(stage)
        folder = Folder("s3://runs-of-the-mill/run")
        whole = {n: b for n, b in tree(uninterrupted).items() if n != "report.html"}
        assert all(folder.read_bytes(n) == content for n, content in whole.items())
        assert not folder.exists(LOCK_NAME)
    finally:
        server.stop()


def _when(run: Path, sign: str) -> Callable[[], bool]:
    return lambda: any(run.glob(sign))


@pytest.mark.parametrize(
    "sign", ["clean/records/part-00000.json", "dedup/signatures/*", "tokenizer/tokenizer.json", "documents/.*.tmp"]
)
def test_a_killed_run_started_again_ends_in_the_same_bytes(
    sign: str, archives: Path, uninterrupted: Path, tmp_path: Path
):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "corpusmill.cli", *_run_arguments(archives, run)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while not _when(run, sign)() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    again = corpusmill(*_run_arguments(archives, run))
    assert again.returncode == 0, again.stderr
    assert tree(run) == tree(uninterrupted)


def test_ctrl_c_says_how_to_go_on(archives: Path, tmp_path: Path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "corpusmill.cli", *_run_arguments(archives, run)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (run / "clean/settings.json").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Run the same command again" in said
    assert "Traceback" not in said
    assert not list(run.rglob("owner.json"))


def test_a_second_run_does_nothing_again(archives: Path, uninterrupted: Path):
    before = {p: p.stat().st_mtime_ns for p in uninterrupted.rglob("part-*")}
    assert corpusmill(*_run_arguments(archives, uninterrupted)).returncode == 0
    assert {p: p.stat().st_mtime_ns for p in uninterrupted.rglob("part-*")} == before


def test_a_changed_recipe_is_refused_by_the_setting_that_differs(archives: Path, uninterrupted: Path):
    done = corpusmill(*_run_arguments(archives, uninterrupted), "--set", "dedup.bands=20")
    assert done.returncode == 2
    assert "bands was 14 and is now 20" in done.stderr
    assert "--start-over dedup" in done.stderr


def test_adding_an_input_keeps_the_parts_that_are_there(archives: Path, tmp_path: Path):
    run, recipe = str(tmp_path / "run"), load_recipe("sample", DATA_STAGES)
    with open_mill(run, recipe, inputs=[str(archives / "web-2.warc.gz")], workers=1) as mill:
        mill.run("clean")
    first = (tmp_path / "run/documents/part-00000.parquet").stat().st_mtime_ns
    with open_mill(run, recipe, inputs=[str(archives / "*.warc.gz")], workers=1) as mill:
        mill.run("clean")
    entries = json.loads((tmp_path / "run/parts.json").read_text())["parts"]
    assert [e["input"].rpartition("/")[2] for e in entries] == ["web-2.warc.gz", "web-0.warc.gz", "web-1.warc.gz"]
    assert (tmp_path / "run/documents/part-00000.parquet").stat().st_mtime_ns == first


def test_an_input_that_changed_its_size_is_refused(tmp_path: Path):
    registry = PartRegistry(Folder(str(tmp_path)))
    registry.register(["a.warc.gz"], {"a.warc.gz": 10})
    with pytest.raises(InputError, match=r"a\.warc\.gz has 11 bytes; it had 10"):
        PartRegistry(Folder(str(tmp_path))).register(["a.warc.gz"], {"a.warc.gz": 11})


def test_a_damaged_part_is_named_and_only_it_is_made_again(archives: Path, tmp_path: Path):
    run, recipe = tmp_path / "run", load_recipe("sample", DATA_STAGES)
    inputs = [str(archives / "*.warc.gz")]
    with open_mill(str(run), recipe, inputs=inputs, workers=1) as mill:
        mill.run("clean")
    part = run / "documents/part-00001.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[:-100])
    with open_mill(str(run), recipe, workers=1) as mill, pytest.raises(DamagedError, match=r"part-00001\.parquet has"):
        mill.run("dedup")
    (run / "clean/manifest.json").unlink()
    with open_mill(str(run), recipe, inputs=inputs, workers=1) as mill:
        mill.run("clean")
    assert part.read_bytes() == whole


def test_a_newer_format_is_refused_by_name(tmp_path: Path):
    folder = Folder(str(tmp_path))
    folder.write_json("clean/manifest.json", {"format": 99})
    with pytest.raises(DamagedError, match=r"manifest\.json has format version 99"):
        StageLedger(folder, "clean").manifest()


def test_one_owner_at_a_time(tmp_path: Path):
    folder = Folder(str(tmp_path))
    with Owner(folder, "corpusmill run"), pytest.raises(OwnedError, match=f"in use by process {os.getpid()}"):
        Owner(folder).__enter__()
    assert not folder.exists(LOCK_NAME)


def test_a_dead_owners_folder_is_taken_over(tmp_path: Path):
    code = f"import os; from corpusmill.ownership import Owner; from corpusmill.storage import Folder\n" \
           f"Owner(Folder({str(tmp_path)!r})).__enter__(); os._exit(9)"  # fmt: skip
    subprocess.run([sys.executable, "-c", code], check=False)
    assert (tmp_path / LOCK_NAME).exists()
    with Owner(Folder(str(tmp_path))) as owner:
        assert owner.taken_over is not None


def test_a_folder_with_other_things_in_it_is_not_ours(tmp_path: Path, archives: Path):
    (tmp_path / "thesis.tex").write_text("years of work")
    done = corpusmill(*_run_arguments(archives, tmp_path))
    assert done.returncode == 2
    assert "thesis.tex is in it" in done.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(disk)], capture_output=True)
    if done.returncode:
        pytest.skip("cannot mount a tmpfs (needs root)")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=False)


def test_too_small_a_disk_is_refused_before_work_starts(small_disk: Path, archives: Path):
    done = corpusmill(*_run_arguments(archives, small_disk / "run"))
    assert done.returncode == 3
    assert "clean is expected to need about" in done.stderr


def test_a_disk_that_fills_up_is_one_sentence_and_leaves_nothing_half_written(small_disk: Path):
    folder = Folder(str(small_disk / "run"))
    with pytest.raises(StorageError, match="the disk is full"), folder.writing("documents/part-00000.parquet") as out:
        out.path.write_bytes(bytes(3_000_000))
    assert [p for p in small_disk.rglob("*") if p.is_file()] == []

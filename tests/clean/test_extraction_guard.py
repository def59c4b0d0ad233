"""A page that hangs or crashes its library costs that page, and nothing is left behind."""

from __future__ import annotations

import faulthandler
import gc
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from corpusmill.clean.extraction_guard import Guard, Outcome
from corpusmill.clean.page_text import Extractor, extract
from corpusmill.schemas import PAGES

ROOT = Path(__file__).resolve().parents[2]


def engine(html: str) -> tuple[str | None, str]:
    """Does what the page says."""
    if "hang" in html:
        while True:
            pass
    if "sleep" in html:
        time.sleep(100)
    if "abort" in html:
        faulthandler.disable()  # pytest has it write all stacks
        os.abort()
    if "exit" in html:
        sys.exit(3)
    if "raise" in html:
        raise ValueError("a page \ud800 that raises")
    if "deep" in html:
        return engine(html)
    if "nothing" in html:
        return None, "test"
    if "pid" in html:
        return str(os.getpid()), "test"
    return html.upper(), "test"


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def handles() -> int:
    gc.collect()
    return psutil.Process().num_fds()


def gone(pid: int, within: float = 10.0) -> bool:
    end = time.monotonic() + within
    while time.monotonic() < end:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_answers_are_the_engines_own():
    guard = Guard(engine, 20)
    assert guard.run("a page") == Outcome("A PAGE", "test")
    assert guard.run("nothing") == Outcome(None, "test")
    assert guard.run("") == Outcome(None, "test")
    long = "x\0ä水" * 1_000_000  # more than a pipe holds, both ways
    assert guard.run(long) == Outcome(long.upper(), "test")
    assert guard.run("a lone \ud800").text == "A LONE ?"
    guard.close()


def test_an_exception_is_an_answer_and_no_reason_to_try_again():
    guard = Guard(engine, 20)
    pid = guard.run("pid").text
    assert guard.run("raise") == Outcome(error="ValueError: a page ? that raises")
    assert guard.run("deep").error == "RecursionError: maximum recursion depth exceeded"
    assert guard.run("pid").text == pid
    guard.close()


@pytest.mark.parametrize(
    ("page", "error"),
    [
        ("hang", "no answer within 0.3 s"),
        ("sleep", "no answer within 0.3 s"),
        ("abort", "the extracting process died: no answer"),
        ("exit", "the extracting process died: no answer"),
        ("hang" + "x" * 10_000_000, "no answer within 0.3 s"),
    ],
)
def test_a_page_that_hangs_or_crashes_costs_that_page(page: str, error: str):
    guard = Guard(engine, 0.3)
    assert guard.run("before").text == "BEFORE"
    assert guard.run(page) == Outcome(error=error, hung=True)
    assert guard.run("after").text == "AFTER"
    guard.close()
    assert children() == []


def test_a_child_that_was_killed_between_two_pages_is_replaced():
    guard = Guard(engine, 20)
    os.kill(int(guard.run("pid").text or ""), signal.SIGKILL)
    time.sleep(0.1)
    assert guard.run("a page").hung
    assert guard.run("a page").text == "A PAGE"
    guard.close()


def test_nothing_is_left_after_fifty_restarts():
    Guard(engine, 1).close()
    before = handles()
    guard = Guard(engine, 20)
    for i in range(50):
        assert guard.run("abort" if i % 2 else f"page {i}").hung == bool(i % 2)
        guard.close()
    assert (children(), handles()) == ([], before)
    for _ in range(5):
        Guard(engine, 20).run("a page")  # never closed, but collected
    gc.collect()
    assert (children(), handles()) == ([], before)


def test_a_child_serves_so_many_pages_and_is_then_made_anew():
    guard = Guard(engine, 20, pages_per_child=3)
    pids = [guard.run("pid").text for _ in range(7)]
    assert [pids.count(p) for p in dict.fromkeys(pids)] == [3, 3, 1]
    assert [str(c.pid) for c in children()] == pids[-1:]
    guard.close()


def test_it_works_where_a_thousand_files_are_open():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < 1200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(1200, hard), hard))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1050)]
    try:
        guard = Guard(engine, 20)
        assert guard.run("a page").text == "A PAGE"
        guard.close()
    finally:
        for handle in opened:
            os.close(handle)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_copy_and_a_forked_owner_have_children_of_their_own():
    guard = Guard(engine, 20, pages_per_child=7)
    pid = guard.run("pid").text
    copied = pickle.loads(pickle.dumps(guard))
    assert (copied.seconds, copied.pages_per_child) == (20, 7)
    assert copied.run("pid").text != pid
    copied.close()
    if (forked := os.fork()) == 0:
        other = guard.run("pid").text
        os._exit(0 if other not in (pid, None) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == 0
    assert guard.run("pid").text == pid
    guard.close()


def test_an_interrupted_page_is_not_answered_to_the_next():
    guard = Guard(engine, 20)
    assert guard.run("a page").text == "A PAGE"
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        guard.run("sleep")
    assert children() == []
    assert guard.run("the next").text == "THE NEXT"
    guard.close()


OWNER = """
import signal, sys, time
from tests.clean.test_extraction_guard import Guard, engine
guard = Guard(engine, 1)
print(guard.run("pid").text, flush=True)
if sys.argv[1] == "idle":
    time.sleep(100)
guard.run(sys.argv[1])
"""


def owner(page: str) -> tuple[subprocess.Popen[str], int]:
    started = subprocess.Popen(
        [sys.executable, "-c", OWNER, page],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    assert started.stdout is not None
    return started, int(started.stdout.readline())


@pytest.mark.parametrize("page", ["idle", "sleep", "hang"])
def test_the_child_ends_with_its_parent_even_if_that_is_killed(page: str):
    parent, child = owner(page)
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    assert gone(child)


def test_ctrl_c_is_for_the_parent_and_ends_both():
    parent, child = owner("sleep")
    time.sleep(0.3)
    os.killpg(parent.pid, signal.SIGINT)  # as a terminal does: to all
    assert parent.wait(10) != 0
    assert gone(child)


def batch(bodies: list[str]) -> pa.RecordBatch:
    rows = [{"id": b, "url": f"https://x.example/{i}", "body": b.encode()} for i, b in enumerate(bodies)]
    return pa.RecordBatch.from_pylist([dict.fromkeys(PAGES.names) | row for row in rows], PAGES)


def guarded(seconds: float) -> Extractor:
    extractor = Extractor("resiliparse", guard_seconds=seconds)
    extractor.guard = Guard(engine, seconds)
    return extractor


def test_pages_that_hang_are_tried_again_at_the_end_and_come_exactly_once():
    extractor = guarded(0.3)
    bodies = [["one", "hang 1", "two"], ["abort", "raise", "three"], ["nothing"]]
    rows = pa.Table.from_batches(list(extract(map(batch, bodies), extractor))).to_pylist()
    assert [r["id"] for r in rows] == ["one", "two", "raise", "three", "nothing", "hang 1", "abort"]
    assert [r["drop_reason"] for r in rows] == [
        None, None, "extraction_failed", None, "no_text", "extraction_hung", "extraction_hung",
    ]  # fmt: skip
    assert [r["text"] for r in rows] == ["ONE", "TWO", None, "THREE", None, None, None]
    assert extractor.retried == ["https://x.example/1", "https://x.example/0"]
    assert extractor.guard is not None
    extractor.guard.close()


def test_a_page_that_comes_to_an_end_the_second_time_is_kept(tmp_path: Path):
    mark = tmp_path / "mark"

    def once(html: str) -> tuple[str | None, str]:
        if "busy" in html and not mark.exists():
            mark.touch()
            time.sleep(100)
        return engine(html)

    extractor = guarded(0.3)
    extractor.guard = Guard(once, 0.3)
    rows = pa.Table.from_batches(list(extract([batch(["busy", "calm"])], extractor))).to_pylist()
    assert [(r["id"], r["text"], r["drop_reason"]) for r in rows] == [("calm", "CALM", None), ("busy", "BUSY", None)]
    extractor.guard.close()


def test_the_guard_changes_no_text():
    from corpusmill.clean.trafilatura_engine import trafilatura_text

    html = "<html><body><article>" + "<p>The miller carries the corn to the wheel.</p>" * 30
    extractor = Extractor(guard_seconds=60)
    page = extractor.extract(html.encode())
    assert (page.text, page.extractor) == ((trafilatura_text(html) or "").strip(), "trafilatura")
    assert page == Extractor().extract(html.encode())
    assert isinstance(extractor.guard, Guard)
    extractor.guard.close()

"""Clocks of stages: seconds belong to the stage that spent them, whoever waited for it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from benchmarks.peers.stage_clocks import StageClocks, measured


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in its only place; tests move it on."""
    now = [0.0]
    monkeypatch.setattr("benchmarks.peers.stage_clocks.time.perf_counter", lambda: now[0])
    return now


def test_a_stage_that_waits_for_another_does_not_pay_for_it(clock: list[float]):
    clocks = StageClocks()

    def read() -> Iterator[int]:
        for i in range(3):
            clock[0] += 5
            yield i

    def judge(items: Iterator[int]) -> Iterator[int]:
        for i in items:
            clock[0] += 1
            if i != 1:
                yield i

    with clocks.stage("write"):
        for _ in clocks.each("judge", judge(clocks.each("read", read()))):
            clock[0] += 0.5
    assert clocks.seconds == {"read": 15.0, "judge": 3.0, "write": 1.0}
    assert clocks.items == {"read": 3, "judge": 2}


def test_a_function_is_a_stage_within_the_one_that_calls_it(clock: list[float]):
    clocks = StageClocks()

    def decode(by: float) -> float:
        clock[0] += by
        return by

    timed = clocks.call("decode", decode)
    with clocks.stage("extract"):
        clock[0] += 2
        assert timed(3.0) == 3.0
        clock[0] += 4
    assert clocks.seconds == {"extract": 6.0, "decode": 3.0}


def test_an_error_closes_the_stages_that_it_leaves(clock: list[float]):
    clocks = StageClocks()

    def fail() -> None:
        clock[0] += 1
        raise ValueError("broken page")

    with clocks.stage("outer"):
        with pytest.raises(ValueError, match="broken page"):
            clocks.call("inner", fail)()
        clock[0] += 1
    assert clocks.seconds == {"outer": 1.0, "inner": 1.0}


def test_a_process_that_sleeps_takes_time_and_no_processor():
    found = measured(lambda: time.sleep(0.2))
    assert found["seconds"] >= 0.2
    assert found["cpu"] < 0.15
    assert found["rss_mb"] > 1

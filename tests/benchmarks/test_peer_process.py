"""Peers are real processes in another environment: what they answer counts, what is missing or crashes is said so."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.harness import Failed
from benchmarks.peer_process import NOT_INSTALLED, PeerProcess, Peers

ANSWERS = """read documents; echo '{"version": "9.1"}'; while read run; do echo '{"seconds": 0.5}'; done"""
CRASHES = """read documents; echo '{"version": "9.1"}'; read run; echo out of memory >&2; exit 3"""
NOISY = """head -c 300000 /dev/zero | tr '\\0' x >&2; """ + ANSWERS


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of the peers' Python, to be written by the test."""
    monkeypatch.setenv("CORPUSMILL_PEERS", str(tmp_path))
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin/python"


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_peer_says_its_version_and_its_seconds(environment: Path):
    program(environment, ANSWERS)
    with Peers(None) as peers:
        found = peers.start("any", ["a text", "another"])
        assert found is not None
        assert (found.name, found.version, found.items) == ("any", "9.1", 2)
        assert [found.run(), found.run()] == [0.5, 0.5]
    assert peers.missing == {}


def test_a_peer_that_warns_a_lot_does_not_stand_still(environment: Path):
    program(environment, NOISY)
    with Peers(None) as peers:
        found = peers.start("any", ["a text"])
        assert found is not None
        assert found.run() == 0.5


def test_a_missing_environment_is_said_so(environment: Path):
    with Peers(None) as peers:
        assert peers.start("datatrove", ["a text"]) is None
    assert peers.missing == {"datatrove": "not installed: make peers"}


def test_a_peer_missing_from_the_environment_is_said_so(environment: Path):
    program(environment, f'exec {sys.executable} -S "$@"')  # -S: no installed packages
    with Peers(None) as peers:
        assert peers.start("rensa", ["a text"]) is None
    assert peers.missing == {"rensa": f"{NOT_INSTALLED} (ModuleNotFoundError: No module named 'rensa')"}


def test_a_crash_is_told_in_the_last_words_of_the_peer(environment: Path):
    program(environment, CRASHES)
    peer = PeerProcess("any", ["a text"], None)
    with pytest.raises(Failed, match=r"^crashed with exit code 3: out of memory$"):
        peer.run()
    with pytest.raises(Failed, match="exit code 3"):
        peer.run()
    peer.end()


def test_datasketch_answers_through_the_real_script(environment: Path):
    pytest.importorskip("datasketch")
    program(environment, f'exec {sys.executable} "$@"')
    with Peers(None) as peers:
        found = peers.start("datasketch", ["one two three four five six seven"] * 3)
        assert found is not None, peers.missing
        assert found.version[0].isdigit()
        assert found.run() > 0

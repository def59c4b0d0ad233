"""Peers: each one long-lived process in an environment of its own, spoken to in JSON lines.

They pin old versions of what we use, so they cannot live in ours. `make peers` makes their environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.harness import ROOT, Contender, Failed

NOT_INSTALLED = "not installed: make peers"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1")


class Peers:
    """The running peers; a context manager that ends them. What could not run is in `missing`, with the reason."""

    def __init__(self, core: int | None) -> None:
        self.core = core
        self.missing: dict[str, str] = {}
        self._running: list[PeerProcess] = []

    def start(self, name: str, documents: Sequence[str]) -> Contender | None:
        """The peer, loaded and warm, or None where there is none."""
        try:
            peer = PeerProcess(name, documents, self.core)
        except Failed as e:
            self.missing[name] = str(e)
            return None
        self._running.append(peer)
        return Contender(name, peer.version, len(documents), peer.run)

    def answers(self, name: str) -> list[Any]:
        """What the running peer of this name finds in each of its documents."""
        return next(peer for peer in self._running if peer.name == name).answers()

    def __enter__(self) -> Peers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for peer in self._running:
            peer.end()


class PeerProcess:
    """`benchmarks/peers/run_peer.py` under the peers' Python (CORPUSMILL_PEERS, else .venv-peers).

    Raises Failed where the peer is not installed, does not start, or ends while it should answer.
    """

    def __init__(self, name: str, documents: Sequence[str], core: int | None) -> None:
        self.name = name
        python = Path(os.environ.get("CORPUSMILL_PEERS", ROOT / ".venv-peers")) / "bin/python"
        if not python.exists():
            raise Failed(NOT_INSTALLED)
        # a file, not a pipe: a peer that warns a lot would fill the pipe and stand still
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  closed by end()
        self._process = subprocess.Popen(
            [str(python), str(ROOT / "benchmarks/peers/run_peer.py"), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env=os.environ | ONE_THREAD,
        )
        try:
            self.version = str(self._ask({"documents": list(documents), "core": core})["version"])
        except BaseException:
            self.end()
            raise

    def run(self) -> float:
        """Seconds for all its documents, measured inside the peer's process."""
        return float(self._ask({"run": 1})["seconds"])

    def answers(self) -> list[Any]:
        """What it finds in each document, where that is more than a time."""
        found: list[Any] = self._ask({"answers": 1})["answers"]
        return found

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.terminate()
        self._process.wait()
        self._process.stdout.close()
        self._said.close()

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it has ended: the empty answer says so, its last words why
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise Failed(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        code = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().strip().splitlines()
        last = lines[-1] if lines else "it said nothing"
        if last.startswith(("ModuleNotFoundError", "importlib.metadata.PackageNotFoundError")):
            return f"{NOT_INSTALLED} ({last})"
        return f"crashed with exit code {code}: {last}"

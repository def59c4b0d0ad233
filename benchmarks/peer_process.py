"""Peers: each one long-lived process in an environment of its own, spoken to in JSON lines.

They pin old versions of what we use, so they cannot live in ours. `make peers` makes their environment.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.conversation import NOT_INSTALLED, Conversation
from benchmarks.harness import ROOT, Contender, Failed

__all__ = ["NOT_INSTALLED", "PeerProcess", "Peers", "peer_command"]


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


class PeerProcess(Conversation):
    """`benchmarks/peers/run_peer.py` under the peers' Python.

    Raises Failed where the peer is not installed, does not start, or ends while it should answer.
    """

    def __init__(self, name: str, documents: Sequence[str], core: int | None) -> None:
        super().__init__(peer_command("run_peer.py", name))
        self.name = name
        try:
            self.version = str(self.ask({"documents": list(documents), "core": core})["version"])
        except BaseException:
            self.end()
            raise

    def run(self) -> float:
        """Seconds for all its documents, measured inside the peer's process."""
        return float(self.ask({"run": 1})["seconds"])

    def answers(self) -> list[Any]:
        """What it finds in each document, where that is more than a time."""
        found: list[Any] = self.ask({"answers": 1})["answers"]
        return found


def peer_command(script: str, *arguments: str, environment: Path | None = None) -> list[str]:
    """How a script of `benchmarks/peers` is run under its Python: of the environment given, else of the peers' own
    (CORPUSMILL_PEERS, else .venv-peers)."""
    folder = environment or Path(os.environ.get("CORPUSMILL_PEERS", ROOT / ".venv-peers"))
    python = folder / "bin/python"
    if not python.exists():
        raise Failed(NOT_INSTALLED)
    return [str(python), str(ROOT / "benchmarks/peers" / script), *arguments]


def loader_command(script: str) -> list[str]:
    """The same in the loaders' environment (CORPUSMILL_LOADERS, else .venv-loaders)."""
    return peer_command(script, environment=Path(os.environ.get("CORPUSMILL_LOADERS", ROOT / ".venv-loaders")))

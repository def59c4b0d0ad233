"""A process that answers each line of JSON with one: how contenders are kept apart, each with a memory of its own."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

from benchmarks.harness import ROOT, Failed

NOT_INSTALLED = "not installed: make peers"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1")


class Conversation:
    """A context manager that ends the process. Raises Failed where it ends while it should answer."""

    def __init__(self, command: Sequence[str]) -> None:
        # a file, not a pipe: a process that warns a lot would fill the pipe and stand still
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  closed by end()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            cwd=ROOT,
            env=os.environ | ONE_THREAD,
        )

    @property
    def process_id(self) -> int:
        return self._process.pid

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
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

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.terminate()
        self._process.wait()
        self._process.stdout.close()
        self._said.close()

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    def _last_words(self) -> str:
        code = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().strip().splitlines()
        last = lines[-1] if lines else "it said nothing"
        if last.startswith(("ModuleNotFoundError", "importlib.metadata.PackageNotFoundError")):
            return f"{NOT_INSTALLED} ({last})"
        return f"crashed with exit code {code}: {last}"

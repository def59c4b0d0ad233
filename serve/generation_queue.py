"""One generation at a time, and a short queue before it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from corpusmill.serve.text_generation import AbandonedError

MAX_WAITING = 16
"""Requests that may wait while another is answered."""
_LOOK_EVERY_SECONDS = 0.25

T = TypeVar("T")


class QueueFullError(Exception):
    """As many requests wait as may wait."""


class GenerationQueue:
    """Runs work on one thread, in the order it came. For use from one event loop."""

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self.max_waiting = max_waiting
        self.inside = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="generation")

    async def run(self, work: Callable[[Callable[[], None]], T], gone: Callable[[], Awaitable[bool]]) -> T:
        """`work(check)` on the thread. Once `gone` says that nobody waits for it, `check` raises AbandonedError."""
        if self.inside > self.max_waiting:
            raise QueueFullError
        stop = threading.Event()

        def check() -> None:
            if stop.is_set():
                raise AbandonedError

        self.inside += 1
        try:
            future = asyncio.get_running_loop().run_in_executor(self._thread, work, check)
            future.add_done_callback(_look_at)
            while not (await asyncio.wait({future}, timeout=_LOOK_EVERY_SECONDS))[0]:
                if await gone():
                    stop.set()
            return future.result()
        finally:
            stop.set()  # also where the waiting itself was cancelled
            self.inside -= 1

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def _look_at(future: asyncio.Future[T]) -> None:
    """Where the server was stopped nobody asks for the outcome, and asyncio would complain of that."""
    if not future.cancelled():
        future.exception()

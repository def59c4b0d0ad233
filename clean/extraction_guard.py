"""Extraction in a child process that can be killed: the last resort against libraries that hang or crash.

Work is bounded by counting (bytes, tags, depth), so the clock here is never reached by a page that is only large. The
child is forked, which takes milliseconds; it is made anew after some thousand pages, so that what a parser's memory
loses is given back. It ends with its parent: its pipe closes, and if it hangs just then, an alarm of its own ends it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import struct
import time
import weakref
from collections.abc import Callable
from typing import NamedTuple

_PAGES_PER_CHILD = 20_000
_LENGTH = struct.Struct("<q")
_CHUNK = 1 << 20
_ALARM_AFTER = 2.0
"""How many times the parent's limit a child without a parent lives."""


class Outcome(NamedTuple):
    text: str | None = None
    engine: str = ""
    error: str | None = None
    hung: bool = False
    """Whether the child had to be killed, or died: the page may be tried again."""


class Guard:
    """Runs an engine in a child. Not for several threads at once; a copy made by pickling starts its own child."""

    def __init__(
        self,
        engine: Callable[[str], tuple[str | None, str]],
        seconds: float,
        pages_per_child: int = _PAGES_PER_CHILD,
    ) -> None:
        self.engine, self.seconds, self.pages_per_child = engine, seconds, pages_per_child
        self._child: _Child | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return Guard, (self.engine, self.seconds, self.pages_per_child)

    def run(self, html: str) -> Outcome:
        """The engine's answer; an outcome that says `hung` where there was none in time."""
        if self._child is None or self._child.pages >= self.pages_per_child or self._child.owner != os.getpid():
            self.close()
            self._child = _Child(self.engine, self.seconds)
        try:
            answer = self._child.ask(html.encode("utf-8", "surrogatepass"), self.seconds)
        except BaseException:  # Ctrl-C, say: an answer that comes later must not be taken for the next page's
            self.close()
            raise
        if isinstance(answer, Outcome):
            self.close()
            return answer
        found: Outcome = Outcome(*pickle.loads(answer))  # noqa: S301  our own child's
        return found

    def close(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


class _Child:
    """A forked process that reads pages and writes texts, each with its length before it."""

    def __init__(self, engine: Callable[[str], tuple[str | None, str]], seconds: float) -> None:
        self.owner, self.pages = os.getpid(), 0
        _warm(engine)  # what is imported before the fork is imported once
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        try:
            self.pid = os.fork()
        except OSError:
            for handle in (theirs_in, self._to, self._from, theirs_out):
                os.close(handle)
            raise
        if self.pid == 0:
            try:
                os.close(self._to)
                os.close(self._from)
                _serve(engine, theirs_in, theirs_out, seconds)
            finally:
                os._exit(0)
        os.close(theirs_in)
        os.close(theirs_out)
        os.set_blocking(self._to, False)
        self._finalizer = weakref.finalize(self, _end, self.pid, self._to, self._from, self.owner)

    def ask(self, page: bytes, seconds: float) -> bytes | Outcome:
        self.pages += 1
        clock = _Clock(seconds)
        try:
            self._write(_LENGTH.pack(len(page)) + page, clock)
            (size,) = _LENGTH.unpack(self._read(_LENGTH.size, clock))
            return self._read(size, clock)
        except TimeoutError:
            return Outcome(error=f"no answer within {seconds:g} s", hung=True)
        except (EOFError, OSError) as e:
            return Outcome(error=f"the extracting process died: {str(e) or 'no answer'}", hung=True)

    def end(self) -> None:
        self._finalizer()

    def _write(self, data: bytes, clock: _Clock) -> None:
        view = memoryview(data)
        while view:
            _wait(self._to, select.POLLOUT, clock)
            view = view[os.write(self._to, view[:_CHUNK]) :]

    def _read(self, size: int, clock: _Clock) -> bytes:
        data = bytearray()
        while len(data) < size:
            _wait(self._from, select.POLLIN, clock)
            chunk = os.read(self._from, size - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return bytes(data)


class _Clock:
    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        return max(self._end - time.monotonic(), 0.0)


def _wait(handle: int, event: int, clock: _Clock) -> None:
    """Until a pipe can be read or written, or is closed. poll: select() takes no handle above 1,023."""
    waiting = select.poll()
    waiting.register(handle, event)
    if not waiting.poll(clock.left() * 1000):
        raise TimeoutError


def _serve(engine: Callable[[str], tuple[str | None, str]], source: int, target: int, seconds: float) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # whose action is the end, in whatever library it comes
    reader, writer = os.fdopen(source, "rb"), os.fdopen(target, "wb")
    while len(head := reader.read(_LENGTH.size)) == _LENGTH.size:
        html = reader.read(_LENGTH.unpack(head)[0]).decode("utf-8", "surrogatepass")
        signal.setitimer(signal.ITIMER_REAL, seconds * _ALARM_AFTER)
        try:
            text, name = engine(html)
            outcome = Outcome(text.encode("utf-8", "replace").decode() if text else None, name)
        except Exception as e:  # one page's trouble is one row's reason
            outcome = Outcome(error=f"{type(e).__name__}: {e}".encode("utf-8", "replace").decode())
        signal.setitimer(signal.ITIMER_REAL, 0)
        answer = pickle.dumps(tuple(outcome))
        writer.write(_LENGTH.pack(len(answer)) + answer)
        writer.flush()


def _warm(engine: Callable[[str], tuple[str | None, str]]) -> None:
    with contextlib.suppress(Exception):
        engine("<html><body><p>warm</p></body></html>")


def _end(pid: int, to: int, back: int, owner: int) -> None:
    if os.getpid() != owner:  # a process forked later holds a copy of this object, not the child
        return
    for handle in (to, back):
        with contextlib.suppress(OSError):
            os.close(handle)
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

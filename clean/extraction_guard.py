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
from collections.abc import Callable, Sequence
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


def answered(engine: Callable[[str], tuple[str | None, str]], html: str) -> Outcome:
    """The engine's answer, as UTF-8 can hold it: entities such as &#xD800; leave lone surrogates."""
    try:
        text, name = engine(html)
        return Outcome(text.encode("utf-8", "replace").decode() if text else None, name)
    except Exception as e:  # extractors meet every kind of broken page; each costs one row, with its reason
        return Outcome(error=f"{type(e).__name__}: {e}".encode("utf-8", "replace").decode())


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

    def run(self, page: str) -> Outcome:
        """One page; as `run_all`, which is for work."""
        (outcome,) = self.run_all([page])
        return outcome

    def run_all(self, pages: Sequence[str]) -> list[Outcome]:
        """The engine's answer to each page; an outcome that says `hung` where there was none in time.

        All are sent ahead, so that neither process waits for the other between two pages.
        """
        sent = [page.encode("utf-8", "surrogatepass") for page in pages]
        outcomes: list[Outcome] = []
        while len(outcomes) < len(sent):
            try:
                answers, trouble = self._living().ask(sent[len(outcomes) :], self.seconds)
            except BaseException:  # Ctrl-C, say: an answer that comes later must not be taken for another page's
                self.close()
                raise
            outcomes += [Outcome(*pickle.loads(answer)) for answer in answers]  # noqa: S301  our own child's
            if trouble is not None:
                outcomes.append(Outcome(error=trouble, hung=True))
                self.close()
        return outcomes

    def _living(self) -> _Child:
        if self._child is None or self._child.pages >= self.pages_per_child or self._child.owner != os.getpid():
            self.close()
            self._child = _Child(self.engine, self.seconds)
        return self._child

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

    def ask(self, pages: Sequence[bytes], seconds: float) -> tuple[list[bytes], str | None]:
        """(answers in order, what went wrong at the first page that has none)."""
        self.pages += len(pages)
        unsent = [memoryview(part) for page in reversed(pages) for part in (page, _LENGTH.pack(len(page))) if part]
        answers: list[bytes] = []
        received = bytearray()
        deadline = time.monotonic() + seconds
        try:
            while len(answers) < len(pages):
                left = max(deadline - time.monotonic(), 0.0)
                readable, writable = self._wait(bool(unsent), left)
                if not readable and not writable:
                    return answers, f"no answer within {seconds:g} s"
                if writable:
                    self._send(unsent)
                if readable:
                    chunk = os.read(self._from, _CHUNK)
                    if not chunk:
                        return answers, "the extracting process died: no answer"
                    received += chunk
                    if _take(received, answers):
                        deadline = time.monotonic() + seconds
        except OSError as e:
            return answers, f"the extracting process died: {e.strerror}"
        return answers, None

    def _wait(self, to_send: bool, seconds: float) -> tuple[bool, bool]:
        """Whether there is something to read, and room to write. poll: select() takes no handle above 1,023."""
        waiting = select.poll()
        waiting.register(self._from, select.POLLIN)
        if to_send:
            waiting.register(self._to, select.POLLOUT)
        ready = {handle for handle, _ in waiting.poll(seconds * 1000)}
        return self._from in ready, self._to in ready

    def _send(self, unsent: list[memoryview]) -> None:
        part = unsent.pop()
        try:
            rest = part[os.write(self._to, part[:_CHUNK]) :]
        except BrokenPipeError:  # it died; what it had answered before is still to be read
            unsent.clear()
            return
        if rest:
            unsent.append(rest)

    def end(self) -> None:
        self._finalizer()


def _take(received: bytearray, answers: list[bytes]) -> bool:
    """Move whole answers out of what was received; whether there was one."""
    before = len(answers)
    while len(received) >= _LENGTH.size:
        (size,) = _LENGTH.unpack_from(received)
        if len(received) < _LENGTH.size + size:
            break
        answers.append(bytes(received[_LENGTH.size : _LENGTH.size + size]))
        del received[: _LENGTH.size + size]
    return len(answers) > before


def _serve(engine: Callable[[str], tuple[str | None, str]], source: int, target: int, seconds: float) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # whose action is the end, in whatever library it comes
    reader, writer = os.fdopen(source, "rb"), os.fdopen(target, "wb")
    while len(head := reader.read(_LENGTH.size)) == _LENGTH.size:
        html = reader.read(_LENGTH.unpack(head)[0]).decode("utf-8", "surrogatepass")
        signal.setitimer(signal.ITIMER_REAL, seconds * _ALARM_AFTER)
        outcome = answered(engine, html)
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

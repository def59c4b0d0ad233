"""What a training process needs before DeepSpeed is imported, and how it hears that it should stop."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import psutil

from corpusmill.errors import OwnedError
from corpusmill.storage import Folder

WATCH_STDIN = "CORPUSMILL_WATCH_STDIN"
"""Set by a parent that holds the other end of standard input: when it dies, the process ends too."""

_PR_SET_PDEATHSIG = 1
_LOCK_PATIENCE_SECONDS = 15.0


def prepare_environment(env: MutableMapping[str, str] = os.environ) -> None:
    """Fill in what DeepSpeed and its compiler need; whatever is set already stays."""
    bin_folder = str(Path(sys.executable).parent)
    if bin_folder not in env.get("PATH", "").split(os.pathsep):
        env["PATH"] = os.pathsep.join(filter(None, (bin_folder, env.get("PATH", ""))))  # ninja is there
    extensions = Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "corpusmill" / "torch_extensions"
    env.setdefault("TORCH_EXTENSIONS_DIR", str(extensions))
    if not _has_gpu():
        env.setdefault("DS_ACCELERATOR", "cpu")
    env.setdefault("TOKENIZERS_PARALLELISM", "false")


def single_process_environment(env: MutableMapping[str, str] = os.environ) -> None:
    """Without a launcher: one rank, that talks to nobody."""
    if "RANK" not in env:
        env.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port()))


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def remove_stale_locks(folder: Path) -> list[Path]:
    """Remove `<op>/lock` files that no living process holds open.

    A run killed while DeepSpeed compiles an op leaves one, and every later run would wait for it for ever.
    """
    locks = list(folder.glob("**/lock")) if folder.is_dir() else []
    held = _open_files() if locks else set()
    stale = [lock for lock in locks if str(lock.resolve()) not in held]
    for lock in stale:
        lock.unlink(missing_ok=True)
    return stale


def end_with_launcher() -> None:
    """End this process when its launcher dies, or whoever started the launcher. A killed run stays killed.

    Without a launcher the parent is a shell, which may go before its background jobs do.
    """
    if sys.platform == "linux" and "RANK" in os.environ:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.environ.get(WATCH_STDIN):
        threading.Thread(target=_exit_at_end_of_input, daemon=True, name="parent-watch").start()


@contextmanager
def owning(train: Folder) -> Iterator[None]:
    """Hold the folder for this process. The lock is the kernel's, so it dies with its owner and leaves no file."""
    path = train.local_path()
    path.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDONLY)
    try:
        _lock(fd, train)
        yield
    finally:
        os.close(fd)


class StopRequest:
    """Remembers the first SIGTERM or Ctrl-C, to be honoured at the next step border; a second Ctrl-C ends at once."""

    EXIT_CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}  # noqa: RUF012  never changed

    def __init__(self) -> None:
        self.exit_code = 0

    def listen(self) -> None:
        for number in self.EXIT_CODES:
            signal.signal(number, self._heard)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self.exit_code == 130 and number == signal.SIGINT:
            os._exit(130)
        self.exit_code = self.exit_code or self.EXIT_CODES[signal.Signals(number)]


def _has_gpu() -> bool:
    return any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg"))


def _exit_at_end_of_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)  # at once: a new owner may already be starting, and only whole checkpoints count


def _open_files() -> set[str]:
    found: set[str] = set()
    for process in psutil.process_iter():
        try:
            found.update(f.path for f in process.open_files())
        except (psutil.Error, OSError):
            continue
    return found


def _lock(fd: int, train: Folder) -> None:
    deadline = time.monotonic() + _LOCK_PATIENCE_SECONDS  # a run that was just killed may need a moment to go
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise OwnedError(
                    f"{train.url}: another process is training in this folder. Wait for it, stop it, or choose "
                    "another run"
                ) from None
            time.sleep(0.2)

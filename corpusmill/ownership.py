"""One process owns an output folder. A second one is refused by name; a dead owner's folder is taken over.

The lock is `owner.json`: who (host, process, a random token) and a heartbeat. On a local disk it is created
exclusively; an object store has no such thing everywhere, so there the writer reads back and the last writer wins
before work starts.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from corpusmill.errors import OwnedError
from corpusmill.storage import Folder, canonical_json

LOCK_NAME = "owner.json"
HEARTBEAT_SECONDS = 10.0
DEAD_AFTER_SECONDS = 60.0
"""An owner on another host is dead when its heartbeat is this old. On this host its process is looked up instead."""


class Owner:
    """`with Owner(folder): ...` holds the folder. Raises OwnedError if another living process holds it."""

    def __init__(self, folder: Folder, command: str = "") -> None:
        self.folder = folder
        self.taken_over: dict[str, Any] | None = None
        self._lost = False
        self._stop = threading.Event()
        self._me = {
            "command": command,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "process_started": psutil.Process().create_time(),
            "token": secrets.token_hex(8),
        }
        self._heart = threading.Thread(target=self._beat, name="corpusmill-heartbeat", daemon=True)

    def __enter__(self) -> Owner:
        while not self._create():
            other = self._read()
            if other is not None and _alive(other):
                raise OwnedError(
                    f"{self.folder.url} is in use by process {other['pid']} on {other['host']} "
                    f"({other['command'] or 'corpusmill'}). Wait for it, stop it, or choose another --output"
                )
            self.taken_over = other or self.taken_over
            self._clear(other)
        self._heart.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._heart.join()
        current = self._read()
        if current is not None and current["token"] == self._me["token"]:
            self.folder.remove(LOCK_NAME)

    def check(self) -> None:
        """Raise if the folder was taken over while this process slept (a suspended laptop)."""
        if self._lost:
            raise OwnedError(f"{self.folder.url} was taken over by another process while this one was suspended")

    def _create(self) -> bool:
        content = canonical_json(self._me | {"heartbeat": time.time()})
        if self.folder.is_local:
            path = Path(self.folder.at(LOCK_NAME))
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with path.open("xb") as f:
                    f.write(content)
            except FileExistsError:
                return False
            return True
        if self.folder.exists(LOCK_NAME):
            return False
        self.folder.write_bytes(LOCK_NAME, content)
        current = self._read()
        return current is not None and current["token"] == self._me["token"]

    def _clear(self, other: dict[str, Any] | None) -> None:
        """Remove a dead owner's lock. Of several who try, the rename lets exactly one through."""
        if not self.folder.is_local:
            self.folder.remove(LOCK_NAME)
            return
        path = Path(self.folder.at(LOCK_NAME))
        grave = path.with_name(f".{LOCK_NAME}.{secrets.token_hex(8)}.tmp")
        with suppress(FileNotFoundError):
            path.rename(grave)
            buried = _parse(grave.read_bytes())
            if buried is not None and other is not None and buried["token"] != other["token"] and _alive(buried):
                with suppress(FileExistsError):
                    os.link(grave, path)  # somebody quicker had taken it over already: give it back
            grave.unlink()

    def _read(self) -> dict[str, Any] | None:
        try:
            return _parse(self.folder.fs.cat_file(self.folder.at(LOCK_NAME)))
        except FileNotFoundError:
            return None

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            current = self._read()
            if current is None or current["token"] != self._me["token"]:
                self._lost = True
                return
            with suppress(OSError):  # a full disk must not kill the heart; the stage reports it
                self.folder.write_json(LOCK_NAME, self._me | {"heartbeat": time.time()})


def _parse(raw: bytes) -> dict[str, Any] | None:
    """None for a lock cut by a crash while it was created."""
    try:
        lock = json.loads(raw)
    except ValueError:
        return None
    return lock if isinstance(lock, dict) and {"host", "pid", "token", "heartbeat", "command"} <= lock.keys() else None


def _alive(owner: dict[str, Any]) -> bool:
    if owner["host"] != socket.gethostname():
        return time.time() - float(owner["heartbeat"]) < DEAD_AFTER_SECONDS
    try:
        started = psutil.Process(owner["pid"]).create_time()
    except psutil.Error:
        return False
    return abs(started - owner.get("process_started", started)) < 1.0  # else the number was given to another process

"""A folder behind HTTP on this machine: byte ranges as an object store serves them, and failures on demand."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class RangeServer(ThreadingHTTPServer):
    """`failures["name"] = [503, 503]`: the next GETs of that path are answered so; 0 cuts the connection midway."""

    daemon_threads = True

    def __init__(self, folder: Path, *, ranges: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.ranges = folder, ranges
        self.failures: dict[str, list[int]] = {}
        self.heads: Counter[str] = Counter()
        self.gets: list[tuple[str, int, int]] = []
        """(path, first byte, bytes) of each answer with content."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: RangeServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.server.heads[self.path.lstrip("/")] += 1
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        name = self.path.lstrip("/")
        file = self.server.folder / name
        failing = self.server.failures.get(name, [])
        status = failing.pop(0) if failing and body else None
        if status or not file.is_file():
            self.send_response(status or 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        size = file.stat().st_size
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")) if self.server.ranges else None
        start, end = (int(wanted[1]), min(int(wanted[2]) + 1, size)) if wanted else (0, size)
        if wanted and start >= size:
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(end - start))
        if self.server.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if name.endswith(".gz"):
            self.send_header("Content-Encoding", "gzip")  # as some servers do; the file must come as it is
        self.end_headers()
        if not body:
            return
        with file.open("rb") as f:
            f.seek(start)
            if status == 0:
                self.wfile.write(f.read((end - start) // 2))
                self.close_connection = True
            else:
                self.server.gets.append((name, start, end - start))
                self.wfile.write(f.read(end - start))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        """Nothing: the test reads the counters."""


@contextmanager
def serving(folder: Path, *, ranges: bool = True) -> Iterator[RangeServer]:
    server = RangeServer(folder, ranges=ranges)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""The demo: a generated web goes through the whole mill, and the model it trained answers over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from typing import Any

from rich.console import Console

from corpusmill.errors import CorpusmillError, require_extra

PROMPT = "The harbour"
_START_SECONDS = 120


def run_demo(folder: Path, pages: int) -> None:
    """Sample, run, serve, ask. What is done already is not done again."""
    require_extra("the demo", "train,evaluate,serve", "torch", "transformers", "deepspeed", "fastapi", "uvicorn")
    console = Console(soft_wrap=True)
    archive, run = folder / "web.warc.gz", folder / "run"
    folder.mkdir(parents=True, exist_ok=True)
    if not archive.exists():
        _say(console, f"1. a synthetic web of {pages:,} pages")
        _corpusmill("sample", str(archive), "--pages", str(pages))
    _say(console, "2. the mill: clean, dedup, tokenize, train, evaluate, export")
    _corpusmill("run", "sample", "--input", str(archive), "--output", str(run))
    _say(console, "3. the model, served")
    with _server(run / "model") as address:
        (model,) = _ask(f"{address}/v1/models")["data"]
        question = {"model": model["id"], "prompt": PROMPT, "max_tokens": 40, "temperature": 0.0}
        answer = _ask(f"{address}/v1/completions", question)
    console.print(f"   POST /v1/completions, prompt {PROMPT!r}:", highlight=False)
    console.print(f"   {PROMPT}[bold]{answer['choices'][0]['text']}[/bold]", highlight=False)
    _say(console, "done. Where to go from here:")
    for what, how in _next(run).items():
        console.print(f"   {what:<28} {how}", highlight=False, markup=False)


def _next(run: Path) -> dict[str, str]:
    return {
        "the report": f"{run}/report.html",
        "pages of one training batch": f"corpusmill trace --step 40 --run {run} --check",
        "what became of a page": f"corpusmill why URL --run {run}",
        "what is in a file": f"corpusmill inspect {run}/shards/shard-00000.arrow",
        "serve the model": f"corpusmill serve {run}/model",
    }


def _say(console: Console, line: str) -> None:
    console.print(f"[bold]{line}[/bold]", highlight=False)


def _corpusmill(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "corpusmill.cli", *arguments], check=False)
    if done.returncode:
        raise CorpusmillError(f"`corpusmill {' '.join(arguments)}` ended with {done.returncode}; its message is above")


@contextmanager
def _server(model: Path) -> Iterator[str]:
    """A `corpusmill serve` that runs while the block does; its address."""
    with socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [sys.executable, "-m", "corpusmill.cli", "serve", str(model), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _wait_until_healthy(server, f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait_until_healthy(server: subprocess.Popen[str], address: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            said = server.stderr.read() if server.stderr else ""
            raise CorpusmillError(f"the server ended at once: {said.strip()[-500:]}")
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):  # noqa: S310 (our own address)
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.3)
    raise CorpusmillError(f"the server did not answer on {address} within {_START_SECONDS} s")


def _ask(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """GET, or POST if there is a body; the answer's JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 (our own address)
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
    return found

"""What the scripts of both loaders share: the conversation in JSON lines, and the clock that runs over their batches.
Standard library alone.

A loader is an iterable of int64 tensors [batch, sequence_length], an epoch each time that it is iterated.
"""

import gc
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stage_clocks import peak_mb

Mode = Callable[..., dict[str, Any]]


def converse(package: str, modes: dict[str, Mode], clean: Callable[[], None] = lambda: None) -> None:
    """Answer each line {"mode": name, its arguments} with a line: what the mode finds, and all the versions.

    `clean` runs before each answer, since the process may be ended as soon as it has answered.
    """
    answers, sys.stdout = sys.stdout, sys.stderr  # peers print as they like
    beside = {name: version(name) for name in ("torch", "numpy")} | {"python": platform.python_version()}
    about = {"version": version(package), "beside": beside}
    for line in sys.stdin:
        question = json.loads(line)
        try:
            found = modes[question.pop("mode")](**question)
        finally:
            gc.collect()
            clean()
        print(json.dumps(found | about), file=answers, flush=True)


def rate(open_loader: Callable[[], Any], seconds: float, warm_seconds: float) -> dict[str, Any]:
    """Tokens a second over `seconds`, after `warm_seconds`; the first batch's seconds begin before anything is open.

    What lies between the last batch of an epoch and the first of the next is not timed: with little data it would be
    most of the time, and in training it is nothing.
    """
    began = time.perf_counter()
    loader = open_loader()
    batches = iter(loader)
    batch = next(batches)
    first = time.perf_counter() - began
    batches, *_ = _run_for(loader, batches, warm_seconds)
    _, tokens, spent, epochs = _run_for(loader, batches, seconds)
    return {
        "tokens_per_second": tokens / spent,
        "tokens": tokens,
        "seconds": spent,
        "first_batch_seconds": first,
        "epochs_ended": epochs,
        "shape": list(batch.shape),
        "dtype": str(batch.dtype),
    }


def _run_for(loader: Any, batches: Iterator[Any], seconds: float) -> tuple[Iterator[Any], int, float, int]:
    """(the batches that are left, tokens, seconds, epochs that ended)."""
    tokens, spent, epochs = 0, 0.0, 0
    while True:
        start = now = time.perf_counter()
        for batch in batches:
            tokens += batch.numel()
            now = time.perf_counter()
            if spent + now - start >= seconds:
                return batches, tokens, spent + now - start, epochs
        spent += now - start
        batches, epochs = iter(loader), epochs + 1
        next(batches)
        if not tokens and epochs > 1:
            raise ValueError("an epoch of one batch cannot be timed: give it more tokens, or smaller batches")


def first_batch(open_loader: Callable[[], Any]) -> dict[str, Any]:
    """Seconds until the first batch, from nothing open."""
    began = time.perf_counter()
    next(iter(open_loader()))
    return {"seconds": time.perf_counter() - began}


def order(loader: Any) -> dict[str, Any]:
    """The first token of each row of an epoch, in the order of delivery."""
    return {"first_tokens": [int(token) for batch in loader for token in batch[:, 0]]}


def memory(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work` finds, this process's resident memory before it and its peak while it ran, MB."""
    gc.collect()
    with suppress(OSError):  # where the peak cannot be set back, it is that of the process so far
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = peak_mb()
    return work() | {"before_mb": round(before, 1), "peak_mb": round(peak_mb(), 1)}


def rows_of(path: str, sequence_length: int) -> Any:
    """The tokens as uint16[rows, sequence_length], mapped; a rest shorter than a row is left out.

    `path` is an .npy file, else bare little-endian uint16.
    """
    import numpy as np

    tokens = np.load(path, mmap_mode="r") if path.endswith(".npy") else np.memmap(path, "<u2", "r")
    if tokens.dtype != np.uint16 or tokens.ndim != 1:
        raise ValueError(f"{path} holds {tokens.dtype}{list(tokens.shape)}, expected uint16[tokens]")
    count = len(tokens) // sequence_length
    if not count:
        raise ValueError(f"{path} holds {len(tokens)} tokens: less than a row of {sequence_length}")
    return tokens[: count * sequence_length].reshape(count, sequence_length)


def folder_bytes(folder: str) -> int:
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())

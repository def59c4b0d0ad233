"""What the report says of a trained model: its losses, step by step, and its score on documents it never saw."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from corpusmill.errors import DamagedError
from corpusmill.storage import Folder

METRICS = "train/metrics.jsonl"
EVALUATION = "evaluate/evaluation.json"


@dataclass(frozen=True, slots=True)
class Training:
    """Steps in order, with the loss (nats per token) and, where known, the learning rate of each."""

    steps: list[int]
    losses: list[float]
    rates: list[float]
    not_finite: int
    tokens: int


def read_training(run: Folder) -> Training | None:
    """None where no step has been made. A last line that is still being written is left out."""
    if not run.exists(METRICS):
        return None
    lines = [line for line in run.read_bytes(METRICS).splitlines(keepends=True) if line.endswith(b"\n")]
    rows = [_row(run, number, line) for number, line in enumerate(lines, 1)]
    finite = [r for r in rows if math.isfinite(r["loss"])]
    rates = [float(r["learning_rate"]) for r in finite if r.get("learning_rate") is not None]
    tokens = sum(int(r.get("tokens") or 0) for r in rows)
    if not rows:
        return None
    return Training([r["step"] for r in finite], [r["loss"] for r in finite], rates, len(rows) - len(finite), tokens)


def _row(run: Folder, number: int, line: bytes) -> dict[str, Any]:
    try:
        row: dict[str, Any] = json.loads(line)
        loss = row["loss"]
        return row | {"step": int(row["step"]), "loss": math.nan if loss is None else float(loss)}
    except (ValueError, KeyError, TypeError) as e:
        raise DamagedError(
            f"{run.url}/{METRICS}, line {number}: expected an object with step and loss ({type(e).__name__}: {e}). "
            "The file was changed; remove the train folder and train again"
        ) from e


def read_evaluation(run: Folder) -> dict[str, Any] | None:
    return run.read_json(EVALUATION) if run.exists(EVALUATION) else None


def smoothed(values: list[float], weight: float = 0.9) -> list[float]:
    """Exponential moving average, its start corrected for being short of history."""
    mean, total, found = 0.0, 0.0, []
    for value in values:
        mean, total = weight * mean + (1 - weight) * value, weight * total + (1 - weight)
        found.append(mean / total)
    return found


def thinned(number: int, most: int = 600) -> list[int]:
    """At most about `most` places out of `number`, evenly spread, both ends among them."""
    if number <= most:
        return list(range(number))
    return sorted({round(i * (number - 1) / (most - 1)) for i in range(most)})

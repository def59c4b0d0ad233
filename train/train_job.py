"""`corpusmill train`: start DeepSpeed's launcher on this machine, show its steps, and leave nothing running behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

import corpusmill
from corpusmill import errors
from corpusmill.errors import CorpusmillError, require_extra
from corpusmill.progress import StageProgress
from corpusmill.recipe import Recipe
from corpusmill.storage import Folder
from corpusmill.train import deepspeed_config, train_settings
from corpusmill.train.process_lines import ERROR_LINE, STEP_LINE, TOLD_LINE
from corpusmill.train.process_setup import WATCH_STDIN, free_port, prepare_environment

_TAIL_LINES = 25
_GRACE_SECONDS = 60.0
"""For a checkpoint at the next step border after Ctrl-C."""


def run_stage(
    folder: Folder, recipe: Recipe, recipe_source: str, overrides: Sequence[str], progress: StageProgress
) -> dict[str, Any]:
    """Train on RUN/shards into RUN/train with `recipe.train.ranks` processes, and go on where an earlier start stopped.

    `folder` is the run folder. Returns steps, first_loss, final_loss and tokens. The processes are given the values of
    `recipe` itself; `recipe_source` and `overrides` only say, when it is stopped, how to go on. Raises CorpusmillError
    with what the processes said; on Ctrl-C they save a checkpoint first.
    """
    require_extra("The train stage", "train", "torch", "transformers", "deepspeed")
    run = folder.local_path()
    ranks, how = recipe.train.ranks, _how_to_go_on(recipe_source, overrides)
    deepspeed_config.resolve(recipe.train, ranks)
    train_settings.prepare_stream(folder, recipe.train, lambda done, of: progress.say(f"packing: block {done} of {of}"))
    train_settings.open_stream(folder, recipe.train)  # what is wrong here is said before any process starts
    progress.begin(recipe.train.steps, "steps")
    if train_settings.finished(folder, recipe.train, ranks) is None:
        try:
            _train(run, recipe, progress, how)
        except KeyboardInterrupt:
            progress.say(f"training stopped. {how}")
            raise
    final = folder.sub("train").read_json(train_settings.FINAL)
    progress.advance(final["steps"] - progress.done)
    return {key: final[key] for key in ("steps", "first_loss", "final_loss", "tokens")}


def _train(run: Path, recipe: Recipe, progress: StageProgress, how: str) -> None:
    with tempfile.TemporaryDirectory(prefix="corpusmill-") as scratch:
        values = Path(scratch) / "recipe.json"
        values.write_text(json.dumps(recipe.model_dump(mode="json")), encoding="utf-8")
        code, tail = _run(_command(recipe.train.ranks, values, run), progress)
    if code:
        raise _failure(code, tail, how)


def _command(ranks: int, recipe: Path, run: Path) -> list[str]:
    launcher = [sys.executable, "-m", "deepspeed.launcher.runner", "--hostfile", os.devnull]
    launcher += ["--num_accelerators", str(ranks), "--master_port", str(free_port()), "--quiet"]
    return [*launcher, "--module", "corpusmill.train.run", "--recipe", str(recipe), "--run", str(run)]


def _environment() -> dict[str, str]:
    env = {**os.environ, WATCH_STDIN: "1", "PYTHONUNBUFFERED": "1"}
    prepare_environment(env)
    here = str(Path(corpusmill.__file__).parents[1])
    env["PYTHONPATH"] = os.pathsep.join(filter(None, (here, env.get("PYTHONPATH"))))
    return env


def _run(command: list[str], progress: StageProgress) -> tuple[int, list[str]]:
    """Exit code and last lines. The processes' standard input is a pipe from here: its end says that we are gone."""
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    with _started(command) as process:
        assert process.stdout is not None
        _follow(process.stdout, progress, tail)
        return process.wait(), list(tail)


@contextmanager
def _started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A process group of its own, of which nothing is left when the block ends."""
    process = subprocess.Popen(
        command,
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        yield process
    except BaseException:
        _stop_gently(process)
        raise
    finally:
        _signal(process, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _stop_gently(process: subprocess.Popen[str]) -> None:
    """Ask for a checkpoint, and wait until standard output closes: the last process of the group is gone then."""
    _signal(process, signal.SIGTERM)
    timer = threading.Timer(_GRACE_SECONDS, _signal, (process, signal.SIGKILL))
    timer.start()
    try:
        assert process.stdout is not None
        for _ in process.stdout:
            pass
    finally:
        timer.cancel()


def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _follow(output: IO[str], progress: StageProgress, tail: deque[str]) -> None:
    for line in output:
        line = line.rstrip("\n")
        if line.startswith(TOLD_LINE):
            progress.say(line.removeprefix(TOLD_LINE))
        if not line.startswith(STEP_LINE):
            tail.append(line)
            continue
        step = json.loads(line.removeprefix(STEP_LINE))
        note = f"loss {step['loss']:.3f}, {step['tokens_per_second']:,} tokens/s"
        progress.advance(step["step"] - progress.done, note)


def _failure(code: int, tail: list[str], how: str) -> CorpusmillError:
    """The sentence that the processes ended with, as the kind of error it was; else the end of what they printed."""
    for line in tail:
        if line.startswith(ERROR_LINE):
            # not by the exit code: the launcher ends with that of whichever process fell first
            kind, _, sentence = line.removeprefix(ERROR_LINE).partition(": ")
            found = getattr(errors, kind, CorpusmillError)
            return cast(CorpusmillError, found(sentence.replace("\\n", "\n")))
    if code in (143, -signal.SIGTERM):
        return CorpusmillError(f"training was stopped by a signal; a checkpoint is saved where there was time. {how}")
    said = "\n".join(f"    {line}" for line in tail) or "    (nothing)"
    return CorpusmillError(f"training ended with exit code {code}. {how}. The last lines were:\n{said}")


def _how_to_go_on(source: str, overrides: Sequence[str]) -> str:
    options = "".join(f" --set {pair}" for pair in overrides)
    return f"Run the same command again ({source}{options}): it goes on from the newest checkpoint"

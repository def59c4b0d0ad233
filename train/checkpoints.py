"""Checkpoints: DeepSpeed's files in RUN/train/checkpoints/step-00000050/, complete or not counted.

DeepSpeed writes under a temporary tag; then the folder is renamed, and last of all `complete.json` appears with the
size and checksum of every file. Without it a folder is what a killed run left, and is removed.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpusmill.errors import DamagedError, InputError, require_extra
from corpusmill.storage import Folder, sha256_of

CHECKPOINTS = "checkpoints"
COMPLETE = "complete.json"
MODEL = "model.json"
"""RUN/train/model.json: the model's Hugging Face configuration."""

_SCRIPTS = ("zero_to_fp32.py", "zero_to_torch.py")
"""DeepSpeed copies them beside every checkpoint; `load_weights` does their work."""

_PREFIX, _TEMPORARY_PREFIX = "step-", ".tmp-step-"


@dataclass(frozen=True)
class Checkpoint:
    step: int
    path: Path

    @property
    def name(self) -> str:
        return self.path.name


def tag_of(step: int) -> str:
    return f"{_PREFIX}{step:08d}"


def complete_checkpoints(train: Folder) -> list[Checkpoint]:
    """Oldest first. Looks only at names and at `complete.json`."""
    root = train.local_path(CHECKPOINTS)
    found = [p.parent for p in root.glob(f"{_PREFIX}*/{COMPLETE}")]
    return sorted((Checkpoint(int(p.name.removeprefix(_PREFIX)), p) for p in found), key=lambda c: c.step)


def remove_incomplete(train: Folder) -> None:
    """Remove what a killed run left. Only the owner of the folder may call this."""
    root = train.local_path(CHECKPOINTS)
    complete = {c.path for c in complete_checkpoints(train)}
    for path in root.glob("*"):
        if path not in complete:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def verify(checkpoint: Checkpoint) -> dict[str, Any]:
    """The record of a checkpoint whose files are all what it says; DamagedError names the first that is not."""
    record: dict[str, Any] = Folder(str(checkpoint.path)).read_json(COMPLETE)
    for name, expected in record["files"].items():
        path = checkpoint.path / name
        found = path.stat().st_size if path.is_file() else None
        if found != expected["bytes"] or sha256_of(path) != expected["sha256"]:
            what = (
                "is missing"
                if found is None
                else f"has {found:,} bytes or another content; expected {expected['bytes']:,}"
            )
            raise DamagedError(
                f"{path} {what}: the checkpoint was changed or cut after it was saved. Remove the folder "
                f"{checkpoint.name} to go on from the one before it"
            )
    return record


def save(engine: Any, train: Folder, step: int, state: dict[str, Any], keep: int, every: int) -> None:
    """Save the engine with the stream's state as client state. Every rank calls it; it returns when all are done."""
    import torch.distributed as dist

    root = train.local_path(CHECKPOINTS)
    temporary = f"{_TEMPORARY_PREFIX}{step:08d}"
    with _hushed():
        engine.save_checkpoint(str(root), tag=temporary, client_state=state, save_latest=False)
    dist.barrier()
    if dist.get_rank() == 0:
        about = {"step": step, "ranks": int(dist.get_world_size()), "zero_stage": int(engine.zero_optimization_stage())}
        _complete(root / temporary, root / tag_of(step), about)
        for script in _SCRIPTS:
            (root / script).unlink(missing_ok=True)
        _prune(train, keep, every)
    dist.barrier()


def load(engine: Any, checkpoint: Checkpoint) -> dict[str, Any]:
    """Put weights and optimizer back, and return the client state. Every rank calls it."""
    with _hushed():
        path, client_state = engine.load_checkpoint(str(checkpoint.path.parent), tag=checkpoint.name)
    if path is None:
        raise DamagedError(f"{checkpoint.path}: DeepSpeed finds no checkpoint there. Remove the folder and start again")
    return dict(client_state)


def load_weights(train: Folder) -> tuple[dict[str, Any], dict[str, Any]]:
    """The newest complete checkpoint of RUN/train as (Hugging Face config values, fp32 state dict on the CPU).

    Names are those of transformers' LlamaForCausalLM.state_dict(); tied embeddings appear under both names and share
    memory. Under ZeRO the fp32 master weights are put together from all ranks' files, so bf16 training loses nothing.
    """
    require_extra("Reading a checkpoint", "train", "torch", "deepspeed")
    found = complete_checkpoints(train)
    if not found:
        raise InputError(f"{train.url} holds no complete checkpoint: train the model first")
    record = verify(found[-1])
    with _hushed():
        weights = _master_weights(found[-1]) if record["zero_stage"] else _module_weights(found[-1])
    return train.read_json(MODEL), {name: tensor.float() for name, tensor in weights.items()}


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """DeepSpeed prints its progress; a run says what happens itself."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _master_weights(checkpoint: Checkpoint) -> dict[str, Any]:
    from corpusmill.train.process_setup import prepare_environment

    prepare_environment()
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    return dict(get_fp32_state_dict_from_zero_checkpoint(str(checkpoint.path.parent), tag=checkpoint.name))


def _module_weights(checkpoint: Checkpoint) -> dict[str, Any]:
    import torch

    name = "mp_rank_00_model_states.pt"
    saved = torch.load(checkpoint.path / name, map_location="cpu", weights_only=False)
    return dict(saved["module"])


def _complete(written: Path, final: Path, about: dict[str, Any]) -> None:
    files = sorted(p for p in written.rglob("*") if p.is_file())
    for path in files:
        _sync(path)
    if final.exists():
        shutil.rmtree(final)  # left by a run that was killed between the rename and complete.json
    written.rename(final)
    _sync(final.parent)
    listed = {str(p.relative_to(written)): _described(final / p.relative_to(written)) for p in files}
    Folder(str(final)).write_json(COMPLETE, {"format": 1, **about, "files": listed})


def _described(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _prune(train: Folder, keep: int, every: int) -> None:
    """Keep the newest `keep`. One saved on a signal, off the schedule, goes as soon as a newer one is complete."""
    *older, newest = complete_checkpoints(train)
    scheduled = [c for c in older if c.step % every == 0]
    kept = {c.step for c in scheduled[len(scheduled) - (keep - 1) :]} if keep > 1 else set()
    for checkpoint in older:
        if checkpoint.step not in kept | {newest.step}:
            (checkpoint.path / COMPLETE).unlink()
            shutil.rmtree(checkpoint.path)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

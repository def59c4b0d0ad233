"""A trained checkpoint as a Hugging Face folder that AutoModelForCausalLM and AutoTokenizer load without a network.

The folder is written beside its place under a hidden name, loaded again and compared with the checkpoint, and only then
given its name, so it is there whole or not at all. Its bytes depend on the checkpoint, the tokenizer and the run's
manifests alone.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from corpusmill.errors import DamagedError, InputError, StorageError, require_extra
from corpusmill.progress import StageProgress
from corpusmill.recipe import Recipe
from corpusmill.serve.model_card import render
from corpusmill.storage import Folder, canonical_json, digest, sha256_of

FORMAT = 1
MANIFEST = "manifest.json"
LOGIT_TOLERANCE = 1e-4
"""The exported model's logits differ from the checkpoint's by less than this, or the export fails."""

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
_SAMPLES = ("The quick brown fox", "  two spaces\n\nand lines\t", "naïve café 東京 🙂", "x" * 300, "<|endoftext|>")
_UNFINISHED = ".partial"  # not .tmp: Folder.remove_temporary takes those for files


def run_stage(folder: Folder, recipe: Recipe, progress: StageProgress) -> dict[str, Any]:
    """Export the newest complete checkpoint to RUN/model, unless RUN/model is already that export."""
    return _export(folder, None, recipe.name, progress)


def export(run: Folder, out: Folder | None = None, name: str | None = None) -> dict[str, Any]:
    """Write the newest complete checkpoint of `run` to `out` (RUN/model by default) and return its manifest.

    `name` heads the model card and names the model to a server. An earlier export at `out` is replaced; any other
    folder with something in it is refused.
    """
    return _export(run, out, name, None)


def _export(run: Folder, out: Folder | None, name: str | None, progress: StageProgress | None) -> dict[str, Any]:
    require_extra("Exporting a model", "serve", "torch", "transformers", "safetensors")
    from corpusmill.train.checkpoints import load_weights

    config, state = load_weights(run.sub("train"))
    return export_weights(run, config, state, out, name, _training_facts(run.sub("train")), progress)


def _training_facts(train: Folder) -> dict[str, Any]:
    """The step of the newest checkpoint, and what training logged up to it."""
    from corpusmill.train.checkpoints import complete_checkpoints
    from corpusmill.train.metrics_log import read_metrics

    step = complete_checkpoints(train)[-1].step
    lines = read_metrics(train)[:step]
    facts: dict[str, Any] = {"steps": step}
    if lines and "loss" in lines[-1]:
        facts["loss"] = lines[-1]["loss"]
    if lines and all("tokens" in line for line in lines):
        facts["tokens_seen"] = sum(line["tokens"] for line in lines)
    return facts


def export_weights(
    run: Folder,
    config: dict[str, Any],
    state: dict[str, Any],
    out: Folder | None = None,
    name: str | None = None,
    facts: dict[str, Any] | None = None,
    progress: StageProgress | None = None,
) -> dict[str, Any]:
    """Export these weights. `facts` of training stand in the model card: steps, tokens_seen, loss."""
    from corpusmill.evaluate.causal_models import checkpoint_digest, from_weights

    target = (out or run.sub("model")).local_path()
    model = from_weights(config, state)
    checkpoint = checkpoint_digest(config, state)
    name = name or run.local_path().resolve().name
    parameters = sum(p.numel() for p in model.parameters())
    context = int(model.config.max_position_embeddings)
    texts = {"README.md": render(run, name, parameters, context, facts or {}, checkpoint).encode()}
    texts |= _configs(model.config, run)
    about = {"format": FORMAT, "name": name, "checkpoint": checkpoint, "parameters": parameters, "context": context}
    about["made_of"] = digest({**about, "texts": {k: v.decode() for k, v in sorted(texts.items())}})
    earlier = _earlier(target)
    if earlier is not None and earlier.get("made_of") == about["made_of"] and _whole(target, earlier):
        if progress is not None:
            progress.say(f"export: {target.name}/ is already that of this checkpoint")
        return earlier
    if out is None:
        _remove_unfinished(target)
    with _replacing(target) as unfinished:
        manifest = _write(unfinished, model, texts, about)
        _check(unfinished, run, model)
    return manifest


def _configs(config: Any, run: Folder) -> dict[str, bytes]:
    """config.json, generation_config.json and the tokenizer's files, as they will be written."""
    source = run.local_path("tokenizer")
    if not (source / "tokenizer.json").is_file():
        raise DamagedError(f"{source} has no tokenizer.json. Run the tokenize stage again")
    files = {n: (source / n).read_bytes() for n in _TOKENIZER_FILES if (source / n).is_file()}
    values = config.to_diff_dict() | {"architectures": ["LlamaForCausalLM"], "dtype": "float32"}
    # transformers before 5, vLLM and llama.cpp look for it here, and silently take 10,000 where it is not
    values["rope_theta"] = config.rope_parameters["rope_theta"]
    for varying in ("_name_or_path", "transformers_version"):
        values.pop(varying, None)
    ends = {k: values[k] for k in ("bos_token_id", "eos_token_id", "pad_token_id") if values.get(k) is not None}
    return {"config.json": canonical_json(values), "generation_config.json": canonical_json(ends), **files}


def _write(folder: Path, model: Any, texts: dict[str, bytes], about: dict[str, Any]) -> dict[str, Any]:
    from safetensors.torch import save_file

    for name, data in texts.items():
        (folder / name).write_bytes(data)
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        state.pop("lm_head.weight", None)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    files = {p.name: {"bytes": p.stat().st_size, "sha256": sha256_of(p)} for p in sorted(folder.iterdir())}
    manifest = {**about, "files": files}
    (folder / MANIFEST).write_bytes(canonical_json(manifest))
    return manifest


def _check(folder: Path, run: Folder, model: Any) -> None:
    """Load what was written, as a user would, and compare it with what it was written from."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from corpusmill.evaluate.causal_models import no_bars

    with no_bars():
        loaded = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
    length = min(64, model.config.max_position_embeddings)
    fixed = (torch.arange(length) * 7919 % model.config.vocab_size).unsqueeze(0)
    with torch.inference_mode():
        difference = (loaded(fixed).logits - model(fixed).logits).abs().max().item()
    if not difference < LOGIT_TOLERANCE:  # nan is not below either
        raise DamagedError(
            f"the exported model's logits differ from the checkpoint's by {difference:.2g} (at most "
            f"{LOGIT_TOLERANCE:g} is allowed), so nothing was exported. "
            "If the checkpoint holds nan, training has diverged"
        )
    tokenizers = [
        AutoTokenizer.from_pretrained(p, local_files_only=True) for p in (run.local_path("tokenizer"), folder)
    ]
    for text in _SAMPLES:
        ours, theirs = (t(text)["input_ids"] for t in tokenizers)
        if ours != theirs:
            raise DamagedError(f"the exported tokenizer reads {text[:20]!r} as {theirs[:8]}, the run's as {ours[:8]}")


def _earlier(target: Path) -> dict[str, Any] | None:
    """The manifest of an earlier export at `target`, None where there is nothing; anything else is refused."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return None
    if not (target / MANIFEST).is_file():
        raise InputError(f"{target} exists and is not an exported model: choose another folder, or remove it")
    manifest = Folder(str(target)).read_json(MANIFEST)
    strangers = sorted({p.name for p in target.iterdir()} - {MANIFEST, *manifest.get("files", {})})
    if "made_of" not in manifest or strangers:
        raise InputError(
            f"{target} holds {strangers[0] if strangers else MANIFEST}, which no export wrote, and replacing the "
            "folder would lose it: move it away, or choose another folder"
        )
    return dict(manifest)


def _whole(target: Path, manifest: dict[str, Any]) -> bool:
    return all(
        (target / name).is_file() and sha256_of(target / name) == entry["sha256"]
        for name, entry in manifest["files"].items()
    )


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A folder to fill; it takes the place of `target` if the block succeeds, and is removed if not."""
    target = target.resolve()
    unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex}{_UNFINISHED}")
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        _flush(unfinished)
        _swap(unfinished, target)
    except OSError as e:
        raise StorageError(f"{target} cannot be written ({e.strerror or e}); nothing half-written is left there") from e
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _swap(new: Path, target: Path) -> None:
    """Give `new` the name `target`. What stood there is put back if that fails, and removed only after."""
    old = target.with_name(f".{target.name}.{uuid.uuid4().hex}{_UNFINISHED}")
    if target.exists():
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    _sync(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _flush(folder: Path) -> None:
    for path in (*folder.iterdir(), folder):
        _sync(path)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove_unfinished(target: Path) -> None:
    """Remove what a killed export left beside RUN/model; the run has one owner, so nobody is writing it."""
    for path in target.parent.glob(f".{target.name}.*{_UNFINISHED}"):
        shutil.rmtree(path, ignore_errors=True)

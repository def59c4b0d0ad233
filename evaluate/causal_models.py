"""Language models on this machine: built from a checkpoint's weights, or loaded from a Hugging Face folder.

Only safetensors are read. Pickled weights can run code while they load, so they are refused by name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from corpusmill.errors import InputError, require_extra
from corpusmill.storage import digest, sha256_of

require_extra("Evaluating and serving a model", "evaluate", "torch", "transformers", "safetensors")

import torch  # noqa: E402  after the check, so that a missing torch is one sentence
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM  # noqa: E402
from transformers.utils import logging as transformers_logging  # noqa: E402

TIED = "lm_head.weight"
"""The output layer; with tied embeddings it is the embedding table and is not stored a second time."""


def pick_device() -> str:
    """`cuda` where there is one, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def from_weights(config: dict[str, Any], state: dict[str, torch.Tensor]) -> LlamaForCausalLM:
    """The fp32 model of a checkpoint, ready to score. Every tensor must be there, and no other."""
    model = LlamaForCausalLM(LlamaConfig.from_dict(dict(config)))
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [name for name in missing if not (name == TIED and model.config.tie_word_embeddings)]
    if missing or unexpected:
        raise InputError(
            f"the checkpoint does not fit its own configuration: it lacks {missing[:3] or 'nothing'} and has "
            f"{list(unexpected)[:3] or 'nothing'} too much. Rerun the train stage"
        )
    model.tie_weights()
    return model.float().eval()


def checkpoint_digest(config: dict[str, Any], state: dict[str, torch.Tensor]) -> str:
    """SHA-256, in hex, over the configuration and every tensor's name, type, shape and bytes."""
    tied = LlamaConfig.from_dict(dict(config)).tie_word_embeddings
    running = hashlib.sha256(digest({k: v for k, v in config.items() if k != "transformers_version"}).encode())
    for name in sorted(state):
        if tied and name == TIED:
            continue
        tensor = state[name].detach().cpu().contiguous()
        running.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        running.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return running.hexdigest()


def folder_digest(path: Path) -> str:
    """SHA-256, in hex, over the configuration and the weight files of a model folder."""
    return digest({p.name: sha256_of(p) for p in [path / "config.json", *sorted(path.glob("*.safetensors"))]})


def check_folder(path: str | Path) -> Path:
    """The model folder named by `path`: a Hugging Face folder, or a run that has been exported."""
    folder = Path(path).expanduser()
    if not (folder / "config.json").is_file() and (folder / "model" / "config.json").is_file():
        folder = folder / "model"
    if not (folder / "config.json").is_file():
        raise InputError(f"{path}: no config.json there; expected a Hugging Face model folder or an exported run")
    if not any(folder.glob("*.safetensors")):
        raise InputError(
            f"{path}: no *.safetensors there. Pickled weights (*.bin, *.pt) are not loaded, since loading them can run "
            "code: convert them to safetensors first"
        )
    return folder


def load_folder(path: Path) -> tuple[Any, Any]:
    """The fp32 model and the tokenizer of a folder. Nothing is fetched, no code of the folder is run."""
    try:
        with no_bars():
            model = AutoModelForCausalLM.from_pretrained(
                path, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
            )
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError) as e:
        raise InputError(f"{path}: cannot be loaded as a causal language model: {_one_line(e)}") from e
    if tokenizer.eos_token_id is None:
        raise InputError(f"{path}: its tokenizer names no eos_token; add one to tokenizer_config.json")
    return model.eval(), tokenizer


@contextmanager
def no_bars() -> Iterator[None]:
    """transformers draws a bar for every load, through our own live table."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def context_length(model: Any) -> int:
    """Tokens that the model can look at, its input included."""
    length = getattr(model.config, "max_position_embeddings", None)
    if not length:
        raise InputError("config.json says no max_position_embeddings: the length of the context is not known")
    return int(length)


def _one_line(e: Exception) -> str:
    return re.sub(r"\s+", " ", str(e)).strip()[:300]

"""DeepSpeed's own JSON, with the values that the recipe decides filled in. DeepSpeed itself resolves no "auto" here."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from corpusmill.errors import InputError
from corpusmill.recipe import Train

_DECIDED_BY_RECIPE = {
    "optimizer": "the recipe's learning_rate, weight_decay and beta2 decide",
    "scheduler": "the recipe's learning_rate, warmup_steps and min_learning_rate_share decide",
    "fp16": "the recipe's precision decides, and is fp32 or bf16",
    "tensor_parallel": "train/loop.py deals whole sequences to ranks and splits no layer",
}


def resolve(train: Train, ranks: int) -> dict[str, Any]:
    """The JSON of `train.deepspeed`, or the packaged one, ready for `deepspeed.initialize` on `ranks` processes.

    Raises InputError where the file is not usable, contradicts the recipe, or the batch cannot be dealt evenly.
    """
    name, config = _read(train.deepspeed)
    for key, reason in _DECIDED_BY_RECIPE.items():
        if key in config:
            raise InputError(f"{name}: {key}: {reason}; remove it from the file")
    micro = micro_batch(train, ranks)
    decided: dict[str, Any] = {
        "train_batch_size": train.batch_size,
        "train_micro_batch_size_per_gpu": micro,
        "gradient_accumulation_steps": train.batch_size // ranks // micro,
        "gradient_clipping": train.gradient_clipping,
    }
    for key, value in decided.items():
        config[key] = _settle(name, key, config.get(key, "auto"), value)
    bf16 = dict(config.get("bf16", {}))
    bf16["enabled"] = _settle(name, "bf16.enabled", bf16.get("enabled", "auto"), train.precision == "bf16")
    config["bf16"] = {"check_grad_overflow": False, **bf16}
    # torch's AdamW serves under offload too; otherwise DeepSpeed insists on an optimizer that it compiles at first use
    return {"zero_force_ds_cpu_optimizer": False, **config}


def micro_batch(train: Train, ranks: int) -> int:
    """Sequences that one rank computes at a time. Raises InputError if the batch cannot be dealt evenly."""
    if train.batch_size % ranks:
        raise InputError(
            f"train.batch_size {train.batch_size} cannot be dealt evenly to {ranks} ranks: make it a multiple"
        )
    mine = train.batch_size // ranks
    micro = min(train.micro_batch_size, mine)
    if mine % micro:
        raise InputError(
            f"train.batch_size {train.batch_size} over {ranks} ranks is {mine} sequences a rank, which "
            f"train.micro_batch_size {micro} does not divide: choose one of {_divisors(mine)}"
        )
    return micro


def zero_stage(config: dict[str, Any]) -> int:
    return int(config.get("zero_optimization", {}).get("stage", 0))


def _read(path: str | None) -> tuple[str, dict[str, Any]]:
    if path is None:
        text = (resources.files("corpusmill.recipes") / "deepspeed.json").read_text(encoding="utf-8")
        return "deepspeed.json", json.loads(text)
    if not Path(path).is_file():
        raise InputError(f"train.deepspeed: no such file: {path}. Leave the key out to use the packaged one (ZeRO 1)")
    try:
        config = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as e:
        raise InputError(f"{path}: not JSON: {e}. It must be a DeepSpeed configuration") from e
    if not isinstance(config, dict):
        raise InputError(f"{path}: found a {type(config).__name__}, expected a DeepSpeed configuration, a JSON object")
    return path, config


def _settle(name: str, key: str, found: Any, decided: Any) -> Any:
    if found not in ("auto", decided):
        raise InputError(
            f'{name}: {key} is {found!r}, the recipe says {decided!r}: write "auto" there, or change the recipe'
        )
    return decided


def _divisors(number: int) -> str:
    return ", ".join(str(d) for d in range(1, number + 1) if number % d == 0)

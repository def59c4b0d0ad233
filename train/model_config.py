"""The model: transformers' Llama, from the recipe, with attention that stays inside a document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from corpusmill.errors import InputError, require_extra
from corpusmill.recipe import Model

require_extra("The model", "train", "torch", "transformers")

import torch  # noqa: E402  the check comes first, so that a missing extra is one sentence
from torch import Tensor, nn  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import LlamaConfig, LlamaForCausalLM

_ATTENTION: dict[str, Any] = {"attn_implementation": "sdpa"}
"""torch's own attention, which takes any mask on CPU and GPU."""

_CHECK_TOKENS = 32
_TOLERANCE = 1e-5
"""Of the largest logit. Masked places get a weight of exactly zero, so what is expected is no movement at all."""


def llama_config(model: Model, *, vocab_size: int, eos_token_id: int, sequence_length: int) -> LlamaConfig:
    """transformers' configuration of the recipe's model."""
    from transformers import LlamaConfig

    if model.hidden_size % model.num_heads or model.num_heads % model.num_kv_heads:
        raise InputError(
            f"train.model: hidden_size {model.hidden_size} must be a multiple of num_heads {model.num_heads}, "
            f"and that of num_kv_heads {model.num_kv_heads}"
        )
    return LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=model.hidden_size,
        intermediate_size=model.intermediate_size,
        num_hidden_layers=model.num_layers,
        num_attention_heads=model.num_heads,
        num_key_value_heads=model.num_kv_heads,
        max_position_embeddings=sequence_length,
        rope_parameters={"rope_type": "default", "rope_theta": model.rope_theta},
        initializer_range=model.initializer_range,
        tie_word_embeddings=model.tie_embeddings,
        bos_token_id=eos_token_id,
        eos_token_id=eos_token_id,
        architectures=["LlamaForCausalLM"],
        use_cache=False,
        **_ATTENTION,
    )


def build_model(config: LlamaConfig, seed: int) -> LlamaForCausalLM:
    """A model in fp32 with weights drawn from `seed`: the same on every rank and every run."""
    from transformers import LlamaForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def config_values(config: LlamaConfig) -> dict[str, Any]:
    """The configuration as Hugging Face writes it to config.json, fit for serving (with a cache)."""
    values = dict(config.to_dict())
    values.pop("_name_or_path", None)
    values.pop("_attn_implementation", None)
    return {**values, "use_cache": True, "dtype": "float32"}


def document_mask(documents: Tensor) -> Tensor:
    """Who may look at whom: the same document, and not ahead. bool[rows, 1, length, length] from int[rows, length]."""
    length = documents.shape[1]
    same = documents[:, None, :, None] == documents[:, None, None, :]
    return same & torch.ones(length, length, dtype=torch.bool, device=documents.device).tril()


def check_documents_are_apart(forward: Callable[..., Any], vocab_size: int, device: torch.device, length: int) -> None:
    """Change every token of a first document and see that the second one's logits do not move.

    `forward` takes input_ids, attention_mask and position_ids, as the training does, so the model and the attention
    kernel that are checked are the ones that train. Raises InputError if attention crosses the border.
    """
    half = min(_CHECK_TOKENS, length) // 2
    if half == 0:
        return  # rows of one token hold no two documents
    documents = torch.arange(2, device=device).repeat_interleave(half)[None]
    positions = torch.arange(half, device=device).repeat(2)[None]
    ids = torch.arange(2 * half, device=device)[None] % vocab_size
    changed = torch.where(documents == 0, (ids + vocab_size // 2) % vocab_size, ids)
    with torch.no_grad():
        before, after = (
            forward(input_ids=x, attention_mask=document_mask(documents), position_ids=positions)
            .logits[0, half:]
            .float()
            for x in (ids, changed)
        )
    if not bool(before.isfinite().all()):
        raise InputError(
            "the logits of the untrained model are not finite numbers: lower train.model.initializer_range, or use "
            'train.precision = "fp32"'
        )
    moved = float((before - after).abs().max())
    if not moved <= _TOLERANCE * float(before.abs().max()):
        raise InputError(
            f"attention crosses document borders: changing one document moved another's logits by {moved:.3g}. This "
            "version of transformers or torch does not honour the mask; use the versions in the constraints file"
        )


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups for AdamW: matrices are decayed, norms (one dimension) are not."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]

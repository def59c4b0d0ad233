"""Any Hugging Face sequence classifier in a folder, as FineWeb-Edu's (Penedo et al. 2024): a regression or a label."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from corpusmill.clean.scorers.scorer import Scorer, Scores
from corpusmill.clean.scorers.sequence_batches import labels_in, logits_of, scores_from
from corpusmill.errors import InputError, require_extra

Positive = Annotated[int, Field(gt=0)]


@dataclass(frozen=True, kw_only=True)
class TransformerScorer(Scorer):
    """`model` is a folder with config.json, weights and tokenizer; nothing is downloaded. Needs the extra `train`.

    Only the first `max_tokens` tokens of a text are read (FineWeb-Edu: 512). The score is the model's one logit or,
    with `label`, that label's probability. Values are rounded to 4 decimals; those of a GPU differ from a CPU's.
    """

    model: str
    label: str | None = None
    max_tokens: Positive = 512
    batch_size: Positive = 8
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Positive = 1
    """Of this process, on a CPU: the mill runs a process per core."""

    def files(self) -> dict[str, Path]:
        return {"model": Path(self.model)}

    def check(self) -> None:
        super().check()
        if not (Path(self.model) / "config.json").is_file():
            raise InputError(f"model: {self.model} holds no config.json; expected a Hugging Face model folder")
        require_extra("the scorer transformer", "train", "torch", "transformers")

    def score_texts(self, texts: list[str], languages: list[str | None]) -> Scores:
        import torch

        network, tokenizer, device = _load(self.model, self.device)
        longest = self._longest(network, tokenizer)
        ids = tokenizer(texts, truncation=True, max_length=longest, padding=False, verbose=False)["input_ids"]

        def forward(tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
            given = {"input_ids": torch.from_numpy(tokens), "attention_mask": torch.from_numpy(mask)}
            logits = network(**{k: v.to(device) for k, v in given.items()}).logits
            values: np.ndarray = logits.float().cpu().numpy()
            return values

        threads = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with torch.inference_mode():
                logits = logits_of(ids, forward, rows=self.batch_size, longest=longest, pad=tokenizer.pad_token_id or 0)
        finally:
            torch.set_num_threads(threads)
        several = network.config.problem_type == "multi_label_classification"
        labels = labels_in(network.config.to_dict())
        return {"": scores_from(logits, labels, self.label, several, self.model)}

    def _longest(self, network: Any, tokenizer: Any) -> int:
        """A tokenizer that knows no limit says 10**30; the positions that a model has are one, too."""
        positions = getattr(network.config, "max_position_embeddings", None) or self.max_tokens
        return int(min(self.max_tokens, tokenizer.model_max_length, positions))


@lru_cache(maxsize=4)
def _load(path: str, device: str) -> tuple[Any, Any, Any]:
    require_extra("the scorer transformer", "train", "torch", "transformers")
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    if device == "cuda" and not torch.cuda.is_available():
        raise InputError('device: found "cuda", but torch sees no GPU on this machine; use "auto" or "cpu"')
    chosen = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        network, told = AutoModelForSequenceClassification.from_pretrained(
            path, local_files_only=True, output_loading_info=True, dtype=torch.float32
        )
    except (OSError, ValueError) as e:
        raise InputError(f"{path} cannot be loaded as a sequence classifier: {e}") from e
    if told["missing_keys"]:  # transformers fills them at random, and every run would score otherwise
        raise InputError(
            f"{path} lacks weights of a sequence classifier: {', '.join(sorted(told['missing_keys'])[:3])}"
        )
    return network.to(chosen).eval(), tokenizer, chosen

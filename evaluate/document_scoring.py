"""The model's surprise at each document, in nats.

A document is scored alone. Its first token is predicted from one end-of-text token, so that it is paid for like all
others; its closing end-of-text token is scored too, since a code of the document has to say where it ends. A document
longer than the model's context is read through windows that overlap: each token is scored once, with at least
`context - stride` tokens to its left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from corpusmill.evaluate.heldout_documents import Tokens

LOGIT_BYTES = 256_000_000
"""Logits of one batch at most, in bytes; a batch has fewer rows where they would take more."""


@dataclass(frozen=True, slots=True)
class Window:
    """Inputs [begin, end) of a document (its prefix is input 0), of which those from `first` on are scored."""

    document: int
    begin: int
    first: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.begin


def stride_for(context: int) -> int:
    """Half the context: every token past the first window sees at least the other half."""
    return max(1, context // 2)


def windows(document: int, num_tokens: int, context: int, stride: int) -> Iterator[Window]:
    """Windows that score each of `num_tokens` tokens exactly once. Input i predicts token i.

    The first takes as much as fits, each further one at most `stride` more tokens, and always reaches back as far as
    the context allows.
    """
    first = 0
    while first < num_tokens:
        end = min(num_tokens, first + (stride if first else context))
        yield Window(document, max(0, end - context), first, end)
        first = end


def score(
    model: Any,
    documents: Sequence[Tokens],
    prefix: int,
    context: int,
    batch_size: int,
    advance: Callable[[int], None] = lambda count: None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """For each document the sum of -ln p over its tokens, and how many of them got no finite value.

    Returns float64[documents] and int64[documents]. Windows are sorted by length, so little of a batch is padding.
    Memory is one batch of logits. `advance` is called with the number of tokens scored.
    """
    stride = stride_for(context)
    todo = [w for i, tokens in enumerate(documents) for w in windows(i, len(tokens), context, stride)]
    todo.sort(key=lambda w: (-w.length, w.document, w.begin))  # longest first: too large a batch fails at once
    nats = np.zeros(len(documents), dtype=np.float64)
    broken = np.zeros(len(documents), dtype=np.int64)
    for batch in _batches(todo, batch_size, model.config.vocab_size):
        for window, losses in zip(batch, _losses(model, documents, batch, prefix), strict=True):
            nats[window.document] += losses.sum()
            broken[window.document] += np.count_nonzero(~np.isfinite(losses))
        advance(sum(w.end - w.first for w in batch))
    return nats, broken


def _batches(todo: list[Window], batch_size: int, vocab_size: int) -> Iterator[list[Window]]:
    start = 0
    while start < len(todo):
        rows = min(batch_size, max(1, LOGIT_BYTES // (4 * vocab_size * todo[start].length)))
        yield todo[start : start + rows]
        start += rows


@torch.inference_mode()
def _losses(model: Any, documents: Sequence[Tokens], batch: list[Window], prefix: int) -> list[npt.NDArray[np.float64]]:
    """-ln p of the scored tokens of each window, in nats."""
    device = next(model.parameters()).device
    inputs = torch.full((len(batch), batch[0].length), prefix, dtype=torch.long)
    for row, w in enumerate(batch):
        inputs[row, : w.length] = torch.from_numpy(_inputs(documents[w.document], w, prefix))
    # Padding is on the right, where causal attention never looks from a real position: no mask is needed.
    logits = model(input_ids=inputs.to(device), use_cache=False).logits
    losses = []
    for row, w in enumerate(batch):
        targets = torch.from_numpy(documents[w.document][w.first : w.end].astype(np.int64)).to(device)
        scored = logits[row, w.first - w.begin : w.length].float()
        losses.append(torch.nn.functional.cross_entropy(scored, targets, reduction="none").double().cpu().numpy())
    return losses


def _inputs(tokens: Tokens, w: Window, prefix: int) -> npt.NDArray[np.int64]:
    """Inputs are the prefix, then the document without its last token."""
    if w.begin > 0:
        return tokens[w.begin - 1 : w.end - 1].astype(np.int64)
    return np.concatenate(([prefix], tokens[: w.end - 1])).astype(np.int64)

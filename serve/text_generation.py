"""Continuing a prompt, one token at a time, with the keys and values of earlier tokens kept."""

from __future__ import annotations

import copy
import math
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import DynamicCache

from corpusmill.errors import CorpusmillError
from corpusmill.evaluate.causal_models import check_folder, context_length, load_folder, pick_device
from corpusmill.serve.token_bytes import GrowingText, TokenBytes


class BrokenModelError(CorpusmillError):
    """The model gave nan for every token."""


class AbandonedError(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How to continue. Temperature 0 takes the likeliest token; a seed makes the draws repeatable."""

    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    logprobs: int | None = None
    """How many of the likeliest tokens to report at each place; None reports nothing."""


@dataclass(frozen=True, slots=True)
class TokenScore:
    """A token with its log-probability under the model, before temperature; None for the first of an echoed prompt.

    `offset` is the character of the prompt's text, or of the generated text, at which the token begins.
    """

    token: int
    logprob: float | None
    top: dict[int, float]
    offset: int = 0


@dataclass(slots=True)
class Choice:
    """A continuation. `tokens` counts what was generated, the end-of-text token included."""

    text: str = ""
    finish_reason: Literal["stop", "length"] = "length"
    tokens: int = 0
    scores: list[TokenScore] = field(default_factory=list)


class TextGenerator:
    """A loaded model. Not for two threads at once."""

    def __init__(self, model_path: str | Path) -> None:
        path = check_folder(model_path)
        model, self.tokenizer = load_folder(path)
        self.device = pick_device()
        self.model = model.to(self.device)
        self.context = context_length(model)
        self.vocab_size = int(model.config.vocab_size)
        self.end = int(self.tokenizer.eos_token_id)
        self.pieces = TokenBytes(self.tokenizer, self.vocab_size)
        self.path = path

    def encode(self, text: str) -> list[int]:
        """Token ids. The empty prompt is one end-of-text token: the place where a document begins."""
        tokens: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return tokens or [self.end]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of a prompt, special tokens as they are written."""
        return b"".join(self.pieces.written(t) for t in tokens).decode("utf-8", "replace")

    @torch.inference_mode()
    def generate(
        self,
        prompt: list[int],
        sampling: Sampling,
        n: int = 1,
        echo: bool = False,
        check: Callable[[], None] = lambda: None,
    ) -> tuple[list[Choice], list[TokenScore]]:
        """`n` continuations of a prompt of at least one token, and the prompt's own scores if asked for with `echo`.

        The prompt is read once. `check` is called before each token and may raise to give up.
        """
        check()
        wanted = sampling.logprobs if echo else None
        cache = DynamicCache(config=self.model.config)
        logits = self._forward(prompt, cache, last_only=wanted is None)
        scores = [] if wanted is None else self._prompt_scores(prompt, logits, wanted)
        seed = secrets.randbits(62) if sampling.seed is None else sampling.seed
        choices = []
        for i in range(n):
            own = cache if i == n - 1 else copy.deepcopy(cache)
            draws = torch.Generator().manual_seed((seed + i) % (1 << 63))
            choices.append(self._continue(logits[-1], own, sampling, draws, check))
        return choices, scores

    def _continue(
        self, logits: torch.Tensor, cache: Any, sampling: Sampling, draws: torch.Generator, check: Callable[[], None]
    ) -> Choice:
        choice, text = Choice(), GrowingText()
        for token, score in self._tokens(logits, cache, sampling, draws):
            check()
            choice.tokens += 1
            if token == self.end:
                choice.finish_reason = "stop"
                break
            shown = len(text.text)
            text.add(self.pieces[token])
            if score is not None:
                choice.scores.append(replace(score, offset=shown))
            stop = text.find(sampling.stop, shown)
            if stop is not None:
                choice.text, choice.finish_reason = text.text[:stop], "stop"
                choice.scores = [s for s in choice.scores if s.offset < stop]
                return choice
        choice.text = text.text
        return choice

    def _tokens(
        self, logits: torch.Tensor, cache: Any, sampling: Sampling, draws: torch.Generator
    ) -> Iterator[tuple[int, TokenScore | None]]:
        token = None
        for _ in range(sampling.max_tokens):
            if token is not None:
                logits = self._forward([token], cache)[-1]
            token = sample(logits, sampling.temperature, sampling.top_p, draws)
            yield token, None if sampling.logprobs is None else _score(token, logits, sampling.logprobs)

    def _forward(self, tokens: list[int], cache: Any, last_only: bool = True) -> torch.Tensor:
        """Logits after the last of `tokens`, or after each: fp32[1 or tokens, vocabulary], on the CPU."""
        ids = torch.tensor([tokens], device=self.device)
        out = self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=int(last_only))
        # Draws are made on the CPU, so that a seed gives the same text on every device.
        return out.logits[0].float().cpu()

    def _prompt_scores(self, prompt: list[int], logits: torch.Tensor, wanted: int) -> list[TokenScore]:
        text = GrowingText()
        scores = [TokenScore(prompt[0], None, {})]
        for before, token, row in zip(prompt, prompt[1:], logits, strict=False):
            text.add(self.pieces.written(before))
            scores.append(replace(_score(token, row, wanted), offset=len(text.text)))
        return scores


def sample(logits: torch.Tensor, temperature: float, top_p: float, draws: torch.Generator) -> int:
    """One token id. top_p keeps the likeliest tokens that together reach that probability, at least one."""
    if not torch.isfinite(logits.max()):
        raise BrokenModelError("the model gave nan or inf instead of a score: its weights are damaged")
    if temperature == 0:
        return int(logits.argmax())
    # float64, and the maximum taken off first: a temperature of 1e-30 must not overflow into nan
    probabilities = torch.softmax((logits.double() - logits.max().double()) / temperature, dim=-1)
    if top_p < 1:
        ordered, order = probabilities.sort(descending=True, stable=True)
        before = ordered.cumsum(dim=-1) - ordered
        ordered[1:][before[1:] >= top_p] = 0
        probabilities = torch.zeros_like(probabilities).scatter(0, order, ordered)
    return int(torch.multinomial(probabilities, 1, generator=draws))


def _score(token: int, logits: torch.Tensor, wanted: int) -> TokenScore:
    """The token's log-probability, and those of the `wanted` likeliest tokens and its own."""
    logprobs = torch.log_softmax(logits, dim=-1)
    values, tokens = logprobs.topk(min(wanted, len(logprobs)))
    top = {int(t): _finite(float(v)) for t, v in zip(tokens, values, strict=True)}
    own = _finite(float(logprobs[token]))
    return TokenScore(token, own, top | {token: own})


def _finite(value: float) -> float:
    return value if math.isfinite(value) else -9999.0  # OpenAI's number for "impossible"; JSON has no -inf

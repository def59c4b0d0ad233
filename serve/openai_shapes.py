"""Requests and answers of /v1/completions, in the shape of OpenAI's API, so that its clients work unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from corpusmill.recipe import nearest
from corpusmill.serve.text_generation import Choice, Sampling, TextGenerator, TokenScore

MAX_CHOICES = 64
"""Continuations of one request, over all its prompts."""

_TokenId = Annotated[int, Field(ge=0)]
_Stop = Annotated[str, Field(min_length=1, max_length=1000)]
_NOT_OFFERED: dict[str, Any] = {
    "stream": False,
    "suffix": None,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
}
"""Fields of OpenAI's API that are understood only at the value that changes nothing."""


class ApiError(Exception):
    """A request that cannot be answered, as OpenAI's clients expect to be told."""

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code, self.retry_after = status, message, param, code, retry_after

    def body(self) -> dict[str, Any]:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


class CompletionRequest(BaseModel):
    """What to continue, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    model: str
    prompt: str | list[str] | list[_TokenId] | list[list[_TokenId]]
    max_tokens: Annotated[int, Field(ge=0)] = 16
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(ge=0, le=1)] = 1.0
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] = 1
    stop: _Stop | Annotated[list[_Stop], Field(max_length=4)] | None = None
    seed: Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)] | None = None
    echo: bool = False
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    user: str | None = None

    @model_validator(mode="after")
    def _is_text(self) -> CompletionRequest:
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        for text in (*(p for p in self.prompts if isinstance(p, str)), *stops):
            if any("\ud800" <= c <= "\udfff" for c in text):
                raise ValueError("half of a surrogate pair stands alone, which is not text")
        return self

    @property
    def prompts(self) -> list[str | list[int]]:
        if isinstance(self.prompt, str):
            return [self.prompt]
        if self.prompt and isinstance(self.prompt[0], int):
            return [self.prompt]  # a list of token ids is one prompt
        return list(cast(list[str | list[int]], self.prompt))

    def sampling(self) -> Sampling:
        return Sampling(
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            stop=(self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ()),
            seed=self.seed,
            logprobs=self.logprobs,
        )


def parse_request(values: Any) -> CompletionRequest:
    """The request, or an ApiError that names the field, what was found and what is allowed."""
    if not isinstance(values, dict):
        raise ApiError(400, 'the body must be a JSON object, for example {"model": "...", "prompt": "The"}')
    values = {k: v for k, v in values.items() if v is not None}  # OpenAI's clients send null for "not given"
    for key in _NOT_OFFERED.keys() & values.keys():
        if values.pop(key) != _NOT_OFFERED[key]:
            raise ApiError(400, f"{key} is not offered by this server; leave it out", key, "unsupported_value")
    if values.pop("best_of", values.get("n", 1)) != values.get("n", 1):
        raise ApiError(400, "best_of is not offered by this server; leave it out", "best_of", "unsupported_value")
    values.pop("stream_options", None)
    try:
        return CompletionRequest.model_validate(values)
    except ValidationError as e:
        raise _api_error(e) from e


def _api_error(e: ValidationError) -> ApiError:
    first = e.errors(include_url=False)[0]
    param = str(first["loc"][0]) if first["loc"] else None
    if first["type"] == "extra_forbidden":
        known = list(CompletionRequest.model_fields)
        return ApiError(400, f"{param!r}: no such field{nearest(str(param), known)}", param, "unknown_parameter")
    if first["type"] == "missing":
        return ApiError(400, f"{param} is missing", param, "missing_required_parameter")
    if param == "prompt":
        return ApiError(
            400, "prompt must be a string, a list of strings, or a list of token ids", param, "invalid_type"
        )
    if param == "stop":
        message = "stop must be a string of 1 to 1000 characters, or a list of at most 4 of them"
        return ApiError(400, f"{message}; found {_brief(first['input'])}", param, "invalid_value")
    if param is None:
        return ApiError(400, first["msg"].removeprefix("Value error, "), "prompt", "invalid_value")
    return ApiError(400, f"{param}: {first['msg']}; found {_brief(first['input'])}", param, "invalid_value")


def _brief(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def choice_shape(
    generator: TextGenerator,
    request: CompletionRequest,
    index: int,
    prompt: tuple[str, list[TokenScore]],
    choice: Choice,
) -> dict[str, Any]:
    """One element of `choices`. `prompt` is the prompt's text and scores, used if it is echoed."""
    text, scores = prompt if request.echo else ("", [])
    logprobs = None
    if request.logprobs is not None:
        lists = [_logprobs(generator, scores, 0), _logprobs(generator, choice.scores, len(text))]
        logprobs = {key: lists[0][key] + lists[1][key] for key in lists[0]}
    return {"text": text + choice.text, "index": index, "finish_reason": choice.finish_reason, "logprobs": logprobs}


def _logprobs(generator: TextGenerator, scores: Sequence[TokenScore], start: int) -> dict[str, list[Any]]:
    """OpenAI's four parallel lists, for text that begins at character `start`."""
    name = generator.pieces.name
    return {
        "tokens": [name(s.token) for s in scores],
        "token_logprobs": [s.logprob for s in scores],
        "top_logprobs": [None if s.logprob is None else {name(t): v for t, v in s.top.items()} for s in scores],
        "text_offset": [start + s.offset for s in scores],
    }


def completion_shape(
    identifier: str, created: int, model: str, choices: list[dict[str, Any]], prompt_tokens: int, tokens: int
) -> dict[str, Any]:
    return {
        "id": identifier,
        "object": "text_completion",
        "created": created,
        "model": model,
        "choices": choices,
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": tokens,
            "total_tokens": prompt_tokens + tokens,
        },
    }

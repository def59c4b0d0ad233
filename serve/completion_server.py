"""An HTTP server for one model, in the shape of OpenAI's completions API.

    POST /v1/completions     continue a prompt
    GET  /v1/models          the model that is served
    GET  /health             whether it answers, and how many requests it holds

One generation runs at a time; a short queue waits, and whoever finds it full gets 503 with Retry-After. Only
safetensors are loaded. Requests are read by hand rather than by FastAPI, since a body has to be refused before it is
in memory.
"""

from __future__ import annotations

import json
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from corpusmill.errors import InputError, require_extra

require_extra("Serving a model", "serve", "torch", "transformers", "safetensors", "fastapi", "uvicorn")

from fastapi import FastAPI, Request  # noqa: E402  after the check
from fastapi.responses import JSONResponse  # noqa: E402
from starlette.exceptions import HTTPException  # noqa: E402

from corpusmill.serve.generation_queue import MAX_WAITING, GenerationQueue, QueueFullError  # noqa: E402
from corpusmill.serve.openai_shapes import (  # noqa: E402
    MAX_CHOICES,
    ApiError,
    CompletionRequest,
    choice_shape,
    completion_shape,
    parse_request,
)
from corpusmill.serve.text_generation import AbandonedError, Choice, TextGenerator, TokenScore  # noqa: E402
from corpusmill.version import __version__  # noqa: E402

MAX_BODY_BYTES = 1_000_000
RETRY_AFTER_SECONDS = 1
GRACE_SECONDS = 5
"""For running generations after Ctrl-C; then they are given up."""
_CLIENT_CLOSED = 499  # nginx's number; nobody is there to read it

Prompt = list[int]
Results = list[tuple[list[Choice], list[TokenScore]]]


def serve(model_path: str, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve a model folder (or an exported run) until interrupted."""
    import uvicorn

    app = make_app(model_path)
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as e:
        raise InputError(f"{host}:{port} cannot be listened on ({e.strerror or e}): choose another --port") from e
    with listening:
        config = uvicorn.Config(app, log_level="info", timeout_graceful_shutdown=GRACE_SECONDS)
        uvicorn.Server(config).run(sockets=[listening])


def make_app(model_path: str | Path, max_waiting: int = MAX_WAITING, max_body_bytes: int = MAX_BODY_BYTES) -> FastAPI:
    """The app, with its model loaded."""
    generator = TextGenerator(model_path)
    queue = GenerationQueue(max_waiting)
    name = model_name(generator.path)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        queue.close()

    # The interactive pages load their scripts from another server, so they are off.
    app = FastAPI(title="Corpusmill", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    _answer_errors(app)
    _add_models(app, name, generator)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "model": name, "requests": queue.inside}

    @app.post("/v1/completions", openapi_extra=_body_schema())
    async def completions(request: Request) -> JSONResponse:
        asked = parse_request(await _read_json(request, max_body_bytes))
        if asked.model != name:
            raise _no_model(asked.model, name)
        prompts = _prompt_tokens(generator, asked)
        try:
            results = await queue.run(partial(_generate, generator, asked, prompts), request.is_disconnected)
        except QueueFullError as e:
            message = f"{queue.inside} requests are being answered or wait; try again later"
            raise ApiError(503, message, code="queue_full", retry_after=RETRY_AFTER_SECONDS) from e
        except AbandonedError as e:
            raise ApiError(_CLIENT_CLOSED, "the client went away") from e
        return JSONResponse(_answer(generator, asked, name, prompts, results))

    return app


def model_name(path: Path) -> str:
    """The name in the export's manifest, else the folder's."""
    try:
        return str(json.loads((path / "manifest.json").read_text(encoding="utf-8"))["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return path.resolve().name


def _add_models(app: FastAPI, name: str, generator: TextGenerator) -> None:
    created = int((generator.path / "config.json").stat().st_mtime)
    described = {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "corpusmill",
        "context_length": generator.context,
    }

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [described]}

    @app.get("/v1/models/{model}")
    async def model(model: str) -> dict[str, Any]:
        if model != name:
            raise _no_model(model, name)
        return described


def _no_model(asked: str, name: str) -> ApiError:
    return ApiError(404, f"no model named {ascii(asked)[:80]}; this server has {name!r}", "model", "model_not_found")


def _prompt_tokens(generator: TextGenerator, asked: CompletionRequest) -> list[Prompt]:
    """Token ids of every prompt; an ApiError if one is empty, unknown or too long."""
    prompts = [generator.encode(p) if isinstance(p, str) else p for p in asked.prompts]
    if not prompts or not all(prompts):
        raise ApiError(400, "prompt: an empty list has nothing to continue", "prompt", "invalid_value")
    if len(prompts) * asked.n > MAX_CHOICES:
        message = (
            f"{len(prompts)} prompts with n={asked.n} make {len(prompts) * asked.n} choices; at most {MAX_CHOICES}"
        )
        raise ApiError(400, message, "n", "invalid_value")
    for tokens in prompts:
        if max(tokens) >= generator.vocab_size:
            message = f"prompt: no token {max(tokens)}; the model knows 0 to {generator.vocab_size - 1}"
            raise ApiError(400, message, "prompt", "invalid_value")
        if len(tokens) + asked.max_tokens > generator.context:
            message = (
                f"the prompt has {len(tokens)} tokens and max_tokens is {asked.max_tokens}, together more than the "
                f"model's context of {generator.context}; shorten one of them"
            )
            raise ApiError(400, message, "max_tokens", "context_length_exceeded")
    return prompts


def _generate(
    generator: TextGenerator, asked: CompletionRequest, prompts: list[Prompt], check: Callable[[], None]
) -> Results:
    return [generator.generate(tokens, asked.sampling(), asked.n, asked.echo, check) for tokens in prompts]


def _answer(
    generator: TextGenerator, asked: CompletionRequest, name: str, prompts: list[Prompt], results: Results
) -> dict[str, Any]:
    choices: list[dict[str, Any]] = []
    for given, tokens, (continuations, scores) in zip(asked.prompts, prompts, results, strict=True):
        text = given if isinstance(given, str) else generator.decode(tokens)
        for choice in continuations:
            choices.append(choice_shape(generator, asked, len(choices), (text, scores), choice))
    generated = sum(c.tokens for continuations, _ in results for c in continuations)
    identifier = f"cmpl-{uuid.uuid4().hex}"
    return completion_shape(identifier, int(time.time()), name, choices, sum(map(len, prompts)), generated)


async def _read_json(request: Request, max_bytes: int) -> Any:
    """The body, refused as soon as it is too large."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # a form on a web page cannot send this type to a local server
        raise ApiError(
            400, f"Content-Type is {kind[:80] or 'missing'}; send application/json", code="invalid_content_type"
        )
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise ApiError(413, f"the body is larger than {max_bytes:,} bytes", code="body_too_large")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as e:
        raise ApiError(400, f"the body is not JSON: {ascii(str(e))[1:-1][:200]}", code="invalid_json") from e


def _answer_errors(app: FastAPI) -> None:
    """Every error in OpenAI's shape, those of the framework included."""

    @app.exception_handler(ApiError)
    async def api_error(request: Request, e: ApiError) -> JSONResponse:
        headers = {"Retry-After": str(e.retry_after)} if e.retry_after is not None else None
        return JSONResponse(e.body(), status_code=e.status, headers=headers)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, e: HTTPException) -> JSONResponse:
        message = f"{request.method} {ascii(request.url.path)[1:-1][:200]}: {e.detail}"
        return JSONResponse(ApiError(e.status_code, message).body(), status_code=e.status_code, headers=e.headers)

    @app.exception_handler(Exception)
    async def other_error(request: Request, e: Exception) -> JSONResponse:
        # The traceback goes to the server's log; the client learns that it is not to blame.
        return JSONResponse(ApiError(500, "the server failed; its log says why").body(), status_code=500)


def _body_schema() -> dict[str, Any]:
    schema = CompletionRequest.model_json_schema()
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}

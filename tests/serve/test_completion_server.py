"""The completions API, asked over HTTP of a real server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import torch
import uvicorn
from served_models import SENTENCES, learn_by_heart, write_run

from corpusmill.errors import InputError
from corpusmill.serve.completion_server import make_app, serve
from corpusmill.serve.export_hf import export_weights
from corpusmill.serve.generation_queue import GenerationQueue
from corpusmill.serve.text_generation import AbandonedError, TextGenerator

FIRST, SECOND = SENTENCES
GREEDY = {"model": "small", "temperature": 0, "max_tokens": 100}
CONTEXT = 256


@contextlib.contextmanager
def served(path, **settings):
    """A real uvicorn on a free port; yields a client."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(make_app(path, **settings), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        port = listening.getsockname()[1]
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.set_num_threads(1)
    run = write_run(tmp_path_factory.mktemp("run") / "small")
    export_weights(run, *learn_by_heart(run, CONTEXT))
    return run.local_path("model")


@pytest.fixture(scope="module")
def client(model):
    with served(model, max_body_bytes=20_000) as client:
        yield client


def complete(client, **body) -> dict:
    answer = client.post("/v1/completions", json=GREEDY | body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def text_of(client, **body) -> str:
    return complete(client, **body)["choices"][0]["text"]


def error_of(client, status, **body) -> dict:
    answer = client.post("/v1/completions", json=GREEDY | body)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    return answer.json()["error"]


# --- what an answer looks like ---------------------------------------------------------------------------------------


def test_an_answer_has_openais_shape(client):
    answer = complete(client, prompt=FIRST[:8])
    assert answer["id"].startswith("cmpl-")
    assert (answer["object"], answer["model"]) == ("text_completion", "small")
    assert abs(answer["created"] - time.time()) < 60
    assert answer["choices"] == [{"text": FIRST[8:], "index": 0, "finish_reason": "stop", "logprobs": None}]
    used = answer["usage"]
    assert used["prompt_tokens"] + used["completion_tokens"] == used["total_tokens"]


def test_models_and_health(client):
    assert client.get("/health").json() == {"status": "ok", "model": "small", "requests": 0}
    (listed,) = client.get("/v1/models").json()["data"]
    assert (listed["id"], listed["object"], listed["context_length"]) == ("small", "model", CONTEXT)
    assert client.get("/v1/models/small").json() == listed
    assert client.get("/v1/models/other").status_code == 404


@pytest.mark.parametrize("prompt", [FIRST[:8], SECOND[:9], "corn", "wheel turns and 🙂", "zzz"])
def test_greedy_equals_transformers_generate(client, model, prompt):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
    reference = AutoModelForCausalLM.from_pretrained(model)
    made = reference.generate(ids, do_sample=False, max_new_tokens=40, pad_token_id=0)[0, ids.shape[1] :]
    expected = tokenizer.decode(made, skip_special_tokens=True).rstrip("\ufffd")
    answer = complete(client, prompt=prompt, max_tokens=40)
    assert answer["choices"][0]["text"] == expected
    assert answer["usage"]["completion_tokens"] == len(made)
    assert text_of(client, prompt=ids[0].tolist(), max_tokens=40) == expected


def test_the_default_is_sixteen_tokens_and_length_is_said(client):
    answer = client.post("/v1/completions", json={"model": "small", "prompt": FIRST[:3], "temperature": 0}).json()
    assert (answer["usage"]["completion_tokens"], answer["choices"][0]["finish_reason"]) == (16, "length")


def test_several_prompts_with_two_choices_each_come_in_order(client):
    answer = complete(client, prompt=[FIRST[:8], SECOND[:9]], n=2)
    assert [c["text"] for c in answer["choices"]] == [FIRST[8:], FIRST[8:], SECOND[9:], SECOND[9:]]
    assert [c["index"] for c in answer["choices"]] == [0, 1, 2, 3]


def test_lists_of_token_ids_are_prompts_too(client, model):
    encode = TextGenerator(model).encode
    answer = complete(client, prompt=[encode(SECOND[:9]), encode(FIRST[:8])])
    assert [c["text"] for c in answer["choices"]] == [SECOND[9:], FIRST[8:]]


def test_the_empty_prompt_begins_a_document(client):
    assert text_of(client, prompt="") in SENTENCES


# --- stop strings and characters -------------------------------------------------------------------------------------


def test_a_character_cut_over_tokens_is_whole_or_absent(client, model):
    generator = TextGenerator(model)
    pieces = [generator.pieces[t] for t in generator.encode(FIRST)]
    assert "東".encode() not in pieces, "the fixture does not cut characters"
    for max_tokens in range(1, len(pieces)):
        text = text_of(client, prompt=FIRST[:8], max_tokens=max_tokens)
        assert FIRST[8:].startswith(text)
        assert "\ufffd" not in text


@pytest.mark.parametrize("stop", ["for 東", "corn for", "京 🙂", "🙂🌾", "Zür", " ", "rn fo", FIRST[-1]])
def test_a_stop_string_is_found_across_tokens_and_is_not_in_the_text(client, stop):
    answer = complete(client, prompt=FIRST[:8], stop=stop)["choices"][0]
    assert (answer["text"], answer["finish_reason"]) == (FIRST[8:].partition(stop)[0], "stop")


def test_the_earliest_of_several_stop_strings_wins(client):
    assert text_of(client, prompt=FIRST[:8], stop=["Zür", "nothing", "rn for", "corn"]) == " grinds "


def test_generation_ends_at_the_stop_string(client):
    stopped = complete(client, prompt=FIRST[:8], stop="corn")["usage"]["completion_tokens"]
    assert stopped < complete(client, prompt=FIRST[:8])["usage"]["completion_tokens"]


def test_a_stop_string_in_an_echoed_prompt_stays(client):
    assert text_of(client, prompt=FIRST[:8], stop=["mill", "corn"], echo=True) == "The mill grinds "


# --- echo and logprobs -----------------------------------------------------------------------------------------------


def test_echo_with_logprobs_scores_the_prompt_and_the_rest(client, model):
    answer = complete(client, prompt=FIRST[:20], echo=True, logprobs=3)["choices"][0]
    assert answer["text"] == FIRST
    logprobs = answer["logprobs"]
    assert len({len(v) for v in logprobs.values()}) == 1
    assert (logprobs["token_logprobs"][0], logprobs["top_logprobs"][0]) == (None, None)
    generator = TextGenerator(model)
    tokens = generator.encode(FIRST[:20]) + generator.encode(FIRST[20:])
    assert logprobs["tokens"] == [generator.pieces.name(t) for t in tokens]
    with torch.no_grad():
        expected = torch.log_softmax(generator.model(torch.tensor([tokens])).logits[0].float(), -1)
    for i, found in enumerate(logprobs["token_logprobs"][1:]):
        assert found == pytest.approx(float(expected[i, tokens[i + 1]]), abs=1e-4)
        top = logprobs["top_logprobs"][i + 1]
        assert 3 <= len(top) <= 4
        assert max(top.values()) == pytest.approx(float(expected[i].max()), abs=1e-4)


def test_text_offsets_count_characters(client):
    answer = complete(client, prompt=FIRST[:8], echo=True, logprobs=0)["choices"][0]
    joined, logprobs = b"", answer["logprobs"]
    for token, offset in zip(logprobs["tokens"], logprobs["text_offset"], strict=True):
        whole = joined.decode("utf-8", "ignore")
        assert offset == len(whole)
        raw = token.removeprefix("bytes:")
        joined += bytes.fromhex(raw.replace("\\x", "")) if token.startswith("bytes:") else token.encode()
    assert joined.decode() == FIRST


def test_zero_tokens_with_echo_only_scores_the_prompt(client):
    answer = complete(client, prompt=FIRST[:8], echo=True, logprobs=0, max_tokens=0)
    choice = answer["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == (FIRST[:8], "length")
    assert answer["usage"]["completion_tokens"] == 0
    assert len(choice["logprobs"]["tokens"]) == answer["usage"]["prompt_tokens"]


def test_logprobs_end_where_the_stop_string_begins(client):
    choice = complete(client, prompt=FIRST[:8], stop="corn", logprobs=0)["choices"][0]
    assert all(offset < len(choice["text"]) for offset in choice["logprobs"]["text_offset"])
    assert "".join(choice["logprobs"]["tokens"]).startswith(choice["text"])


# --- sampling --------------------------------------------------------------------------------------------------------


def test_a_seed_repeats_the_draws_and_choices_differ(client):
    body = {"prompt": "", "temperature": 2, "max_tokens": 30, "n": 3}
    first, again, other = ([c["text"] for c in complete(client, **body, seed=seed)["choices"]] for seed in (5, 5, 1234))
    assert first == again
    assert first != other
    assert len(set(first)) == 3
    unseeded = {text_of(client, prompt="", temperature=2, max_tokens=30) for _ in range(3)}
    assert len(unseeded) > 1


@pytest.mark.parametrize("narrow", [{"top_p": 0}, {"top_p": 1e-9}, {"temperature": 1e-320}, {"temperature": 0}])
def test_the_narrowest_settings_are_greedy(client, narrow):
    assert text_of(client, prompt=FIRST[:8], **({"temperature": 2} | narrow)) == FIRST[8:]


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "param", "part"),
    [
        ({"model": "gpt"}, 404, "model", "no model named 'gpt'"),
        ({"prompt": "corn " * 60, "max_tokens": 200}, 400, "max_tokens", f"context of {CONTEXT}"),
        ({"max_tokens": CONTEXT}, 400, "max_tokens", "shorten one of them"),
        ({"max_tokens": -1}, 400, "max_tokens", "greater than or equal to 0"),
        ({"temperature": 2.1}, 400, "temperature", "less than or equal to 2; found 2.1"),
        ({"temperature": "hot"}, 400, "temperature", "found 'hot'"),
        ({"top_p": 1.5}, 400, "top_p", "less than or equal to 1"),
        ({"n": 0}, 400, "n", "greater than or equal to 1"),
        ({"n": 40, "prompt": ["a", "b"]}, 400, "n", "80 choices; at most 64"),
        ({"stop": list("abcde")}, 400, "stop", "at most 4"),
        ({"stop": ""}, 400, "stop", "1 to 1000 characters"),
        ({"logprobs": 6}, 400, "logprobs", "less than or equal to 5"),
        ({"stream": True}, 400, "stream", "not offered"),
        ({"best_of": 4}, 400, "best_of", "not offered"),
        ({"logit_bias": {"5": 1}}, 400, "logit_bias", "not offered"),
        ({"temprature": 1}, 400, "temprature", "did you mean 'temperature'?"),
        ({"prompt": []}, 400, "prompt", "nothing to continue"),
        ({"prompt": [[]]}, 400, "prompt", "nothing to continue"),
        ({"prompt": 7}, 400, "prompt", "must be a string"),
        ({"prompt": ["a", 7]}, 400, "prompt", "must be a string"),
        ({"prompt": [99999]}, 400, "prompt", "no token 99999"),
        ({"prompt": [-1]}, 400, "prompt", "must be a string"),
        ({"prompt": None}, 400, "prompt", "prompt is missing"),
    ],
)
def test_refusals_name_the_field_and_what_is_allowed(client, body, status, param, part):
    error = error_of(client, status, **({"prompt": "The"} | body))
    assert (error["param"], error["type"]) == (param, "invalid_request_error")
    assert part in error["message"]


@pytest.mark.parametrize("field", ["stream", "stop", "seed", "suffix", "logit_bias", "user"])
def test_null_means_not_given(client, field):
    assert text_of(client, prompt=FIRST[:8], **{field: None}) == FIRST[8:]


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b'{"model": ', "application/json", 400, "invalid_json"),
        (b"\xff\xfe", "application/json", 400, "invalid_json"),
        (b"[" * 15_000, "application/json", 400, "invalid_json"),
        (b"[1]", "application/json", 400, None),
        (b'{"model": "small", "prompt": "a", "temperature": NaN}', "application/json", 400, "invalid_value"),
        (b'{"model": "small", "prompt": "\\ud800"}', "application/json", 400, "invalid_value"),
        (b'{"model": "\\ud800", "prompt": "a"}', "application/json", 404, "model_not_found"),
        (b'{"model": "small", "prompt": "a"}', "text/plain", 400, "invalid_content_type"),
        (b'"' + b"a" * 30_000, "application/json", 413, "body_too_large"),
    ],
)
def test_bodies_that_cannot_be_read(client, content, kind, status, code):
    answer = client.post("/v1/completions", content=content, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/v1/completions", 405)])
def test_the_frameworks_own_errors_have_the_same_shape(client, method, path, status):
    answer = client.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


# --- the queue -------------------------------------------------------------------------------------------------------

LONG = {"prompt": "The", "temperature": 2, "max_tokens": 200, "n": 20, "seed": 1}


def test_a_full_queue_answers_503_and_serves_those_inside(model):
    with served(model, max_waiting=1) as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post("/v1/completions", json=GREEDY | LONG), range(8)))
        codes = [a.status_code for a in answers]
        assert codes.count(200) == 2, "one is answered and one waits"
        assert codes.count(503) == 6
        refused = next(a for a in answers if a.status_code == 503)
        assert int(refused.headers["retry-after"]) >= 1
        assert (refused.json()["error"]["type"], refused.json()["error"]["code"]) == ("server_error", "queue_full")
        texts = [[c["text"] for c in a.json()["choices"]] for a in answers if a.status_code == 200]
        assert texts[0] == texts[1]
        assert text_of(client, prompt=FIRST[:8]) == FIRST[8:], "there is room again"


def test_a_client_that_goes_away_frees_the_server(model):
    endless = GREEDY | LONG | {"n": 64}
    with served(model) as client:
        started = time.monotonic()
        client.post("/v1/completions", json=endless)
        whole = time.monotonic() - started
        started = time.monotonic()
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v1/completions", json=endless, timeout=0.2)
        assert text_of(client, prompt=FIRST[:8]) == FIRST[8:]
        assert time.monotonic() - started < whole, "the abandoned request was worked on to its end"


def test_work_that_nobody_waits_for_is_given_up():
    gave_up = threading.Event()

    def work(check):
        try:
            while True:
                check()
                time.sleep(0.01)
        except AbandonedError:
            gave_up.set()
            raise

    async def gone() -> bool:
        return True

    async def ask() -> None:
        queue = GenerationQueue()
        with pytest.raises(AbandonedError):
            await queue.run(work, gone)
        assert queue.inside == 0
        queue.close()

    asyncio.run(ask())
    assert gave_up.is_set()


# --- what is served --------------------------------------------------------------------------------------------------


def test_a_run_may_be_named_in_place_of_its_model(model):
    assert TextGenerator(model.parent).path == model


def test_pickled_weights_are_not_loaded(model, tmp_path):
    import shutil

    shutil.copytree(model, tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(InputError, match="Pickled weights"):
        make_app(tmp_path / "pickled")


def test_a_port_in_use_is_said_in_a_sentence(model):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InputError, match="choose another --port"):
        serve(str(model), port=taken.getsockname()[1])

"""Every token of a document is scored once, with the context that fits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tiny_runs import make_weights

from corpusmill.evaluate.causal_models import from_weights
from corpusmill.evaluate.document_scoring import score, stride_for, windows

VOCABULARY, CONTEXT, PREFIX = 50, 16, 0


@pytest.mark.parametrize("num_tokens", range(1, 71))
@pytest.mark.parametrize(("context", "stride"), [(16, 8), (16, 1), (7, 3), (1, 1), (16, 16)])
def test_windows_score_each_token_once_with_as_much_context_as_fits(num_tokens, context, stride):
    found = list(windows(0, num_tokens, context, stride))
    assert [i for w in found for i in range(w.first, w.end)] == list(range(num_tokens))
    for w in found:
        assert w.length <= context
        assert w.begin == 0 or w.length == context, "a window that could reach further back does not"
        assert all(i - w.begin + 1 >= min(i + 1, context - stride + 1) for i in range(w.first, w.end))


@pytest.fixture(scope="module")
def model():
    return from_weights(*make_weights(VOCABULARY, CONTEXT))


def documents() -> list[np.ndarray]:
    rng = np.random.RandomState(3)
    return [rng.randint(0, VOCABULARY, size=n).astype(np.uint16) for n in range(1, 71)]


def slow_nats(model, tokens: np.ndarray) -> float:
    """One document, one token at a time: a full forward over the context its window gives it, in plain Python."""
    line = [PREFIX, *map(int, tokens)]
    total, stride = 0.0, CONTEXT // 2
    for target in range(1, len(line)):
        block = 0 if target <= CONTEXT else math.ceil((target - CONTEXT) / stride)
        last = min(len(line) - 1, CONTEXT + block * stride)
        inputs = line[max(0, last - CONTEXT) : target]
        with torch.inference_mode():
            logits = model(torch.tensor([inputs])).logits[0, -1].double()
        total -= float(torch.log_softmax(logits, -1)[line[target]])
    return total


def test_scores_equal_a_slow_direct_computation_windows_included(model):
    docs = documents()
    found, broken = score(model, docs, PREFIX, CONTEXT, batch_size=8)
    expected = [slow_nats(model, tokens) for tokens in docs]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert broken.sum() == 0


def test_scores_do_not_depend_on_the_batch_size(model):
    docs = documents()
    one, many = (score(model, docs, PREFIX, CONTEXT, batch_size=b)[0] for b in (1, 64))
    np.testing.assert_allclose(one, many, rtol=1e-5)


def test_progress_is_told_of_each_token_once(model):
    told: list[int] = []
    score(model, documents(), PREFIX, CONTEXT, batch_size=8, advance=told.append)
    assert sum(told) == sum(range(1, 71))


def test_a_model_that_knows_nothing_has_the_vocabulary_as_its_perplexity():
    config, state = make_weights(VOCABULARY, CONTEXT)
    uniform = from_weights(config, {k: torch.zeros_like(v) for k, v in state.items()})
    docs = documents()
    nats, _ = score(uniform, docs, PREFIX, CONTEXT, batch_size=8)
    assert math.exp(nats.sum() / sum(map(len, docs))) == pytest.approx(VOCABULARY, rel=1e-6)


def test_nan_and_inf_are_counted_per_document():
    config, state = make_weights(VOCABULARY, CONTEXT)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        state[name][7] = math.nan
    broken_model = from_weights(config, state)
    nats, broken = score(broken_model, [np.array([1, 2, 7, 3, 0], np.uint16)], PREFIX, CONTEXT, 4)
    assert math.isnan(nats[0])
    assert broken.tolist() == [5], "the embedding is tied, so one broken row breaks every softmax"


def test_the_stride_is_half_the_context():
    assert [stride_for(c) for c in (1, 2, 16, 1023)] == [1, 1, 8, 511]

"""How well a model predicts text it never saw: perplexity, and bits per byte.

Perplexity is per token, so it compares models of one tokenizer only. Bits per byte divides the surprise by the bytes of
the text, and compares any two. The documents are those of RUN/heldout, whole sites that training never reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from corpusmill.errors import InputError, require_extra
from corpusmill.evaluate.heldout_documents import Document, choose, read_heldout, read_manifest, token_counts
from corpusmill.evaluate.score_summary import (
    CONFIDENCE,
    RESAMPLES,
    Scored,
    bits_per_byte,
    by_host,
    by_language,
    interval,
    shown,
    summarise,
)
from corpusmill.evaluate.unigram_baseline import unigram_nats
from corpusmill.progress import StageProgress
from corpusmill.recipe import Evaluate, Recipe
from corpusmill.storage import Folder

FORMAT = 1
EVALUATION = "evaluate/evaluation.json"


def run_stage(folder: Folder, recipe: Recipe, progress: StageProgress) -> dict[str, Any]:
    """Evaluate the newest complete checkpoint of a run; what is stored is kept if nothing it depends on has changed."""
    require_extra("The evaluate stage", "evaluate", "torch", "transformers", "safetensors")
    from corpusmill.evaluate.causal_models import checkpoint_digest
    from corpusmill.train.checkpoints import load_weights

    config, state = load_weights(folder.sub("train"))
    stored = folder.read_json(EVALUATION) if folder.exists(EVALUATION) else {}
    wanted = _identity(folder, checkpoint_digest(config, state), recipe.evaluate, recipe.seed, _context_of(config))
    if all(stored.get(key) == value for key, value in wanted.items()):
        progress.say(f"evaluate: {EVALUATION} is already that of this checkpoint")
        return dict(stored)
    return evaluate_weights(folder, config, state, recipe.evaluate, recipe.seed, progress)


def evaluate_weights(
    run: Folder,
    config: dict[str, Any],
    state: dict[str, Any],
    settings: Evaluate,
    seed: int = 0,
    progress: StageProgress | None = None,
) -> dict[str, Any]:
    """Evaluate a checkpoint on RUN/heldout and write RUN/evaluate/evaluation.json."""
    from corpusmill.evaluate.causal_models import checkpoint_digest, from_weights, pick_device

    model: Any = from_weights(config, state)
    model.to(pick_device())
    found = evaluate_model(model, run, settings, seed, progress=progress)
    found |= _identity(run, checkpoint_digest(config, state), settings, seed, _context_of(config))
    run.write_json(EVALUATION, found)
    return found


def evaluate_folder(
    model: str, run: Folder, settings: Evaluate, seed: int = 0, progress: StageProgress | None = None
) -> dict[str, Any]:
    """Evaluate any Hugging Face folder of a causal language model on RUN/heldout. Writes nothing.

    If its tokenizer is not the run's, the held-out text is restored from its tokens and tokenised anew, so bits per
    byte can be compared between models that share no vocabulary.
    """
    require_extra("Evaluating a model", "evaluate", "torch", "transformers", "safetensors")
    from corpusmill.evaluate.causal_models import check_folder, context_length, folder_digest, load_folder, pick_device
    from corpusmill.evaluate.retokenising import retokenise

    path = check_folder(model)
    loaded, tokenizer = load_folder(path)
    documents = retokenise(run, path, tokenizer)
    found = evaluate_model(loaded.to(pick_device()), run, settings, seed, documents, tokenizer.eos_token_id, progress)
    return found | _identity(run, folder_digest(path), settings, seed, context_length(loaded))


def evaluate_model(
    model: Any,
    run: Folder,
    settings: Evaluate,
    seed: int = 0,
    documents: Sequence[Document] | None = None,
    prefix: int | None = None,
    progress: StageProgress | None = None,
) -> dict[str, Any]:
    """Score the held-out documents of a run, at most `settings.max_tokens` tokens of them, under a loaded model.

    `documents` are those of RUN/heldout in another tokenizer's tokens, `prefix` that tokenizer's end-of-text token.
    Which documents are scored is decided on the run's own tokens, so all models see the same ones.
    """
    manifest, original = read_heldout(run)
    chosen = choose(original, settings.max_tokens, seed)
    prefix = manifest["tokenizer"]["eos_token_id"] if prefix is None else prefix
    picked = [(original if documents is None else documents)[i] for i in chosen]
    _check_vocabulary(model, picked)
    scored = _score(model, picked, prefix, settings.batch_size, progress)
    counts = token_counts(run.sub("shards"))
    baseline = unigram_nats(counts, [original[i].tokens for i in chosen])
    overall = summarise(scored)
    return {
        "format": FORMAT,
        **overall,
        "bits_per_byte_interval": interval(scored, seed),
        "unigram_bits_per_byte": shown(bits_per_byte(baseline, overall["bytes"])),
        "by_language": by_language(scored),
        "by_host": by_host(scored),
        "heldout_documents": len(original),
        "warning": _warning(overall),
        "versions": _versions(),
    }


def _score(
    model: Any, picked: list[Document], prefix: int, batch_size: int, progress: StageProgress | None
) -> list[Scored]:
    from corpusmill.evaluate.causal_models import context_length
    from corpusmill.evaluate.document_scoring import score

    if progress is not None:
        progress.begin(sum(len(d.tokens) for d in picked), "tokens")
    nats, broken = score(
        model,
        [d.tokens for d in picked],
        prefix,
        context_length(model),
        batch_size,
        advance=progress.advance if progress is not None else lambda count: None,
    )
    return [Scored(d, float(n), len(d.tokens), int(b)) for d, n, b in zip(picked, nats, broken, strict=True)]


def _identity(run: Folder, model_digest: str, settings: Evaluate, seed: int, context: int) -> dict[str, Any]:
    """What an evaluation depends on. It is made again when any of this differs from what is stored."""
    from corpusmill.evaluate.document_scoring import stride_for

    heldout = run.sub("heldout")
    return {
        "model": {"digest": model_digest, "context": context},
        "heldout": read_manifest(heldout)["fingerprint"] if heldout.exists("manifest.json") else None,
        "shards": read_manifest(run.sub("shards"))["fingerprint"],
        "settings": {
            **settings.model_dump(mode="json"),
            "seed": seed,
            "stride": stride_for(context),
            "interval": {"confidence": CONFIDENCE, "resamples": RESAMPLES, "over": "documents"},
        },
    }


def _context_of(config: dict[str, Any]) -> int:
    return int(config["max_position_embeddings"])


def _check_vocabulary(model: Any, documents: list[Document]) -> None:
    highest = max(int(np.max(d.tokens)) for d in documents)
    if highest >= model.config.vocab_size:
        raise InputError(
            f"the held-out documents have token {highest}, the model knows {model.config.vocab_size} tokens: "
            "it was made for another tokenizer"
        )


def _warning(overall: dict[str, Any]) -> str | None:
    if not overall["nonfinite_tokens"]:
        return None
    return (
        f"the model gave nan or inf for {overall['nonfinite_tokens']:,} of {overall['tokens']:,} tokens, so there is "
        "no perplexity: training has diverged (try a lower train.learning_rate) or the weights are damaged"
    )


def _versions() -> dict[str, str]:
    import torch
    import transformers

    return {"torch": str(torch.__version__), "transformers": str(transformers.__version__)}

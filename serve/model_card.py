"""The README.md of an exported model: what it was made of, as the manifests of its run say."""

from __future__ import annotations

from typing import Any

from corpusmill.storage import Folder

_HEAD = """---
library_name: transformers
pipeline_tag: text-generation
tags:
- corpusmill
---

# {name}

A Llama-architecture language model of {parameters:,} parameters, trained from nothing with Corpusmill.

| | |
|---|---|
"""

_USE = """
## Use

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("model")  # the path of this folder
model = AutoModelForCausalLM.from_pretrained("model")
inputs = tokenizer("The", return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=40)[0]))
```

The model continues text. It was not taught to follow instructions, and repeats what its pages say, right or wrong.
"""


def render(run: Folder, name: str, parameters: int, context: int, facts: dict[str, Any], checkpoint: str) -> str:
    """Markdown. Rows that the run says nothing about are left out. `facts` are those of training: steps, loss."""
    rows = [
        ("Recipe", name),
        ("Context", f"{context:,} tokens"),
        *_shard_rows(run),
        *[
            (label, f"{facts[key]:,}")
            for key, label in (("steps", "Steps"), ("tokens_seen", "Tokens seen"))
            if key in facts
        ],
        *([("Training loss", f"{facts['loss']:.4f} nats per token")] if facts.get("loss") is not None else []),
        *_evaluation_rows(run, checkpoint),
        ("Checkpoint (SHA-256)", f"`{checkpoint}`"),
    ]
    head = _HEAD.format(name=name, parameters=parameters)
    return head + "".join(f"| {label} | {value} |\n" for label, value in rows) + _USE


def _shard_rows(run: Folder) -> list[tuple[str, str]]:
    rows = []
    for folder, label in (("shards", "training"), ("heldout", "held out")):
        if run.exists(f"{folder}/manifest.json"):
            m = run.read_json(f"{folder}/manifest.json")
            what = f"{m['num_documents']:,} documents, {m['num_tokens']:,} tokens, {m['text_bytes']:,} bytes of text"
            rows += [(f"Corpus, {label}", what), (f"Fingerprint, {label}", f"`{m['fingerprint']}`")]
    return rows


def _evaluation_rows(run: Folder, checkpoint: str) -> list[tuple[str, str]]:
    """Of this very checkpoint only: the numbers of another one would be a lie."""
    found = run.read_json("evaluate/evaluation.json") if run.exists("evaluate/evaluation.json") else {}
    if found.get("model", {}).get("digest") != checkpoint:
        return []
    bits, unigram = found["bits_per_byte"], found["unigram_bits_per_byte"]
    if bits is None:
        return [("Bits per byte, held out", found["warning"])]
    low, high = found["bits_per_byte_interval"]
    return [
        (
            "Bits per byte, held out",
            f"{bits:.4f} (95%: {low:.4f} to {high:.4f}; token frequencies alone: {unigram:.4f})",
        ),
        ("Perplexity, held out", f"{found['perplexity']:.2f} per token, over {found['tokens']:,} tokens"),
    ]

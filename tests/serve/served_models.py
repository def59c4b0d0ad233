"""Models small enough to make in a test: weights with a tokenizer, one of which knows a few sentences by heart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corpusmill.storage import Folder, digest

END = "<|endoftext|>"
SENTENCES = ("The mill grinds corn for 東京 🙂🌾 and Zürich.", "Once more the wheel turns, and stops there.")


def write_run(folder: Path, vocab_size: int = 320, texts: Sequence[str] = SENTENCES) -> Folder:
    """RUN/tokenizer with a byte-level BPE, and the manifests a model card quotes."""
    from tokenizers import ByteLevelBPETokenizer

    bpe = ByteLevelBPETokenizer()
    # Only the ASCII part is learned, so characters beyond it are cut into tokens of one byte.
    learned = [t.encode("ascii", "ignore").decode() for t in texts]
    bpe.train_from_iterator(learned, vocab_size=vocab_size, special_tokens=[END], min_frequency=1, show_progress=False)
    (folder / "tokenizer").mkdir(parents=True)
    bpe.save(str(folder / "tokenizer" / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END}
    (folder / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(config))
    run = Folder(str(folder))
    manifest = {"format": 1, "num_documents": 1234, "num_tokens": 56789, "text_bytes": 200000, "fingerprint": digest(1)}
    run.write_json("shards/manifest.json", manifest)
    return run


def make_weights(context: int = 64, vocab_size: int = 320, tied: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    """Random weights, as `load_weights` gives them."""
    model = _model(context, vocab_size, tied)
    values = {k: v for k, v in model.config.to_dict().items() if k != "_name_or_path"}
    return values, {k: v.clone() for k, v in model.state_dict().items()}


def learn_by_heart(run: Folder, context: int = 256) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights that continue the beginning of each sentence to its end, then say end of text."""
    import torch
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(run.local_path("tokenizer/tokenizer.json")))
    model = _model(context, 320, tied=True).train()
    lines = [[0, *tokenizer.encode(s).ids, 0] for s in SENTENCES]
    length = max(map(len, lines))
    ids = torch.tensor([line + [0] * (length - len(line)) for line in lines])
    labels = torch.tensor([line + [-100] * (length - len(line)) for line in lines])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(150):
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.1, "the fixture has not learned its sentences"
    values = {k: v for k, v in model.config.to_dict().items() if k != "_name_or_path"}
    return values, {k: v.detach().clone() for k, v in model.state_dict().items()}


def _model(context: int, vocab_size: int, tied: bool) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=context,
        rope_parameters={"rope_type": "default", "rope_theta": 5_000.0},  # not the default: it must survive the export
        tie_word_embeddings=tied,
        bos_token_id=0,
        eos_token_id=0,
    )
    return LlamaForCausalLM(config)

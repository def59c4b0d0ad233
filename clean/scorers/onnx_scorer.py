"""Any sequence classifier as ONNX, with tokenizer.json beside it: no torch, only ONNX Runtime."""

from __future__ import annotations

import json
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
_PADS = ("[PAD]", "<pad>", "<|endoftext|>")
_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}


@dataclass(frozen=True, kw_only=True)
class OnnxScorer(Scorer):
    """`model` is an .onnx file whose first output is logits [rows, labels]. Needs the extra `onnx`.

    Beside it lie tokenizer.json and, for the names of labels, config.json; or `tokenizer` and `labels` say. Only the
    first `max_tokens` tokens of a text are read. Values are rounded to 4 decimals.
    """

    model: str
    tokenizer: str | None = None
    labels: tuple[str, ...] = ()
    label: str | None = None
    multi_label: bool = False
    """Labels do not exclude each other: each has a probability of its own (sigmoid, not softmax)."""
    max_tokens: Positive = 512
    batch_size: Positive = 8
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Positive = 1

    def files(self) -> dict[str, Path]:
        beside = Path(self.model).parent
        config = {"config": beside / "config.json"} if (beside / "config.json").is_file() else {}
        # weights above 2 GB lie in a file of their own
        weights = {f"weights {p.name}": p for p in sorted(beside.glob(f"{Path(self.model).name}*data"))}
        tokenizer = Path(self.tokenizer) if self.tokenizer else beside / "tokenizer.json"
        return {"model": Path(self.model), "tokenizer": tokenizer, **config, **weights}

    def check(self) -> None:
        super().check()
        require_extra("the scorer onnx", "onnx", "onnxruntime")

    def score_texts(self, texts: list[str], languages: list[str | None]) -> Scores:
        session = _session(self.model, self.device, self.threads)
        tokenizer, pad = _tokenizer(str(self.files()["tokenizer"]), self.max_tokens)
        # a text may hold lone surrogates only if a caller put them there; the tokenizer takes none
        ids = [e.ids for e in tokenizer.encode_batch([t.encode("utf-8", "replace").decode() for t in texts])]
        names = [i.name for i in session.get_inputs()]

        def forward(tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
            given = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}
            values: np.ndarray = session.run(None, {name: given[name] for name in names})[0]
            return values

        logits = logits_of(ids, forward, rows=self._rows(session), longest=self._longest(session), pad=pad)
        return {"": scores_from(logits, self._labels(), self.label, self.multi_label, self.model)}

    def _labels(self) -> dict[int, str]:
        if self.labels:
            return dict(enumerate(self.labels))
        config = self.files().get("config")
        return labels_in(json.loads(config.read_text(encoding="utf-8"))) if config else {}

    def _rows(self, session: Any) -> int:
        """A model may have been exported for one number of rows."""
        rows = session.get_inputs()[0].shape[0]
        return rows if isinstance(rows, int) else self.batch_size

    def _longest(self, session: Any) -> int:
        length = session.get_inputs()[0].shape[1]
        if isinstance(length, int):
            raise InputError(f"{self.model} takes texts of exactly {length} tokens; export it with a dynamic length")
        return self.max_tokens


@lru_cache(maxsize=4)
def _session(path: str, device: str, threads: int) -> Any:
    require_extra("the scorer onnx", "onnx", "onnxruntime")
    import onnxruntime

    gpu = "CUDAExecutionProvider"
    there = onnxruntime.get_available_providers()
    if device == "cuda" and gpu not in there:
        raise InputError('device: found "cuda", but ONNX Runtime has no CUDA provider here: install onnxruntime-gpu')
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    providers = [gpu, "CPUExecutionProvider"] if device != "cpu" and gpu in there else ["CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as e:  # ONNX Runtime's errors share no base but Exception
        raise InputError(f"{path} cannot be loaded as an ONNX model: {e}") from e
    strange = {i.name for i in session.get_inputs()} - _INPUTS
    if strange:
        raise InputError(f"{path} asks for {', '.join(sorted(strange))}; expected of {', '.join(sorted(_INPUTS))}")
    return session


@lru_cache(maxsize=4)
def _tokenizer(path: str, max_tokens: int) -> tuple[Any, int]:
    """(tokenizer that cuts to `max_tokens`, id of its padding)."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as e:  # the tokenizers library raises bare Exception
        raise InputError(f"{path} is not a tokenizer.json: {e}") from e
    padding = tokenizer.padding
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    known = [i for i in map(tokenizer.token_to_id, _PADS) if i is not None]
    return tokenizer, int(padding["pad_id"]) if padding else (known[0] if known else 0)

"""SentencePiece models (`tokenizer.model`) as Hugging Face tokenizers that give SentencePiece's own ids.

The file is a protobuf message (sentencepiece_model.proto of google/sentencepiece), read here field by field. What
Hugging Face's library cannot do as SentencePiece does is refused by name, see `_reason_against`.

Unigram: where two ways to cut a text have scores that differ by less than a 32-bit sum of them holds, SentencePiece may
take the other one, since it adds in 32 bits and Hugging Face's library in 64.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers

from corpusmill.errors import InputError

NAMES = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
SPACE = "\u2581"
"""What stands for a blank in pieces."""
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
UNIGRAM, BPE = 1, 2
_TYPES = {UNIGRAM: "Unigram", BPE: "BPE", 3: "word", 4: "character"}


@dataclass(frozen=True)
class Piece:
    text: str
    score: float
    kind: int


@dataclass(frozen=True)
class SentencePieceModel:
    """What a model file says, as far as ids depend on it. Defaults are the proto's."""

    pieces: tuple[Piece, ...]
    type: int = UNIGRAM
    byte_fallback: bool = False
    space_is_suffix: bool = False
    unk_id: int = 0
    eos_id: int = 2
    normalizer: str = ""
    has_rules: bool = False
    restores: bool = False
    dummy_prefix: bool = True
    trims_blanks: bool = True
    escapes_blanks: bool = True

    @property
    def end_token(self) -> str | None:
        return self.pieces[self.eos_id].text if 0 <= self.eos_id < len(self.pieces) else None

    def of(self, *kinds: int) -> list[Piece]:
        return [p for p in self.pieces if p.kind in kinds]


def sentencepiece_file(path: str) -> Path | None:
    """The model that `path` is, or that lies in it where there is no tokenizer.json; None if it is no such file."""
    place = Path(path)
    if place.is_file():
        return place if place.suffix == ".model" else None
    found = [place / name for name in NAMES if (place / name).is_file()]
    return found[0] if found and not (place / "tokenizer.json").is_file() else None


def from_sentencepiece(path: Path) -> tuple[Tokenizer, str | None]:
    """(tokenizer, end token). Control pieces and the unknown one are its special tokens."""
    model = read_model(path)
    reason = _reason_against(model)
    if reason is not None:
        raise InputError(
            f"tokenize.tokenizer: {path} {reason}, so Hugging Face's library would give other ids than SentencePiece. "
            "Bring the tokenizer.json that its makers publish, whose ids are then used as they are"
        )
    tokenizer = Tokenizer(_unigram(model) if model.type == UNIGRAM else _bpe(model))
    tokenizer.normalizer = _normalizer(model)
    start = [decoders.Strip(" ", 1, 0)] if model.dummy_prefix else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *start]
    )
    # as SentencePiece, whose user-defined pieces are found in what the normaliser leaves
    tokenizer.add_tokens([AddedToken(p.text, normalized=True, special=False) for p in model.of(USER_DEFINED)])
    tokenizer.add_special_tokens([AddedToken(p.text, normalized=False) for p in model.of(UNKNOWN, CONTROL)])
    return tokenizer, model.end_token


def read_model(path: Path) -> SentencePieceModel:
    """Raises InputError for a file that is no SentencePiece model."""
    try:
        message = _message(path.read_bytes())
        pieces = tuple(_piece(_message(p)) for p in message.get(1, []))
        trainer, normalizer, denormalizer = (_message(_last(message, n, b"")) for n in (2, 3, 5))
        if not pieces or not trainer:
            raise ValueError("it has no pieces or does not say how it was trained")
        return SentencePieceModel(
            pieces,
            type=_last(trainer, 3, UNIGRAM),
            byte_fallback=bool(_last(trainer, 35, 0)),
            space_is_suffix=bool(_last(trainer, 24, 0)),
            unk_id=_signed(_last(trainer, 40, 0)),
            eos_id=_signed(_last(trainer, 42, 2)),
            normalizer=_last(normalizer, 1, b"").decode(),
            has_rules=bool(_last(normalizer, 2, b"") or _last(normalizer, 6, b"")),
            restores=bool(_last(denormalizer, 2, b"")),
            dummy_prefix=bool(_last(normalizer, 3, 1)),
            trims_blanks=bool(_last(normalizer, 4, 1)),
            escapes_blanks=bool(_last(normalizer, 5, 1)),
        )
    except (OSError, ValueError, TypeError, AttributeError, struct.error, IndexError) as e:
        raise InputError(f"tokenize.tokenizer: {path} is no SentencePiece model: {e}") from e


def _reason_against(model: SentencePieceModel) -> str | None:
    """Why Hugging Face's library cannot give the model's ids."""
    if model.type not in (UNIGRAM, BPE):
        return f"is a {_TYPES.get(model.type, 'strange')} model, not Unigram or BPE"
    if model.has_rules:
        # its Precompiled normaliser takes the shortest rule for a grapheme and drops the rest of it
        return f"normalises by rules ({model.normalizer or 'its own'}; only `identity` is supported)"
    flags = {
        "has blanks at the end of words (treat_whitespace_as_suffix)": model.space_is_suffix,
        "leaves blanks as they are (escape_whitespaces = false)": not model.escapes_blanks,
        "changes decoded text by rules (denormalizer_spec)": model.restores,
        "has unused pieces": bool(model.of(UNUSED)),
        "names no unknown piece": not 0 <= model.unk_id < len(model.pieces)
        or model.pieces[model.unk_id].kind != UNKNOWN,
        "falls back to bytes, of which it has not all": model.byte_fallback and len(model.of(BYTE)) != 256,
    }
    reason = next((text for text, found in flags.items() if found), None)
    theirs = model.of(USER_DEFINED)
    if reason is None and theirs and (model.type == UNIGRAM or model.dummy_prefix or model.trims_blanks):
        reason = f"has user-defined pieces ({theirs[0].text!r}) and is Unigram, adds a blank or removes blanks"
    return reason or _reason_against_pieces(model)


def _reason_against_pieces(model: SentencePieceModel) -> str | None:
    alone = {p.text for p in model.of(NORMAL, USER_DEFINED) if len(p.text) == 1}
    reserved = model.of(UNKNOWN, CONTROL, BYTE) if model.type == UNIGRAM else []  # BPE makes no piece without a merge
    for piece in [*model.of(NORMAL), *reserved]:
        missing = next((c for c in piece.text if c not in alone), None)
        if missing is not None:
            return f"has the piece {piece.text!r}, but none for {missing!r} alone"
    seen: dict[float, str] = {}
    for piece in model.of(NORMAL) if model.type == BPE else []:
        if len(piece.text) > 1 and seen.setdefault(piece.score, piece.text) != piece.text:
            return f"has one score for {seen[piece.score]!r} and {piece.text!r}, and takes what comes first in the text"
    return None


def _unigram(model: SentencePieceModel) -> models.Unigram:
    scores = {p.text: p.score for p in model.of(NORMAL)}
    # SentencePiece never reads "</s>" or "<0x0A>" in a text as these pieces; here, a score below that of their
    # characters sees to it. It lowers the unknown piece's too, which decides nothing: each character of a piece is one.
    reserved = [p.text for p in model.pieces if p.kind != NORMAL]
    least = min((sum(scores[c] for c in text) for text in reserved), default=0.0) - 1.0
    vocabulary = [(p.text, p.score if p.kind == NORMAL else least) for p in model.pieces]
    return models.Unigram(vocabulary, model.unk_id, model.byte_fallback)


def _bpe(model: SentencePieceModel) -> models.BPE:
    """Two neighbours are merged if they make a piece, the one of the highest score first."""
    ids = {p.text: i for i, p in enumerate(model.pieces)}
    known = {p.text for p in model.of(NORMAL)}
    merges: list[tuple[str, str]] = []
    for piece in sorted(model.of(NORMAL), key=lambda p: -p.score):
        text = piece.text
        halves = [(text[:i], text[i:]) for i in range(1, len(text))]
        merges += sorted((h for h in halves if known.issuperset(h)), key=lambda h: (ids[h[0]], ids[h[1]]))
    unknown = model.pieces[model.unk_id].text
    return models.BPE(vocab=ids, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=model.byte_fallback)


def _normalizer(model: SentencePieceModel) -> normalizers.Normalizer:
    """Normalizer::Normalize of normalizer.cc, without rules. Only U+0020 is a blank there."""
    steps: list[Any] = []
    if model.trims_blanks:
        steps += [normalizers.Replace(Regex(r"\A +"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    steps.append(normalizers.Replace(" ", SPACE))
    if model.dummy_prefix:
        steps.append(normalizers.Prepend(SPACE))
    if model.trims_blanks:
        steps.append(normalizers.Replace(Regex(rf"{SPACE}+\z"), ""))
    return normalizers.Sequence(steps)


# ------------------------------------------------------------------------------------------------------------- protobuf


def _message(data: bytes) -> dict[int, list[Any]]:
    """Values of each field of a message, in order: numbers of varints, else bytes."""
    fields: dict[int, list[Any]] = {}
    for number, value in _fields(data):
        fields.setdefault(number, []).append(value)
    return fields


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if wire not in (1, 2, 5):
            raise ValueError(f"a field of wire type {wire}")
        size, at = _varint(data, at) if wire == 2 else ({1: 8, 5: 4}[wire], at)
        if at + size > len(data):
            raise ValueError("it is cut off")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _last(message: dict[int, list[Any]], number: int, default: Any) -> Any:
    values: Sequence[Any] = message.get(number, ())
    return values[-1] if values else default


def _piece(message: dict[int, list[Any]]) -> Piece:
    (score,) = struct.unpack("<f", _last(message, 2, bytes(4)))
    return Piece(_last(message, 1, b"").decode(), score, _last(message, 3, NORMAL))

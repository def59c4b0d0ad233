"""Which language a text is in, by the identifier that the recipe names, and by no other."""

from __future__ import annotations

import hashlib
import os
import shutil
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.clean.fasttext_predictor import FastTextModel, load_fasttext
from corpusmill.columns import text_buffers
from corpusmill.errors import InputError
from corpusmill.recipe import nearest
from corpusmill.storage import sha256_of

UNKNOWN = "und"  # ISO 639-3: undetermined
_RESILIPARSE_WORST = 1200
"""Out-of-place rank above which Resiliparse's own documentation calls a guess false."""
MAX_CHARS = 10_000
"""fastText's time grows with the text; its verdict hardly moves. On 4,762 main texts of the sample (median 1,350
characters, longest 135,000), English above 0.65 is judged alike from the first 10,000 characters as from all in 99.98%
(8,000: 99.94%, 4,000: 99.77%), and the language is the same in 99.81%. It saves a sixth of the time, and bounds it."""


class Identifier(Protocol):
    name: str

    def identify(self, text: str) -> tuple[str, float]:
        """(language code, score between 0 and 1)."""
        ...

    def identify_batch(self, texts: pa.Array) -> tuple[list[str], list[float]]:
        """As `identify`, for each text."""
        ...

    def screen(self, texts: pa.Array, wanted: Sequence[str]) -> tuple[list[str], list[float]]:
        """For each text its language, and the largest score of a wanted one, be it the first or not."""
        ...


@dataclass(frozen=True)
class Published:
    """A model that can be fetched: where from, and what it must be."""

    file: str
    url: str
    sha256: str


MODELS = {
    "lid.176": Published(
        "lid.176.ftz",
        "https://dl.fbaipublicfiles.com/fasttext/supervised-models/lid.176.ftz",
        "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83",
    ),
    "lid.176.bin": Published(
        "lid.176.bin",
        "https://dl.fbaipublicfiles.com/fasttext/supervised-models/lid.176.bin",
        "7e69ec5451bc261cc7844e49e4792a85d7f09c06789ec800fc4a44aec362764e",
    ),
}
"""lid.176 is the quantised model (0.9 MB), lid.176.bin the whole one (131 MB in each worker) that datatrove uses."""


class ResiliparseIdentifier:
    """Resiliparse's `detect_fast`: built in, 7 µs a paragraph, 96.7% right over 50 languages."""

    name = "resiliparse"

    def identify(self, text: str) -> tuple[str, float]:
        from resiliparse.parse.lang import detect_fast

        language, rank = detect_fast(text, cutoff=_RESILIPARSE_WORST)
        return (UNKNOWN, 0.0) if language == "unknown" else (language, 1.0 - rank / _RESILIPARSE_WORST)

    def identify_batch(self, texts: pa.Array) -> tuple[list[str], list[float]]:
        found = [self.identify(text) for text in texts.to_pylist()]
        return [language for language, _ in found], [score for _, score in found]

    def screen(self, texts: pa.Array, wanted: Sequence[str]) -> tuple[list[str], list[float]]:
        languages, scores = self.identify_batch(texts)
        return languages, [s if language in wanted else 0.0 for language, s in zip(languages, scores, strict=True)]

    def languages(self) -> set[str]:
        from resiliparse.parse.lang import supported_langs

        return set(supported_langs())


class FastTextIdentifier:
    """A fastText model of languages: lid.176 (Joulin et al. 2016), 176 languages, 130 µs a paragraph, 99.9% right over
    50 of them; or any other by its path, such as GlotLID (Kargaran et al. 2023).

    Labels like `__label__eng_Latn` are languages with a script; the script is left out unless `scripts` asks for it.
    """

    def __init__(self, model: str, *, name: str = "lid.176", scripts: bool = False, max_chars: int = MAX_CHARS) -> None:
        self.model = model
        self.name = name
        self.scripts = scripts
        self.max_chars = max_chars

    def identify(self, text: str) -> tuple[str, float]:
        languages, scores = self.identify_batch(pa.array([text], pa.large_string()))
        return languages[0], scores[0]

    def identify_batch(self, texts: pa.Array) -> tuple[list[str], list[float]]:
        best, scores = self._model().predict(pc.utf8_slice_codeunits(texts, 0, self.max_chars))
        names = [*self._names(), UNKNOWN]  # -1, nothing known of the text, is the last
        return [names[i] for i in best.tolist()], scores.astype(np.float64).tolist()

    def screen(self, texts: pa.Array, wanted: Sequence[str]) -> tuple[list[str], list[float]]:
        found = self._model().probabilities(*text_buffers(texts))
        names = self._names()
        columns = [i for i, name in enumerate(names) if name in wanted]
        best = found.argmax(axis=1)
        languages = [names[i] if found[row, i] > 0 else UNKNOWN for row, i in enumerate(best.tolist())]
        return languages, found[:, columns].max(axis=1, initial=0.0).tolist()

    def languages(self) -> set[str]:
        return set(self._names())

    def _model(self) -> FastTextModel:
        return load_fasttext(self.model)

    def _names(self) -> list[str]:
        return [self._language(label) for label in self._model().labels]

    def _language(self, label: str) -> str:
        return label if self.scripts else label.partition("_")[0]


def make_identifier(
    name: str, model: str | None = None, *, wanted: Iterable[str] = (), max_chars: int = MAX_CHARS
) -> Identifier:
    """The identifier of that name. One that cannot be found is an error that says how to get it, and so is a wanted
    language that it does not know. Wanted languages with a script (srp_Latn) make it tell scripts apart."""
    wanted = tuple(wanted)
    found: ResiliparseIdentifier | FastTextIdentifier
    if name == "resiliparse":
        found = ResiliparseIdentifier()
    elif name not in ("fasttext", *MODELS):
        raise InputError(
            f"clean.language.identifier: none is named {name!r}{nearest(name, [*MODELS, 'fasttext', 'resiliparse'])}"
        )
    else:
        scripts = any("_" in w for w in wanted)
        found = FastTextIdentifier(find_model(name, model), name=name, scripts=scripts, max_chars=max_chars)
    known = found.languages() if wanted else set()
    for language in wanted:
        if language not in known:
            raise InputError(
                f"clean.language.wanted: {language!r} is none of the {len(known)} languages of {name}"
                f"{_near(language, known)}"
            )
    return found


def language_verdicts(languages: pa.Array, scores: pa.Array, wanted: Mapping[str, float]) -> pa.StringArray:
    """`language` where it is not wanted, `language_unsure` where its score is too low, else null; null in, null out."""
    if not wanted:
        return pa.nulls(len(languages), pa.string())
    nothing = pa.scalar(None, pa.string())
    place = pc.index_in(languages, pa.array(list(wanted), pa.string()))
    floor = pc.take(pa.array(list(wanted.values()), pa.float64()), place)
    unsure = pc.if_else(pc.less(scores, floor), pa.scalar("language_unsure"), nothing)
    return pc.if_else(pc.and_(pc.is_valid(languages), pc.is_null(place)), pa.scalar("language"), unsure)


def find_model(name: str, model: str | None = None) -> str:
    """Path of a language model: as given, else in the cache."""
    if model is not None:
        if not Path(model).is_file():
            raise InputError(f"clean.language.model: there is no file {model}; {_instead(name)}")
        return str(Path(model).resolve())
    if name not in MODELS:
        raise InputError(
            'clean.language.model: the identifier "fasttext" is whatever model you name: give the path of one, for '
            "example GlotLID's model.bin"
        )
    cached = cache_folder() / MODELS[name].file
    if not cached.is_file():
        raise InputError(
            f"the language identifier {name} is not in the cache: run `corpusmill fetch {name}` once, "
            f"set clean.language.model to the path of {MODELS[name].file}, "
            'or use the built-in one (clean.language.identifier = "resiliparse")'
        )
    if sha256_of(cached) != MODELS[name].sha256:
        raise InputError(f"{cached} is not the published {name}: remove it and run `corpusmill fetch {name}`")
    return str(cached)


def identity(name: str, model: str | None) -> str:
    """What decides this identifier's answers: its name, or the checksum of its model."""
    return name if name == "resiliparse" else f"{name} sha256:{sha256_of(find_model(name, model))}"


def fetch(name: str, source: str | None = None) -> Path:
    """Put a published model into the cache, from its address or from a file, if its checksum is right."""
    if name not in MODELS:
        raise InputError(f"nothing named {name!r} can be fetched; there is {', '.join(MODELS)}")
    wanted = MODELS[name]
    target = cache_folder() / wanted.file
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        if source is not None:
            shutil.copyfile(source, partial)
        else:
            with urllib.request.urlopen(wanted.url, timeout=60) as answer, partial.open("wb") as f:  # noqa: S310 (pinned)
                shutil.copyfileobj(answer, f)
        found = hashlib.sha256(partial.read_bytes()).hexdigest()
        if found != wanted.sha256:
            raise InputError(
                f"{source or wanted.url} has SHA-256 {found}; {name} has {wanted.sha256}. Nothing was kept"
            )
        partial.replace(target)
    except OSError as e:
        raise InputError(f"{source or wanted.url} cannot be read: {e}. A path can be given: --from FILE") from e
    finally:
        partial.unlink(missing_ok=True)
    return target


def cache_folder() -> Path:
    base = os.environ.get("CORPUSMILL_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "corpusmill"


def _instead(name: str) -> str:
    if name not in MODELS:
        return "give the path of a fastText model"
    return f"give the path of {MODELS[name].file}, or leave the key out and run `corpusmill fetch {name}`"


def _near(language: str, known: set[str]) -> str:
    """A code of two letters is often written for one of three, and the other way round."""
    near = sorted(k for k in known if k[:2] == language[:2])
    return f"; near it: {', '.join(near[:8])}" if near else ""

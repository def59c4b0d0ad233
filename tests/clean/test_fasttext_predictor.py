"""Our prediction is fastText's own, for every kind of model that it writes."""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.clean.fasttext_predictor import FastTextModel, load_fasttext
from corpusmill.errors import InputError

KINDS: dict[str, dict[str, Any]] = {
    "softmax": {"loss": "softmax", "minn": 2, "maxn": 4, "wordNgrams": 2},
    "softmax quantised": {"loss": "softmax", "minn": 2, "maxn": 4, "wordNgrams": 2, "quantise": {"qnorm": True}},
    "pruned": {"loss": "softmax", "minn": 1, "maxn": 3, "quantise": {"cutoff": 400, "qnorm": True}},
    "many labels": {"loss": "softmax", "input": "many.txt", "quantise": {"qnorm": True, "qout": True}},
    "many labels, hierarchical": {"loss": "hs", "input": "many.txt", "minn": 2, "maxn": 2, "quantise": {"qout": True}},
    "hierarchical": {"loss": "hs", "minn": 1, "maxn": 3},
    "hierarchical, words": {"loss": "hs", "minn": 0, "maxn": 0, "wordNgrams": 3},
    "words": {"loss": "softmax", "minn": 0, "maxn": 0},
    "rare words": {"loss": "softmax", "minn": 0, "maxn": 2, "minCount": 30},
    "negative sampling": {"loss": "ns", "minn": 2, "maxn": 3},
    "one against all": {"loss": "ova", "minn": 2, "maxn": 3, "wordNgrams": 2, "quantise": {}},
}
TRAIN = """
import json, sys, fasttext
for options in json.loads(sys.argv[1]):
    quantise, output = options.pop("quantise", None), options.pop("output")
    model = fasttext.train_supervised(dim=8, epoch=5, lr=0.5, bucket=2000, thread=1, verbose=0, **options)
    if quantise is not None:
        model.quantize(**quantise)
    model.save_model(output)
"""
WORDS = ["the", "mill", "grinds", "corn", "die", "Mühle", "mahlt", "Korn", "мельница", "зерно", "水車", "小屋", "</s>"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One small model of each kind, of seven labels."""
    folder = tmp_path_factory.mktemp("models")
    draw = random.Random(5)
    lines = []
    for i in range(900):
        label = draw.choice([0, 0, 0, 1, 1, 2, 3, 4, 5, 6])
        words = [*draw.choices(WORDS[label : label + 6], k=9), f"n{i % 300}", "ab" * draw.randint(1, 30)]
        lines.append(f"__label__{'äbcdefg'[label]} {' '.join(w for w in words if w != '</s>')}")
    (folder / "train.txt").write_text("\n".join([*lines, f"__label__b {'long' * 3000}"]), encoding="utf-8")
    many = [f"__label__l{i % 300} word{i % 300} {draw.choice(WORDS[:-1])}" for i in range(1500)]
    (folder / "many.txt").write_text("\n".join(many), encoding="utf-8")
    jobs = [
        options | {"input": str(folder / options.get("input", "train.txt")), "output": str(folder / f"{i}.bin")}
        for i, options in enumerate(KINDS.values())
    ]
    # with memory that is not zero, fastText's training with one thread ends in NaN now and then
    environment = os.environ | {"MALLOC_PERTURB_": "255"}
    subprocess.run(
        [sys.executable, "-c", TRAIN, json.dumps(jobs)], check=True, env=environment, stdout=subprocess.DEVNULL
    )
    return {name: folder / f"{i}.bin" for i, name in enumerate(KINDS)}


@pytest.fixture(scope="module")
def theirs(models: dict[str, Path], data_folder: Path) -> dict[str, Any]:
    import fasttext

    files = models | {"lid.176": data_folder / "models" / "lid.176.ftz"}
    return {name: fasttext.load_model(str(path)) for name, path in files.items()}


@pytest.fixture(scope="module")
def ours(models: dict[str, Path], data_folder: Path) -> dict[str, FastTextModel]:
    files = models | {"lid.176": data_folder / "models" / "lid.176.ftz"}
    return {name: load_fasttext.__wrapped__(str(path)) for name, path in files.items()}


def check(model: FastTextModel, library: Any, texts: list[str]) -> None:
    """All probabilities are the library's to five digits, and so is the best label unless two are that close."""
    lines = [text.replace("\n", " ") for text in texts]
    array = pa.array(texts, pa.large_string())
    best, scores = model.predict(array)
    offsets = np.cumsum([0, *(len(t.encode()) for t in texts)])
    found = model.probabilities(offsets, np.frombuffer("".join(texts).encode(), np.uint8))
    for i, line in enumerate(lines):
        wanted = {label.removeprefix("__label__"): p for p, label in library.f.predict(line + "\n", -1, 0.0, "strict")}
        probabilities = dict(zip(model.labels, found[i].tolist(), strict=True))
        # under hierarchical softmax, the library leaves out what is below 1e-5, and rounding decides at the bound
        assert max([probabilities[name] for name in probabilities.keys() - wanted.keys()], default=0.0) < 1.1e-5
        near = {n for n, p in wanted.items() if p < 1.1e-5 and probabilities[n] == 0}
        told = {n: p for n, p in wanted.items() if n not in near}
        assert {n: p for n, p in probabilities.items() if n in told} == pytest.approx(told, rel=2e-5, abs=2e-6)
        first = library.f.predict(line + "\n", 1, 0.0, "strict")
        if not first:
            assert (best[i], scores[i]) == (-1, 0)
            continue
        ((score, label),) = first
        label = label.removeprefix("__label__")
        assert scores[i] == pytest.approx(min(score, 1.0), rel=2e-5)
        ordered = sorted(wanted.values(), reverse=True)
        if len(ordered) == 1 or ordered[0] == ordered[1] or ordered[0] - ordered[1] > 4e-5 * ordered[0]:
            assert model.labels[best[i]] == label


UNICODE = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
TOKENS = st.lists(
    st.one_of(
        st.sampled_from([*WORDS, "__label__b", "__label__ä", "__label__nothing", "__label__", "n7", "ab" * 17]),
        UNICODE,
        st.sampled_from(
            ["\0", "\n", "\t", "\v\f", "\r\n", "\x1c", "\x85", "\u2028", "\ufeff", "</s>", "<", ">", "w" * 5000]
        ),
    ),
    max_size=12,
)
TEXTS = st.lists(st.one_of(TOKENS.map(" ".join), TOKENS.map("".join), UNICODE), min_size=1, max_size=4)


@pytest.mark.parametrize("kind", [*KINDS, "lid.176"])
@settings(max_examples=60, deadline=None)
@given(texts=TEXTS)
def test_any_text_has_the_probabilities_that_the_library_gives(
    texts: list[str], kind: str, ours: dict[str, FastTextModel], theirs: dict[str, Any]
):
    check(ours[kind], theirs[kind], texts)


@pytest.mark.parametrize(
    "text",
    ["", " ", "\0", "\n\n", "</s>", "the mill </s> Korn", "x</s>", "__label__b", "__label__new the", "Korn" * 4000],
)
@pytest.mark.parametrize("kind", [*KINDS, "lid.176"])
def test_odd_texts_have_the_probabilities_that_the_library_gives(
    text: str, kind: str, ours: dict[str, FastTextModel], theirs: dict[str, Any]
):
    check(ours[kind], theirs[kind], [text])


@pytest.fixture(scope="module")
def paragraphs(data_folder: Path) -> list[str]:
    """Of the Declaration of Human Rights, a few paragraphs in each of 388 languages."""
    with zipfile.ZipFile(data_folder / "language" / "udhr2.zip") as z:
        texts = [z.read(n).decode("utf-8", "replace") for n in sorted(z.namelist()) if n.endswith(".txt")]
    return [p for t in texts for p in t.split("\n")[10:40:5] if p.strip()]


@pytest.mark.parametrize("kind", ["lid.176", "softmax", "hierarchical", "pruned", "one against all"])
def test_real_paragraphs_of_all_languages_have_the_probabilities_that_the_library_gives(
    kind: str, paragraphs: list[str], ours: dict[str, FastTextModel], theirs: dict[str, Any]
):
    assert len(paragraphs) > 1500
    check(ours[kind], theirs[kind], paragraphs[:: 1 if kind == "lid.176" else 5])


def test_labels_are_in_the_librarys_order(ours: dict[str, FastTextModel], theirs: dict[str, Any]):
    for kind, model in ours.items():
        assert [f"__label__{n}" for n in model.labels] == theirs[kind].labels, kind


def test_a_text_does_not_depend_on_its_neighbours(ours: dict[str, FastTextModel], paragraphs: list[str]):
    texts = pa.array([*paragraphs[:50], None, "", *paragraphs[:50]], pa.large_string())
    best, scores = ours["lid.176"].predict(texts)
    again, scores_again = ours["lid.176"].predict(texts.slice(52))
    assert (best[52:].tolist(), scores[52:].tolist()) == (again.tolist(), scores_again.tolist())
    assert (best[:50].tolist(), best[50]) == (again.tolist(), best[51])
    assert ours["lid.176"].predict(texts.slice(0, 0))[0].tolist() == []


@given(text=UNICODE, max_bytes=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_a_beginning_is_cut_between_characters(text: str, max_bytes: int, ours: dict[str, FastTextModel]):
    head = text.encode()[:max_bytes].decode("utf-8", "ignore")
    whole, cut = (pa.array([t], pa.large_string()) for t in (text, head))
    assert [x.tolist() for x in ours["softmax"].predict(whole, max_bytes)] == [
        x.tolist() for x in ours["softmax"].predict(cut)
    ]


def damaged(raw: bytes) -> Iterator[bytes]:
    draw = random.Random(3)
    yield from (raw[:n] for n in (0, 3, 8, 60, 90, 100, 1000, len(raw) // 2, len(raw) - 3))
    for _ in range(60):  # a few bytes changed in the numbers at the beginning
        at, value = draw.randrange(8, 100), draw.randrange(256)
        yield raw[:at] + bytes([value]) + raw[at + 1 :]
    yield raw[:8] + struct.pack("<i", -1) * 12 + raw[56:]


@pytest.mark.slow
def test_a_damaged_file_is_refused_or_read_but_never_breaks_the_process(models: dict[str, Path], tmp_path: Path):
    """In a process of its own with the bounds of all arrays checked."""
    files = []
    for kind in ("softmax", "pruned", "hierarchical", "many labels"):
        for i, raw in enumerate(damaged(models[kind].read_bytes())):
            files.append(tmp_path / f"{kind}-{i}.bin")
            files[-1].write_bytes(raw)
    code = (
        "import sys, pyarrow as pa\n"
        "from corpusmill.clean.fasttext_predictor import load_fasttext\n"
        "from corpusmill.errors import InputError\n"
        "refused = 0\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        load_fasttext(path).predict(pa.array(['the mill grinds Mühle ' + 'n7' * 50]))\n"
        "    except InputError as e:\n"
        "        refused += 1\n"
        "print(refused)\n"
    )
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    ended = subprocess.run(
        [sys.executable, "-c", code, *map(str, files)], env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert int(ended.stdout) >= 4 * 9


def test_word_vectors_and_other_files_are_refused_with_a_sentence(tmp_path: Path, models: dict[str, Path]):
    raw = models["softmax"].read_bytes()
    (tmp_path / "vectors.bin").write_bytes(raw[: 8 + 28] + struct.pack("<i", 2) + raw[8 + 32 :])
    with pytest.raises(InputError, match=r"fastText model of word vectors|cannot be read as"):
        load_fasttext(str(tmp_path / "vectors.bin"))
    (tmp_path / "old.bin").write_bytes(raw[:4] + struct.pack("<i", 11) + raw[8:])
    with pytest.raises(InputError, match=r"is not a fastText model of version 12"):
        load_fasttext(str(tmp_path / "old.bin"))
    (tmp_path / "cut.bin").write_bytes(raw[:-1])
    with pytest.raises(InputError, match=r"damaged or cut off"):
        load_fasttext(str(tmp_path / "cut.bin"))

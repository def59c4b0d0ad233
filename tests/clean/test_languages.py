"""Which language: by the identifier that the recipe names, and by no other."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from corpusmill.clean import LanguageFilter
from corpusmill.clean.document_flow import identified
from corpusmill.clean.languages import (
    MAX_CHARS,
    FastTextIdentifier,
    fetch,
    find_model,
    identity,
    language_verdicts,
    make_identifier,
)
from corpusmill.errors import InputError

TEXTS = {
    "en": "The miller carries the corn to the wheel by the river every morning before the market opens.",
    "de": "Der Müller trägt das Korn jeden Morgen zum Mühlrad am Fluss, bevor der Markt geöffnet wird.",
    "fr": "Le meunier porte le blé à la roue du moulin chaque matin avant l'ouverture du marché.",
    "ru": "Мельник каждое утро несёт зерно к колесу у реки, прежде чем откроется рынок.",
}


@pytest.mark.parametrize("language", TEXTS)
def test_the_built_in_identifier_knows_a_sentence(language: str):
    found, score = make_identifier("resiliparse").identify(TEXTS[language])
    assert found == language
    assert 0.0 < score <= 1.0


@pytest.mark.parametrize("text", ["", " ", "1234 5678", "\n\n"])
def test_what_is_no_language_is_never_surely_one(text: str):
    assert make_identifier("resiliparse").identify(text)[1] < 0.2


@pytest.mark.parametrize("language", TEXTS)
def test_fasttext_knows_a_sentence_over_several_lines(language: str, data_folder: Path):
    model = str(data_folder / "models" / "lid.176.ftz")
    identifier = make_identifier("lid.176", model)
    found, score = identifier.identify(TEXTS[language].replace(",", ",\n"))
    assert (found, 0.5 < score <= 1.0) == (language, True)
    assert identifier.identify(TEXTS[language].replace(",", ",\n")) == identifier.identify(
        TEXTS[language].replace(",", ", ")
    )


def test_fasttext_answers_to_an_empty_text(data_folder: Path):
    found, score = make_identifier("lid.176", str(data_folder / "models" / "lid.176.ftz")).identify("")
    assert isinstance(found, str)
    assert 0.0 <= score <= 1.0


def test_a_missing_model_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"run `corpusmill fetch lid\.176` once"):
        find_model("lid.176", None)
    with pytest.raises(InputError, match=r"there is no file .*nowhere\.ftz"):
        find_model("lid.176", str(tmp_path / "nowhere.ftz"))
    assert identity("resiliparse", None) == "resiliparse"


def test_a_model_is_taken_into_the_cache_only_with_the_published_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_folder: Path
):
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "wrong").write_bytes(b"not the model")
    with pytest.raises(InputError, match="Nothing was kept"):
        fetch("lid.176", str(tmp_path / "wrong"))
    assert list((tmp_path / "cache").iterdir()) == []
    source = data_folder / "models" / "lid.176.ftz"
    kept = fetch("lid.176", str(source))
    assert (find_model("lid.176", None), kept.read_bytes()) == (str(kept), source.read_bytes())
    assert identity("lid.176", None) == identity("lid.176", str(source))
    kept.write_bytes(b"changed")
    with pytest.raises(InputError, match="is not the published"):
        find_model("lid.176", None)


@pytest.fixture
def model(data_folder: Path) -> str:
    return str(data_folder / "models" / "lid.176.ftz")


def test_each_wanted_language_has_its_own_score(model: str):
    surely = dict(map(make_identifier("lid.176", model).identify, TEXTS.values()))
    wanted = {"en": 0.3, "de": min(surely["de"] + 0.01, 1.0), "fr": 0.3}
    found = LanguageFilter(languages=wanted, model=model).judge_batch([*TEXTS.values(), None])
    assert found.to_pylist() == [None, "language_unsure", None, "language", None]
    assert found.type == pa.string()
    assert LanguageFilter(languages=wanted, model=model).judge_batch(pa.array(TEXTS.values())) == found[:4]


def test_a_least_score_that_no_text_has_is_refused():
    with pytest.raises(InputError, match=r"languages: found 65 for 'en'; expected a least score between 0 and 1"):
        LanguageFilter(languages={"en": 65})


@pytest.mark.parametrize(
    ("language", "score", "wanted", "reason"),
    [
        ("en", 0.65, {"en": 0.65}, None),
        ("en", 0.64, {"en": 0.65}, "language_unsure"),
        ("de", 0.64, {"en": 0.65}, "language"),
        ("de", 0.64, {"en": 0.65, "de": 0.5}, None),
        ("de", 0.64, {"en": 0.5, "de": 0.65}, "language_unsure"),
        ("de", 0.0, {}, None),
    ],
)
def test_a_text_is_judged_by_the_score_of_its_own_language(language: str, score: float, wanted, reason: str | None):
    verdict = language_verdicts(pa.array([language], pa.string()), pa.array([score], pa.float64()), wanted)
    assert verdict.to_pylist() == [reason]


def test_the_filter_judges_as_the_clean_stage_does(model: str):
    texts = pa.array([*TEXTS.values(), "1 2 3"], pa.large_string())
    empty = pa.nulls(len(texts), pa.string())
    batch = pa.RecordBatch.from_arrays(
        [texts, empty, empty, empty], ["text", "drop_reason", "drop_detail", "drop_stage"]
    )
    wanted = {"en": 0.65, "fr": 0.99}
    (judged,) = identified([batch], make_identifier("lid.176", model), wanted)
    alone = LanguageFilter(languages=wanted, model=model)
    assert judged.column("drop_reason") == alone.judge_rows(batch) == alone.judge_batch(texts)


def test_settings_travel_and_models_do_not(model: str):
    used = LanguageFilter(model=model)
    assert used.judge(TEXTS["en"]) is None
    again = pickle.loads(pickle.dumps(used))
    assert (again, "_model" in vars(again)) == (used, False)
    assert again.judge(TEXTS["de"]) == "language"


def test_only_the_beginning_of_a_long_text_is_asked(model: str):
    text = (TEXTS["en"] + "\n") * 200 + (TEXTS["de"] + "\n") * 2000
    assert make_identifier("lid.176", model).identify(text) == make_identifier("lid.176", model).identify(
        text[:MAX_CHARS]
    )
    assert make_identifier("lid.176", model).identify(text)[0] == "en"
    assert make_identifier("lid.176", model, max_chars=10**9).identify(text)[0] == "de"


@pytest.mark.parametrize(
    ("identifier", "wanted", "message"),
    [
        ("lid.176", "eng", r"'eng' is none of the 176 languages of lid\.176; near it: en$"),
        ("resiliparse", "xx", r"'xx' is none of the \d+ languages of resiliparse$"),
    ],
)
def test_a_language_that_a_model_does_not_know_is_refused(identifier: str, wanted: str, message: str, model: str):
    with pytest.raises(InputError, match=message):
        LanguageFilter(languages={wanted: 0.5}, identifier=identifier, model=model).judge("text")


def test_a_model_that_is_none_is_refused(tmp_path: Path):
    (tmp_path / "model.bin").write_bytes(b"no model")
    with pytest.raises(InputError, match="is not a fastText model"):
        make_identifier("fasttext", str(tmp_path / "model.bin"), wanted=["eng"])
    with pytest.raises(InputError, match="is whatever model you name"):
        make_identifier("fasttext")


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small fastText model with labels like GlotLID's, trained on the sentences above and one in two scripts."""
    folder = tmp_path_factory.mktemp("model")
    labels = {"en": "eng_Latn", "de": "deu_Latn", "fr": "fra_Latn", "ru": "rus_Cyrl"}
    lines = [f"__label__{labels[k]} {t}" for k, t in TEXTS.items()]
    lines += ["__label__srp_Latn mlinar nosi kukuruz na točak kraj reke svakog jutra"]
    lines += ["__label__srp_Cyrl млинар носи кукуруз на точак крај реке сваког јутра"]
    (folder / "train.txt").write_text("\n".join(lines * 40), encoding="utf-8")
    train = (
        "import fasttext, sys; m = fasttext.train_supervised(sys.argv[1], dim=8, epoch=20, minn=1, maxn=3, bucket=5000,"
        "lr=0.5, thread=1, verbose=0); m.save_model(sys.argv[2])"
    )
    # with memory that is not zero, training with one thread ends in NaN now and then
    environment = os.environ | {"MALLOC_PERTURB_": "255"}
    subprocess.run(
        [sys.executable, "-c", train, folder / "train.txt", folder / "model.bin"], check=True, env=environment
    )
    return str(folder / "model.bin")


def test_any_fasttext_model_of_languages_will_do(other_model: str):
    identifier = make_identifier("fasttext", other_model, wanted=["eng", "srp"])
    assert [identifier.identify(t)[0] for t in TEXTS.values()] == ["eng", "deu", "fra", "rus"]
    assert identity("fasttext", other_model).startswith("fasttext sha256:")
    assert LanguageFilter(languages={"eng": 0.5}, identifier="fasttext", model=other_model).judge(TEXTS["en"]) is None
    with pytest.raises(InputError, match=r"'en' is none of the 5 languages of fasttext; near it: eng"):
        make_identifier("fasttext", other_model, wanted=["en"])


def test_languages_are_told_apart_by_script_where_that_is_asked_for(other_model: str):
    latin, cyrillic = "mlinar nosi kukuruz svakog jutra", "млинар носи кукуруз сваког јутра"
    judge = LanguageFilter(languages={"srp_Latn": 0.5}, identifier="fasttext", model=other_model).judge
    assert (judge(latin), judge(cyrillic)) == (None, "language")
    both = LanguageFilter(languages={"srp": 0.5}, identifier="fasttext", model=other_model).judge
    assert (both(latin), both(cyrillic)) == (None, None)


def test_verdicts_are_those_of_datatroves_filter(data_folder: Path, model: str, monkeypatch: pytest.MonkeyPatch):
    """On main texts of real pages, sure, unsure and other; and hardly one differs for what lies after MAX_CHARS."""
    from resiliparse.extract.html2text import extract_plain_text

    from benchmarks.charset import html_pages
    from corpusmill.clean.page_charset import decode

    lid = pytest.importorskip("datatrove.utils.lid")
    from datatrove.data import Document
    from datatrove.pipeline.filters import LanguageFilter as Theirs

    monkeypatch.setattr(lid.FT176LID, "MODEL_URL", model)
    theirs = Theirs(languages=["en"], language_threshold=0.65)
    pages = html_pages(data_folder / "warc" / "sample-dev.warc.gz", 450)
    texts = [extract_plain_text(decode(*page)[0], main_content=True).strip() for page in pages]
    texts = [t.encode("utf-8", "replace").decode() for t in texts if t]
    documents = [Document(text=t, id="") for t in texts]
    kept = [bool(theirs.filter(d)) for d in documents]
    whole = FastTextIdentifier(model, max_chars=10**9)
    found = [whole.identify(t) for t in texts]
    names, scores = zip(*found, strict=True)
    reasons = language_verdicts(pa.array(names, pa.string()), pa.array(scores, pa.float64()), {"en": 0.65}).to_pylist()
    assert [r is None for r in reasons] == kept
    assert [f[0] for f in found] == [d.metadata["language"] for d in documents]
    assert {None, "language", "language_unsure"} == set(reasons)
    ours = LanguageFilter(model=model).judge_batch(texts).to_pylist()
    assert sum(a != b for a, b in zip(ours, reasons, strict=True)) <= 1

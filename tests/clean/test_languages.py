"""Which language: by the identifier that the recipe names, and by no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpusmill.clean.languages import fetch, find_model, identity, make_identifier
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

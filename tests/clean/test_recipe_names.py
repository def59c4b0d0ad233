"""Rules and editors are set by their names, and a rule may have other thresholds for some languages."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from corpusmill.clean import GopherQuality, measure
from corpusmill.clean.components import make_editors, make_rules
from corpusmill.errors import InputError
from corpusmill.recipe import Component, load_recipe, parse_recipe

THEIRS = "datatrove.pipeline.filters:GopherQualityFilter"


def rules_of(*overrides: str, recipe: str = "english"):
    return make_rules(load_recipe(recipe, overrides).clean.rules)


def test_a_rule_of_a_recipe_is_set_by_its_name():
    found = rules_of("clean.rules.gopher_quality.min_words=40")
    assert found == rules_of() | {"gopher_quality": GopherQuality(min_words=40)}
    renamed = 'clean.rules=[{use="gopher_quality", name="prose"}, {use="gopher_quality", name="long", min_words=900}]'
    found = rules_of(renamed, "clean.rules.long.max_words=1000")
    assert found == {"prose": GopherQuality(), "long": GopherQuality(min_words=900, max_words=1000)}


def test_a_default_rule_or_editor_is_set_by_its_name_in_a_recipe_that_names_none(tmp_path):
    (tmp_path / "bare.toml").write_text('name = "bare"\n')
    recipe = load_recipe(
        tmp_path / "bare.toml", ["clean.rules.gopher_quality.min_words=40", "clean.editors.ftfy.uncurl_quotes=true"]
    )
    assert make_rules(recipe.clean.rules) == {"gopher_quality": GopherQuality(min_words=40)}
    assert make_editors(recipe.clean.editors)["ftfy"].uncurl_quotes is True
    assert make_rules(parse_recipe({}).clean.rules) == {"gopher_quality": GopherQuality()}


def test_a_name_may_have_dots_in_it():
    found = load_recipe("english", [f'clean.rules=[{{use="{THEIRS}"}}]', f"clean.rules.{THEIRS}.min_doc_words=300"])
    assert found.clean.rules[0].settings == {"min_doc_words": 300}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("clean.rules.gopher_qualty.min_words=40", "has no rule named 'gopher_qualty'; did you mean 'gopher_quality'?"),
        ("clean.editors.ftyf.x=1", "has no editor named 'ftyf'; did you mean 'ftfy'?"),
        ("clean.rules.gopher_quality=40", "say which setting of 'gopher_quality'"),
        ("stages.clean.x=1", "'stages' is not a table; lists are set whole"),
        (
            "clean.rules.gopher_quality.languages.de.min_alpha=1",
            r"languages.de.min_alpha: no such setting; did you mean",
        ),
        ("clean.rules.gopher_quality.languages.de=1", "expected a table for each language"),
        (
            "clean.rules.gopher_quality.min_word=40",
            r"clean.rules\[1\].min_word: no such setting; did you mean 'min_words'",
        ),
    ],
)
def test_a_mistake_is_one_sentence(override: str, said: str):
    with pytest.raises(InputError, match=said):
        rules_of(override)


def test_rows_of_a_language_are_judged_by_its_own_thresholds():
    component = Component(
        use="gopher_quality", min_words=4, min_stop_words=0, languages={"de": {"min_words": 2}, "zh": {}}
    )
    rule = make_rules([component])["gopher_quality"]
    texts = pa.array(["three words here"] * 4 + ["one"], pa.large_string())
    languages = pa.array(["de", "en", None, "zh", "de"])
    batch = pa.RecordBatch.from_pydict({"language": languages, "measures": measure(texts)})
    few = "too_few_words"
    assert rule.judge_rows(batch).to_pylist() == [None, few, few, few, few]
    assert rule.judge_rows(batch.slice(0, 0)).to_pylist() == []


@pytest.mark.parametrize("name", ["english", "sample", "german", "chinese", "japanese"])
def test_packaged_recipes_have_rules_that_stand(name: str):
    recipe = load_recipe(name)
    assert make_rules(recipe.clean.rules)
    assert make_editors(recipe.clean.editors)


@pytest.mark.parametrize(
    ("name", "language", "file"),
    [("german", "de", "deu_1901"), ("chinese", "zh", "cmn_hans"), ("japanese", "ja", "jpn")],
)
def test_a_recipe_in_the_manner_of_fineweb_2_keeps_articles_and_drops_repetition(
    name: str, language: str, file: str, data_folder: Path
):
    with zipfile.ZipFile(data_folder / "language" / "udhr2.zip") as declarations:
        lines = declarations.read(f"udhr2/{file}.txt").decode().splitlines()
    sentences = [line.strip() for line in lines if len(line.strip()) > 60]
    texts = pa.array(["\n".join(sentences), "\n".join(sentences[-3:] * 9)], pa.large_string())
    batch = pa.RecordBatch.from_pydict({"language": [language] * 2, "measures": measure(texts)})
    found = {rule: judge.judge_rows(batch).to_pylist() for rule, judge in rules_of(recipe=name).items()}
    assert found == {
        "gopher_repetition": [None, "duplicate_lines"],
        "fineweb_quality": [None, "duplicate_line_chars"],
        "gopher_quality": [None, None],
    }

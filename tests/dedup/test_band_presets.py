"""A preset fills what a recipe does not say, and leaves no other trace."""

from __future__ import annotations

import pytest

from corpusmill.dedup.band_presets import PRESETS
from corpusmill.errors import InputError
from corpusmill.recipe import Dedup, load_recipe, parse_recipe


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("fineweb", ("words", 5, 14, 8)),
        ("refinedweb", ("words", 5, 450, 20)),
        ("nemo", ("chars", 24, 20, 13)),
        ("redpajama_v2", ("words", 13, 9, 13)),
    ],
)
def test_presets_are_the_published_shapes(name: str, shape: tuple[str, int, int, int]):
    dedup = load_recipe("english", [f"dedup.preset={name}"]).dedup
    assert (dedup.shingle, dedup.shingle_size, dedup.bands, dedup.rows) == shape


@pytest.mark.parametrize("name", PRESETS)
def test_a_recipes_own_keys_win(name: str):
    dedup = parse_recipe({"dedup": {"preset": name, "rows": 3, "seed": 7}}).dedup
    assert (dedup.rows, dedup.seed, dedup.bands) == (3, 7, PRESETS[name]["bands"])


def test_a_preset_and_its_keys_written_out_are_the_same_settings():
    named = parse_recipe({"dedup": {"preset": "nemo"}}).dedup.model_dump()
    assert named == Dedup(**PRESETS["nemo"]).model_dump()
    assert parse_recipe({"dedup": {"preset": "fineweb"}}).dedup.model_dump() == Dedup().model_dump()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"preset": "finweb"}, "dedup.preset: found 'finweb': no preset of that name; did you mean 'fineweb'?"),
        ({"preset": "zzz"}, "no preset of that name; expected one of .*fineweb, nemo, redpajama_v2, refinedweb"),
        ({"preset": 3}, "dedup.preset: found 3: input should be a valid string"),
        ({"preset": "nemo", "band": 3}, "dedup.band: no such key; did you mean 'bands'?"),
        ({"preset": "nemo", "rows": 0}, "dedup.rows: found 0: input should be greater than 0"),
        ({"shingle": "letters"}, "dedup.shingle: found 'letters': input should be 'words' or 'chars'"),
    ],
)
def test_mistakes_are_told_with_the_key_and_the_nearest_right_value(values: dict[str, object], sentence: str):
    with pytest.raises(InputError, match=sentence.replace("?", r"\?")):
        parse_recipe({"dedup": values})

"""docs/semantic.md: its recipes are read, and its Python makes embeddings that a run can use."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from semantic_runs import write_documents

from corpusmill.dedup.semantic_duplicates import find_semantic_duplicates
from corpusmill.recipe import Semantic, parse_recipe

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "semantic.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.S)


@pytest.mark.parametrize("recipe", [text for kind, text in BLOCKS if kind == "toml"])
def test_a_recipe_of_the_page_is_one_and_its_values_are_the_defaults(recipe: str):
    found = parse_recipe(tomllib.loads(recipe)).dedup.semantic
    assert found == Semantic(embeddings=found.embeddings)


def test_the_python_of_the_page_writes_embeddings_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    words = [{"id": str(i), "text": text} for i, text in enumerate(["the mill", "the mill", "a river", ""])]
    run = write_documents(tmp_path / "runs/first", [words[:2], words[2:]])
    monkeypatch.chdir(tmp_path)
    (code,) = (text for kind, text in BLOCKS if kind == "python")

    def embed(texts: list[str]) -> np.ndarray:
        return np.array([[t.count("m"), t.count("r"), 1 if t else 0] for t in texts], np.float32)

    exec(code, {"embed": embed})
    settings = Semantic(embeddings="embeddings/*.parquet", missing="keep", keep="survivor")
    found = find_semantic_duplicates(run, [0, 1], settings, np.zeros(0, np.int64), "longest")
    assert found.removed.column("id").to_pylist() == ["1"]
    assert (found.counts["usable"], found.counts["zero_embedding"]) == (3, 1)

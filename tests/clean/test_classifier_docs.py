"""docs/classifiers.md: its recipes are read, its models found, and its Python runs."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from corpusmill.clean.components import make_rules, make_scorers
from corpusmill.clean.document_flow import DocumentFlow
from corpusmill.clean.scorers.scoring import SCORERS, check_rules_on_scores
from corpusmill.recipe import parse_recipe

PAGE = Path(__file__).resolve().parents[2] / "docs" / "classifiers.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
RECIPES = [text for kind, text in BLOCKS if kind == "toml"]
QUESTION = "Janet sells sixteen duck eggs a day at the market. How much does she make every week of the year?"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all the files that the page speaks of. Models are not loaded before the first batch."""
    monkeypatch.chdir(tmp_path)
    for name in ("quality.bin", "en.arpa", "fineweb-edu-classifier/config.json", "toxicity/model.onnx"):
        (tmp_path / "models" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "models" / name).write_text("{}")
    (tmp_path / "models/toxicity/tokenizer.json").write_text("{}")
    (tmp_path / "lists/ldnoobw").mkdir(parents=True)
    (tmp_path / "lists/ldnoobw/en").write_text("darn\n")
    (tmp_path / "eval/arc").mkdir(parents=True)
    (tmp_path / "eval/gsm8k-test.jsonl").write_text(json.dumps({"question": QUESTION, "answer": "12"}))
    row = {"id": "a1", "question": {"stem": QUESTION.replace("duck", "hen"), "choices": [{"text": "none"}]}}
    (tmp_path / "eval/arc/test.jsonl").write_text(json.dumps(row))
    return tmp_path


def extra_of(recipe: str) -> list[str]:
    return [m for use, m in (('"kenlm"', "kenlm"), ('"onnx"', "onnxruntime")) if use in recipe]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: re.findall(r'use = "(\w+)"', r)[0])
def test_a_recipe_of_the_page_can_be_used(here: Path, recipe: str):
    for module in extra_of(recipe):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    clean = parse_recipe(tomllib.loads(recipe)).clean
    scorers = make_scorers(clean.scorers)
    check_rules_on_scores(make_rules(clean.rules), scorers)
    assert clean.scorers or clean.rules


def test_every_scorer_stands_on_the_page():
    assert {use for use in SCORERS if f"| `{use}` |" not in PAGE.read_text()} == set()


def test_documents_are_dropped_as_the_page_says(here: Path):
    wanted = {"clean": {"language": {"identifier": "resiliparse", "wanted": {}}, "extract": {"engine": "resiliparse"}}}
    for text in RECIPES:
        found = tomllib.loads(text)["clean"]
        if any(r["use"] in ("bad_words", "decontaminate") for r in found.get("rules", ())):
            wanted["clean"].setdefault("rules", []).extend(found["rules"])  # type: ignore[arg-type]
    flow = DocumentFlow(parse_recipe(wanted).clean)
    texts = [f"The page asks: {QUESTION}", "Oh darn, the wheel broke", "The mill stands by the river"]
    (out,) = flow([pages_of(texts)])
    assert out.column("drop_reason").to_pylist() == ["contaminated", "bad_words", None]
    detail = out.column("drop_detail").to_pylist()
    assert detail[0].startswith("gsm8k-test: item 1: 'janet sells sixteen duck eggs a day at the market how much")
    assert detail[1] == "darn"


def pages_of(texts: list[str]) -> pa.RecordBatch:
    from corpusmill.schemas import PAGES

    columns: dict[str, Any] = {f.name: pa.nulls(len(texts), f.type) for f in PAGES}
    columns |= {"text": pa.array(texts, pa.large_string()), "id": pa.array(list("abc")[: len(texts)])}
    return pa.RecordBatch.from_arrays([columns[f.name] for f in PAGES], schema=PAGES)


def test_the_python_of_the_page_runs(here: Path):
    names: dict[str, Any] = {}
    for kind, text in BLOCKS:
        if kind == "python":
            exec(text, names)
    assert names["rule"].judge(QUESTION) == "contaminated"
    found = names["Shouting"]().score_batch(pa.array(["ABcd", ""]), None)
    assert found[""].tolist() == [0.5, 0.0]

"""Each rule and editor works alone: on a text, a batch, in Spark and in datatrove; the page that says so is run."""

from __future__ import annotations

import inspect
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import corpusmill.clean
from corpusmill.clean import GopherQuality, LanguageFilter, PiiMask, Rule, UrlFilter, as_datatrove, as_spark_udf
from corpusmill.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/use-a-single-filter.md"
BLOCKS = re.findall(r"^```python(?: (\w+))?\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

TEXTS = [
    "too short", None, "", "The mill that stands by the river has ground the corn of the village for years.\n" * 9,
    "SHOUTED AT YOU\nthe mill[1] and me@mill.org, or (415) 555-2671 {\nWe use cookies on this site.", "中文。" * 40,
]  # fmt: skip


def exported(method: str) -> dict[str, Any]:
    """What corpusmill.clean exports that has this method and needs no argument, by name."""
    classes = {n: getattr(corpusmill.clean, n) for n in corpusmill.clean.__all__}
    return {
        name: found()
        for name, found in classes.items()
        if inspect.isclass(found) and hasattr(found, method) and not inspect.isabstract(found) and _needs_nothing(found)
    }


def _needs_nothing(found: type) -> bool:
    empty = inspect.Parameter.empty
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return all(p.default is not empty or p.kind in kinds for p in inspect.signature(found).parameters.values())


RULES = {name: rule for name, rule in exported("judge_batch").items() if isinstance(rule, Rule)}
FILTERS = {
    "LanguageFilter": LanguageFilter(languages={"en": 0.5}, identifier="resiliparse"),
    "UrlFilter": UrlFilter(banned_words=("mill",)),
}
EDITORS = exported("edit_batch")


@pytest.fixture(scope="module")
def spark(java: str) -> Iterator[Any]:
    pytest.importorskip("pyspark")
    from pyspark.sql import SparkSession

    place = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH")) if p)
    before = dict(os.environ)
    os.environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1", "PYTHONPATH": place}
    session = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    yield session
    session.stop()
    os.environ.clear()
    os.environ |= before


@pytest.mark.parametrize("name", RULES | FILTERS)
def test_a_rule_judges_lists_arrays_and_series_as_it_judges_each_text(name: str):
    rule = (RULES | FILTERS)[name]
    expected = [None if t is None else rule.judge(t) for t in TEXTS]
    array = pa.array(TEXTS, pa.string())
    chunked = pa.chunked_array([array[:2], array[2:]])
    categories = (array.dictionary_encode(), pd.Series(TEXTS, dtype="category"))
    for batch in (TEXTS, array, array.cast(pa.large_string()), chunked, pd.Series(TEXTS), *categories):
        found = rule.judge_batch(batch)
        assert pa.types.is_string(found.type)
        assert found.to_pylist() == expected
    assert rule.judge_batch(array[1:4]).to_pylist() == expected[1:4]
    again = pickle.loads(pickle.dumps(rule))
    assert again.judge_batch(TEXTS).to_pylist() == expected
    assert again == rule or name == "UrlFilter"


@pytest.mark.parametrize("name", EDITORS)
def test_an_editor_edits_lists_arrays_and_series_as_it_edits_each_text(name: str):
    editor = EDITORS[name]
    edits = [None if t is None else editor.edit(t) for t in TEXTS]
    expected = [None if e is None or e.drop_reason else e.text for e in edits]
    for batch in (TEXTS, pa.array(TEXTS, pa.string()), pd.Series(TEXTS)):
        assert editor.edit_batch(batch).to_pylist() == expected
    assert pickle.loads(pickle.dumps(editor)) == editor


def test_spark_gives_what_a_batch_gives(spark: Any):
    blocks = RULES | FILTERS | EDITORS | {"masked": PiiMask(style="example")}
    frame = spark.createDataFrame([(i, t) for i, t in enumerate(TEXTS)], "i int, text string").coalesce(1)
    rows = frame.select("i", *(as_spark_udf(block)("text").alias(name) for name, block in blocks.items())).collect()
    found = {row["i"]: row.asDict() for row in rows}
    for name, block in blocks.items():
        apply = getattr(block, "judge_batch", None) or block.edit_batch
        assert [found[i][name] for i in range(len(TEXTS))] == apply(TEXTS).to_pylist(), name


def test_spark_of_older_versions_gives_the_same_through_pandas(spark: Any, monkeypatch: pytest.MonkeyPatch):
    import pyspark.sql.functions as functions

    monkeypatch.delattr(functions, "arrow_udf")
    frame = spark.createDataFrame([(i, t) for i, t in enumerate(TEXTS)], "i int, text string").coalesce(1)
    rows = frame.select("i", as_spark_udf(PiiMask())("text").alias("text")).orderBy("i").collect()
    assert [row["text"] for row in rows] == PiiMask().mask_batch(TEXTS).to_pylist()


@pytest.mark.parametrize("name", RULES | EDITORS)
def test_a_datatrove_block_passes_and_drops_the_same(name: str):
    pytest.importorskip("datatrove")
    from datatrove.data import Document

    block = (RULES | EDITORS)[name]
    texts = [t for t in TEXTS if t]
    step = as_datatrove(block)
    found = {d.id: d.text for d in step.run([Document(t, str(i)) for i, t in enumerate(texts)])}
    if name in RULES:
        reasons = block.judge_batch(texts).to_pylist()
        assert found == {str(i): texts[i] for i, reason in enumerate(reasons) if reason is None}
        for reason in filter(None, reasons):
            assert step.stats.stats[f"dropped_{reason}"].total == reasons.count(reason)
    else:
        edited = block.edit_batch(texts).to_pylist()
        assert found == {str(i): text for i, text in enumerate(edited) if text is not None}
        for kind, count in block.edit(texts[-2]).changes.items():
            assert step.stats.stats[kind].total >= count


def test_a_url_filter_in_datatrove_reads_the_address():
    pytest.importorskip("datatrove")
    from datatrove.data import Document

    documents = [
        Document("t", str(i), metadata={"url": u})
        for i, u in enumerate(["https://a.example/x", "https://b.example/casino"])
    ]
    assert [d.id for d in as_datatrove(UrlFilter(banned_words=("casino",))).run(documents)] == ["0"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: GopherQuality(min_words="40"),
            "GopherQuality: min_words: found '40': input should be",
        ),
        (lambda: PiiMask(kinds=("emial",)), "PiiMask: kinds: found 'emial': input should be 'email', 'ip'"),
        (lambda: PiiMask(action="dorp"), "PiiMask: action: found 'dorp': input should be 'mask', 'drop' or 'count'"),
        (lambda: LanguageFilter(languages=["en"]), "LanguageFilter: languages: found .* a valid dictionary"),
        (lambda: LanguageFilter(identifier="lid17").judge("a"), "none is named 'lid17'; did you mean 'lid.176'"),
        (
            lambda: UrlFilter(banned_words="casino"),
            r"found 'casino'; expected a list, as in \['casino'\]",
        ),
        (lambda: GopherQuality().judge_batch("one text"), "expected a batch of texts, found one text"),
        (lambda: UrlFilter().judge_batch("https://a.example/"), "expected a batch of texts, found one text"),
        (lambda: PiiMask().mask_batch(pa.array([1, 2])), "expected a batch of texts, found a column of int64"),
        (lambda: PiiMask().mask_batch(pd.Series([1, 2])), "expected a batch of texts, found something else"),
    ],
)
def test_a_wrong_value_is_refused_in_a_sentence(make: Any, said: str):
    with pytest.raises(InputError, match=said):
        make()


def test_a_list_may_stand_for_a_tuple():
    assert PiiMask(kinds=["email"]).mask("me@mill.org, +44 20 7946 0958") == "[EMAIL], +44 20 7946 0958"


def test_what_is_neither_rule_nor_editor_is_refused_in_a_sentence():
    with pytest.raises(InputError, match="as_spark_udf: list has neither judge_batch nor edit_batch"):
        as_spark_udf([])
    with pytest.raises(InputError, match="as_datatrove: list has neither judge_batch nor edit"):
        as_datatrove([])


def test_the_page_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for needs, code in BLOCKS:
        if not needs:
            exec(code, names)
    assert len([1 for needs, _ in BLOCKS if not needs]) == 6


def test_the_page_runs_in_datatrove(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("datatrove")
    monkeypatch.chdir(tmp_path)
    [code] = [code for needs, code in BLOCKS if needs == "datatrove"]
    exec(code, {})
    [written] = (tmp_path / "kept").iterdir()
    assert "[EMAIL]" in written.read_text()
    assert "too short" not in written.read_text().lower()


def test_the_page_runs_in_spark(spark: Any):
    [code] = [code for needs, code in BLOCKS if needs == "spark"]
    exec(code, {})


def test_the_table_of_the_page_names_what_is_exported():
    names = set(re.findall(r"`(\w+)`", PAGE.read_text(encoding="utf-8").split("## What there is")[1].split("##")[0]))
    assert names >= RULES.keys() | EDITORS.keys()


def test_using_one_on_a_text_loads_no_heavy_library():
    heavy = "{'torch', 'pyspark', 'transformers', 'datatrove', 'fasttext', 'trafilatura'}"
    code = (
        "import sys; from corpusmill.clean import *; from corpusmill.clean import PiiMask, GopherQuality\n"
        "PiiMask().mask('a@mill.org'); GopherQuality().judge('so')\n"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

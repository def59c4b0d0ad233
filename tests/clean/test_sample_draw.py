"""The sample for annotators: the same for a seed, never more than there is, and weights that make up for the draw."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from annotation_runs import row, write_run
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.clean.annotation.sample_draw import allocate, deal, draw
from corpusmill.clean.annotation.sample_settings import SampleSettings, checked
from corpusmill.errors import InputError
from corpusmill.ledger import StageLedger
from corpusmill.mill import open_mill
from corpusmill.recipe import load_recipe
from corpusmill.storage import Folder


def pages(first: int, count: int, **more: Any) -> list[dict[str, Any]]:
    return [row(i, f"page {i} " * (1 + i % 9), **more) for i in range(first, first + count)]


def dropped(first: int, count: int, reason: str, **more: Any) -> list[dict[str, Any]]:
    return pages(first, count, drop_reason=reason, drop_detail="x", drop_stage="clean", **more)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """300 kept, 60 too short, of which 15 texts are stored, 40 of another language, 7 with no text."""
    unread = [
        row(i, None, had_text=f"short {i}", drop_reason="too_few_words", drop_detail="x", drop_stage="clean")
        for i in range(1045, 1090)
    ]
    bare = [row(i, None, drop_reason="http_status", drop_detail="404", drop_stage="ingest") for i in range(3000, 3007)]
    return write_run(
        tmp_path_factory.mktemp("draw") / "run",
        [
            (pages(0, 200), dropped(1030, 15, "too_few_words") + unread + bare),
            (pages(200, 100, language="de"), dropped(2000, 40, "language", language="fr")),
        ],
    )


def strata_of(run: Folder, **chosen: Any) -> dict[str, tuple[int, int, int]]:
    found = draw(run, checked(SampleSettings(**chosen)))
    return {s["stratum"]: (s["pages"], s["readable"], s["drawn"]) for s in found.strata}


def test_strata_count_pages_with_a_text_and_those_whose_text_is_stored(run: Folder):
    assert strata_of(run, size=50) == {
        "dropped/language/fr": (40, 40, 5),
        "dropped/too_few_words/en": (60, 15, 8),
        "kept/de": (100, 100, 12),
        "kept/en": (200, 200, 25),
    }


def test_pages_without_a_text_are_counted_by_reason_and_never_drawn(run: Folder):
    found = draw(run, SampleSettings(size=10_000))
    assert found.no_text == {"http_status": 7}
    assert len(found.items) == 300 + 15 + 40


def test_weights_add_up_to_the_pages_of_each_stratum(run: Folder):
    found = draw(run, SampleSettings(size=37))
    sums = Counter[str]()
    for item in found.items:
        sums[str(item.stratum)] += item.weight
    assert dict(sums) == pytest.approx({s["stratum"]: s["pages"] for s in found.strata})


def test_the_same_seed_gives_the_same_sample_and_another_one_another(run: Folder):
    once, again, other = (draw(run, SampleSettings(size=40, seed=s)).items for s in (1, 1, 2))
    assert once == again
    assert {i.address for i in once} != {i.address for i in other}


def test_the_order_of_items_says_nothing_about_their_stratum(run: Folder):
    """The first half is what a share of 0.5 gives to several annotators: it must stand for all."""
    halves = [draw(run, SampleSettings(size=40, allocation="equal", seed=s)).items[:20] for s in range(30)]
    kept = np.mean([sum(i.kind == "documents" for i in half) for half in halves])
    assert kept == pytest.approx(10, abs=1)


def test_allocations_do_what_they_are_called(run: Folder):
    equal = strata_of(run, size=60, allocation="equal")
    assert {n: v[2] for n, v in equal.items()} == dict.fromkeys(equal, 15)
    shares = strata_of(run, size=40, allocation="proportional")
    assert [v[2] for v in shares.values()] == [4, 6, 10, 20]


def test_too_small_a_sample_for_its_strata_says_what_would_do(run: Folder):
    with pytest.raises(InputError, match=r"8 items are too few for 4 strata with at least 3 each.*Give --size 12"):
        draw(run, SampleSettings(size=8))


def test_rare_languages_are_one_stratum_and_quantiles_divide(run: Folder):
    assert set(strata_of(run, size=50, languages=1)) == {
        *("dropped/language/other", "dropped/too_few_words/en", "kept/en", "kept/other")
    }
    divided = strata_of(run, size=80, languages=0, measure="words", quantiles=3)
    assert sum(v[0] for v in divided.values()) == 400
    assert any(n.startswith("kept/words up to ") for n in divided)
    assert any(n.startswith("kept/words above ") for n in divided)


def test_a_measure_that_nobody_has_is_one_sentence(run: Folder):
    with pytest.raises(InputError, match=r"no page of .* has a value of 'wrods'; did you mean 'words'"):
        draw(run, SampleSettings(measure="wrods"))


def test_removed_duplicates_are_not_drawn(web: Path, tmp_path: Path):
    out = tmp_path / "run"
    recipe = load_recipe("sample", ["clean.dropped_text=all", "stages=['clean','dedup']"])
    with open_mill(str(out), recipe, inputs=[str(web)], workers=1) as mill:
        for stage in recipe.stages:
            mill.run(stage)
    removed = set(pq.read_table(out / "removed/part-00000.parquet")["address"].to_pylist())
    found = draw(Folder(str(out)), SampleSettings(size=10_000))
    assert found.removed == len(removed) > 0
    kept = {i.address for i in found.items if i.kind == "documents"}
    assert not kept & removed
    assert len(kept) == StageLedger(Folder(str(out)), "clean").require_manifest()["counts"]["documents"] - len(removed)


@pytest.fixture(scope="module")
def skewed(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Two hosts with 60 pages each and 60 with one; the large hosts' pages are long."""
    rows = [row(i, "w " * 90, host=f"large-{i % 2}.example") for i in range(120)]
    rows += [row(i, "w " * 10) for i in range(120, 180)]
    return write_run(tmp_path_factory.mktemp("skewed") / "run", [(rows, [])])


def test_a_cap_on_hosts_holds_and_weights_make_up_for_it(skewed: Folder):
    long = set(range(120))
    shares = []
    for seed in range(150):
        found = draw(skewed, SampleSettings(size=24, languages=0, max_per_host=5, seed=seed)).items
        assert len(found) == 24
        assert max(Counter(a % 2 for a in (i.address for i in found) if a in long).values(), default=0) <= 5
        shares.append(sum(i.weight for i in found if i.address in long) / 180)
    assert np.mean(shares) == pytest.approx(120 / 180, abs=0.04)  # unbiased, though most items are of small hosts


def test_estimates_over_many_seeds_are_right_on_average(run: Folder):
    """The share of kept pages whose number ends in 7, by weights, against the truth: 10%."""
    shares = []
    for seed in range(200):
        items = [i for i in draw(run, SampleSettings(size=40, seed=seed)).items if i.kind == "documents"]
        ends = [(i.address % (1 << 32) + 200 * (i.address >> 32)) % 10 == 7 for i in items]
        shares.append(sum(i.weight for i, e in zip(items, ends, strict=True) if e) / 300)
    assert np.mean(shares) == pytest.approx(0.1, abs=0.012)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=12),
    st.integers(1, 300),
    st.sampled_from(["at_least", "proportional", "equal"]),
)
def test_allocation_gives_out_all_and_never_more_than_there_is(
    sizes: list[tuple[int, int]], size: int, allocation: Any
):
    pages_, available = [a + b for a, b in sizes], [b for _, b in sizes]
    chosen = SampleSettings(size=size, allocation=allocation, min_per_stratum=2)
    try:
        given_ = allocate(pages_, available, chosen)
    except InputError:
        assert sum(min(b, 2) for b in available) > min(size, sum(available))
        return
    assert sum(given_) == min(size, sum(available))
    assert all(0 <= g <= a for g, a in zip(given_, available, strict=True))
    if allocation == "at_least":
        assert all(g >= min(2, a) for g, a in zip(given_, available, strict=True))


def test_all_annotators_get_all_items_unless_told_otherwise():
    assert deal(3, SampleSettings(annotators=("a", "b"))) == [("a", "b")] * 3


def test_a_share_is_dealt_to_several_and_the_rest_in_turn():
    dealt = deal(10, SampleSettings(annotators=("a", "b", "c"), overlap=0.3, labels_per_item=2))
    assert dealt[:3] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert dealt[3:] == [("a",), ("b",), ("c",), ("a",), ("b",), ("c",), ("a",)]


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"size": 0}, "size: found 0; expected 1 or more"),
        ({"allocation": "fair"}, "allocation: found 'fair'"),
        ({"overlap": 1.5}, "overlap: found 1.5; expected a share from 0 to 1"),
        ({"quantiles": 1}, "quantiles: found 1; expected 2 or more"),
        ({"max_per_host": 0}, "max_per_host: found 0"),
        ({"max_chars": 40_000}, "max_chars: found 40000; a spreadsheet's cell holds 30,000"),
        ({"labels_per_item": 2}, "labels_per_item: found 2; name annotators as well"),
        ({"annotators": ("a",), "labels_per_item": 2}, "labels_per_item: found 2; expected 1 to 1"),
        ({"annotators": ("../x",)}, "annotators: '../x' cannot name a file"),
        ({"annotators": ("anna", "Anna")}, "is named twice"),
    ],
)
def test_a_setting_that_cannot_be_is_one_sentence(chosen: dict[str, Any], said: str):
    with pytest.raises(InputError, match=said.replace("[", r"\[")):
        checked(SampleSettings(**chosen))


def test_a_run_without_a_clean_stage_is_one_sentence(tmp_path: Path):
    with pytest.raises(InputError, match="has no finished clean stage"):
        draw(Folder(str(tmp_path)), SampleSettings())


def test_a_run_with_no_text_is_one_sentence(tmp_path: Path):
    bare = [row(1, None, drop_reason="http_status", drop_detail="404", drop_stage="ingest")]
    with pytest.raises(InputError, match="no page with a stored text"):
        draw(write_run(tmp_path / "run", [([], bare)]), SampleSettings())

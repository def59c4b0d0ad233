"""A text finds the documents that are like it, and what became of them; strangers it does not find."""

from __future__ import annotations

from pathlib import Path

import pytest
from near_runs import edited, prose, text_run

from corpusmill.dedup import near_texts as module
from corpusmill.dedup.near_texts import near_texts, signed_run
from corpusmill.engines import make_engine
from corpusmill.errors import InputError
from corpusmill.storage import Folder

TEXT = prose(400, 99)
LONGER = TEXT + " and some words more at the end"
PARTS = [
    {"other": prose(400, 1), "stays": LONGER},
    {"gone": TEXT, "far": prose(300, 2), "apart": edited(TEXT, 200)},
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return text_run(tmp_path_factory.mktemp("near"), PARTS)


def test_a_text_finds_its_copy_and_what_it_went_for(run: Folder):
    signed, settings = signed_run(run)
    found = near_texts(make_engine("local", 1, run), signed, TEXT.upper(), settings["verify"], 10)
    copy, longer = found.near
    assert (copy.id, copy.exact, copy.similarity, copy.fate) == ("gone", True, 1.0, "removed")
    assert (copy.representative_id, copy.why) == ("stays", "near_duplicate")
    assert (copy.part, copy.row, copy.crawl) == (1, 0, None)
    assert (longer.id, longer.exact, longer.fate, longer.part, longer.row) == ("stays", False, "stayed", 0, 1)
    assert 0.9 < longer.similarity < 1.0
    assert found.found == 2


def test_threshold_and_top_bound_the_answer(run: Folder):
    signed, _ = signed_run(run)
    engine = make_engine("local", 1, run)
    assert [n.id for n in near_texts(engine, signed, TEXT, 1.0, 10).near] == ["gone"]
    assert [n.id for n in near_texts(engine, signed, TEXT, 0.5, 1).near] == ["gone"]
    assert near_texts(engine, signed, prose(200, 5), 0.0, 10).near == []


def test_only_those_that_share_most_bands_are_compared(run: Folder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_CANDIDATES", 1)
    found = near_texts(make_engine("local", 1, run), signed_run(run)[0], TEXT, 0.5, 10)
    assert (found.candidates, found.verified, [n.id for n in found.near]) == (2, 1, ["gone"])


def test_a_text_without_words_and_a_run_without_dedup_are_told_in_a_sentence(run: Folder, tmp_path: Path):
    with pytest.raises(InputError, match="has no word"):
        near_texts(make_engine("local", 1, run), signed_run(run)[0], " ... ", 0.5, 10)
    with pytest.raises(InputError, match="no finished dedup stage"):
        signed_run(Folder(str(tmp_path)))

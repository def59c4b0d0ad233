"""Intervals of shares: known values, and wider where draws hang together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dedup.intervals import share_of, wilson


@pytest.mark.parametrize(
    ("share", "size", "low", "high"), [(0.0, 10, 0.0, 0.2775), (0.5, 10, 0.2366, 0.7634), (1.0, 500, 0.9924, 1.0)]
)
def test_published_intervals_come_out(share: float, size: int, low: float, high: float):
    assert wilson(share, size) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.data())
def test_an_interval_holds_its_share_and_groups_never_narrow_it(yes: list[bool], data: st.DataObject):
    groups = np.array(data.draw(st.lists(st.integers(0, 5), min_size=len(yes), max_size=len(yes))))
    alone, together = share_of(np.array(yes)), share_of(np.array(yes), groups)
    assert alone["share"] == together["share"]
    assert 0 <= together["low"] <= alone["low"] + 1e-6
    assert alone["low"] <= alone["share"] <= alone["high"]
    assert alone["high"] - 1e-6 <= together["high"] <= 1


def test_ten_draws_that_say_the_same_in_each_of_two_groups_count_as_few():
    yes, groups = np.repeat([True, False], 10), np.repeat([0, 1], 10)
    assert share_of(yes, groups)["low"] < share_of(yes)["low"]


def test_of_nothing_there_is_no_share():
    assert share_of(np.zeros(0, bool)) == {"share": None, "low": None, "high": None}

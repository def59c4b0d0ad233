"""Permutation, mixture and growth: each a bijection, even, and the same forwards and backwards."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_corpora import arrays

from corpusmill.errors import InputError
from corpusmill.train.stream.mixture import LONGEST_PERIOD, Pattern
from corpusmill.train.stream.permutation import inverse, permute, round_keys
from corpusmill.train.stream.sample_order import SampleOrder
from corpusmill.train.stream.source_order import SourceOrder

SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 63, 64, 65, 1000, 4096, 4097, 100_003]


@pytest.mark.parametrize("size", SIZES)
def test_the_permutation_is_a_bijection_of_any_size_and_its_inverse_undoes_it(size: int) -> None:
    keys = round_keys("fingerprint", 1, 0)
    images = permute(0, size, size, keys)
    assert np.array_equal(np.sort(images), np.arange(size))
    assert np.array_equal(inverse(images, size, keys), np.arange(size))


def test_the_permutation_of_a_thousand_million_million_rows_can_be_asked_anywhere() -> None:
    size, keys = 10**15, round_keys("large")
    images = permute(size - 1000, 1000, size, keys)
    assert len(np.unique(images)) == 1000
    assert images.max() < size
    assert np.array_equal(inverse(images, size, keys), np.arange(size - 1000, size))


@pytest.mark.parametrize("key", range(5))
def test_the_permutation_is_uniform_and_has_no_runs(key: int) -> None:
    size = 100_000
    images = permute(0, size, size, round_keys("quality", key))
    assert int((np.abs(np.diff(images)) == 1).sum()) < 15  # 2 expected of a random order
    ascending = np.flatnonzero(np.diff(images) < 0)
    assert np.diff(ascending).max() < 12  # the longest ascending run: 8 expected
    for lag in (1, 2, 3, 16, 256):
        assert abs(np.corrcoef(images[:-lag], images[lag:])[0, 1]) < 0.02
    # where the images of each hundredth of the indices fall, in hundredths: chi-squared with 9,801 degrees of freedom
    table, _, _ = np.histogram2d(np.arange(size), images, bins=100)
    expected = size / 10_000
    assert 9_801 - 6 * 140 < ((table - expected) ** 2 / expected).sum() < 9_801 + 6 * 140
    displaced = np.abs(images - np.arange(size)).mean() / size
    assert abs(displaced - 1 / 3) < 0.01


def test_the_permutation_differs_by_its_keys() -> None:
    keys = [round_keys(*k) for k in (("a", 1, 0), ("b", 1, 0), ("a", 2, 0), ("a", 1, 1))]
    assert len({tuple(permute(0, 1000, 1000, k)) for k in keys}) == 4


weights = st.dictionaries(
    st.sampled_from("abcdefg"), st.integers(0, 40) | st.floats(0.001, 50, allow_nan=False), min_size=1, max_size=7
).filter(lambda w: sum(w.values()) > 0)


@given(weights, st.integers(0, 200_000))
@settings(max_examples=60, deadline=None)
def test_no_source_is_ever_a_whole_sample_off_its_share(given_weights: dict[str, float], first: int) -> None:
    try:
        pattern = Pattern(given_weights)
    except InputError as e:
        assert "less than one sample" in str(e)  # noqa: PT017  what the weights are decides
        return
    sources = pattern.sources(first, 3000)
    shares = pattern.counts / pattern.period
    for s, share in enumerate(shares):
        before = pattern.before(s, first)
        had = before + np.cumsum(sources == s)
        assert np.abs(had - share * (first + 1 + np.arange(3000))).max() < 1 + 1e-6
        assert pattern.before(s, first + 3000) == had[-1]
        mine = np.flatnonzero(sources == s)
        assert all(pattern.sample_of(s, before + i) == first + place for i, place in enumerate(mine[:50].tolist()))


def test_weights_that_are_fractions_are_exact() -> None:
    assert Pattern({"a": 0.7, "b": 0.2, "c": 0.1}).counts.tolist() == [7, 2, 1]
    odd = Pattern({"a": 0.333333, "b": 0.666666, "c": 0.000101})
    assert odd.period == LONGEST_PERIOD
    assert (
        np.abs(odd.counts / odd.period - np.array([0.333333, 0.666666, 0.000101]) / 1.0001).max() < 1 / LONGEST_PERIOD
    )


@pytest.mark.parametrize(("bad", "what"), [({"a": -1.0}, "the weight of a is -1.0"), ({"a": 0, "b": 0}, "are all 0")])
def test_weights_that_mean_nothing_are_refused(bad: dict[str, float], what: str) -> None:
    with pytest.raises(InputError, match=what):
        Pattern(bad)


class Lines:
    """Rows of a line of `tokens`, as chunks of `length` of it."""

    def __init__(self, name: str, tokens: int, length: int) -> None:
        self.shards: Any = SimpleNamespace(fingerprint=name)
        self.tokens, self.length = tokens, length

    def before(self, lap: int) -> int:
        return -(-lap * self.tokens // self.length)

    def segments(self, rows: np.ndarray, out_rows: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def holding(self, shard: int, start: int, stop: int, lap: int) -> np.ndarray:
        raise NotImplementedError


additions = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 150)), max_size=4)


@given(st.integers(1, 150), st.integers(1, 9), additions)
@settings(max_examples=150, deadline=None)
def test_a_source_that_grows_has_each_row_of_a_lap_once(tokens: int, length: int, added: list[tuple[int, int]]) -> None:
    order, at = SourceOrder("key", Lines("first", tokens, length)), 0
    for i, (later, more) in enumerate(added):
        at += later
        before = order.rows(0, at)
        order.add(at, Lines(f"added-{i}", more, length))
        again = order.rows(0, at)
        assert np.array_equal(before[0], again[0])  # what had come stays
        assert np.array_equal(before[1], again[1])
    laps = order.lap_of(at) + 3
    strata, rows = order.rows(0, order.start(laps))
    for i, stratum in enumerate(order.strata):
        mine = rows[strata == i]
        assert np.array_equal(np.sort(mine), np.arange(stratum.before(laps)))
        for lap in range(laps):
            here = slice(order.start(lap), order.start(lap + 1))
            found = np.sort(rows[here][strata[here] == i])
            assert np.array_equal(found, np.arange(stratum.before(lap), stratum.before(lap + 1)))
    for number in range(len(rows)):
        assert order.number_of(int(strata[number]), int(rows[number])) == number
    pieces = [order.rows(a, min(7, len(rows) - a)) for a in range(0, len(rows), 7)]  # asked in parts, the same
    assert np.array_equal(np.concatenate([p[1] for p in pieces]), rows)


@given(st.integers(1, 150), st.integers(1, 150), st.integers(0, 300), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_what_replaces_a_source_comes_from_its_next_lap_on(tokens: int, other: int, number: int, length: int) -> None:
    order = SourceOrder("key", Lines("first", tokens, length))
    before, lap = order.rows(0, order.start(order.lap_of(number) + 1)), order.lap_of(number) + 1
    order.replace(number, Lines("other", other, length))
    last = lap + 2
    strata, rows = order.rows(0, order.start(last))
    border = order.start(lap)
    assert np.array_equal(rows[:border], before[1])
    assert not strata[:border].any()
    assert (strata[border:] == 1).all()
    assert np.array_equal(np.sort(rows[border:]), np.arange(order.strata[1].before(last)))
    assert all(order.number_of(int(strata[n]), int(rows[n])) == n for n in range(len(rows)))
    assert order.number_of(0, border) is None


def test_what_is_added_comes_evenly_among_what_was_left() -> None:
    order = SourceOrder("key", Lines("old", 4000, 1))
    order.add(1000, Lines("new", 1000, 1))
    strata, _ = order.rows(0, 5000)
    assert not strata[:1000].any()
    assert np.abs(np.cumsum(strata[1000:]) - np.arange(1, 4001) / 4).max() < 1


@given(
    st.lists(st.tuples(st.integers(0, 300), st.lists(st.integers(0, 5), min_size=3, max_size=3)), max_size=5),
    st.lists(st.integers(1, 400), min_size=3, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_weights_change_and_no_source_loses_or_repeats_a_row(
    changes: list[tuple[int, list[int]]], sizes: list[int]
) -> None:
    sources = {name: SourceOrder(name, Lines(name, size, 1)) for name, size in zip("abc", sizes, strict=True)}
    order, at = SampleOrder(sources, {"a": 1, "b": 2, "c": 3}), 0
    for later, new in changes:
        at += later
        if sum(new):
            order.weigh(at, dict(zip("abc", map(float, new), strict=True)))
    source, row = arrays(order.place(0, 2000), 2000)
    for s, name in enumerate("abc"):
        mine = np.flatnonzero(source == s)
        expected = sources[name].rows(0, len(mine))[1]
        assert np.array_equal(row[mine], expected)  # exactly the beginning of its own order
        assert order.dealt(name, 2000) == len(mine)
        in_parts = [arrays(order.place(a, 7), 7)[1] for a in range(0, 1995, 7)]
        assert np.array_equal(np.concatenate(in_parts), row[:1995])
        for number in range(0, len(mine), 17):
            assert order.sample_of(name, number) == mine[number]


def test_weights_of_other_sources_are_refused_by_name() -> None:
    sources = {name: SourceOrder(name, Lines(name, 9, 1)) for name in "ab"}
    with pytest.raises(InputError, match="x is no source; the sources are a, b"):
        SampleOrder(sources, {"a": 1, "x": 1})
    with pytest.raises(InputError, match="b has no weight"):
        SampleOrder(sources, {"a": 1})

"""Which source each sample of a mixture is from: a fixed pattern in which no source is ever a sample off its share.

Weights become whole numbers of samples in a period. Within it, sample t goes to the source whose next sample is due
first, among those that are not ahead of their share. So after any number of samples each source has had its share to
within one sample (Tijdeman 1980, "The chairman assignment problem"), and where a source's samples lie is found by
counting in one period, whatever the number of periods before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import cached_property
from math import lcm

import numpy as np
from numba import njit

from corpusmill.errors import InputError

LONGEST_PERIOD = 1 << 16
"""Samples. Weights that need more are rounded to shares of it."""


class Pattern:
    """The sources of samples 0, 1, 2, ... for ever, by number in the order of `weights`."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.names = list(weights)
        self.counts = _counts(weights)
        self.period = int(self.counts.sum())

    @cached_property
    def _pattern(self) -> np.ndarray:
        pattern: np.ndarray = _spread(self.counts)
        return pattern

    @cached_property
    def _places(self) -> list[np.ndarray]:
        """Of each source, its samples within the period, ascending."""
        return [np.flatnonzero(self._pattern == s) for s in range(len(self.names))]

    def sources(self, first: int, count: int) -> np.ndarray:
        """Of samples `first` .. `first + count - 1`. int16[count]."""
        if len(self.names) == 1:
            return np.zeros(count, np.int16)
        return self._pattern[(first % self.period + np.arange(count)) % self.period]

    def split(self, first: int, count: int) -> list[tuple[int, np.ndarray]]:
        """(source, which of samples `first` .. `first + count - 1` are its own, from 0, ascending), where any are."""
        if len(self.names) == 1:
            return [(0, np.arange(count))]
        start = first % self.period
        within = start + count <= self.period
        pattern = self._pattern[start : start + count] if within else self.sources(first, count)
        owns = [(s, np.flatnonzero(pattern == s)) for s in range(len(self.names))]
        return [(s, mine) for s, mine in owns if len(mine)]

    def before(self, source: int, sample: int) -> int:
        """Samples of `source` among the first `sample`."""
        if len(self.names) == 1:
            return sample
        periods, rest = divmod(sample, self.period)
        return periods * int(self.counts[source]) + int(np.searchsorted(self._places[source], rest))

    def sample_of(self, source: int, number: int) -> int:
        """The sample that is number `number` (from 0) of `source`."""
        if len(self.names) == 1:
            return number
        periods, rest = divmod(number, int(self.counts[source]))
        return periods * self.period + int(self._places[source][rest])


def _counts(weights: Mapping[str, float]) -> np.ndarray:
    """Samples of each source in a period; exact where the weights' fractions allow it. int64[sources]."""
    for name, weight in weights.items():
        if not (0 <= weight < float("inf")):
            raise InputError(f"the weight of {name} is {weight}: weights are numbers of 0 or more")
    shares = [Fraction(str(weight)) for weight in weights.values()]
    total = sum(shares, Fraction(0))
    if not total:
        raise InputError(f"the weights of {', '.join(weights) or 'no source'} are all 0: nothing is left to train on")
    shares = [share / total for share in shares]
    period = lcm(*(share.denominator for share in shares))
    if period <= LONGEST_PERIOD:
        return np.array([int(share * period) for share in shares], np.int64)
    exact = [share * LONGEST_PERIOD for share in shares]
    counts = [int(value) for value in exact]
    missing = LONGEST_PERIOD - sum(counts)
    for i in sorted(range(len(exact)), key=lambda i: counts[i] - exact[i])[:missing]:
        counts[i] += 1
    for name, weight, count in zip(weights, weights.values(), counts, strict=True):
        if weight and not count:
            raise InputError(f"the weight of {name}, {weight}, is less than one sample in {LONGEST_PERIOD:,}: raise it")
    return np.array(counts, np.int64)


@njit(cache=True, nogil=True)
def _spread(counts):  # type: ignore[no-untyped-def]
    period = counts.sum()
    pattern = np.empty(period, np.int16)
    had = np.zeros(len(counts), np.int64)
    for t in range(period):
        chosen, first_due = -1, np.int64(0)
        for s in range(len(counts)):
            if had[s] * period < (t + 1) * counts[s]:  # not ahead of its share
                due = -(-(had[s] + 1) * period // counts[s])
                if chosen < 0 or due < first_due:
                    chosen, first_due = s, due
        pattern[t] = chosen
        had[chosen] += 1
    return pattern

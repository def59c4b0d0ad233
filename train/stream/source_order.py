"""The order in which a source's rows come: lap after lap, each a permutation of all its rows.

A source is one stratum or, when shards were added while it was read, several. From the row at which a stratum is added
to the end of that lap, its rows are merged evenly with those that were left; from the next lap on all rows are
permuted together. Everything is computed from a few integers, forwards (which rows are numbers i to j?) and backwards
(which number is this row?).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numba import njit

from corpusmill.storage import digest
from corpusmill.train.stream.permutation import inverse, permute, round_keys
from corpusmill.train.stream.strata import Rows


@dataclass(frozen=True)
class _Stratum:
    rows: Rows
    lap: int  # the source's lap in which it was added
    at: int  # how many rows of that lap had come before
    until: int | None = None  # the lap from which on it is no longer part of the source

    def before(self, lap: int) -> int:
        """Its rows in all laps of the source before `lap`."""
        last = lap if self.until is None else min(lap, self.until)
        return self.rows.before(max(0, last - self.lap))

    def in_lap(self, lap: int) -> int:
        return self.before(lap + 1) - self.before(lap)


class SourceOrder:
    """Rows of a source by number, for ever. `key` (the seed and the source's name) makes its order."""

    def __init__(self, key: str, rows: Rows) -> None:
        self._key = key
        self.strata = [_Stratum(rows, 0, 0)]
        self._last = 0, 0, 0  # the lap that was asked for last, and where it begins and ends
        self._alone: int | None = None  # its stratum, if it has one only

    def add(self, number: int, rows: Rows) -> None:
        """Let a stratum come in from row `number` on. Strata are added in ascending order of number."""
        lap = self.lap_of(number)
        self.strata.append(_Stratum(rows, lap, number - self.start(lap)))
        self._last = 0, 0, 0

    def replace(self, number: int, rows: Rows) -> None:
        """Let a stratum stand for all that are there, from the lap after that of row `number` on."""
        lap = self.lap_of(number) + 1
        self.strata = [s if s.until is not None else replace(s, until=lap) for s in self.strata]
        self.strata.append(_Stratum(rows, lap, 0))
        self._last = 0, 0, 0

    def start(self, lap: int) -> int:
        """The number of a lap's first row."""
        return sum(s.before(lap) for s in self.strata)

    def lap_of(self, number: int) -> int:
        """The lap that row `number` is in."""
        low, high = 0, 1
        while self.start(high) <= number:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.start(middle) <= number else (low, middle)
        return low

    def parts(self, first: int, count: int) -> list[tuple[int, np.ndarray, np.ndarray | None]]:
        """Rows `first` .. `first + count - 1`, by stratum: (stratum, rows through all laps, which of the rows asked for
        they are; None: all, in order). int64 each."""
        lap, start, stop = self._lap_at(first)
        if first + count <= stop and self._alone is not None:
            return [(self._alone, self._permuted_alone(lap, self._alone, first - start, count), None)]
        strata, rows = self.rows(first, count)
        which = [(i, np.flatnonzero(strata == i)) for i in range(len(self.strata))]
        return [(i, rows[mine], mine) for i, mine in which if len(mine)]

    def rows(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows `first` .. `first + count - 1`: (stratum int64[count], its row through all laps int64[count])."""
        strata, rows = np.empty(count, np.int64), np.empty(count, np.int64)
        done = 0
        while done < count:
            lap, start, stop = self._lap_at(first + done)
            here = min(count - done, stop - first - done)
            low = first + done - start
            strata[done : done + here], rows[done : done + here] = self._in_lap(lap, low, low + here)
            done += here
        return strata, rows

    def _lap_at(self, number: int) -> tuple[int, int, int]:
        """(lap that row `number` is in, the number of its first row, and of the next lap's)."""
        lap, start, stop = self._last
        if not start <= number < stop:
            lap = self.lap_of(number)
            self._last = lap, start, stop = lap, self.start(lap), self.start(lap + 1)
            base, added = self._members(lap)
            self._alone = base[0] if len(base) == 1 and not added else None
        return lap, start, stop

    def number_of(self, stratum: int, row: int) -> int | None:
        """The number of a stratum's row (through all laps); None of one that would come after it was replaced."""
        chosen = self.strata[stratum]
        if chosen.until is not None and row >= chosen.before(chosen.until):
            return None
        lap = chosen.lap
        while chosen.before(lap + 1) <= row:
            lap += 1
        return self.start(lap) + self._place_in_lap(lap, stratum, row - chosen.before(lap))

    def _members(self, lap: int) -> tuple[list[int], list[int]]:
        """Strata that are permuted together in a lap, and those that come in during it, in order."""
        there = [(i, s) for i, s in enumerate(self.strata) if s.lap <= lap and (s.until is None or lap < s.until)]
        return [i for i, s in there if s.lap < lap or s.at == 0], [i for i, s in there if s.lap == lap and s.at > 0]

    def _in_lap(self, lap: int, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
        base, added = self._members(lap)
        return self._merged(lap, base, added, low, high)

    def _merged(
        self, lap: int, base: list[int], added: list[int], low: int, high: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows `low` to `high` of the lap that `base` and `added` make."""
        if not added:
            return self._permuted(lap, base, low, high)
        *older, newest = added
        at, new = self.strata[newest].at, self.strata[newest].in_lap(lap)
        left = sum(self.strata[i].in_lap(lap) for i in (*base, *older)) - at
        if high <= at or not new:
            return self._merged(lap, base, older, low, high)
        if low < at:
            head, tail = self._merged(lap, base, older, low, at), self._merged(lap, base, added, at, high)
            return np.concatenate([head[0], tail[0]]), np.concatenate([head[1], tail[1]])
        first, last = low - at, high - at
        is_new = _is_new(first * new % (left + new), last - first, new, left + new)
        new_low, new_high = first * new // (left + new), last * new // (left + new)
        strata, rows = np.empty(last - first, np.int64), np.empty(last - first, np.int64)
        strata[is_new], rows[is_new] = self._permuted(lap, [newest], new_low, new_high)
        old = self._merged(lap, base, older, at + first - new_low, at + last - new_high)
        strata[~is_new], rows[~is_new] = old
        return strata, rows

    def _permuted(self, lap: int, members: list[int], low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
        borders = self._borders(lap, members)
        images = permute(low, high - low, int(borders[-1]), self._keys(lap, members))
        place = np.searchsorted(borders, images, side="right") - 1
        before = np.array([self.strata[i].before(lap) for i in members], np.int64)
        return np.array(members, np.int64)[place], images - borders[place] + before[place]

    def _permuted_alone(self, lap: int, stratum: int, low: int, count: int) -> np.ndarray:
        """The same of a lap that has one stratum."""
        before = self.strata[stratum].before(lap)
        size = self.strata[stratum].before(lap + 1) - before
        rows = permute(low, count, size, self._keys(lap, [stratum]))
        rows += before
        return rows

    def _place_in_lap(self, lap: int, stratum: int, row: int) -> int:
        """Where row `row` of a stratum (from 0 in this lap) comes in a lap."""
        base, added = self._members(lap)
        members = base if stratum in base else [stratum]
        borders = self._borders(lap, members)
        image = np.array([borders[members.index(stratum)] + row], np.int64)
        place = int(inverse(image, int(borders[-1]), self._keys(lap, members))[0])
        older = sum(self.strata[i].in_lap(lap) for i in base)
        for i in added:
            at, new = self.strata[i].at, self.strata[i].in_lap(lap)
            left = older - at
            if i == stratum:
                place = at + -(-(place + 1) * (left + new) // new) - 1
            elif (stratum in base or added.index(stratum) < added.index(i)) and place >= at and new:
                place = at + (place - at) * (left + new) // left
            older += new
        return place

    def _borders(self, lap: int, members: list[int]) -> np.ndarray:
        return np.cumsum([0, *(self.strata[i].in_lap(lap) for i in members)])

    def _keys(self, lap: int, members: list[int]) -> np.ndarray:
        names = [self.strata[i].rows.shards.fingerprint for i in members]
        return round_keys(names[0] if len(names) == 1 else digest(names), self._key, lap)


@njit(cache=True, nogil=True)
def _is_new(rest, count, new, total):  # type: ignore[no-untyped-def]
    """Of `count` places of a merge of `new` among `total`: whether each is one of the new. bool[count].

    `rest` is (first place * new) % total.
    """
    found = np.empty(count, np.bool_)
    for k in range(count):
        rest += new
        found[k] = rest >= total
        if found[k]:
            rest -= total
    return found

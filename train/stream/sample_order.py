"""Which row of which source each sample is: the mixture, as the journal changes it. Samples count from 0 for ever."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from corpusmill.errors import InputError
from corpusmill.train.stream.journal import Journal
from corpusmill.train.stream.mixture import Pattern
from corpusmill.train.stream.source_order import SourceOrder


class Part(NamedTuple):
    """Samples that are of one stratum: numbers of the source and of the stratum there, the rows through all laps and
    which of the samples asked for they are, int64 [samples] each."""

    source: int
    stratum: int
    rows: np.ndarray
    samples: np.ndarray


Placed = list[Part]
"""Of some samples, in no order of theirs."""


def joined(places: Sequence[Placed]) -> Placed:
    """Of the samples of `places`, one after another."""
    found, before = [], 0
    for placed in places:
        found += [part._replace(samples=part.samples + before) for part in placed]
        before += sum(len(part.samples) for part in placed)
    return found


@dataclass(frozen=True)
class _Span:
    """From sample `first` on, the sources come in one pattern; `dealt` rows of each had come before."""

    first: int
    pattern: Pattern
    dealt: Mapping[str, int]


class SampleOrder:
    """Samples to rows and back, over sources that all exist from the start or are added by `weigh`."""

    def __init__(self, sources: Mapping[str, SourceOrder], weights: Mapping[str, float]) -> None:
        self.sources = dict(sources)
        self._numbers = {name: i for i, name in enumerate(self.sources)}
        self._spans = [_Span(0, Pattern(_complete(weights, sources)), dict.fromkeys(sources, 0))]

    def weigh(self, at: int, weights: Mapping[str, float]) -> None:
        """Change the weights from sample `at` on, which no earlier change is later than."""
        span, self._numbers = self._spans[-1], {name: i for i, name in enumerate(self.sources)}
        dealt = {name: self.dealt(name, at) for name in self.sources}
        if span.first == at:
            self._spans.pop()
        self._spans.append(_Span(at, Pattern(_complete(weights, self.sources)), dealt))

    def dealt(self, name: str, sample: int) -> int:
        """Rows of a source among the first `sample` samples."""
        span = self._span(sample)
        if name not in span.pattern.names:
            return 0
        return span.dealt.get(name, 0) + span.pattern.before(span.pattern.names.index(name), sample - span.first)

    def place(self, first: int, count: int) -> Placed:
        """Of samples `first` .. `first + count - 1`."""
        found: Placed = []
        done = 0
        while done < count:
            i = self._index(first + done)
            stop = self._spans[i + 1].first if i + 1 < len(self._spans) else first + count
            here = min(count - done, stop - first - done)
            span, at = self._spans[i], first + done - self._spans[i].first
            for s, mine in span.pattern.split(at, here):
                name = span.pattern.names[s]
                number = span.dealt.get(name, 0) + span.pattern.before(s, at)
                for stratum, rows, which in self.sources[name].parts(number, len(mine)):
                    samples = (mine if which is None else mine[which]) + done
                    found.append(Part(self._numbers[name], stratum, rows, samples))
            done += here
        return found

    def sample_of(self, name: str, number: int) -> int | None:
        """The sample that is row `number` of a source; None if the weights, as they are, never reach it."""
        for i, span in enumerate(self._spans):
            if name not in span.pattern.names:
                continue
            source = span.pattern.names.index(name)
            following = self._spans[i + 1].dealt[name] if i + 1 < len(self._spans) else None
            if span.dealt.get(name, 0) <= number and (following is None or number < following):
                if following is None and not span.pattern.counts[source]:
                    return None
                return span.first + span.pattern.sample_of(source, number - span.dealt.get(name, 0))
        return None

    def _index(self, sample: int) -> int:
        return bisect_right([span.first for span in self._spans], sample) - 1

    def _span(self, sample: int) -> _Span:
        return self._spans[self._index(sample)]


class Skips:
    """The journal's ranges to skip: what is dealt is counted without them."""

    def __init__(self, journal: Journal) -> None:
        self._ranges = journal.skipped()

    def sample(self, dealt: int) -> int:
        """The sample that comes after `dealt` dealt ones."""
        for first, stop in self._ranges:
            if dealt < first:
                break
            dealt += stop - first
        return dealt

    def dealt(self, sample: int) -> int | None:
        """How many are dealt before `sample`; None if it is skipped."""
        gone = 0
        for first, stop in self._ranges:
            if first <= sample < stop:
                return None
            gone += (stop - first) if stop <= sample else 0
        return sample - gone

    def ranges(self, dealt: int, count: int) -> Iterator[tuple[int, int]]:
        """(first sample, how many) of the `count` samples that come after `dealt` dealt ones."""
        if not self._ranges:
            yield dealt, count
            return
        while count:
            first = self.sample(dealt)
            ahead = [start for start, _ in self._ranges if start > first]
            here = min(count, ahead[0] - first) if ahead else count
            yield first, here
            dealt, count = dealt + here, count - here


def _complete(weights: Mapping[str, float], sources: Mapping[str, SourceOrder]) -> dict[str, float]:
    """The weights in the order of the sources. InputError where a name is wrong or missing."""
    unknown, missing = sorted(weights.keys() - sources.keys()), sorted(sources.keys() - weights.keys())
    if unknown or missing:
        what = f"{', '.join(unknown)} is no source" if unknown else f"{', '.join(missing)} has no weight"
        raise InputError(f"weights of a mixture: {what}; the sources are {', '.join(sources)}")
    return {name: float(weights[name]) for name in sources}

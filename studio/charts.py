"""Small drawings as inline SVG: histograms and lines. Colours come from the page's style sheet, by class.

Each drawing is about as wide as a telephone, so that its letters stay readable there; wider screens enlarge it.
Every one has a title and a description for those who cannot see it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from corpusmill.studio.plain_text import plain
from corpusmill.studio.tallies import Bins

WIDTH, HEIGHT = 440, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 22, 34
_MARK_ROW = 13


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to a place in the drawing, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (math.log10(max(v, 1e-12)) if self.log else v for v in (self.low, self.high, value))
        share = (at - low) / (high - low) if high > low else 0.5
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)


@dataclass(frozen=True, slots=True)
class Series:
    """A histogram's counts, drawn upwards from the axis; `name` says whose."""

    name: str
    bins: Bins


@dataclass(frozen=True, slots=True)
class Axis:
    name: str
    ticks: Sequence[float]
    log: bool = False
    marks: Sequence[tuple[float, str]] = field(default_factory=tuple)
    """Vertical lines with a word beside each: medians, thresholds."""


def svg(key: str, title: str, description: str, body: str, width: int = WIDTH, height: int = HEIGHT) -> Markup:
    """The drawing as an element; `key` must be the only one of its kind on the page."""
    return Markup(  # noqa: S704 (all strings in it went through `text`)
        f'<svg role="img" viewBox="0 0 {width} {height}" aria-labelledby="{key}-t {key}-d">'
        f'<title id="{key}-t">{text(title)}</title><desc id="{key}-d">{text(description)}</desc>{body}</svg>'
    )


def text(value: str) -> str:
    """A string fit to stand inside an SVG."""
    return str(escape(plain(value)))


def number(value: float) -> str:
    """A coordinate with one decimal at most: the same bytes everywhere."""
    return f"{value:.1f}".rstrip("0").rstrip(".") if "." in f"{value:.1f}" else f"{value:.1f}"


def short(value: float) -> str:
    """1,234 as 1.2k, for axes."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def histogram(key: str, title: str, description: str, up: Series, axis: Axis, down: Series | None = None) -> Markup:
    """Bars over the axis, and those of a second group mirrored below it, each group scaled to its own highest bar."""
    rows = [s for s in (up, down) if s is not None and s.bins.total]
    if not rows:
        return Markup('<p class="quiet">Nothing to draw.</p>')
    edges = up.bins.edges
    low, high = _extent(rows)
    x = Scale(float(edges[low]), float(edges[high]), _LEFT, WIDTH - _RIGHT, axis.log)
    floor = HEIGHT - _BOTTOM
    top = _TOP + _MARK_ROW * len(axis.marks)
    middle = floor if down is None else (top + floor) / 2
    body = _bars(up, x, low, high, middle, top, "bar")
    if down is not None:
        body += _bars(down, x, low, high, middle, floor, "bar lost")
    body += _line(_LEFT, middle, WIDTH - _RIGHT, middle, "axis")
    body += "".join(_tick(x(t), floor, short(t)) for t in _ticks(axis, float(edges[low]), float(edges[high])))
    body += _marks(axis, x, floor, float(edges[low]), float(edges[high]))
    body += f'<text class="name" x="{WIDTH - _RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{text(axis.name)}</text>'
    return svg(key, title, description, body)


def line_chart(
    key: str,
    title: str,
    description: str,
    steps: Sequence[int],
    lines: Sequence[tuple[str, Sequence[float]]],
    name: str,
) -> Markup:
    """Lines over steps; the last of them is drawn strongest. The vertical axis does not begin at zero."""
    width, height = 880, 280
    values = [v for _, line in lines for v in line]
    low, high = min(values), max(values)
    pad = (high - low or 1.0) * 0.05
    x = Scale(steps[0], steps[-1], _LEFT, width - _RIGHT)
    y = Scale(low - pad, high + pad, height - _BOTTOM, _TOP)
    body = ""
    for value in nice_ticks(low, high, 5):
        body += _line(_LEFT, y(value), width - _RIGHT, y(value), "grid")
        body += f'<text class="tick" x="{_LEFT - 6}" y="{number(y(value) + 4)}" text-anchor="end">{value:g}</text>'
    body += "".join(_tick(x(t), height - _BOTTOM, short(t)) for t in nice_ticks(steps[0], steps[-1], 6))
    for i, (_, line) in enumerate(lines):
        points = " ".join(f"{number(x(s))},{number(y(v))}" for s, v in zip(steps, line, strict=True))
        body += f'<polyline class="{"line strong" if i == len(lines) - 1 else "line"}" points="{points}"/>'
    body += f'<text class="name" x="{_LEFT}" y="13">{text(name)}</text>'
    body += f'<text class="name" x="{width - _RIGHT}" y="{height - 4}" text-anchor="end">step</text>'
    return svg(key, title, description, body, width, height)


def share_bar(share: float, css: str = "bar") -> Markup:
    """A bar for a table's cell; the number stands beside it, so it is hidden from screen readers."""
    width = number(max(100 * min(share, 1.0), 0.8 if share else 0.0))
    return Markup(  # noqa: S704 (numbers only)
        '<svg class="share" aria-hidden="true" viewBox="0 0 100 10" preserveAspectRatio="none">'
        f'<rect class="track" width="100" height="10"/><rect class="{css}" width="{width}" height="10"/></svg>'
    )


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` + 1 round values within [low, high]."""
    if high <= low:
        return [low]
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    return [round(i * step, 10) for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _extent(rows: Sequence[Series]) -> tuple[int, int]:
    """Edges between which all bars lie."""
    used = sorted(i for s in rows for i, n in enumerate(s.bins.counts.tolist()) if n)
    return used[0], used[-1] + 1


def _ticks(axis: Axis, low: float, high: float) -> list[float]:
    """Those of the axis; where the bars lie so close that fewer than two are among them, closer ones, or the ends."""
    closer = [m * 10.0**power for power in range(-2, 12) for m in (1, 2, 5)] if axis.log else nice_ticks(low, high, 5)
    for ticks in (axis.ticks, closer):
        found = [t for t in ticks if low <= t <= high]
        if len(found) > 1:
            return found
    return [low, high]


def _bars(series: Series, x: Scale, low: int, high: int, base: float, top: float, css: str) -> str:
    counts, edges = series.bins.counts.tolist(), series.bins.edges.tolist()
    highest = max(counts) or 1
    body = ""
    for i in range(low, high):
        if counts[i]:
            size = max(abs(base - top) * counts[i] / highest, 1.0)
            left, right = x(edges[i]), x(edges[i + 1])
            width = max(right - left - 1, 0.8)
            at = base - size if top < base else base
            body += (
                f'<rect class="{css}" x="{number(left + 0.5)}" y="{number(at)}" width="{number(width)}"'
                f' height="{number(size)}"><title>{edges[i]:,g} to {edges[i + 1]:,g}: {counts[i]:,}</title></rect>'
            )
    where, name_at = (top + 9, 13) if top < base else (top - 2, HEIGHT - 4)
    body += f'<text class="tick" x="{_LEFT - 6}" y="{number(where)}" text-anchor="end">{short(highest)}</text>'
    return body + f'<text class="name" x="{_LEFT}" y="{name_at}">{text(series.name)}</text>'


def _marks(axis: Axis, x: Scale, floor: float, low: float, high: float) -> str:
    body = ""
    for row, (value, word) in enumerate(axis.marks):
        if low <= value <= high:
            at, end, y = x(value), x(value) > WIDTH * 0.7, _TOP + _MARK_ROW * row
            body += _line(at, y, at, floor, "mark")
            body += (
                f'<text class="marked" x="{number(at - 4 if end else at + 4)}" y="{y + 9}"'
                f' text-anchor="{"end" if end else "start"}">{text(word)}</text>'
            )
    return body


def _tick(at: float, floor: float, word: str) -> str:
    return (
        _line(at, floor, at, floor + 4, "axis")
        + f'<text class="tick" x="{number(at)}" y="{number(floor + 16)}" text-anchor="middle">{text(word)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    return f'<line class="{css}" x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}"/>'

"""Drawings of the report's section on duplicates: clusters by size, and the bands' curve with what was removed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from corpusmill.dedup.minhash_signatures import collision_probability
from corpusmill.studio.charts import WIDTH, Scale, number, short, svg, text
from corpusmill.studio.tallies import Bins

_LEFT, _RIGHT = 46, 14
_SIZES_HEIGHT = 230
_CURVE_TOP, _CURVE_FLOOR, _BARS_FLOOR, _CURVE_HEIGHT = 26, 176, 262, 300
_STEPS = 120


def cluster_sizes(sizes: Sequence[tuple[str, int]]) -> Markup:
    """A column for each class of size, its height the logarithm of the clusters in it, its number on top."""
    top, floor = 34, _SIZES_HEIGHT - 38
    highest = math.log10(1 + max(n for _, n in sizes))
    slot = min((WIDTH - _LEFT - _RIGHT) / len(sizes), 70.0)
    body = '<text class="name" x="4" y="13">clusters (heights are logarithmic)</text>'
    for i, (name, count) in enumerate(sizes):
        middle, tall = 10 + (i + 0.5) * slot, (floor - top) * math.log10(1 + count) / highest
        body += (
            f'<rect class="bar" x="{number(middle - slot * 0.38)}" y="{number(floor - tall)}"'
            f' width="{number(slot * 0.76)}" height="{number(tall)}"/>'
        )
        body += _word(middle, floor - tall - 5, short(count), "tick strong") if count else ""
        body += _word(middle, floor + 16, name, "tick")
    body += _line(10, floor, WIDTH - _RIGHT, floor, "axis")
    body += _word(WIDTH - _RIGHT, _SIZES_HEIGHT - 4, "documents in the cluster", "name", "end")
    said = ", ".join(f"{count:,} of {name}" for name, count in sizes if count)
    return svg(
        "sizes", "Clusters by size", f"Clusters by their number of documents: {said}.", body, WIDTH, _SIZES_HEIGHT
    )


def collision_curve(
    bands: int, rows: int, verify: float, removed: Bins, quality: Mapping[str, Any] | None = None
) -> Markup:
    """Above: the probability that a pair shares a band, by similarity, and what a sample measured of it. Below, over
    the same axis: how alike near-duplicates are that were removed. A dashed line is the least that counts."""
    low = min(0.3, math.floor(verify * 10) / 10)
    x, y = Scale(low, 1.0, _LEFT, WIDTH - _RIGHT), Scale(0.0, 1.0, _CURVE_FLOOR, _CURVE_TOP)
    body = "".join(_level(y(share), f"{share:.0%}") for share in (0.0, 0.5, 1.0))
    points = ((low + (1.0 - low) * i / _STEPS) for i in range(_STEPS + 1))
    drawn = " ".join(f"{number(x(s))},{number(y(collision_probability(s, bands, rows)))}" for s in points)
    body += f'<polyline class="line strong" points="{drawn}"/>'
    body += _measured(quality, x, y)
    body += _similarities(removed, x)
    body += "".join(_tick(x(i / 10), f"{i / 10:g}") for i in range(math.ceil(low * 10), 11))
    body += _line(x(verify), 16, x(verify), _BARS_FLOOR, "mark")
    body += _word(x(verify) - 5, _CURVE_TOP + 18, f"least that counts: {verify:g}", "marked", "end")
    body += '<text class="name" x="4" y="13">chance to share a band</text>'
    body += f'<text class="name" x="4" y="{_CURVE_FLOOR + 20}">removed, {removed.total:,}</text>'
    body += _word(WIDTH - _RIGHT, _CURVE_HEIGHT - 4, "similarity", "name", "end")
    return svg("curve", "Which pairs the bands find", _said(bands, rows, verify, removed), body, WIDTH, _CURVE_HEIGHT)


def _measured(quality: Mapping[str, Any] | None, x: Scale, y: Scale) -> str:
    """Of sampled pairs in a range of similarity, the share that ended in one cluster: a point with its interval."""
    body = ""
    for one in quality["recall"]["bins"] if quality else ():
        if one["pairs"]:
            at = x((one["from"] + one["to"]) / 2)
            body += _line(at, y(one["low"]), at, y(one["high"]), "whisker")
            said = f"{one['from']:g} to {one['to']:g}: {one['together']:,} of {one['pairs']:,} pairs in one cluster"
            body += (
                f'<circle class="point" cx="{number(at)}" cy="{number(y(one["share"]))}" r="3.5">'
                f"<title>{text(said)}</title></circle>"
            )
    return body


def _similarities(removed: Bins, x: Scale) -> str:
    counts, edges = removed.counts.tolist(), removed.edges.tolist()
    highest, body = max(counts) or 1, _line(_LEFT, _BARS_FLOOR, WIDTH - _RIGHT, _BARS_FLOOR, "axis")
    for i, count in enumerate(counts):
        if count:
            tall = max((_BARS_FLOOR - _CURVE_FLOOR - 28) * count / highest, 1.0)
            body += (
                f'<rect class="bar lost" x="{number(x(edges[i]) + 0.5)}" y="{number(_BARS_FLOOR - tall)}"'
                f' width="{number(x(edges[i + 1]) - x(edges[i]) - 1)}" height="{number(tall)}">'
                f"<title>{edges[i]:,g} to {edges[i + 1]:,g}: {count:,}</title></rect>"
            )
    return body


def _said(bands: int, rows: int, verify: float, removed: Bins) -> str:
    chances = ", ".join(f"{collision_probability(s, bands, rows):.0%} at {s:g}" for s in (0.5, 0.65, 0.75, 0.85, 0.95))
    ranges = zip(removed.edges.tolist(), removed.edges.tolist()[1:], removed.counts.tolist(), strict=False)
    bars = ", ".join(f"{n:,} between {a:g} and {b:g}" for a, b, n in ranges if n) or "none"
    return (
        f"With {bands} bands of {rows}, two documents share a band with probability {chances}. "
        f"Pairs below {verify:g} are not duplicates. Near-duplicates removed, by similarity: {bars}."
    )


def _level(at: float, word: str) -> str:
    return _line(_LEFT, at, WIDTH - _RIGHT, at, "grid") + _word(_LEFT - 6, at + 4, word, "tick", "end")


def _tick(at: float, word: str) -> str:
    return _line(at, _BARS_FLOOR, at, _BARS_FLOOR + 4, "axis") + _word(at, _BARS_FLOOR + 17, word, "tick")


def _word(x: float, y: float, word: str, css: str, anchor: str = "middle") -> str:
    return f'<text class="{css}" x="{number(x)}" y="{number(y)}" text-anchor="{anchor}">{text(word)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    return f'<line class="{css}" x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}"/>'

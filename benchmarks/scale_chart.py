"""Seconds and memory by number of documents as an SVG: two log-log panels, a line of slope 1 through the last point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 300, 240, 60, 50, 90
_SECONDS, _MEMORY, _GREY = "#1f6f8b", "#b5542c", "#999"


def scale_chart(points: Sequence[tuple[int, float, float]], machine: str, commit: str) -> str:
    """`points`: (documents, seconds, megabytes) by documents, at least two."""
    second = _LEFT + _WIDTH + _GAP
    width, height = second + _WIDTH + 30, _TOP + _HEIGHT + 60
    panels = [
        _panel(_LEFT, "seconds", [(n, s) for n, s, _ in points], _SECONDS, linear=True),
        _panel(second, "peak memory, MB", [(n, m) for n, _, m in points], _MEMORY, linear=False),
    ]
    about = escape(
        f"Deduplication by number of documents. {machine}, commit {commit}. Grey: in proportion to documents."
    )
    box = f'viewBox="0 0 {width} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="sans-serif" font-size="12">'
    title = f'<text x="{_LEFT}" y="20">{about}</text>'
    return "\n".join([head, f'<rect width="{width}" height="{height}" fill="white"/>', title, *panels, "</svg>", ""])


def _panel(left: int, name: str, points: Sequence[tuple[int, float]], colour: str, *, linear: bool) -> str:
    low_x, high_x = _decades([n for n, _ in points])
    low_y, high_y = _decades([max(v, 1e-3) for _, v in points])

    def at(n: float, value: float) -> tuple[float, float]:
        x = left + _WIDTH * (math.log10(n) - low_x) / (high_x - low_x)
        return x, _TOP + _HEIGHT * (1 - (math.log10(max(value, 1e-3)) - low_y) / (high_y - low_y))

    lines = [f'<text x="{left}" y="{_TOP - 8}" font-weight="bold">{escape(name)}</text>']
    for power in range(low_x, high_x + 1):
        x, _ = at(10**power, 10**low_y)
        lines.append(_line((x, _TOP), (x, _TOP + _HEIGHT), "#e4e4e4"))
        lines.append(f'<text x="{x:.1f}" y="{_TOP + _HEIGHT + 18}" text-anchor="middle">{10**power:,}</text>')
    for power in range(low_y, high_y + 1):
        _, y = at(10**low_x, 10**power)
        lines.append(_line((left, y), (left + _WIDTH, y), "#e4e4e4"))
        lines.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:,g}</text>')
    if linear:
        (n, value), (first, _) = points[-1], points[0]
        first_value = max(value * first / n, 10.0**low_y)  # it may leave the panel below
        lines.append(_line(at(first_value * n / value, first_value), at(n, value), _GREY, "4 4"))
    places = [at(*p) for p in points]
    lines.append(
        f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="'
        + " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        + '"/>'
    )
    for (x, y), (_, value) in zip(places, points, strict=True):
        said = f"{value:,.{1 if value < 100 else 0}f}"
        lines.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
        lines.append(f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="middle" fill="{colour}">{said}</text>')
    return "\n".join(lines)


def _line(start: tuple[float, float], end: tuple[float, float], colour: str, dashes: str = "") -> str:
    (x1, y1), (x2, y2) = start, end
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashed}/>'


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Whole powers of ten around the values, at least one apart."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)

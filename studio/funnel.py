"""The funnel: how many records become documents, and what is lost on the way, as a flow whose width is the count.

It is drawn twice, for wide and for narrow screens; the style sheet shows one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from corpusmill.studio.charts import number, svg, text
from corpusmill.studio.reasons import STEPS, explain

_DETAIL_CHARS = 40
_STEP_NAMES = {
    "read": ("Pages read", "not a readable page"),
    "screen": ("Screened", "by address or a quick look at its language"),
    "extract": ("Extracted", "without a text"),
    "judge": ("Kept documents", "by language or a rule"),
}


@dataclass(frozen=True, slots=True)
class Loss:
    name: str
    count: int
    causes: list[tuple[str, int]]

    @property
    def detail(self) -> str:
        """The largest causes, as many as fit on a line."""
        words, number = "", 0
        for cause, count in self.causes:
            longer = f"{words}, {cause} {count:,}".lstrip(", ")
            if words and len(longer) > _DETAIL_CHARS:
                return f"{words} and {len(self.causes) - number} more"
            words, number = longer, number + 1
        return words


@dataclass(frozen=True, slots=True)
class Level:
    """What is left at one point of the way; `loss` is what goes before the next."""

    name: str
    count: int
    loss: Loss | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """Measures of one form of the drawing, in its own units."""

    width: int
    left: int
    flow: int
    lost: int
    row: int
    names_beside: bool


WIDE = Form(width=960, left=200, flow=400, lost=640, row=78, names_beside=True)
NARROW = Form(width=360, left=4, flow=196, lost=222, row=86, names_beside=False)


def levels(
    cleaned: Mapping[str, Any],
    stages: Mapping[str, str],
    deduplicated: Mapping[str, Any] | None,
    tokenised: Mapping[str, Any] | None,
) -> list[Level]:
    """The funnel of a run from its counts; `stages` tells of each drop reason which stage gave it."""
    losses = [Loss("not a response", sum(cleaned["not_response"].values()), _sorted(cleaned["not_response"]))]
    groups: dict[str, dict[str, int]] = defaultdict(dict)
    for reason, count in cleaned["dropped"].items():
        groups[explain(reason, stages.get(reason)).step][reason] = count
    losses += [Loss(_STEP_NAMES[s][1], sum(groups[s].values()), _sorted(groups[s])) for s in STEPS]
    names = ["Records", "Responses", *(_STEP_NAMES[s][0] for s in STEPS)]
    if deduplicated is not None:
        removed = deduplicated["removed"]
        losses.append(Loss("removed as duplicates", sum(removed.values()), _sorted(removed)))
        names.append("Survivors")
    found, left = [], cleaned["records"]
    for name, loss in zip(names, [*losses, None], strict=True):
        found.append(Level(name, left, loss))
        left -= loss.count if loss is not None else 0
    if tokenised is not None:
        found.append(Level("Tokens", sum(tokenised[k]["tokens"] for k in ("shards", "heldout"))))
    return found


def draw(found: Sequence[Level]) -> Markup:
    """Both forms of the drawing."""
    description = "; ".join(
        f"{one.name} {one.count:,}" + (f", less {one.loss.count:,} {one.loss.name}" if one.loss else "")
        for one in found
    )
    forms = [("wide", WIDE), ("narrow", NARROW)]
    drawn = [
        Markup('<div class="{}">{}</div>').format(
            name,
            svg(
                f"funnel-{name}",
                "From records to tokens",
                description,
                _body(found, form),
                form.width,
                _height(found, form),
            ),
        )
        for name, form in forms
    ]
    return Markup("").join(drawn)


def _height(found: Sequence[Level], form: Form) -> int:
    return form.row * (len(found) - 1) + 46


def _body(found: Sequence[Level], form: Form) -> str:
    whole = found[0].count or 1
    flows = nodes = ""
    last = 0.0
    for i, level in enumerate(found):
        y = i * form.row + 22
        width = last if level.name == "Tokens" else max(form.flow * level.count / whole, 1.5)
        last = width
        if i + 1 < len(found):
            below = width if level.loss is None else max(form.flow * found[i + 1].count / whole, 1.5)
            flows += _flow(form, y, below)
            if level.loss is not None and level.loss.count:
                flows += _loss_ribbon(form, y, below, width, level.loss.count / whole)
                nodes += _loss_words(form, y, level.loss, level.count)
        nodes += f'<rect class="node" x="{form.left}" y="{y}" width="{number(width)}" height="8" rx="1.5"/>'
        nodes += _name(form, y, level, whole)
    return flows + nodes


def _flow(form: Form, y: float, width: float) -> str:
    return f'<rect class="flow" x="{form.left}" y="{y + 8}" width="{number(width)}" height="{form.row - 8}"/>'


def _loss_ribbon(form: Form, y: float, inner: float, outer: float, share: float) -> str:
    """From the bar's right part, bending to the right, ending in a stub whose height is the share."""
    top, x1, x2 = y + 8, form.left + inner, form.left + outer
    end, size = form.lost - 8, max(1.5, 44 * share)
    low = y + form.row / 2 + (6 if form.names_beside else 10)
    high = low - size / 2
    return (
        f'<path class="loss" d="M{number(x1)} {number(top)}L{number(x2)} {number(top)}'
        f"Q{number(x2)} {number(high)} {number(end)} {number(high)}V{number(high + size)}"
        f'Q{number(x1)} {number(high + size)} {number(x1)} {number(top)}Z"/>'
    )


def _loss_words(form: Form, y: float, loss: Loss, before: int) -> str:
    at = y + form.row / 2 - (6 if form.names_beside else 2)
    lines = [("lost-count", f"−{loss.count:,} ({100 * loss.count / max(before, 1):.1f}%)")]
    lines += [("lost-name", part) for part in ([loss.name] if form.names_beside else _wrapped(loss.name, 20))]
    if form.names_beside:
        lines.append(("lost-name", loss.detail))
    return "".join(
        f'<text class="{css}" x="{form.lost}" y="{number(at + 17 * i)}">{text(words)}</text>'
        for i, (css, words) in enumerate(lines)
    )


def _name(form: Form, y: float, level: Level, whole: int) -> str:
    share = "" if level.name == "Tokens" else f"{100 * level.count / whole:.1f}%"
    if form.names_beside:
        return (
            f'<text class="level" x="{form.left - 16}" y="{y + 3}" text-anchor="end">{text(level.name)}</text>'
            f'<text class="level-count" x="{form.left - 16}" y="{y + 21}" text-anchor="end">{level.count:,}'
            f'<tspan class="quiet" dx="6">{share}</tspan></text>'
        )
    return (
        f'<text class="level" x="{form.left}" y="{y - 6}">{text(level.name)} '
        f'<tspan class="level-count" dx="4">{level.count:,}</tspan><tspan class="quiet" dx="6">{share}</tspan></text>'
    )


def _wrapped(words: str, chars: int) -> list[str]:
    lines = [""]
    for word in words.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > chars:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _sorted(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(((n, c) for n, c in counts.items() if c), key=lambda item: (-item[1], item[0]))

"""Clusters on a terminal: lists that any width takes, and two members word by word, in colour where there is some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from corpusmill.errors import InputError
from corpusmill.schemas import CRAWL_STRIDE
from corpusmill.storage import Folder
from corpusmill.studio.cluster_facts import SURVIVOR, ClusterFacts, Clusters, Member
from corpusmill.studio.page_facts import rows_at
from corpusmill.studio.plain_text import label, plain
from corpusmill.studio.word_diff import WordDiff, shortened, word_diff

WORDS = {
    "exact_duplicate": "exact",
    "near_duplicate": "near",
    "url_duplicate": "same URL",
    "semantic_duplicate": "same meaning",
    SURVIVOR: "stays",
}
_WIDE = 130
_STYLES = {"same": "", "left": "red", "right": "green"}
_MARKS = {"left": ("[-", "-]"), "right": ("{+", "+}")}


@dataclass(frozen=True)
class Comparison:
    """Two members, word by word."""

    what: str
    left: Member
    right_name: str
    similarity: float | None
    diff: WordDiff


def show_clusters(console: Console, found: Clusters, run: str) -> None:
    """The largest clusters, and what to type next."""
    if not found.total:
        _say(console, "No two documents were duplicates, so there is no cluster.")
        return
    _say(console, f"{_count(found.total, 'cluster')}, {found.removed:,} documents removed; the largest:")
    for cluster in found.shown:
        console.print()
        _headline(console, cluster)
        _survivor(console, cluster.survivor)
    console.print()
    _say_whole(console, f"Look into one: corpusmill clusters {run} --cluster {found.shown[0].cluster} --diff", "dim")


def show_cluster(console: Console, cluster: ClusterFacts, members: Sequence[Member]) -> None:
    """One cluster and its members, the survivor first."""
    _headline(console, cluster)
    for member in members:
        console.print()
        _member(console, member)
    if cluster.documents > len(members):
        console.print()
        left = cluster.documents - len(members)
        _say(console, f"{left:,} more, more alike than these: --members {cluster.documents} lists all", "dim")


def show_diff(console: Console, comparison: Comparison) -> None:
    """Both texts in one: words of both plain, words of one marked. Long runs that are the same become a number."""
    console.print()
    left, alike = comparison.left, comparison.similarity
    said = "" if alike is None else f", signatures agree in {alike:.1%} of places"
    colour = bool(console.color_system) and not console.no_color
    head = Text(f"{left.number}: {_name(left.url, left.id)}", _STYLES["left"] if colour else "")
    console.print(head if colour else Text("[-…-] only in ") + head)
    head = Text(f"{comparison.right_name}", _STYLES["right"] if colour else "")
    console.print(head if colour else Text("{+…+} only in ") + head)
    _say(console, f"{comparison.what}{said}.", "dim")
    console.print()
    console.print(_drawn(comparison.diff, colour), soft_wrap=False)
    if any(comparison.diff.more):
        ours, theirs = comparison.diff.more
        _say(console, f"Not compared: {ours:,} and {theirs:,} words more.", "dim")


def compared(run: Folder, members: Sequence[Member], pair: tuple[int, int] | None) -> Comparison:
    """The chosen pair; without one, the least similar removed document and the neighbour it matched.

    InputError where a text is not in this run: of such neighbours the run knows the name alone.
    """
    if pair is None:
        chosen = next((m for m in members[1:] if m.matched is not None and m.matched < CRAWL_STRIDE), None)
        if chosen is None or chosen.matched is None:
            raise InputError(
                "every member listed was matched with a document of an earlier crawl, whose text is not here; "
                "choose two of this run with --pair I J"
            )
        name = next((f"{m.number}: {_name(m.url, m.id)}" for m in members if m.address == chosen.matched), None)
        other = name or _name(chosen.matched_url, str(chosen.matched))
        return _compared(run, chosen, chosen.matched, other, chosen.similarity)
    left, right = (_numbered(members, number) for number in pair)
    known = left.similarity if left.matched == right.address else None
    known = right.similarity if right.matched == left.address else known
    return _compared(run, left, right.address, f"{right.number}: {_name(right.url, right.id)}", known)


def _compared(run: Folder, left: Member, right: int, name: str, similarity: float | None) -> Comparison:
    rows = rows_at(run, [left.address, right], ("text",))
    what = "Two members of the cluster" if similarity is None else "A removed document and the neighbour it matched"
    return Comparison(what, left, name, similarity, word_diff(rows[left.address]["text"], rows[right]["text"]))


def _numbered(members: Sequence[Member], number: int) -> Member:
    if not 1 <= number <= len(members):
        raise InputError(f"--pair: this cluster has no member {number}; they are numbered 1 to {len(members)}")
    member = members[number - 1]
    if member.address >= CRAWL_STRIDE:
        raise InputError(
            f"--pair: member {number} is a document of crawl {member.crawl}, whose text is not in this run"
        )
    return member


def _drawn(diff: WordDiff, colour: bool) -> Text:
    """Runs of words as one text; a word of markup or control in them is shown, not obeyed."""
    text = Text()
    if all(kind == "same" for kind, _ in diff.runs):
        return Text("The same words throughout.")
    for i, (kind, words) in enumerate(diff.runs):
        shown = words if kind != "same" else shortened(words, i > 0, i < len(diff.runs) - 1)
        before, after = ("", "") if colour or kind == "same" else _MARKS[kind]
        text.append(before + plain(" ".join(shown)) + after, _STYLES[kind] if colour else "")
        text.append(" ")
    return text


def _headline(console: Console, cluster: ClusterFacts) -> None:
    why = ", ".join(f"{n:,} {WORDS[name]}" for name, n in cluster.why.items())
    low, high = f"{cluster.least_similarity:.2f}", f"{cluster.most_similarity:.2f}"
    alike = f"similarity {low}" + (f" to {high}" if high != low else "")
    line = Text(f"{cluster.documents:,} documents", "bold")
    console.print(line.append(f"  cluster {cluster.cluster}  {alike}  removed: {why}", "not bold"), soft_wrap=False)


def _survivor(console: Console, member: Member) -> None:
    title = label(member.title, 70) or "(no title)"
    if member.crawl or member.url is None:
        _say_whole(console, f"  stays: {plain(member.id)}, in crawl {plain(member.crawl or '?')}")
    elif console.width >= _WIDE:
        _say_whole(console, f"  stays: {plain(title)}  {_name(member.url, member.id)}")
    else:
        _say(console, f"  stays: {plain(title)}")
        _say_whole(console, f"         {_name(member.url, member.id)}")


def _member(console: Console, member: Member) -> None:
    if member.why == SURVIVOR:
        where = f"in crawl {plain(member.crawl)}" if member.crawl else ", ".join(_facts(member))
        line = Text(f"{member.number:>4}  ").append("stays", "green")
        console.print(line.append(f"  {where}"))
        _say_whole(console, f"      {_name(member.url, member.id)}")
        return
    line = Text(f"{member.number:>4}  ").append("removed", "red").append(f"  {WORDS[member.why]}")
    console.print(line.append(f" {member.similarity:.2f}  {', '.join(_facts(member))}"))
    _say_whole(console, f"      {_name(member.url, member.id)}")
    crawl = f" in crawl {plain(member.matched_crawl)}" if member.matched_crawl else ""
    _say_whole(console, f"      matched {_name(member.matched_url, str(member.matched))}{crawl}", "dim")


def _facts(member: Member) -> list[str]:
    size = f"{member.text_bytes:,} bytes" if member.text_bytes is not None else None
    return [plain(label(f)) for f in (member.host, member.date, size) if f]


def _name(url: str | None, id_: str) -> str:
    return plain(label(url or id_))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _say(console: Console, line: str, style: str = "") -> None:
    """A sentence, broken where the terminal ends."""
    console.print(Text(line, style), soft_wrap=False)


def _say_whole(console: Console, line: str, style: str = "") -> None:
    """A line with an address in it, which must stay whole to be copied or clicked."""
    console.print(Text(line, style), soft_wrap=True)

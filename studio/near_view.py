"""The answer of `corpusmill near` on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from corpusmill.dedup.minhash_signatures import MinHash, collision_probability
from corpusmill.dedup.near_texts import Answer, Near
from corpusmill.studio.plain_text import label, plain


def show_near(console: Console, found: Answer, minhash: MinHash, threshold: float, where: str) -> None:
    """Each document like the text, and how sure one can be that no other is."""
    chance = collision_probability(threshold, minhash.bands, minhash.rows)
    sure = f"A document of similarity {threshold:.2f} is found with probability {chance:.0%}."
    if not found.near:
        shared = f"{found.candidates:,} shared a band with it, none was so similar. " if found.candidates else ""
        sure += " A passage is not like the whole page it stands in: give the whole text."
        console.print(
            Text(f"No document of {where} is like this text at {threshold:.2f} or above. {shared}{sure}"),
            soft_wrap=False,
        )
        return
    more = f"; the {len(found.near):,} most similar" if found.found > len(found.near) else ""
    console.print(Text(f"{found.found:,} of {found.candidates:,} candidates are at {threshold:.2f} or above{more}:"))
    for one in found.near:
        console.print()
        _show(console, one)
    console.print()
    if found.verified < found.candidates:
        console.print(Text(f"Only the {found.verified:,} that share most bands were compared.", "dim"))
    console.print(Text(sure, "dim"), soft_wrap=False)


def _show(console: Console, one: Near) -> None:
    line = Text(f"{one.similarity:.2f}", "bold").append("  the same words" if one.exact else "", "not bold")
    line.append("  ").append(one.fate if one.fate != "unknown" else "", "green" if one.fate == "stayed" else "red")
    if one.fate == "removed":
        line.append(f" ({one.why}) for {plain(label(one.representative_id))}", "not bold")
    console.print(line)
    place = f"{plain(one.crawl)}, " if one.crawl is not None else ""
    place += f"part {one.part}, row {one.row}"
    console.print(Text(f"      {plain(label(one.url or '(no URL)'))}"))
    console.print(Text(f"      {plain(label(one.id))}  {place}  {one.text_bytes:,} bytes", "dim"))

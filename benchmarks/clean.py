"""The clean stage, WARC to kept documents, beside datatrove's FineWeb recipe: pages a second on one core.

Ours is the english recipe in one worker: reading, decoding, address rules with FineWeb's lists, the screen, extraction,
editing, identification, measures and rules, and Parquet parts of what was kept and of what was dropped. datatrove is
its FineWeb recipe up to the quality filters: WarcReader, URLFilter, Trafilatura(favour_precision=True, 1 s a page),
LanguageFilter(en, 0.65), GopherRepetition, GopherQuality, C4Quality(filter_no_terminal_punct=False), FineWebQuality,
JsonlWriter. Both extract in a child process, as both do by default.

The same bytes, processes of their own, one core for all of them, in turn round by round, files on a RAM disk where
there is one (ours waits for the disk, the peer does not). Before any clock: imports, lists, models, compiled kernels.
By the clock: everything from opening the archive to closing the output. Stages are taken in one more run of ours with
clocks around its functions; the peer's clocks run always, 20 to a page. What the screen loses is what the same recipe
without it keeps and with it does not.

Pages are said to be HTML as Common Crawl says it (`subset.py`); --as-it-is leaves that out, and datatrove then does not
read a fifth of them. Its second for a page is of the wall clock: on a busy machine it loses pages, which are counted.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.clean_table import Loss, Side, loss, show
from benchmarks.conversation import Conversation
from benchmarks.harness import ROOT, Failed, pin
from benchmarks.kept_documents import Kept, kept_by
from benchmarks.peer_process import peer_command
from benchmarks.subset import Subset, subset
from corpusmill.clean.rules import RULES
from corpusmill.clean.url_lists import DATATROVE
from corpusmill.recipe import Recipe, load_recipe

ARCHIVE, MODEL = "warc/sample-dev.warc.gz", "models/lid.176.ftz"
ENGINES = ("trafilatura", "resiliparse")
FINEWEB = ("gopher_repetition", "gopher_quality", "c4_quality", "fineweb_quality")
"""FineWeb's filters in its order; the recipe gets those that it lacks."""
WARM_PAGES = 25
RAM_DISK = "/dev/shm"


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(dir=RAM_DISK if os.access(RAM_DISK, os.W_OK) else None) as folder:
            pages = subset(chosen.data / ARCHIVE, chosen.docs, Path(folder), as_it_is=chosen.as_it_is)
            run(chosen.data, chosen.rounds, pages, chosen.engines, Path(folder))
    except FileNotFoundError as e:
        print(f"no {e.filename}: set CORPUSMILL_DATA or --data to the real data; nothing was measured", file=sys.stderr)
        return 2
    except Failed as e:
        print(f"ours {e}; nothing was measured", file=sys.stderr)
        return 1
    return 0


def run(data: Path, rounds: int, pages: Subset, engines: Sequence[str], folder: Path) -> dict[str, Any]:
    """Measure and print."""
    (folder / "warm").mkdir()
    place = Place(pages, subset(data / ARCHIVE, WARM_PAGES, folder / "warm").path, data / MODEL, folder, pin())
    tokens = data / "tokenizers/gpt2"
    with ExitStack() as stack:
        sides = [stack.enter_context(ours(place, engine)) for engine in engines]
        missing: dict[str, str] = {}
        try:
            sides.append(stack.enter_context(datatrove(place)))
        except Failed as e:
            missing["datatrove"] = str(e)
        crashed = in_turn(sides, rounds)
        sides = [side for side in sides if side.name not in crashed]
        for side in sides:
            if side.is_ours:
                side.stages = side.ask({"run": 1, "stages": 1})["stages"]
        kept = {side.name: kept_by(side.output, tokens) for side in sides}
    losses = {engine: screen_loss(place, engine, kept, tokens) for engine in engines}
    return show(sides, kept, losses, missing | crashed, pages)


def in_turn(sides: Sequence[Side], rounds: int) -> dict[str, str]:
    """Every side once a round, so that a slow minute hits all. Peer to reason for those that crashed on the way."""
    crashed: dict[str, str] = {}
    for _ in range(rounds):
        for side in sides:
            if side.name in crashed:
                continue
            try:
                side.run()
            except Failed as e:
                if side.is_ours:
                    raise
                crashed[side.name] = str(e)
    return crashed


@dataclass(frozen=True)
class Place:
    """What is cleaned, and where."""

    pages: Subset
    warm: Path
    model: Path
    folder: Path
    core: int | None

    def question(self, name: str) -> dict[str, Any]:
        folder = self.folder / name
        folder.mkdir()
        return {"archive": str(self.pages.path), "model": str(self.model), "folder": str(folder), "core": self.core}


def ours(place: Place, engine: str, screen: bool = True) -> Side:
    recipe = recipe_of(place.model, engine, screen).model_dump(mode="json", exclude_none=True)
    name = engine if screen else f"{engine} without screen"
    talk = Conversation([sys.executable, "-m", "benchmarks.clean_worker"])
    return Side.started(name, talk, place.question(name) | {"warm": str(place.warm), "recipe": recipe}, is_ours=True)


def datatrove(place: Place) -> Side:
    return Side.started("datatrove", Conversation(peer_command("run_clean.py")), place.question("datatrove"))


def recipe_of(model: Path, engine: str, screen: bool) -> Recipe:
    """The english recipe with FineWeb's rules and lists."""
    settings = [
        f"clean.language.model={model}",
        f'clean.url.lists=["{DATATROVE}"]',
        f"clean.extract.engine={engine}",
        f"clean.extract.screen={str(screen).lower()}",
    ]
    recipe = load_recipe("english", settings)
    named = {rule.use for rule in recipe.clean.rules}
    more = ", ".join(f'{{use="{name}"}}' for name in FINEWEB if name in RULES and name not in named)
    if not more:
        return recipe
    there = ", ".join(_inline(rule.model_dump(exclude_none=True)) for rule in recipe.clean.rules)
    return load_recipe("english", [*settings, f"clean.rules=[{there}, {more}]"])


def screen_loss(place: Place, engine: str, kept: Mapping[str, Kept], tokens: Path) -> Loss | None:
    if engine not in kept:
        return None
    with ours(place, engine, screen=False) as side:
        side.run()
        return loss(kept[engine], kept_by(side.output, tokens), side.pages_a_second(place.pages.pages))


def _inline(values: Mapping[str, Any]) -> str:
    """A flat table as TOML writes it in a line."""
    return "{" + ", ".join(f"{key}={value!r}" for key, value in values.items()) + "}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks clean", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--docs", type=int, default=1200, help="HTML pages, evenly spread; 0 for all; default: 1,200")
    parser.add_argument("--as-it-is", action="store_true", help="do not say that the pages are HTML")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("CORPUSMILL_DATA", ROOT.parent / "shared/data"))
    )
    return parser

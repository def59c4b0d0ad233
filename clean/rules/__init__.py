"""Rules by name. Adding one is its file, one line here, and its rows in the test table.

A recipe may also name any class on the path (`use = "their_pkg.rules:Boilerplate"`), a datatrove filter included.
"""

from corpusmill.clean.rules.c4_quality import C4Quality
from corpusmill.clean.rules.fineweb_quality import FineWebQuality
from corpusmill.clean.rules.gopher_quality import GopherQuality
from corpusmill.clean.rules.gopher_repetition import GopherRepetition
from corpusmill.clean.rules.lengths import Lengths
from corpusmill.clean.rules.rule import Rule
from corpusmill.clean.rules.symbols import Symbols

RULES: dict[str, type[Rule]] = {
    "gopher_quality": GopherQuality,
    "gopher_repetition": GopherRepetition,
    "c4_quality": C4Quality,
    "fineweb_quality": FineWebQuality,
    "lengths": Lengths,
    "symbols": Symbols,
}

__all__ = [
    "RULES",
    "C4Quality",
    "FineWebQuality",
    "GopherQuality",
    "GopherRepetition",
    "Lengths",
    "Rule",
    "Symbols",
]

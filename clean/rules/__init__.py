"""Rules by name. Adding one is its file, one line here, and its rows in the test table.

A recipe may also name any class on the path (`use = "their_pkg.rules:Boilerplate"`), a datatrove filter included.
"""

from corpusmill.clean.rules.gopher_quality import GopherQuality
from corpusmill.clean.rules.rule import Rule

RULES: dict[str, type[Rule]] = {
    "gopher_quality": GopherQuality,
}

__all__ = ["RULES", "GopherQuality", "Rule"]

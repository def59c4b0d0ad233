"""Editors by name. They rewrite text, and say what they changed; adding one is its file and one line here.

A recipe may also name any class on the path that has `edit(text) -> Edit` (`use = "their_pkg.editors:Dehyphenate"`).
"""

from corpusmill.clean.editors.c4_lines import C4Lines
from corpusmill.clean.editors.citations import Citations
from corpusmill.clean.editors.editor import Edit, Editor
from corpusmill.clean.editors.ftfy_text import Ftfy
from corpusmill.clean.editors.pii_mask import PiiMask
from corpusmill.clean.editors.refinedweb_lines import RefinedWebLines
from corpusmill.clean.editors.whitespace import Whitespace

EDITORS: dict[str, type[Editor]] = {
    "ftfy": Ftfy,
    "whitespace": Whitespace,
    "citations": Citations,
    "c4_lines": C4Lines,
    "refinedweb_lines": RefinedWebLines,
    "pii": PiiMask,
}

__all__ = [
    "EDITORS",
    "C4Lines",
    "Citations",
    "Edit",
    "Editor",
    "Ftfy",
    "PiiMask",
    "RefinedWebLines",
    "Whitespace",
]

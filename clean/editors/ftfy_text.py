"""Broken characters mended (ftfy)."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from corpusmill.clean.editors.editor import Edit, Editor

_UNUSUAL = re.compile(r"[^\n -%'-~]")
"""Plain ASCII without entities or control characters is what ftfy leaves alone."""
_MENDED = re.compile(
    "[&\x00-\x08\x0b-\x1f\x7f-\x9f\u0132\u0133\u0149\u01f1-\u01f3\u01c4-\u01cc\u2028\u2029\u206a-\u206f\u3000"
    "\ufb00-\ufb06\ufeff\uff01-\uffef\ufff9-\ufffc\ud800-\udfff\U000e0000-\U000e0fff]"
)
"""What ftfy's steps beside mojibake look for: entities, terminal codes, C0 and C1 controls, Latin ligatures, widths,
line ends, surrogates, control characters."""

_MAX_CHARS = 1_000_000
"""ftfy cuts longer lines; such texts are left to it as a whole."""
_LINE_ENDS = re.compile("[\r\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ftfy(Editor):
    """Mend mojibake, entities, control characters and line ends (ftfy, Speer 2019), and compose characters (NFC).

    Curly quotes stay: they are how people write, and a tokenizer can learn them. ftfy is asked only where one of its
    steps has something to do, which a few searches tell in a twentieth of its time.
    """

    uncurl_quotes: bool = False

    def edit(self, text: str) -> Edit:
        if not _UNUSUAL.search(text):
            return Edit(text)
        whole = len(text) > _MAX_CHARS or _LINE_ENDS.search(text)
        mended = self._mend(text) if whole else self._mend_lines(text)
        return Edit(text) if mended == text else Edit(mended, {"text": 1})

    def _mend(self, text: str, unescape_html: bool | str = "auto") -> str:
        import ftfy

        mended: str = ftfy.fix_text(
            text, unescape_html=unescape_html, uncurl_quotes=self.uncurl_quotes, normalization="NFC"
        )
        return mended

    def _mend_lines(self, text: str) -> str:
        """ftfy goes line by line itself; of the others a line knows only whether one before it has a "<": from there on
        entities are taken for meant."""
        lines = text.split("\n")
        odd = [i for i, line in enumerate(lines) if not line.isascii() or "&" in line or _MENDED.search(line)]
        markup = next((i for i in range(len(lines)) if "<" in lines[i]), len(lines)) if "<" in text else len(lines)
        for i in odd:
            if not self._is_whole(lines[i]):
                lines[i] = self._mend(lines[i], i < markup)
        return "\n".join(lines)

    def _is_whole(self, line: str) -> bool:
        """Whether ftfy would leave a line as it is."""
        from ftfy.badness import is_bad

        if self.uncurl_quotes or _MENDED.search(line) or not unicodedata.is_normalized("NFC", line):
            return False
        return not is_bad(line)

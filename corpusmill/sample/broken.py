"""Pages that no parser should trust: damage done to good HTML, and bodies that are no HTML at all."""

from __future__ import annotations

import base64
import json
import random
import re

DAMAGES = ("cut", "unclosed", "deep", "binary")
NESTING = 300

_CLOSING = re.compile(r"</(?:p|li|td|tr|h2)>")
_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_PDF = "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n% {}\ntrailer<</Root 1 0 R>>\n%%EOF\n"


def wrap(content: str, damage_kind: str) -> str:
    """Bury `content` under 300 levels of div for "deep"; anything else is left as it is."""
    if damage_kind != "deep":
        return content
    return "<div>" * NESTING + content + "</div>" * NESTING


def damage(html: str, content: str, damage_kind: str) -> str:
    """`html` as a bad connection ("cut") or a careless author ("unclosed") leaves it."""
    if damage_kind == "cut":
        return html[: html.index(content) + len(content)] + '\n<p>\n<a href="/rel'
    if damage_kind == "unclosed":
        return html.replace(content, _CLOSING.sub("", content))
    return html


def garbage(rng: random.Random) -> bytes:
    """Random bytes, which a server may well send as text/html."""
    return rng.randbytes(rng.randint(500, 6000))


def not_html(sentence: str, rng: random.Random) -> tuple[str, str, bytes]:
    """Content type, file ending and a small body of that type."""
    kind = rng.choice(("pdf", "png", "json", "txt"))
    if kind == "png":
        return "image/png", kind, _PNG
    if kind == "json":
        return "application/json", kind, json.dumps({"id": rng.randint(1, 9999), "text": sentence}).encode()
    if kind == "txt":
        return "text/plain", kind, f"{sentence}\n".encode()
    return "application/pdf", kind, _PDF.format(rng.randint(1, 9999)).encode()

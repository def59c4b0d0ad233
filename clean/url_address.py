"""What an address is compared by: its host as the DNS knows it, and the whole of it decoded and in lower case."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

_SCHEME = re.compile(r"\s*(?:[a-z][a-z0-9+.\-]*:)?//", re.IGNORECASE)
_AUTHORITY_ENDS = re.compile(r"[/?#\\]")
_PORT = re.compile(r":\d*$")


class Address(NamedTuple):
    host: str
    location: str
    """The host without "www." and what follows it, without fragment and without a slash at the end."""
    text: str
    """All of it, but for the scheme: what words are looked for in."""


def address_of(url: str) -> Address:
    """A URL may lack its scheme, as entries of lists do. Nothing here raises: of a broken one, the pieces there are."""
    rest = url[scheme.end() :] if (scheme := _SCHEME.match(url)) else url
    split = _AUTHORITY_ENDS.search(rest)
    authority, tail = (rest[: split.start()], rest[split.start() :]) if split else (rest, "")
    host = host_name(authority)
    path = decoded(tail.partition("#")[0]).lower()
    return Address(host, host.removeprefix("www.") + path.rstrip("/"), f"{readable(host)} {decoded(tail)}")


def readable(host: str) -> str:
    """The host with letters beyond ASCII where the DNS writes xn--."""
    if "xn--" not in host:
        return host
    try:
        return host.encode("ascii").decode("idna")
    except UnicodeError:
        return host


def host_name(authority: str) -> str:
    """The host in lower case, without user, port and the dot of the root; in ASCII if it can be."""
    host = authority.rpartition("@")[2] if "@" in authority else authority
    if ":" in host:
        host = _PORT.sub("", host)
    host = decoded(host).lower().strip(". ")
    if not host.isascii():
        try:
            return host.encode("idna").decode("ascii")
        except UnicodeError:
            return host
    return host


def decoded(text: str) -> str:
    return unquote(text, errors="replace") if "%" in text else text

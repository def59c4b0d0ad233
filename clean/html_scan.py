"""A page's UTF-8 bytes to text blocks and the tree above them, in one pass of a numba kernel.

A block is the text between two block-level tags, white space collapsed and entities decoded; `<br>` ends a line in it.
This is no parser of the HTML standard: implied end tags (`p`, `li`, `dt`, `dd`, `td`, `th`, `tr`, `a`), void
elements, stray end tags and mis-nested inline tags are handled as far as they decide which text stands where.
Linear in the page's size: what was searched once without success is not searched again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from corpusmill.clean.html_names import (
    BASIS,
    BLOCK,
    CELL,
    CLOSES_P,
    CODE,
    CP1252,
    DT,
    ENTITY_CODE,
    ENTITY_HASH,
    LI,
    LIST,
    NEEDS_SEMICOLON,
    PRIME,
    RAW,
    ROW,
    SKIP,
    TABLE,
    TAG_CODE,
    TAG_HASH,
    TAG_PROPS,
    VOID,
    fnv,
)

_MAX_DEPTH = 400
"""Elements deeper than this are not told apart: their text stands under the last one."""
_MAX_WORDS = 16
"""Words read of one attribute."""
HIDDEN, HREF, ARIA_HIDDEN = 1, 2, 4
"""Bits of `Scan.el_flags`."""
_A_CLASS, _A_ID, _A_ROLE, _A_ITEMPROP, _A_STYLE, _A_HIDDEN, _A_HREF, _A_ARIA = (
    np.uint64(fnv(n)) for n in ("class", "id", "role", "itemprop", "style", "hidden", "href", "aria-hidden")
)
_T_A, _T_P, _T_BR, _T_TITLE, _T_PRE = (CODE[n] for n in ("a", "p", "br", "title", "pre"))
_ONE = np.uint64(1)


class Scan(NamedTuple):
    text: np.ndarray  # uint8: blocks one after another
    start: np.ndarray  # int32 [blocks]: into text
    end: np.ndarray
    element: np.ndarray  # int32 [blocks]: the element that holds the block's first letter
    link_bytes: np.ndarray  # int32 [blocks]
    links: np.ndarray
    breaks: np.ndarray
    el_tag: np.ndarray  # uint8 [elements]: 0 is the root
    el_parent: np.ndarray  # int32
    el_flags: np.ndarray  # uint8
    el_class: np.ndarray  # uint64: hash of tag, class (digits left out)
    el_block: np.ndarray  # int32 [elements, 2]: first block below, one past the last
    el_token: np.ndarray  # int32 [elements, 2]: into tokens
    tokens: np.ndarray  # uint64: words of class, id, role and itemprop
    title: np.ndarray  # int64 [2]: byte span of the title in the page


def scan(page: bytes) -> Scan:
    """`page` must be UTF-8. Blocks without text are left out."""
    data = np.frombuffer(page, np.uint8)
    return Scan(*_scan(data, TAG_HASH, TAG_CODE, TAG_PROPS, ENTITY_HASH, ENTITY_CODE, CP1252))


@njit(cache=True, inline="always")
def _space(c: int) -> bool:
    return c == 32 or (9 <= c <= 13)


@njit(cache=True, inline="always")
def _lower(c: int) -> int:
    return c + 32 if 65 <= c <= 90 else c


@njit(cache=True)
def _find(hashes: np.ndarray, values: np.ndarray, h: np.uint64) -> int:
    mask = np.uint64(hashes.size - 1)
    at = h & mask
    while hashes[at] != 0:
        if hashes[at] == h:
            return values[at]
        at = (at + _ONE) & mask
    return -1


@njit(cache=True)
def _find_close(data: np.ndarray, i: int, name_from: int, name_to: int) -> int:
    """Position of `</name` at or after i, or -1."""
    n, length = data.size, name_to - name_from
    last = n - length - 2
    while i <= last:
        if data[i] == 60 and data[i + 1] == 47:
            k = 0
            while k < length and _lower(data[i + 2 + k]) == _lower(data[name_from + k]):
                k += 1
            if k == length:
                after = data[i + 2 + length] if i + 2 + length < n else 62
                if _space(after) or after == 62 or after == 47:
                    return i
        i += 1
    return -1


@njit(cache=True)
def _put(out: np.ndarray, o: int, c: int) -> int:
    """Code point as UTF-8."""
    if c < 0x80:
        out[o] = c
        return o + 1
    if c < 0x800:
        out[o] = 0xC0 | (c >> 6)
        out[o + 1] = 0x80 | (c & 63)
        return o + 2
    if c < 0x10000:
        out[o] = 0xE0 | (c >> 12)
        out[o + 1] = 0x80 | ((c >> 6) & 63)
        out[o + 2] = 0x80 | (c & 63)
        return o + 3
    out[o] = 0xF0 | (c >> 18)
    out[o + 1] = 0x80 | ((c >> 12) & 63)
    out[o + 2] = 0x80 | ((c >> 6) & 63)
    out[o + 3] = 0x80 | (c & 63)
    return o + 4


@njit(cache=True)
def _entity(
    data: np.ndarray, i: int, end: int, ent_hash: np.ndarray, ent_code: np.ndarray, cp1252: np.ndarray
) -> tuple[int, int]:
    """(code point, bytes read) of the reference at i, which is an ampersand; (-1, 1) if it is none."""
    j = i + 1
    if j >= end:
        return -1, 1
    if data[j] == 35:
        j += 1
        value, digits = 0, 0
        if j < end and (data[j] | 32) == 120:
            j += 1
            while j < end:
                c = data[j] | 32
                if 48 <= data[j] <= 57:
                    value = min(value * 16 + (data[j] - 48), 0x110000)
                elif 97 <= c <= 102:
                    value = min(value * 16 + (c - 87), 0x110000)
                else:
                    break
                digits += 1
                j += 1
        else:
            while j < end and 48 <= data[j] <= 57:
                value = min(value * 10 + (data[j] - 48), 0x110000)
                digits += 1
                j += 1
        if digits == 0:
            return -1, 1
        if j < end and data[j] == 59:
            j += 1
        if 128 <= value < 160:
            value = cp1252[value - 128]
        if value == 0 or value >= 0x110000 or 0xD800 <= value < 0xE000:
            value = 0xFFFD
        elif value < 32:
            value = 32
        return value, j - i
    h = BASIS
    while j < end and j - i < 12:
        c = data[j]
        if not (97 <= c <= 122 or 65 <= c <= 90 or 48 <= c <= 57):
            break
        h = (h ^ np.uint64(c)) * PRIME
        j += 1
    if j - i < 3:
        return -1, 1
    code = _find(ent_hash, ent_code, h)
    if code < 0:
        return -1, 1
    if j < end and data[j] == 59:
        j += 1
    elif code >= NEEDS_SEMICOLON:
        return -1, 1
    return code & (NEEDS_SEMICOLON - 1), j - i


@njit(cache=True)
def _words(data: np.ndarray, i: int, end: int, seed: np.uint64, tokens: np.ndarray, t: int) -> int:
    """Append the words of an attribute, and the pairs of words within one class name, hashed in lower case."""
    h = seed
    length, last, taken = 0, np.uint64(0), 0
    was_lower = False
    for k in range(i, end + 1):
        c = data[k] if k < end else 32
        letter = 97 <= c <= 122 or 65 <= c <= 90 or c >= 128
        if length > 0 and (not letter or (was_lower and 65 <= c <= 90)):
            if length > 1 and taken < _MAX_WORDS:
                tokens[t] = h
                t += 1
                taken += 1
                if last != 0:
                    tokens[t] = last * PRIME ^ h
                    t += 1
                last = h
            h, length = seed, 0
        if letter:
            h = (h ^ np.uint64(_lower(c))) * PRIME
            length += 1
        elif _space(c):
            last = np.uint64(0)
        was_lower = 97 <= c <= 122
    return t


@njit(cache=True)
def _hides(data: np.ndarray, i: int, end: int) -> bool:
    """Whether a style says display:none."""
    k = i
    while k + 11 < end + 1:
        if (
            (data[k] | 32) == 100
            and (data[k + 1] | 32) == 105
            and (data[k + 6] | 32) == 121
            and (data[k + 3] | 32) == 112
        ):
            m = k + 7
            while m < end and (data[m] == 32 or data[m] == 58):
                m += 1
            return m + 3 < end and (data[m] | 32) == 110 and (data[m + 1] | 32) == 111 and (data[m + 2] | 32) == 110
        k += 1
    return False


@njit(cache=True)
def _scan(
    data: np.ndarray,
    tag_hash: np.ndarray,
    tag_code: np.ndarray,
    tag_props: np.ndarray,
    ent_hash: np.ndarray,
    ent_code: np.ndarray,
    cp1252: np.ndarray,
) -> tuple[Any, ...]:
    n = data.size
    opens = 0
    for k in range(n):
        opens += data[k] == 60
    cap = opens + 2
    out = np.empty(n + 2 * opens + 16, np.uint8)
    b_start, b_end = np.empty(cap, np.int32), np.empty(cap, np.int32)
    b_el, b_link = np.empty(cap, np.int32), np.empty(cap, np.int32)
    b_links, b_breaks = np.empty(cap, np.int32), np.empty(cap, np.int32)
    e_tag, e_parent = np.empty(cap, np.uint8), np.empty(cap, np.int32)
    e_flags, e_class = np.empty(cap, np.uint8), np.empty(cap, np.uint64)
    e_block, e_token = np.empty((cap, 2), np.int32), np.empty((cap, 2), np.int32)
    tokens = np.empty(n + 64, np.uint64)  # a word and its pair take two letters
    title = np.zeros(2, np.int64)
    no_close = np.zeros(tag_props.size, np.uint8)
    no_comment_end, no_double, no_single = False, False, False
    stack = np.empty(_MAX_DEPTH, np.int32)

    e_tag[0], e_parent[0], e_flags[0], e_class[0] = 0, 0, 0, 0
    e_block[0, 0], e_token[0, 0], e_token[0, 1] = 0, 0, 0
    stack[0] = 0
    depth, elements, t = 1, 1, 0
    nb, o, begin = 0, 0, 0
    holder, spaced, breaks, links = -1, True, 0, 0
    linked, link_from, in_link, in_pre = 0, 0, 0, 0

    i = 0
    while i < n:
        c = data[i]
        if c != 60:
            # text, up to the next tag
            while i < n and data[i] != 60:
                c = data[i]
                if c > 32 and c != 38 and c != 0xC2:
                    if holder < 0:
                        holder = stack[depth - 1]
                    out[o] = c
                    o += 1
                    spaced = False
                    i += 1
                    continue
                step, code = 1, int(c)
                if c == 38:
                    code, step = _entity(data, i, n, ent_hash, ent_code, cp1252)
                    if code < 0:
                        code = 38
                elif c == 0xC2 and i + 1 < n:
                    code, step = int(data[i + 1]), 2
                i += step
                if in_pre > 0 and holder >= 0 and (code == 10 or code == 9 or code == 32 or code == 13):
                    if code != 13:
                        out[o] = code
                        o += 1
                    spaced = True
                elif code <= 32 or code == 0xA0:
                    if not spaced:
                        out[o] = 32
                        o += 1
                        spaced = True
                elif code != 0xAD:  # soft hyphens are layout
                    if holder < 0:
                        holder = stack[depth - 1]
                    o = _put(out, o, code)
                    spaced = False
            continue
        d = data[i + 1] if i + 1 < n else 0
        if d == 33 or d == 63:
            j = -1
            if d == 33 and i + 3 < n and data[i + 2] == 45 and data[i + 3] == 45 and not no_comment_end:
                k = i + 4
                if k < n and data[k] == 62:
                    j = k + 1
                while j < 0 and k + 2 < n:
                    if data[k] == 45 and data[k + 1] == 45 and data[k + 2] == 62:
                        j = k + 3
                    k += 1
                no_comment_end = j < 0
            if j < 0:
                j = i + 2
                while j < n and data[j] != 62:
                    j += 1
                j += 1
            i = j
            continue
        closing = d == 47
        j = i + 2 if closing else i + 1
        first = _lower(data[j]) if j < n else 0
        if not 97 <= first <= 122:
            if closing:  # </> and the like are comments
                while j < n and data[j] != 62:
                    j += 1
                i = j + 1
            else:  # a bare less-than sign is text
                if holder < 0:
                    holder = stack[depth - 1]
                out[o] = 60
                o += 1
                spaced = False
                i += 1
            continue
        name_from = j
        h = BASIS
        while j < n and not (_space(data[j]) or data[j] == 62 or data[j] == 47):
            h = (h ^ np.uint64(_lower(data[j]))) * PRIME
            j += 1
        name_to = j
        tag = _find(tag_hash, tag_code, h)
        if tag < 0:
            tag = 0
        props = tag_props[tag]
        # attributes
        token_from, flags, klass = t, 0, h
        while j < n and data[j] != 62:
            if _space(data[j]) or data[j] == 47:
                j += 1
                continue
            a = BASIS
            while j < n and not (_space(data[j]) or data[j] == 62 or data[j] == 61 or data[j] == 47):
                a = (a ^ np.uint64(_lower(data[j]))) * PRIME
                j += 1
            k = j
            while k < n and _space(data[k]):
                k += 1
            value_from, value_to = k, k
            if k < n and data[k] == 61:
                k += 1
                while k < n and _space(data[k]):
                    k += 1
                quote = data[k] if k < n else 0
                value_from = k
                if (quote == 34 and not no_double) or (quote == 39 and not no_single):
                    k += 1
                    value_from = k
                    while k < n and data[k] != quote:
                        k += 1
                    if k >= n:
                        if quote == 34:
                            no_double = True
                        else:
                            no_single = True
                        k = value_from
                        while k < n and not (_space(data[k]) or data[k] == 62):
                            k += 1
                        value_to = k
                    else:
                        value_to = k
                        k += 1
                else:
                    while k < n and not (_space(data[k]) or data[k] == 62):
                        k += 1
                    value_to = k
                j = k
            if closing:
                continue
            if a == _A_CLASS:
                t = _words(data, value_from, value_to, BASIS, tokens, t)
                for m in range(value_from, value_to):
                    if not 48 <= data[m] <= 57:
                        klass = (klass ^ np.uint64(data[m])) * PRIME
            elif a == _A_ID:
                t = _words(data, value_from, value_to, BASIS, tokens, t)
            elif a == _A_ROLE:
                t = _words(data, value_from, value_to, BASIS ^ np.uint64(77), tokens, t)
            elif a == _A_ITEMPROP:
                t = _words(data, value_from, value_to, BASIS ^ np.uint64(99), tokens, t)
            elif a == _A_STYLE:
                if _hides(data, value_from, value_to):
                    flags |= HIDDEN
            elif a == _A_HIDDEN:
                flags |= HIDDEN
            elif a == _A_ARIA:
                if value_to - value_from == 4:
                    flags |= ARIA_HIDDEN
            elif a == _A_HREF:
                flags |= HREF
        i = j + 1
        if not closing and props & SKIP:
            t = token_from
            if tag == 0 or no_close[tag]:
                continue
            if data[min(j, n) - 1] == 47 and not props & RAW:
                continue  # <svg/>
            at = _find_close(data, i, name_from, name_to)
            if at < 0:
                no_close[tag] = 1
                if props & RAW:
                    i = n
                continue
            if tag == _T_TITLE and title[1] == 0:
                title[0], title[1] = i, at
            while at < n and data[at] != 62:
                at += 1
            i = at + 1
            continue
        if props & BLOCK and holder >= 0:
            # the block ends here
            if in_link > 0:
                linked += o - link_from
            while o > begin and out[o - 1] <= 32:
                o -= 1
            if o > begin:
                b_start[nb], b_end[nb], b_el[nb] = begin, o, holder
                b_link[nb], b_links[nb], b_breaks[nb] = min(linked, o - begin), links, breaks
                nb += 1
            begin, holder, spaced, breaks, links, linked = o, -1, True, 0, 0, 0
            link_from = o
        elif props & BLOCK:
            o, spaced = begin, True
            link_from = o
        if closing:
            if tag == _T_BR:
                continue
            # whom does it close?
            k = depth - 1
            found = -1
            while k > 0:
                e = stack[k]
                if e_tag[e] == tag:
                    found = k
                    break
                up = tag_props[e_tag[e]]
                if (props & BLOCK) == 0 and up & BLOCK:
                    break
                if up & CELL and not props & (CELL | ROW | TABLE) and props & BLOCK:
                    break
                if up & TABLE and not props & TABLE:
                    break
                k -= 1
            if found < 0:
                continue
            target = found
        else:
            # implied ends
            target = depth
            if props & CLOSES_P:
                k = depth - 1
                while k > 0:
                    e = stack[k]
                    if e_tag[e] == _T_P:
                        target = k
                        break
                    if tag_props[e_tag[e]] & BLOCK:
                        break
                    k -= 1
            group = props & (LI | DT | CELL | ROW)
            if group:
                k = depth - 1
                while k > 0:
                    up = tag_props[e_tag[stack[k]]]
                    if up & group:
                        target = k
                        break
                    if up & (LIST | TABLE) or (up & CELL and not group & (ROW | CELL)):
                        break
                    if up & ROW and group & CELL:
                        break
                    k -= 1
            if tag == _T_A and in_link > 0:
                k = depth - 1
                while k > 0:
                    e = stack[k]
                    if e_tag[e] == _T_A:
                        target = min(target, k)
                        break
                    if tag_props[e_tag[e]] & BLOCK:
                        break
                    k -= 1
        while depth > target:
            depth -= 1
            e = stack[depth]
            # an inline element may close before the block whose first letter it holds does
            e_block[e, 1] = nb + (holder >= e)
            if e_tag[e] == _T_A and e_flags[e] & HREF:
                in_link -= 1
                if in_link == 0:
                    linked += o - link_from
            elif e_tag[e] == _T_PRE:
                in_pre -= 1
        if closing:
            continue
        if props & VOID:
            t = token_from
            if tag == _T_BR and holder >= 0:
                if o > begin and out[o - 1] == 32:
                    o -= 1
                out[o] = 10
                o += 1
                breaks += 1
                spaced = True
            continue
        if depth >= _MAX_DEPTH:
            t = token_from
            continue
        e = elements
        elements += 1
        e_tag[e], e_parent[e], e_flags[e], e_class[e] = tag, stack[depth - 1], flags, klass
        e_block[e, 0] = nb
        e_token[e, 0], e_token[e, 1] = token_from, t
        stack[depth] = e
        depth += 1
        if tag == _T_A and flags & HREF:
            if in_link == 0:
                link_from = o
            in_link += 1
            links += 1
        elif tag == _T_PRE:
            in_pre += 1

    if holder >= 0:
        if in_link > 0:
            linked += o - link_from
        while o > begin and out[o - 1] <= 32:
            o -= 1
        if o > begin:
            b_start[nb], b_end[nb], b_el[nb] = begin, o, holder
            b_link[nb], b_links[nb], b_breaks[nb] = min(linked, o - begin), links, breaks
            nb += 1
    while depth > 0:
        depth -= 1
        e_block[stack[depth], 1] = nb
    return (
        out[:o], b_start[:nb], b_end[:nb], b_el[:nb], b_link[:nb], b_links[:nb], b_breaks[:nb],
        e_tag[:elements], e_parent[:elements], e_flags[:elements], e_class[:elements], e_block[:elements],
        e_token[:elements], tokens[:t], title,
    )  # fmt: skip

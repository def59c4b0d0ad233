"""Blocks of a scanned page to a matrix of features: the block's own text, its place in the tree, its neighbours.

After Kohlschütter et al. 2010 (text and link density of a block and its neighbours) and Readability (which container
holds the paragraphs), with words of class names weighed by what they held elsewhere.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from corpusmill.clean.html_names import BASIS, CODE, PRIME, TAG_PROPS, TAGS
from corpusmill.clean.html_scan import Scan

_NAMES = (
    # own text
    "words chars chars_per_word commas stops digits capitals ends_sentence ends_colon starts_lower link_ratio links "
    "breaks link_words in_title repeated bars "
    # place
    "tag parent_tag depth in_article in_main in_header in_footer in_nav in_aside in_form in_figure in_table in_list "
    "in_li in_quote in_heading in_button hidden aria_hidden in_link in_details in_p "
    "heading_level "
    # names
    "name_self name_up1 name_up2 name_up3 name_min name_max name_sum "
    # position
    "index_share words_before_share after_h1 words_after_h1 blocks_since_h1 "
    # containers
    "c1_words c1_link c1_good c1_blocks c2_words c2_link c2_good c2_blocks c3_words c3_link c3_good c3_blocks "
    "c4_words c4_link c4_good c4_blocks "
    "in_50 in_75 in_90 below_50 below_75 below_90 in_best below_best best_good best_link up_to_best "
    # blocks of the same style
    "style_blocks style_words style_mean style_link style_good "
    "pstyle_blocks pstyle_words pstyle_mean pstyle_link pstyle_good "
    # neighbours
    "p1_words p1_link p1_good p1_tag p1_style p2_words p2_link p2_good n1_words n1_link n1_good n1_tag n1_style "
    "n2_words n2_link n2_good since_good until_good good_before good_after run_good "
    # page
    "page_words page_good page_blocks page_link page_good_blocks page_p_share repeats style_good_share"
)
NAMES = _NAMES.split()
INDEX = {n: i for i, n in enumerate(NAMES)}
COLUMNS = len(NAMES)
_OWN = 104

_BITS = {
    "article": 0, "main": 1, "header": 2, "footer": 3, "nav": 4, "aside": 5, "form": 6, "fieldset": 6, "figure": 7,
    "figcaption": 7, "table": 8, "ul": 9, "ol": 9, "dl": 9, "menu": 9, "li": 10, "blockquote": 11, "h1": 12, "h2": 12,
    "h3": 12, "h4": 12, "h5": 12, "h6": 12, "button": 13, "label": 13, "legend": 13, "a": 16, "details": 17,
    "dialog": 17, "p": 18,
}  # fmt: skip
TAG_BITS = np.array([1 << _BITS[t] if t in _BITS else 0 for t in TAGS], np.int64)
HEADING = np.array([int(t[1]) if len(t) == 2 and t[0] == "h" and t[1] in "123456" else 0 for t in TAGS], np.int64)
_HIDDEN, _ARIA, _LINK = 1 << 14, 1 << 15, 1 << 16
_P = CODE["p"]


def features(scan: Scan, page: bytes, names: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """float32 [blocks, COLUMNS]. `names`: (hashes uint64, weights float32), an open-addressed table."""
    if not len(scan.start):
        return np.zeros((0, COLUMNS), np.float32)
    data = np.frombuffer(page, np.uint8)
    return _features(
        data, scan.text, scan.start, scan.end, scan.element, scan.link_bytes, scan.links, scan.breaks, scan.el_tag,
        scan.el_parent, scan.el_flags, scan.el_class, scan.el_block, scan.el_token, scan.tokens, scan.title,
        names[0], names[1], TAG_PROPS, TAG_BITS, HEADING,
    )  # fmt: skip


@njit(cache=True, inline="always")
def _letter(c: int) -> bool:
    return 97 <= c <= 122 or 65 <= c <= 90 or c >= 128 or 48 <= c <= 57


@njit(cache=True)
def _weight(hashes: np.ndarray, weights: np.ndarray, h: np.uint64) -> np.float32:
    mask = np.uint64(hashes.size - 1)
    at = h & mask
    while hashes[at] != 0:
        if hashes[at] == h:
            return weights[at]
        at = (at + np.uint64(1)) & mask
    return np.float32(0)


@njit(cache=True)
def _slot(keys: np.ndarray, h: np.uint64) -> np.uint64:
    mask = np.uint64(keys.size - 1)
    at = h & mask
    while keys[at] != 0 and keys[at] != h:
        at = (at + np.uint64(1)) & mask
    keys[at] = h
    return at


@njit(cache=True)
def _features(  # type: ignore[no-untyped-def]
    data, text, start, end, element, link_bytes, links, breaks, el_tag, el_parent, el_flags, el_class, el_block,
    el_token, tokens, title, name_hash, name_weight, tag_props, tag_bits, heading,
):  # fmt: skip
    nb, ne = start.size, el_tag.size
    own = np.zeros((nb, _OWN), np.float32)
    one = np.uint64(1)
    # words of the title
    title_words = np.zeros(128, np.uint64)
    h, length, kept = BASIS, 0, 0
    for k in range(title[0], title[1] + 1):
        c = data[k] if k < title[1] else 32
        if _letter(c):
            h = (h ^ np.uint64(c + 32 if 65 <= c <= 90 else c)) * PRIME
            length += 1
        else:
            if length > 0 and kept < 64:
                _slot(title_words, h)
                kept += 1
            h, length = BASIS, 0

    # elements: what they inherit
    bits = np.zeros(ne, np.int64)
    level = np.zeros(ne, np.int32)
    own_name, min_name, max_name, sum_name = (
        np.zeros(ne, np.float32), np.zeros(ne, np.float32), np.zeros(ne, np.float32), np.zeros(ne, np.float32)
    )  # fmt: skip
    holder = np.zeros(ne, np.int32)  # nearest block-level element, itself included
    for e in range(1, ne):
        p = el_parent[e]
        b = tag_bits[el_tag[e]]
        if b == _LINK and not el_flags[e] & 2:
            b = 0
        if el_flags[e] & 1:
            b |= _HIDDEN
        if el_flags[e] & 4:
            b |= _ARIA
        bits[e] = bits[p] | b
        level[e] = level[p] + 1
        w = np.float32(0)
        for k in range(el_token[e, 0], el_token[e, 1]):
            w += _weight(name_hash, name_weight, tokens[k])
        w = min(max(w, np.float32(-6)), np.float32(6))
        own_name[e] = w
        min_name[e] = min(min_name[p], w)
        max_name[e] = max(max_name[p], w)
        sum_name[e] = sum_name[p] + w
        holder[e] = e if tag_props[el_tag[e]] & 1 else holder[p]

    # blocks: their text
    words = np.zeros(nb, np.float32)
    ratio = np.zeros(nb, np.float32)
    good = np.zeros(nb, np.float32)
    style = np.zeros(nb, np.uint64)
    pstyle = np.zeros(nb, np.uint64)
    size = 16
    while size < 2 * nb + 2:
        size *= 2
    text_keys = np.zeros(size, np.uint64)
    text_seen = np.zeros(size, np.uint8)
    text_slot = np.zeros(nb, np.int64)
    best_title, h1_block = np.float32(-1), -1
    for b in range(nb):
        i, j = start[b], end[b]
        spaces, chars, wide, thai, commas, stops, digits, capitals, bars = 0, 0, 0, 0, 0, 0, 0, 0, 0
        titled, counted = 0, 0
        h, length = BASIS, 0
        whole = BASIS
        fresh = True
        for k in range(i, j + 1):
            c = text[k] if k < j else 32
            if c <= 32:
                spaces += not fresh
                fresh = True
            elif c < 128:
                chars += 1
                if fresh:
                    if 65 <= c <= 90:
                        capitals += 1
                    fresh = False
                if c == 44 or c == 59:
                    commas += 1
                elif c == 46 or c == 33 or c == 63:
                    if k + 1 >= j or text[k + 1] <= 32 or text[k + 1] == 34 or text[k + 1] == 0xE2:
                        stops += 1
                elif 48 <= c <= 57:
                    digits += 1
                elif c == 124 or c == 187 or c == 62 or c == 47:
                    bars += 1
            elif c >= 0xC0:
                chars += 1
                fresh = False
                if c >= 0xE3 and c <= 0xEA:
                    wide += 1
                    if c == 0xE3 and k + 2 < j and text[k + 1] == 0x80 and (text[k + 2] == 0x82):
                        stops += 1
                    elif c == 0xE3 and k + 2 < j and text[k + 1] == 0x80 and (text[k + 2] == 0x81):
                        commas += 1
                elif c == 0xEF and k + 2 < j and text[k + 1] == 0xBC:
                    if text[k + 2] == 0x8C:
                        commas += 1
                    elif text[k + 2] == 0x81 or text[k + 2] == 0x9F:
                        stops += 1
                elif c == 0xE0 and k + 1 < j and 0xB8 <= text[k + 1] <= 0xBB:
                    thai += 1
            if _letter(c):
                d = c + 32 if 65 <= c <= 90 else c
                h = (h ^ np.uint64(d)) * PRIME
                whole = (whole ^ np.uint64(d)) * PRIME
                length += 1
            else:
                if length > 0:
                    counted += 1
                    at = h & np.uint64(127)
                    while title_words[at] != 0:
                        if title_words[at] == h:
                            titled += 1
                            break
                        at = (at + one) & np.uint64(127)
                h, length = BASIS, 0
        w = np.float32(max(spaces + (wide - 1) // 2 + thai // 4, 1))
        words[b] = w
        r = np.float32(min(link_bytes[b], j - i)) / np.float32(j - i)
        ratio[b] = r
        e = element[b]
        x = holder[e]
        tag = el_tag[x]
        f = own[b]
        f[0], f[1], f[2] = w, chars, chars / w
        f[3], f[4], f[5], f[6] = commas / w, stops, digits / max(chars, 1), capitals / w
        last = text[j - 1]
        if last == 34 or last == 41 or last == 39:
            last = text[max(j - 2, i)]
        f[7] = 1.0 if last == 46 or last == 33 or last == 63 else 0.0
        if j - i >= 3 and (
            (text[j - 3] == 0xE3 and text[j - 2] == 0x80 and text[j - 1] == 0x82)
            or (text[j - 3] == 0xEF and text[j - 2] == 0xBC and (text[j - 1] == 0x81 or text[j - 1] == 0x9F))
            or (text[j - 3] == 0xE2 and text[j - 2] == 0x80 and (text[j - 1] == 0x9D or text[j - 1] == 0xA6))
        ):
            f[7] = 1.0
        f[8] = 1.0 if text[j - 1] == 58 else 0.0
        f[9] = 1.0 if 97 <= text[i] <= 122 else 0.0
        f[10], f[11], f[12] = r, links[b], breaks[b]
        f[13] = w * r
        f[14] = titled / max(counted, 1)
        at = _slot(text_keys, whole | one)
        f[15] = text_seen[at]
        text_slot[b] = at
        if text_seen[at] < 8:
            text_seen[at] += 1
        f[16] = bars
        # place
        f[17] = tag
        px = holder[el_parent[x]]
        f[18] = el_tag[px]
        f[19] = level[x]
        v = bits[e]
        for k in range(19):
            f[20 + k] = (v >> k) & 1
        f[39] = heading[tag]
        f[40] = own_name[e] if e == x else own_name[e] + own_name[x]
        f[41] = own_name[px]
        ppx = holder[el_parent[px]]
        f[42] = own_name[ppx]
        f[43] = own_name[holder[el_parent[ppx]]]
        f[44], f[45], f[46] = min_name[e], max_name[e], sum_name[e]
        if heading[tag] == 1 or heading[tag] == 2:
            worth = f[14] * min(w, np.float32(20)) + (np.float32(0.5) if heading[tag] == 1 else np.float32(0))
            if worth > best_title:
                best_title, h1_block = worth, b
        if w >= 12 and r < 0.35 and (stops > 0 or commas > 0) and not v & (_HIDDEN | 8 | 16):
            good[b] = w * (1 - r)
        style[b] = (el_class[x] ^ (el_class[px] * PRIME)) | one
        pstyle[b] = (el_class[x] ^ (np.uint64(el_tag[px]) * PRIME)) | one

    # running sums
    s_words, s_link, s_good = np.zeros(nb + 1, np.float32), np.zeros(nb + 1, np.float32), np.zeros(nb + 1, np.float32)
    p_words = np.float32(0)
    good_blocks = 0
    for b in range(nb):
        s_words[b + 1] = s_words[b] + words[b]
        s_link[b + 1] = s_link[b] + words[b] * ratio[b]
        s_good[b + 1] = s_good[b] + good[b]
        if el_tag[holder[element[b]]] == _P:
            p_words += words[b]
        good_blocks += good[b] > 0
    all_words, all_good = s_words[nb], s_good[nb]
    safe_good = max(all_good, np.float32(1))

    # containers that hold most of the good paragraphs
    best = np.zeros(4, np.int32)
    credit = np.zeros(ne, np.float32)
    for b in range(nb):
        if good[b] > 0:
            x = el_parent[holder[element[b]]]
            credit[x] += good[b]
            credit[el_parent[x]] += good[b] * np.float32(0.5)
    top = np.float32(0)
    for e in range(ne):
        g = s_good[el_block[e, 1]] - s_good[el_block[e, 0]]
        if g >= 0.5 * all_good:
            best[0] = e
            if g >= 0.75 * all_good:
                best[1] = e
                if g >= 0.9 * all_good:
                    best[2] = e
        if credit[e] > top:
            top = credit[e]
            best[3] = e

    # blocks of one style
    k1, k2 = np.zeros(size, np.uint64), np.zeros(size, np.uint64)
    a1, a2 = np.zeros((size, 4), np.float32), np.zeros((size, 4), np.float32)
    for b in range(nb):
        at = _slot(k1, style[b])
        a1[at, 0] += 1
        a1[at, 1] += words[b]
        a1[at, 2] += words[b] * ratio[b]
        a1[at, 3] += good[b]
        at = _slot(k2, pstyle[b])
        a2[at, 0] += 1
        a2[at, 1] += words[b]
        a2[at, 2] += words[b] * ratio[b]
        a2[at, 3] += good[b]

    since = 99
    run = np.float32(0)
    h1_words = s_words[h1_block] if h1_block >= 0 else np.float32(0)
    for b in range(nb):
        f = own[b]
        e = element[b]
        x = holder[e]
        f[47] = b / nb
        f[48] = s_words[b] / all_words
        f[49] = -1.0 if h1_block < 0 else (1.0 if b > h1_block else 0.0)
        f[50] = s_words[b] - h1_words if h1_block >= 0 else -1e4
        f[51] = b - h1_block if h1_block >= 0 else -1e4
        c = x
        for step in range(4):
            c = holder[el_parent[c]]
            lo, hi = el_block[c, 0], el_block[c, 1]
            cw = s_words[hi] - s_words[lo]
            f[52 + 4 * step] = cw
            f[53 + 4 * step] = (s_link[hi] - s_link[lo]) / max(cw, np.float32(1))
            f[54 + 4 * step] = (s_good[hi] - s_good[lo]) / safe_good
            f[55 + 4 * step] = hi - lo
        for q in range(3):
            c = best[q]
            inside = el_block[c, 0] <= b < el_block[c, 1]
            f[68 + q] = 1.0 if inside else 0.0
            f[71 + q] = level[x] - level[c] if inside else -1.0
        c = best[3]
        lo, hi = el_block[c, 0], el_block[c, 1]
        inside = lo <= b < hi
        f[74] = 1.0 if inside else 0.0
        f[75] = level[x] - level[c] if inside else -1.0
        f[76] = (s_good[hi] - s_good[lo]) / safe_good
        f[77] = (s_link[hi] - s_link[lo]) / max(s_words[hi] - s_words[lo], np.float32(1))
        up = 0
        while not (el_block[c, 0] <= b < el_block[c, 1]) and c > 0:
            c = el_parent[c]
            up += 1
        f[78] = up
        at = _slot(k1, style[b])
        f[79], f[80] = a1[at, 0], a1[at, 1]
        f[81], f[82], f[83] = a1[at, 1] / a1[at, 0], a1[at, 2] / a1[at, 1], a1[at, 3] / safe_good
        at = _slot(k2, pstyle[b])
        f[84], f[85] = a2[at, 0], a2[at, 1]
        f[86], f[87], f[88] = a2[at, 1] / a2[at, 0], a2[at, 2] / a2[at, 1], a2[at, 3] / safe_good
        # neighbours follow in the second matrix
        f[97] = since
        f[99] = s_good[b] / safe_good
        f[100] = (s_good[nb] - s_good[b + 1]) / safe_good
        if good[b] > 0:
            since = 0
            run += good[b]
        else:
            since = min(since + 1, 99)
        f[101] = run
        if since > 3:
            run = np.float32(0)
    ahead = 99
    for b in range(nb - 1, -1, -1):
        own[b, 98] = ahead
        ahead = 0 if good[b] > 0 else min(ahead + 1, 99)
    around = np.zeros((nb, 24), np.float32)
    for b in range(nb):
        f = around[b]
        for q in range(2):
            for side in range(2):
                c = b - 1 - q if side == 0 else b + 1 + q
                o = (0 if side == 0 else 8) + (0 if q == 0 else 5)
                if 0 <= c < nb:
                    f[o], f[o + 1], f[o + 2] = words[c], ratio[c], good[c]
                    if q == 0:
                        f[o + 3] = el_tag[holder[element[c]]]
                        f[o + 4] = 1.0 if style[c] == style[b] else 0.0
                else:
                    f[o] = -1.0
        f[16], f[17], f[18] = all_words, all_good, nb
        f[19] = s_link[nb] / all_words
        f[20] = good_blocks
        f[21] = p_words / all_words
        f[22] = text_seen[text_slot[b]]
        f[23] = own[b, 83] / max(own[b, 79], np.float32(1))
    return np.concatenate((own[:, :89], around[:, :16], own[:, 97:102], around[:, 16:]), axis=1)

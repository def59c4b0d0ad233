"""Kernels of the URL rules, over Arrow buffers: keys of hosts and addresses, sorted keys looked up, words found.

A key is 64 bits: FNV-1a, then the finaliser of MurmurHash3. A host is hashed from its end, so that the keys of all its
parent domains come out of one pass; an address from its start, for the keys of all its parent folders.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_OFFSET = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_DOT, _SPACE, _SLASH, _QUESTION, _AMPERSAND = 46, 32, 47, 63, 38
NOWHERE = -1


@njit(cache=True, inline="always")
def _mix(h: Any) -> Any:
    h ^= h >> np.uint64(33)
    h *= np.uint64(0xFF51AFD7ED558CCD)
    h ^= h >> np.uint64(33)
    h *= np.uint64(0xC4CEB9FE1A85EC53)
    return h ^ (h >> np.uint64(33))


@njit(cache=True)
def _has(keys: np.ndarray, key: Any) -> bool:
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low < len(keys) and keys[low] == key


@njit(cache=True)
def host_keys(offsets: np.ndarray, data: np.ndarray) -> np.ndarray:
    """uint64 [n]: the key of each text, hashed from its end."""
    keys = np.empty(len(offsets) - 1, np.uint64)
    for i in range(len(keys)):
        h = _OFFSET
        for j in range(offsets[i + 1] - 1, offsets[i] - 1, -1):
            h = (h ^ np.uint64(data[j])) * _PRIME
        keys[i] = _mix(h)
    return keys


@njit(cache=True)
def address_keys(offsets: np.ndarray, data: np.ndarray) -> np.ndarray:
    """uint64 [n]: the key of each text, hashed from its start."""
    keys = np.empty(len(offsets) - 1, np.uint64)
    for i in range(len(keys)):
        h = _OFFSET
        for j in range(offsets[i], offsets[i + 1]):
            h = (h ^ np.uint64(data[j])) * _PRIME
        keys[i] = _mix(h)
    return keys


@njit(cache=True)
def line_keys(data: np.ndarray) -> np.ndarray:
    """uint64: keys of the hosts in a list, one a line; blanks around them and a dot or "*." before them do not count.

    ASCII letters are lowered. Empty lines and those that begin with # have no key.
    """
    lines = 1
    for byte in data:
        lines += byte == 10
    keys = np.empty(lines, np.uint64)
    found, start = 0, 0
    for end in range(len(data) + 1):
        if end < len(data) and data[end] != 10:
            continue
        first, last = start, end
        while first < last and (data[first] <= _SPACE or data[first] == _DOT or data[first] == 42):
            first += 1
        while last > first and (data[last - 1] <= _SPACE or data[last - 1] == _DOT):
            last -= 1
        start = end + 1
        if first == last or data[first] == 35:
            continue
        h = _OFFSET
        for j in range(last - 1, first - 1, -1):
            byte = data[j]
            if 65 <= byte <= 90:
                byte += 32
            h = (h ^ np.uint64(byte)) * _PRIME
        keys[found] = _mix(h)
        found += 1
    return keys[:found]


@njit(cache=True)
def match_hosts(offsets: np.ndarray, data: np.ndarray, under: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """int32 [n]: where in each host the listed one begins, or NOWHERE.

    Keys in `under` stand for a host and everything under it, those in `exact` for that host alone; the longest wins.
    """
    found = np.full(len(offsets) - 1, NOWHERE, np.int32)
    for i in range(len(found)):
        first, last = offsets[i], offsets[i + 1]
        h = _OFFSET
        for j in range(last - 1, first - 1, -1):
            if data[j] == _DOT and _has(under, _mix(h)):
                found[i] = j + 1 - first
            h = (h ^ np.uint64(data[j])) * _PRIME
        if last > first:
            key = _mix(h)
            if _has(under, key) or _has(exact, key):
                found[i] = 0
    return found


@njit(cache=True)
def match_addresses(offsets: np.ndarray, data: np.ndarray, hosts: np.ndarray, addresses: np.ndarray) -> np.ndarray:
    """int32 [n]: where in each address (host and what follows it) the listed one ends, or NOWHERE.

    A listed address stands for itself and what lies under it. `hosts` are keys of the hosts that have any.
    """
    found = np.full(len(offsets) - 1, NOWHERE, np.int32)
    for i in range(len(found)):
        first, last = offsets[i], offsets[i + 1]
        end = first
        while end < last and data[end] != _SLASH and data[end] != _QUESTION:
            end += 1
        h = _OFFSET
        for j in range(end - 1, first - 1, -1):
            h = (h ^ np.uint64(data[j])) * _PRIME
        if not _has(hosts, _mix(h)):
            continue
        h = _OFFSET
        for j in range(first, last + 1):
            ends = j == last or data[j] == _SLASH or data[j] == _QUESTION or data[j] == _AMPERSAND
            if ends and j > first and _has(addresses, _mix(h)):
                found[i] = j - first
                break
            if j < last:
                h = (h ^ np.uint64(data[j])) * _PRIME
    return found


@njit(cache=True)
def find_words(
    offsets: np.ndarray,
    data: np.ndarray,
    classes: np.ndarray,
    moves: np.ndarray,
    spans: np.ndarray,
    outputs: np.ndarray,
    squeezed: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """(rows, words): each time a word occurs in a text. An Aho-Corasick automaton, one table look-up a byte.

    `classes` [256] puts bytes into classes; `moves` [states, classes] is the next state; `outputs[spans[s]:spans[s+1]]`
    are the words that end in state s. `squeezed`: spaces are passed over.
    """
    rows, words = np.empty(0, np.int64), np.empty(0, np.int64)
    for write in range(2):
        n = 0
        for i in range(len(offsets) - 1):
            state = 0
            for j in range(offsets[i], offsets[i + 1]):
                if squeezed and data[j] == _SPACE:
                    continue
                state = moves[state, classes[data[j]]]
                for k in range(spans[state], spans[state + 1]):
                    if write:
                        rows[n], words[n] = i, outputs[k]
                    n += 1
        if not write:
            rows, words = np.empty(n, np.int64), np.empty(n, np.int64)
    return rows, words

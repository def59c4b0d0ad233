"""Main text by a small trained model: scan the page once, judge each block, keep the blocks of greatest expected F1.

How it was trained, what it scores and where it falls short: docs/decisions/0011-block-extractor.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numba import njit

from corpusmill.clean.block_features import COLUMNS, NAMES, features
from corpusmill.clean.html_names import hash_table
from corpusmill.clean.html_scan import Scan, scan
from corpusmill.errors import InputError

MODEL = "block_model.json"
_FLOOR = 0.1
"""A block less likely than this is never kept, so that a page without prose gives no text."""


@dataclass(frozen=True, slots=True)
class BlockModel:
    """Gradient-boosted trees as arrays, and the weights of words in class names.

    Nodes of all trees stand in one row; tree t starts at roots[t]. A child below zero is leaf `-child - 1`.
    """

    roots: np.ndarray  # int32 [trees]
    feature: np.ndarray  # int32 [nodes]
    threshold: np.ndarray  # float64 [nodes]: left where value <= threshold
    left: np.ndarray  # int32 [nodes]
    right: np.ndarray  # int32 [nodes]
    leaf: np.ndarray  # float64 [leaves]: log odds, summed over trees
    names: tuple[np.ndarray, np.ndarray]  # hashes uint64, weights float32

    @classmethod
    def read(cls, text: str) -> BlockModel:
        found = json.loads(text)
        if found["features"] != list(NAMES):
            raise InputError(f"{MODEL} was trained on other features than this version computes: train it again")
        kinds = {"roots": np.int32, "feature": np.int32, "threshold": np.float64, "left": np.int32, "right": np.int32}
        arrays = {name: np.array(found[name], kind) for name, kind in (kinds | {"leaf": np.float64}).items()}
        names = {int(word, 16): weight for word, weight in found["names"].items()}
        return cls(**arrays, names=hash_table(names, np.float32))


@cache
def block_model() -> BlockModel:
    return BlockModel.read((resources.files("corpusmill.clean") / MODEL).read_text("utf-8"))


def main_text(html: str, model: BlockModel | None = None) -> str:
    """The page's main text, one line a block; empty if there is none. Linear in the page's size; any string will do."""
    model = model or block_model()
    page = html.encode("utf-8", "replace")
    blocks = scan(page)
    if not len(blocks.start):
        return ""
    matrix = features(blocks, page, model.names)
    likely = probabilities(matrix, model)
    return assemble(blocks, choose(likely, matrix[:, 0]))


def probabilities(matrix: np.ndarray, model: BlockModel) -> np.ndarray:
    """float64 [blocks]: how likely each block is main text. `matrix`: float32 [blocks, COLUMNS]."""
    assert matrix.shape[1] == COLUMNS
    found: np.ndarray = _probabilities(
        matrix, model.roots, model.feature, model.threshold, model.left, model.right, model.leaf
    )
    return found


def choose(likely: np.ndarray, words: np.ndarray, floor: float = _FLOOR) -> np.ndarray:
    """bool [blocks]: the set of greatest expected F1, counted in words.

    A fixed bound loses a whole article whose blocks all lie just below it. Over blocks in falling order of probability,
    2 * sum(w p) / (sum(w) + sum over the page of w p) has one best prefix (Lewis 1995).
    """
    weight = np.asarray(words, np.float64)
    order = np.argsort(-likely, kind="stable")
    found = np.cumsum(weight[order] * likely[order])
    best = int(np.argmax(found / (np.cumsum(weight[order]) + found[-1])))
    keep = np.zeros(len(likely), bool)
    keep[order[: best + 1]] = True
    return keep & (likely >= floor)


def assemble(blocks: Scan, keep: np.ndarray) -> str:
    text = blocks.text.tobytes()
    lines = (text[blocks.start[i] : blocks.end[i]] for i in np.flatnonzero(keep))
    return b"\n".join(lines).decode("utf-8", "replace")


@njit(cache=True)
def _probabilities(matrix, roots, feature, threshold, left, right, leaf):  # type: ignore[no-untyped-def]
    n = matrix.shape[0]
    out = np.zeros(n, np.float64)
    for t in range(roots.size):
        for b in range(n):
            at = roots[t]
            while at >= 0:
                at = left[at] if matrix[b, feature[at]] <= threshold[at] else right[at]
            out[b] += leaf[-at - 1]
    for b in range(n):
        # in steps of 1/4096: a last bit of exp() that differs between machines must not decide between blocks
        out[b] = np.floor(4096 / (1 + np.exp(-out[b])) + 0.5) / 4096
    return out

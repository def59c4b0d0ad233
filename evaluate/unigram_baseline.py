"""The simplest model of all, to measure a real one against: each token by how often it stands in the training shards.

A model that is no better has learned nothing about order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from corpusmill.evaluate.heldout_documents import Tokens


def unigram_nats(counts: npt.NDArray[np.int64], documents: Sequence[Tokens]) -> float:
    """Sum of -ln p over all tokens of `documents`, with p = (count + 1) / (all + vocabulary size).

    The one added to each count (Laplace) keeps a token that training never saw finite.
    """
    surprise = -np.log((counts + 1) / (counts.sum() + len(counts)))
    return math.fsum(float(surprise[tokens].sum()) for tokens in documents)

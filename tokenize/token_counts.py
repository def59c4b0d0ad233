"""Counts over the tokens of documents: how often each id stands there, and how many of a document's are of a kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit

from corpusmill.errors import DamagedError
from corpusmill.storage import Folder


def map_shard(folder: Folder, entry: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """(tokens, offsets int64 [documents + 1]) of one shard of a manifest: views of the file, not copies."""
    path = folder.local_path(entry["name"])
    try:
        column = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0).column("tokens")
    except (OSError, pa.ArrowInvalid, KeyError) as e:
        raise DamagedError(f"{path} cannot be read as a shard ({e}). Run the tokenize stage again") from e
    offsets = column.offsets.to_numpy()
    if len(column) != entry["num_documents"] or offsets[-1] != entry["num_tokens"]:
        raise DamagedError(f"{path} is not the shard that its manifest names. Run the tokenize stage again")
    return column.values.to_numpy(), offsets


def count_tokens(
    tokens: np.ndarray, offsets: np.ndarray, kinds: np.ndarray, used: np.ndarray, closing: int = 0
) -> np.ndarray:
    """How many tokens of each document have the first and the second bit of `kinds`, int64 [documents, 2].

    `kinds` (uint8) and `used` (int64, added to) have a place for each id of the vocabulary. The last `closing` tokens
    of a document are passed over. Raises DamagedError for an id that is too great.
    """
    found = np.zeros((len(offsets) - 1, 2), np.int64)
    strange = _count(tokens, offsets, kinds, used, closing, found)
    if strange >= 0:
        raise DamagedError(f"a document has token {strange}, and the vocabulary {len(used):,}. Run tokenize again")
    return found


@njit(cache=True, nogil=True)
def _count(tokens, offsets, kinds, used, closing, found):  # type: ignore[no-untyped-def]
    for document in range(len(offsets) - 1):
        for place in range(offsets[document], offsets[document + 1] - closing):
            token = np.int64(tokens[place])
            if token >= len(used):
                return token
            used[token] += 1
            found[document, 0] += kinds[token] & 1
            found[document, 1] += kinds[token] >> 1
    return np.int64(-1)

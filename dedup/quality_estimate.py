"""How right a finished deduplication was: precision and recall, estimated from texts, with 95% intervals.

Precision is judged on removed near-duplicates, recall on some documents compared with all others by signature, without
bands. In both the last word has the exact Jaccard similarity of two texts' shingles.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.dedup.agreements import agreeing, signature_matrix
from corpusmill.dedup.dedup_files import FACTS, SIGNATURES
from corpusmill.dedup.document_texts import document_texts
from corpusmill.dedup.intervals import share_of
from corpusmill.dedup.minhash_signatures import MinHash, collision_probability
from corpusmill.dedup.signing import minhash_of
from corpusmill.ledger import part_name
from corpusmill.parquet_parts import read_part
from corpusmill.recipe import Dedup
from corpusmill.schemas import ADDRESS_STRIDE, CRAWL_STRIDE, REMOVED
from corpusmill.storage import Folder

QUALITY = "dedup/quality.json"

SAMPLED_REMOVED = 500
SAMPLED_DOCUMENTS, MAX_SAMPLED_DOCUMENTS = 300, 3000
COMPARISONS = 150_000_000
"""Of signatures. Few documents are compared with all others; of a small run more of them, as far as this allows."""
PARTNERS = 10
"""Of one sampled document at most, so that a page with a thousand versions does not decide alone."""
MAX_PAIRS = 3000
MAX_TEXT_BYTES = 1_000_000
"""Longer texts are left out: the exact similarity of two takes some 100 times their bytes of memory."""
MAX_COMPARED = 20_000_000
"""Documents that the sampled ones are compared with; of a larger run, whole parts chosen by the seed."""
THRESHOLDS = (0.65, 0.75, 0.8, 0.85, 0.9)
LEAST_TARGET, DEFAULT_TARGET = 0.5, 0.65
"""Where verification is off or laxer than the first, duplicates are looked for from the second on: below, most pairs of
pages have something in common."""
_FACTS = ("address", "text_bytes", "digest_a", "digest_b")
_BLOCK_ROWS = 1024
_CHUNK_BYTES = 256_000_000


@dataclass(frozen=True)
class Drawn:
    """Documents of a sample, in order of address."""

    address: np.ndarray
    text_bytes: np.ndarray
    digests: np.ndarray
    signatures: np.ndarray


@dataclass(frozen=True)
class Pairs:
    """Documents that belong together, perhaps: addresses, and the texts' bytes of both."""

    left: np.ndarray
    right: np.ndarray
    text_bytes: np.ndarray


def estimate_quality(run: Folder, parts: Sequence[int], settings: Dedup, seed: int = 0) -> dict[str, Any]:
    """Precision and recall of the `removed` rows of `parts`; equal for equal files, settings and seed.

    `precision`: of SAMPLED_REMOVED near-duplicates, the share whose true similarity with the matched neighbour is at or
    above the verification threshold, and at or above that less 0.1.
    `recall`: SAMPLED_DOCUMENTS or more are compared with all documents; of the pairs truly as similar as each
    threshold, the share that ended in one cluster, beside the mean of what the bands' curve predicts for
    these very pairs (it knows nothing of verification, nor of clusters joined through a third). `bins`: the same by
    similarity.

    Reads `removed`, facts and signatures in row groups (beyond MAX_COMPARED documents: of parts chosen by the seed),
    then the row groups of the samples' texts. Memory is one row group a thread, and these texts.

    What it cannot see: pairs whose signatures agree in fewer places than `agreement` says (two standard errors below
    the threshold, so about 2% of the pairs at the threshold itself, fewer above); texts beyond MAX_TEXT_BYTES; matches
    in earlier crawls, whose text is not at hand; exact copies, which digests find without fail; whether texts with the
    same shingles mean the same, or pages that say the same in other words.
    """
    minhash = minhash_of(settings)
    target = settings.verify if settings.verify >= LEAST_TARGET else DEFAULT_TARGET
    error = float(np.sqrt(target * (1 - target) / minhash.num_hashes))
    agreement = target - max(0.05, 2 * error)
    compared, documents = _compared(run, parts, seed)
    gone, removed = _removed_sample(run, compared, seed)
    number = min(MAX_SAMPLED_DOCUMENTS, max(SAMPLED_DOCUMENTS, COMPARISONS // max(documents, 1)))
    drawn = _document_sample(run, compared, number, seed)
    pairs = _alike(run, compared, drawn, int(np.ceil(agreement * minhash.num_hashes - 1e-9)), seed)
    both = Pairs(*(np.concatenate(columns) for columns in zip(astuple(gone), astuple(pairs), strict=True)))
    similarity = _true_similarity(run, minhash, both)
    of_gone, of_pairs = similarity[: len(gone.left)], similarity[len(gone.left) :]
    sampled = {
        "compared_documents": documents,
        "sampled_documents": len(drawn.address),
        "agreement": round(agreement, 6),
    }
    return {
        "seed": seed,
        "target": target,
        "bands": settings.bands,
        "rows": settings.rows,
        "precision": _precision(of_gone, target) | removed,
        "recall": sampled | _recall(pairs, of_pairs, _in_one_cluster(run, pairs), minhash, target),
    }


def _precision(similarity: np.ndarray, target: float) -> dict[str, Any]:
    bounds = (target, round(target - 0.1, 6))
    return {
        "sampled": len(similarity),
        "thresholds": [
            {"at_least": b, "pairs": int((similarity >= b).sum()), **share_of(similarity >= b)} for b in bounds
        ],
    }


def _recall(
    pairs: Pairs, similarity: np.ndarray, together: np.ndarray, minhash: MinHash, target: float
) -> dict[str, Any]:
    predicted = np.array([collision_probability(s, minhash.bands, minhash.rows) for s in similarity])

    def told(chosen: np.ndarray) -> dict[str, Any]:
        yes = together[chosen]
        mean = round(float(predicted[chosen].mean()), 6) if len(yes) else None
        return {"pairs": len(yes), "together": int(yes.sum()), **share_of(yes, pairs.left[chosen]), "predicted": mean}

    edges = [*np.round(np.arange(target, 0.999, 0.05), 6).tolist(), 1.0]
    bins = [(a, b, (similarity >= a) & ((similarity < b) | (b == 1.0))) for a, b in pairwise(edges)]
    return {
        "candidates": len(pairs.left),
        "thresholds": [{"at_least": t, **told(similarity >= t)} for t in _thresholds(target)],
        "bins": [{"from": a, "to": b, **told(chosen)} for a, b, chosen in bins],
    }


def _thresholds(target: float) -> list[float]:
    return sorted({target, *(t for t in THRESHOLDS if t > target)})


def _compared(run: Folder, parts: Sequence[int], seed: int) -> tuple[list[int], int]:
    """(parts whose documents are looked at, how many documents these are)."""
    numbers = np.array(sorted(parts), np.int64)
    chosen, documents = [], 0
    for part in numbers[np.argsort(_mixed(numbers, seed))].tolist():
        if documents < MAX_COMPARED:
            chosen.append(part)
            with run.open(f"dedup/facts/{part_name(part)}.parquet") as f:
                documents += pq.ParquetFile(f).metadata.num_rows
    return sorted(chosen), documents


def _removed_sample(run: Folder, parts: Iterable[int], seed: int) -> tuple[Pairs, dict[str, int]]:
    """(removed near-duplicates with their neighbours, how many there are and were left out)."""
    counts: Counter[str] = Counter(near_duplicates=0, too_long=0, matched_in_earlier_crawls=0)
    least = _Least(SAMPLED_REMOVED, 3)
    for part in parts:
        columns = ("address", "why", "matched", "text_bytes")
        for batch in read_part(run, f"removed/{part_name(part)}.parquet", REMOVED, columns):
            near = batch.filter(pc.equal(batch.column("why"), "near_duplicate"))
            rows = np.stack([near.column(n).to_numpy() for n in ("address", "matched", "text_bytes")], axis=1)
            earlier, long = rows[:, 1] >= CRAWL_STRIDE, rows[:, 2] > MAX_TEXT_BYTES
            counts.update(
                near_duplicates=len(rows), too_long=int(long.sum()), matched_in_earlier_crawls=int(earlier.sum())
            )
            least.add(_mixed(rows[:, 0], seed), rows, ~earlier & ~long)
    rows = least.rows[np.argsort(least.rows[:, 0])]
    return Pairs(rows[:, 0], rows[:, 1], 2 * rows[:, 2]), dict(counts)


def _document_sample(run: Folder, parts: Sequence[int], number: int, seed: int) -> Drawn:
    least = _Least(number, 4)
    for part in parts:
        for batch in read_part(run, f"dedup/facts/{part_name(part)}.parquet", FACTS, _FACTS):
            rows = _fact_rows(batch)
            worded = batch.column("digest_a").is_valid().to_numpy(zero_copy_only=False)
            least.add(_mixed(rows[:, 0], seed), rows, worded & (rows[:, 1] <= MAX_TEXT_BYTES))
    rows = least.rows[np.argsort(least.rows[:, 0])]
    found = [np.zeros((0, 1), np.uint32)]
    for part in parts:
        for batch in read_part(run, f"dedup/signatures/{part_name(part)}.parquet", SIGNATURES):
            here = np.isin(batch.column("address").to_numpy() % CRAWL_STRIDE, rows[:, 0])
            if here.any():
                found.append(signature_matrix(batch.column("signature"))[here])
    return Drawn(rows[:, 0], rows[:, 1], rows[:, 2:], np.concatenate(found[1:] or found))


def _fact_rows(batch: pa.RecordBatch) -> np.ndarray:
    """Address in the run, bytes, and both halves of the digest (0 where there is none), int64 [n, 4]."""
    columns = [batch.column(n).fill_null(0).to_numpy() for n in ("address", "text_bytes", "digest_a", "digest_b")]
    return np.stack([columns[0] % CRAWL_STRIDE, *columns[1:]], axis=1)


def _alike(run: Folder, parts: Sequence[int], drawn: Drawn, least: int, seed: int) -> Pairs:
    """Each sampled document with documents whose signature agrees in `least` places, PARTNERS of them by their hash."""
    with ThreadPoolExecutor(_threads()) as pool:  # kernels and decompression, outside Python's lock
        found = pool.map(lambda part: _partners(run, part, drawn, least, seed), parts if len(drawn.address) else ())
        rows = _first_partners(np.concatenate([np.zeros((0, 4), np.int64), *found]))
    counts = np.bincount(rows[:, 0], minlength=len(drawn.address))
    order = np.argsort(_mixed(drawn.address, seed))
    counts[order[np.cumsum(counts[order]) > MAX_PAIRS]] = 0
    rows = rows[counts[rows[:, 0]] > 0]
    return Pairs(drawn.address[rows[:, 0]], rows[:, 2], drawn.text_bytes[rows[:, 0]] + rows[:, 3])


def _partners(run: Folder, part: int, drawn: Drawn, least: int, seed: int) -> np.ndarray:
    """Of one part: (sampled document, hash, address, bytes) of each partner, int64 [n, 4]."""
    rows = np.zeros((0, 4), np.int64)
    for facts, signatures in _blocks(run, part):
        i, j = agreeing(signatures, drawn.signatures, least)
        copies = (facts[i, 2:] == drawn.digests[j]).all(axis=1)  # the document itself among them
        known = np.isin(facts[i, 0], drawn.address) & (facts[i, 0] < drawn.address[j])  # as a pair of the other
        chosen = ~copies & ~known & (facts[i, 1] <= MAX_TEXT_BYTES)
        i, j = i[chosen], j[chosen]
        hashes = _mixed(facts[i, 0], seed).view(np.int64)
        rows = _first_partners(np.concatenate([rows, np.stack([j, hashes, facts[i, 0], facts[i, 1]], axis=1)]))
    return rows


def _first_partners(rows: np.ndarray) -> np.ndarray:
    """Of each document the PARTNERS rows of least hash, in order of document and hash."""
    rows = rows[np.lexsort((rows[:, 2], rows[:, 1].view(np.uint64), rows[:, 0]))]
    first = np.searchsorted(rows[:, 0], rows[:, 0])
    return np.asarray(rows[np.arange(len(rows)) - first < PARTNERS])


def _blocks(run: Folder, part: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Facts and signatures of the same documents of a part, _BLOCK_ROWS at a time."""
    facts = read_part(run, f"dedup/facts/{part_name(part)}.parquet", FACTS, _FACTS)
    signed = read_part(run, f"dedup/signatures/{part_name(part)}.parquet", SIGNATURES)
    for told, block in zip(facts, signed, strict=True):
        assert told.column("address").equals(block.column("address")), f"part {part}: signatures are of others"
        rows, matrix = _fact_rows(told), signature_matrix(block.column("signature"))
        for start in range(0, len(rows), _BLOCK_ROWS):
            yield rows[start : start + _BLOCK_ROWS], matrix[start : start + _BLOCK_ROWS]


def _in_one_cluster(run: Folder, pairs: Pairs) -> np.ndarray:
    """Whether the same document stays for both of each pair, bool [pairs]."""
    ends = np.concatenate([pairs.left, pairs.right])
    for _ in range(2):  # what stays for a text may go for its embedding
        ends = _representatives(run, ends)
    return np.asarray(ends[: len(pairs.left)] == ends[len(pairs.left) :])


def _representatives(run: Folder, addresses: np.ndarray) -> np.ndarray:
    """What each document of the run is removed for; itself if it is not, or is of an earlier crawl."""
    wanted, places = np.unique(addresses, return_inverse=True)
    stays = wanted.copy()
    for part in np.unique(wanted[wanted < CRAWL_STRIDE] // ADDRESS_STRIDE).tolist():
        for batch in read_part(run, f"removed/{part_name(part)}.parquet", REMOVED, ("address", "representative")):
            address = batch.column("address").to_numpy()
            here = np.isin(address, wanted)
            stays[np.searchsorted(wanted, address[here])] = batch.column("representative").to_numpy()[here]
    return stays[places]


def _true_similarity(run: Folder, minhash: MinHash, pairs: Pairs) -> np.ndarray:
    """Exact Jaccard similarity of each pair's texts, float64 [pairs]; texts are held _CHUNK_BYTES at a time."""
    chunks = np.cumsum(pairs.text_bytes) // _CHUNK_BYTES
    found = [np.zeros(0)]
    for chunk in np.unique(chunks):
        left, right = pairs.left[chunks == chunk], pairs.right[chunks == chunk]
        texts = document_texts(run, np.concatenate([left, right]))
        found.append(minhash.true_jaccard(texts.slice(0, len(left)), texts.slice(len(left))))
    return np.concatenate(found)


class _Least:
    """The `number` rows of smallest hash among all that were added: a sample that no order of reading changes."""

    def __init__(self, number: int, columns: int) -> None:
        self.number = number
        self.hashes = np.zeros(0, np.uint64)
        self.rows = np.zeros((0, columns), np.int64)

    def add(self, hashes: np.ndarray, rows: np.ndarray, chosen: np.ndarray) -> None:
        hashes, rows = np.r_[self.hashes, hashes[chosen]], np.r_[self.rows, rows[chosen]]
        order = np.lexsort((rows[:, 0], hashes))[: self.number]
        self.hashes, self.rows = hashes[order], rows[order]


def _threads() -> int:
    return len(os.sched_getaffinity(0))


def _mixed(values: np.ndarray, seed: int) -> np.ndarray:
    """SplitMix64's finaliser over each number, uint64 [n]: an order that no person chose and every run repeats."""
    with np.errstate(over="ignore"):
        x = values.astype(np.uint64) + np.uint64(seed & 0xFFFFFFFFFFFFFFFF) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))

"""fastText's prediction (Joulin et al. 2016) in a numba kernel: the same labels, in a quarter of the time.

The C++ library spends its time finding n-grams in a hash map and rows in a quantised matrix. Here the n-grams are
found through a bit set that fits the second-level cache, and the matrix lies open in memory. Reads supervised models
that fastText 0.9 writes (version 12), quantised or not, of all four losses.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from numba import njit

from corpusmill.columns import text_buffers
from corpusmill.errors import InputError

_MAGIC = 793712314
_VERSION = 12
_HIERARCHICAL, _NEGATIVE, _SOFTMAX, _ONE_VS_ALL = 1, 2, 3, 4
_SUPERVISED = 3
_MAX_BUCKETS = 1 << 28
_LABEL = b"__label__"
_ARGS = ("dim", "ws", "epoch", "min_count", "neg", "word_ngrams", "loss", "model", "bucket", "minn", "maxn", "update")


@dataclass(frozen=True, eq=False)
class FastTextModel:
    """What prediction needs of a model file. Rows are words first, then the buckets of n-grams that were kept."""

    labels: tuple[str, ...]
    rows: np.ndarray
    """float32 [words + kept buckets, dim]"""
    outputs: np.ndarray
    """float32 [labels, dim]; inner nodes of the tree under hierarchical softmax"""
    words: tuple[np.ndarray, np.ndarray, np.ndarray]
    """Open-addressed table of word ids (int32, -1 free), offsets (int64 [words + 1]) and bytes of all words."""
    subwords: tuple[np.ndarray, np.ndarray]
    """Offsets (int64 [words + 1]) and row ids (int32) of each known word with its n-grams."""
    buckets: tuple[np.ndarray, np.ndarray]
    """Bit set of kept buckets (uint8) and the row of each (int32 [bucket])."""
    tree: np.ndarray
    """int32 [nodes, 2]: left and right child, -1 at leaves; empty but under hierarchical softmax."""
    numbers: np.ndarray
    """int64: minn, maxn, bucket, word_ngrams, loss"""

    def predict(self, texts: pa.Array, max_bytes: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """(index of the best label or -1, its probability) of each text, int32 [n] and float32 [n].

        A text is read as one line, as `model.predict(text.replace("\\n", " "))` does; with `max_bytes`, only its
        beginning. A text in which the model knows nothing has label -1.
        """
        offsets, data = text_buffers(texts)
        probabilities = self.probabilities(offsets, data, max_bytes)
        best = probabilities.shape[1] - 1 - probabilities[:, ::-1].argmax(axis=1)  # of equals fastText takes the last
        scores = probabilities[np.arange(len(best)), best]
        return np.where(scores > 0, best, -1).astype(np.int32), np.minimum(scores, np.float32(1))

    def probabilities(self, offsets: np.ndarray, data: np.ndarray, max_bytes: int = 0) -> np.ndarray:
        """float32 [texts, labels]; rows of zeros where the model knows nothing of the text."""
        out = np.zeros((len(offsets) - 1, len(self.labels)), np.float32)
        word_table, word_offsets, word_bytes = self.words
        sub_offsets, sub_rows = self.subwords
        bits, bucket_rows = self.buckets
        score_texts(
            offsets, data, max_bytes, self.rows, self.outputs, word_table, word_offsets, word_bytes,
            sub_offsets, sub_rows, bits, bucket_rows, self.tree, self.numbers, out,
        )  # fmt: skip
        return out


@lru_cache(maxsize=4)
def load_fasttext(path: str) -> FastTextModel:
    """Read a supervised model, once per process. Raises InputError for any other file."""
    with Path(path).open("rb") as f:
        raw = f.read()
    try:
        return _parse(io.BytesIO(raw), path)
    except (struct.error, ValueError, IndexError, OverflowError, MemoryError) as e:
        raise InputError(f"{path} cannot be read as a fastText model, it is damaged or cut off: {e}") from e


def _parse(f: io.BytesIO, path: str) -> FastTextModel:
    magic, version = struct.unpack("<ii", f.read(8))
    if magic != _MAGIC or version != _VERSION:
        raise InputError(f"{path} is not a fastText model of version {_VERSION}: give a .bin or .ftz of fastText 0.9")
    args = dict(zip(_ARGS, struct.unpack("<12i", f.read(48)), strict=True))
    f.read(8)  # the sampling threshold of training
    if args["model"] != _SUPERVISED:
        raise InputError(f"{path} is a fastText model of word vectors, not a classifier: train one with labels")
    size, num_words, num_labels, _tokens, pruned = struct.unpack("<iiiqq", f.read(28))
    names, counts = _entries(f, size)
    kept = np.frombuffer(f.read(8 * max(pruned, 0)), np.int32).reshape(-1, 2)
    quantised = f.read(1) != b"\0"
    rows = _quantised(f) if quantised else _dense(f)
    quantised_output = f.read(1) != b"\0"
    outputs = _quantised(f) if quantised and quantised_output else _dense(f)
    words, labels = names[:num_words], names[num_words:]
    bucket_rows = _bucket_rows(args["bucket"], num_words, kept, pruned, rows.shape[0])
    _check(args, rows, outputs, num_words, len(labels), num_labels, bucket_rows)
    bits = np.packbits(bucket_rows >= 0, bitorder="little") if len(bucket_rows) else np.zeros(1, np.uint8)
    numbers = np.array(
        [args["minn"], args["maxn"], max(args["bucket"], 1), args["word_ngrams"], args["loss"]], np.int64
    )
    table, offsets, data = _word_table(words)
    tree = _huffman(counts[num_words:]) if args["loss"] == _HIERARCHICAL else np.zeros((0, 2), np.int32)
    return FastTextModel(
        labels=tuple(n.decode("utf-8", "replace").removeprefix(_LABEL.decode()) for n in labels),
        rows=rows,
        outputs=outputs,
        words=(table, offsets, data),
        subwords=_subwords(offsets, data, bits, bucket_rows, numbers),
        buckets=(bits, bucket_rows),
        tree=tree,
        numbers=numbers,
    )


def _check(
    args: dict[str, int],
    rows: np.ndarray,
    outputs: np.ndarray,
    num_words: int,
    found_labels: int,
    num_labels: int,
    bucket_rows: np.ndarray,
) -> None:
    """The kernel trusts these: a file that does not hold to them is damaged."""
    needed = max(num_words, int(bucket_rows.max(initial=-1)) + 1)
    if rows.shape[0] < needed or rows.shape[1] != args["dim"]:
        raise ValueError(f"its matrix is {rows.shape}, expected {needed} rows of {args['dim']}")
    if found_labels != num_labels or outputs.shape != (num_labels, args["dim"]):
        raise ValueError(f"it has {found_labels} labels and outputs {outputs.shape}, expected {num_labels} of each")
    if not 0 <= args["minn"] <= 1 << 10 or not 0 <= args["maxn"] <= 1 << 10 or args["word_ngrams"] > 1 << 10:
        raise ValueError("its n-grams are of absurd lengths")
    if args["loss"] not in (_HIERARCHICAL, _NEGATIVE, _SOFTMAX, _ONE_VS_ALL):
        raise ValueError(f"its loss, number {args['loss']}, is unknown")
    if len(bucket_rows) == 0 and (args["maxn"] > 0 or args["word_ngrams"] > 1):
        raise ValueError("it has n-grams, but no buckets for them")


def _entries(f: io.BytesIO, size: int) -> tuple[list[bytes], list[int]]:
    raw, names, counts = f.getvalue(), [], []
    at = f.tell()
    for _ in range(size):
        end = raw.index(b"\0", at)
        names.append(raw[at:end])
        counts.append(struct.unpack_from("<q", raw, end + 1)[0])
        at = end + 10  # the zero, the count, the type
    f.seek(at)
    return names, counts


def _dense(f: io.BytesIO) -> np.ndarray:
    m, n = struct.unpack("<qq", f.read(16))
    data = f.read(4 * m * n)
    if len(data) != 4 * m * n:
        raise ValueError(f"its matrix of {m} rows of {n} ends early")
    return np.frombuffer(data, np.float32).reshape(m, n).copy()


def _quantised(f: io.BytesIO) -> np.ndarray:
    """A product-quantised matrix (Jégou et al. 2011), opened."""
    with_norms = f.read(1) != b"\0"
    m, n, code_size = struct.unpack("<qqi", f.read(20))
    codes = np.frombuffer(f.read(code_size), np.uint8)
    parts = _centroids(f)
    opened = np.concatenate([c[codes.reshape(m, -1)[:, i]] for i, c in enumerate(parts)], axis=1)
    if with_norms:
        norm_codes = np.frombuffer(f.read(m), np.uint8)
        opened = opened * _centroids(f)[0][norm_codes]
    if opened.shape != (m, n):
        raise ValueError(f"its quantised matrix is {opened.shape}, expected {(m, n)}")
    return np.ascontiguousarray(opened, np.float32)


def _centroids(f: io.BytesIO) -> list[np.ndarray]:
    dim, parts, width, last = struct.unpack("<iiii", f.read(16))
    flat = np.frombuffer(f.read(4 * dim * 256), np.float32)
    widths = [width] * (parts - 1) + [last]
    starts = np.cumsum([0, *(256 * w for w in widths)])
    return [flat[s : s + 256 * w].reshape(256, w) for s, w in zip(starts, widths, strict=False)]


def _bucket_rows(bucket: int, num_words: int, kept: np.ndarray, pruned: int, num_rows: int) -> np.ndarray:
    if not 0 <= bucket <= (num_rows if pruned < 0 else _MAX_BUCKETS):
        raise ValueError(f"it has {bucket} buckets of n-grams, and a matrix of {num_rows} rows")
    if pruned < 0:  # never pruned: every bucket has its row
        return np.arange(num_words, num_words + bucket, dtype=np.int32)
    rows = np.full(bucket, -1, np.int32)
    rows[kept[:, 0]] = num_words + kept[:, 1]
    return rows


def _word_table(words: list[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *map(len, words)]).astype(np.int64)
    data = np.frombuffer(b"".join(words), np.uint8).copy()
    table = np.full(1 << max(4, (2 * len(words)).bit_length()), -1, np.int32)
    fill_words(table, offsets, data)
    return table, offsets, data


def _subwords(
    offsets: np.ndarray, data: np.ndarray, bits: np.ndarray, bucket_rows: np.ndarray, numbers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of each known word: its own, then those of its n-grams. The end of a line is a word without n-grams."""
    rows: list[np.ndarray] = []
    longest = int(np.diff(offsets).max(initial=0)) + 2
    room, framed = np.zeros(longest * max(int(numbers[1]), 1) + 2, np.int32), np.zeros(longest, np.uint8)
    for i in range(len(offsets) - 1):
        word = data[offsets[i] : offsets[i + 1]]
        room[0] = i
        count = 1
        if numbers[1] > 0 and word.tobytes() != b"</s>":
            count = add_ngrams(word, 0, len(word), framed, bits, bucket_rows, numbers, room, 1)
        rows.append(room[:count].copy())
    lengths = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return lengths, np.concatenate(rows) if rows else np.zeros(0, np.int32)


def _huffman(counts: list[int]) -> np.ndarray:
    """The tree of fastText's HierarchicalSoftmaxLoss::buildTree, ties and all."""
    labels = len(counts)
    tree = np.full((2 * labels - 1, 2), -1, np.int32)
    weights = [*counts, *([10**15] * (labels - 1))]
    leaf, node = labels - 1, labels
    for parent in range(labels, 2 * labels - 1):
        for side in range(2):
            if leaf >= 0 and weights[leaf] < weights[node]:
                tree[parent, side], leaf = leaf, leaf - 1
            else:
                tree[parent, side], node = node, node + 1
        weights[parent] = weights[tree[parent, 0]] + weights[tree[parent, 1]]
    return tree


@njit(cache=True, nogil=True)
def _hash(data, start, end):  # type: ignore[no-untyped-def]
    """FNV-1a of 32 bits over signed bytes, as fastText has it."""
    h = np.uint32(2166136261)
    for i in range(start, end):
        h = np.uint32((h ^ np.uint32(np.int8(data[i]))) * np.uint32(16777619))
    return h


@njit(cache=True, nogil=True)
def fill_words(table, offsets, data):  # type: ignore[no-untyped-def]
    mask = table.shape[0] - 1
    for i in range(offsets.shape[0] - 1):
        slot = np.int64(_hash(data, offsets[i], offsets[i + 1])) & mask
        while table[slot] >= 0:
            slot = (slot + 1) & mask
        table[slot] = i


@njit(cache=True, nogil=True)
def _find_word(h, data, start, end, table, offsets, words):  # type: ignore[no-untyped-def]
    mask = table.shape[0] - 1
    slot = np.int64(h) & mask
    while table[slot] >= 0:
        word = table[slot]
        at = offsets[word]
        if offsets[word + 1] - at == end - start:
            same = True
            for i in range(end - start):
                if words[at + i] != data[start + i]:
                    same = False
                    break
            if same:
                return word
        slot = (slot + 1) & mask
    return -1


@njit(cache=True, nogil=True)
def add_ngrams(data, start, end, framed, bits, bucket_rows, numbers, out, count):  # type: ignore[no-untyped-def]
    """Append the rows of a word's character n-grams to `out`; the new count. Both buffers must have room."""
    minn, maxn, bucket = numbers[0], numbers[1], numbers[2]
    inverse = 1.0 / bucket
    known = count
    size = end - start + 2
    framed[0] = 60  # < and > stand for the word's begin and end
    for i in range(size - 2):
        framed[i + 1] = data[start + i]
    framed[size - 1] = 62
    for i in range(size):
        if (framed[i] & 0xC0) == 0x80:
            continue
        h = np.uint32(2166136261)
        j = i
        for n in range(1, maxn + 1):
            if j >= size:
                break
            h = np.uint32((h ^ np.uint32(np.int8(framed[j]))) * np.uint32(16777619))
            j += 1
            while j < size and (framed[j] & 0xC0) == 0x80:
                h = np.uint32((h ^ np.uint32(np.int8(framed[j]))) * np.uint32(16777619))
                j += 1
            if n >= minn and not (n == 1 and (i == 0 or j == size)):
                # h % bucket, by multiplication: a division costs as much as all the rest here
                at = np.int64(h) - np.int64(np.float64(h) * inverse) * bucket
                if at < 0:
                    at += bucket
                elif at >= bucket:
                    at -= bucket
                out[count] = at  # without a branch, which would be guessed wrong every other time
                count += (bits[at >> 3] >> (at & 7)) & 1
    for i in range(known, count):
        out[i] = bucket_rows[out[i]]
    return count


@njit(cache=True, nogil=True)
def score_texts(  # type: ignore[no-untyped-def]
    offsets, data, max_bytes, rows, outputs, word_table, word_offsets, word_bytes,
    sub_offsets, sub_rows, bits, bucket_rows, tree, numbers, out,
):  # fmt: skip
    """Fill `out` [texts, labels] with probabilities; a text without a known row keeps zeros."""
    dim = rows.shape[1]
    hidden = np.zeros(dim, np.float32)
    room = np.zeros(1 << 12, np.int32)
    framed = np.zeros(1 << 12, np.uint8)
    hashes = np.zeros(1 << 12, np.int32)
    end_of_line = np.array([60, 47, 115, 62], np.uint8)
    for d in range(offsets.shape[0] - 1):
        start, end = offsets[d], offsets[d + 1]
        if max_bytes > 0 and end - start > max_bytes:
            end = start + max_bytes
            while end > start and (data[end] & 0xC0) == 0x80:  # never half a character
                end -= 1
        hidden[:] = 0
        total = 0
        num_hashes = 0
        p = start
        while p <= end:
            while p < end and (data[p] == 32 or (9 <= data[p] <= 13) or data[p] == 0):
                p += 1
            first = p
            while p < end and not (data[p] == 32 or (9 <= data[p] <= 13) or data[p] == 0):
                p += 1
            # a word </s> ends the line as its end does, for which fastText reads that word, too
            last_word = first == p or _is_end(data, first, p)
            count = 0
            if last_word:
                source, first, stop = end_of_line, 0, 4
            else:
                source, stop = data, p
            h = _hash(source, first, stop)
            word = _find_word(h, source, first, stop, word_table, word_offsets, word_bytes)
            if word >= 0:
                for i in range(sub_offsets[word], sub_offsets[word + 1]):
                    for k in range(dim):
                        hidden[k] += rows[sub_rows[i], k]
                total += sub_offsets[word + 1] - sub_offsets[word]
            elif not last_word and not _is_label(source, first, stop):
                needed = (stop - first + 2) * max(numbers[1], 1) + 1
                if room.shape[0] < needed:
                    room = np.zeros(2 * needed, np.int32)
                if framed.shape[0] < stop - first + 2:
                    framed = np.zeros(2 * (stop - first + 2), np.uint8)
                if numbers[1] > 0:
                    count = add_ngrams(source, first, stop, framed, bits, bucket_rows, numbers, room, 0)
                for i in range(count):
                    for k in range(dim):
                        hidden[k] += rows[room[i], k]
                total += count
            if numbers[3] > 1 and (word >= 0 or not _is_label(source, first, stop)):
                if num_hashes == hashes.shape[0]:
                    grown = np.zeros(2 * num_hashes, np.int32)
                    grown[:num_hashes] = hashes
                    hashes = grown
                hashes[num_hashes] = np.int32(h)
                num_hashes += 1
            if last_word:
                break
        for i in range(num_hashes if numbers[3] > 1 else 0):
            pair = np.uint64(np.int64(hashes[i]))
            for j in range(i + 1, min(num_hashes, i + numbers[3])):
                pair = pair * np.uint64(116049371) + np.uint64(np.int64(hashes[j]))
                at = np.int64(pair % np.uint64(numbers[2]))
                if (bits[at >> 3] >> (at & 7)) & 1:
                    for k in range(dim):
                        hidden[k] += rows[bucket_rows[at], k]
                    total += 1
        if total == 0:
            continue
        share = np.float32(1.0 / total)
        for k in range(dim):
            hidden[k] *= share
        if numbers[4] == 1:
            _descend(hidden, outputs, tree, out[d])
        elif numbers[4] == 3:
            _softmax(hidden, outputs, out[d])
        else:
            _each_alone(hidden, outputs, out[d])


@njit(cache=True, nogil=True)
def _is_end(data, start, end):  # type: ignore[no-untyped-def]
    return (
        end - start == 4
        and data[start] == 60
        and data[start + 1] == 47
        and data[start + 2] == 115
        and data[start + 3] == 62
    )


@njit(cache=True, nogil=True)
def _is_label(data, start, end):  # type: ignore[no-untyped-def]
    label = (95, 95, 108, 97, 98, 101, 108, 95, 95)
    if end - start < 9:
        return False
    same = True
    for i in range(9):
        same &= data[start + i] == label[i]
    return same


@njit(cache=True, nogil=True)
def _dot(outputs, i, hidden):  # type: ignore[no-untyped-def]
    s = np.float32(0)
    for k in range(hidden.shape[0]):
        s += outputs[i, k] * hidden[k]
    return s


@njit(cache=True, nogil=True)
def _log(x):  # type: ignore[no-untyped-def]
    """fastText's std_log: in float64, stored as float32. Answers are exp of this, so a little above probabilities."""
    return np.float32(np.log(np.float64(x) + 1e-5))


@njit(cache=True, nogil=True)
def _softmax(hidden, outputs, out):  # type: ignore[no-untyped-def]
    largest = np.float32(-np.inf)
    for i in range(outputs.shape[0]):
        out[i] = _dot(outputs, i, hidden)
        largest = max(largest, out[i])
    z = np.float32(0)
    for i in range(outputs.shape[0]):
        out[i] = np.exp(out[i] - largest)
        z += out[i]
    for i in range(outputs.shape[0]):
        out[i] = np.exp(_log(out[i] / z))


@njit(cache=True, nogil=True)
def _each_alone(hidden, outputs, out):  # type: ignore[no-untyped-def]
    """Negative sampling and one-vs-all: a logistic function of each label, from fastText's table of 512 steps."""
    for i in range(outputs.shape[0]):
        x = _dot(outputs, i, hidden)
        if x < -8:
            f = np.float32(0)
        elif x > 8:
            f = np.float32(1)
        else:
            step = np.float32(np.int64((x + np.float32(8)) * np.float32(512) / np.float32(8) / np.float32(2)))
            f = np.float32(1.0 / (1.0 + np.exp(-(step * np.float32(16) / np.float32(512) - np.float32(8)))))
        out[i] = np.exp(_log(f))


@njit(cache=True, nogil=True)
def _descend(hidden, outputs, tree, out):  # type: ignore[no-untyped-def]
    """Every leaf's probability, from the root down; 0 where fastText goes no further, below 1e-5."""
    labels = outputs.shape[0]
    scores = np.zeros(tree.shape[0], np.float32)
    for node in range(tree.shape[0] - 1, labels - 1, -1):  # a parent has a larger number than its children
        f = np.float32(1.0 / (1.0 + np.exp(-_dot(outputs, node - labels, hidden))))
        scores[tree[node, 0]] = scores[node] + _log(np.float32(1) - f)
        scores[tree[node, 1]] = scores[node] + _log(f)
    for i in range(labels):
        out[i] = np.exp(scores[i]) if scores[i] >= _log(np.float32(0)) else np.float32(0)

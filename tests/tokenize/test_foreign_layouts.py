"""Bytes of each format, spelled out: what is written is what its publishers' code reads, and the other way round.

The readers here follow the published layouts field by field and share no code with the exporters.
"""

from __future__ import annotations

import json
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shards_to_export import make_shards, make_tokenizer

from corpusmill.progress import StageProgress, Watch
from corpusmill.storage import Folder
from corpusmill.tokenize.datatrove_files import for_people
from corpusmill.tokenize.foreign_imports import import_shards
from corpusmill.tokenize.foreign_shards import export_shards
from corpusmill.tokenize.token_shards import TokenShards, open_shards

QUIET = StageProgress("test", Watch(quiet=True))
TWO_DOCUMENTS = [[[7, 8, 9]], [[10]]]  # two shards; 0 closes each document


@pytest.fixture
def shards(tmp_path: Path) -> Folder:
    make_shards(tmp_path / "shards", TWO_DOCUMENTS)
    return Folder(str(tmp_path / "shards"))


@pytest.fixture
def tokenizer(tmp_path: Path) -> str:
    return str(make_tokenizer(tmp_path / "tokenizer"))


def again(path: Path, name: str, tokenizer: str, to: Path, **options: Any) -> TokenShards:
    import_shards(str(path), name, tokenizer, str(to), QUIET, **options)
    return open_shards(Folder(str(to)))


MEGATRON_BIN = bytes.fromhex("0700 0800 0900 0000 0a00 0000")
MEGATRON_IDX = bytes.fromhex(
    "4d4d494449445800 00"  # MMIDIDX\0\0
    "0100000000000000"  # version 1
    "08"  # uint16
    "0200000000000000 0300000000000000"  # two sequences, three borders of documents
    "04000000 02000000"  # their lengths
    "0000000000000000 0800000000000000"  # their first bytes
    "0000000000000000 0100000000000000 0200000000000000"  # a document is one sequence
)


def test_megatron(shards: Folder, tokenizer: str, tmp_path: Path):
    done = export_shards(shards, str(tmp_path / "corpus"), "megatron", QUIET)
    assert (tmp_path / "corpus.bin").read_bytes() == MEGATRON_BIN
    assert (tmp_path / "corpus.idx").read_bytes() == MEGATRON_IDX
    assert (done.files, done.documents, done.tokens, done.bytes) == (["corpus.bin", "corpus.idx"], 2, 6, 12 + 82)
    found = again(tmp_path / "corpus", "megatron", tokenizer, tmp_path / "in")
    assert [s.tokens.tolist() for s in found.shards] == [[7, 8, 9, 0, 10, 0]]
    assert found.shards[0].offsets.tolist() == [0, 4, 6]


def test_a_document_of_megatron_may_be_several_sequences_and_have_no_end(tokenizer: str, tmp_path: Path):
    """Three sequences of int32, of which the first two are one document (as --split-sentences makes them)."""
    (tmp_path / "a.bin").write_bytes(np.array([5, 6, 7, 8], np.int32).tobytes())
    head = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, 4, 3, 3)
    index = struct.pack("<3i", 1, 2, 1) + struct.pack("<3q", 0, 4, 12) + struct.pack("<3q", 0, 2, 3)
    (tmp_path / "a.idx").write_bytes(head + index)
    found = again(tmp_path / "a.bin", "megatron", tokenizer, tmp_path / "in")
    assert found.shards[0].tokens.tolist() == [5, 6, 7, 0, 8, 0]
    assert found.shards[0].offsets.tolist() == [0, 4, 6]


def test_datatrove(shards: Folder, tokenizer: str, tmp_path: Path):
    export_shards(shards, str(tmp_path / "out"), "datatrove", QUIET, tokenizer_name="gpt2")
    found = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    assert found == {
        "00000_unshuffled.ds": MEGATRON_BIN,
        "00000_unshuffled.ds.index": bytes.fromhex("0400000000000000 0600000000000000"),
        "00000_unshuffled.ds.metadata": b"gpt2|2\n6\n6.00 T",
    }
    (tmp_path / "out/00000_unshuffled.ds.index").unlink()  # as with save_index=False
    (tmp_path / "out/00000_unshuffled.ds.metadata").unlink()
    assert again(tmp_path / "out", "datatrove", tokenizer, tmp_path / "in").shards[0].offsets.tolist() == [0, 4, 6]


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0.00 T"), (999, "999 T"), (1000, "1.00 kT"), (999_949, "1.00 MT"), (25_641, "25.6 kT"), (10**12, "1.00 TT")],
)
def test_a_number_of_tokens_is_said_as_humanize_says_it(count: int, said: str):
    assert for_people(count) == said


def test_every_number_of_tokens_is_said_as_humanize_says_it():
    humanize = pytest.importorskip("humanize")
    rng = np.random.default_rng(1)
    for count in (10 ** rng.uniform(0, 15, 2000)).astype(int).tolist():
        assert for_people(count) == humanize.metric(count, unit="T")


def test_nanogpt(shards: Folder, tokenizer: str, tmp_path: Path):
    export_shards(shards, str(tmp_path / "train.bin"), "nanogpt", QUIET)
    assert (tmp_path / "train.bin").read_bytes() == MEGATRON_BIN
    assert again(tmp_path / "train.bin", "nanogpt", tokenizer, tmp_path / "in").shards[0].offsets.tolist() == [0, 4, 6]


def test_llmc_opens_documents_and_cuts_its_files_anywhere(shards: Folder, tokenizer: str, tmp_path: Path):
    export_shards(shards, str(tmp_path / "out"), "llmc", QUIET, tokens_per_file=4)
    head = struct.pack("<3i", 20240520, 1, 4) + bytes(1012), struct.pack("<3i", 20240520, 1, 2) + bytes(1012)
    assert (tmp_path / "out/tokens_000000.bin").read_bytes() == head[0] + bytes.fromhex("0000 0700 0800 0900")
    assert (tmp_path / "out/tokens_000001.bin").read_bytes() == head[1] + bytes.fromhex("0000 0a00")
    found = again(tmp_path / "out", "llmc", tokenizer, tmp_path / "in")
    assert found.shards[0].tokens.tolist() == [7, 8, 9, 0, 10, 0]
    assert found.shards[0].offsets.tolist() == [0, 4, 6]


def test_a_larger_vocabulary_has_larger_tokens(tmp_path: Path):
    identity = {"sha256": "0" * 64, "vocab_size": 70_000, "eos_token_id": 0, "eos_token": "<|endoftext|>"}
    make_shards(tmp_path / "shards", [[[65_540]]], identity=identity)
    source = Folder(str(tmp_path / "shards"))
    for name, to in (("nanogpt", "a.bin"), ("llmc", "b"), ("megatron", "c"), ("datatrove", "d")):
        export_shards(source, str(tmp_path / to), name, QUIET)
    assert (tmp_path / "a.bin").read_bytes() == struct.pack("<2I", 65_540, 0)
    raw = (tmp_path / "b/tokens_000000.bin").read_bytes()
    assert raw == struct.pack("<3i", 20240801, 7, 2) + bytes(1012) + struct.pack("<2I", 0, 65_540)
    assert (tmp_path / "c.bin").read_bytes() == struct.pack("<2i", 65_540, 0)
    assert (tmp_path / "c.idx").read_bytes()[17] == 4  # int32
    assert (tmp_path / "d/00000_unshuffled.ds.metadata").read_text().splitlines()[0].endswith("|4")


MDS_COLUMNS = {
    "host": "str", "id": "str", "language": "str", "offset_kind": "str", "text_bytes": "int",
    "tokens": "ndarray:uint16", "url": "str", "warc_file": "str", "warc_length": "int", "warc_offset": "int",
}  # fmt: skip


def test_mds(shards: Folder, tmp_path: Path):
    export_shards(shards, str(tmp_path / "out"), "mds", QUIET)
    config = (
        b'{"column_encodings": ["str", "str", "str", "str", "int", "ndarray:uint16", "str", "str", "int", "int"], '
        b'"column_names": ["host", "id", "language", "offset_kind", "text_bytes", "tokens", "url", "warc_file", '
        b'"warc_length", "warc_offset"], "column_sizes": [null, null, null, null, 8, null, null, null, 8, 8], '
        b'"compression": null, "format": "mds", "hashes": ["sha256"], "size_limit": 67108864, "version": 2}'
    )
    host = "ü-0.example".encode()

    def sample(shard: int, tokens: str, text_bytes: int) -> bytes:
        url = f"https://ü-0.example/{shard}/0".encode()
        sizes = struct.pack("<7I", len(host), 12, 2, 6, len(bytes.fromhex(tokens)), len(url), 15)
        body = [host, f"urn:uuid:{shard}-0".encode(), b"en", b"member", struct.pack("<q", text_bytes)]
        body += [bytes.fromhex(tokens), url, f"crawl-{shard}.warc.gz".encode(), struct.pack("<2q", 900, 0)]
        return sizes + b"".join(body)

    first = sample(0, "04 04 0700 0800 0900 0000", 12)  # one dimension, its length a byte; the length; the numbers
    second = sample(1, "04 02 0a00 0000", 4)
    begin = 4 + 3 * 4 + len(config)
    offsets = struct.pack("<3I", begin, begin + len(first), begin + len(first) + len(second))
    raw = (tmp_path / "out/shard.00000.mds").read_bytes()
    assert raw == struct.pack("<I", 2) + offsets + config + first + second
    index = json.loads((tmp_path / "out/index.json").read_text())
    assert index["version"] == 2
    (entry,) = index["shards"]
    assert (entry["samples"], entry["zip_data"]) == (2, None)
    assert (entry["raw_data"]["basename"], entry["raw_data"]["bytes"]) == ("shard.00000.mds", len(raw))
    assert {k: entry[k] for k in json.loads(config)} == json.loads(config)


def read_mds(folder: Path) -> list[dict[str, Any]]:
    """Samples as the published reader finds them: by offset, then sizes of variable columns, then the columns."""
    samples = []
    for entry in json.loads((folder / "index.json").read_text())["shards"]:
        raw = (folder / entry["raw_data"]["basename"]).read_bytes()
        count = struct.unpack_from("<I", raw)[0]
        for i in range(count):
            begin, end = struct.unpack_from("<2I", raw, 4 + 4 * i)
            at, sizes = begin, []
            for size in entry["column_sizes"]:
                sizes.append(size or struct.unpack_from("<I", raw, at)[0])
                at += 0 if size else 4
            sample = {}
            for name, encoding, size in zip(entry["column_names"], entry["column_encodings"], sizes, strict=True):
                sample[name] = decoded(encoding, raw[at : at + size])
                at += size
            assert at == end
            samples.append(sample)
    return samples


def decoded(encoding: str, data: bytes) -> Any:
    if encoding == "str":
        return data.decode()
    if encoding == "int":
        return struct.unpack("<q", data)[0]
    dimensions, width = data[0] >> 2, 1 << (data[0] & 3)
    assert dimensions == 1
    length = int.from_bytes(data[1 : 1 + width], "little")
    numbers = np.frombuffer(data[1 + width :], encoding.partition(":")[2]).tolist()
    assert len(numbers) == length
    return numbers


def test_samples_of_mds_have_all_columns_in_shards_of_64_mb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from corpusmill.tokenize import mds_files

    rng = np.random.default_rng(3)
    lengths = [1, 254, 255, 256, 65_534, 65_535, 65_536, *rng.integers(1, 900, 200)]
    documents = [rng.integers(1, 300, n) for n in lengths]
    made = make_shards(tmp_path / "shards", [documents[:90], documents[90:]], [3, 1])
    monkeypatch.setattr(mds_files, "SIZE_LIMIT", 100_000)
    export_shards(Folder(str(tmp_path / "shards")), str(tmp_path / "out"), "mds", QUIET, weights="column")
    found = read_mds(tmp_path / "out")
    assert [s["tokens"] for s in found] == [[*d.tolist(), 0] for d in documents]
    assert [s["weight"] for s in found] == [3] * 90 + [1] * (len(documents) - 90)
    assert [s["id"] for s in found[:2]] == ["urn:uuid:0-0", "urn:uuid:0-1"]
    assert (found[2]["url"], found[2]["language"], found[3]["url"]) == ("", "", "https://ü-3.example/0/3")
    sizes = [p.stat().st_size for p in sorted((tmp_path / "out").glob("*.mds"))]
    alone = [s for s in sizes if s > 100_000]
    assert len(alone) == 3  # the documents that are larger than a shard
    assert all(a + b > 100_000 for a, b in pairwise(sizes))  # none is begun too early
    assert made.num_tokens > sum(len(s["tokens"]) for s in found)

"""Out and in again: nothing lost, nothing twice, each document known by its place; what is not right is said."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import shutil
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import brotli
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from shards_to_export import documents_of, identity_of, make_shards, make_tokenizer, tokens_of

from corpusmill.errors import DamagedError, InputError
from corpusmill.progress import StageProgress, Watch
from corpusmill.storage import Folder
from corpusmill.tokenize.foreign_documents import cut_at_ends
from corpusmill.tokenize.foreign_imports import Imported, import_shards
from corpusmill.tokenize.foreign_shards import FORMATS, export_shards
from corpusmill.tokenize.shard_exports import Export
from corpusmill.tokenize.token_shards import TokenShards, open_shards
from corpusmill.train.stream import TokenStream

QUIET = StageProgress("test", Watch(quiet=True))
OUT = {"megatron": "corpus", "mds": "mds", "datatrove": "ds", "nanogpt": "train.bin", "llmc": "llmc", "hf": "set"}
CASES = [*OUT.items(), ("hf", "set.parquet")]
PLACE = ("id", "url", "host", "language", "warc_file", "warc_offset", "offset_kind", "warc_length")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer(tmp_path_factory.mktemp("foreign") / "tokenizer")


@pytest.fixture(scope="module")
def corpus(tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> TokenShards:
    """Three shards of 120 documents, an empty one and two long ones among them."""
    folder = tmp_path_factory.mktemp("foreign")
    rng = np.random.default_rng(5)
    lengths = [*rng.integers(1, 60, 117), 0, 700, 300]
    documents = [rng.integers(1, 300, n).tolist() for n in lengths]
    groups = [documents[:50], documents[50:51], documents[51:]]
    return make_shards(folder / "shards", groups, identity=identity_of(tokenizer, folder))


def written(corpus: TokenShards, name: str, to: Path, **options: Any) -> Path:
    export_shards(corpus.folder, str(to), name, QUIET, **options)
    return to


def taken_in(path: Path | str, name: str, tokenizer: Path, to: Path, **options: Any) -> tuple[Imported, TokenShards]:
    done = import_shards(str(path), name, str(tokenizer), str(to), QUIET, **options)
    return done, open_shards(Folder(str(to)))


def sidecars(shards: TokenShards) -> list[dict[str, Any]]:
    names = [entry["docs"] for entry in shards.manifest["shards"]]
    return [row for name in names for row in pq.read_table(shards.folder.local_path(name)).to_pylist()]


@pytest.mark.parametrize(("name", "to"), CASES)
@pytest.mark.parametrize("tokens_per_shard", [64_000_000, 500, 7])
def test_out_and_in_again_is_the_same_documents(
    name: str, to: str, tokens_per_shard: int, corpus: TokenShards, tokenizer: Path, tmp_path: Path
):
    written(corpus, name, tmp_path / to)
    done, found = taken_in(tmp_path / to, name, tokenizer, tmp_path / "in", tokens_per_shard=tokens_per_shard)
    assert documents_of(found) == documents_of(corpus)
    assert found.manifest["tokenizer"] == corpus.manifest["tokenizer"]
    assert (done.documents, done.tokens, done.closed, done.with_ends) == (120, corpus.num_tokens, 0, 0)
    assert (len(found.shards) == 1) == (tokens_per_shard > 10_000)
    assert {p.name for p in tmp_path.iterdir()} - {"corpus.bin", "corpus.idx"} == {"in", to} - {"corpus"}
    rows = sidecars(found)
    assert [r["num_tokens"] for r in rows] == [len(d) for d in documents_of(corpus)]
    assert len({r["address"] for r in rows}) == 120
    stream = TokenStream(found.folder, seed=1, sequence_length=16, batch_size=4)
    assert stream.batch(1).num_tokens == 64


@pytest.mark.parametrize(("name", "to"), CASES)
def test_a_document_says_where_it_came_from(name: str, to: str, corpus: TokenShards, tokenizer: Path, tmp_path: Path):
    path = written(corpus, name, tmp_path / to)
    _, found = taken_in(path, name, tokenizer, tmp_path / "in")
    before, after = sidecars(corpus), sidecars(found)
    if FORMATS[name].columns:
        assert [[r[c] for c in (*PLACE, "text_bytes")] for r in after] == [
            [r[c] for c in (*PLACE, "text_bytes")] for r in before
        ]
        return
    files = {"megatron": "corpus.bin", "datatrove": "ds/00000_unshuffled.ds", "llmc": "llmc/tokens_000000.bin"}
    file = f"{tmp_path}/{files.get(name, to)}"
    assert {r["warc_file"] for r in after} == {file}
    assert [r["warc_offset"] for r in after] == list(range(120))
    assert [r["id"] for r in after] == [f"{file}:{i}" for i in range(120)]
    assert {r["offset_kind"] for r in after} == {"row"}
    assert [r["warc_length"] for r in after] == [2 * r["num_tokens"] for r in before]


def test_bytes_of_text_are_counted_from_the_tokens(tokenizer: Path, tmp_path: Path):
    from tokenizers import Tokenizer

    loaded = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    texts = ["the mill by the river", "naïve ☃", ""]
    np.array([i for text in texts for i in (*loaded.encode(text).ids, 0)], np.uint16).tofile(tmp_path / "a.bin")
    _, found = taken_in(tmp_path / "a.bin", "nanogpt", tokenizer, tmp_path / "in")
    assert [r["text_bytes"] for r in sidecars(found)] == [len(text.encode()) for text in texts]
    assert found.manifest["text_bytes"] == sum(len(text.encode()) for text in texts)


def test_bytes_of_text_of_a_tokenizer_that_is_not_of_bytes_are_decoded(tmp_path: Path):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"</s>": 0, "▁the": 1, "▁mill": 2, "?": 3}, unk_token="?"))
    words.pre_tokenizer, words.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    words.save(str(tmp_path / "tokenizer.json"))
    np.array([1, 2, 0, 2, 0], np.uint16).tofile(tmp_path / "a.bin")
    _, found = taken_in(tmp_path / "a.bin", "nanogpt", tmp_path / "tokenizer.json", tmp_path / "in")
    assert [r["text_bytes"] for r in sidecars(found)] == [len("the mill"), len("mill")]


@pytest.mark.parametrize("name", ["megatron", "datatrove", "nanogpt", "llmc"])
def test_in_and_out_again_is_the_same_bytes(name: str, corpus: TokenShards, tokenizer: Path, tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    options = {"tokens_per_file": 700} if name == "llmc" else {}
    first = written(corpus, name, tmp_path / "a" / OUT[name], tokenizer_name="gpt2", **options)
    taken_in(first, name, tokenizer, tmp_path / "in", tokens_per_shard=333)
    again = export_shards(
        Folder(str(tmp_path / "in")), str(tmp_path / "b" / OUT[name]), name, QUIET, tokenizer_name="gpt2", **options
    )
    before, after = (
        {str(p.relative_to(tmp_path / x)): p.read_bytes() for p in (tmp_path / x).rglob("*") if p.is_file()}
        for x in "ab"
    )
    assert before == after
    assert len(after) == len(again.files)


@pytest.mark.parametrize(("name", "to"), CASES)
def test_the_same_shards_are_the_same_bytes(name: str, to: str, corpus: TokenShards, tmp_path: Path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        written(corpus, name, tmp_path / folder / to)
    before, after = (
        {str(p.relative_to(tmp_path / x)): p.read_bytes() for p in (tmp_path / x).rglob("*") if p.is_file()}
        for x in "ab"
    )
    assert before == after


def test_datatroves_files_are_cut_between_documents(corpus: TokenShards, tokenizer: Path, tmp_path: Path):
    path = written(corpus, "datatrove", tmp_path / "ds", tokens_per_file=400)
    sizes = [p.stat().st_size // 2 for p in sorted(path.glob("*.ds"))]
    assert sum(sizes) == corpus.num_tokens
    assert [s for s in sizes if s > 400] == [701]
    assert all(a + b > 400 for a, b in pairwise(sizes))
    _, found = taken_in(path, "datatrove", tokenizer, tmp_path / "in")
    assert documents_of(found) == documents_of(corpus)


@pytest.fixture
def weighted(tokenizer: Path, tmp_path: Path) -> TokenShards:
    groups = [[[1, 2], [3]], [[4]], [[5, 6]]]
    return make_shards(tmp_path / "weighted", groups, [1, 3, 2], identity_of(tokenizer, tmp_path))


@pytest.mark.parametrize(("name", "to"), CASES)
def test_weights_are_said_repeated_or_left_out(
    name: str, to: str, weighted: TokenShards, tokenizer: Path, tmp_path: Path
):
    with pytest.raises(
        InputError, match=r"of shard-00001-x3\.arrow 3 times.*--weights repeat.*17 tokens.*once.*\(10\)"
    ):
        written(weighted, name, tmp_path / "no")
    assert not list(tmp_path.glob("no*"))
    _, once = taken_in(written(weighted, name, tmp_path / to, weights="once"), name, tokenizer, tmp_path / "1")
    assert documents_of(once) == documents_of(weighted)
    _, often = taken_in(
        written(weighted, name, tmp_path / f"r-{to}", weights="repeat"), name, tokenizer, tmp_path / "2"
    )
    line = [weighted.shards[i].tokens.tolist() for i in weighted.line]
    assert tokens_of(often) == [token for tokens in line for token in tokens]
    assert often.num_tokens == weighted.num_tokens == 17
    if not FORMATS[name].columns:
        with pytest.raises(InputError, match=f"{name} has no columns; mds, hf have"):
            written(weighted, name, tmp_path / "no", weights="column")
        return
    _, told = taken_in(written(weighted, name, tmp_path / f"c-{to}", weights="column"), name, tokenizer, tmp_path / "3")
    assert {s.weight: s.tokens.tolist() for s in told.shards} == {s.weight: s.tokens.tolist() for s in weighted.shards}
    assert told.num_tokens == weighted.num_tokens


def oracle(pieces: list[tuple[str, list[int]]], end: int, joined: bool) -> list[list[int]]:
    """Streams put together, and cut after each end, slowly."""
    streams: dict[str, list[int]] = {}
    for file, tokens in pieces:
        streams.setdefault("" if joined else file, []).extend(tokens)
    found = []
    for tokens in streams.values():
        if tokens[:1] == [end]:
            tokens = [*tokens[1:], end]
        document: list[int] = []
        for token in tokens:
            document.append(token)
            if token == end:
                found.append(document)
                document = []
        found += [document] if document else []
    return found


@given(
    st.lists(st.tuples(st.sampled_from("aabc"), st.lists(st.integers(0, 3), max_size=6)), max_size=12), st.booleans()
)
@settings(max_examples=500, deadline=None)
def test_streams_are_cut_as_a_slow_reader_cuts_them(pieces: list[tuple[str, list[int]]], joined: bool):
    pieces = sorted(((f, t) for f, t in pieces if t), key=lambda piece: piece[0])
    batches = list(cut_at_ends(((f, np.array(t, np.uint16)) for f, t in pieces), 0, joined))
    assert [d for b in batches for d in b.encoded.lists()] == oracle(pieces, 0, joined)
    rows = [(b.file, b.first_row + i) for b in batches for i in range(len(b.encoded.offsets) - 1)]
    assert len(set(rows)) == len(rows)
    assert all(
        sorted(r for f, r in rows if f == file) == list(range(sum(f == file for f, _ in rows))) for file in "abc"
    )


def test_documents_without_an_end_are_given_one_and_counted(tokenizer: Path, tmp_path: Path):
    table = pa.table({"input_ids": pa.array([[1, 2], [3, 0], [], [4, 0, 5, 0]], pa.list_(pa.int64()))})
    pq.write_table(table, tmp_path / "a.parquet")
    done, found = taken_in(tmp_path / "a.parquet", "hf", tokenizer, tmp_path / "in")
    assert documents_of(found) == [[1, 2, 0], [3, 0], [0], [4, 0, 5, 0]]
    assert (done.closed, done.with_ends) == (2, 1)


@pytest.mark.parametrize("kind", [pa.list_(pa.int32()), pa.large_list(pa.uint32()), pa.list_(pa.int64(), 3)])
@pytest.mark.parametrize("ends", [[1, 2, 0, 3, 0, 4, 5, 0, 0], [0, 1, 2, 0, 3, 0, 4, 5, 0]])
def test_packed_rows_are_one_stream(kind: pa.DataType, ends: list[int], tokenizer: Path, tmp_path: Path):
    rows = [ends[i : i + 3] for i in range(0, 9, 3)]
    pq.write_table(pa.table({"input_ids": pa.array(rows, kind), "id": ["a", "b", "c"]}), tmp_path / "a.parquet")
    done, found = taken_in(tmp_path / "a.parquet", "hf", tokenizer, tmp_path / "in", packed=True)
    assert documents_of(found) == [[1, 2, 0], [3, 0], [4, 5, 0], [0]]
    assert (done.closed, done.with_ends) == (0, 0)
    assert [r["id"] for r in sidecars(found)] == [f"{tmp_path}/a.parquet:{i}" for i in range(4)]


def test_a_file_whose_documents_are_opened_by_the_token_loses_no_document(tokenizer: Path, tmp_path: Path):
    np.array([0, 1, 2, 0, 3], np.uint16).tofile(tmp_path / "a.bin")
    done, found = taken_in(tmp_path / "a.bin", "nanogpt", tokenizer, tmp_path / "in")
    assert documents_of(found) == [[1, 2, 0], [3, 0]]
    assert done.closed == 0


def test_columns_of_other_names_and_types_are_taken_over(tokenizer: Path, tmp_path: Path):
    table = pa.table(
        {
            "ids": [[1], [2]],
            "id": [17, 18],
            "url": ["https://a.example/x", None],
            "attention_mask": [[1], [1]],
            "warc_file": ["w", None],
            "warc_offset": [5, 6],
            "offset_kind": ["line", "line"],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match="name the one of tokens with --column"):
        taken_in(tmp_path / "a.parquet", "hf", tokenizer, tmp_path / "in")
    _, found = taken_in(tmp_path / "a.parquet", "hf", tokenizer, tmp_path / "in", column="ids")
    first, second = sidecars(found)
    assert [first[c] for c in ("id", "url", "host", "warc_file", "warc_offset", "offset_kind")] == [
        "17", "https://a.example/x", "a.example", "w", 5, "line",
    ]  # fmt: skip
    assert [second[c] for c in ("id", "url", "host", "warc_file", "warc_offset", "offset_kind")] == [
        "18", None, None, f"{tmp_path}/a.parquet", 1, "row",
    ]  # fmt: skip


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "zstd:7": lambda raw: zstandard.ZstdCompressor(7).compress(raw),
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "br:3": lambda raw: brotli.compress(raw, quality=3),
}


def packed(folder: Path, compression: str) -> Path:
    """The data set as MDSWriter would have compressed it; the path of its first shard."""
    index = json.loads((folder / "index.json").read_text())
    for entry in index["shards"]:
        raw = folder / entry["raw_data"]["basename"]
        data = PACKERS[compression](raw.read_bytes())
        name = f"{raw.name}.{compression.partition(':')[0]}"
        (folder / name).write_bytes(data)
        raw.unlink()
        entry |= {"compression": compression, "zip_data": {"basename": name, "bytes": len(data), "hashes": {}}}
    (folder / "index.json").write_text(json.dumps(index))
    return folder / index["shards"][0]["zip_data"]["basename"]


@pytest.mark.parametrize("compression", list(PACKERS))
def test_compressed_shards_of_mds_are_read(compression: str, corpus: TokenShards, tokenizer: Path, tmp_path: Path):
    shard = packed(written(corpus, "mds", tmp_path / "mds"), compression)
    _, found = taken_in(tmp_path / "mds", "mds", tokenizer, tmp_path / "in")
    assert documents_of(found) == documents_of(corpus)
    raw = bytearray(shard.read_bytes())
    raw[len(raw) // 2] ^= 0x55
    shard.write_bytes(raw)
    with pytest.raises(InputError, match=r"shard\.00000\.mds\.\w+ (cannot be decompressed|has sha256|holds)"):
        taken_in(tmp_path / "mds", "mds", tokenizer, tmp_path / "no")


def mds_of(folder: Path, encoding: str, columns: list[bytes]) -> Path:
    """A shard with one column of tokens, its samples already encoded, as llm-foundry has it."""
    config = {"column_names": ["tokens"], "column_encodings": [encoding], "column_sizes": [None]}
    config |= {"version": 2, "format": "mds", "compression": None, "hashes": [], "size_limit": None}
    text = json.dumps(config, sort_keys=True).encode()
    begin = 4 + 4 * (len(columns) + 1) + len(text)
    begins = np.r_[begin, begin + np.cumsum([4 + len(c) for c in columns])].astype("<u4")
    samples = b"".join(struct.pack("<I", len(c)) + c for c in columns)
    raw = struct.pack("<I", len(columns)) + begins.tobytes() + text + samples
    folder.mkdir()
    (folder / "shard.00000.mds").write_bytes(raw)
    data = {"basename": "shard.00000.mds", "bytes": len(raw), "hashes": {"md5": hashlib.md5(raw).hexdigest()}}
    entry = config | {"samples": len(columns), "raw_data": data, "zip_data": None}
    (folder / "index.json").write_text(json.dumps({"version": 2, "shards": [entry]}))
    return folder


@pytest.mark.parametrize(
    ("encoding", "samples", "options"),
    [
        ("bytes", [struct.pack("<3q", 1, 2, 0), struct.pack("<1q", 3)], {"token_type": "int64"}),
        ("ndarray", [b"\x21\x04\x03" + struct.pack("<3i", 1, 2, 0), b"\x21\x05\x01\x00" + struct.pack("<i", 3)], {}),
        ("ndarray:uint32", [b"\x04\x03" + struct.pack("<3I", 1, 2, 0), b"\x04\x01" + struct.pack("<I", 3)], {}),
    ],
)
def test_every_way_in_which_mds_holds_integers_is_read(
    encoding: str, samples: list[bytes], options: dict[str, Any], tokenizer: Path, tmp_path: Path
):
    path = mds_of(tmp_path / "mds", encoding, samples)
    done, found = taken_in(path, "mds", tokenizer, tmp_path / "in", **options)
    assert documents_of(found) == [[1, 2, 0], [3, 0]]
    assert done.closed == 1
    assert [r["id"] for r in sidecars(found)] == [f"{path}/shard.00000.mds:{i}" for i in range(2)]


def cut_off(path: Path, count: int = 1) -> None:
    path.write_bytes(path.read_bytes()[:-count])


def changed(path: Path, at: int, to: bytes) -> None:
    raw = bytearray(path.read_bytes())
    raw[at : at + len(to)] = to
    path.write_bytes(raw)


def index_changed(path: Path, **values: Any) -> None:
    index = json.loads(path.read_text())
    index["shards"][0] |= values
    path.write_text(json.dumps(index))


BROKEN: list[tuple[str, Callable[[Path], object], str]] = [
    ("megatron", lambda p: (p / "corpus.idx").unlink(), "corpus: is not there; expected the prefix"),
    ("megatron", lambda p: (p / "corpus.bin").unlink(), r"corpus\.bin is not there; .*corpus\.idx belongs to it"),
    ("megatron", lambda p: changed(p / "corpus.idx", 0, b"TNTIDX\0\0"), r"corpus\.idx begins with b'TNTIDX.*MMIDIDX"),
    ("megatron", lambda p: changed(p / "corpus.idx", 9, b"\2"), r"corpus\.idx has version 2 .*expected 1 and integers"),
    ("megatron", lambda p: changed(p / "corpus.idx", 17, b"\6"), "tokens of type float64"),
    ("megatron", lambda p: changed(p / "corpus.idx", 17, b"\x63"), "tokens of type 99"),
    ("megatron", lambda p: cut_off(p / "corpus.idx"), r"corpus\.idx has .* bytes, 120 sequences and 121 borders need"),
    ("megatron", lambda p: (p / "corpus.idx").open("ab").write(bytes(120)), "a mode for each sequence"),
    ("megatron", lambda p: cut_off(p / "corpus.bin"), r"corpus\.bin has .* no multiple of 2: it is cut"),
    ("megatron", lambda p: cut_off(p / "corpus.bin", 2), r"corpus\.bin has .* bytes, corpus\.idx says .*: one of them"),
    ("megatron", lambda p: changed(p / "corpus.idx", 34, b"\xff\xff\xff\xff"), "sequence 0 does not begin where"),
    ("megatron", lambda p: changed(p / "corpus.idx", 34 + 480 + 8, b"\1"), "sequence 1 does not begin where"),
    ("megatron", lambda p: changed(p / "corpus.idx", 34 + 1440 + 8, b"\x63"), "borders do not ascend"),
    (
        "megatron",
        lambda p: changed(p / "corpus.idx", 34 + 1440 + 960, b"\x77"),
        "its documents have 119 sequences of 120",
    ),
    ("datatrove", lambda p: cut_off(next(p.glob("ds/*.ds")), 2), r"unshuffled\.ds has .* tokens, its metadata say"),
    ("datatrove", lambda p: cut_off(next(p.glob("ds/*.ds"))), r"unshuffled\.ds has .* no multiple of 2"),
    ("datatrove", lambda p: cut_off(next(p.glob("ds/*.index")), 8), r"unshuffled\.ds has .* tokens, .*index ends at"),
    ("datatrove", lambda p: changed(next(p.glob("ds/*.index")), 3, b"\x7f"), "ends do not ascend"),
    (
        "datatrove",
        lambda p: next(p.glob("ds/*.metadata")).write_text("gpt2|3\n5\n5 T"),
        r"metadata has \['gpt2\|3', '5'\]",
    ),
    ("datatrove", lambda p: [f.unlink() for f in p.glob("ds/*")], r"ds: holds no \*\.ds"),
    ("nanogpt", lambda p: cut_off(p / "train.bin"), r"train\.bin has .* no multiple of 2"),
    (
        "nanogpt",
        lambda p: changed(p / "train.bin", 0, b"\xff\xff"),
        r"train\.bin: document 0 has token 65,535 at 0; .*0 to",
    ),
    ("nanogpt", lambda p: changed(p / "train.bin", 0, struct.pack("<2i", 20240520, 1)), "read it with --from llmc"),
    ("nanogpt", lambda p: (p / "train.bin").unlink(), r"train\.bin: is not there"),
    ("llmc", lambda p: cut_off(next(p.glob("llmc/*")), 2), r"tokens_000000\.bin has .* its head says .*: it is cut"),
    (
        "llmc",
        lambda p: changed(next(p.glob("llmc/*")), 0, b"\0"),
        r"tokens_000000\.bin begins with the numbers .*, 1; exp",
    ),
    (
        "llmc",
        lambda p: changed(next(p.glob("llmc/*")), 4, b"\3"),
        "begins with the numbers 20240520, 3; expected magic",
    ),
    ("llmc", lambda p: next(p.glob("llmc/*")).write_bytes(b"abc"), "begins with the numbers"),
    ("mds", lambda p: cut_off(p / "mds/shard.00000.mds"), r"shard\.00000\.mds has .* bytes, index\.json says"),
    (
        "mds",
        lambda p: changed(p / "mds/shard.00000.mds", 5000, b"\xff"),
        r"shard\.00000\.mds has sha256 .*: it was changed",
    ),
    ("mds", lambda p: (p / "mds/shard.00000.mds").unlink(), r"shard\.00000\.mds is not there; .*index\.json names it"),
    ("mds", lambda p: (p / "mds/index.json").unlink(), r"index\.json is not there"),
    ("mds", lambda p: (p / "mds/index.json").write_text("[]"), r"index\.json is no index of a Streaming data set"),
    ("mds", lambda p: (p / "mds/index.json").write_text('{"version": 1, "shards": []}'), "version 1; expected 2"),
    ("mds", lambda p: index_changed(p / "mds/index.json", version=3), r"version 3, format mds; expected 2, mds"),
    ("mds", lambda p: index_changed(p / "mds/index.json", format="json"), r"version 2, format json; expected 2, mds"),
    ("mds", lambda p: index_changed(p / "mds/index.json", samples=7), "has 120 samples, index.json says 7"),
    ("mds", lambda p: index_changed(p / "mds/index.json", column_names=["a"]), "describes a shard that is none of MDS"),
    ("hf", lambda p: cut_off(next(p.glob("set/*.arrow")), 9000), r"arrow cannot be read to its end .*: it is cut"),
    ("hf", lambda p: next(p.glob("set/*.arrow")).write_bytes(b"abc"), "is no Parquet or Arrow file"),
    ("hf", lambda p: next(p.glob("set/*.arrow")).unlink(), r"data-00000-of-00001\.arrow is missing"),
    ("hf", lambda p: shutil.rmtree(p / "set"), "set is not there"),
]


@pytest.mark.parametrize(("name", "harm", "said"), BROKEN)
def test_what_is_wrong_with_a_foreign_file_is_said_and_nothing_is_written(
    name: str, harm: Callable[[Path], object], said: str, corpus: TokenShards, tokenizer: Path, tmp_path: Path
):
    written(corpus, name, tmp_path / OUT[name])
    harm(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=said):
        taken_in(tmp_path / OUT[name], name, tokenizer, tmp_path / "in")
    assert sorted(tmp_path.iterdir()) == before


def unhashed(path: Path) -> None:
    """The shard is what the index says, whatever is in it."""
    index = json.loads((path / "index.json").read_text())
    for entry in index["shards"]:
        entry["raw_data"]["hashes"] = {}
    (path / "index.json").write_text(json.dumps(index))


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_damaged_shard_of_mds_is_read_or_refused_and_nothing_else(
    data: st.DataObject, corpus: TokenShards, tokenizer: Path, tmp_path_factory: pytest.TempPathFactory
):
    from corpusmill.tokenize.foreign_documents import ReadSettings
    from corpusmill.tokenize.mds_samples import read

    folder = tmp_path_factory.mktemp("damaged")
    path = written(corpus, "mds", folder / "mds")
    unhashed(path)
    shard = path / "shard.00000.mds"
    raw = bytearray(shard.read_bytes())
    begin = struct.unpack_from("<I", raw, 4)[0]
    heads = st.integers(0, 4 * 121) | st.integers(begin, begin + 400)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(heads)] = data.draw(st.integers(0, 255))
    shard.write_bytes(raw)
    found, said = 120, "shard.00000.mds"
    try:
        found = sum(len(b.encoded.offsets) - 1 for b in read(str(path), ReadSettings(300, 0)).batches)
    except InputError as e:
        said = str(e)
    assert found == 120
    assert "shard.00000.mds" in said
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "megatrn"}, "--from megatrn: expected one of .*; did you mean 'megatron'"),
        ({"name": "nanogpt", "packed": True}, "nanogpt has none; mds, hf have"),
        ({"name": "nanogpt", "column": "x"}, "nanogpt has none; mds, hf have"),
        ({"name": "nanogpt", "token_type": "uint61"}, "--token-type uint61: .*did you mean 'uint16'"),
        ({"name": "nanogpt", "token_type": "uint32"}, "another --token-type"),
        ({"name": "nanogpt", "end_token": "</s>"}, "--end-token </s>: the tokenizer .* has no such token"),
        ({"name": "nanogpt", "to": "there"}, "there exists already"),
        ({"name": "nanogpt", "path": "empty.bin"}, r"empty\.bin holds no documents"),
        (
            {"name": "hf", "path": "texts.parquet"},
            r"texts\.parquet: column input_ids is of type string; expected lists",
        ),
        ({"name": "hf", "path": "nulls.parquet"}, r"nulls\.parquet: column input_ids has nulls"),
        ({"name": "hf", "path": "train.bin"}, r"expected files that end in \.parquet or \.arrow"),
        ({"name": "hf", "path": "weight.parquet"}, "column weight has no number of at least 1 in each row"),
    ],
)
def test_a_mistaken_import_says_so(
    options: dict[str, Any], said: str, corpus: TokenShards, tokenizer: Path, tmp_path: Path
):
    written(corpus, "nanogpt", tmp_path / "train.bin")
    (tmp_path / "empty.bin").write_bytes(b"")
    (tmp_path / "there").mkdir()
    pq.write_table(pa.table({"input_ids": ["1 2 3"]}), tmp_path / "texts.parquet")
    pq.write_table(pa.table({"input_ids": [[1], None]}), tmp_path / "nulls.parquet")
    pq.write_table(pa.table({"input_ids": [[1]], "weight": [0]}), tmp_path / "weight.parquet")
    before = sorted(tmp_path.iterdir())
    options = dict(options)
    path, to = options.pop("path", "train.bin"), options.pop("to", "in")
    with pytest.raises(InputError, match=said):
        taken_in(tmp_path / path, options.pop("name"), tokenizer, tmp_path / to, **options)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("name", "to", "options", "said"),
    [
        ("mosaic", "x", {}, "--to mosaic: expected one of"),
        ("nanogpt", "train.bin", {}, r"train\.bin exists already"),
        ("megatron", "old", {}, r"old\.idx exists already"),
        ("mds", "there", {}, "there exists already"),
        ("nanogpt", "x.bin", {"token_type": "float32"}, "--token-type float32: expected one of uint16"),
        ("megatron", "x", {"token_type": "uint32"}, "--token-type uint32: this format has uint16, int32, int64"),
        ("nanogpt", "x.bin", {"tokens_per_file": 5}, "--tokens-per-file: nanogpt has all tokens in one place"),
        ("llmc", "x", {"tokens_per_file": 1 << 31}, "a file's head counts up to 2,147,483,647"),
        ("hf", "x", {"weights": "twice"}, "--weights twice: expected one of repeat, once, column"),
    ],
)
def test_a_mistaken_export_says_so(
    name: str, to: str, options: dict[str, Any], said: str, corpus: TokenShards, tmp_path: Path
):
    (tmp_path / "train.bin").write_bytes(b"mine")
    (tmp_path / "old.idx").write_bytes(b"mine")
    (tmp_path / "there").mkdir()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=said):
        written(corpus, name, tmp_path / to, **options)
    assert sorted(tmp_path.iterdir()) == before


def test_a_type_that_cannot_hold_the_vocabulary_is_refused(tmp_path: Path):
    identity = {"sha256": "0" * 64, "vocab_size": 70_000, "eos_token_id": 0, "eos_token": "<|endoftext|>"}
    make_shards(tmp_path / "shards", [[[65_540]]], identity=identity)
    with pytest.raises(InputError, match="uint16 holds ids to 65,535, the vocabulary has 70,000"):
        export_shards(Folder(str(tmp_path / "shards")), str(tmp_path / "a.bin"), "nanogpt", QUIET, token_type="uint16")


@pytest.mark.parametrize(("name", "to"), CASES)
def test_damaged_shards_leave_nothing_written(name: str, to: str, tmp_path: Path):
    shards = make_shards(tmp_path / "shards", [[[1, 2]] * 9, [[3]] * 9])
    entry = shards.manifest["shards"][1]
    damaged = shards.folder.local_path(entry["docs"] if FORMATS[name].columns else entry["name"])
    if FORMATS[name].columns:
        pq.write_table(pq.read_table(damaged).slice(1), damaged)
    else:
        cut_off(damaged, 700)
    with pytest.raises(DamagedError, match=damaged.name):
        written(shards, name, tmp_path / to)
    assert [p.name for p in tmp_path.iterdir()] == ["shards"]


@pytest.mark.parametrize(("name", "to"), CASES)
def test_exports_go_to_an_object_store(name: str, to: str, corpus: TokenShards, tmp_path: Path):
    import fsspec

    store = fsspec.filesystem("memory")
    here = written(corpus, name, tmp_path / to)
    export_shards(corpus.folder, f"memory://exports/{to}", name, QUIET)
    files = [here] if here.is_file() else list(here.rglob("*")) or list(tmp_path.iterdir())
    for file in files:
        assert store.cat(f"/exports/{file.relative_to(tmp_path)}") == file.read_bytes()
    store.rm("/exports", recursive=True)


@pytest.mark.parametrize(("name", "to"), [*OUT.items()])
def test_memory_does_not_grow_with_the_corpus(name: str, to: str, tmp_path: Path):
    """What NumPy and Python hold at most, for 1.2 million tokens and for eight times as many."""
    documents = np.random.default_rng(2).integers(1, 300, (600, 1000)).astype(np.uint16)
    peaks = []
    for times in (2, 16):
        shards = make_shards(tmp_path / f"shards-{times}", [list(documents)])
        many = TokenShards(shards.folder, shards.manifest, list(shards.entries) * times, shards.fingerprint)
        assert len(many.shards) == times  # mapped
        kind = np.dtype(np.int32) if name == "megatron" else None
        tracemalloc.start()
        FORMATS[name].write(Export(many, many.shards, token_type=kind), str(tmp_path / f"{times}-{to}"))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] + 500_000
    assert peaks[1] < 8_000_000


def corpusmill(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "corpusmill.cli", *arguments], capture_output=True, text=True)


def test_commands_take_a_run_and_say_what_they_wrote(tmp_path: Path):
    from fixtures_shards import make_run

    run = make_run(tmp_path / "run", documents=60, shards=2)
    done = corpusmill("shards", "export", run.url, "--to", "megatron", "--output", f"{tmp_path}/corpus")
    assert done.returncode == 0, done.stderr
    tokens = open_shards(run.sub("shards")).num_tokens
    size = sum((tmp_path / f"corpus.{end}").stat().st_size for end in ("bin", "idx"))
    assert done.stdout == (
        f"wrote {tmp_path}/corpus (corpus.bin, corpus.idx): 60 documents, {tokens:,} tokens, {size:,} bytes\n"
    )
    options = ("--from", "megatron", "--tokenizer", f"{run.url}/tokenizer", "--output", f"{tmp_path}/in")
    done = corpusmill("shards", "import", f"{tmp_path}/corpus", *options)
    assert (done.returncode, done.stdout) == (
        0,
        f"wrote {tmp_path}/in: 1 shards, 60 documents, {tokens:,} tokens\n",
    ), done.stderr
    assert documents_of(open_shards(Folder(f"{tmp_path}/in"))) == documents_of(open_shards(run.sub("shards")))
    (tmp_path / "file").write_text("mine")
    nowhere = corpusmill("shards", "export", run.url, "--to", "mds", "--output", f"{tmp_path}/file/mds")
    assert nowhere.returncode == 3
    assert nowhere.stderr.startswith(f"error: {tmp_path}/file cannot be made (")
    again = corpusmill("shards", "import", f"{tmp_path}/corpus", *options)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == f"error: {tmp_path}/in exists already: give another name, or remove it\n"


def test_an_import_says_what_it_added_and_what_looks_odd(tokenizer: Path, tmp_path: Path):
    table = pa.table({"input_ids": pa.array([[1, 2], [3, 0], [4, 0, 5, 0]], pa.list_(pa.int64()))})
    pq.write_table(table, tmp_path / "a.parquet")
    options = ("--from", "hf", "--tokenizer", str(tokenizer), "--output", f"{tmp_path}/in")
    done = corpusmill("shards", "import", f"{tmp_path}/a.parquet", *options)
    assert done.stdout.splitlines() == [
        f"wrote {tmp_path}/in: 1 shards, 3 documents, 9 tokens",
        "1 documents had no end-of-text token at their end and were given one",
        "1 documents have the end-of-text token inside; if rows are pieces of one stream, import again with --packed",
    ], done.stderr


def test_an_import_says_that_a_mask_of_losses_is_left_out(corpus: TokenShards, tokenizer: Path, tmp_path: Path):
    path = written(corpus, "datatrove", tmp_path / "ds")
    (path / "00000_unshuffled.ds.loss").write_bytes(bytes(corpus.num_tokens))
    done, _ = taken_in(path, "datatrove", tokenizer, tmp_path / "in")
    assert done.notes == (f"{path}/00000_unshuffled.ds.loss says which tokens to learn from; that is left out",)

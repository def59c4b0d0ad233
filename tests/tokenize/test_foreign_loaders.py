"""The other loaders themselves: what Corpusmill writes, they read; what they write, Corpusmill reads.

datatrove is among our own packages. The others need old versions of some of them and live apart, in .venv-loaders or
where CORPUSMILL_LOADERS says.
"""

from __future__ import annotations

import json
import os
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shards_to_export import TEXTS, documents_of, identity_of, make_shards, make_tokenizer, tokens_of

from corpusmill.progress import StageProgress, Watch
from corpusmill.storage import Folder
from corpusmill.tokenize.foreign_imports import import_shards
from corpusmill.tokenize.foreign_shards import export_shards
from corpusmill.tokenize.token_shards import TokenShards, open_shards

QUIET = StageProgress("test", Watch(quiet=True))
ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("CORPUSMILL_LOADERS", ROOT / ".venv-loaders")) / "bin/python"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer(tmp_path_factory.mktemp("loaders") / "tokenizer")


@pytest.fixture(scope="module")
def corpus(tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> TokenShards:
    folder = tmp_path_factory.mktemp("loaders")
    rng = np.random.default_rng(7)
    documents = [rng.integers(1, 300, n).tolist() for n in (*rng.integers(1, 400, 98), 70_000, 255)]
    return make_shards(folder / "shards", [documents[:40], documents[40:]], [1, 2], identity_of(tokenizer, folder))


LET_STREAMING_IN = """
import torch
if torch.version.cuda is None:  # streaming imports torchvision, and PyPI's build of that asks for two operators
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


@lru_cache
def has(module: str) -> bool:
    command = [PYTHON, "-c", f"{LET_STREAMING_IN if module == 'streaming' else ''}\nimport {module}"]
    return PYTHON.exists() and subprocess.run(command, capture_output=True).returncode == 0


def asked(module: str, program: str, *arguments: Path | str) -> Any:
    """What a program says in JSON, in its last line, under the other loaders' Python. Skips where the module is not."""
    if not has(module):
        pytest.skip(f"no loaders' environment: make peers ({module} is not in it)")
    first = LET_STREAMING_IN if module == "streaming" else ""
    ran = subprocess.run([PYTHON, "-c", first + program, *map(str, arguments)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.splitlines()[-1])


def written(corpus: TokenShards, name: str, to: Path, **options: Any) -> Path:
    export_shards(corpus.folder, str(to), name, QUIET, weights=options.pop("weights", "once"), **options)
    return to


def taken_in(path: Path, name: str, tokenizer: Path, to: Path, **options: Any) -> TokenShards:
    import_shards(str(path), name, str(tokenizer), str(to), QUIET, **options)
    return open_shards(Folder(str(to)))


def test_datatroves_loader_reads_the_export(corpus: TokenShards, tmp_path: Path):
    pytest.importorskip("datatrove")
    pytest.importorskip("torch")
    from datatrove.utils.dataset import DatatroveFolderDataset

    path = written(corpus, "datatrove", tmp_path / "ds", tokens_per_file=20_000)
    files = sorted(path.glob("*.ds"))
    loaded = DatatroveFolderDataset(str(path), seq_len=63, filename_pattern="*.ds", return_positions=True)
    expected, positions = [], []
    for file in files:
        tokens = np.fromfile(file, np.uint16)
        place = np.concatenate([np.arange(n) for n in np.diff(np.fromfile(f"{file}.index", np.uint64), prepend=0)])
        whole = len(tokens) // 64 * 64  # it leaves out what is less than a window at a file's end
        expected += tokens[:whole].reshape(-1, 64).tolist()
        positions += place[:whole].reshape(-1, 64).tolist()
    assert [loaded[i]["input_ids"].tolist() for i in range(len(loaded))] == expected
    assert np.concatenate([np.fromfile(f, np.uint16) for f in files]).tolist() == tokens_of(corpus)
    # its positions say of a window's first token 0 wherever the document began
    found = [loaded[i]["positions"].tolist() for i in range(len(loaded))]
    assert [[p == 0 for p in row[1:]] for row in found] == [[p == 0 for p in row[1:]] for row in positions]


@pytest.mark.parametrize("shuffle", [False, True])
def test_datatroves_files_come_in_and_go_out_as_the_same_bytes(shuffle: bool, tokenizer: Path, tmp_path: Path):
    pytest.importorskip("datatrove")
    from datatrove.data import Document
    from datatrove.pipeline.tokens import DocumentTokenizer

    name = str(tokenizer / "tokenizer.json")
    step = DocumentTokenizer(
        str(tmp_path / "theirs"), name, eos_token="<|endoftext|>", shuffle_documents=shuffle, seed=1
    )
    step.run(iter([Document(text[: 5 + i], str(i)) for i, text in enumerate(TEXTS)]))
    found = taken_in(tmp_path / "theirs", "datatrove", tokenizer, tmp_path / "in", tokens_per_shard=100)
    assert len(documents_of(found)) == len(TEXTS)
    assert len(found.shards) > 1
    written(found, "datatrove", tmp_path / "ours", tokenizer_name=name)
    (theirs,), (ours,) = (list((tmp_path / folder).glob("*.ds")) for folder in ("theirs", "ours"))
    for suffix in ("", ".index", ".metadata"):
        assert Path(f"{ours}{suffix}").read_bytes() == Path(f"{theirs}{suffix}").read_bytes()


def test_merged_files_of_datatrove_come_in_whole(tokenizer: Path, tmp_path: Path):
    pytest.importorskip("datatrove")
    from datatrove.data import Document
    from datatrove.pipeline.tokens import DocumentTokenizer, DocumentTokenizerMerger

    step = DocumentTokenizer(
        str(tmp_path / "parts"), str(tokenizer / "tokenizer.json"), eos_token="<|endoftext|>", seed=1
    )
    for rank in range(2):
        step.run(iter([Document(text[: 5 + i + rank], str(i)) for i, text in enumerate(TEXTS)]), rank, 2)
    merger = DocumentTokenizerMerger(
        str(tmp_path / "parts"), str(tmp_path / "merged"), "all", max_tokens_per_file=500, seed=1, progress=False
    )
    merger.run()
    found = taken_in(tmp_path / "merged", "datatrove", tokenizer, tmp_path / "in")
    parts = taken_in(tmp_path / "parts", "datatrove", tokenizer, tmp_path / "in-parts")
    assert sorted(documents_of(found)) == sorted(documents_of(parts))
    assert len(documents_of(found)) == 2 * len(TEXTS)


READ_MEGATRON = """
import json, sys
from megatron.core.datasets.indexed_dataset import IndexedDataset
d = IndexedDataset(sys.argv[1])
print(json.dumps([[d[i].tolist() for i in range(len(d))], d.document_indices.tolist(), str(d.index.dtype)]))
"""
WRITE_MEGATRON = """
import json, sys, torch
from megatron.core.datasets.indexed_dataset import DType, IndexedDatasetBuilder
b = IndexedDatasetBuilder(sys.argv[1] + ".bin", dtype=DType.optimal_dtype(300))
for document in json.loads(sys.argv[2]):
    b.add_document(torch.tensor(document), [len(document)])
b.finalize(sys.argv[1] + ".idx")
print(0)
"""


def test_megatron_core_reads_the_export(corpus: TokenShards, tmp_path: Path):
    sequences, borders, kind = asked("megatron.core", READ_MEGATRON, written(corpus, "megatron", tmp_path / "corpus"))
    assert sequences == documents_of(corpus)
    assert borders == list(range(101))
    assert "uint16" in kind


def test_megatron_cores_files_come_in_and_go_out_as_the_same_bytes(tokenizer: Path, tmp_path: Path):
    documents = [[5, 6, 7, 0], [8, 0], [0], [9] * 40 + [0]]
    asked("megatron.core", WRITE_MEGATRON, tmp_path / "theirs", json.dumps(documents))
    found = taken_in(tmp_path / "theirs", "megatron", tokenizer, tmp_path / "in", tokens_per_shard=7)
    assert documents_of(found) == documents
    written(found, "megatron", tmp_path / "ours")
    for end in ("bin", "idx"):
        assert (tmp_path / f"ours.{end}").read_bytes() == (tmp_path / f"theirs.{end}").read_bytes()


READ_MDS = """
import json, sys
from streaming import StreamingDataset
d = StreamingDataset(local=sys.argv[1], batch_size=1, shuffle=False, validate_hash="sha256")
print(json.dumps([{k: v.tolist() if hasattr(v, "tolist") else v for k, v in d[i].items()} for i in range(len(d))]))
"""
WRITE_MDS = """
import json, sys
import numpy as np
from streaming import MDSWriter
folder, compression, encoding, samples = sys.argv[1:]
with MDSWriter(out=folder, columns={"id": "str", "tokens": encoding, "n": "int"}, size_limit=2000,
               compression=compression or None, hashes=["sha1", "xxh64"]) as out:
    for i, tokens in enumerate(json.loads(samples)):
        array = np.array(tokens, encoding.partition(":")[2] or np.int64)
        out.write({"id": f"d{i}", "tokens": array.tobytes() if encoding == "bytes" else array, "n": i})
print(0)
"""
REWRITE_MDS = """
import json, sys
from streaming import MDSWriter, StreamingDataset
d = StreamingDataset(local=sys.argv[1], batch_size=1, shuffle=False)
entry = json.load(open(sys.argv[1] + "/index.json"))["shards"][0]
with MDSWriter(out=sys.argv[2], columns=dict(zip(entry["column_names"], entry["column_encodings"])),
               hashes=entry["hashes"], size_limit=entry["size_limit"]) as out:
    for i in range(len(d)):
        out.write(d[i])
print(0)
"""


def test_mosaicmls_streaming_dataset_reads_the_export(corpus: TokenShards, tmp_path: Path):
    samples = asked("streaming", READ_MDS, written(corpus, "mds", tmp_path / "mds", weights="column"))
    assert [s["tokens"] for s in samples] == documents_of(corpus)
    assert [s["weight"] for s in samples] == [1] * 40 + [2] * 60
    assert samples[41]["id"] == "urn:uuid:1-1"
    assert samples[41]["warc_offset"] == 1000


def test_mosaicmls_own_writer_gives_the_same_bytes(corpus: TokenShards, tmp_path: Path, monkeypatch):
    from corpusmill.tokenize import mds_files

    monkeypatch.setattr(mds_files, "SIZE_LIMIT", 50_000)
    asked("streaming", REWRITE_MDS, written(corpus, "mds", tmp_path / "ours"), tmp_path / "theirs")
    ours, theirs = ({p.name: p.read_bytes() for p in (tmp_path / folder).iterdir()} for folder in ("ours", "theirs"))
    assert ours == theirs
    assert len(ours) > 2


@pytest.mark.parametrize(
    ("compression", "encoding"),
    [("", "ndarray"), ("zstd", "ndarray:int32"), ("gz:3", "bytes"), ("br:1", "ndarray:uint16"), ("bz2", "bytes")],
)
def test_mosaicmls_data_sets_come_in(compression: str, encoding: str, tokenizer: Path, tmp_path: Path):
    documents = [[5, 6, 7, 0], [8, 0], [0], [9] * 300 + [0]] * 20
    asked("streaming", WRITE_MDS, tmp_path / "mds", compression, encoding, json.dumps(documents))
    found = taken_in(tmp_path / "mds", "mds", tokenizer, tmp_path / "in", token_type="int64")
    assert documents_of(found) == documents


READ_HF = """
import json, sys
import datasets
if sys.argv[1].endswith(".parquet"):
    d = datasets.load_dataset("parquet", data_files=sys.argv[1], split="train", cache_dir=sys.argv[2])
else:
    d = datasets.load_from_disk(sys.argv[1])
print(json.dumps([d.column_names, d["input_ids"][:], d["url"][:], d["weight"][:], str(d.features["input_ids"])]))
"""
WRITE_HF = """
import json, sys
import datasets
d = datasets.Dataset.from_dict({"input_ids": json.loads(sys.argv[2]), "id": ["a", "b", "c", "d"]})
d.save_to_disk(sys.argv[1])
print(0)
"""


@pytest.mark.parametrize("to", ["set", "set.parquet"])
def test_hugging_faces_datasets_read_the_export(to: str, corpus: TokenShards, tmp_path: Path):
    path = written(corpus, "hf", tmp_path / to, weights="column")
    names, ids, urls, weights, kind = asked("datasets", READ_HF, path, tmp_path / "cache")
    assert ids == documents_of(corpus)
    assert names[:3] == ["input_ids", "id", "url"]
    assert (urls[0], urls[2]) == ("https://ü-0.example/0/0", None)
    assert weights == [1] * 40 + [2] * 60
    assert "uint16" in kind


def test_hugging_faces_data_sets_come_in(tokenizer: Path, tmp_path: Path):
    documents = [[5, 6, 7, 0], [8, 0], [0], [9] * 40 + [0]]
    asked("datasets", WRITE_HF, tmp_path / "set", json.dumps(documents))
    assert documents_of(taken_in(tmp_path / "set", "hf", tokenizer, tmp_path / "in")) == documents

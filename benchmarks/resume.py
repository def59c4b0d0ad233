"""Seconds and memory until the first batch of a corpus of 2 trillion tokens, from nothing and in its middle.

The corpus is simulated: 20,000 shards of 100 million tokens, all of them links to the same file, each under its own
name in the manifest. Each start is a process of its own, which says its resident memory before the stream is opened
(with everything imported), what it takes itself until the batch is there, and how much of the mapped files is then in
memory, which is the page cache's and goes when others need it. Beside it, what MosaicML's StreamingDataset does at each
start for one tenth of the samples: the order of an epoch, rebuilt.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.conversation import Conversation
from benchmarks.harness import ROOT, Failed, commit, machine
from benchmarks.peer_process import loader_command
from benchmarks.shard_maker import TOKENIZER, make_shards
from corpusmill.storage import Folder, canonical_json
from corpusmill.tokenize.shard_files import shards_manifest
from corpusmill.tokenize.token_shards import TokenShards, open_shards, read_manifest
from corpusmill.train.stream.packing import Packing, prepare

SHARDS, TOKENS, LENGTH, BATCH = 20_000, 100_000_000, 2048, 64
SAMPLES = 100_000_000
"""Of the peer: 205 billion tokens. With ten times as many it takes as much more."""

KINDS: dict[str, dict[str, Any]] = {
    "chunks": {},
    "chunks, mixture": {"weights": {"web": 0.7, "code": 0.3}},
    "best fit": {"packing": "best_fit"},
}

WORKER = """
import json, sys, time
from corpusmill.storage import Folder
from corpusmill.train.stream import TokenStream
asked = json.loads(sys.argv[1])
small = TokenStream(Folder(asked["small"]), seed=1, sequence_length=asked["length"], batch_size=4)
small.batch(1)  # kernels are loaded, as they are in any process that trains
def memory():
    lines = open("/proc/self/status").read().splitlines()
    return {x.split(":")[0]: int(x.split()[1]) / 1024 for x in lines if x.startswith(("VmHWM", "VmRSS", "Rss"))}
open("/proc/self/clear_refs", "w").write("5")
before = memory()
began = time.perf_counter()
stream = TokenStream(Folder(asked["folder"]), seed=1, sequence_length=asked["length"], batch_size=asked["batch"],
                     **asked["settings"])
if asked["state"]:
    stream.load_state_dict(asked["state"])
opened = memory()  # no shard is mapped yet: the peak is of what is the process's own
batch = stream.next_batch()
seconds = time.perf_counter() - began
after = memory()
own = max(opened["VmHWM"] - before["VmRSS"], after["RssAnon"] - before["RssAnon"])
print(json.dumps({"seconds": seconds, "before": before["VmRSS"], "own": own,
                  "mapped": after["RssFile"] - before["RssFile"], "tokens": batch.num_tokens,
                  "state": stream.state_after(asked["step"])}))
"""


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory(dir=chosen.scratch) as scratch:
        folder = Path(scratch)
        one = make_shards(folder / "one", 1, TOKENS)
        small = make_shards(folder / "small", 1, 100_000)
        many = simulate(one, folder / "many", chosen.shards)
        for name, settings in KINDS.items():
            step = open_shards(many).num_tokens // (LENGTH * BATCH) // 2
            asked = {"folder": many.url, "small": small.url, "length": LENGTH, "batch": BATCH, "settings": settings}
            start = _ask({**asked, "state": None, "step": step})
            resumed = _ask({**asked, "state": start["state"], "step": step})
            rows += [{"what": f"{name}: start"} | start, {"what": f"{name}: resume at step {step + 1:,}"} | resumed]
    show(rows, _peer(), chosen.shards * TOKENS)
    return 0


def simulate(one: Folder, many: Path, shards: int) -> Folder:
    """A folder with so many names for one shard, and for the index of its rows."""
    many.mkdir()
    manifest = read_manifest(one)
    (entry,) = manifest["shards"]
    prepare(open_shards(one), Packing(LENGTH))
    entries = []
    for number in range(shards):
        stem = f"shard-{number:05d}"
        names = {"name": f"{stem}.arrow", "docs": f"{stem}.docs.parquet", "sums": f"{stem}.sums.npy"}
        for key, name in names.items():
            (many / name).symlink_to(one.local_path(entry[key]))
        source = "code" if number % 5 == 4 else "web"
        entries.append({**entry, **names, "source": source, "sha256": f"{number:064x}"})
    folder = Folder(str(many))
    folder.write_json("manifest.json", shards_manifest(TOKENIZER, entries))
    _simulate_index(one, open_shards(folder))
    return folder


def _simulate_index(one: Folder, many: TokenShards) -> None:
    packing = Packing(LENGTH)
    index, target = packing.folder(open_shards(one)), packing.folder(many)
    manifest = index.read_json("manifest.json")
    (block,) = manifest["blocks"]
    blocks = []
    target.local_path().mkdir(parents=True)
    for number in range(len(many.entries)):
        name = f"block-{number:05d}.arrow"
        target.local_path(name).symlink_to(index.local_path(block["name"]))
        blocks.append({**block, "name": name, "first_place": number})
    identity = packing.identity(many)
    target.local_path("manifest.json").write_bytes(canonical_json(identity | {"blocks": blocks}))


def _ask(asked: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-c", WORKER, json.dumps(asked)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return dict(json.loads(done.stdout))


def _peer() -> dict[str, Any]:
    """MosaicML's order of an epoch: seconds and memory, or why there is none."""
    try:
        talk = Conversation(loader_command("loader_mosaic.py"))
        try:
            return talk.ask({"mode": "epoch", "samples": SAMPLES, "sequence_length": LENGTH, "sample": 0})
        finally:
            talk.end()
    except Failed as e:
        return {"missing": str(e)}


def show(rows: Sequence[dict[str, Any]], peer: dict[str, Any], tokens: int) -> None:
    table = Table("who", "what", "seconds", "memory, MB", "mapped files, MB", "before, MB", title_justify="left")
    table.title = f"resume: the first batch of {tokens:,} tokens; {machine()}"
    for row in rows:
        sizes = (f"{row[key]:,.0f}" for key in ("own", "mapped", "before"))
        table.add_row("corpusmill", row["what"], f"{row['seconds']:.2f}", *sizes)
    if "missing" in peer:
        table.add_row("mosaicml-streaming", peer["missing"], "", "", "", "")
    else:
        seconds, more = peer["order_seconds"] + peer["open_seconds"], peer["peak_mb"] - peer["before_mb"]
        what = f"order of {SAMPLES * LENGTH:,} tokens"
        table.add_row(
            f"mosaicml-streaming {peer['version']}",
            what,
            f"{seconds:.2f}",
            f"{more:,.0f}",
            "",
            f"{peer['before_mb']:,.0f}",
        )
    Console(width=118).print(table)
    worst = max(rows, key=lambda row: row["seconds"])
    facts = {
        "name": "resume",
        "value": round(worst["seconds"], 3),
        "unit": "s",
        "peer": "mosaicml-streaming",
        "peer_version": peer.get("version"),
        "peer_value": peer.get("order_seconds"),
        "ratio": peer.get("order_seconds") and round(peer["order_seconds"] / worst["seconds"], 2),
        "input": f"{tokens:,} tokens",
        "commit": commit(),
        "machine": machine(),
        "rows": [{k: v for k, v in row.items() if k != "state"} for row in rows],
        "missing": peer.get("missing"),
    }
    print(json.dumps(facts))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks resume", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shards", type=int, default=SHARDS, help=f"of 100 million tokens; default: {SHARDS:,}")
    parser.add_argument("--scratch", help="where to write 0.3 GB; default: the system's folder for temporary files")
    return parser


if __name__ == "__main__":
    sys.exit(main())

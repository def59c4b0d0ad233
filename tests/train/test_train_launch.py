"""Real launches: DeepSpeed's launcher with two ranks, killed, stopped and started again.

Each launch takes ten to twenty seconds, nearly all of it imports, so the runs are shared by the whole file.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from fixtures_shards import make_run

from corpusmill.errors import DamagedError, InputError
from corpusmill.forgetting import forget
from corpusmill.progress import Watch
from corpusmill.recipe import Recipe, load_recipe
from corpusmill.storage import Folder, sha256_of
from corpusmill.train.checkpoints import load_weights
from corpusmill.train.metrics_log import read_metrics
from corpusmill.train.process_setup import free_port
from corpusmill.train.stream.batch_trace import documents_of_step
from corpusmill.train.train_job import run_stage

ROOT = Path(__file__).resolve().parents[2]
STEPS = 24
RECIPE = f"""
[train]
sequence_length = 32
batch_size = 8
micro_batch_size = 2
steps = {STEPS}
warmup_steps = 4
learning_rate = 5e-3
checkpoint_every = 6
ranks = 2
[train.model]
hidden_size = 16
intermediate_size = 32
num_layers = 2
num_heads = 2
num_kv_heads = 1
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills processes by what Linux says about them")


@pytest.fixture(scope="module", autouse=True)
def _few_threads() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe and a run with shards, to be copied by each training."""
    folder = tmp_path_factory.mktemp("source")
    (folder / "recipe.toml").write_text(RECIPE)
    make_run(folder / "run", documents=120)
    return folder


@pytest.fixture(scope="module")
def fresh_run(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Folder]:
    def make() -> Folder:
        folder = tmp_path_factory.mktemp("run") / "run"
        shutil.copytree(source / "run", folder)
        return Folder(str(folder))

    return make


@pytest.fixture(scope="module")
def uninterrupted(source: Path, fresh_run: Callable[[], Folder]) -> tuple[Folder, dict[str, Any]]:
    """Two ranks, started as the command starts them, with nothing going wrong."""
    run = fresh_run()
    return run, train_stage(run, recipe(source))


def recipe(source: Path, *overrides: str) -> Recipe:
    return load_recipe(source / "recipe.toml", overrides)


def train_stage(run: Folder, settings: Recipe) -> dict[str, Any]:
    with Watch(quiet=True) as watch, watch.stage("train") as progress:
        totals = run_stage(run, settings, "recipe.toml", (), progress)
        assert (progress.done, progress.total) == (STEPS, STEPS)
    return totals


def start(*command: str) -> subprocess.Popen[str]:
    """In a process group of its own, away from this checkout."""
    return subprocess.Popen(
        command,
        cwd="/",
        env={**os.environ, "DS_ACCELERATOR": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def deepspeed(source: Path, run: Folder, recipe: str = "recipe.toml") -> subprocess.Popen[str]:
    """`deepspeed --num_accelerators 2 train/run.py --recipe R --run RUN`"""
    launcher = [sys.executable, "-m", "deepspeed.launcher.runner", "--num_accelerators", "2"]
    launcher += ["--master_port", str(free_port()), str(ROOT / "train" / "run.py")]
    return start(*launcher, "--recipe", str(source / recipe), "--run", run.url)


def plain(source: Path, run: Folder, *options: str) -> subprocess.Popen[str]:
    script = [sys.executable, str(ROOT / "train" / "run.py")]
    return start(*script, "--recipe", str(source / "recipe.toml"), "--run", run.url, *options)


def wait_for_step(run: Folder, step: int, process: subprocess.Popen[str]) -> None:
    path, deadline = run.local_path("train/metrics.jsonl"), time.monotonic() + 90
    while not path.exists() or path.read_bytes().count(b"\n") < step:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def trainers(run: Folder) -> list[int]:
    """Living processes that train in this run."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if run.url in words and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found


def wait_until_gone(run: Folder) -> None:
    deadline = time.monotonic() + 15
    while trainers(run):
        assert time.monotonic() < deadline, trainers(run)
        time.sleep(0.05)


def checksums(run: Folder) -> dict[str, str]:
    root = run.local_path("train")
    return {str(p.relative_to(root)): sha256_of(p) for p in sorted(root.rglob("*")) if p.is_file()}


def first_step(said: str) -> int:
    """The first step that a process reported."""
    line = next(line for line in said.splitlines() if line.startswith("corpusmill-step "))
    return int(json.loads(line.split(" ", 1)[1])["step"])


def test_the_loss_falls_and_the_totals_say_so(uninterrupted: tuple[Folder, dict[str, Any]]) -> None:
    run, totals = uninterrupted
    lines = read_metrics(run.sub("train"))
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert totals["steps"] == STEPS
    assert (totals["first_loss"], totals["final_loss"]) == (lines[0]["loss"], lines[-1]["loss"])
    assert totals["tokens"] == sum(line["tokens"] for line in lines)
    assert totals["final_loss"] < totals["first_loss"] - 0.7


def test_a_finished_training_is_left_alone(source: Path, uninterrupted: tuple[Folder, dict[str, Any]]) -> None:
    run, totals = uninterrupted
    before = checksums(run)
    started = time.monotonic()
    assert train_stage(run, recipe(source)) == totals
    assert time.monotonic() - started < 5  # no process was started
    assert checksums(run) == before


def test_a_finished_training_refuses_other_settings(source: Path, uninterrupted: tuple[Folder, dict[str, Any]]) -> None:
    with pytest.raises(InputError, match=r"train\.learning_rate = 0\.005, now it is 0\.001"):
        train_stage(uninterrupted[0], recipe(source, "train.learning_rate=0.001"))
    with pytest.raises(InputError, match="started with 2 ranks, this start has 1"):
        train_stage(uninterrupted[0], recipe(source, "train.ranks=1"))


def test_no_file_says_when_or_where_it_was_made(source: Path, uninterrupted: tuple[Folder, dict[str, Any]]) -> None:
    root = uninterrupted[0].local_path("train")
    for path in root.rglob("*"):
        if path.is_file():
            assert str(source.parent).encode() not in path.read_bytes(), path


def test_the_weights_are_the_ones_that_were_trained(uninterrupted: tuple[Folder, dict[str, Any]]) -> None:
    """The model rebuilt from the checkpoint has the loss that the last steps had, not that of a fresh one."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from corpusmill.train.model_config import document_mask
    from corpusmill.train.stream import TokenStream

    run, totals = uninterrupted
    config, weights = load_weights(run.sub("train"))
    assert {t.dtype for t in weights.values()} == {torch.float32}
    model = LlamaForCausalLM(LlamaConfig(**config))
    model.load_state_dict(weights, strict=True)
    batch = TokenStream(run.sub("shards"), seed=0, sequence_length=32, batch_size=8).batch(STEPS)
    ids, labels, positions, documents = (
        torch.from_numpy(a) for a in (batch.input_ids, batch.labels, batch.positions, batch.documents)
    )
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=document_mask(documents), position_ids=positions).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    assert float(loss) == pytest.approx(totals["final_loss"], abs=0.05)
    assert float(loss) < totals["final_loss"]  # one update later, on the same batch


def test_the_batches_of_the_run_can_be_traced(uninterrupted: tuple[Folder, dict[str, Any]]) -> None:
    stretches = documents_of_step(uninterrupted[0], STEPS)
    assert {s["row"] for s in stretches} == set(range(8))
    assert all(s["url"].startswith("https://site-") for s in stretches)


def test_a_training_that_goes_on_after_a_document_was_forgotten_is_told_which_steps_had_it(
    source: Path, fresh_run: Callable[[], Folder]
) -> None:
    run = fresh_run()
    training = plain(source, run, "--set", "train.steps=240", "--set", "train.checkpoint_every=10")
    wait_for_step(run, 12, training)
    training.send_signal(signal.SIGTERM)
    assert training.wait(timeout=60) == 143
    url = documents_of_step(run, 3)[0]["url"]
    forget(run, urls=[url])
    again = plain(source, run, "--set", "train.steps=240", "--set", "train.checkpoint_every=10")
    said, _ = again.communicate(timeout=240)
    assert again.returncode == 0, said
    (changed,) = run.read_json("train/changed_samples.json")["changed"]
    (document,) = changed["documents"]
    steps = {step for step, _ in document["steps"]}
    assert 3 in steps
    assert f"document {document['document']} of {document['shard']} was forgotten: it was in" in said
    blank = {s["row"] for s in documents_of_step(run, 3) if s["id"] is None}
    assert blank == {place for step, place in document["steps"] if step == 3}


def test_a_journal_that_is_written_while_a_training_runs_is_taken(
    source: Path, fresh_run: Callable[[], Folder]
) -> None:
    """Steps 300 to 309 are left out: step 300 begins where step 310 would have."""
    run = fresh_run()
    (source / "long.toml").write_text(
        RECIPE.replace(f"steps = {STEPS}", "steps = 320").replace("every = 6", "every = 1000")
    )
    training = deepspeed(source, run, "long.toml")
    wait_for_step(run, 2, training)
    skipped = subprocess.run(
        [sys.executable, "-m", "corpusmill.cli", "journal", "skip", run.url, "300", "309"],
        capture_output=True,
        text=True,
    )
    assert skipped.returncode == 0, skipped.stderr
    wait_for_step(run, 30, training)
    train = run.sub("train")
    entry = train.read_bytes("journal.jsonl")
    train.write_bytes("journal.jsonl", entry + b'{"at": 8, "skip": [8, 16]}\n')  # by hand, and too late
    said, _ = training.communicate(timeout=240)
    assert training.returncode == 0, said
    assert train.read_bytes("journal.jsonl") == entry
    assert b'"skip": [8, 16]' in train.read_bytes("journal-refused.jsonl")
    assert said.count("is not taken, and put aside in journal-refused.jsonl: the journal was changed for samples") == 1
    samples = [line["sample"] for line in read_metrics(train)]
    assert samples == [8 * step for step in range(299)] + [8 * (step + 10) for step in range(299, 320)]


def test_a_run_killed_with_all_its_processes_ends_in_the_very_same_files(
    source: Path, fresh_run: Callable[[], Folder], uninterrupted: tuple[Folder, dict[str, Any]]
) -> None:
    run = fresh_run()
    first = deepspeed(source, run)
    wait_for_step(run, 9, first)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    wait_until_gone(run)
    assert len(read_metrics(run.sub("train"))) in range(9, STEPS)
    assert not run.exists("train/final.json")

    second = deepspeed(source, run)
    said, _ = second.communicate(timeout=120)
    assert second.returncode == 0, said
    assert first_step(said) in (7, 13, 19)  # the step after a checkpoint
    assert run.read_bytes("train/metrics.jsonl") == uninterrupted[0].read_bytes("train/metrics.jsonl")
    assert checksums(run) == checksums(uninterrupted[0])


def test_one_rank_stopped_by_a_signal_goes_on_and_has_the_losses_of_two(
    source: Path, fresh_run: Callable[[], Folder], uninterrupted: tuple[Folder, dict[str, Any]]
) -> None:
    run = fresh_run()
    first = plain(source, run)
    wait_for_step(run, 7, first)
    first.send_signal(signal.SIGTERM)
    said, _ = first.communicate(timeout=60)
    assert first.returncode == 143, said
    assert "a checkpoint is saved. Run the same command again" in said
    stopped_at = len(read_metrics(run.sub("train")))
    assert stopped_at in range(7, STEPS)
    assert run.exists(f"train/checkpoints/step-{stopped_at:08d}/complete.json")

    second = plain(source, run)
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 0, said
    assert first_step(said) == stopped_at + 1
    assert sorted(p.name for p in run.local_path("train/checkpoints").iterdir()) == ["step-00000018", "step-00000024"]
    alone, together = read_metrics(run.sub("train")), read_metrics(uninterrupted[0].sub("train"))
    assert [line["loss"] for line in alone] == pytest.approx([line["loss"] for line in together], rel=1e-4)
    assert [line["targets"] for line in alone] == [line["targets"] for line in together]


@pytest.mark.slow
def test_nothing_is_left_running_by_ctrl_c_nor_by_a_killed_parent(
    source: Path, fresh_run: Callable[[], Folder]
) -> None:
    run = fresh_run()
    parent = start(sys.executable, "-c", _PARENT, str(ROOT), str(source / "recipe.toml"), run.url)
    wait_for_step(run, 2, parent)
    parent.send_signal(signal.SIGINT)
    said, _ = parent.communicate(timeout=60)
    assert "KeyboardInterrupt" in said  # which the command turns into exit code 130
    assert "training stopped. Run the same command again" in said
    wait_until_gone(run)
    stopped_at = len(read_metrics(run.sub("train")))
    assert stopped_at in range(2, STEPS)
    assert run.exists(f"train/checkpoints/step-{stopped_at:08d}/complete.json")

    parent = start(sys.executable, "-c", _PARENT, str(ROOT), str(source / "recipe.toml"), run.url)
    wait_for_step(run, stopped_at + 2, parent)
    parent.kill()
    parent.communicate()
    wait_until_gone(run)
    assert not run.exists("train/final.json")


@pytest.mark.slow
def test_what_a_process_refuses_is_one_sentence_of_its_kind(
    source: Path, fresh_run: Callable[[], Folder], uninterrupted: tuple[Folder, dict[str, Any]]
) -> None:
    """A checkpoint is only looked into by the processes that load it."""
    run = fresh_run()
    shutil.copytree(uninterrupted[0].local_path("train"), run.local_path("train"))
    run.remove("train/final.json")
    damaged = run.local_path("train/checkpoints/step-00000024/mp_rank_00_model_states.pt")
    damaged.write_bytes(damaged.read_bytes()[:-100])
    with pytest.raises(
        DamagedError, match=r"^[^\n]*mp_rank_00_model_states\.pt has [^\n]* Remove the folder step-00000024"
    ):
        train_stage(run, recipe(source))


_PARENT = """
import sys
sys.path.insert(0, sys.argv[1])
from corpusmill.progress import Watch
from corpusmill.recipe import load_recipe
from corpusmill.storage import Folder
from corpusmill.train.train_job import run_stage
with Watch() as watch, watch.stage("train") as progress:
    run_stage(Folder(sys.argv[3]), load_recipe(sys.argv[2]), sys.argv[2], (), progress)
"""

"""What is refused before anything trains, and what a restart may change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fixtures_shards import make_run

from corpusmill.errors import DamagedError, InputError, OwnedError
from corpusmill.recipe import Train
from corpusmill.storage import Folder
from corpusmill.train import deepspeed_config, process_setup
from corpusmill.train.checkpoints import complete_checkpoints, load_weights, remove_incomplete, verify
from corpusmill.train.learning_rate import learning_rate
from corpusmill.train.metrics_log import MetricsLog, read_metrics
from corpusmill.train.train_settings import describe, finished, open_stream, require_same


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return make_run(tmp_path_factory.mktemp("run"), documents=30)


def test_batch_sizes_are_filled_in_from_the_recipe() -> None:
    config = deepspeed_config.resolve(Train(batch_size=32, micro_batch_size=4, gradient_clipping=0.5), 2)
    assert config["train_batch_size"] == 32
    assert config["train_micro_batch_size_per_gpu"] == 4
    assert config["gradient_accumulation_steps"] == 4
    assert config["gradient_clipping"] == 0.5
    assert config["bf16"]["enabled"] is False
    assert config["zero_optimization"]["stage"] == 1
    assert "auto" not in json.dumps(config)


def test_a_micro_batch_is_never_larger_than_a_ranks_share() -> None:
    assert deepspeed_config.micro_batch(Train(batch_size=8, micro_batch_size=8), 4) == 2


def test_a_batch_that_cannot_be_dealt_evenly_is_one_sentence() -> None:
    with pytest.raises(InputError, match=r"train\.batch_size 16 cannot be dealt evenly to 3 ranks"):
        deepspeed_config.resolve(Train(batch_size=16), 3)
    with pytest.raises(
        InputError, match=r"12 sequences a rank, which train\.micro_batch_size 5 does not divide: .* 1, 2, 3"
    ):
        deepspeed_config.resolve(Train(batch_size=12, micro_batch_size=5), 1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"train_batch_size": 7}', r"train_batch_size is 7, the recipe says 16: write \"auto\" there"),
        ('{"optimizer": {"type": "Adam"}}', "optimizer: the recipe's learning_rate"),
        ('{"bf16": {"enabled": true}}', r"bf16\.enabled is True, the recipe says False"),
        ("[1]", "found a list, expected a DeepSpeed configuration"),
        ("{", "not JSON"),
    ],
)
def test_a_deepspeed_file_that_contradicts_the_recipe_is_refused(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "ds.json"
    path.write_text(text)
    with pytest.raises(InputError, match=sentence):
        deepspeed_config.resolve(Train(deepspeed=str(path)), 1)


def test_a_deepspeed_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file: .*absent\.json"):
        deepspeed_config.resolve(Train(deepspeed=str(tmp_path / "absent.json")), 1)


def test_the_learning_rate_rises_in_a_line_and_falls_in_half_a_cosine() -> None:
    train = Train(learning_rate=1.0, warmup_steps=10, steps=110, min_learning_rate_share=0.1)
    assert [learning_rate(train, s) for s in (1, 5, 10)] == [0.1, 0.5, 1.0]
    assert learning_rate(train, 60) == pytest.approx(0.55)
    assert learning_rate(train, 110) == pytest.approx(0.1)
    rates = [learning_rate(train, s) for s in range(10, 111)]
    assert rates == sorted(rates, reverse=True)


def test_without_warm_up_the_first_step_has_nearly_the_full_rate() -> None:
    assert learning_rate(Train(learning_rate=1.0, warmup_steps=0, steps=1000), 1) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("cosine", {10: 1.0, 60: 0.55, 110: 0.1}),
        ("linear", {10: 1.0, 60: 0.55, 85: 0.325, 110: 0.1}),
        ("wsd", {10: 1.0, 60: 1.0, 88: 1.0, 94: 1 - 0.9 * (6 / 22) ** 0.5, 110: 0.1}),
        ("inverse_sqrt", {10: 1.0, 40: 0.5, 90: 1 / 3, 1000: 0.1, 4000: 0.1}),
    ],
)
def test_schedules(schedule: Any, rates: dict[int, float]) -> None:
    train = Train(learning_rate=2.0, warmup_steps=10, steps=110, schedule=schedule, decay_share=0.2)
    assert [learning_rate(train, step) / 2 for step in (1, 5)] == [0.1, 0.5]
    assert {step: learning_rate(train, step) / 2 for step in rates} == pytest.approx(rates)


def test_a_schedule_without_warm_up_or_decay_has_no_gap() -> None:
    train = Train(learning_rate=1.0, warmup_steps=0, steps=4, schedule="wsd", decay_share=0.0)
    assert [learning_rate(train, step) for step in range(1, 5)] == [1.0] * 4
    assert learning_rate(train.model_copy(update={"schedule": "inverse_sqrt"}), 4) == 0.5


def stored(run: Folder, tmp_path: Path, train: Train, ranks: int = 1) -> Folder:
    folder = Folder(str(tmp_path))
    stream = open_stream(run, train)
    folder.write_json("settings.json", describe(train, stream, deepspeed_config.resolve(train, ranks), ranks))
    return folder


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"learning_rate": 2e-3}, "train.learning_rate = 0.001, now it is 0.002"),
        ({"steps": 200}, "train.steps = 100, now it is 200"),
        ({"seed": 5}, "train.seed = 0, now it is 5"),
        ({"gradient_clipping": 2.0}, "deepspeed.gradient_clipping = 1.0, now it is 2.0"),
    ],
)
def test_a_restart_with_another_setting_is_refused_by_its_name(
    run: Folder, tmp_path: Path, changes: dict[str, object], named: str
) -> None:
    folder = stored(run, tmp_path, Train())
    changed = Train().model_copy(update=changes)
    stream = open_stream(run, changed)
    with pytest.raises(InputError, match=named):
        require_same(folder, describe(changed, stream, deepspeed_config.resolve(changed, 1), 1))


def test_how_often_to_save_may_change_between_restarts(run: Folder, tmp_path: Path) -> None:
    folder = stored(run, tmp_path, Train())
    changed = Train(checkpoint_every=7, keep_checkpoints=5, ranks=4)
    stream = open_stream(run, changed)
    require_same(folder, describe(changed, stream, deepspeed_config.resolve(changed, 1), 1))


def test_another_number_of_ranks_is_refused_before_deepspeed_is_asked(run: Folder, tmp_path: Path) -> None:
    folder = stored(run, tmp_path, Train(), ranks=2)
    stream = open_stream(run, Train())
    with pytest.raises(InputError, match="started with 2 ranks, this start has 1; DeepSpeed's ZeRO checkpoints"):
        require_same(folder, describe(Train(), stream, deepspeed_config.resolve(Train(), 1), 1))


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    other = make_run(tmp_path, documents=20)
    other.write_bytes("tokenizer/tokenizer.json", b"{}")
    with pytest.raises(InputError, match=r"tokenizer/tokenizer\.json is .* token ids would mean other words"):
        open_stream(other, Train())


def test_nothing_is_finished_before_it_is(run: Folder) -> None:
    assert finished(run, Train(), 1) is None


def line(step: int) -> dict[str, int]:
    return {"step": step}


def test_lines_after_the_checkpoint_and_half_lines_are_cut_away(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    with MetricsLog(folder, 0) as log:
        for step in range(1, 8):
            log.append(line(step))
    with folder.local_path("metrics.jsonl").open("ab") as f:
        f.write(b'{"step": 8')
    with MetricsLog(folder, 5) as log:
        log.append(line(6))
    assert read_metrics(folder) == [line(step) for step in range(1, 7)]


def test_metrics_that_lack_lines_of_the_checkpoint_are_refused(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    folder.write_bytes("metrics.jsonl", b'{"step": 1}\n{"st')
    with pytest.raises(DamagedError, match="has 1 whole lines, the checkpoint was made at step 2"):
        MetricsLog(folder, 2)


def checkpoint(folder: Folder, step: int, complete: bool = True) -> Folder:
    made = folder.sub(f"checkpoints/step-{step:08d}")
    with made.writing("weights.pt") as out:
        out.path.write_bytes(b"weights" * step)
    if complete:
        made.write_json("complete.json", {"step": step, "zero_stage": 1, "files": {"weights.pt": out.describe()}})
    return made


def test_only_complete_checkpoints_count_and_the_rest_is_removed(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    for step, complete in ((5, True), (10, True), (15, False)):
        checkpoint(folder, step, complete)
    folder.write_bytes("checkpoints/.tmp-step-00000020/weights.pt", b"half")
    assert [c.step for c in complete_checkpoints(folder)] == [5, 10]
    remove_incomplete(folder)
    assert sorted(p.name for p in folder.local_path("checkpoints").iterdir()) == ["step-00000005", "step-00000010"]


def test_a_checkpoint_that_was_changed_is_refused_by_the_name_of_the_file(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    made = checkpoint(folder, 3)
    assert verify(complete_checkpoints(folder)[0])["step"] == 3
    made.write_bytes("weights.pt", b"w3ights" * 3)
    with pytest.raises(DamagedError, match=r"weights\.pt has 21 bytes or another content"):
        verify(complete_checkpoints(folder)[0])
    made.remove("weights.pt")
    with pytest.raises(DamagedError, match=r"weights\.pt is missing"):
        verify(complete_checkpoints(folder)[0])


def test_weights_of_a_run_without_a_checkpoint_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no complete checkpoint: train the model first"):
        load_weights(Folder(str(tmp_path)))


def test_a_compiler_lock_is_removed_only_when_nobody_holds_it(tmp_path: Path) -> None:
    for name in ("stale", "held"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lock").touch()
    fd = os.open(tmp_path / "held" / "lock", os.O_RDWR)
    try:
        assert process_setup.remove_stale_locks(tmp_path) == [tmp_path / "stale" / "lock"]
        assert (tmp_path / "held" / "lock").exists()
    finally:
        os.close(fd)
    assert process_setup.remove_stale_locks(tmp_path / "absent") == []


def test_what_the_user_set_in_the_environment_stays() -> None:
    env = {"TORCH_EXTENSIONS_DIR": "/mine", "DS_ACCELERATOR": "cuda", "PATH": "/usr/bin"}
    process_setup.prepare_environment(env)
    assert (env["TORCH_EXTENSIONS_DIR"], env["DS_ACCELERATOR"]) == ("/mine", "cuda")
    assert env["PATH"].split(os.pathsep) == [str(Path(sys.executable).parent), "/usr/bin"]


def test_a_second_trainer_in_the_same_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_setup, "_LOCK_PATIENCE_SECONDS", 0.3)
    folder = Folder(str(tmp_path))
    with (
        process_setup.owning(folder),
        pytest.raises(OwnedError, match="another process is training in this folder"),
        process_setup.owning(folder),
    ):
        pass
    with process_setup.owning(folder):
        assert list(tmp_path.iterdir()) == []


def test_without_torch_the_stream_works_and_the_loop_names_the_extra(run: Folder) -> None:
    code = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'torch' else find(name, package)\n"
        "sys.modules['torch'] = None\n"
        "import corpusmill.train, corpusmill.train.train_job, corpusmill.train.stream.batch_trace\n"
        "from corpusmill.errors import MissingExtraError\n"
        "for module in ('loop', 'model_config'):\n"
        "    try: __import__('corpusmill.train.' + module)\n"
        "    except MissingExtraError as e: print(e)\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    sentence = "needs torch, which is not installed: pip install 'corpusmill[train]'"
    assert done.stdout.splitlines() == [f"Training {sentence}", f"The model {sentence}"]

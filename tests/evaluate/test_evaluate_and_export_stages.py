"""evaluate and export as `corpusmill run` calls them: the newest checkpoint, once."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from rich.console import Console
from tiny_runs import Row, make_weights, train_bpe, write_checkpoint, write_shards

from corpusmill.errors import InputError
from corpusmill.evaluate import bits_per_byte
from corpusmill.progress import StageProgress, Watch
from corpusmill.recipe import parse_recipe
from corpusmill.serve import export_hf
from corpusmill.storage import Folder

TEXTS = ["The mill grinds corn.", "Another text, held out."]


@pytest.fixture
def run(tmp_path) -> Folder:
    folder = tmp_path / "run"
    bpe = train_bpe(folder / "tokenizer", TEXTS, 300)
    rows = [Row([*bpe.encode(t).ids, 0], len(t.encode())) for t in TEXTS]
    write_shards(folder / "shards", [rows[:1]], 300)
    write_shards(folder / "heldout", [rows[1:]], 300)
    run = Folder(str(folder))
    write_checkpoint(run, *make_weights(300, 16), step=2)
    return run


def call(stage, run, **settings) -> tuple[dict, str]:
    """The stage's answer, and what it said."""
    said = io.StringIO()
    recipe = parse_recipe({"name": "small", **settings})
    return stage(run, recipe, StageProgress("stage", Watch(Console(file=said)))), said.getvalue()


def test_an_evaluation_is_made_once_for_a_checkpoint_its_settings_and_its_documents(run):
    first, said = call(bits_per_byte.run_stage, run)
    assert "already" not in said
    assert first == run.read_json("evaluate/evaluation.json")
    again, said = call(bits_per_byte.run_stage, run)
    assert (again, "already" in said) == (first, True)
    other, said = call(bits_per_byte.run_stage, run, evaluate={"max_tokens": 5})
    assert (other["settings"]["max_tokens"], "already" in said) == (5, False)


def test_a_newer_checkpoint_is_evaluated_and_exported_anew(run):
    evaluation, manifest = call(bits_per_byte.run_stage, run)[0], call(export_hf.run_stage, run)[0]
    assert evaluation["model"]["digest"] == manifest["checkpoint"]
    write_checkpoint(run, *make_weights(300, 16, seed=1), step=4)
    newer, exported = call(bits_per_byte.run_stage, run)[0], call(export_hf.run_stage, run)[0]
    assert newer["model"]["digest"] == exported["checkpoint"] != manifest["checkpoint"]
    assert newer["nll"] != evaluation["nll"]


def test_the_exported_folder_scores_as_the_checkpoint_did(run):
    evaluation = call(bits_per_byte.run_stage, run)[0]
    call(export_hf.run_stage, run)
    by_folder = bits_per_byte.evaluate_folder(run.url, run, parse_recipe({}).evaluate)
    assert by_folder["bits_per_byte"] == pytest.approx(evaluation["bits_per_byte"], rel=1e-6)


def test_the_card_quotes_the_training_log_and_the_evaluation(run):
    evaluation = call(bits_per_byte.run_stage, run)[0]
    call(export_hf.run_stage, run)
    card = run.local_path("model/README.md").read_text()
    for part in (
        "# small",
        "| Steps | 2 |",
        "| Tokens seen | 200 |",
        "4.0000 nats",
        f"{evaluation['bits_per_byte']:.4f}",
    ):
        assert part in card


def test_an_evaluation_after_the_export_renews_the_card(run):
    call(export_hf.run_stage, run)
    assert "Bits per byte" not in run.local_path("model/README.md").read_text()
    call(bits_per_byte.run_stage, run)
    call(export_hf.run_stage, run)
    assert "Bits per byte" in run.local_path("model/README.md").read_text()
    assert "already" in call(export_hf.run_stage, run)[1]


@pytest.mark.parametrize("stage", [bits_per_byte.run_stage, export_hf.run_stage])
def test_without_a_checkpoint_the_stage_says_to_train_first(run, stage):
    run.remove("train/checkpoints")
    with pytest.raises(InputError, match="train the model first"):
        call(stage, run)


def test_importing_the_stages_loads_no_torch():
    code = (
        "import sys, corpusmill.evaluate.bits_per_byte, corpusmill.serve.export_hf;"
        "print(sorted({'torch', 'transformers', 'fastapi', 'deepspeed'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

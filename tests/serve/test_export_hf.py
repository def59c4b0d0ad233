"""An exported model is there whole or not at all, loads anywhere, and is the same bytes each time."""

from __future__ import annotations

import io
import json
import math
import shutil

import pytest
import torch
from rich.console import Console
from served_models import make_weights, write_run

from corpusmill.errors import DamagedError, InputError, StorageError
from corpusmill.evaluate.causal_models import checkpoint_digest, from_weights
from corpusmill.progress import StageProgress, Watch
from corpusmill.serve import export_hf
from corpusmill.serve.export_hf import export_weights
from corpusmill.storage import Folder, sha256_of


@pytest.fixture
def run(tmp_path) -> Folder:
    return write_run(tmp_path / "run")


def contents(folder) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


@pytest.mark.parametrize("tied", [True, False])
def test_transformers_loads_it_and_gets_the_same_logits(run, tied):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    config, state = make_weights(tied=tied)
    manifest = export_weights(run, config, state)
    path = run.local_path("model")
    loaded = AutoModelForCausalLM.from_pretrained(path, local_files_only=True)
    ids = torch.randint(0, 320, (2, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert (loaded(ids).logits - from_weights(config, state)(ids).logits).abs().max() < 1e-4
    assert loaded.config.rope_parameters["rope_theta"] == 5_000.0
    assert json.loads((path / "config.json").read_text())["rope_theta"] == 5_000.0
    assert type(loaded).__name__ == "LlamaForCausalLM"
    assert loaded.generation_config.eos_token_id == 0
    ours, theirs = (AutoTokenizer.from_pretrained(p) for p in (path, run.local_path("tokenizer")))
    text = "The mill <|endoftext|> 東京 🙂"
    assert ours(text)["input_ids"] == theirs(text)["input_ids"]
    assert ours.eos_token_id == 0
    assert manifest["checkpoint"] == checkpoint_digest(config, state)


def test_the_manifest_names_every_file_with_its_checksum(run):
    manifest = export_weights(run, *make_weights())
    path = run.local_path("model")
    assert json.loads((path / "manifest.json").read_text()) == manifest
    assert {p.name for p in path.iterdir()} == {"manifest.json", *manifest["files"]}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "README.md"} <= set(
        manifest["files"]
    )
    for name, entry in manifest["files"].items():
        assert entry == {"bytes": (path / name).stat().st_size, "sha256": sha256_of(path / name)}


def test_a_second_export_elsewhere_is_byte_equal_and_names_no_path(run, tmp_path):
    weights = make_weights()
    export_weights(run, *weights, name="small")
    export_weights(run, *weights, out=Folder(str(tmp_path / "elsewhere" / "copy")), name="small")
    first, second = contents(run.local_path("model")), contents(tmp_path / "elsewhere" / "copy")
    assert first == second
    assert not [
        name for name, data in first.items() if str(tmp_path).encode() in data or b"transformers_version" in data
    ]


def test_an_export_of_the_same_checkpoint_is_not_made_again(run):
    weights = make_weights()
    first = export_weights(run, *weights)
    before = run.local_path("model/model.safetensors").stat().st_ino
    said = io.StringIO()
    progress = StageProgress("export", Watch(Console(file=said)))
    assert export_weights(run, *weights, progress=progress) == first
    assert run.local_path("model/model.safetensors").stat().st_ino == before
    assert "already" in said.getvalue()


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_damaged_export_is_made_again(run, name):
    weights = make_weights()
    export_weights(run, *weights)
    whole = contents(run.local_path("model"))
    run.local_path(f"model/{name}").write_bytes(b"cut")
    export_weights(run, *weights)
    assert contents(run.local_path("model")) == whole


def test_another_checkpoint_replaces_the_earlier_export(run):
    config, state = make_weights()
    first = export_weights(run, config, state)
    second = export_weights(run, config, {k: v * 1.01 for k, v in state.items()})
    assert first["checkpoint"] != second["checkpoint"]
    assert json.loads(run.local_path("model/manifest.json").read_text()) == second
    assert sorted(p.name for p in run.local_path().iterdir()) == ["model", "shards", "tokenizer"]


class Killed(BaseException):
    """Not an Exception: as a signal arrives."""


@pytest.mark.parametrize("where", ["_write", "_check", "_flush"])
@pytest.mark.parametrize("kind", [Killed, OSError])
def test_an_export_that_dies_leaves_nothing_or_what_was_there(run, monkeypatch, where, kind):
    config, state = make_weights()
    real = getattr(export_hf, where)

    def dies(*args):
        real(*args)
        raise kind("here")

    for earlier in (False, True):
        before = contents(run.local_path("model")) if earlier else None
        monkeypatch.setattr(export_hf, where, dies)
        with pytest.raises(StorageError if kind is OSError else Killed, match="here"):
            export_weights(run, config, {k: v * 2 for k, v in state.items()})
        assert run.local_path("model").exists() == earlier
        if earlier:
            assert contents(run.local_path("model")) == before
        assert not list(run.local_path().glob(".model.*"))
        monkeypatch.setattr(export_hf, where, real)
        export_weights(run, config, state)


def test_what_a_killed_process_left_is_removed_by_the_next_export(run):
    left = run.local_path(f".model.0123{export_hf._UNFINISHED}")
    left.mkdir()
    (left / "config.json").write_text("{}")
    export_weights(run, *make_weights())
    assert not left.exists()


def test_a_folder_that_is_no_export_is_not_replaced(run, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="is not an exported model"):
        export_weights(run, *make_weights(), out=Folder(str(home)))
    assert (home / "thesis.txt").read_text() == "years of work"


def test_an_export_with_a_strangers_file_in_it_is_not_replaced(run):
    config, state = make_weights()
    export_weights(run, config, state)
    run.local_path("model/notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt"):
        export_weights(run, config, {k: v * 2 for k, v in state.items()})
    assert run.local_path("model/notes.txt").read_text() == "mine"


def test_weights_that_are_nan_are_not_exported(run):
    config, state = make_weights()
    with pytest.raises(DamagedError, match="nothing was exported"):
        export_weights(run, config, {k: torch.full_like(v, math.nan) for k, v in state.items()})
    assert not run.exists("model")


def test_weights_that_do_not_fit_the_configuration_are_refused(run):
    config, state = make_weights()
    del state["model.norm.weight"]
    with pytest.raises(InputError, match=r"lacks \['model\.norm\.weight'\]"):
        export_weights(run, config, state)


def test_a_run_without_a_tokenizer_says_what_to_run(run):
    shutil.rmtree(run.local_path("tokenizer"))
    with pytest.raises(DamagedError, match="Run the tokenize stage again"):
        export_weights(run, *make_weights())


def test_the_model_card_says_what_the_manifests_say_and_only_this_checkpoints_score(run):
    config, state = make_weights()
    numbers = {
        "bits_per_byte": 1.23456,
        "bits_per_byte_interval": [1.2, 1.3],
        "unigram_bits_per_byte": 2.5,
        "perplexity": 9.87,
        "tokens": 4321,
        "warning": None,
        "model": {"digest": checkpoint_digest(config, state)},
    }
    run.write_json("evaluate/evaluation.json", numbers)
    export_weights(run, config, state, name="english", facts={"steps": 50, "loss": 3.25})
    card = run.local_path("model/README.md").read_text()
    for part in (
        "# english",
        "1,234 documents",
        "56,789 tokens",
        "| Steps | 50 |",
        "3.2500",
        "1.2346 (95%: 1.2000 to 1.3000",
    ):
        assert part in card
    export_weights(run, config, {k: v * 1.01 for k, v in state.items()}, name="english")
    assert "Bits per byte" not in run.local_path("model/README.md").read_text()

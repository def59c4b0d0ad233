"""One training process. DeepSpeed's launcher, torchrun or nobody starts it:

    deepspeed --num_accelerators 2 train/run.py --recipe recipe.toml --run RUN [--set train.steps=200 ...]
    torchrun --nproc_per_node 2 train/run.py --recipe recipe.toml --run-folder RUN
    python train/run.py --recipe recipe.toml --run RUN

Exit codes: those of corpusmill.errors; 143 after SIGTERM and 130 after Ctrl-C, both with a checkpoint saved at the next
step border. Started again, it goes on with the very next batch.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if importlib.util.find_spec("corpusmill") is None:  # in a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from corpusmill.errors import CorpusmillError, InputError
from corpusmill.recipe import Recipe, load_recipe, parse_recipe
from corpusmill.storage import Folder
from corpusmill.train import process_setup, train_settings
from corpusmill.train.process_lines import ERROR_LINE

_OTHERS_WAIT_SECONDS = 5.0


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    process_setup.end_with_launcher()
    process_setup.single_process_environment()
    process_setup.prepare_environment()
    rank = int(os.environ["RANK"])
    try:
        return _train(Folder(args.run), _recipe(args.recipe, args.set), rank)
    except CorpusmillError as e:
        if rank == 0:
            sentence = str(e).replace("\n", "\\n")
            print(f"{ERROR_LINE}{type(e).__name__}: {sentence}", file=sys.stderr, flush=True)
        else:
            time.sleep(_OTHERS_WAIT_SECONDS)  # the launcher ends all as soon as one ends: let rank 0 say it
        return e.exit_code


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="train/run.py", description="Train a model on the token shards of a run.")
    parser.add_argument(
        "--recipe", required=True, help="a TOML recipe, the name of a packaged one, or its values as .json"
    )
    # torchrun takes --run for its own --run-path, wherever it stands
    parser.add_argument("--run", "--run-folder", required=True, help="the run folder, with shards/ in it")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a value of the recipe"
    )
    parser.add_argument(
        "--local_rank", type=int, help=argparse.SUPPRESS
    )  # DeepSpeed passes it; LOCAL_RANK says the same
    return parser.parse_args(argv)


def _recipe(source: str, overrides: Sequence[str]) -> Recipe:
    if not source.endswith(".json"):
        return load_recipe(source, overrides)
    if overrides:
        raise InputError("--set does not go with a recipe given as .json: change the values in the file")
    return parse_recipe(json.loads(Path(source).read_text(encoding="utf-8")), source)


def _train(run: Folder, recipe: Recipe, rank: int) -> int:
    from corpusmill.train.loop import train_model

    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    if rank == 0:
        process_setup.remove_stale_locks(Path(os.environ["TORCH_EXTENSIONS_DIR"]))
    done = train_settings.finished(run, recipe.train, int(os.environ["WORLD_SIZE"]))
    if done is not None:
        _say(rank, f"training is complete: {done['steps']:,} steps, loss {done['final_loss']:.4f}. Nothing to do")
        return 0
    code = train_model(run, recipe.train)
    if code:
        _say(rank, "stopped; a checkpoint is saved. Run the same command again: it goes on with the next batch")
    return code


def _say(rank: int, line: str) -> None:
    if rank == 0:
        print(line, flush=True)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # an error may leave gloo's threads behind, and they turn an ordinary exit into an abort

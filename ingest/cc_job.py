"""WARC files to documents, as a Spark job or under plain Python.

    spark-submit --master 'local[2]' ingest/cc_job.py --recipe english --input 'crawl/*.warc.gz' --output runs/english
    spark-submit ... ingest/cc_job.py ... --stages clean dedup tokenize
    python ingest/cc_job.py --engine local ...

One Spark task per WARC. Output is the same, byte for byte, as that of `corpusmill run`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from corpusmill.errors import CorpusmillError
from corpusmill.mill import open_mill
from corpusmill.progress import Watch
from corpusmill.recipe import load_recipe
from corpusmill.summary import show_summary


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    watch = Watch()
    try:
        recipe = load_recipe(chosen.recipe, chosen.set)
        options = {"engine": chosen.engine, "start_over": chosen.start_over, "workers": chosen.workers}
        with open_mill(chosen.output, recipe, inputs=chosen.input, watch=watch, **options) as mill:
            for stage in chosen.stages:
                mill.run(stage)
        show_summary(watch.console, chosen.output, mill.totals, mill.seconds)
    except CorpusmillError as e:
        print(f"error: {e}", file=sys.stderr)
        return e.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="WARC files to documents, and further stages if named.")
    parser.add_argument("--recipe", default="english", help="recipe file, or the name of a packaged one")
    parser.add_argument("--input", nargs="+", required=True, help="WARC files, globs, URLs or @list.txt")
    parser.add_argument("--output", required=True, help="run folder: a path or an fsspec URL")
    parser.add_argument("--stages", nargs="+", default=["clean"], choices=["ingest", "clean", "dedup", "tokenize"])
    parser.add_argument("--set", action="append", default=[], help="key=value over the recipe")
    parser.add_argument("--start-over", action="append", default=[], help="make this stage again")
    parser.add_argument("--engine", default="spark", choices=["spark", "local"])
    parser.add_argument("--workers", type=int, default=0, help="processes of the local engine; 0 means one per core")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""The house: names that must not shadow others, imports that must stay light, one import path per module."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("ingest", "clean", "dedup", "tokenize", "train", "evaluate", "serve", "studio")


def installed_top_levels() -> set[str]:
    return {name for name in metadata.packages_distributions() if name != "corpusmill"}


def test_no_top_level_folder_with_an_init_takes_the_name_of_another_module():
    """With one, `python -m pytest` from the root would find it in place of the standard library's or a package's."""
    packages = {p.parent.name for p in ROOT.glob("*/__init__.py") if p.parent.name != "corpusmill"}
    taken = packages & (set(sys.stdlib_module_names) | installed_top_levels())
    assert taken == set()
    assert not (ROOT / "tokenize/__init__.py").exists()
    assert not (ROOT / "evaluate/__init__.py").exists()


@pytest.mark.parametrize("stage", STAGES)
def test_no_module_in_a_stage_folder_has_the_name_of_another(stage: str):
    """`spark-submit ingest/cc_job.py` puts ingest/ first on the path."""
    taken = {p.stem for p in (ROOT / stage).glob("*.py")} & (set(sys.stdlib_module_names) | installed_top_levels())
    assert taken == {"__init__"} & taken


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_folder_is_linked_into_the_package(stage: str):
    assert (ROOT / "corpusmill" / stage).is_symlink()
    assert (ROOT / "corpusmill" / stage).resolve() == ROOT / stage


def test_nobody_imports_a_stage_bare(tmp_path: Path):
    bad = tmp_path / "bad.py"
    bad.write_text("import clean\nfrom dedup import MinHash\n")
    config = ["--config", str(ROOT / "pyproject.toml"), "--select", "TID251", "--output-format", "concise"]
    found = subprocess.run([sys.executable, "-m", "ruff", "check", *config, str(bad)], capture_output=True, text=True)
    assert found.stdout.count("TID251") == 2


@pytest.mark.parametrize(
    "module", ["corpusmill", "corpusmill.clean", "corpusmill.dedup", "corpusmill.cli", "corpusmill.mill"]
)
def test_importing_a_stage_loads_no_heavy_library(module: str):
    heavy = "{'torch', 'pyspark', 'transformers', 'deepspeed', 'datatrove', 'fasttext', 'trafilatura', 'fastapi'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_stdlib_tokenize_is_found_from_the_root():
    code = "import tokenize; print(tokenize.open.__module__)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "tokenize"


@pytest.mark.parametrize(
    ("module", "missing", "extra"),
    [
        ("corpusmill.engines.spark_engine:SparkEngine()", "pyspark", "spark"),
        ("corpusmill.datatrove_steps", "datatrove", "datatrove"),
        ("corpusmill.train.loop", "torch", "train"),
        ("corpusmill.evaluate.causal_models", "torch", "evaluate"),
        ("corpusmill.serve.completion_server", "fastapi", "serve"),
    ],
)
def test_a_missing_extra_is_one_sentence_that_names_it(module: str, missing: str, extra: str):
    name, _, call = module.partition(":")
    use = f"from {name} import {call[:-2]}; {call}" if call else f"import {name}"
    code = (
        "import sys, importlib.util as u\n"
        f"real = u.find_spec\nu.find_spec = lambda n, *a: None if n == {missing!r} else real(n, *a)\n"
        f"sys.modules[{missing!r}] = None\n"
        f"try:\n    {use}\nexcept ImportError as e:\n    print(e)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"pip install 'corpusmill[{extra}]'" in found.stdout, found.stderr[-500:]
    assert found.stdout.count("\n") == 1


def test_every_kernel_calls_only_kernels_of_its_own_file():
    """numba's cache does not notice an edit of a helper that lives in another file."""
    for path in ROOT.glob("*/*.py"):
        text = path.read_text()
        if "@njit(" in text and path.parent.name in STAGES:
            imported = [line for line in text.splitlines() if line.startswith("from corpusmill")]
            assert not any("kernel" in line for line in imported), path


def test_doctor_runs_on_a_bare_python_before_anything_is_installed():
    found = subprocess.run(
        [sys.executable, "-I", "-S", str(ROOT / "corpusmill/doctor.py")], capture_output=True, text=True, cwd=ROOT
    )
    assert found.returncode == 0
    assert "Python" in found.stdout
    assert "Java" in found.stdout


def test_doctor_names_what_is_missing_and_starts_nothing(tmp_path: Path):
    code = f"import sys; sys.argv = ['doctor', '--setup']; exec(open({str(ROOT / 'corpusmill/doctor.py')!r}).read())"
    found = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, env={"PATH": str(tmp_path)}, cwd=ROOT
    )
    assert found.returncode == 2
    assert "missing: C++ compiler, make" in found.stderr

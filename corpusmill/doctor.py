"""What this machine has and what is missing. Plain standard library: it runs before anything is installed.

python3 -I corpusmill/doctor.py --setup    before set-up: stops with a list of what to install
corpusmill doctor                          afterwards
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

NEEDED_DISK_BYTES = 6_000_000_000
"""An environment with torch (CPU build) and everything else, and the demo."""


class Finding(NamedTuple):
    what: str
    ok: bool
    said: str
    needed: bool = True


def main(arguments: Sequence[str]) -> int:
    """Print what was found; 0 if nothing that is needed is missing, else 2."""
    findings = [_python(), _headers(), _compiler(), _make(), _disk(), _java()]
    if "--setup" not in arguments:
        findings += [_package(*p) for p in _PACKAGES]
    missing = [f for f in findings if f.needed and not f.ok]
    quiet = "--setup" in arguments and not missing
    for finding in () if quiet else findings:
        mark = "ok  " if finding.ok else "MISS" if finding.needed else "none"
        print(f"{mark}  {finding.what:<18} {finding.said}")
    if missing:
        print(f"missing: {', '.join(f.what for f in missing)}. Nothing was started.", file=sys.stderr)
    return 2 if missing else 0


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    said = version if sys.version_info >= (3, 11) else f"found {version}, needed 3.11 or newer: install python3.11"
    return Finding("Python", sys.version_info >= (3, 11), said)


def _headers() -> Finding:
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    hint = f"no {header}: install python3-dev (or python3.11-dev); DeepSpeed compiles its ops"
    return Finding("Python headers", header.exists(), str(header) if header.exists() else hint)


def _compiler() -> Finding:
    found = shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")
    return Finding("C++ compiler", found is not None, found or "none on the PATH: install g++ (build-essential)")


def _make() -> Finding:
    found = shutil.which("make")
    return Finding("make", found is not None, found or "none on the PATH: install make")


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    installed = Path(sys.prefix) != Path(sys.base_prefix)  # in an environment already: what it takes is there
    enough = installed or free >= NEEDED_DISK_BYTES or (Path.cwd() / ".venv").exists()
    said = f"{free / 1e9:.1f} GB free" + ("" if enough else f", {NEEDED_DISK_BYTES / 1e9:.0f} GB needed")
    return Finding("disk", enough, said)


def _java() -> Finding:
    """Only the Spark engine needs it."""
    found = shutil.which("java")
    if found is None:
        return Finding(
            "Java", False, "none on the PATH: the spark engine needs 17 or 21; all else runs without", needed=False
        )
    answer = subprocess.run([found, "-version"], capture_output=True, text=True, check=False)
    first = (answer.stderr or answer.stdout).splitlines()
    return Finding("Java", answer.returncode == 0, first[0] if first else found, needed=False)


_PACKAGES = (
    ("pyspark", "spark"), ("datatrove", "datatrove"), ("torch", "train"), ("transformers", "train"),
    ("deepspeed", "train"), ("fastapi", "serve"), ("s3fs", "s3"),
)  # fmt: skip


def _package(name: str, extra: str) -> Finding:
    there = importlib.util.find_spec(name) is not None
    return Finding(name, there, "installed" if there else f"pip install 'corpusmill[{extra}]'", needed=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

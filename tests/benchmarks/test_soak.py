"""The soak: what grows is found, what is noisy or short is not judged, and the real flow goes through it."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path

import numpy as np
import pytest
from small_warcs import by_record, html_of, http, record

from benchmarks import soak
from benchmarks.__main__ import main
from benchmarks.soak import MIN_PAGES, Sample, verdict


def samples(*rss: float, pages: int = 100_000) -> list[Sample]:
    return [Sample(int(p), mb, 50.0, 8.0, 0.0) for p, mb in zip(np.linspace(0, pages, len(rss)), rss, strict=True)]


def growing(mb_per_1000: float, noise: float = 0.0, pages: int = 100_000) -> list[Sample]:
    rng = np.random.default_rng(0)
    return samples(
        *(300 + mb_per_1000 * p / 1000 + noise * rng.normal() for p in np.linspace(0, pages, 100)), pages=pages
    )


def test_level_memory_is_bounded_though_it_grew_at_first():
    facts = verdict(samples(*np.linspace(100, 400, 30), *[400.0] * 70))
    assert facts["bounded"] is True
    assert facts["slope_mb_per_1000_pages"] == 0.0
    assert facts["peak_mb"] == 400.0


def test_a_leak_of_a_kilobyte_a_page_is_found_under_noise():
    facts = verdict(growing(1.0, noise=5.0))
    assert facts["bounded"] is False
    assert facts["slope_mb_per_1000_pages"] == pytest.approx(1.0, abs=0.1)


def test_a_peak_beyond_the_bound_is_not_bounded():
    assert verdict(samples(*[400.0] * 50, 1600.0, *[400.0] * 49))["bounded"] is False


@pytest.mark.parametrize("short", [growing(1.0, pages=MIN_PAGES - 1), growing(0.45, noise=60.0), samples(300.0, 301.0)])
def test_a_run_that_is_short_or_too_noisy_is_not_judged(short: list[Sample]):
    assert verdict(short)["bounded"] is None


def test_the_live_heap_grows_by_what_is_held():
    if not soak._heap_bytes():
        pytest.skip("not glibc 2.33 or later")
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_size_t],
        [ctypes.c_void_p],
    )
    before = soak._heap_bytes()
    block = libc.malloc(50_000_000)
    assert 50_000_000 <= soak._heap_bytes() - before < 51_000_000
    libc.free(block)
    assert soak._heap_bytes() - before < 1_000_000


def test_the_archive_is_cleaned_again_and_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Twelve HTML pages and three redirects, until fifty pages have gone through."""
    records = [record(i, http(html_of(i))) for i in range(12)]
    records += [record(20 + i, http(b"", status="302 Found")) for i in range(3)]
    (tmp_path / "warc").mkdir()
    (tmp_path / soak.ARCHIVE).write_bytes(by_record(records))
    arguments = [
        "--pages",
        "50",
        "--every",
        "12",
        "--data",
        str(tmp_path),
        "--set",
        "clean.language.identifier='resiliparse'",
    ]
    assert main(["soak", *arguments]) == 0
    said = capsys.readouterr().out.splitlines()
    facts = json.loads(said[-1])
    assert [s["pages"] for s in facts["samples"]] == [12, 24, 36, 48, 60]
    assert facts["bounded"] is None
    assert facts["engine"] == "trafilatura"
    assert "too short to tell" in said[-2]


def test_without_the_archive_nothing_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["--data", str(tmp_path), "--set", "clean.language.identifier='resiliparse'"]
    assert soak.main(arguments) == 2
    assert "sample-dev.warc.gz: set CORPUSMILL_DATA" in capsys.readouterr().err

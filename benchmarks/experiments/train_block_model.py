"""Train the model of the engine `blocks` (clean/block_model.json) and say what it scores.

    python -m benchmarks.experiments.train_block_model --data ../shared/data --out clean/block_model.json [--cv]

The teacher is trafilatura (fast=True) on the pages of warc/sample-dev.warc.gz: a block is main text if its words stand
in trafilatura's text. Sites of the article benchmark and of multilang are left out, so all their pages are unseen.
`--cv` also scores, by five folds over sites, models that learn from the benchmark's own texts as well, and how near a
model comes to the teacher on sites of the crawl it has not seen. `--with-articles` writes a model that has learnt from
the benchmark too (its score there says nothing then). Needs lightgbm, which the product does not. About four minutes
on one core, with `--cv` ten.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numba import njit

from corpusmill.clean.block_extractor import assemble, choose
from corpusmill.clean.block_features import NAMES, features
from corpusmill.clean.html_names import hash_table
from corpusmill.clean.html_scan import Scan, scan
from corpusmill.clean.main_text import resiliparse_text
from corpusmill.clean.page_charset import decode
from corpusmill.clean.trafilatura_engine import trafilatura_text
from corpusmill.ingest.warc_pages import Tally, read_pages

MIN_TEACHER_WORDS, PAGES_OF_A_HOST, FOLDS = 50, 40, 5
TREES = 240
PARAMETERS = {
    "objective": "cross_entropy", "learning_rate": 0.05, "num_leaves": 20, "min_data_in_leaf": 60, "lambda_l2": 5,
    "feature_fraction": 0.5, "bagging_fraction": 0.8, "bagging_freq": 1, "max_bin": 63, "num_threads": 1, "seed": 1,
    "deterministic": True, "verbose": -1,
}  # fmt: skip
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")
_ADDRESS = re.compile(rb"""(?:og:url["']\s+content|rel=["']canonical["']\s+href)=["']([^"']+)""", re.I)

NameTable = tuple[np.ndarray, np.ndarray]


@dataclass
class Labelled:
    host: str
    page: bytes
    blocks: Scan
    gold: str
    labels: np.ndarray  # float32 [blocks]: share of the block's words that are in gold
    words: np.ndarray  # int32 [blocks]
    weight: float = 1.0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--cv", action="store_true")
    options.add_argument("--with-articles", action="store_true")
    asked = options.parse_args()
    news, languages = list(article_pages(asked.data)), list(multilang_pages(asked.data))
    unseen = {p.host for p in news} | {p.host for p in languages}
    crawl = [p for p in crawl_pages(asked.data) if p.host not in unseen]
    print(f"{len(crawl)} pages of {len({p.host for p in crawl})} hosts to learn from", flush=True)

    found = [name_shares(p) for p in crawl]
    folds = [fold(p.host) for p in crawl]
    # a page's own names must not tell its labels: weights for it come from other sites
    tables = [names_of(crawl, found, [f != k for f in folds]) for k in range(FOLDS)]
    matrices = [
        features(p.blocks, p.page, hash_table(tables[f], np.float32)) for p, f in zip(crawl, folds, strict=True)
    ]
    names = names_of(crawl, found, [True] * len(crawl))
    table = hash_table(names, np.float32)
    if asked.with_articles:
        crawl, matrices = with_articles(crawl, matrices, news, table)
    booster = fit(crawl, matrices)
    asked.out.write_text(json.dumps(exported(booster, names), separators=(",", ":")) + "\n")
    print(f"{asked.out}: {asked.out.stat().st_size:,} bytes", flush=True)
    for what, pages in (("articles", news), ("multilang", languages)):
        print(
            f"{what}, {len(pages)} pages unseen: {score(pages, [answer(booster, p, table) for p in pages])}", flush=True
        )
        html = [p.page.decode() for p in pages]
        print(f"  trafilatura fast: {score(pages, [trafilatura_text(h) or '' for h in html])}", flush=True)
        print(f"  resiliparse main: {score(pages, [resiliparse_text(h) for h in html])}", flush=True)
    if asked.cv and not asked.with_articles:
        print(f"articles, learnt from the other folds too: {score(news, cross(crawl, matrices, news, table))}")
        print_agreement(crawl, matrices, folds)


def crawl_pages(data: Path) -> Iterator[Labelled]:
    """Pages on which the teacher finds a text, labelled by it. A page on which two extractors agree weighs more."""
    seen: set[bytes] = set()
    taken: Counter[str] = Counter()
    with (data / "warc/sample-dev.warc.gz").open("rb") as stream:
        for batch in read_pages(stream, "sample-dev", Tally()):
            for row in batch.select(["host", "http_charset", "body", "drop_reason"]).to_pylist():
                body, host = row["body"], (row["host"] or "").removeprefix("www.")
                digest = hashlib.md5(body or b"").digest()
                if row["drop_reason"] or not body or len(body) > 2_000_000 or digest in seen:
                    continue
                seen.add(digest)
                taken[host] += 1
                if taken[host] > PAGES_OF_A_HOST:
                    continue
                html, _ = decode(body, row["http_charset"])
                teacher = trafilatura_text(html) or ""
                if len(_WORD.findall(teacher)) < MIN_TEACHER_WORDS:
                    continue
                labelled = label(host, html, teacher)
                if labelled is not None:
                    labelled.weight = 0.1 + f1(*grams(teacher, resiliparse_text(html)))
                    yield labelled


def article_pages(data: Path) -> Iterator[Labelled]:
    folder = data / "extraction/article-extraction-benchmark"
    for key, page in sorted(json.loads((folder / "ground-truth.json").read_text()).items()):
        html, _ = decode(gzip.decompress((folder / f"html/{key}.html.gz").read_bytes()))
        host = (urlsplit(page["url"]).hostname or "").removeprefix("www.")
        labelled = label(host, html, page["articleBody"])
        assert labelled is not None
        yield labelled


def multilang_pages(data: Path) -> Iterator[Labelled]:
    for path in sorted((data / "extraction/multilang/benchmarkdata").glob("*/html/*.html")):
        body = path.read_bytes()
        address = _ADDRESS.search(body)
        host = (urlsplit(address[1].decode()).hostname if address else None) or path.stem
        gold = (path.parent.parent / "text" / f"{path.stem}.txt").read_text("utf-8")
        labelled = label(host.removeprefix("www."), decode(body)[0], gold)
        if labelled is not None:
            yield labelled


def label(host: str, html: str, gold: str) -> Labelled | None:
    """None where there is no block, or the alignment would take more than 400 MB."""
    page = html.encode("utf-8", "replace")
    blocks = scan(page)
    lines = [_WORD.findall(line.lower()) for line in block_texts(blocks)]
    vocabulary: dict[str, int] = {}
    ours = np.array([vocabulary.setdefault(w, len(vocabulary)) for line in lines for w in line], np.int32)
    theirs = np.array([vocabulary.get(w, -1) for w in _WORD.findall(gold.lower())], np.int32)
    if not lines or len(ours) * len(theirs) > 4e8:
        return None
    words = np.array([len(line) for line in lines], np.int32)
    matched = np.concatenate(([0], np.cumsum(_align(ours, theirs), dtype=np.int64)))
    ends = np.cumsum(words)
    labels = ((matched[ends] - matched[ends - words]) / np.maximum(words, 1)).astype(np.float32)
    return Labelled(host, page, blocks, gold, labels, words)


def block_texts(blocks: Scan) -> list[str]:
    text = blocks.text.tobytes()
    return [text[i:j].decode("utf-8", "replace") for i, j in zip(blocks.start, blocks.end, strict=True)]


@njit(cache=True)
def _align(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """uint8 [len(a)]: which words of `a` stand in `b`, in order, where runs count more than single words."""
    n, m = a.size, b.size
    step = np.zeros((n + 1, m + 1), np.uint8)  # 0 up, 1 left, 2 match; +4: the match before is matched too
    best, run = np.zeros(m + 1, np.float32), np.full(m + 1, -1e9, np.float32)
    for i in range(1, n + 1):
        corner, corner_run, left = best[0], run[0], best[0]
        for j in range(1, m + 1):
            up, up_run = best[j], run[j]
            here, bits = np.float32(-1e9), 0
            if a[i - 1] == b[j - 1]:
                alone, on = corner + np.float32(0.2), corner_run + np.float32(1.0)
                here, bits = (on, 4) if on >= alone else (alone, 0)
            top, way = (left, 1) if left > up else (up, 0)
            if here >= top and here > 0:
                top, way = here, 2
            step[i, j] = bits | way
            corner, corner_run = up, up_run
            best[j], run[j], left = top, here, top
    matched = np.zeros(n, np.uint8)
    i, j, forced = n, m, False
    while i > 0 and j > 0:
        way = 2 if forced else step[i, j] & 3
        if way == 2:
            matched[i - 1] = 1
            forced = (step[i, j] & 4) != 0
            i, j = i - 1, j - 1
        elif way == 0:
            i -= 1
        else:
            j -= 1
    return matched


def name_shares(page: Labelled) -> dict[int, list[float]]:
    """Word of a class name to (share of the page's main text, share of its other text) that stands under it."""
    blocks, words = page.blocks, page.words.astype(float)
    inside = np.concatenate(([0], np.cumsum(words * page.labels)))
    outside = np.concatenate(([0], np.cumsum(words * (1 - page.labels))))
    first, end = blocks.el_block[:, 0], blocks.el_block[:, 1]
    main = (inside[end] - inside[first]) / max(inside[-1], 1)
    other = (outside[end] - outside[first]) / max(outside[-1], 20)
    shares: dict[int, list[float]] = {}
    tokens = blocks.el_token
    for e in np.flatnonzero((tokens[:, 1] > tokens[:, 0]) & (end > first)):
        for token in set(blocks.tokens[tokens[e, 0] : tokens[e, 1]].tolist()):
            share = shares.setdefault(token, [0.0, 0.0])
            share[0], share[1] = min(1.0, share[0] + main[e]), min(1.0, share[1] + other[e])
    return shares


def names_of(
    pages: Sequence[Labelled], shares: Sequence[Mapping[int, list[float]]], use: Sequence[bool], most: int = 6000
) -> dict[int, float]:
    """Half the log odds of main text under a word, over hosts; of words that three hosts use, those that most use."""
    hosts: dict[int, dict[str, list[float]]] = defaultdict(dict)
    for page, found, wanted in zip(pages, shares, use, strict=True):
        for token, (main, other) in found.items() if wanted else ():
            total = hosts[token].setdefault(page.host, [0.0, 0.0, 0.0])
            total[0], total[1], total[2] = total[0] + main, total[1] + other, total[2] + 1
    weights = {}
    for token in sorted(hosts, key=lambda t: (-len(hosts[t]), t))[:most]:
        by_host = hosts[token].values()
        if len(by_host) >= 3:
            main, other = (sum(total[i] / total[2] for total in by_host) for i in (0, 1))
            weights[token] = round(float(np.clip(np.log((main + 0.06) / (other + 0.06)), -4, 4)) / 2, 3)
    return weights


def fit(pages: Sequence[Labelled], matrices: Sequence[np.ndarray]) -> Any:
    """A block weighs by its share of the page's main text: pages count alike, a host as four pages at most."""
    import lightgbm  # type: ignore[import-not-found]

    hosts = Counter(p.host for p in pages)
    weights = []
    for page in pages:
        main = max(1.0, float((page.words * page.labels).sum()))
        weights.append((np.minimum(page.words / main, 1) * 100 + 0.2) * page.weight * min(1, 4 / hosts[page.host]))
    labels = np.concatenate([p.labels for p in pages])
    rows = lightgbm.Dataset(np.concatenate(matrices), labels, weight=np.concatenate(weights), params={"max_bin": 63})
    return lightgbm.train(PARAMETERS, rows, TREES)


def exported(booster: Any, names: Mapping[int, float]) -> dict[str, Any]:
    columns: dict[str, list[Any]] = {n: [] for n in ("roots", "feature", "threshold", "left", "right", "leaf")}

    def add(node: Mapping[str, Any]) -> int:
        if "split_feature" not in node:
            columns["leaf"].append(float(f"{node['leaf_value']:.5g}"))
            return -len(columns["leaf"])
        at = len(columns["feature"])
        columns["feature"].append(node["split_feature"])
        columns["threshold"].append(float(f"{node['threshold']:.9g}"))
        columns["left"].append(0)
        columns["right"].append(0)
        columns["left"][at], columns["right"][at] = add(node["left_child"]), add(node["right_child"])
        return at

    for tree in booster.dump_model()["tree_info"]:
        columns["roots"].append(add(tree["tree_structure"]))
    about = "main text by blocks; trained by benchmarks/experiments/train_block_model.py"
    return {"about": about, "features": NAMES, **columns, "names": {f"{h:x}": w for h, w in sorted(names.items())}}


def answer(booster: Any, page: Labelled, table: NameTable) -> str:
    matrix = features(page.blocks, page.page, table)
    return assemble(page.blocks, choose(booster.predict(matrix), matrix[:, 0]))


def cross(crawl: list[Labelled], matrices: list[np.ndarray], news: Sequence[Labelled], table: NameTable) -> list[str]:
    """Texts of `news`, each by a model that learnt from the crawl and from the news of other folds of sites."""
    texts = [""] * len(news)
    for k in range(FOLDS):
        booster = fit(*with_articles(crawl, matrices, [p for p in news if fold(p.host) != k], table))
        for i, page in enumerate(news):
            if fold(page.host) == k:
                texts[i] = answer(booster, page, table)
    return texts


def with_articles(
    crawl: list[Labelled], matrices: list[np.ndarray], news: Sequence[Labelled], table: NameTable
) -> tuple[list[Labelled], list[np.ndarray]]:
    """Labels by hand count three times as much as the teacher's."""
    for page in news:
        page.weight = 3.0
    return [*crawl, *news], [*matrices, *(features(p.blocks, p.page, table) for p in news)]


def print_agreement(crawl: Sequence[Labelled], matrices: Sequence[np.ndarray], folds: Sequence[int]) -> None:
    """F1 against the teacher, mean over the pages of a fifth of the hosts, by a model that saw the others."""
    learn, unseen = ([i for i, f in enumerate(folds) if (f == 0) == held] for held in (False, True))
    booster = fit([crawl[i] for i in learn], [matrices[i] for i in learn])
    found: dict[str, list[float]] = {"blocks": [], "resiliparse": []}
    for i in unseen:
        keep = choose(booster.predict(matrices[i]), matrices[i][:, 0])
        found["blocks"].append(f1(*grams(crawl[i].gold, assemble(crawl[i].blocks, keep))))
        found["resiliparse"].append(f1(*grams(crawl[i].gold, resiliparse_text(crawl[i].page.decode()))))
    for engine, values in found.items():
        low, middle = np.percentile(values, [25, 50])
        print(
            f"agreement with trafilatura on {len(unseen)} pages of unseen hosts, {engine}: "
            f"mean {mean(values):.3f}, median {middle:.3f}, lower quartile {low:.3f}"
        )


def fold(host: str) -> int:
    return int(hashlib.md5(host.encode()).hexdigest(), 16) % FOLDS


def grams(gold: str, text: str) -> tuple[float, float]:
    """(precision, recall) of 4-grams of words, as the article benchmark defines them."""

    def of(text: str) -> Counter[tuple[str, ...]]:
        words = re.findall(r"\w+", text)
        return Counter(zip(*(words[i:] for i in range(4)), strict=False)) if len(words) > 3 else Counter([tuple(words)])

    want, found = of(gold), of(text)
    shared = (want & found).total()
    return shared / found.total(), shared / want.total()


def f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def score(pages: Sequence[Labelled], texts: Sequence[str]) -> str:
    pairs = [grams(page.gold, text) for page, text in zip(pages, texts, strict=True)]
    precision, recall = mean(p for p, _ in pairs), mean(r for _, r in pairs)
    return f"F1 {f1(precision, recall):.4f}, precision {precision:.4f}, recall {recall:.4f}"


if __name__ == "__main__":
    main()

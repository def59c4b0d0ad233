"""The report shows what the manifests count, whatever the pages hold; and nothing in a page can run, load or move."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from corpusmill.clean import clean_job
from corpusmill.context import RunContext
from corpusmill.dedup import dedup_job
from corpusmill.engines import make_engine
from corpusmill.errors import DamagedError, InputError
from corpusmill.parquet_parts import read_part
from corpusmill.recipe import parse_recipe
from corpusmill.schemas import SHARD_DOCS
from corpusmill.storage import Folder
from corpusmill.studio.corpus_report import write_report
from corpusmill.studio.duplicate_facts import compare
from corpusmill.studio.packing_facts import packing_facts
from corpusmill.studio.plain_text import excerpt, plain
from corpusmill.studio.reasons import explain
from corpusmill.studio.run_facts import shown_name
from corpusmill.studio.tallies import Bins, IntegerCounts
from corpusmill.studio.training_facts import smoothed, thinned
from corpusmill.tokenize import tokenize_job

MAX_BYTES = 10_000_000
SENTENCE = "The keeper of the lighthouse said that he would have to go to the village of {} with a lamp and a rope. "
PROSE = [SENTENCE.format(name) * 12 for name in ("Alder", "Birch", "Cedar", "Damson", "Elm", "Fir")]
HOSTILE = [
    "<script>alert(1)</script> and ]]> and </style></blockquote><img src=http://evil.example/x onerror=alert(1)>",
    "javascript:alert(1) data:text/html,<b onmouseover=alert(2)>x {{ 7 * 7 }} {% raw %}",
    "\u202egnp.exe\u2066 hidden \u200f and \u0007bell and \u0085 next",
    "w" * 100_000,
    "Z" + "\u0301" * 500 + "algo",
]
VOID = {"meta", "img", "br", "hr", "link", "input", "source", "area", "base", "col", "embed", "track", "wbr"}
RECIPE = {
    "name": "tiny <b>corpus</b>",
    "clean": {"dropped_text": "all", "language": {"identifier": "resiliparse", "wanted": {"en": 0.3}}},
    "tokenize": {"vocab_size": 400, "heldout_permille": 600},
}


class Page(HTMLParser):
    """Elements, attributes and text of a page, as a browser's parser sees them."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), f"<{tag}> has an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def html(title: str, body: str) -> str:
    def escaped(value: str) -> str:
        return value.replace("&", "&amp;").replace("<", "&lt;")

    paragraphs = "".join(f"<p>{escaped(part)}</p>" for part in body.split("\n"))
    return f"<html><head><title>{escaped(title)}</title></head><body><article>{paragraphs}</article></body></html>"


def write_warc(path: Path, pages: Iterable[tuple[str, str, str]]) -> None:
    """One response for each (url, status line, markup), and one request to be counted as none."""
    stream = BytesIO()
    writer = WARCWriter(stream, gzip=True)
    for i, (url, status, markup) in enumerate(pages):
        headers = StatusAndHeaders(status, [("Content-Type", "text/html; charset=utf-8")], protocol="HTTP/1.1")
        named = {"WARC-Record-ID": f"<urn:uuid:00000000-0000-0000-0000-{i:012d}>", "WARC-Date": "2024-05-01T00:00:00Z"}
        body = BytesIO(markup.encode())
        record = writer.create_warc_record(url, "response", payload=body, http_headers=headers, warc_headers_dict=named)
        record.rec_headers.replace_header("WARC-Target-URI", url)  # as it is: warcio would percent-encode it
        writer.write_record(record)
    request = StatusAndHeaders("GET / HTTP/1.1", [("Host", "a.example")], is_http_request=True)
    writer.write_record(writer.create_warc_record("http://a.example/", "request", http_headers=request))
    path.write_bytes(stream.getvalue())


def tiny_pages() -> list[tuple[str, str, str]]:
    pages = [(f"http://host{i}.example/{i}", "200 OK", html(f"Page {i}", text)) for i, text in enumerate(PROSE)]
    for i, text in enumerate(HOSTILE):
        body = SENTENCE.format(f"Hazel{i}") * 3 + "\n" + text + "\n" + SENTENCE.format(f"Holly{i}") * 9
        pages.append((f'http://evil.example/{i}?<script>&q="onload=\u202ex', "200 OK", html(f"{text[:200]}", body)))
    pages += [
        ("http://copy.example/", "200 OK", html("Copy", PROSE[0] + SENTENCE.format("Alder"))),
        ("http://short.example/", "200 OK", html(HOSTILE[0], "The end of the story. " + HOSTILE[0])),
        ("http://gone.example/<script>?x", "404 <script>alert(3)</script>", "gone"),
        (
            "http://deutsch.example/",
            "200 OK",
            html("Wetter", "Der Wetterbericht für die nächsten Tage ist nicht gut. " * 9),
        ),
    ]
    return pages


def build(folder: Path, warc: Path, stages: tuple[str, ...] = ("clean", "dedup", "tokenize")) -> Folder:
    """A run, made by the stages themselves."""
    run = Folder(str(folder))
    recipe = parse_recipe(RECIPE)
    run.write_json("recipe.json", {"format": 1, "recipe": recipe.model_dump(mode="json")})
    engine = make_engine("local", 1, run)
    try:
        context = RunContext(run, recipe, engine, inputs=(str(warc),))
        for stage, job in (("clean", clean_job), ("dedup", dedup_job), ("tokenize", tokenize_job)):
            if stage in stages:
                job.run_stage(context)
    finally:
        engine.close()
    return run


@pytest.fixture(scope="module")
def warc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("warc") / "tiny.warc.gz"
    write_warc(path, tiny_pages())
    return path


@pytest.fixture(scope="module")
def run(warc: Path, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    run = build(tmp_path_factory.mktemp("run"), warc)
    lines = [{"step": s, "loss": 5.0 - s / 10, "learning_rate": 1e-3, "tokens": 64} for s in range(1, 21)]
    run.write_bytes("train/metrics.jsonl", b"".join(json.dumps(line).encode() + b"\n" for line in lines) + b'{"step"')
    scores: dict[str, Any] = {"documents": 2, "tokens": 90, "bytes": 300, "perplexity": 41.5, "bits_per_byte": 2.125}
    rows = [{"language": "en<script>", **scores}, {"language": "de", **scores, "perplexity": None}]
    run.write_json("evaluate/evaluation.json", scores | {"unigram_bits_per_byte": 3.25, "by_language": rows})
    return run


@pytest.fixture(scope="module")
def source(run: Folder) -> str:
    write_report(run)
    return run.read_bytes("report.html").decode()


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


def test_every_element_is_closed_and_every_id_is_used_once(page: Page) -> None:
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [str(a["href"])[1:] for a in page.named("a")]
    labels = [i for _, a in page.elements for i in (a.get("aria-labelledby") or "").split()]
    assert set(links) | set(labels) <= set(ids)


def test_nothing_in_the_page_can_run_or_load(page: Page, source: str) -> None:
    names = {tag for tag, _ in page.elements}
    assert (
        names & {"script", "img", "iframe", "object", "embed", "link", "form", "base", "foreignobject", "b-x"} == set()
    )
    for tag, attributes in page.elements:
        assert [n for n in attributes if n.startswith("on") or n in ("src", "srcset", "style", "xlink:href")] == [], tag
        assert (attributes.get("href") or "#").startswith("#")
    assert "url(" not in source.partition("</style>")[0]
    assert "@import" not in source


def test_the_policy_allows_the_style_sheet_and_nothing_else(page: Page, source: str) -> None:
    import base64
    import hashlib

    policy = next(str(m["content"]) for m in page.named("meta") if m.get("http-equiv") == "Content-Security-Policy")
    css = source.partition("<style>")[2].partition("</style>")[0]
    assert f"'sha256-{base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_hostile_texts_are_shown_as_text(page: Page, source: str) -> None:
    assert "<script>alert(1)</script> and ]]> and </style></blockquote><img src=http://evil.example/x" in page.text
    assert "{{ 7 * 7 }} {% raw %}" in page.text
    assert "<script" not in source
    assert "tiny <b>corpus</b>: corpus report" in page.text


def test_no_character_reorders_hides_or_piles_up(source: str) -> None:
    assert re.findall("[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c\x00-\x08\x0b-\x1f\x7f-\x9f]", source) == []
    assert "⟨U+202E⟩" in source
    assert re.findall("\u0301{5}", source) == []
    assert re.findall(r"w{700}", source) == []


def test_the_counts_are_the_manifests(run: Folder, page: Page) -> None:
    cleaned = run.read_json("clean/manifest.json")["counts"]
    removed = run.read_json("dedup/manifest.json")["counts"]["removed"]
    tokenised = run.read_json("tokenize/manifest.json")["counts"]
    dropped, others = sum(cleaned["dropped"].values()), sum(cleaned["not_response"].values())
    documents, gone = cleaned["documents"], sum(removed.values())
    assert gone > 0
    assert tokenised["heldout"]["documents"] > 0
    assert (
        f"{cleaned['records']} records = {others} not a response + {dropped} dropped + {documents} documents"
        in page.text
    )
    assert (
        f"{documents} documents = {gone} removed + {tokenised['shards']['documents']} tokenised for training "
        f"+ {tokenised['heldout']['documents']} tokenised and held out" in page.text
    )
    total = tokenised["shards"]["tokens"] + tokenised["heldout"]["tokens"]
    assert f"Tokens {total:,} {tokenised['heldout']['tokens']:,} of them held out" in page.text
    assert "differs by" not in page.text


def test_every_reason_of_the_manifest_appears_with_its_count_and_explanation(run: Folder, page: Page) -> None:
    dropped = run.read_json("clean/manifest.json")["counts"]["dropped"]
    assert {"http_status", "screened_language", "too_few_words"} <= dropped.keys()
    for reason, count in dropped.items():
        about = explain(reason)
        assert f"{about.title} {reason} {count:,} " in page.text
        assert about.explanation in page.text
    assert "http://gone.example/<script>?x" in page.text
    assert "detail: 404" in page.text


def test_tokens_are_shown_by_language_host_and_length_and_add_up(run: Folder, page: Page) -> None:
    tokenised = run.read_json("tokenize/manifest.json")["counts"]
    trained, held = tokenised["shards"], tokenised["heldout"]
    total = trained["tokens"] + held["tokens"]
    rows = [row for batch in docs_of(run, "shards") for row in batch.to_pylist()]
    per_token = f"{trained['text_bytes'] / trained['tokens']:.2f}"
    assert f"{total:,} tokens counted = {total:,} found in the sidecars of shards" in page.text
    assert f"en {trained['tokens']:,} 100.0% {per_token} {trained['documents']} {held['tokens']:,} " in page.text
    assert f"The longest {max(row['num_tokens'] for row in rows):,} tokens" in page.text
    for host in {row["host"] for row in rows}:
        tokens = sum(row["num_tokens"] for row in rows if row["host"] == host)
        assert f"{host} {tokens:,} {100 * tokens / trained['tokens']:.1f}% " in page.text
    facts = packing_facts(run, 256)
    chunked, fitted = facts.packings
    share = f"{100 * chunked.cut / trained['documents']:.1f}%"
    assert f"best fit {fitted.rows} {fitted.pieces / fitted.rows:.2f} {fitted.cut} " in page.text
    assert f"chunks {chunked.rows} {chunked.pieces / chunked.rows:.2f} {chunked.cut} {share} " in page.text
    assert "By source" not in page.text


def docs_of(run: Folder, kind: str) -> Iterable[pa.RecordBatch]:
    for entry in run.read_json(f"{kind}/manifest.json")["shards"]:
        yield from read_part(run, f"{kind}/{entry['docs']}", SHARD_DOCS, ("host", "num_tokens"))


def test_sources_that_shards_name_are_shown_as_text(warc: Path, tmp_path: Path) -> None:
    run = build(tmp_path, warc)
    manifest = run.read_json("shards/manifest.json")
    manifest["shards"][0]["source"] = "wiki <b>\u202e"
    run.write_json("shards/manifest.json", manifest)
    stage = run.read_json("tokenize/manifest.json")
    stage["outputs"]["shards/manifest.json"]["bytes"] = run.size("shards/manifest.json")
    run.write_json("tokenize/manifest.json", stage)
    write_report(run)
    text = Page(run.read_bytes("report.html").decode()).text
    trained, held = (stage["counts"][kind]["tokens"] for kind in ("shards", "heldout"))
    assert f"wiki <b>\u27e8U+202E\u27e9 {trained:,} 100.0% " in text
    assert f"(no source) 0 0.0% \u2013 0 {held:,} " in text


def test_training_and_evaluation_are_shown(page: Page) -> None:
    for words in (
        "First loss 4.900",
        "Last loss 3.000",
        "Bits per byte 2.125",
        "3.250",
        "41.50",
        "en<script>",
        "not a number",
    ):
        assert words in page.text


def test_the_same_run_in_another_folder_gives_the_same_bytes(
    run: Folder, source: str, warc: Path, tmp_path: Path
) -> None:
    first = write_report(run)
    again = build(tmp_path / "elsewhere", warc)
    for name in ("train/metrics.jsonl", "evaluate/evaluation.json"):
        again.write_bytes(name, run.read_bytes(name))
    second = write_report(again)
    assert again.read_bytes("report.html").decode() == source
    assert first.sha256 == second.sha256
    assert str(tmp_path) not in source
    assert str(warc.parent) not in source
    assert first.bytes < MAX_BYTES


def test_a_run_with_only_clean_has_a_report_without_the_rest(warc: Path, tmp_path: Path) -> None:
    run = build(tmp_path, warc, ("clean",))
    write_report(run)
    page = Page(run.read_bytes("report.html").decode())
    there = {a.get("id") for a in page.named("h2")}
    assert {"funnel", "dropped", "documents", "provenance"} <= there
    assert there.isdisjoint({"duplicates", "tokens", "training", "evaluation"})


def test_a_stage_made_from_earlier_documents_is_left_out_by_name(warc: Path, tmp_path: Path) -> None:
    run = build(tmp_path, warc, ("clean", "dedup"))
    manifest = run.read_json("dedup/manifest.json")
    name = next(iter(manifest["inputs"]))
    manifest["inputs"][name]["sha256"] = "0" * 64
    run.write_json("dedup/manifest.json", manifest)
    write_report(run)
    page = Page(run.read_bytes("report.html").decode())
    assert "made from an earlier state of the documents: dedup." in page.text
    assert "duplicates" not in {a.get("id") for a in page.named("h2")}


def test_an_archive_of_which_nothing_is_kept_has_a_report(tmp_path: Path) -> None:
    write_warc(tmp_path / "gone.warc.gz", [("http://gone.example/", "404 Not Found", "gone")])
    run = build(tmp_path / "run", tmp_path / "gone.warc.gz", ("clean", "dedup"))
    write_report(run)
    text = Page(run.read_bytes("report.html").decode()).text
    assert "2 records = 1 not a response + 1 dropped + 0 documents" in text
    assert "No document was kept." in text
    assert "No two documents were duplicates." in text


def test_an_empty_folder_and_a_lost_part_are_told_in_a_sentence(warc: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished clean stage"):
        write_report(Folder(str(tmp_path / "nothing")))
    run = build(tmp_path / "run", warc, ("clean",))
    run.remove("dropped/part-00000.parquet")
    with pytest.raises(DamagedError, match=r"dropped/part-00000\.parquet is missing"):
        write_report(run)
    assert not run.exists("report.html")


def test_a_reason_of_someone_elses_rule_is_shown_by_its_name() -> None:
    assert explain("boiler_plate", "clean").title == "Boiler plate"
    assert explain("boiler_plate", "clean").step == "judge"
    assert explain("odd_record", "ingest").step == "read"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("a\x00b", "a␀b"),
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("e" + "\u0301" * 9, "e" + "\u0301" * 4),
        ("a\ufffeb", "a\ufffdb"),
        ("é\n\t日", "é\n\t日"),
    ],
)
def test_what_escaping_leaves_alone_is_made_visible(raw: str, shown: str) -> None:
    assert plain(raw) == shown


def test_an_excerpt_is_short_and_says_so() -> None:
    assert excerpt("a\n\n\n b") == "a\nb"
    assert excerpt("x" * 700) == "x" * 600 + " …"
    assert excerpt("l\n" * 100) == "\n".join("l" * 24) + " …"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/home/me/crawl/a.warc.gz", "a.warc.gz"),
        ("crawl/a.warc.gz", "crawl/a.warc.gz"),
        ("https://me:secret@cc.example/a.warc.gz?Signature=secret", "https://cc.example/a.warc.gz"),
        ("s3://commoncrawl/a.warc.gz", "s3://commoncrawl/a.warc.gz"),
    ],
)
def test_names_of_inputs_tell_neither_folders_nor_secrets(name: str, shown: str) -> None:
    assert shown_name(name) == shown


def test_quantiles_are_values_that_occur() -> None:
    import numpy as np

    words = IntegerCounts()
    words.add(np.array([10, 20, 30, 40]))
    words.add(np.array([50, 60, 70, 80, 90, 100]))
    assert [words.quantile(q) for q in (0.1, 0.5, 0.9, 1.0)] == [10, 50, 90, 100]
    assert IntegerCounts().quantile(0.5) == 0


def test_a_histogram_counts_every_value_once_also_those_outside() -> None:
    import numpy as np

    bins = Bins(np.array([1.0, 10.0, 50.0, 100.0]))
    bins.add(np.array([0, 1, 9, 10, 49, 50, 100, 10_000]))
    assert bins.counts.tolist() == [3, 2, 3]


def test_compared_texts_begin_shortly_before_they_differ_and_lose_no_word_after() -> None:
    shared = [f"w{i}" for i in range(100)]
    left, right = compare(" ".join([*shared, "old", "end"]), " ".join([*shared, "new", "end"]))
    assert left[0] == (True, "… ")
    assert [words.split() for _, words in left[1:]] == [shared[88:], ["old"], ["end"]]
    assert [same for same, _ in right] == [True, True, False, True]


def test_curves_keep_their_ends_and_a_constant_stays_constant() -> None:
    assert thinned(3) == [0, 1, 2]
    places = thinned(100_000)
    assert (places[0], places[-1], len(places)) == (0, 99_999, 600)
    assert smoothed([2.0] * 5) == pytest.approx([2.0] * 5)

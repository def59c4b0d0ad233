"""The recipe: one TOML file that says everything about a corpus and a model.

It becomes frozen models once, here at the edge; code below takes values. An error names the file, the key, the value
and the nearest right one. Defaults live in the models and nowhere else.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from corpusmill.errors import InputError

STAGES = ("clean", "dedup", "tokenize", "train", "evaluate", "export")
"""The order in which stages run. ingest is the first half of clean: pages flow from one to the other in memory."""

PositiveInt = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Columns(Section):
    """Names of columns in documents that are not WARC: JSONL, Parquet, data sets. A dot goes into a table: meta.url."""

    text: str = "text"
    id: str = "id"
    url: str = "url"
    date: str = "date"
    """When the page was fetched, in ISO 8601."""


class Ingest(Section):
    """What counts as a page."""

    max_page_bytes: PositiveInt = 10_000_000
    """Larger bodies are dropped as too_large: they are dumps, and cost minutes of extraction."""
    batch_pages: PositiveInt = 256
    batch_bytes: PositiveInt = 16_000_000
    """A batch is closed by whichever of the two comes first; output does not depend on either."""
    columns: Columns = Columns()
    crawl_base: str = "https://data.commoncrawl.org/"
    """Where the paths in Common Crawl's lists and index lie: this, "s3://commoncrawl/", or a mirror's folder."""
    rows_per_part: PositiveInt = 10_000
    """Rows of an index that make one part. A row is a range request, of 30 kB or so."""


class Url(Section):
    """Rules on the address alone: the cheapest test there is."""

    banned_hosts: tuple[str, ...] = ()
    """Hosts, their subdomains included."""
    allowed_hosts: tuple[str, ...] = ()
    """Exceptions: nothing is asked of these hosts and their subdomains."""
    banned_words: tuple[str, ...] = ()
    """Whole words of the decoded URL, upper and lower case alike; an entry of several words means them in a row."""
    soft_words: tuple[str, ...] = ()
    max_soft_words: Annotated[int, Field(ge=0)] = 1
    """Different soft words that an address may have."""
    banned_subwords: tuple[str, ...] = ()
    """Found anywhere in the decoded URL, across separators too."""
    lists: tuple[str, ...] = ()
    """Block lists: folders or archives of UT1 lists, or "datatrove" for those that FineWeb used, with their words."""


class Extract(Section):
    engine: Literal["trafilatura", "blocks", "resiliparse", "union"] = "trafilatura"
    """`blocks` is a small trained model, an eighth of trafilatura's time. `union` keeps a page if either trafilatura or
    resiliparse finds text: trafilatura's where that is of some length, else the longer."""
    fast: bool = True
    """trafilatura alone; false lets it ask readability and jusText, too, which takes twice as long."""
    markdown: bool = False
    """Keep headings, lists, tables and code as Markdown (trafilatura only)."""
    screen: bool = True
    """Guess the language of the visible text first, and spend extraction only on pages in a wanted one."""
    guard_seconds: Annotated[float, Field(ge=0)] = 60.0
    """Extraction runs in a child process; one that is silent for so long is killed, its page tried again at the end.
    0 extracts in the task's own process."""


class Language(Section):
    identifier: Literal["lid.176", "lid.176.bin", "fasttext", "resiliparse"] = "lid.176"
    """`fasttext` is any model of languages by its path, such as GlotLID (its codes have three letters: eng)."""
    model: str | None = None
    """Path of the fastText model; without it the cache is looked in (`corpusmill fetch lid.176`)."""
    max_chars: PositiveInt = 10_000
    """fastText sees no more of a text; the verdict is that on the whole text for 99.98% of the sample's pages."""
    wanted: dict[str, Share] = Field(default_factory=lambda: {"en": 0.65})
    """Language code to least score. Empty keeps every language. FineWeb keeps English above 0.65."""


class Component(BaseModel):
    """A rule, scorer or editor: `use` names it (or any class, as "package.module:Class"); other keys are settings."""

    model_config = ConfigDict(extra="allow", frozen=True)

    use: str
    name: str | None = None

    @property
    def label(self) -> str:
        """What it is called: its name; else its use, and the score it is about, since bounds on several are usual."""
        about = (self.model_extra or {}).get("of")
        return self.name or (f"{self.use} {about}" if about else self.use)

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Clean(Section):
    dropped_text: Literal["none", "sample", "all"] = "sample"
    """Whether the text of dropped pages is kept for reading: no, one in sixteen and the first of each reason, all."""
    url: Url = Url()
    extract: Extract = Extract()
    language: Language = Language()
    editors: tuple[Component, ...] = (Component(use="ftfy"),)
    scorers: tuple[Component, ...] = ()
    """Measures that need a model or a list, taken before the rules: `use = "score"` puts bounds on them."""
    rules: tuple[Component, ...] = (Component(use="gopher_quality"),)


class CrawlIndex(Section):
    """Earlier crawls that this one is deduplicated against, and then joins."""

    folder: str
    """A path or fsspec URL; made where it is not there."""
    crawl: str
    """The name of this run's crawl."""
    earlier: tuple[str, ...] | None = None
    """Names of the earlier crawls to compare with; without it all of them."""


class FrequentLines(Section):
    """Lines or paragraphs that many documents have: menus, notices, footers that extraction left (docs/cuts.md)."""

    unit: Literal["line", "paragraph"] = "line"
    """Paragraphs are separated by blank lines."""
    min_chars: PositiveInt = 5
    """Units with fewer letters, digits and symbols stay: "Yes." is not boilerplate."""
    min_host_documents: Annotated[int, Field(ge=0)] = 5
    """Documents of one host that have the unit. 0 asks nothing of hosts."""
    min_host_share: Share = 0.1
    """And the least share of that host's documents which those are."""
    min_corpus_documents: Annotated[int, Field(ge=0)] = 0
    """Documents of the corpus that have the unit. 0 asks nothing; CCNet's rule is 2 with keep = "first"."""
    keep: Literal["none", "first"] = "none"
    """Whether the first occurrence, by address and then by place, is left: of the host, or of the corpus."""

    @model_validator(mode="after")
    def _asks_for_something(self) -> FrequentLines:
        least = [n for n in (self.min_host_documents, self.min_corpus_documents) if n]
        if not least:
            raise ValueError("both min_host_documents and min_corpus_documents are 0; set one, or leave out the table")
        if min(least) == 1:
            raise ValueError("1 document is no repetition and would cut every line; the least is 2")
        return self


class RepeatedSpans(Section):
    """Runs of words that occurred before, to the word (Lee et al. 2021, which cut 50 tokens and more; docs/cuts.md)."""

    min_words: Annotated[int, Field(ge=2)] = 50
    """Where a script has no spaces, a character is a word."""


class Semantic(Section):
    """Near-duplicates by embeddings that you supply (SemDeDup: Abbas et al. 2023), docs/semantic.md."""

    embeddings: str
    """Parquet files: a path, glob, folder or fsspec URL. A row for each document, joined by its id."""
    id_column: str = "id"
    embedding_column: str = "embedding"
    """A list of float16, float32 or float64, of one length."""
    missing: Literal["error", "keep"] = "error"
    """A document without a usable embedding stops the run, or is kept and counted."""
    threshold: Annotated[float, Field(gt=-1.0, lt=1.0)] = 0.95
    """Pairs of a higher cosine similarity are duplicates: the paper's 1 - epsilon. Depends on the embedding."""
    keep: Literal["hard", "easy", "survivor"] = "hard"
    """Preferred is what lies farthest from the cluster's centroid, as in the paper, nearest to it, or by `survivor`."""
    clusters: PositiveInt | None = None
    """Of k-means; by default the square root of the documents, and one, so that all are compared, up to 10,000."""
    init: Literal["k-means++", "random"] = "k-means++"
    train_documents: PositiveInt | None = None
    """k-means is trained on a sample of so many; by default on 256 a cluster, as faiss does, and 65,536 at least."""
    iterations: PositiveInt = 20
    seed: int = 1


class TextChecks(Section):
    """Near pairs that signatures call duplicates and whose texts are compared too, before anything is removed.

    Of these the true Jaccard similarity of the texts decides. It costs reading the texts of both a second time.
    """

    share: Share = 0.0
    """Of all such pairs, drawn by a hash."""
    below: Share = 0.0
    """All pairs whose signatures agree in a smaller share of places than this: the uncertain ones."""


class Dedup(Section):
    """MinHash LSH. The defaults are FineWeb's: 5-word shingles, 14 bands of 8."""

    preset: str | None = Field(default=None, exclude=True)
    """Published shapes to take where this table does not say its own: fineweb, refinedweb, nemo, redpajama_v2 ...

    Only what it fills in is recorded: a preset and its keys written out are the same settings.
    """
    shingle: Literal["words", "chars"] = "words"
    """What a shingle is made of; a character of a script without blanks (Chinese, Thai ...) is a word."""
    shingle_size: PositiveInt = 5
    """Words, or characters, to a shingle. Of characters, NeMo Curator takes 24."""
    bands: PositiveInt = 14
    rows: PositiveInt = 8
    seed: int = 1
    exact: bool = True
    """Texts of the same words are duplicates: case, punctuation and white space aside."""
    urls: bool = False
    """Documents of one normalised address are duplicates, whatever their texts."""
    near: bool = True
    verify: Share = 0.65
    """Candidates whose signatures agree in a smaller share of places are not duplicates. 0 turns verification off."""
    check: TextChecks | None = None
    leaders: PositiveInt = 4
    """A bucket's rows are compared to its smallest address; those that are not alike to the next smallest among them,
    and so on: to so many."""
    survivor: Literal["longest", "earliest", "latest", "best_score", "preferred_source"] = "longest"
    """Which document of a cluster stays. Ties: the longer one, then the smaller id."""
    score: str | None = None
    """For best_score: a measure of the text or a score of one of clean.scorers; the highest stays."""
    sources: tuple[str, ...] = ()
    """For preferred_source: patterns (`*.example.org`, `*wiki*`) for a document's file or host, the best first."""
    lines: FrequentLines | None = None
    spans: RepeatedSpans | None = None
    semantic: Semantic | None = None
    index: CrawlIndex | None = None
    max_edges_in_memory: PositiveInt = 20_000_000
    """With more pairs than this, clusters are found by SQL in the engine instead of SciPy; the rows are the same."""

    @model_validator(mode="after")
    def _policies_have_what_they_need(self) -> Dedup:
        for policy, field in (("best_score", "score"), ("preferred_source", "sources")):
            if self.survivor == policy and not getattr(self, field):
                raise ValueError(f"survivor = {policy!r} needs `{field}`")
        return self

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        """What the recipe does not say, as the preset has it."""
        name = values.get("preset") if isinstance(values, Mapping) else None
        return {**_presets().get(name, {}), **values} if isinstance(name, str) else values

    @field_validator("preset")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        if name is not None and name not in _presets():
            raise PydanticCustomError(
                "no_preset", "no preset of that name{hint}", {"hint": nearest(name, [*_presets()])}
            )
        return name


def _presets() -> Mapping[str, Mapping[str, Any]]:
    from corpusmill.dedup.band_presets import PRESETS  # its package loads numba, which reading a recipe does not need

    return PRESETS


class Tokenize(Section):
    """A tokenizer and token shards.

    Digits, white space and the cut into words come from the named families only: llama.cpp and vLLM know no others.
    """

    vocab_size: Annotated[int, Field(ge=260, le=1 << 20)] = 32_000
    """Of a tokenizer that is trained, at most: special tokens, bytes and domain terms included."""
    tokenizer: str | None = None
    """To use instead of training one: a folder with tokenizer.json or GPT-2's files, a file of tiktoken ranks, or a
    SentencePiece model."""
    family: Literal["gpt2", "cl100k", "o200k", "llama3", "qwen2", "deepseek"] | None = None
    """How texts are cut before merging, of a tokenizer that is trained (gpt2 if not said) or given as ranks; llama.cpp
    and vLLM know these."""
    special_tokens: tuple[str, ...] = ()
    """Of a tokenizer that is trained: with the ids after the end-of-text token's, in this order."""
    special_tokens_in_text: Literal["text", "special", "refuse"] = "text"
    """What a page is that spells a special token: its characters; that token; or left out, counted and listed."""
    domain_terms: str | None = None
    """A file of terms, one to a line, that a tokenizer that is trained has as one token each (docs/tokenizers.md)."""
    chat_template: str | None = None
    """`chatml`, or a Jinja file, to be kept with the tokenizer. Its special tokens must be there."""
    sample_bytes: PositiveInt = 200_000_000
    """Text that the tokenizer is trained on, spread evenly over the corpus."""
    tokens_per_shard: PositiveInt = 64_000_000
    heldout_permille: Annotated[int, Field(ge=0, lt=1000)] = 5
    """Thousandths of the sites kept out of training, whole sites at a time."""
    sources: Literal["language"] | dict[Annotated[str, Field(pattern="^[a-zA-Z0-9_]+$")], str] | None = None
    """What train.mixture may weigh: documents by language, or by their input file, as {wiki = "*wiki*", web = "*"};
    shards hold documents of one source."""
    rehydration: Literal["fineweb2"] | tuple[tuple[PositiveInt, PositiveInt], ...] | None = None
    """How often an epoch has a survivor of dedup: pairs of (documents that it stands for, at least; times).

    fineweb2 is [[1, 1], [2, 2], [3, 3], [5, 5], [100, 8], [1000, 1]].
    """

    @field_validator("special_tokens")
    @classmethod
    def _can_be_special(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if names:
            from corpusmill.tokenize.special_tokens import reason_against_names  # loads numba, as dedup's presets do

            reason = reason_against_names(names, info.data.get("family") or "gpt2")
            if reason is not None:
                raise ValueError(reason)
        return names

    @model_validator(mode="after")
    def _trains_what_it_names(self) -> Tokenize:
        for name in ("special_tokens", "domain_terms"):
            if self.tokenizer is not None and getattr(self, name):
                raise ValueError(f"`{name}` is for a tokenizer that is trained: leave it out, or leave out `tokenizer`")
        return self

    @field_validator("rehydration")
    @classmethod
    def _sizes_ascend(cls, steps: Any) -> Any:
        sizes = [size for size, _ in steps] if isinstance(steps, tuple) else []
        if isinstance(steps, tuple) and (not sizes or sizes != sorted(set(sizes))):
            raise ValueError(f"pairs of (documents at least, times) must be there and ascend; found sizes {sizes}")
        return steps


class Model(Section):
    """A Llama-architecture model (transformers' LlamaForCausalLM), from a config."""

    hidden_size: PositiveInt = 256
    intermediate_size: PositiveInt = 688
    num_layers: PositiveInt = 4
    num_heads: PositiveInt = 4
    num_kv_heads: PositiveInt = 4
    rope_theta: float = 10_000.0
    tie_embeddings: bool = True
    initializer_range: float = 0.02


class Train(Section):
    model: Model = Model()
    sequence_length: PositiveInt = 256
    packing: Literal["chunks", "best_fit"] = "chunks"
    """How documents become rows: all tokens in a line, cut every sequence_length; or whole documents wherever they fit,
    with under half a percent of padding."""
    sources: dict[str, str] = {}
    """Folders of token shards (or runs that have them) beside the run's own, which is `corpus`: name = path."""
    mixture: dict[str, Annotated[float, Field(ge=0)]] | None = None
    """Weights of the sources; of one folder, of what its shards are of. Without it, samples are drawn as tokens are
    there."""
    lengths: tuple[tuple[PositiveInt, PositiveInt], ...] = ()
    """Shorter rows to begin with: pairs of (from step, length), as in [[1, 64], [100, 128]]. Each divides
    sequence_length, and a batch keeps its tokens."""
    fill_in_the_middle: Share = 0.0
    """Share of documents whose middle is to be filled in (needs best_fit, and a tokenizer with the three sentinels)."""
    suffix_first: Share = 0.5
    """Share of these in which the suffix comes first (SPM), not the prefix (PSM)."""
    batch_size: PositiveInt = 16
    """Sequences in a global batch, over all ranks; the same batches come out for any number of ranks."""
    micro_batch_size: PositiveInt = 8
    steps: PositiveInt = 100
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    warmup_steps: Annotated[int, Field(ge=0)] = 10
    schedule: Literal["cosine", "linear", "wsd", "inverse_sqrt"] = "cosine"
    """What the learning rate does after the warm-up; train/learning_rate.py has the formulas."""
    decay_share: Share = 0.2
    """Of all steps, over how many at the end `wsd` goes down."""
    min_learning_rate_share: Share = 0.1
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    beta2: Share = 0.95
    gradient_clipping: Annotated[float, Field(gt=0)] = 1.0
    seed: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    ranks: PositiveInt = 1
    """Processes that `corpusmill train` starts on this machine. `deepspeed train/run.py` takes its own number."""
    checkpoint_every: PositiveInt = 50
    keep_checkpoints: PositiveInt = 2
    deepspeed: str | None = None
    """A DeepSpeed JSON file; without it the packaged recipes/deepspeed.json (ZeRO 1)."""


class Evaluate(Section):
    batch_size: PositiveInt = 16
    max_tokens: PositiveInt = 1_000_000
    """Held-out tokens scored at most."""


class Recipe(Section):
    name: str = "corpus"
    seed: int = 0
    stages: tuple[Literal["clean", "dedup", "tokenize", "train", "evaluate", "export"], ...] = (
        "clean",
        "dedup",
        "tokenize",
    )
    ingest: Ingest = Ingest()
    clean: Clean = Clean()
    dedup: Dedup = Dedup()
    tokenize: Tokenize = Tokenize()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()


def load_recipe(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe from a TOML file, or by the name of a packaged one (`english`, `sample`).

    `overrides` are `key=value` pairs with dotted keys and TOML values, as given to `--set`; they win over the file.
    """
    name, text = _find(source)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise InputError(f"{name}: not valid TOML: {e}") from e
    for pair in overrides:
        override(values, pair)
    return parse_recipe(values, name)


def parse_recipe(values: Mapping[str, Any], name: str = "recipe") -> Recipe:
    try:
        recipe = Recipe.model_validate(_tuples(values))
    except ValidationError as e:
        raise InputError("\n".join(_sentence(name, values, error) for error in e.errors())) from e
    return recipe


def stored_train(values: Mapping[str, Any]) -> Train:
    """The train section as a training wrote it down."""
    return Train.model_validate(_tuples(values))


def nearest(word: str, words: Sequence[str]) -> str:
    """`; did you mean 'x'?`, or the choices if nothing is near."""
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; expected one of {', '.join(sorted(words))}" if words else ""


def _find(source: str | Path) -> tuple[str, str]:
    path = Path(source)
    if path.is_file():
        try:
            return str(source), path.read_text(encoding="utf-8")
        except UnicodeDecodeError as e:
            raise InputError(f"{source}: a recipe is UTF-8 text, and this file is not ({e.reason})") from e
    packaged = resources.files("corpusmill.recipes")
    names = sorted(f.name.removesuffix(".toml") for f in packaged.iterdir() if f.name.endswith(".toml"))
    if str(source) in names:
        return f"{source}.toml", (packaged / f"{source}.toml").read_text(encoding="utf-8")
    raise InputError(f"{source}: no such recipe file, and no packaged recipe of that name{nearest(str(source), names)}")


def override(values: dict[str, Any], pair: str) -> None:
    """Set one `key=value` in the tables of a recipe, in place."""
    key, sep, raw = pair.partition("=")
    if not sep or not key.strip():
        raise InputError(f"--set {pair}: expected key=value, for example --set dedup.bands=20")
    path = key.strip().split(".")
    at = 0
    while at < len(path) - 1:
        step = path[at]
        section = ".".join(path[: at + 1])
        values = values.setdefault(step, _default_components(section))
        at += 1
        if isinstance(values, list) and section in _COMPONENTS:
            values, taken = _component(values, path[at:], pair, section)
            at += taken
        if not isinstance(values, dict):
            raise InputError(f"--set {pair}: {step!r} is not a table; lists are set whole")
    values[path[-1]] = _toml_value(raw.strip())


_COMPONENTS = ("clean.rules", "clean.editors")
"""Lists of tables whose entries have names, so that one can be set by itself: --set clean.rules.NAME.min_words=40."""


def _default_components(section: str) -> Any:
    """What stands in a recipe that says nothing: the defaults of the model, to be changed by name."""
    if section not in _COMPONENTS:
        return {}
    field = Clean.model_fields[section.removeprefix("clean.")]
    return [c.model_dump(exclude_none=True) for c in field.default]


def _component(entries: list[Any], path: Sequence[str], pair: str, section: str) -> tuple[dict[str, Any], int]:
    """(the entry that `path` begins with the name of, steps that its name takes). Names may have dots in them."""
    named = {Component.model_validate(e).label: e for e in entries if isinstance(e, dict) and "use" in e}
    for name, entry in named.items():
        steps = str(name).split(".")
        if list(path[: len(steps)]) == steps:
            if len(path) == len(steps):
                raise InputError(f"--set {pair}: say which setting of {name!r}, as in {section}.{name}.SETTING=VALUE")
            return entry, len(steps)
    what = "rule" if section == "clean.rules" else "editor"
    names = [str(n) for n in named]
    hint = nearest(path[0], names) or "; it has none"
    raise InputError(f"--set {pair}: the recipe has no {what} named {path[0]!r}{hint}")


def _toml_value(raw: str) -> Any:
    try:
        return tomllib.loads(f"v = {raw}")["v"]
    except tomllib.TOMLDecodeError:
        return raw  # a bare word is a string: --set clean.language.model=/models/lid.176.ftz


def _tuples(value: Any) -> Any:
    """Lists to tuples all the way down: strict models take no list where a tuple is declared."""
    if isinstance(value, Mapping):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(_tuples(v) for v in value) if isinstance(value, (list, tuple)) else value


def _sentence(name: str, values: Mapping[str, Any], error: Any) -> str:
    where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error["loc"]).lstrip(".")
    if error["type"] == "extra_forbidden":
        *parents, key = error["loc"]
        return f"{name}: {where}: no such key{nearest(str(key), _keys_at(parents))}"
    found = "" if error["type"] == "missing" else f"found {error['input']!r}: "
    return f"{name}: {where}: {found}{error['msg'][0].lower()}{error['msg'][1:]}"


def _keys_at(path: Sequence[Any]) -> list[str]:
    """The keys that the table at `path` may have."""
    model: Any = Recipe
    for step in path:
        field = model.model_fields.get(step) if isinstance(model, type) and issubclass(model, BaseModel) else None
        if field is None:
            return []
        model = next((m for m in get_args(field.annotation) if m is not type(None)), field.annotation)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []

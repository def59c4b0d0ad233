"""The columns that stages hand to each other, and the version of each file format.

Columns are only ever appended. A reader takes the current version and the one before: `conform` adds columns that an
older file lacks as nulls, and refuses a newer file by name.
"""

from __future__ import annotations

import pyarrow as pa

from corpusmill.errors import DamagedError

FORMAT_VERSION = 2
"""Version of the run folder: Parquet parts, records and manifests. Shards carry it too."""

OLDEST_READABLE_VERSION = 1
"""The oldest version this code reads: the one before. 2 added measures, and cut words as spaCy does."""

VERSION_KEY = b"corpusmill.format"

ADDRESS_STRIDE = 4294967296
"""A document's address is `part * 2**32 + row`, one BIGINT. Written out, since `5 << 32` is silently 5 in Spark SQL."""

CRAWL_STRIDE = 4503599627370496
"""In an index of several crawls: `crawl * 2**52 + part * 2**32 + row`, with crawls counted from 1. So cluster,
representative and matched of a removed row lie in an earlier crawl exactly where they are this or greater."""

MEASURES: pa.StructType = pa.struct(
    [
        ("chars", pa.int32()),
        ("words", pa.int32()),
        ("non_symbol_words", pa.int32()),
        ("non_symbol_word_chars", pa.int32()),
        ("alpha_words", pa.int32()),
        ("stop_words", pa.int32()),
        ("hashes", pa.int32()),
        ("ellipses", pa.int32()),
        ("lines", pa.int32()),
        ("bullet_lines", pa.int32()),
        ("ellipsis_lines", pa.int32()),
        ("terminal_lines", pa.int32()),
        ("short_lines", pa.int32()),
        ("duplicate_lines", pa.int32()),
        ("line_chars", pa.int32()),
        ("duplicate_line_chars", pa.int32()),
        ("mean_word_chars", pa.float64()),
        ("hash_ratio", pa.float64()),
        ("ellipsis_ratio", pa.float64()),
        ("bullet_line_ratio", pa.float64()),
        ("ellipsis_line_ratio", pa.float64()),
        ("alpha_word_ratio", pa.float64()),
        ("terminal_line_ratio", pa.float64()),
        ("short_line_ratio", pa.float64()),
        ("duplicate_line_ratio", pa.float64()),
        ("duplicate_line_char_ratio", pa.float64()),
        # since version 2
        ("all_lines", pa.int32()),
        ("newlines", pa.int32()),
        ("raw_lines", pa.int32()),
        ("duplicate_raw_lines", pa.int32()),
        ("duplicate_raw_line_chars", pa.int32()),
        ("paragraphs", pa.int32()),
        ("duplicate_paragraphs", pa.int32()),
        ("duplicate_paragraph_chars", pa.int32()),
        ("top_2_gram_chars", pa.int32()),
        ("top_3_gram_chars", pa.int32()),
        ("top_4_gram_chars", pa.int32()),
        ("duplicate_5_gram_chars", pa.int32()),
        ("duplicate_6_gram_chars", pa.int32()),
        ("duplicate_7_gram_chars", pa.int32()),
        ("duplicate_8_gram_chars", pa.int32()),
        ("duplicate_9_gram_chars", pa.int32()),
        ("duplicate_10_gram_chars", pa.int32()),
        ("sentences", pa.int32()),
        ("c4_sentences", pa.int32()),
        ("c4_lorem_ipsum_line", pa.int32()),
        ("c4_curly_bracket_line", pa.int32()),
        ("c4_closed_sentences", pa.int32()),
        ("c4_closed_lorem_ipsum_line", pa.int32()),
        ("c4_closed_curly_bracket_line", pa.int32()),
        ("alnum_chars", pa.int32()),
        ("digit_chars", pa.int32()),
        ("upper_chars", pa.int32()),
        ("space_chars", pa.int32()),
        ("parenthesis_chars", pa.int32()),
        ("url_chars", pa.int32()),
        ("longest_word_chars", pa.int32()),
        ("longest_line_chars", pa.int32()),
        ("newline_ratio", pa.float64()),
        ("duplicate_raw_line_ratio", pa.float64()),
        ("duplicate_raw_line_char_ratio", pa.float64()),
        ("duplicate_paragraph_ratio", pa.float64()),
        ("duplicate_paragraph_char_ratio", pa.float64()),
        ("top_2_gram_char_ratio", pa.float64()),
        ("top_3_gram_char_ratio", pa.float64()),
        ("top_4_gram_char_ratio", pa.float64()),
        ("duplicate_5_gram_char_ratio", pa.float64()),
        ("duplicate_6_gram_char_ratio", pa.float64()),
        ("duplicate_7_gram_char_ratio", pa.float64()),
        ("duplicate_8_gram_char_ratio", pa.float64()),
        ("duplicate_9_gram_char_ratio", pa.float64()),
        ("duplicate_10_gram_char_ratio", pa.float64()),
        ("mean_line_chars", pa.float64()),
        ("non_alnum_ratio", pa.float64()),
        ("digit_ratio", pa.float64()),
        ("upper_ratio", pa.float64()),
        ("space_ratio", pa.float64()),
        ("parenthesis_ratio", pa.float64()),
        ("url_ratio", pa.float64()),
    ]
)
"""Counts are int32. Ratios are float64 formed from counts: float32(5/50) > 0.1 gives another verdict at the bound.
What each counts is said in clean/text_measures.py, which computes them."""

_WHERE_FROM = [
    ("id", pa.string()),  # WARC-Record-ID without <>, else file:offset
    ("url", pa.string()),
    ("host", pa.string()),
    ("warc_file", pa.string()),  # as the input was named
    ("warc_offset", pa.int64()),  # of the record's member, in bytes
    ("offset_kind", pa.string()),  # member | member+N (N bytes into a shared one) | uncompressed | line | row
    ("warc_length", pa.int64()),  # bytes from this record's start to the next one's
    ("payload_digest", pa.string()),
    ("fetched_at", pa.timestamp("us", tz="UTC")),
    ("status", pa.int16()),
    ("content_type", pa.string()),
]

_JUDGED = [
    ("drop_reason", pa.string()),  # null while the row is kept
    ("drop_detail", pa.string()),  # what was found: the status, the language, the word
    ("drop_stage", pa.string()),  # ingest | clean
]

PAGES = pa.schema(
    [
        *_WHERE_FROM,
        ("http_charset", pa.string()),
        ("body", pa.large_binary()),  # null where the record was text already
        ("text", pa.large_string()),  # of records that are text already: WET, JSONL, Parquet
        *_JUDGED,
    ],
    metadata={VERSION_KEY: str(FORMAT_VERSION).encode()},
)
"""What ingest yields: one row per record it was given that is a page or should have been one."""

_TEXT = [
    ("charset", pa.string()),
    ("extractor", pa.string()),
    ("title", pa.string()),
    ("author", pa.string()),
    ("date", pa.string()),
    ("text", pa.large_string()),
    ("language", pa.string()),
    ("language_score", pa.float64()),
    ("measures", MEASURES),
    ("scores", pa.map_(pa.string(), pa.float64())),  # what models and lists say of the text, by the measure's name
    ("edits", pa.map_(pa.string(), pa.int32())),  # changes made to the text, by kind: {"pii.email": 2}
]

DOCUMENTS = pa.schema([*_WHERE_FROM, *_TEXT], metadata={VERSION_KEY: str(FORMAT_VERSION).encode()})
DROPPED = pa.schema([*_WHERE_FROM, *_TEXT, *_JUDGED], metadata={VERSION_KEY: str(FORMAT_VERSION).encode()})

REMOVED = pa.schema(
    [
        ("address", pa.int64()),
        ("id", pa.string()),
        ("url", pa.string()),
        ("why", pa.string()),  # exact_duplicate | near_duplicate | url_duplicate | semantic_duplicate
        ("cluster", pa.int64()),  # smallest address of the cluster
        ("representative", pa.int64()),  # address of the survivor
        ("representative_id", pa.string()),
        ("similarity", pa.float64()),  # share of equal minima with the directly matched neighbour
        ("matched", pa.int64()),  # address of that neighbour
        ("text_bytes", pa.int64()),
        # appended: what was matched, by name, since it may be in an earlier crawl; null crawl: in this run
        ("matched_id", pa.string()),
        ("matched_url", pa.string()),
        ("matched_crawl", pa.string()),
        ("representative_crawl", pa.string()),
    ],
    metadata={VERSION_KEY: str(FORMAT_VERSION).encode()},
)

CLUSTER_SIZES = pa.schema(
    [("address", pa.int64()), ("documents", pa.int64())],
    metadata={VERSION_KEY: str(FORMAT_VERSION).encode()},
)
"""How many documents a survivor stands for, itself included; those that stand for themselves alone have no row."""

CUTS = pa.schema(
    [("address", pa.int64()), ("start", pa.int64()), ("end", pa.int64()), ("why", pa.string())],
    metadata={VERSION_KEY: str(FORMAT_VERSION).encode()},
)
"""Spans of a document's UTF-8 bytes, [start, end), left out when tokens are made."""

REFUSED = pa.schema(
    [
        ("address", pa.int64()),
        ("id", pa.string()),
        ("url", pa.string()),
        ("why", pa.string()),  # special_token_in_text
        ("detail", pa.string()),  # the first that the text spells
        ("text_bytes", pa.int64()),  # without its cuts
    ],
    metadata={VERSION_KEY: str(FORMAT_VERSION).encode()},
)
"""Documents that dedup left and tokenize did not take, of one shard."""

SHARD_DOCS = pa.schema(
    [
        ("address", pa.int64()),
        ("id", pa.string()),
        ("url", pa.string()),
        ("host", pa.string()),
        ("warc_file", pa.string()),
        ("warc_offset", pa.int64()),
        ("offset_kind", pa.string()),
        ("warc_length", pa.int64()),
        ("language", pa.string()),
        ("measures", MEASURES),
        ("text_bytes", pa.int64()),
        ("token_start", pa.int64()),  # of its first token, within the shard
        ("num_tokens", pa.int64()),  # the closing end-of-text token included
    ],
    metadata={VERSION_KEY: str(FORMAT_VERSION).encode()},
)
"""The sidecar of a shard: row i tells where row i of `shard-NNNNN.arrow` came from."""


def shard_schema(token_type: pa.DataType) -> pa.Schema:
    """A shard: one row per document, its tokens in the smallest type that holds the vocabulary."""
    return pa.schema(
        [pa.field("tokens", pa.large_list(pa.field("item", token_type, nullable=False)), nullable=False)],
        metadata={VERSION_KEY: str(FORMAT_VERSION).encode()},
    )


def token_type_for(vocab_size: int) -> pa.DataType:
    return pa.uint16() if vocab_size <= 1 << 16 else pa.uint32()


def check_version(found: int | str | bytes | None, what: str) -> None:
    """Refuse, by name, a file that this code cannot read."""
    version = int(found) if found is not None else -1
    if not OLDEST_READABLE_VERSION <= version <= FORMAT_VERSION:
        raise DamagedError(
            f"{what} has format version {version if version >= 0 else 'unknown'}; this Corpusmill reads "
            f"{OLDEST_READABLE_VERSION} to {FORMAT_VERSION}. Use the version that wrote it, or make it again"
        )


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Give `batch` exactly the columns of `schema`, in order; those it lacks become null, within a struct too."""
    columns = [
        _conform_column(batch.column(f.name), f.type)
        if f.name in batch.schema.names
        else pa.nulls(batch.num_rows, f.type)
        for f in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _conform_column(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    if not (pa.types.is_struct(wanted) and pa.types.is_struct(column.type)):
        return column.cast(wanted)
    if column.type == wanted:
        return column
    found = dict(zip(column.type.names, column.flatten(), strict=True))  # flatten carries the struct's own nulls down
    fields = [found[f.name].cast(f.type) if f.name in found else pa.nulls(len(column), f.type) for f in wanted]
    return pa.StructArray.from_arrays(fields, fields=list(wanted), mask=column.is_null())

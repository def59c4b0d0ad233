"""`inspect` of a shard shows where documents and tokens begin and end, and reads no more of it than it shows."""

from __future__ import annotations

import re
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixtures_shards import END_OF_TEXT, EOS, train_tokenizer, write_shards
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from corpusmill.errors import DamagedError, InputError
from corpusmill.inspection import show
from corpusmill.schemas import SHARD_DOCS, shard_schema
from corpusmill.shard_view import HEAD_TOKENS, TAIL_TOKENS, ShardQuery, Sidecar, open_shard
from corpusmill.storage import Folder, sha256_of
from corpusmill.token_pieces import split_bytes

PROSE = "The miller grinds the corn by the water.\nRain follows the old dog."
TEXTS = [PROSE, "caf\u00e9 \u65e5", "a\x1b[2Jb\u202ec", " ".join(["the corn"] * 400)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with one shard of TEXTS: words are tokens, and letters beyond ASCII fall into bytes."""
    folder = tmp_path_factory.mktemp("run")
    tokenizer = train_tokenizer(folder / "tokenizer", [PROSE] * 50, 320)
    identity = {
        "sha256": sha256_of(folder / "tokenizer/tokenizer.json"),
        "vocab_size": tokenizer.get_vocab_size(),
        "eos_token_id": EOS,
        "eos_token": END_OF_TEXT,
    }
    write_shards(folder / "shards", [[[*tokenizer.encode(t).ids, EOS] for t in TEXTS]], tokenizer=identity)
    return folder


def shown(path: Path, rows: int = 1, coloured: bool = False, width: int = 80, **query: Any) -> str:
    out = StringIO()
    how = {"force_terminal": True, "color_system": "truecolor", "no_color": False} if coloured else {"no_color": True}
    show(Console(file=out, soft_wrap=True, width=width, **how), str(path), rows, ShardQuery(**query))  # type: ignore[arg-type]
    return out.getvalue()


def without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def shard(run: Path) -> Path:
    return run / "shards/shard-00000.arrow"


def test_a_document_is_headed_by_where_it_came_from(run: Path):
    lines = shown(shard(run), document=1).splitlines()
    assert (
        lines[0]
        == f"{shard(run)}: 4 documents, {pq.read_table(sidecar(run))['num_tokens'].to_numpy().sum()} tokens (uint16)"
    )
    assert re.fullmatch(r"\u2500\u2500 document 1: en, \d+ tokens, \d+ bytes \u2500+", lines[2])
    assert len(lines[2]) == 80
    assert lines[3] == "https://site-1.example/part-0/page-1"
    assert lines[4] == "crawl-00000.warc.gz at 1,000 (member), id urn:uuid:00000000-00000001"
    assert lines[-1] == "2 more; go on with --document 2"


def sidecar(run: Path) -> Path:
    return run / "shards/shard-00000.docs.parquet"


def test_without_a_terminal_a_bar_stands_between_tokens_and_no_code_anywhere(run: Path):
    text = shown(shard(run))
    first, second = "|The| miller| grinds| the| corn| by| the| water|.|\u21b5\n", "|Rain| follows| the| old| dog|.|"
    assert f"{first}{second}\u27e6<|endoftext|>\u27e7|" in text
    assert "\x1b" not in text


def test_on_a_terminal_neighbours_differ_in_shade_and_special_tokens_in_colour(run: Path):
    text = shown(shard(run), coloured=True)
    codes = re.findall(r"\x1b\[([0-9;]+)m([^\x1b]+)\x1b\[0m", text[text.index("\x1b[30;48") :])
    assert [words for _, words in codes[:4]] == ["The", " miller", " grinds", " the"]
    assert codes[0][0] == codes[2][0] != codes[1][0] == codes[3][0]
    end = next(code for code, words in codes if words == END_OF_TEXT)
    assert end not in {codes[0][0], codes[1][0]}
    assert "The miller grinds the corn by the water.\u21b5\nRain follows the old dog.<|endoftext|>" in without_colours(
        text
    )


def test_no_colour_asked_for_means_bars_on_a_terminal_too(run: Path):
    out = StringIO()
    console = Console(file=out, soft_wrap=True, force_terminal=True, no_color=True)
    show(console, str(shard(run)), 1)
    assert "|The| miller|" in without_colours(out.getvalue())


def test_a_character_in_pieces_is_shown_as_bytes(run: Path):
    assert "|c|a|f|\\xc3|\\xa9| |\\xe6|\\x97|\\xa5|" in shown(shard(run), document=1)
    assert "caf\\xc3\\xa9 \\xe6\\x97\\xa5" in without_colours(shown(shard(run), document=1, coloured=True))


@given(st.lists(st.sampled_from(b"A\xc3\xa9\xe6\x97\xa5\xf0\x9f\x98\x80\xff"), max_size=12).map(bytes))
def test_pieces_put_together_are_the_bytes(data: bytes):
    pieces, again = split_bytes(data), b""
    for text, kind in pieces:
        again += bytes(int(b, 16) for b in text.split("\\x")[1:]) if kind == "bytes" else text.encode()
    assert again == data
    assert [kind for _, kind in pieces] == [
        ("text", "bytes")[(i + (pieces[0].kind == "bytes")) % 2] for i in range(len(pieces))
    ]
    assert "".join(text for text, kind in pieces if kind == "text") == data.decode(errors="ignore")


def test_a_line_that_ends_as_on_windows_is_not_shown_as_another():
    assert [p.text for p in split_bytes(b"a\r\n")] == ["a\u240d\n"]


def test_what_strangers_wrote_cannot_steer_the_terminal(run: Path, tmp_path: Path):
    assert "\u241b|[|2|J" in shown(shard(run), document=2)
    folder = copied(run, tmp_path)
    rows = pq.read_table(sidecar(folder)).to_pylist()
    rows[0]["url"] = "https://evil.example/\x1b]0;x\x07"
    pq.write_table(pa.Table.from_pylist(rows, schema=SHARD_DOCS), sidecar(folder))
    assert re.findall(r"[\x00-\x09\x0b-\x1f\u202e]", shown(shard(folder), rows=4)) == []


def copied(run: Path, to: Path) -> Path:
    return Path(shutil.copytree(run, to / "copy"))


def test_a_long_document_is_cut_in_the_middle_with_a_count(run: Path):
    tokens = int(pq.read_table(sidecar(run))["num_tokens"][3].as_py())
    text = shown(shard(run), document=3)
    head, gap, tail = text[text.index("|the|") :].partition(
        f"\u2026 {tokens - HEAD_TOKENS - TAIL_TOKENS:,} tokens not shown \u2026"
    )
    assert gap
    assert head.count("|") - 1 == HEAD_TOKENS
    assert tail.replace(END_OF_TEXT, "").count("|") - 1 == TAIL_TOKENS


def test_ids_stand_below_their_tokens_in_lines_that_fit(run: Path):
    ids = pa.ipc.open_file(str(shard(run))).get_batch(0).column(0)[0].as_py()
    for coloured in (False, True):
        lines = without_colours(shown(shard(run), ids=True, coloured=coloured, width=40)).splitlines()
        lower = lines[lines.index(next(line for line in lines if line.startswith("The"))) + 1 :: 2]
        found = [int(n) for line in lower if not line.startswith("3 more") for n in line.split()]
        assert found == ids
        assert max(len(line) for line in lines[5:-1]) <= 40
    upper, below = lines[5:7]
    assert upper.index("\u00b7miller") == below.index(str(ids[1]), len(str(ids[0])))


def test_documents_are_found_by_url_or_record_id(run: Path):
    for name in ("https://site-2.example/part-0/page-2", "urn:uuid:00000000-00000002"):
        text = shown(shard(run), rows=4, url=name)
        assert re.findall(r"document (\d+)", text) == ["2"]
    with pytest.raises(InputError, match=r"no document from 3 on has the URL or record id https://site-2"):
        shown(shard(run), url="https://site-2.example/part-0/page-2", document=3)
    with pytest.raises(InputError, match="there is no document 4; it has 4, counted from 0"):
        shown(shard(run), document=4)


def test_a_shard_elsewhere_needs_its_tokenizer_named(run: Path, tmp_path: Path):
    alone = tmp_path / "alone.arrow"
    alone.write_bytes(shard(run).read_bytes())
    ids = pa.ipc.open_file(str(alone)).get_batch(0).column(0)[0].as_py()
    text = shown(alone)
    assert "no tokenizer is at ../tokenizer; give one with --tokenizer" in text
    assert f"|{ids[0]}|{ids[1]}|" in text
    assert "document 0: language unknown" in text
    assert "|The| miller|" in shown(alone, tokenizer=str(run / "tokenizer"))
    with pytest.raises(InputError, match=r"--url needs its \.docs\.parquet"):
        shown(alone, url="https://site-2.example/")
    with pytest.raises(InputError, match="--tokenizer: there is no "):
        shown(alone, tokenizer=str(tmp_path / "nowhere"))


def test_another_tokenizer_than_the_shards_is_said(run: Path, tmp_path: Path):
    assert "texts may be wrong" not in shown(shard(run))
    train_tokenizer(tmp_path / "other", ["something else entirely"] * 9, 300)
    assert "texts may be wrong" in shown(shard(run), tokenizer=str(tmp_path / "other"))


def test_ids_beyond_the_vocabulary_are_shown_as_such(run: Path, tmp_path: Path):
    write_shards(tmp_path / "shards", [[[5000, EOS]]])
    assert "|\u27e6no token 5000\u27e7|" in shown(
        tmp_path / "shards/shard-00000.arrow", tokenizer=str(run / "tokenizer")
    )


def test_a_cut_shard_is_told_by_name(run: Path, tmp_path: Path):
    folder = copied(run, tmp_path)
    shard(folder).write_bytes(shard(run).read_bytes()[:400])
    with pytest.raises(DamagedError, match=r"shard-00000\.arrow is damaged"):
        shown(shard(folder))


def test_other_arrow_files_and_strange_sidecars_are_refused(run: Path, tmp_path: Path):
    other = tmp_path / "other.arrow"
    table = pa.table({"text": ["a"]})
    with pa.OSFile(str(other), "wb") as f, pa.ipc.new_file(f, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(InputError, match=r"no token shard: .* this file has text \(string\)"):
        shown(other)
    folder = copied(run, tmp_path)
    pq.write_table(pq.read_table(sidecar(run)).slice(1), sidecar(folder))
    with pytest.raises(DamagedError, match="has 3 rows, its shard 4 documents"):
        shown(shard(folder))
    with pytest.raises(InputError, match="is no token shard: --document, --url, --ids and --tokenizer are for one"):
        shown(sidecar(run), ids=True)


def test_only_the_pages_of_what_is_shown_are_read_from_a_shard(tmp_path: Path):
    documents, length = 20_000, 1000
    offsets = pa.array(np.arange(documents + 1, dtype=np.int64) * length)
    schema = shard_schema(pa.uint16())
    column = pa.LargeListArray.from_arrays(
        offsets, pa.array(np.ones(documents * length, np.uint16)), type=schema.field(0).type
    )
    path = tmp_path / "large.arrow"
    with pa.OSFile(str(path), "wb") as f, pa.ipc.new_file(f, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays([column], schema=schema))
    opened = open_shard(str(path))
    assert opened.ids(documents // 2).tolist() == [1] * length
    assert len(opened) == documents
    mapped = Path("/proc/self/smaps").read_text().partition(str(path))[2]
    size, resident = (int(mapped.partition(f"\n{name}:")[2].split()[0]) for name in ("Size", "Rss"))  # kB
    assert size > 39_000
    assert resident < size / 4  # a fault brings in up to 2 MB


def test_only_the_row_group_of_a_document_is_read_from_a_sidecar(run: Path, tmp_path: Path):
    rows = pq.read_table(sidecar(run))
    pq.write_table(pa.concat_tables([rows] * 2), tmp_path / "x.parquet", row_group_size=4)
    data = bytearray((tmp_path / "x.parquet").read_bytes())
    data[4:400] = bytes(396)  # pages of the first group
    (tmp_path / "x.parquet").write_bytes(data)
    found = Sidecar(Folder(str(tmp_path)), "x.parquet")
    assert found.row(6)["url"] == "https://site-2.example/part-0/page-2"
    with pytest.raises(DamagedError, match=r"x\.parquet is damaged"):
        found.row(0)


def test_a_folder_of_shards_is_a_table_of_them(run: Path, tmp_path: Path):
    write_shards(tmp_path / "shards", [[[1, EOS]] * 3, [[1, 1, 1, EOS]] * 2, [[EOS]]])
    folder = Folder(str(tmp_path / "shards"))
    text = shown(tmp_path / "shards", width=120)
    assert "source" not in text
    manifest = folder.read_json("manifest.json")
    manifest["shards"][1] |= {"source": "wiki", "weight": 3}
    folder.write_json("manifest.json", manifest)
    folder.remove("shard-00002.arrow")
    text = shown(tmp_path / "shards", width=120)
    cells = [[c.strip() for c in line.split("\u2502")[1:-1]] for line in text.splitlines() if line.startswith("\u2502")]
    sizes = [(tmp_path / f"shards/shard-0000{i}.arrow").stat().st_size for i in range(2)]
    assert cells == [
        ["shard-00000.arrow", "", "3", "6", "1", "24", f"{sizes[0]:,}"],
        ["shard-00001.arrow", "wiki", "2", "8", "3", "32", f"{sizes[1]:,}"],
        ["shard-00002.arrow", "", "1", "1", "1", "4", "missing"],
        ["3 in all", "", "6", "15", "", "60", f"{sum(sizes):,}"],
    ]
    assert "tokens per epoch  31\n" in text
    assert f"tokenizer         {'0' * 64}, 60,000 tokens (uint16)\n" in text
    assert f"fingerprint       {manifest['fingerprint']}\n" in text


def test_a_folder_that_is_neither_run_nor_shards_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"is not a run folder, which has a recipe\.json, nor a folder of shards"):
        shown(tmp_path)

"""Where things came from and went: page to fate, batch to pages, page back to its record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.errors import DamagedError, InputError
from corpusmill.inputs import open_input
from corpusmill.ledger import StageLedger, part_name
from corpusmill.mill import RUN_NAME, stored_recipe
from corpusmill.parquet_parts import read_part
from corpusmill.recipe import Ingest
from corpusmill.schemas import ADDRESS_STRIDE, DOCUMENTS, DROPPED, REFUSED, REMOVED, SHARD_DOCS
from corpusmill.storage import Folder

_RECORD_BYTES = 1 << 16  # asked for at once where one record is wanted of a remote file


def fates(run: Folder, url: str) -> list[dict[str, Any]]:
    """What became of every record with this URL (or record id): one dict each, its `fate` first."""
    found = []
    for part in StageLedger(run, "clean").require_manifest()["parts"]:
        name = f"{part_name(part)}.parquet"
        for row, values in _matching(run, f"documents/{name}", DOCUMENTS, url):
            found.append(_kept(run, part, part * ADDRESS_STRIDE + row, values))
        for _, values in _matching(run, f"dropped/{name}", DROPPED, url):
            found.append({"fate": "dropped", "part": part} | values)
    return found


def document_text(run: Folder, address: int) -> str:
    """The text of one document, as it was cleaned."""
    part, row = divmod(address, ADDRESS_STRIDE)
    for batch in read_part(run, f"documents/{part_name(part)}.parquet", DOCUMENTS, ("text",)):
        if row < batch.num_rows:
            return str(batch.column("text")[row].as_py())
        row -= batch.num_rows
    raise DamagedError(f"{run.url}/documents has no document {address}: the run was changed after it was tokenised")


def reread(run: Folder, place: Mapping[str, Any]) -> str:
    """Read a document's record from its WARC again and clean it with the run's own recipe; its text.

    `place` has warc_file, warc_offset, warc_length, offset_kind. Raises InputError if the record no longer yields one.
    """
    from corpusmill.clean.document_flow import DocumentFlow

    recipe = stored_recipe(run)
    name = place["warc_file"]
    for batch in DocumentFlow(recipe.clean)(_page_again(run, place, recipe.ingest)):
        if batch.column("drop_reason")[0].is_valid:
            raise InputError(f"{name} at {place['warc_offset']} is now dropped: {batch.column('drop_reason')[0]}")
        return str(batch.column("text")[0].as_py())
    raise InputError(f"{name} at {place['warc_offset']} holds no response record")


def made_again(place: Mapping[str, Any]) -> str:
    """Whether a document's record, read from its WARC again, gives the text that was kept and the tokens of its shard.

    `place` is a document as `train.batch_trace` describes it. Raises CorpusmillError where that cannot be found out.
    """
    from corpusmill.tokenize.bpe_tokenizer import load_from_run
    from corpusmill.tokenize.encoders import make_encoder
    from corpusmill.tokenize.survivors import read_cuts, without_cuts
    from corpusmill.tokenize.token_shards import map_shard, read_manifest

    if place["id"] is None:
        return "forgotten: its tokens were overwritten"
    shards = Folder(place["shards"])
    run = shards.sub("..")
    if place["id"] not in (found := _ids_at(run, int(place["address"]))):
        raise InputError(f"{place['shard']} was added from another run: this one has {found or 'nothing'} in its place")
    stage = StageLedger(run, "tokenize").require_manifest()
    text, address = reread(run, place), int(place["address"])
    said = "same text" if text == document_text(run, address) else "OTHER TEXT"
    cuts = read_cuts(run, address // ADDRESS_STRIDE)
    left = without_cuts(pa.array([text], pa.large_string()), pa.array([address]), cuts)
    manifest = read_manifest(shards)
    special = StageLedger(run, "tokenize").settings().get("special_tokens_in_text") == "special"
    encoder = make_encoder(stage["encoder"], load_from_run(run), special)
    again = encoder.encode(left).closed(manifest["tokenizer"]["eos_token_id"])
    entry = next(e for e in manifest["shards"] if e["name"] == place["shard"])
    start, stop = place["document_tokens"]
    same = np.array_equal(map_shard(shards, entry).tokens[start:stop], again.ids)
    return f"{said}, {'same tokens' if same else 'OTHER TOKENS'}"


def _ids_at(run: Folder, address: int) -> list[str]:
    """The id of the document with an address, if there is one."""
    part, row = divmod(address, ADDRESS_STRIDE)
    if not run.exists(f"documents/{part_name(part)}.parquet"):
        return []
    for batch in read_part(run, f"documents/{part_name(part)}.parquet", DOCUMENTS, ("id",)):
        if row < batch.num_rows:
            return [str(batch.column("id")[row].as_py())]
        row -= batch.num_rows
    return []


def _page_again(run: Folder, place: Mapping[str, Any], ingest: Ingest) -> Iterable[pa.RecordBatch]:
    """The page at a place, from the archive or from the file of texts that it was in."""
    from corpusmill.ingest.page_sources import page_at
    from corpusmill.ingest.plain_records import Member
    from corpusmill.ingest.warc_members import read_member
    from corpusmill.ingest.warc_pages import pages_of

    name, offset, length, kind = (place[n] for n in ("warc_file", "warc_offset", "warc_length", "offset_kind"))
    text = page_at(_located(run, name), place, ingest)
    if text is not None:
        return [text]
    with open_input(_located(run, name), _RECORD_BYTES) as stream:
        data = read_member(stream, offset, length, kind)
    return pages_of([Member(offset, length, data, offset_kind=kind)], name, ingest.max_page_bytes)


def _located(run: Folder, name: str) -> str:
    """An input's name, as found from here or from the folder in which the run was made."""
    if "://" in name or Path(name).exists() or not run.exists(RUN_NAME):
        return name
    made_in = run.read_json(RUN_NAME).get("working_folder", "")
    return str(Path(made_in) / name)


def _matching(run: Folder, name: str, schema: pa.Schema, url: str) -> list[tuple[int, dict[str, Any]]]:
    """(row, values) of rows with this url or id; texts are left out."""
    columns = tuple(n for n in schema.names if n != "text")
    found, start = [], 0
    for batch in read_part(run, name, schema, columns):
        mask = pc.or_kleene(pc.equal(batch.column("url"), url), pc.equal(batch.column("id"), url))
        rows = np.flatnonzero(mask.fill_null(False).to_numpy(zero_copy_only=False))
        found += [(start + int(r), batch.slice(r, 1).to_pylist()[0]) for r in rows]
        start += batch.num_rows
    return found


def _kept(run: Folder, part: int, address: int, values: dict[str, Any]) -> dict[str, Any]:
    """A kept document: removed as a duplicate, refused or tokenised, or not there yet."""
    if not run.exists(f"removed/{part_name(part)}.parquet"):
        return {"fate": "kept", "part": part, "address": address} | values
    for batch in read_part(run, f"removed/{part_name(part)}.parquet", REMOVED):
        gone = batch.filter(pc.equal(batch.column("address"), address)).to_pylist()
        if gone:
            return {"fate": "removed", "part": part} | values | gone[0]
    for name in run.names("refused/shard-*.parquet"):
        for batch in read_part(run, name, REFUSED):
            gone = batch.filter(pc.equal(batch.column("address"), address)).to_pylist()
            if gone:
                return {"fate": "refused", "part": part} | values | gone[0]
    for kind in ("shards", "heldout"):
        for name in run.names(f"{kind}/shard-*.docs.parquet"):
            for batch in read_part(run, name, SHARD_DOCS, ("address", "id", "token_start", "num_tokens")):
                same = pc.equal(batch.column("id"), values["id"])  # shards of another run have addresses of their own
                here = batch.filter(pc.and_(pc.equal(batch.column("address"), address), same)).to_pylist()
                if here:
                    shard = name.removesuffix(".docs.parquet")
                    return {"fate": "tokenised", "part": part, "shard": shard} | values | here[0]
    return {"fate": "kept", "part": part, "address": address} | values

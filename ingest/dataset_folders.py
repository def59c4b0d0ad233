"""Folders that are data sets: what `datasets.save_to_disk` writes, and folders of Parquet, JSONL or Arrow files."""

from __future__ import annotations

import json
from typing import Any

from corpusmill.errors import InputError
from corpusmill.ingest.json_lines import NAMES
from corpusmill.mill import RECIPE_NAME
from corpusmill.storage import Folder

_SPLITS, _STATE = "dataset_dict.json", "state.json"
_DATA = (".parquet", ".arrow", *NAMES)
_NOT_DATA = ("dataset_info.json", "dataset_infos.json", _SPLITS, _STATE)


def files_of_folder(name: str) -> list[str]:
    """The data files of a folder, by the names they have with it. Raises InputError if it is no data set."""
    name = name.rstrip("/")
    folder = Folder(name)
    if folder.exists(RECIPE_NAME):
        raise InputError(
            f"{name} is a run folder: give its documents ({name}/documents/*.parquet) or pages ({name}/pages/*.parquet)"
        )
    if folder.exists(_SPLITS):
        splits = _read(folder, _SPLITS).get("splits", [])
        return [file for split in splits for file in files_of_folder(f"{name}/{split}")]
    if folder.exists(_STATE):
        return _saved_to_disk(folder, name)
    return _loose_files(folder, name)


def _saved_to_disk(folder: Folder, name: str) -> list[str]:
    state = _read(folder, _STATE)
    if state.get("_indices_data_files") or not isinstance(state.get("_data_files"), list):
        raise InputError(f"{name}: {_STATE} names no data files: save the data set again with save_to_disk")
    files = [str(f["filename"]) for f in state["_data_files"]]
    missing = [f for f in files if not folder.exists(f)]
    if missing:
        raise InputError(f"{name}: {missing[0]} is missing; its {_STATE} names it. Copy the folder again, whole")
    return [f"{name}/{f}" for f in files]


def _loose_files(folder: Folder, name: str) -> list[str]:
    """Data files at any depth, sorted. Hidden ones and the caches of `datasets` are left out."""
    paths = (str(p).removeprefix(folder.root).lstrip("/") for p in folder.fs.find(folder.root))
    found = sorted(paths)
    files = [p for p in found if p.endswith(_DATA) and not _hidden(p)]
    if not files or any(".warc" in p or ".wet" in p for p in found):
        raise InputError(
            f"{name} is a folder; give the WARC files in it, for example {name}/*.warc.gz. A folder is read whole only "
            "where it is a data set: of Parquet, JSONL or Arrow files, and no WARC"
        )
    return [f"{name}/{f}" for f in files]


def _hidden(path: str) -> bool:
    *folders, file = path.split("/")
    ours = file in _NOT_DATA or (file.startswith("cache-") and file.endswith(".arrow"))
    return ours or any(part.startswith((".", "_")) for part in (*folders, file))


def _read(folder: Folder, file: str) -> dict[str, Any]:
    try:
        value = json.loads(folder.read_bytes(file))
    except ValueError as e:
        raise InputError(f"{folder.url}/{file} is not JSON: {e}") from e
    if not isinstance(value, dict):
        raise InputError(f"{folder.url}/{file}: expected an object, as `datasets` writes it")
    return value

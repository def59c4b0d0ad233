"""Folders that appear whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from corpusmill.errors import InputError, StorageError
from corpusmill.storage import TEMPORARY_SUFFIX, Folder


@contextmanager
def whole_folder(to: str, last: str = "") -> Iterator[Folder]:
    """A local folder to fill, that does not exist yet: renamed to `to` if the block ends well.

    On an object store it is sent file by file, the one named `last` at the end. Raises InputError where `to` exists.
    """
    parent, name = place_of(to)
    if parent.exists(name):
        raise InputError(f"{to} exists already: give another name, or remove it")
    if parent.is_local:
        _make(parent)
    near = parent.local_path() if parent.is_local else Path(tempfile.gettempdir())
    made = near / f".{name}.{uuid.uuid4().hex}{TEMPORARY_SUFFIX}"
    try:
        yield Folder(str(made))
        if parent.is_local:
            made.replace(parent.local_path(name))
        else:
            files = [str(p.relative_to(made)) for p in made.rglob("*") if p.is_file()]
            for file in sorted(files, key=lambda f: (f == last, f)):
                parent.fs.put_file(str(made / file), parent.at(f"{name}/{file}"))
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _make(folder: Folder) -> None:
    try:
        folder.local_path().mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise StorageError(f"{folder.url} cannot be made ({e.strerror}): choose another --output") from e


def place_of(to: str) -> tuple[Folder, str]:
    """The folder in which `to` lies, and its name there."""
    parent, _, name = to.rstrip("/").rpartition("/")
    if not name:
        raise InputError(f"{to!r} names no file or folder to write")
    return Folder(parent or ("/" if to.startswith("/") else ".")), name

"""What can go wrong, as sentences.

    CorpusmillError          1   ours to explain; the command prints the message and no traceback
    ├── InputError           2   a recipe, argument or input file is not what it must be
    ├── StorageError         3   a disk is full, a folder cannot be written
    ├── OwnedError           4   another process owns the output folder
    ├── MissingExtraError    5   an optional dependency is not installed
    └── DamagedError         6   something the mill wrote earlier has been changed or lost

The number is the exit code of the command. Anything else that escapes is a bug of ours, exits with 70
(EX_SOFTWARE) and keeps its traceback; Ctrl-C exits with 130.
A message says what was found, what was expected and what to do. A broken page is none of these: it is a counted row
with a reason.
"""

from __future__ import annotations

import importlib.util

EXIT_OK = 0
EXIT_BUG = 70
EXIT_INTERRUPTED = 130


class CorpusmillError(Exception):
    """A condition a user can understand and act on."""

    exit_code = 1


class InputError(CorpusmillError):
    """A recipe, an argument or an input file is not what it must be."""

    exit_code = 2


class StorageError(CorpusmillError):
    """A disk is full, or a folder cannot be read or written."""

    exit_code = 3


class OwnedError(CorpusmillError):
    """Another living process owns the output folder."""

    exit_code = 4


class MissingExtraError(CorpusmillError, ImportError):
    """An optional dependency is not installed. Also an ImportError, so that `try: import` works as usual."""

    exit_code = 5


class DamagedError(CorpusmillError):
    """A file that the mill wrote is missing, changed or cut."""

    exit_code = 6


def require_extra(feature: str, extra: str, *modules: str) -> None:
    """Raise one sentence naming `extra` if any of `modules` cannot be found. Loads none of them."""
    missing = [m for m in modules if importlib.util.find_spec(m) is None]
    if missing:
        raise MissingExtraError(
            f"{feature} needs {', '.join(missing)}, which is not installed: pip install 'corpusmill[{extra}]'"
        )
